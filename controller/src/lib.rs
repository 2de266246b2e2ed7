//! The controller: what runs every policy step, the same code in simulation, in replay and on the robot.
//!
//! Order of a step ([`Controller::cycle`]): read the [`RobotLink`]; with [`Method::Abs`], evaluate the reach-avoid
//! value and, where going on is not safe, search a twist that is; form the observation of the policy that acts;
//! evaluate it; turn the action into a joint target; limit it ([`SafetyLimiter`]); write it to the link.
//!
//! ```
//! use std::path::Path;
//!
//! use controller::{ControlInput, Controller, ControllerConfig, Method, Mode};
//! use policies::Bundle;
//! use robots::Robot;
//!
//! let robot = Robot::load("go1")?;
//! let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/bundles/go1");
//! let bundle = Bundle::load(&folder)?;
//! let config = ControllerConfig::default();
//! let mut controller = Controller::new(&robot, &bundle, Method::Abs, &config)?;
//! let input = ControlInput::new(&robot, &bundle.spec.rays);
//! let target = controller.step(&input.state, &input.rays, &input.goal, input.time_left_s);
//! assert_eq!(target.position_rad.len(), 12);
//! assert_ne!(controller.mode(), Mode::Fallback);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
