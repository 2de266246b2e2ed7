//! Policies: what they observe, how they are evaluated and stored; [`training`] is what simulators and learners agree on.
//!
//! Data flow: `RobotState` + [`RayScan`] + [`Goal`] -> observation ([`Layout`]) -> policy -> action -> `JointTarget`.
//!
//! A bundle holds networks and their contract, the [`PolicySpec`]; a [`Policy`] of it observes and acts:
//!
//! ```
//! use std::path::Path;
//!
//! use policies::{Bundle, GoalYaw, ObservationInput, RayScan, Twist};
//! use robots::{Robot, RobotState};
//!
//! let robot = Robot::load("go1")?;
//! let bundle = Bundle::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("bundles/go1"))?;
//! let mut policy = bundle.policy("agile", &robot)?;
//! let rays = RayScan::clear(&bundle.spec.rays);
//! let (mut action, mut position_rad) = ([0.0; 12], [0.0; 12]);
//! policy.act(
//!     &ObservationInput {
//!         state: &RobotState::zero(12, 4),
//!         foot_contact: &[true; 4],
//!         goal: GoalYaw { x_m: 3.0, y_m: 0.0, heading_error_rad: 0.0 },
//!         time_left_s: 9.0,
//!         twist: Twist::default(),
//!         previous_action: &[0.0; 12],
//!         ray_distance_m: &rays.distance_m,
//!         // Nothing moves.
//!         previous_ray_distance_m: &rays.distance_m,
//!         reality: &[],
//!     },
//!     &mut action,
//!     &mut position_rad,
//! )?;
//! assert!(position_rad.iter().all(|angle_rad| angle_rad.is_finite()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod bundle;
pub mod depth;
pub mod file;
pub mod nn;
pub mod observation;
pub mod policy;
pub mod rays;
pub mod reach_avoid;
pub mod settings;
pub mod spec;
pub mod training;

pub use bundle::{Bundle, BundleError};
pub use nn::{Activation, Linear, Mlp, MlpError};
pub use observation::{Layout, ObservationInput, Quantity};
pub use policy::{Goal, GoalYaw, NotFinite, Policy, Twist, TwistRange};
pub use rays::{MAX_RAYS, PreviousScans, RayMemory, RayScan, RaySpec, RaySpecError};
pub use reach_avoid::ReachAvoidValue;
pub use spec::PolicySpec;
