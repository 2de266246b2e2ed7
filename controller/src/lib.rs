//! The controller: what runs every policy step, the same code in simulation, in replay and on the robot.
//!
//! Order of a step ([`Controller::cycle`]): read the [`RobotLink`]; with [`Method::Abs`], evaluate the reach-avoid
//! value and, where going on is not safe, search a twist that is; form the observation of the policy that acts;
//! evaluate it; turn the action into a joint target; limit it ([`SafetyLimiter`]); write it to the link.

mod controller;
pub mod deploy;
mod link;
mod lookahead;
mod method;
mod safety;
mod switch;
mod twist_search;

pub use controller::{Controller, ControllerConfig, ControllerError, Fault, Mode};
pub use link::{ControlInput, RobotLink};
pub use method::{Method, MethodError};
pub use safety::{Limited, SafetyConfig, SafetyLimiter, SettingError};
pub use twist_search::{SafeTwist, TwistSearch};
