//! The state of a simulated robot, and what in it is a collision.

use std::ops::Range;

use nalgebra::{Point3, UnitQuaternion, Vector3};
use robots::{ContactClass, FootVec, JointVec, Leg, Robot, RobotState};

/// No robot is as fast, m/s.
const FASTEST_MPS: f32 = 100.0;
/// Force above which a body touches something, and a foot sensor reports contact, N.
pub(crate) const CONTACT_FORCE_N: f32 = 1.0;
/// Excess of a foot's horizontal force over twice its vertical force above which it is pushed sideways, N.
const FOOT_HORIZONTAL_EXCESS_N: f32 = 10.0;

/// Whether a foot is pushed sideways by a force, world frame, N.
pub(crate) fn is_pushed_sideways(foot_force_world: &Vector3<f32>) -> bool {
    let excess_n = foot_force_world.xy().norm() - 2.0 * foot_force_world.z.abs();
    excess_n > FOOT_HORIZONTAL_EXCESS_N
}

/// A body that takes part in a collision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CollidingBody {
    /// Its class.
    pub(crate) class: ContactClass,
    /// Index of the leg of a thigh or calf.
    pub(crate) leg: Option<usize>,
}

impl CollidingBody {
    /// Name of the body, e.g. `base`, `FL thigh`.
    pub(crate) fn name(&self, robot: &Robot) -> String {
        let class = self.class.name();
        match self.leg.and_then(|leg| robot.legs.get(leg)) {
            Some(leg) => format!("{} {class}", leg.name),
            None => class.to_owned(),
        }
    }
}

/// State of one robot after a policy step, or within one. Contact entries cover the whole policy step as far as it has come,
/// so that a touch between two policy steps is not missed.
#[derive(Clone, Debug, PartialEq)]
pub struct PhysicsState {
    /// Base position in the world frame, m.
    pub position_world: Point3<f32>,
    /// Rotation from the base to the world frame.
    pub orientation: UnitQuaternion<f32>,
    /// Velocity of the base frame's origin, world frame, m/s.
    pub linear_velocity_world: Vector3<f32>,
    /// Angular velocity, world frame, rad/s.
    pub angular_velocity_world: Vector3<f32>,
    /// Joint positions, rad.
    pub joint_position_rad: JointVec,
    /// Joint velocities, rad/s.
    pub joint_velocity_radps: JointVec,
    /// Motor torques of the last physics step, offset and noise included, N·m.
    pub joint_torque_nm: JointVec,
    /// Contact force on each foot in the last physics step, world frame, N.
    pub foot_force_world: FootVec<Vector3<f32>>,
    /// Largest value in this policy step of (horizontal force - 2 * vertical force) over all feet, N.
    pub foot_horizontal_excess_n: f32,
    /// Largest force on a shape of class `Base` in this policy step, N.
    pub base_force_n: f32,
    /// Largest force on the `Thigh` shapes of each leg in this policy step, N.
    pub thigh_force_n: FootVec<f32>,
    /// Largest force on the `Calf` shapes of each leg in this policy step, N.
    pub calf_force_n: FootVec<f32>,
}

impl PhysicsState {
    /// At the origin, at rest, touching nothing.
    pub fn zero(robot: &Robot) -> Self {
        let joints: JointVec = std::iter::repeat_n(0.0, robot.num_joints()).collect();
        let feet: FootVec<f32> = std::iter::repeat_n(0.0, robot.num_feet()).collect();
        Self {
            position_world: Point3::origin(),
            orientation: UnitQuaternion::identity(),
            linear_velocity_world: Vector3::zeros(),
            angular_velocity_world: Vector3::zeros(),
            joint_position_rad: joints.clone(),
            joint_velocity_radps: joints.clone(),
            joint_torque_nm: joints,
            foot_force_world: std::iter::repeat_n(Vector3::zeros(), robot.num_feet()).collect(),
            foot_horizontal_excess_n: 0.0,
            base_force_n: 0.0,
            thigh_force_n: feet.clone(),
            calf_force_n: feet,
        }
    }

    /// Whether positions and velocities are numbers, and such as a robot may have: a simulation that has come apart counts as
    /// failed before it gets to infinity.
    pub fn is_finite(&self) -> bool {
        if self.linear_velocity_world.norm() > FASTEST_MPS {
            return false;
        }
        let parts: [&[f32]; 6] = [
            self.position_world.coords.as_slice(),
            self.orientation.coords.as_slice(),
            self.linear_velocity_world.as_slice(),
            self.angular_velocity_world.as_slice(),
            &self.joint_position_rad,
            &self.joint_velocity_radps,
        ];
        parts
            .iter()
            .all(|part| part.iter().all(|value| value.is_finite()))
    }

    /// Position and velocity of the lowest point of a foot, world frame, m and m/s. `range` are the joints of its leg.
    pub(crate) fn foot_sole_world(
        &self,
        leg: &Leg,
        range: Range<usize>,
    ) -> (Point3<f32>, Vector3<f32>) {
        let position_rad = &self.joint_position_rad[range.clone()];
        let velocity_radps = &self.joint_velocity_radps[range];
        let to_world = self.orientation;
        let foot_base = leg.foot_position_base(position_rad);
        let down = Vector3::new(0.0, 0.0, -leg.foot.radius);
        let point_base = foot_base + to_world.inverse_transform_vector(&down);
        let mut relative_base = Vector3::zeros();
        let poses = leg.link_poses_base(position_rad);
        for ((joint, pose), velocity_radps) in leg.joints.iter().zip(poses).zip(velocity_radps) {
            // The axis is the same before and after the turn about it.
            let axis = pose.rotation * joint.axis.into_inner();
            let lever = point_base.coords - pose.translation.vector;
            relative_base += axis.cross(&lever) * *velocity_radps;
        }
        let arm_world = to_world * point_base.coords;
        let velocity = self.linear_velocity_world
            + self.angular_velocity_world.cross(&arm_world)
            + to_world * relative_base;
        (self.position_world + arm_world, velocity)
    }

    /// Whether the base touches something.
    pub(crate) fn base_touches(&self) -> bool {
        self.base_force_n > CONTACT_FORCE_N
    }

    /// Whether a foot is pushed sideways.
    pub(crate) fn foot_is_pushed(&self) -> bool {
        self.foot_horizontal_excess_n > FOOT_HORIZONTAL_EXCESS_N
    }

    /// Whether any foot touches something after the last physics step.
    pub(crate) fn any_foot_touches(&self) -> bool {
        let mut forces = self.foot_force_world.iter();
        forces.any(|force| force.norm() > CONTACT_FORCE_N)
    }

    /// The first body in a collision: any contact on base, thigh or calf, or a sideways push on a foot (docs/concepts/evaluation.md).
    pub(crate) fn collision(&self) -> Option<CollidingBody> {
        let body = |class, leg| Some(CollidingBody { class, leg });
        if self.base_touches() {
            return body(ContactClass::Base, None);
        }
        for (class, forces_n) in [
            (ContactClass::Thigh, &self.thigh_force_n),
            (ContactClass::Calf, &self.calf_force_n),
        ] {
            let leg = forces_n.iter().position(|force| *force > CONTACT_FORCE_N);
            if leg.is_some() {
                return body(class, leg);
            }
        }
        self.foot_is_pushed().then_some(CollidingBody {
            class: ContactClass::Foot,
            leg: None,
        })
    }

    /// Expresses the state as the robot would measure it without error.
    pub fn write_robot_state(&self, state: &mut RobotState) {
        state.position_world = self.position_world;
        state.orientation = self.orientation;
        state.linear_velocity_base = self
            .orientation
            .inverse_transform_vector(&self.linear_velocity_world);
        state.angular_velocity_base = self
            .orientation
            .inverse_transform_vector(&self.angular_velocity_world);
        state
            .joint_position_rad
            .clone_from(&self.joint_position_rad);
        state
            .joint_velocity_radps
            .clone_from(&self.joint_velocity_radps);
        state.joint_torque_nm.clone_from(&self.joint_torque_nm);
        for (contact, force) in state.foot_contact.iter_mut().zip(&self.foot_force_world) {
            *contact = force.norm() > CONTACT_FORCE_N;
        }
    }
}
