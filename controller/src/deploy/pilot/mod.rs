//! The control cycle: one function from a [`CycleInput`] to motor commands.

mod motor_probe;
mod rays;
mod report;
mod task;

use nalgebra::Point2;
use policies::{Bundle, Goal, TwistRange, observation::MAX_EPISODE_S, spec::role};
use robots::{JointTarget, JointVec, Robot, RobotState};

use self::{
    motor_probe::{MotorProbe, Probed},
    rays::Rays,
    task::Task,
};
use super::{
    CYCLE_NS, CYCLES_PER_POLICY_STEP, CycleInput, CycleRecord, DeployConfig, Estimator, Excitation,
    ExcitationError, Fault, FaultSet, JointCommand, Refusal, Request, RequestSet, StandUpConfig,
    State, Status,
    faults::{Monitor, NewOdometry},
    requests::Buttons,
    stand_up::{StandUpError, StandUpTrajectory},
    state::Situation,
};
use crate::{
    Controller, ControllerConfig, ControllerError, FallbackReason, Limited, Method, SettingError,
    safety::SafetyLimiter,
};

/// Mode of a Unitree motor that executes its command.
const SERVO: u8 = 1;

/// For policies that run to none.
const NO_GOAL: Goal = Goal {
    position_world: Point2::new(0.0, 0.0),
    heading_rad: 0.0,
};

/// A joint may be far from its target for this many cycles.
const ASTRAY_CYCLES: u32 = 125;

/// Why there is no pilot, and nothing is sent to the robot.
#[derive(Debug, thiserror::Error)]
pub enum PilotError {
    /// The bundle does not fit the robot or the method (fault F18), or a setting of the controller is out of range.
    #[error(transparent)]
    Controller(#[from] ControllerError),
    /// A setting is out of range.
    #[error(transparent)]
    Config(#[from] SettingError),
    /// The crouch does not fit the robot.
    #[error(transparent)]
    StandUp(#[from] StandUpError),
    /// The joints cannot be driven so.
    #[error(transparent)]
    Excitation(#[from] ExcitationError),
}

/// Turns the input of each cycle into motor commands: estimate, faults, state, trajectory or policy, limits.
///
/// The commands depend on nothing but the inputs since the start. A cycle does not allocate, and it does not fail: every
/// fault has a defined command.
#[derive(Clone, Debug)]
pub struct Pilot {
    monitor: Monitor,
    estimator: Estimator,
    stand_up: StandUpTrajectory,
    stand_up_config: StandUpConfig,
    probe: MotorProbe,
    /// The motors are still to be probed when the robot stands up; they are being probed.
    probe_is_due: bool,
    probes: bool,
    controller: Controller,
    task: Task,
    /// The recovery policy, or another that follows twists, with a twist command of zero; without one the robot brakes by taking the standing pose.
    brake: Option<Controller>,
    limiter: SafetyLimiter,
    state: State,
    entered_ns: u64,
    /// Cycles in this state.
    cycles: u32,
    estimate: RobotState,
    rays: Rays,
    buttons: Buttons,
    /// Faults that the last command caused.
    own_faults: FaultSet,
    /// Cycles in a row in which a joint was far from its target.
    astray_cycles: u32,
    max_following_error_rad: f32,
    latched_faults: FaultSet,
    /// The target of the policy, held over a policy step.
    held: JointTarget,
    /// The target of this cycle.
    target: JointTarget,
    limited: Limited,
    overruns: u64,
    refused: Option<(Request, Refusal)>,
    refusals: u32,
}

impl Pilot {
    /// Loads the policies, and allocates everything that a cycle needs.
    ///
    /// # Errors
    /// When the bundle does not fit the robot or the method, or a setting is out of range.
    pub fn new(
        robot: &Robot,
        bundle: &Bundle,
        controller_config: &ControllerConfig,
        config: &DeployConfig,
    ) -> Result<Self, PilotError> {
        config.validate()?;
        let zeros: JointVec = std::iter::repeat_n(0.0, robot.num_joints()).collect();
        let target = JointTarget {
            position_rad: zeros.clone(),
            stiffness: zeros.clone(),
            damping: zeros,
        };
        let controller = |method| Controller::new(robot, bundle, method, controller_config);
        let policy_step_s = CYCLES_PER_POLICY_STEP as f32 * CYCLE_NS as f32 * 1e-9;
        let step = bundle.spec.check_policy_step(policy_step_s);
        step.map_err(|error| ControllerError::Bundle(error.into()))?;
        let task = Task::new(robot, bundle, config)?;
        let brake = match &task {
            // In the air, a policy that walks does not brake.
            Task::Excitation(_) => None,
            _ if bundle.has(role::RECOVERY) => Some(controller(Method::recovery())?),
            Task::Twist(_) => Some(controller(config.method)?),
            Task::Goal(_) => None,
        };
        let rays = Rays::new(bundle)?;
        let num_depth_rays = rays.num_predicted();
        Ok(Self {
            monitor: Monitor::new(robot, &bundle.spec.rays, num_depth_rays, &config.faults),
            estimator: Estimator::new(robot, &config.estimator),
            stand_up: StandUpTrajectory::new(robot, &config.stand_up)?,
            stand_up_config: config.stand_up.clone(),
            probe: MotorProbe::new(robot),
            probe_is_due: config.stand_up.probe_motors,
            probes: false,
            controller: controller(config.method)?,
            task,
            brake,
            limiter: SafetyLimiter::per_control_cycle(
                robot,
                &controller_config.safety,
                policy_step_s,
            )?,
            state: State::Damping,
            entered_ns: 0,
            cycles: 0,
            estimate: RobotState::zero(robot.num_joints(), robot.num_feet()),
            rays,
            buttons: Buttons::default(),
            own_faults: FaultSet::NONE,
            astray_cycles: 0,
            max_following_error_rad: config.faults.max_following_error_rad,
            latched_faults: FaultSet::NONE,
            held: target.clone(),
            target,
            limited: Limited::default(),
            overruns: 0,
            refused: None,
            refusals: 0,
        })
    }

    /// How the joints are driven, where motors are identified.
    pub fn excitation(&self) -> Option<&Excitation> {
        match &self.task {
            Task::Excitation(excitation) => Some(excitation),
            _ => None,
        }
    }

    /// Joint positions of the robot when it lies with folded legs, rad.
    pub fn crouch_rad(&self) -> &JointVec {
        self.stand_up.crouch_rad()
    }

    /// The twists that the operator may command; none where the robot runs to goals.
    pub fn twist_range(&self) -> Option<&TwistRange> {
        match &self.task {
            Task::Twist(twists) => Some(twists.range()),
            _ => None,
        }
    }

    /// One cycle: reads `record.input`, overwrites the rest of the record.
    pub fn cycle(&mut self, record: &mut CycleRecord) {
        let input = &record.input;
        let mut requests = self.take(input);
        if self.state == State::Run && self.task.is_done(self.elapsed_ns(input.time_ns)) {
            requests.insert(Request::LieDown);
        }
        let request = requests.most_urgent();
        let faults = self.monitor.check(
            input,
            request == Some(Request::EmergencyStop),
            &self.estimate,
            self.own_faults,
        );
        let faults = faults.without(self.task.irrelevant_faults());
        self.decide(input, request, faults);
        self.own_faults = FaultSet::NONE;
        self.act(input.time_ns);

        let joints = (0..self.target.position_rad.len()).map(|joint| JointCommand {
            mode: SERVO,
            position_rad: self.target.position_rad[joint],
            velocity_radps: 0.0,
            effort_nm: 0.0,
            stiffness: self.target.stiffness[joint],
            damping: self.target.damping[joint],
        });
        record.command.time_ns = input.time_ns;
        record.command.joints = joints.collect();
        self.write_status(input.time_ns, faults, &mut record.status);
    }

    /// Takes the samples that are new and usable, and updates the estimate.
    fn take(&mut self, input: &CycleInput) -> RequestSet {
        let mut requests = input.requests;
        if let Some(new) = self.monitor.take(&input.robot, self.state) {
            if new.restarted {
                self.restart_estimate();
            }
            let sample = self.monitor.sample();
            self.estimator
                .update(sample, new.interval_s, &mut self.estimate);
            let pressed = self.buttons.take(sample.remote_buttons, sample.received_ns);
            requests = requests.union(pressed);
        }
        match self.monitor.take_odometry(&input.odometry) {
            NewOdometry::None => {}
            NewOdometry::After(interval_s) => {
                if self
                    .estimator
                    .fuse(&input.odometry, interval_s, &mut self.estimate)
                {
                    self.forget_scans();
                    // The goal is in the former frame.
                    self.own_faults
                        .insert_if(Fault::ImplausibleOdometry, self.state == State::Run);
                }
            }
            NewOdometry::Jumped => self.estimator.forget_odometry(),
        }
        if self.rays.is_new(&input.scan) && self.monitor.is_usable_scan(&input.scan) {
            self.rays.take(&input.scan, &self.estimate);
        }
        self.task.take_twist(input);
        self.overruns += u64::from(input.missed);
        requests
    }

    /// Begins another world frame. The robot may be another.
    fn restart_estimate(&mut self) {
        self.probe_is_due = self.stand_up_config.probe_motors;
        self.estimator.restart();
        self.forget_scans();
    }

    /// Past scans are in a world frame that is no more.
    fn forget_scans(&mut self) {
        self.rays.enter_frame();
        let brake = self.brake.as_mut();
        for controller in std::iter::once(&mut self.controller).chain(brake) {
            controller.enter_scene();
        }
    }

    fn decide(&mut self, input: &CycleInput, request: Option<Request>, faults: FaultSet) {
        let situation = Situation {
            request,
            response: faults.response_in(self.state),
            may_stand: faults.may_stand(),
            may_run: faults.is_empty() && self.task.is_given(input),
            time_over: self.task.is_over(input.time_ns),
            elapsed_s: self.elapsed_s(input.time_ns),
        };
        let next = self.state.next(&situation, &self.stand_up_config);
        if self.state == State::Run && !faults.contains(Fault::GoalRange) {
            self.task.take_new_goal(input);
        }
        if let Some((request, why)) = self.refusal(&situation, next, input, faults) {
            self.refuse(request, why);
        }
        let lies = self.state == State::Damping || next == State::Damping;
        if lies && request == Some(Request::Stop) {
            self.monitor.dismiss_operators(input);
        }
        let active = faults.active_in(self.state);
        if next != self.state {
            self.enter(next, input);
        }
        self.latched_faults = self.latched_faults.union(active);
    }

    fn enter(&mut self, state: State, input: &CycleInput) {
        let was_damped = self.state.is_damped();
        // A change between the two ways of braking does not reset the policy.
        let brakes = |state| matches!(state, State::Stop | State::StopThenLieDown);
        match state {
            State::Run => {
                self.task.begin(input);
                self.controller.reset();
            }
            State::Stop | State::StopThenLieDown if !brakes(self.state) => {
                if let Some(brake) = &mut self.brake {
                    brake.reset();
                }
            }
            _ => {}
        }
        if self.state == State::Fault || state == State::StandUp {
            self.latched_faults = FaultSet::NONE;
        }
        // Since the fault the robot may have been carried, and the estimate with it.
        if self.state == State::Fault {
            self.restart_estimate();
        }
        if was_damped {
            self.limiter.reset();
        }
        self.stand_up.start(&self.estimate.joint_position_rad);
        // From braking or lying down it stands up at once.
        self.probes = state == State::StandUp && was_damped && self.probe_is_due;
        if self.probes {
            self.probe.start(&self.estimate.joint_position_rad);
        }
        self.state = state;
        self.entered_ns = input.time_ns;
        self.cycles = 0;
    }

    /// Sets the target of this state, within the limits.
    fn act(&mut self, time_ns: u64) {
        let elapsed_s = self.elapsed_s(time_ns);
        let policy_step = self.cycles.is_multiple_of(CYCLES_PER_POLICY_STEP);
        match self.state {
            State::Damping | State::Fault => {}
            State::StandUp if self.probes => self.probe_motors(time_ns),
            State::StandUp => self.stand_up.stand_up(elapsed_s, &mut self.target),
            State::Ready => self.stand_up.stand(elapsed_s, &mut self.target),
            State::LieDown => self.stand_up.lie_down(elapsed_s, &mut self.target),
            State::Run => match &self.task {
                Task::Excitation(excitation) => {
                    excitation.write(self.elapsed_ns(time_ns), &mut self.target);
                }
                Task::Goal(_) | Task::Twist(_) => {
                    if policy_step {
                        let time_left_s = self.task.time_left_s(time_ns).min(MAX_EPISODE_S);
                        self.controller.set_command(self.task.twist());
                        self.step_policy(Which::Controller, time_left_s);
                    }
                    self.target.clone_from(&self.held);
                }
            },
            State::Stop | State::StopThenLieDown if self.brake.is_some() => {
                if policy_step {
                    self.step_policy(Which::Brake, 0.0);
                }
                self.target.clone_from(&self.held);
            }
            State::Stop | State::StopThenLieDown => {
                self.stand_up.stand(elapsed_s, &mut self.target);
            }
        }
        if self.state.is_damped() {
            self.limiter.fall_back(&self.estimate, &mut self.target);
            self.limited = Limited::default();
        } else {
            self.limited = self.limiter.limit(&self.estimate, &mut self.target);
            self.own_faults
                .insert_if(Fault::NotFinite, self.limited.fallback);
        }
        self.check_following();
        self.cycles = self.cycles.wrapping_add(1);
    }

    /// Whether each motor is the one it should be. The way up begins when all have answered.
    fn probe_motors(&mut self, time_ns: u64) {
        self.stand_up.hold(&mut self.target);
        let measured_rad = &self.estimate.joint_position_rad;
        match self.probe.step(measured_rad, &mut self.target) {
            Probed::Going => self.entered_ns = time_ns,
            Probed::Passed => {
                (self.probes, self.probe_is_due) = (false, false);
                self.entered_ns = time_ns;
            }
            Probed::Failed { expected, moved } => {
                self.refuse(Request::Stand, Refusal::Motor { expected, moved });
                self.own_faults.insert(Fault::WrongMotor);
            }
        }
    }

    /// While the robot stands up or stands, each joint has to be near its target.
    fn check_following(&mut self) {
        let stands = matches!(self.state, State::StandUp | State::Ready);
        let measured = &self.estimate.joint_position_rad;
        let mut joints = self.target.position_rad.iter().zip(measured);
        let is_astray = joints.any(|(target_rad, measured_rad)| {
            (target_rad - measured_rad).abs() > self.max_following_error_rad
        });
        self.astray_cycles = match stands && is_astray {
            true => self.astray_cycles.saturating_add(1),
            false => 0,
        };
        self.own_faults.insert_if(
            Fault::MotorDoesNotFollow,
            self.astray_cycles > ASTRAY_CYCLES,
        );
    }

    fn step_policy(&mut self, which: Which, time_left_s: f32) {
        let controller = match (which, &mut self.brake) {
            (Which::Brake, Some(brake)) => brake,
            _ => &mut self.controller,
        };
        let goal = self.task.goal();
        let rays = self.rays.observe(&self.estimate, goal.as_ref());
        let goal = goal.unwrap_or(NO_GOAL);
        let target = controller.step(&self.estimate, rays, &goal, time_left_s);
        self.held.clone_from(target);
        match controller.fallback_reason() {
            None => {}
            Some(FallbackReason::Shape { .. }) => self.own_faults.insert(Fault::Shape),
            Some(FallbackReason::NotFinite(_)) => self.own_faults.insert(Fault::NotFinite),
        }
        self.own_faults
            .insert_if(Fault::NotFinite, controller.limited().fallback);
    }

    fn elapsed_ns(&self, time_ns: u64) -> u64 {
        time_ns.saturating_sub(self.entered_ns)
    }

    fn elapsed_s(&self, time_ns: u64) -> f32 {
        self.elapsed_ns(time_ns) as f32 * 1e-9
    }
}

#[derive(Clone, Copy)]
enum Which {
    Controller,
    Brake,
}

#[cfg(test)]
mod tests;
