//! Roll-outs of the frozen agile policy, from which its reach-avoid value is learned (method section 7).
//!
//! The deployed controller runs in simulation as in the test, among cylinders as in training and as in the test. Since
//! the value is asked at twists that the policy would not choose, many episodes begin in motion: the running robot finds
//! itself in another scene, or is given a twist.

mod config;
mod plan;
mod recorder;

pub use config::{RolloutConfig, RolloutConfigError};
pub use recorder::{RolloutError, RolloutRecorder};

#[cfg(test)]
mod tests;
