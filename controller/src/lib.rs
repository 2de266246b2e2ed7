//! The controller: what runs every policy step, the same code in simulation, in replay and on the robot.
//!
//! Order of a step ([`Controller::cycle`]): read the [`RobotLink`]; form the observation; evaluate the policy; turn
//! the action into a joint target; limit it ([`SafetyLimiter`]); write it to the link.

mod controller;
mod link;
mod safety;

pub use controller::{Controller, ControllerError, Fault, Mode};
pub use link::{ControlInput, RobotLink};
pub use safety::{Limited, SafetyConfig, SafetyConfigError, SafetyLimiter};
