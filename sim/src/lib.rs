//! The simulation in which the policies learn and are evaluated: physics engines under one trait, scenes, sensors, the training
//! environment, and one loop of episodes for all that a deployed controller is observed in.
//!
//! The shipped policies of go1 in two episodes of the paper's test, in the batch engine:
//!
//! ```
//! use controller::{ControllerConfig, Method};
//! use policies::Bundle;
//! use robots::Robot;
//! use sim::{
//!     engine::{EngineKind, PhysicsConfig},
//!     eval::{EvalConfig, Evaluation},
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let robot = Robot::load("go1")?;
//! let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../policies/bundles/go1");
//! let bundle = Bundle::load(folder.as_ref())?;
//! let config = EvalConfig {
//!     episodes: 2,
//!     engine: EngineKind::Batch,
//!     ..EvalConfig::default()
//! };
//! let (physics, controller) = (PhysicsConfig::default(), ControllerConfig::default());
//! let seed = 1;
//! let evaluation =
//!     Evaluation::new(&robot, &bundle, Method::Abs, &config, &physics, &controller, seed)?;
//! let (report, records) = evaluation.report(&|| ())?;
//! assert_eq!(records.len(), 2);
//! println!("reached {:.0}% of the goals", 100.0 * report.reach_rate);
//! # Ok(())
//! # }
//! ```

pub mod depth;
pub mod engine;
mod episode;
pub mod eval;
pub mod random;
pub mod reach_avoid;
pub mod reality;
pub mod scene;
pub mod sensors;
pub mod standing;
pub mod tasks;

pub use episode::EpisodeError;
