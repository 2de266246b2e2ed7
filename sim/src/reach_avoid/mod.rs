//! Rollouts of the frozen agile policy, from which its reach-avoid value is learned (docs/concepts/reach-avoid.md#reach-avoid-value).
//!
//! The deployed controller runs in simulation as in the test, among cylinders as in training and as in the test. Since the
//! switch evaluates the value at twists that the policy would not choose, many episodes begin in motion: a running robot is
//! moved into another scene, or starts with a random velocity.

mod config;
mod plan;
mod recorder;

pub use config::{RolloutConfig, RolloutConfigError};
pub use recorder::{RolloutError, RolloutRecorder};

#[cfg(test)]
mod tests;
