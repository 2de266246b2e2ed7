use arrayvec::ArrayVec;
use nalgebra::{Point3, UnitQuaternion, Vector3};
use serde::{Deserialize, Serialize};

/// Most joints that a robot may have.
pub const MAX_JOINTS: usize = 24;
/// Most feet that a robot may have.
pub const MAX_FEET: usize = 8;

/// One number per joint, without heap allocation.
pub type JointVec = ArrayVec<f32, MAX_JOINTS>;
/// One value per foot, without heap allocation.
pub type FootVec<T> = ArrayVec<T, MAX_FEET>;

/// What is known of the robot in one control cycle, measured or estimated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RobotState {
    /// Base position in the world frame, m.
    pub position_world: Point3<f32>,
    /// Rotation from the base to the world frame.
    pub orientation: UnitQuaternion<f32>,
    /// Linear velocity of the base frame's origin, in the base frame, m/s.
    pub linear_velocity_base: Vector3<f32>,
    /// Angular velocity in the base frame, rad/s.
    pub angular_velocity_base: Vector3<f32>,
    /// Joint positions, rad.
    pub joint_position_rad: JointVec,
    /// Joint velocities, rad/s.
    pub joint_velocity_radps: JointVec,
    /// Joint torques, N·m.
    pub joint_torque_nm: JointVec,
    /// Feet on the ground.
    pub foot_contact: FootVec<bool>,
}

impl RobotState {
    /// At the origin, level, at rest, with zeros for every joint and no contact.
    pub fn zero(num_joints: usize, num_feet: usize) -> Self {
        let zeros: JointVec = std::iter::repeat_n(0.0, num_joints).collect();
        Self {
            position_world: Point3::origin(),
            orientation: UnitQuaternion::identity(),
            linear_velocity_base: Vector3::zeros(),
            angular_velocity_base: Vector3::zeros(),
            joint_position_rad: zeros.clone(),
            joint_velocity_radps: zeros.clone(),
            joint_torque_nm: zeros,
            foot_contact: std::iter::repeat_n(false, num_feet).collect(),
        }
    }

    /// Direction of gravity in the base frame, unit length; (0, 0, -1) when level.
    pub fn projected_gravity_base(&self) -> Vector3<f32> {
        self.orientation.inverse_transform_vector(&-Vector3::z())
    }

    /// Heading of the base in the world frame, rad, in (-pi, pi].
    pub fn yaw_rad(&self) -> f32 {
        let forward = self.orientation * Vector3::x();
        forward.y.atan2(forward.x)
    }
}

/// Position command for all joints, followed by a PD law in the motor controllers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JointTarget {
    /// Joint positions, rad.
    pub position_rad: JointVec,
    /// Stiffness, N·m/rad.
    pub stiffness: JointVec,
    /// Damping, N·m·s/rad.
    pub damping: JointVec,
}
