//! How an operator drives: by twists, or by goals near the robot.

use policies::{PolicySpec, Quantity, Twist, TwistRange};
use serde::{Deserialize, Serialize};

use crate::{Method, SettingError, safety::check_ranges};

/// How keys and sticks drive the robot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DriveConfig {
    /// Largest twist in both directions, m/s and rad/s, 0 to 100. Without it the twists that the bundle was trained with; of one that does not
    /// tell, 0.5 m/s forward and back, 0.3 m/s to the side, 1 rad/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Twist>,
    /// Fraction of a stick's way that counts as its centre, 0.02 to 0.5.
    pub deadband: f32,
    /// By how much a key changes the velocity, m/s, 0.01 to 1.
    pub key_mps: f32,
    /// By how much a key changes the turning rate, rad/s, 0.01 to 1.
    pub key_radps: f32,
    /// Distance of the goal that a stick sets at its end, m, 0.5 to 100; never beyond `deploy.faults.max_goal_m`.
    pub goal_m: f32,
    /// A gamepad that does not change for so long while it drives counts as silent, s, 0.2 to 60: the robot halts, and its operator is missed.
    pub silence_s: f32,
}

impl Default for DriveConfig {
    fn default() -> Self {
        Self {
            limit: None,
            deadband: 0.12,
            key_mps: 0.1,
            key_radps: 0.2,
            goal_m: 5.0,
            silence_s: 5.0,
        }
    }
}

impl DriveConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first that is out of range.
    pub(super) fn validate(&self) -> Result<(), SettingError> {
        let limit = self.limit.unwrap_or_default();
        check_ranges(&[
            ("deploy.drive.limit.vx_mps", limit.vx_mps, 0.0, 100.0),
            ("deploy.drive.limit.vy_mps", limit.vy_mps, 0.0, 100.0),
            (
                "deploy.drive.limit.yaw_rate_radps",
                limit.yaw_rate_radps,
                0.0,
                100.0,
            ),
            ("deploy.drive.deadband", self.deadband, 0.02, 0.5),
            ("deploy.drive.key_mps", self.key_mps, 0.01, 1.0),
            ("deploy.drive.key_radps", self.key_radps, 0.01, 1.0),
            ("deploy.drive.goal_m", self.goal_m, 0.5, 100.0),
            ("deploy.drive.silence_s", self.silence_s, 0.2, 60.0),
        ])
    }

    /// The twists that an operator may command; none where the method runs to goals.
    pub fn twist_range(&self, spec: &PolicySpec, method: Method) -> Option<TwistRange> {
        let Method::Policy(role) = method else {
            return None;
        };
        if !spec.observes(&role, Quantity::TwistCommand) {
            return None;
        }
        let network = spec.networks.get(role.as_str())?;
        let limit = self.limit.map(TwistRange::symmetric);
        Some(match (network.twist_range, limit) {
            (Some(trained), Some(limit)) => trained.within(&limit),
            (trained, limit) => trained.or(limit).unwrap_or_default(),
        })
    }
}
