//! The stand-up trajectory: joint targets over time from lying to standing, and back.

use robots::{JointTarget, JointVec, Robot};

use super::{StandUpConfig, crouch::folded_rad};

/// A crouch position that does not fit the robot.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StandUpError {
    /// A wrong number of joints.
    #[error(
        "deploy.stand_up.crouch_position_rad has {found} entries, must have {per_leg} (one leg) or {all} (all joints)"
    )]
    Length {
        /// Entries found.
        found: usize,
        /// Joints of the first leg.
        per_leg: usize,
        /// Joints of the robot.
        all: usize,
    },
    /// A position outside of the limits of the joint.
    #[error(
        "deploy.stand_up.crouch_position_rad puts joint `{joint}` at {value} rad, must be from {lower} to {upper}"
    )]
    Limit {
        /// The joint.
        joint: String,
        /// Position, rad.
        value: f32,
        /// Lower limit, rad.
        lower: f32,
        /// Upper limit, rad.
        upper: f32,
    },
}

/// Blends between the measured, the crouched and the standing pose.
#[derive(Clone, Debug)]
pub(crate) struct StandUpTrajectory {
    crouch_rad: JointVec,
    standing_rad: JointVec,
    start_rad: JointVec,
    config: StandUpConfig,
}

impl StandUpTrajectory {
    pub(crate) fn new(robot: &Robot, config: &StandUpConfig) -> Result<Self, StandUpError> {
        let all = robot.num_joints();
        let per_leg = robot.legs.first().map_or(0, |leg| leg.joints.len());
        let crouch = match config.crouch_position_rad.as_slice() {
            [] => &folded_rad(robot),
            crouch => crouch,
        };
        let found = crouch.len();
        if found != all && (found != per_leg || all != per_leg * robot.num_feet()) {
            return Err(StandUpError::Length {
                found,
                per_leg,
                all,
            });
        }
        let crouch_rad: JointVec = crouch.iter().copied().cycle().take(all).collect();
        for (joint, &value) in robot.joints().zip(&crouch_rad) {
            if !(joint.lower_rad..=joint.upper_rad).contains(&value) {
                return Err(StandUpError::Limit {
                    joint: joint.name.clone(),
                    value,
                    lower: joint.lower_rad,
                    upper: joint.upper_rad,
                });
            }
        }
        let standing_rad: JointVec = robot
            .control
            .standing_position_rad
            .iter()
            .copied()
            .collect();
        Ok(Self {
            start_rad: standing_rad.clone(),
            crouch_rad,
            standing_rad,
            config: config.clone(),
        })
    }

    /// Joint positions with folded legs.
    pub(crate) fn crouch_rad(&self) -> &JointVec {
        &self.crouch_rad
    }

    /// Starts a motion from these joint positions.
    pub(crate) fn start(&mut self, position_rad: &JointVec) {
        self.start_rad.clone_from(position_rad);
    }

    /// Where it was at the start, with the gains of standing up.
    pub(crate) fn hold(&self, target: &mut JointTarget) {
        self.blend(&self.start_rad, &self.start_rad, 0.0, target);
    }

    /// To the crouch, then to the standing pose.
    pub(crate) fn stand_up(&self, elapsed_s: f32, target: &mut JointTarget) {
        let half_s = 0.5 * self.config.stand_up_s;
        if elapsed_s < half_s {
            let fraction = elapsed_s / half_s;
            self.blend(&self.start_rad, &self.crouch_rad, fraction, target);
        } else {
            let fraction = elapsed_s / half_s - 1.0;
            self.blend(&self.crouch_rad, &self.standing_rad, fraction, target);
        }
    }

    /// To the standing pose, which is held.
    pub(crate) fn stand(&self, elapsed_s: f32, target: &mut JointTarget) {
        // After braking, the legs are in the middle of a step.
        let fraction = elapsed_s / 0.5;
        self.blend(&self.start_rad, &self.standing_rad, fraction, target);
    }

    /// To the crouch.
    pub(crate) fn lie_down(&self, elapsed_s: f32, target: &mut JointTarget) {
        let fraction = elapsed_s / self.config.lie_down_s;
        self.blend(&self.start_rad, &self.crouch_rad, fraction, target);
    }

    fn blend(&self, from: &JointVec, to: &JointVec, fraction: f32, target: &mut JointTarget) {
        let fraction = fraction.clamp(0.0, 1.0);
        // Starts and ends at rest.
        let smooth = fraction * fraction * (3.0 - 2.0 * fraction);
        for (index, (from, to)) in from.iter().zip(to).enumerate() {
            target.position_rad[index] = from + smooth * (to - from);
        }
        target.stiffness.fill(self.config.stiffness);
        target.damping.fill(self.config.damping);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> JointTarget {
        let zeros: JointVec = std::iter::repeat_n(0.0, 12).collect();
        JointTarget {
            position_rad: zeros.clone(),
            stiffness: zeros.clone(),
            damping: zeros,
        }
    }

    #[test]
    fn standing_up_leads_through_the_crouch_and_lying_down_ends_in_it() {
        let robot = Robot::load("go2").unwrap();
        let config = StandUpConfig {
            crouch_position_rad: vec![0.0, 1.3, -2.6],
            ..StandUpConfig::default()
        };
        let mut trajectory = StandUpTrajectory::new(&robot, &config).unwrap();
        let lying: JointVec = [0.2, 1.0, -2.0].into_iter().cycle().take(12).collect();
        trajectory.start(&lying);
        let mut target = target();
        let mut at = |elapsed_s| {
            trajectory.stand_up(elapsed_s, &mut target);
            assert_eq!((target.stiffness[3], target.damping[11]), (60.0, 3.0));
            [target.position_rad[0], target.position_rad[11]]
        };
        let standing = [
            robot.control.standing_position_rad[0],
            robot.control.standing_position_rad[11],
        ];
        for (elapsed_s, expected) in [
            (0.0, [0.2, -2.0]),
            // Half way to the crouch.
            (0.5, [0.1, -2.3]),
            (1.0, [0.0, -2.6]),
            (2.0, standing),
            (9.0, standing),
        ] {
            for (found, expected) in at(elapsed_s).into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-6, "{elapsed_s} s: {found}");
            }
        }
        trajectory.lie_down(1.5, &mut target);
        assert_eq!(target.position_rad[11], -2.6);
    }

    #[test]
    fn a_crouch_outside_of_the_joint_limits_is_refused() {
        let robot = Robot::load("go2").unwrap();
        let error = |crouch_position_rad: Vec<f32>| {
            let config = StandUpConfig {
                crouch_position_rad,
                ..StandUpConfig::default()
            };
            StandUpTrajectory::new(&robot, &config)
                .unwrap_err()
                .to_string()
        };
        assert!(error(vec![0.0; 4]).contains("has 4 entries, must have 3 (one leg) or 12"));
        assert!(error(vec![0.0, 1.3, -3.0]).contains("`FL_calf_joint` at -3 rad"));
        assert!(error(vec![0.0, f32::NAN, -2.0]).contains("FL_thigh_joint"));
    }
}
