//! The folded legs of a robot that lies: between lying and standing, whichever way its knees bend.

use nalgebra::{Matrix3, Vector3};
use robots::{JointVec, Leg, Robot};

/// How much of a leg's length is left between its first joint and its foot.
const FOLDED: f32 = 0.27;
/// Distance to the position limits that the joints keep, rad.
const MARGIN_RAD: f32 = 0.05;
const STEP_M: f32 = 0.005;
const MAX_ERROR_M: f32 = 1e-4;

/// Joint positions with every foot straight above where it is when the robot stands, as far up as the joints allow. Since the
/// feet get there step by step from the standing pose, no knee passes through the straight leg.
pub(super) fn folded_rad(robot: &Robot) -> JointVec {
    let standing_rad = &robot.control.standing_position_rad;
    let height_m = FOLDED * robot.leg_length_m();
    robot
        .legs_with_joint_range()
        .flat_map(|(leg, range)| fold(leg, &standing_rad[range], height_m))
        .collect()
}

fn fold(leg: &Leg, standing_rad: &[f32], height_m: f32) -> JointVec {
    let mut folded_rad: JointVec = standing_rad.iter().copied().collect();
    let hip_m = leg.link_poses_base(standing_rad).next();
    let hip_m = hip_m.map_or(0.0, |pose| pose.translation.z);
    let mut target = leg.foot_position_base(standing_rad);
    while hip_m - target.z > height_m {
        target.z += STEP_M.min(hip_m - target.z - height_m).max(1e-6);
        let mut next_rad = folded_rad.clone();
        for _ in 0..5 {
            let error = target - leg.foot_position_base(&next_rad);
            move_foot(leg, &mut next_rad, &error);
        }
        let error_m = (target - leg.foot_position_base(&next_rad)).norm();
        let is_within = leg.joints.iter().zip(&next_rad).all(|(joint, rad)| {
            (joint.lower_rad + MARGIN_RAD..=joint.upper_rad - MARGIN_RAD).contains(rad)
        });
        if error_m > MAX_ERROR_M || !is_within {
            break;
        }
        folded_rad = next_rad;
    }
    folded_rad
}

/// One step of damped least squares.
fn move_foot(leg: &Leg, position_rad: &mut JointVec, by_m: &Vector3<f32>) {
    let jacobian = leg.foot_jacobian_base(position_rad);
    let squares: Matrix3<f32> = jacobian.iter().map(|c| c * c.transpose()).sum();
    let damped = squares + Matrix3::identity() * 1e-6;
    let Some(inverse) = damped.try_inverse() else {
        return;
    };
    let force = inverse * by_m;
    for (position_rad, column) in position_rad.iter_mut().zip(&jacobian) {
        *position_rad += column.dot(&force);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legs_fold_below_the_hips_whichever_way_the_knees_bend() {
        for (name, knees) in [
            ("go1", [-2.6; 4]),
            ("go2", [-2.6; 4]),
            ("anymal_b", [-2.35, -2.35, 2.35, 2.35]),
        ] {
            let robot = Robot::load(name).unwrap();
            let folded_rad = folded_rad(&robot);
            let standing_rad = &robot.control.standing_position_rad;
            let feet = |position_rad: &[f32]| robot.foot_positions_base(position_rad);
            for (lying, standing) in feet(&folded_rad).iter().zip(feet(standing_rad)) {
                assert!((lying - standing).xy().norm() < 2e-3, "{name}");
                assert!(lying.z > standing.z + 0.1, "{name}: {lying}");
            }
            for (leg, knee_rad) in knees.into_iter().enumerate() {
                let found_rad = folded_rad[3 * leg + 2];
                assert!((found_rad - knee_rad).abs() < 0.1, "{name}: {found_rad}");
            }
            for (joint, rad) in robot.joints().zip(&folded_rad) {
                assert!((joint.lower_rad..=joint.upper_rad).contains(rad), "{name}");
            }
        }
    }
}
