//! Policies: what they observe, how they are evaluated and stored; [`training`] is what simulators and learners agree on.
//!
//! Data flow: `RobotState` + [`RayScan`] + [`Goal`] -> observation ([`Layout`]) -> policy -> action -> `JointTarget`.

pub mod bundle;
pub mod command;
pub mod depth;
pub mod file;
pub mod mlp;
pub mod observation;
pub mod policy;
pub mod rays;
pub mod reach_avoid;
pub mod settings;
pub mod spec;
pub mod training;

pub use bundle::{Bundle, BundleError};
pub use command::{Goal, GoalYaw, Twist};
pub use mlp::{Activation, Linear, Mlp, MlpError};
pub use observation::{Layout, ObservationInput, Quantity};
pub use policy::{NotFinite, Policy};
pub use rays::{MAX_RAYS, PreviousScans, RayMemory, RayScan, RaySpec, RaySpecError};
pub use reach_avoid::ReachAvoidValue;
pub use spec::PolicySpec;
