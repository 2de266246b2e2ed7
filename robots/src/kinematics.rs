//! Forward kinematics. Nothing here allocates, so that the control cycle may use it.

use std::ops::Range;

use arrayvec::ArrayVec;
use nalgebra::{Isometry3, Point3, Translation3, UnitQuaternion, Vector3};

use crate::{
    model::{Joint, Leg, Robot},
    state::{FootVec, MAX_JOINTS},
};

impl Joint {
    /// Pose of the joint's link in the frame of its parent link, at a joint position.
    pub fn pose_in_parent(&self, position_rad: f32) -> Isometry3<f32> {
        let turn = UnitQuaternion::from_axis_angle(&self.axis, position_rad);
        self.origin * Isometry3::from_parts(Translation3::identity(), turn)
    }
}

impl Leg {
    /// Poses of the leg's links in the base frame, from the base outwards.
    /// `joint_position_rad` has one entry per joint of this leg.
    pub fn link_poses_base(
        &self,
        joint_position_rad: &[f32],
    ) -> impl Iterator<Item = Isometry3<f32>> {
        debug_assert_eq!(joint_position_rad.len(), self.joints.len());
        self.joints.iter().zip(joint_position_rad).scan(
            Isometry3::identity(),
            |pose, (joint, &position)| {
                *pose *= joint.pose_in_parent(position);
                Some(*pose)
            },
        )
    }

    /// Centre of the foot in the base frame.
    pub fn foot_position_base(&self, joint_position_rad: &[f32]) -> Point3<f32> {
        let last = self.link_poses_base(joint_position_rad).last();
        last.unwrap_or_else(Isometry3::identity) * self.foot.position
    }

    /// Derivative of [`Leg::foot_position_base`], one column per joint of this leg, m/rad. A force on the foot
    /// in the base frame acts on joint `i` with the torque `column[i] · force`.
    pub fn foot_jacobian_base(
        &self,
        joint_position_rad: &[f32],
    ) -> ArrayVec<Vector3<f32>, MAX_JOINTS> {
        let foot = self.foot_position_base(joint_position_rad);
        self.joints
            .iter()
            .zip(self.link_poses_base(joint_position_rad))
            .map(|(joint, pose)| {
                let lever = foot - Point3::from(pose.translation.vector);
                // The axis is the same before and after the turn about it.
                (pose.rotation * joint.axis.into_inner()).cross(&lever)
            })
            .collect()
    }
}

impl Robot {
    /// The legs, each with the place of its joints in every joint vector.
    pub fn legs_with_joint_range(&self) -> impl Iterator<Item = (&Leg, Range<usize>)> {
        with_joint_range(&self.legs)
    }

    /// Centres of all feet in the base frame. `joint_position_rad` has one entry per joint of the robot.
    pub fn foot_positions_base(&self, joint_position_rad: &[f32]) -> FootVec<Point3<f32>> {
        self.legs_with_joint_range()
            .map(|(leg, range)| leg.foot_position_base(&joint_position_rad[range]))
            .collect()
    }

    /// Height of the base frame over flat ground when the level robot's lowest foot touches it, m.
    /// `joint_position_rad` has one entry per joint of the robot.
    pub fn height_over_feet_m(&self, joint_position_rad: &[f32]) -> f32 {
        height_over_feet_m(&self.legs, joint_position_rad)
    }
}

pub(crate) fn height_over_feet_m(legs: &[Leg], joint_position_rad: &[f32]) -> f32 {
    with_joint_range(legs)
        .map(|(leg, range)| leg.foot.radius - leg.foot_position_base(&joint_position_rad[range]).z)
        .fold(f32::NEG_INFINITY, f32::max)
}

fn with_joint_range(legs: &[Leg]) -> impl Iterator<Item = (&Leg, Range<usize>)> {
    legs.iter().scan(0, |start, leg| {
        let range = *start..*start + leg.joints.len();
        *start = range.end;
        Some((leg, range))
    })
}
