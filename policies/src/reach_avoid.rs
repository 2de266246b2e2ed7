//! The reach-avoid value (method section 7): will the agile policy reach its goal without a collision?

pub mod margins;
mod value;

pub use value::ReachAvoidValue;

/// Values below this are safe (paper, section V-B).
pub const DEFAULT_THRESHOLD: f32 = -0.05;
