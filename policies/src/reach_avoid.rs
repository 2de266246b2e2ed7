//! The reach-avoid value (method section 7): will the agile policy reach its goal without a collision?

mod config;
pub mod margins;
mod report;
mod rollouts;
mod value;

pub use config::{ReachAvoidConfig, TargetKind};
pub use report::{CalibrationBin, Outcome, ValueReport};
pub use rollouts::{Rollouts, RolloutsError};
pub use value::ReachAvoidValue;

/// Values below this are safe (paper, section V-B).
pub const DEFAULT_THRESHOLD: f32 = -0.05;
/// By how much a twist lowers the value on which the recovery policy acts, if nothing else is said.
pub const DEFAULT_MIN_GAIN: f32 = 0.1;
