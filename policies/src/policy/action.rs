//! From the action of a policy to the joint target of the robot.

use robots::{JointTarget, JointVec, Robot};

/// Bound on the absolute actions of the policies trained here. Far more than a policy needs, but without it a large action that is observed as
/// previous action can grow without bound.
pub const ACTION_CLIP: f32 = 10.0;

/// The map from actions to joint targets, the same in simulation and on the robot:
/// target = default joint position + action scale * clipped action.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionMap {
    default_position_rad: JointVec,
    scale: f32,
    clip: f32,
}

impl ActionMap {
    /// For a policy with this default pose, rad, action scale, rad, and bound on the absolute action.
    pub fn new(default_position_rad: &[f32], scale: f32, clip: f32) -> Self {
        Self {
            default_position_rad: default_position_rad.iter().copied().collect(),
            scale,
            clip,
        }
    }

    /// Writes joint positions, rad, and clips `action` in place: the clipped action is what the policy observes as
    /// its previous action. NaN stays NaN.
    ///
    /// # Panics
    /// When a slice is not one element per joint.
    pub fn apply(&self, action: &mut [f32], position_rad: &mut [f32]) {
        assert_eq!(
            action.len(),
            self.default_position_rad.len(),
            "number of actions"
        );
        assert_eq!(position_rad.len(), action.len(), "number of joint targets");
        for ((target, action), default_rad) in position_rad
            .iter_mut()
            .zip(action)
            .zip(&self.default_position_rad)
        {
            *action = action.clamp(-self.clip, self.clip);
            *target = default_rad + self.scale * *action;
        }
    }
}

/// The default pose, held with the robot's gains: what action zero stands for.
pub fn default_target(robot: &Robot) -> JointTarget {
    let joints = |values: &[f32]| values.iter().copied().collect::<JointVec>();
    JointTarget {
        position_rad: joints(&robot.control.default_position_rad),
        stiffness: joints(&robot.control.stiffness),
        damping: joints(&robot.control.damping),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn go1() -> Robot {
        Robot::load("go1").unwrap()
    }

    #[test]
    fn actions_are_clipped_scaled_and_added_to_the_default_posture() {
        let robot = go1();
        let map = ActionMap::new(&robot.control.default_position_rad, 0.25, ACTION_CLIP);
        let mut action = [0.0; 12];
        action[..4].copy_from_slice(&[1.0, -2.0, 100.0, f32::NEG_INFINITY]);
        let mut target = default_target(&robot).position_rad;
        map.apply(&mut action, &mut target);
        assert_eq!(action[..4], [1.0, -2.0, 10.0, -10.0]);
        let expected = [0.25, 0.8 - 0.5, -1.5 + 2.5, -2.5, 0.8, -1.5];
        for (actual, expected) in target.iter().zip(expected) {
            assert!((actual - expected).abs() < 1e-6, "{target:?}");
        }
    }

    #[test]
    fn nan_is_not_clipped_away() {
        let robot = go1();
        let mut action = [0.0; 12];
        action[5] = f32::NAN;
        let mut target = [0.0; 12];
        ActionMap::new(&robot.control.default_position_rad, 0.25, ACTION_CLIP)
            .apply(&mut action, &mut target);
        assert!(action[5].is_nan() && target[5].is_nan());
    }
}
