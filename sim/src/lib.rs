//! The simulation in which the policies learn and are evaluated.

pub mod depth;
pub mod engine;
pub mod env;
pub mod episode;
pub mod eval;
pub mod random;
pub mod reach_avoid;
#[cfg(feature = "ros2")]
pub mod ros2_robot;
pub mod scene;
pub mod sensors;
