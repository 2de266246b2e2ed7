//! The controller: what runs every policy step, the same code in simulation, in replay and on the robot.
//!
//! Order of a step ([`Controller::cycle`]): read the [`RobotLink`]; with [`Method::Abs`], evaluate the reach-avoid
//! value and, where it is not safe to continue, search a safe twist; form the observation of the policy that acts;
//! evaluate it; turn the action into a joint target; bound it ([`SafetyConfig`]); write it to the link.
//!
//! ```
//! use controller::{ControlInput, Controller, ControllerConfig, Method, Mode};
//! use policies::Bundle;
//! use robots::Robot;
//!
//! let robot = Robot::load("go1")?;
//! let bundle = Bundle::load("../policies/bundles/go1".as_ref())?;
//! let mut controller = Controller::new(&robot, &bundle, Method::Abs, &ControllerConfig::default())?;
//! let mut input = ControlInput::new(&robot, &bundle.spec.rays);
//! input.state.joint_position_rad = robot.control.default_position_rad.iter().copied().collect();
//! let target = controller.step(&input.state, &input.rays, &input.goal, 9.0);
//! assert_eq!(target.position_rad.len(), 12);
//! assert_ne!(controller.mode(), Mode::Fallback);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod controller;
pub mod deploy;
pub mod identification;
mod link;
mod lookahead;
mod method;
mod safety;
mod switch;
mod twist_search;

pub use controller::{Controller, ControllerConfig, ControllerError, FallbackReason, Mode};
pub use link::{ControlInput, RobotLink};
pub use lookahead::present_fractions;
pub use method::{Method, MethodError};
pub use safety::{JointLimits, Limited, SafetyConfig, SettingError};
pub use twist_search::{SafeTwist, TwistSearch};
