//! The reach-avoid value (docs/concepts/reach-avoid.md#reach-avoid-value): will the agile policy reach its goal without a collision?

mod config;
pub mod margins;
mod report;
mod rollouts;
mod value;

pub use config::{ReachAvoidConfig, TargetKind};
pub use report::{CalibrationBin, Outcome, ValueReport};
pub use rollouts::{Rollouts, RolloutsError};
pub use value::ReachAvoidValue;
