use serde::{Deserialize, Serialize};

use super::{DriveConfig, IdentifyConfig};
use crate::{Method, SettingError, safety::check_ranges};

/// Settings of the control on a robot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeployConfig {
    /// What controls the robot while it runs.
    pub method: Method,
    /// The stand-up trajectory, standing and lying down.
    pub stand_up: StandUpConfig,
    /// Bounds of the faults.
    pub faults: FaultConfig,
    /// The state estimate.
    pub estimator: EstimatorConfig,
    /// The control thread.
    pub realtime: RealtimeConfig,
    /// How keys and sticks drive the robot.
    pub drive: DriveConfig,
    /// How the motors are driven to be identified.
    pub identify: IdentifyConfig,
}

impl Default for DeployConfig {
    fn default() -> Self {
        Self {
            method: Method::Abs,
            stand_up: StandUpConfig::default(),
            faults: FaultConfig::default(),
            estimator: EstimatorConfig::default(),
            realtime: RealtimeConfig::default(),
            drive: DriveConfig::default(),
            identify: IdentifyConfig::default(),
        }
    }
}

/// The stand-up trajectory, standing and lying down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StandUpConfig {
    /// Joint positions with folded legs, between lying and standing, rad: one per joint of a leg, for all legs, or one per
    /// joint of the robot. Without any, the legs fold below the hips as far as the joints allow.
    pub crouch_position_rad: Vec<f32>,
    /// Stiffness of all joints, N·m/rad.
    pub stiffness: f32,
    /// Damping of all joints, N·m·s/rad.
    pub damping: f32,
    /// Probe the motors before the robot stands up for the first time, and after a fault: each in turn is led by up to 0.3
    /// rad towards the middle of its range, until its joint has moved by 0.03 rad. If another moves instead, or none, the
    /// robot does not stand up (F25). Takes about 3 s; skipped in a dry run. For a robot on a stand: where the feet carry
    /// weight, other joints may give way more than the one that is led.
    pub probe_motors: bool,
    /// Time to stand up, s: half of it to the crouch, half to the standing pose.
    pub stand_up_s: f32,
    /// Time to brake, s.
    pub stop_s: f32,
    /// Time to lie down, s.
    pub lie_down_s: f32,
}

impl Default for StandUpConfig {
    fn default() -> Self {
        Self {
            crouch_position_rad: Vec::new(),
            stiffness: 60.0,
            damping: 3.0,
            probe_motors: false,
            stand_up_s: 2.0,
            stop_s: 0.6,
            lie_down_s: 1.5,
        }
    }
}

/// Bounds of the faults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaultConfig {
    /// Oldest state of the robot, s.
    pub state_timeout_s: f32,
    /// Oldest ray scan, s.
    pub rays_timeout_s: f32,
    /// Oldest odometry, s.
    pub odometry_timeout_s: f32,
    /// Oldest heartbeat of the threads that talk to the robot, s.
    pub link_timeout_s: f32,
    /// Oldest heartbeat of an operator who has given one, s.
    pub operator_timeout_s: f32,
    /// Largest angle between the base's z axis and the vertical, rad.
    pub max_tilt_rad: f32,
    /// A joint may be this far beyond its position limit, rad: the stops of a robot give way.
    pub joint_margin_rad: f32,
    /// A joint that stays beyond its position limit by more than this makes the robot brake, rad.
    pub soft_joint_margin_rad: f32,
    /// States in which a joint is faster than this many times its velocity limit are not believed.
    pub plausible_speed: f32,
    /// While the robot stands up or stands, a joint may be this far from its target, rad.
    pub max_following_error_rad: f32,
    /// An odometry that is faster, or that jumps farther than this explains, is not believed, m/s.
    pub max_odometry_speed_mps: f32,
    /// Hottest motor, °C.
    pub max_motor_temperature_c: f32,
    /// Lowest state of charge, %.
    pub min_battery_percent: f32,
    /// Most missed cycles. One is forgiven for every twenty punctual ones.
    pub max_missed_cycles: f32,
    /// Farthest goal, m.
    pub max_goal_m: f32,
}

impl Default for FaultConfig {
    fn default() -> Self {
        Self {
            state_timeout_s: 0.02,
            rays_timeout_s: 0.3,
            odometry_timeout_s: 0.3,
            link_timeout_s: 0.03,
            operator_timeout_s: 1.0,
            max_tilt_rad: 1.0,
            joint_margin_rad: 0.3,
            soft_joint_margin_rad: 0.2,
            plausible_speed: 2.0,
            max_following_error_rad: 0.5,
            max_odometry_speed_mps: 8.0,
            max_motor_temperature_c: 85.0,
            min_battery_percent: 10.0,
            max_missed_cycles: 10.0,
            max_goal_m: 10.0,
        }
    }
}

/// The state estimate. Noise is given as one standard deviation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EstimatorConfig {
    /// Reading of the foot sensor above which the foot is in contact, in the sensor's unit.
    pub foot_sensor_threshold: f32,
    /// Without foot sensors: vertical force of the joint torques above which the foot is in contact, N.
    pub foot_force_n: f32,
    /// Noise density of the acceleration, m/s²/√Hz.
    pub accelerometer: f32,
    /// Random walk of a foot on the ground, m/√s.
    pub foot_slip: f32,
    /// Random walk of the horizontal position, m/√s; the larger, the faster the estimate follows an odometry.
    pub drift: f32,
    /// Noise of the foot positions from the joint positions, m.
    pub foot_position_m: f32,
    /// Noise of the foot velocities from the joint velocities, m/s.
    pub foot_velocity_mps: f32,
    /// Unevenness of the ground, m.
    pub ground_height_m: f32,
    /// Noise of the odometry's position, m.
    pub odometry_position_m: f32,
    /// Noise of the odometry's velocity, m/s.
    pub odometry_velocity_mps: f32,
    /// Time constant with which the heading follows the odometry, s.
    pub odometry_heading_s: f32,
}

impl Default for EstimatorConfig {
    fn default() -> Self {
        Self {
            foot_sensor_threshold: 10.0,
            foot_force_n: 15.0,
            accelerometer: 0.1,
            foot_slip: 0.05,
            drift: 0.1,
            foot_position_m: 0.005,
            foot_velocity_mps: 0.2,
            ground_height_m: 0.03,
            odometry_position_m: 0.05,
            odometry_velocity_mps: 0.1,
            odometry_heading_s: 0.5,
        }
    }
}

/// The control thread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RealtimeConfig {
    /// SCHED_FIFO priority, 1 to 99; 0 for no real-time priority.
    pub priority: u8,
    /// Lock all memory of the program.
    pub lock_memory: bool,
}

impl Default for RealtimeConfig {
    fn default() -> Self {
        Self {
            priority: 80,
            lock_memory: true,
        }
    }
}

impl DeployConfig {
    /// Checks every setting that does not depend on the robot.
    ///
    /// # Errors
    /// The first that is out of range.
    pub fn validate(&self) -> Result<(), SettingError> {
        let Self {
            stand_up,
            faults,
            estimator,
            realtime,
            drive,
            identify,
            ..
        } = self;
        drive.validate()?;
        identify.validate()?;
        // The longest timeouts still give the defined command within 40 ms where the robot could fall.
        check_ranges(&[
            ("deploy.stand_up.stiffness", stand_up.stiffness, 1.0, 500.0),
            ("deploy.stand_up.damping", stand_up.damping, 0.5, 50.0),
            ("deploy.stand_up.stand_up_s", stand_up.stand_up_s, 0.5, 60.0),
            ("deploy.stand_up.stop_s", stand_up.stop_s, 0.0, 5.0),
            ("deploy.stand_up.lie_down_s", stand_up.lie_down_s, 0.5, 60.0),
            (
                "deploy.faults.state_timeout_s",
                faults.state_timeout_s,
                0.004,
                0.036,
            ),
            (
                "deploy.faults.rays_timeout_s",
                faults.rays_timeout_s,
                0.02,
                5.0,
            ),
            (
                "deploy.faults.odometry_timeout_s",
                faults.odometry_timeout_s,
                0.02,
                5.0,
            ),
            (
                "deploy.faults.link_timeout_s",
                faults.link_timeout_s,
                0.004,
                0.036,
            ),
            (
                "deploy.faults.operator_timeout_s",
                faults.operator_timeout_s,
                0.02,
                60.0,
            ),
            ("deploy.faults.max_tilt_rad", faults.max_tilt_rad, 0.1, 3.2),
            (
                "deploy.faults.joint_margin_rad",
                faults.joint_margin_rad,
                0.0,
                1.0,
            ),
            (
                "deploy.faults.soft_joint_margin_rad",
                faults.soft_joint_margin_rad,
                0.0,
                1.0,
            ),
            (
                "deploy.faults.plausible_speed",
                faults.plausible_speed,
                1.2,
                10.0,
            ),
            (
                "deploy.faults.max_following_error_rad",
                faults.max_following_error_rad,
                0.1,
                2.0,
            ),
            (
                "deploy.faults.max_odometry_speed_mps",
                faults.max_odometry_speed_mps,
                1.0,
                50.0,
            ),
            (
                "deploy.faults.max_motor_temperature_c",
                faults.max_motor_temperature_c,
                20.0,
                150.0,
            ),
            (
                "deploy.faults.min_battery_percent",
                faults.min_battery_percent,
                0.0,
                100.0,
            ),
            (
                "deploy.faults.max_missed_cycles",
                faults.max_missed_cycles,
                1.0,
                1e6,
            ),
            ("deploy.faults.max_goal_m", faults.max_goal_m, 0.1, 1000.0),
            (
                "deploy.estimator.foot_sensor_threshold",
                estimator.foot_sensor_threshold,
                0.0,
                1e4,
            ),
            (
                "deploy.estimator.foot_force_n",
                estimator.foot_force_n,
                0.0,
                1e4,
            ),
            (
                "deploy.estimator.accelerometer",
                estimator.accelerometer,
                1e-4,
                100.0,
            ),
            (
                "deploy.estimator.foot_slip",
                estimator.foot_slip,
                1e-4,
                10.0,
            ),
            ("deploy.estimator.drift", estimator.drift, 0.0, 10.0),
            (
                "deploy.estimator.foot_position_m",
                estimator.foot_position_m,
                1e-4,
                1.0,
            ),
            (
                "deploy.estimator.foot_velocity_mps",
                estimator.foot_velocity_mps,
                1e-4,
                10.0,
            ),
            (
                "deploy.estimator.ground_height_m",
                estimator.ground_height_m,
                1e-4,
                10.0,
            ),
            (
                "deploy.estimator.odometry_position_m",
                estimator.odometry_position_m,
                1e-4,
                10.0,
            ),
            (
                "deploy.estimator.odometry_velocity_mps",
                estimator.odometry_velocity_mps,
                1e-4,
                10.0,
            ),
            (
                "deploy.estimator.odometry_heading_s",
                estimator.odometry_heading_s,
                0.0,
                60.0,
            ),
            (
                "deploy.realtime.priority",
                f32::from(realtime.priority),
                0.0,
                99.0,
            ),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_a_wrong_setting_is_named() {
        let mut config = DeployConfig::default();
        assert_eq!(config.validate(), Ok(()));
        config.faults.state_timeout_s = 0.05;
        assert_eq!(
            config.validate().unwrap_err().to_string(),
            "deploy.faults.state_timeout_s is 0.05, must be from 0.004 to 0.036"
        );
        config.faults.state_timeout_s = f32::NAN;
        assert!(config.validate().is_err());
    }
}
