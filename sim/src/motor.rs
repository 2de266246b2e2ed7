//! The motor model: an effort-limited PD law whose torque may fall with speed.

use serde::{Deserialize, Serialize};

/// Motor settings shared by all joints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MotorConfig {
    /// Share of the velocity limit up to which the whole effort limit is available; from there it falls linearly to
    /// zero at the velocity limit. 1 switches the torque-speed curve off (the paper's setting).
    pub full_effort_until: f32,
}

impl Default for MotorConfig {
    fn default() -> Self {
        Self {
            full_effort_until: 1.0,
        }
    }
}
