//! States and odometry that no robot can be in.

use robots::Robot;

use super::super::{FaultConfig, OdometrySample, RobotSample};

/// Fastest rotation and largest specific force that an inertial sensor of a robot measures, rad/s and m/s².
const MAX_ROTATION_RADPS: f32 = 70.0;
const MAX_SPECIFIC_FORCE_MPS2: f32 = 1000.0;
/// A motor may report this many times its effort limit.
const MAX_EFFORT: f32 = 5.0;
/// Messages of this time may arrive at once, s.
const BURST_S: f32 = 0.01;
/// The counter of a robot counts its messages or milliseconds; it may be ahead of the time by this.
const MAX_TICKS_PER_S: f32 = 4000.0;
const MAX_TICKS_AHEAD: f32 = 1000.0;
/// An odometry may correct its place by this without a jump, m.
const MAX_CORRECTION_M: f32 = 0.5;

/// What a robot can do.
#[derive(Clone, Debug)]
pub(super) struct Plausibility {
    velocity_limit_radps: Vec<f32>,
    effort_limit_nm: Vec<f32>,
    config: FaultConfig,
}

impl Plausibility {
    pub(super) fn new(robot: &Robot, config: &FaultConfig) -> Self {
        Self {
            velocity_limit_radps: robot
                .joints()
                .map(|joint| joint.velocity_limit_radps)
                .collect(),
            effort_limit_nm: robot.joints().map(|joint| joint.effort_limit_nm).collect(),
            config: config.clone(),
        }
    }

    /// Whether a robot can be in this state.
    pub(super) fn is_possible(&self, sample: &RobotSample) -> bool {
        let within = |values: &[f32], limits: &[f32], factor: f32| {
            let mut both = values.iter().zip(limits);
            both.all(|(value, limit)| value.abs() <= factor * limit)
        };
        let speed = self.config.plausible_speed;
        within(
            &sample.joint_velocity_radps,
            &self.velocity_limit_radps,
            speed,
        ) && within(&sample.joint_torque_nm, &self.effort_limit_nm, MAX_EFFORT)
            && sample.imu_gyroscope_radps.amax() <= MAX_ROTATION_RADPS
            && sample.imu_accelerometer_mps2.amax() <= MAX_SPECIFIC_FORCE_MPS2
    }

    /// Whether a robot can be in the state `new`, `interval_s` after `old`, of which it can have used `moving_s` to move.
    pub(super) fn follows(
        &self,
        new: &RobotSample,
        old: &RobotSample,
        interval_s: f32,
        moving_s: f32,
    ) -> bool {
        let differ = |new: &[f32], old: &[f32], factor: f32| {
            let mut joints = new.iter().zip(old).zip(&self.velocity_limit_radps);
            joints.any(|((new, old), limit)| (new - old).abs() > factor * limit)
        };
        let speed = self.config.plausible_speed;
        // In no less than two milliseconds a joint changes its speed by as much as it can have.
        let changes = (interval_s / 0.002).max(1.0);
        !differ(
            &new.joint_position_rad,
            &old.joint_position_rad,
            speed * (moving_s + BURST_S),
        ) && !differ(
            &new.joint_velocity_radps,
            &old.joint_velocity_radps,
            speed * changes,
        ) && Self::ticks_follow(new.tick, old.tick, interval_s)
    }

    /// Whether a counter goes on. It wraps.
    fn ticks_follow(new: u32, old: u32, interval_s: f32) -> bool {
        if new == 0 || old == 0 {
            return true;
        }
        let ahead = new.wrapping_sub(old).cast_signed();
        let most = MAX_TICKS_AHEAD + MAX_TICKS_PER_S * interval_s;
        ahead >= 0 && ahead as f32 <= most
    }

    /// Whether an odometry is of frames that are known, and of a robot.
    pub(super) fn is_possible_odometry(&self, odometry: &OdometrySample) -> bool {
        odometry.known_frames
            && odometry.linear_velocity_base.norm() <= self.config.max_odometry_speed_mps
    }

    /// Whether an odometry can be at the place of `new`, `interval_s` after `old`.
    pub(super) fn odometry_follows(
        &self,
        new: &OdometrySample,
        old: &OdometrySample,
        interval_s: f32,
    ) -> bool {
        let moved_m = (new.position_world - old.position_world).norm();
        moved_m <= MAX_CORRECTION_M + self.config.max_odometry_speed_mps * (interval_s + BURST_S)
    }
}
