//! What a robot measures.

use controller::deploy::RobotSample;
use nalgebra::{UnitQuaternion, Vector3};
use rand::RngExt;
use robots::JointVec;
use sim::{
    engine::PhysicsState,
    random::{Stream, stream},
};

const GRAVITY_MPS2: f32 = 9.81;

/// What a robot like Go1 measures of a simulated one: each number with noise, the IMU's angles with errors that stay.
pub struct Sensors {
    stream: Stream,
    foot_sensors: bool,
    velocity_world: Vector3<f32>,
    heading_drift_rad: f32,
}

impl Sensors {
    /// Foot sensors that do not work show 0.
    pub fn new(foot_sensors: bool, seed: u64) -> Self {
        Self {
            stream: stream(seed, 0),
            foot_sensors,
            velocity_world: Vector3::zeros(),
            heading_drift_rad: 0.0,
        }
    }

    /// Normal noise, nearly: the sum of twelve uniform numbers.
    fn noise(&mut self, deviation: f32) -> f32 {
        let sum: f32 = (0..12)
            .map(|_| self.stream.random_range(-0.5..0.5f32))
            .sum();
        deviation * sum
    }

    fn noise3(&mut self, deviation: f32) -> Vector3<f32> {
        Vector3::from_fn(|_, _| self.noise(deviation))
    }

    fn noisy(&mut self, values: &JointVec, deviation: f32) -> JointVec {
        values
            .iter()
            .map(|value| value + self.noise(deviation))
            .collect()
    }

    /// `step_s` after the last sample.
    pub fn sample(&mut self, truth: &PhysicsState, step_s: f32) -> RobotSample {
        let acceleration = (truth.linear_velocity_world - self.velocity_world) / step_s;
        self.velocity_world = truth.linear_velocity_world;
        let to_base = truth.orientation.inverse();
        let force_base = to_base * (acceleration + Vector3::z() * GRAVITY_MPS2);
        // Half a degree of tilt that is always wrong, and a heading that drifts by 0.1 degrees per second.
        self.heading_drift_rad += 0.0017 * step_s;
        let wrong = UnitQuaternion::from_euler_angles(0.006, -0.006, 0.0);
        let drift = UnitQuaternion::from_axis_angle(&Vector3::z_axis(), self.heading_drift_rad);
        let jitter = UnitQuaternion::from_scaled_axis(self.noise3(0.003));
        let imu = drift * truth.orientation * wrong * jitter;
        let foot_force = truth
            .foot_force_world
            .iter()
            .map(|force| if self.foot_sensors { force.norm() } else { 0.0 });
        RobotSample {
            foot_force: foot_force.collect(),
            joint_position_rad: self.noisy(&truth.joint_position_rad, 0.002),
            joint_velocity_radps: self.noisy(&truth.joint_velocity_radps, 0.1),
            joint_torque_nm: self.noisy(&truth.joint_torque_nm, 0.3),
            imu_orientation_wxyz: [imu.w, imu.i, imu.j, imu.k],
            imu_gyroscope_radps: to_base * truth.angular_velocity_world + self.noise3(0.02),
            imu_accelerometer_mps2: force_base + self.noise3(0.2) + Vector3::new(0.05, -0.05, 0.1),
            ..RobotSample::default()
        }
    }
}
