//! What a policy was trained to drive.

use robots::Robot;
use serde::{Deserialize, Serialize};

use super::SpecError;

/// The robot of a policy: all that its actions and observations depend on. Vectors over joints are in the order of `joints`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RobotSpec {
    /// Name of the robot.
    pub name: String,
    /// Names of the legs, in the order of every vector over feet.
    pub legs: Vec<String>,
    /// Names of the joints, leg by leg.
    pub joints: Vec<String>,
    /// Joint positions that action zero stands for, rad.
    pub default_position_rad: Vec<f32>,
    /// Stiffness, N·m/rad.
    pub stiffness: Vec<f32>,
    /// Damping, N·m·s/rad.
    pub damping: Vec<f32>,
    /// Effort limits, N·m.
    pub effort_limit_nm: Vec<f32>,
}

impl From<&Robot> for RobotSpec {
    fn from(robot: &Robot) -> Self {
        let control = &robot.control;
        Self {
            name: robot.name.clone(),
            legs: robot.legs.iter().map(|leg| leg.name.clone()).collect(),
            joints: robot.joints().map(|joint| joint.name.clone()).collect(),
            default_position_rad: control.default_position_rad.clone(),
            stiffness: control.stiffness.clone(),
            damping: control.damping.clone(),
            effort_limit_nm: robot.joints().map(|joint| joint.effort_limit_nm).collect(),
        }
    }
}

impl RobotSpec {
    /// Whether this is the robot at hand.
    ///
    /// # Errors
    /// The first thing in which the two differ, with both values.
    pub fn check(&self, robot: &Robot) -> Result<(), SpecError> {
        let found = Self::from(robot);
        let differs = |what: String, trained: &dyn ToString, found: &dyn ToString| {
            Err(SpecError::Differs {
                what,
                trained: trained.to_string(),
                found: found.to_string(),
            })
        };
        if self.name != found.name {
            return differs("robot".into(), &self.name, &found.name);
        }
        for (what, trained, found) in [
            ("legs", &self.legs, &found.legs),
            ("joints", &self.joints, &found.joints),
        ] {
            if trained != found {
                return differs(what.into(), &trained.join(", "), &found.join(", "));
            }
        }
        for (what, trained, found) in [
            (
                "default_position_rad",
                &self.default_position_rad,
                &found.default_position_rad,
            ),
            ("stiffness", &self.stiffness, &found.stiffness),
            ("damping", &self.damping, &found.damping),
            (
                "effort_limit_nm",
                &self.effort_limit_nm,
                &found.effort_limit_nm,
            ),
        ] {
            for ((joint, trained), found) in self.joints.iter().zip(trained).zip(found) {
                // Numbers written by hand are rounded.
                if (trained - found).abs() > 1e-4 * trained.abs().max(1.0) {
                    return differs(format!("{what} of {joint}"), trained, found);
                }
            }
        }
        Ok(())
    }

    /// Every vector has an entry per joint, and is finite.
    pub(super) fn validate(&self) -> Result<(), SpecError> {
        for (what, values) in [
            ("default_position_rad", &self.default_position_rad),
            ("stiffness", &self.stiffness),
            ("damping", &self.damping),
            ("effort_limit_nm", &self.effort_limit_nm),
        ] {
            if values.len() != self.joints.len() {
                return Err(SpecError::Length {
                    what,
                    found: values.len(),
                    expected: self.joints.len(),
                });
            }
            let wrong = |value: &&f32| {
                !value.is_finite() || (what != "default_position_rad" && **value < 0.0)
            };
            if let Some(&value) = values.iter().find(wrong) {
                return Err(SpecError::Value {
                    what: format!("robot.{what}"),
                    value,
                    right: "finite, and gains and limits 0 or more",
                });
            }
        }
        if self.legs.is_empty()
            || self.joints.is_empty()
            || self.legs.len() > robots::MAX_FEET
            || self.joints.len() > robots::MAX_JOINTS
        {
            return Err(SpecError::Size {
                legs: self.legs.len(),
                joints: self.joints.len(),
            });
        }
        Ok(())
    }
}
