//! Detection of faults.

use policies::RaySpec;
use robots::{Robot, RobotState};

use super::{
    super::{CycleInput, FaultConfig, GoalSample, OdometrySample, RobotSample, ScanSample, State},
    Fault, FaultSet,
};

/// Punctual cycles that make up for a missed one.
const CYCLES_PER_MISSED: f32 = 20.0;

/// Decides which samples are usable, and detects faults. Depends on nothing but its inputs.
#[derive(Clone, Debug)]
pub(in crate::deploy) struct Monitor {
    num_joints: usize,
    num_feet: usize,
    num_rays: usize,
    /// Rays that the depth ray predictor gives, where there is one.
    num_depth_rays: Option<usize>,
    /// Range of each joint, margin included, rad.
    joint_range_rad: Vec<[f32; 2]>,
    config: FaultConfig,
    time_ns: u64,
    /// The newest usable state of the robot.
    sample: RobotSample,
    /// Reception of the newest state, usable or not, ns.
    seen_ns: u64,
    /// Reception of the newest state that differs from the one before, ns; 0 for never.
    fresh_ns: u64,
    /// The newest state has a wrong checksum.
    wrong_crc: bool,
    /// Faults of the newest state.
    unusable: FaultSet,
    missed: f32,
}

impl Monitor {
    pub(in crate::deploy) fn new(
        robot: &Robot,
        rays: &RaySpec,
        num_depth_rays: Option<usize>,
        config: &FaultConfig,
    ) -> Self {
        let range = |joint: &robots::Joint| {
            let margin_rad = config.joint_margin_rad;
            [joint.lower_rad - margin_rad, joint.upper_rad + margin_rad]
        };
        Self {
            num_joints: robot.num_joints(),
            num_feet: robot.num_feet(),
            num_rays: rays.count,
            num_depth_rays,
            joint_range_rad: robot.joints().map(range).collect(),
            config: config.clone(),
            time_ns: 0,
            sample: RobotSample::default(),
            seen_ns: 0,
            fresh_ns: 0,
            wrong_crc: false,
            unusable: FaultSet::NONE,
            missed: 0.0,
        }
    }

    /// The newest usable state of the robot.
    pub(in crate::deploy) fn sample(&self) -> &RobotSample {
        &self.sample
    }

    /// Takes a state of the robot; the time since the one before if it is new and usable, s. Of a robot without a counter,
    /// a state that equals the one before is only a fault while it runs.
    pub(in crate::deploy) fn take(&mut self, new: &RobotSample, state: State) -> Option<f32> {
        if new.received_ns == self.seen_ns {
            return None;
        }
        self.seen_ns = new.received_ns;
        self.wrong_crc = !new.crc_ok;
        if self.wrong_crc {
            return None;
        }
        self.unusable = self.unusable_for(new);
        if !self.unusable.is_empty() {
            return None;
        }
        let old = &self.sample;
        let frozen = self.fresh_ns > 0
            && new.tick == old.tick
            && (new.tick != 0 || (state == State::Run && same_measurement(new, old)));
        if frozen {
            return None;
        }
        let first = self.fresh_ns == 0;
        let interval_ns = new.received_ns.saturating_sub(self.fresh_ns);
        self.fresh_ns = new.received_ns;
        self.sample.clone_from(new);
        Some(if first {
            0.0
        } else {
            interval_ns as f32 * 1e-9
        })
    }

    fn unusable_for(&self, new: &RobotSample) -> FaultSet {
        let mut faults = FaultSet::NONE;
        let joints = [
            &new.joint_position_rad,
            &new.joint_velocity_radps,
            &new.joint_torque_nm,
        ];
        let fits = |len: usize, expected: usize| len == 0 || len == expected;
        faults.insert_if(
            Fault::Shape,
            joints.iter().any(|values| values.len() != self.num_joints)
                || !fits(new.motor_temperature_c.len(), self.num_joints)
                || !fits(new.foot_force.len(), self.num_feet),
        );
        let parts: [&[f32]; 8] = [
            joints[0],
            joints[1],
            joints[2],
            &new.motor_temperature_c,
            &new.imu_orientation_wxyz,
            new.imu_gyroscope_radps.as_slice(),
            new.imu_accelerometer_mps2.as_slice(),
            &new.foot_force,
        ];
        // A rotation has unit length.
        let norm_squared: f32 = new
            .imu_orientation_wxyz
            .iter()
            .map(|part| part * part)
            .sum();
        faults.insert_if(
            Fault::NotFinite,
            !all_finite(&parts) || !(0.8..=1.2).contains(&norm_squared),
        );
        faults
    }

    pub(in crate::deploy) fn is_usable_scan(&self, scan: &ScanSample) -> bool {
        scan.received_ns > 0
            && self.is_scan_of(scan.scan.distance_m.len())
            && all_finite(&[&scan.scan.distance_m])
    }

    fn is_scan_of(&self, rays: usize) -> bool {
        rays == self.num_rays || Some(rays) == self.num_depth_rays
    }

    /// Whether a goal is a place within reach of the estimated position.
    pub(in crate::deploy) fn is_usable_goal(
        &self,
        goal: &GoalSample,
        estimate: &RobotState,
    ) -> bool {
        let position = &goal.goal.position_world;
        all_finite(&[
            position.coords.as_slice(),
            &[goal.goal.heading_rad, goal.duration_s],
        ]) && (position - estimate.position_world.xy()).norm() <= self.config.max_goal_m
    }

    /// All faults of this cycle. `own` are those that the last command caused.
    pub(in crate::deploy) fn check(
        &mut self,
        input: &CycleInput,
        emergency_stop: bool,
        estimate: &RobotState,
        own: FaultSet,
    ) -> FaultSet {
        let config = &self.config;
        let now_ns = input.time_ns;
        let older =
            |since_ns: u64, limit_s: f32| now_ns.saturating_sub(since_ns) as f32 * 1e-9 > limit_s;
        let heard = |since_ns: u64| since_ns > 0;
        let mut faults = self.unusable.union(own);
        let rays = &input.scan.scan.distance_m;
        let fits = self.is_scan_of(rays.len());
        let mut check = |id, present| faults.insert_if(id, present);

        check(Fault::NoState, !heard(self.fresh_ns));
        check(
            Fault::StaleState,
            heard(self.fresh_ns) && older(self.fresh_ns, config.state_timeout_s),
        );
        check(
            Fault::WrongCrc,
            self.wrong_crc && older(self.fresh_ns, config.state_timeout_s),
        );
        check(
            Fault::StaleRays,
            !heard(input.scan.received_ns) || older(input.scan.received_ns, config.rays_timeout_s),
        );
        check(
            Fault::StaleOdometry,
            heard(input.odometry.received_ns)
                && older(input.odometry.received_ns, config.odometry_timeout_s),
        );
        check(
            Fault::LostOperator,
            heard(input.operator_heard_ns)
                && older(input.operator_heard_ns, config.operator_timeout_s),
        );
        check(
            Fault::LinkDead,
            older(input.link_alive_ns, config.link_timeout_s),
        );
        check(Fault::Clock, input.cycle > 0 && now_ns <= self.time_ns);

        check(Fault::Shape, heard(input.scan.received_ns) && !fits);
        check(
            Fault::NotFinite,
            !all_finite(&[rays]) || !is_usable_odometry(&input.odometry),
        );
        check(
            Fault::GoalRange,
            heard(input.goal.received_ns) && !self.is_usable_goal(&input.goal, estimate),
        );

        let upright = -estimate.projected_gravity_base().z;
        check(Fault::Tilt, upright < config.max_tilt_rad.cos());
        check(
            Fault::JointLimit,
            self.sample
                .joint_position_rad
                .iter()
                .zip(&self.joint_range_rad)
                .any(|(position_rad, range)| !(range[0]..=range[1]).contains(position_rad)),
        );
        check(
            Fault::MotorTemperature,
            self.sample
                .motor_temperature_c
                .iter()
                .any(|&temperature_c| temperature_c > config.max_motor_temperature_c),
        );
        let percent = self.sample.battery_percent;
        check(
            Fault::LowBattery,
            percent > 0 && f32::from(percent) < config.min_battery_percent,
        );

        self.missed = (self.missed - 1.0 / CYCLES_PER_MISSED).max(0.0) + input.missed as f32;
        check(
            Fault::MissedDeadlines,
            self.missed > config.max_missed_cycles,
        );
        // A long stall in the past is forgiven as soon as a short one.
        self.missed = self.missed.min(2.0 * config.max_missed_cycles);
        check(Fault::EmergencyStop, emergency_stop);
        self.time_ns = now_ns;
        faults
    }
}

/// Whether an odometry is finite and its rotation of unit length.
pub(in crate::deploy) fn is_usable_odometry(odometry: &OdometrySample) -> bool {
    let rotation = &odometry.orientation_wxyz;
    let norm_squared: f32 = rotation.iter().map(|part| part * part).sum();
    (0.8..=1.2).contains(&norm_squared)
        && all_finite(&[
            odometry.position_world.coords.as_slice(),
            odometry.linear_velocity_base.as_slice(),
        ])
}

fn all_finite(parts: &[&[f32]]) -> bool {
    parts
        .iter()
        .all(|part| part.iter().all(|value| value.is_finite()))
}

fn same_measurement(new: &RobotSample, old: &RobotSample) -> bool {
    new.joint_position_rad == old.joint_position_rad
        && new.joint_velocity_radps == old.joint_velocity_radps
        && new.imu_gyroscope_radps == old.imu_gyroscope_radps
        && new.imu_accelerometer_mps2 == old.imu_accelerometer_mps2
}
