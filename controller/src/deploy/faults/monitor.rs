//! Detection of faults.

use policies::RaySpec;
use robots::{Robot, RobotState};

use super::{
    super::{
        CycleInput, FaultConfig, GoalSample, OdometrySample, OperatorSource, RobotSample,
        ScanSample, State,
    },
    Fault, FaultSet,
    plausibility::Plausibility,
};

/// Punctual cycles that make up for a missed one.
const CYCLES_PER_MISSED: f32 = 20.0;

/// After so long without a usable state, a robot may have been moved or started again, s.
const RESTART_S: f32 = 0.1;
/// A publisher of states that was silent for this long has ended, s.
const PUBLISHER_S: f32 = 0.2;
/// A foreign publisher of states counts as present for this long after each of its messages, s.
const FOREIGN_S: f32 = 1.0;
/// A joint beyond its soft stop for the first time makes the robot brake; when it is still there after the second, the
/// joints are damped, s.
const SOFT_STOP_S: [f32; 2] = [0.03, 0.3];

/// Decides which samples are usable, and detects faults. Depends on nothing but its inputs.
#[derive(Clone, Debug)]
pub(in crate::deploy) struct Monitor {
    num_joints: usize,
    num_feet: usize,
    num_rays: usize,
    /// Rays that the depth ray predictor gives, where there is one.
    num_depth_rays: Option<usize>,
    /// Range of each joint, rad.
    joint_range_rad: Vec<[f32; 2]>,
    plausibility: Plausibility,
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
    /// The newest state is one that no robot can be in, or that cannot follow the last one used.
    implausible: bool,
    /// Time from the last state used to the first that did not follow it, s.
    refused_s: Option<f32>,
    /// The state of this cycle does not follow the last one used, which is too old to hold on to.
    jumped: bool,
    /// Whose states are used, and when one came last, ns.
    publisher: u8,
    publisher_ns: u64,
    /// When a state of another publisher came last, ns; 0 for never.
    foreign_ns: u64,
    /// When all joints were within their soft stops last, ns.
    within_ns: u64,
    battery_reported: bool,
    /// The last odometry that was used.
    odometry: OdometrySample,
    odometry_implausible: bool,
    /// Last heartbeats of operators who are not missed.
    dismissed_ns: [u64; OperatorSource::COUNT],
    missed: f32,
}

/// A state of the robot that is new and usable.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::deploy) struct NewState {
    /// Time since the one before, s.
    pub(in crate::deploy) interval_s: f32,
    /// Nothing connects it to the one before: the robot was away, or is another.
    pub(in crate::deploy) restarted: bool,
}

/// What became of an odometry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::deploy) enum NewOdometry {
    /// It is not new, or not usable.
    None,
    /// It is usable, so long after the one before, s.
    After(f32),
    /// It is at another place: its frame has changed.
    Jumped,
}

impl Monitor {
    pub(in crate::deploy) fn new(
        robot: &Robot,
        rays: &RaySpec,
        num_depth_rays: Option<usize>,
        config: &FaultConfig,
    ) -> Self {
        let range = |joint: &robots::Joint| [joint.lower_rad, joint.upper_rad];
        Self {
            num_joints: robot.num_joints(),
            num_feet: robot.num_feet(),
            num_rays: rays.count,
            num_depth_rays,
            joint_range_rad: robot.joints().map(range).collect(),
            plausibility: Plausibility::new(robot, config),
            config: config.clone(),
            time_ns: 0,
            sample: RobotSample::default(),
            seen_ns: 0,
            fresh_ns: 0,
            wrong_crc: false,
            unusable: FaultSet::NONE,
            implausible: false,
            refused_s: None,
            jumped: false,
            publisher: 0,
            publisher_ns: 0,
            foreign_ns: 0,
            within_ns: 0,
            battery_reported: false,
            odometry: OdometrySample::default(),
            odometry_implausible: false,
            dismissed_ns: [0; OperatorSource::COUNT],
            missed: 0.0,
        }
    }

    /// The newest usable state of the robot.
    pub(in crate::deploy) fn sample(&self) -> &RobotSample {
        &self.sample
    }

    /// Takes a state of the robot, if it is new and usable. Of a robot without a counter, a state that equals the one before
    /// is only a fault while it runs.
    pub(in crate::deploy) fn take(&mut self, new: &RobotSample, state: State) -> Option<NewState> {
        self.jumped = false;
        if new.received_ns == self.seen_ns {
            return None;
        }
        self.seen_ns = new.received_ns;
        if self.is_foreign(new) {
            return None;
        }
        self.wrong_crc = !new.crc_ok;
        if self.wrong_crc {
            return None;
        }
        self.unusable = self.unusable_for(new);
        if !self.unusable.is_empty() {
            return None;
        }
        self.implausible = !self.plausibility.is_possible(new);
        if self.implausible {
            return None;
        }
        let (old, first) = (&self.sample, self.fresh_ns == 0);
        let interval_s = seconds(new.received_ns, self.fresh_ns);
        // A jump does not become plausible by going on.
        let moving_s = interval_s.min(self.refused_s.unwrap_or(interval_s));
        let follows = first || self.plausibility.follows(new, old, interval_s, moving_s);
        // After so long without a usable state, the next one is where the robot is now.
        let is_lost = interval_s > self.config.state_timeout_s;
        self.implausible = !follows && !is_lost;
        if self.implausible {
            self.refused_s = Some(moving_s);
            return None;
        }
        self.refused_s = None;
        let frozen = !first
            && new.tick == old.tick
            && (new.tick != 0 || (state == State::Run && same_measurement(new, old)));
        if frozen {
            return None;
        }
        self.jumped = !follows;
        self.fresh_ns = new.received_ns;
        self.sample.clone_from(new);
        self.battery_reported |= new.battery_percent > 0;
        Some(NewState {
            interval_s: if first { 0.0 } else { interval_s },
            restarted: !first && (!follows || interval_s > RESTART_S),
        })
    }

    /// Whether a state comes from another publisher than those before, while that one still publishes.
    fn is_foreign(&mut self, new: &RobotSample) -> bool {
        let is_other = self.publisher_ns > 0 && new.publisher != self.publisher;
        if is_other && seconds(new.received_ns, self.publisher_ns) < PUBLISHER_S {
            self.foreign_ns = new.received_ns;
            return true;
        }
        self.publisher = new.publisher;
        self.publisher_ns = new.received_ns;
        false
    }

    /// Takes an odometry, if it is new and usable.
    pub(in crate::deploy) fn take_odometry(&mut self, new: &OdometrySample) -> NewOdometry {
        let old = &self.odometry;
        if new.received_ns == old.received_ns {
            return NewOdometry::None;
        }
        let usable = is_usable_odometry(new);
        self.odometry_implausible = usable && !self.plausibility.is_possible_odometry(new);
        if !usable || self.odometry_implausible {
            return NewOdometry::None;
        }
        let interval_s = seconds(new.received_ns, old.received_ns);
        let first = old.received_ns == 0;
        let follows = first || self.plausibility.odometry_follows(new, old, interval_s);
        self.odometry_implausible = !follows;
        self.odometry.clone_from(new);
        match follows {
            true => NewOdometry::After(if first { 0.0 } else { interval_s }),
            // The next one is in the new frame.
            false => NewOdometry::Jumped,
        }
    }

    /// Misses no operator any longer who is silent now.
    pub(in crate::deploy) fn dismiss_operators(&mut self, input: &CycleInput) {
        for (dismissed_ns, heard_ns) in self.dismissed_ns.iter_mut().zip(input.operators_heard_ns) {
            if seconds(input.time_ns, heard_ns) > self.config.operator_timeout_s {
                *dismissed_ns = heard_ns;
            }
        }
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

    /// How far the worst joint is beyond its position limits, rad.
    fn beyond_limits_rad(&self) -> f32 {
        let joints = self
            .sample
            .joint_position_rad
            .iter()
            .zip(&self.joint_range_rad);
        joints
            .map(|(position_rad, [lower_rad, upper_rad])| {
                (lower_rad - position_rad).max(position_rad - upper_rad)
            })
            .fold(0.0, f32::max)
    }

    /// For how long a joint has been beyond its soft stop, s.
    fn time_beyond_soft_stop_s(&mut self, now_ns: u64) -> f32 {
        let is_beyond = self.beyond_limits_rad() > self.config.soft_joint_margin_rad;
        if self.within_ns == 0 || !is_beyond {
            self.within_ns = now_ns;
        }
        seconds(now_ns, self.within_ns)
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
        let now_ns = input.time_ns;
        let soft_stop_s = self.time_beyond_soft_stop_s(now_ns);
        let config = &self.config;
        let older = |since_ns: u64, limit_s: f32| seconds(now_ns, since_ns) > limit_s;
        let heard = |since_ns: u64| since_ns > 0;
        let mut faults = self.unusable.union(own);
        let rays = &input.scan.scan.distance_m;
        let fits = self.is_scan_of(rays.len());
        let mut check = |id, present| faults.insert_if(id, present);

        check(Fault::NoState, !heard(self.fresh_ns));
        let is_stale = older(self.fresh_ns, config.state_timeout_s);
        check(Fault::StaleState, heard(self.fresh_ns) && is_stale);
        check(Fault::WrongCrc, self.wrong_crc && is_stale);
        check(
            Fault::ImplausibleState,
            self.implausible && is_stale || self.jumped,
        );
        check(
            Fault::ForeignState,
            heard(self.foreign_ns) && !older(self.foreign_ns, FOREIGN_S),
        );
        check(Fault::SecondCommander, input.second_commander);
        check(
            Fault::StaleRays,
            !heard(input.scan.received_ns) || older(input.scan.received_ns, config.rays_timeout_s),
        );
        check(
            Fault::StaleOdometry,
            heard(input.odometry.received_ns)
                && older(input.odometry.received_ns, config.odometry_timeout_s),
        );
        check(Fault::ImplausibleOdometry, self.odometry_implausible);
        let mut operators = input.operators_heard_ns.iter().zip(&self.dismissed_ns);
        check(
            Fault::LostOperator,
            operators.any(|(&heard_ns, &dismissed_ns)| {
                heard_ns != dismissed_ns && older(heard_ns, config.operator_timeout_s)
            }),
        );
        check(
            Fault::LinkDead,
            older(input.link_alive_ns, config.link_timeout_s),
        );
        check(Fault::Clock, input.cycle > 0 && now_ns <= self.time_ns);

        check(Fault::Shape, heard(input.scan.received_ns) && !fits);
        check(
            Fault::NotFinite,
            !all_finite(&[rays])
                || !is_usable_odometry(&input.odometry)
                || !input.twist.twist.is_finite(),
        );
        check(
            Fault::GoalRange,
            heard(input.goal.received_ns) && !self.is_usable_goal(&input.goal, estimate),
        );

        let upright = -estimate.projected_gravity_base().z;
        check(Fault::Tilt, upright < config.max_tilt_rad.cos());
        check(Fault::JointStop, soft_stop_s > SOFT_STOP_S[0]);
        check(
            Fault::JointLimit,
            soft_stop_s > SOFT_STOP_S[1] || self.beyond_limits_rad() > config.joint_margin_rad,
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
            (percent > 0 || self.battery_reported)
                && f32::from(percent) < config.min_battery_percent,
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

/// Seconds from one time to a later one, ns.
fn seconds(now_ns: u64, since_ns: u64) -> f32 {
    now_ns.saturating_sub(since_ns) as f32 * 1e-9
}

/// Whether an odometry is finite and its rotation of unit length.
fn is_usable_odometry(odometry: &OdometrySample) -> bool {
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
