//! The test of a policy that tracks twists, the recovery policy among them: how well it tracks a grid of them from rest, on the ground of the
//! scene, and how soon it stops.

mod report;

use std::{f32::consts::FRAC_PI_3, sync::Arc};

use controller::{Controller, ControllerConfig, Method};
use nalgebra::{Point2, Vector3};
use policies::{Bundle, Goal, Twist};
use rand::Rng;
use robots::Robot;
use serde::{Deserialize, Serialize};

pub use self::report::{CaseReport, RecoveryReport};

use self::report::{Case, TrialResult};
use super::{
    config::{EvalConfig, EvalError, setting},
    gait::{GaitMeter, GaitSums},
};
use crate::{
    engine::{Dynamics, EpisodeStart, PhysicsConfig, PhysicsState},
    episode::{Next, Observer, Plan, Runner, SimLink, Slot, SlotStart, Step},
    random::{stream, uniform},
    reality::RealityConfig,
};

/// A robot that tilts farther has fallen, even if its legs keep the base off the ground.
const FALL_TILT_RAD: f32 = FRAC_PI_3;

/// Settings of the test of a policy that tracks twists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecoveryTestConfig {
    /// Length of a trial, s. Velocities are measured in its second half.
    pub trial_s: f32,
    /// Trials of each case; they differ in friction.
    pub trials: usize,
    /// Grid of commands: v_x, m/s.
    pub vx_mps: Vec<f32>,
    /// Grid of commands: v_y, m/s.
    pub vy_mps: Vec<f32>,
    /// Grid of commands: w_z, rad/s.
    pub yaw_rate_radps: Vec<f32>,
    /// Speeds along x from which the robot is to stop, m/s.
    pub braking_mps: Vec<f32>,
    /// A robot slower than this has stopped, m/s.
    pub stopped_mps: f32,
}

impl Default for RecoveryTestConfig {
    fn default() -> Self {
        Self {
            trial_s: 3.0,
            trials: 4,
            vx_mps: vec![-1.5, -0.75, 0.0, 0.75, 1.5],
            vy_mps: vec![-0.3, 0.0, 0.3],
            yaw_rate_radps: vec![-3.0, -1.5, 0.0, 1.5, 3.0],
            braking_mps: vec![1.0, 3.0, 5.0],
            stopped_mps: 0.2,
        }
    }
}

impl RecoveryTestConfig {
    pub(super) fn validate(&self) -> Result<(), EvalError> {
        for (key, value) in [
            ("recovery.trial_s", self.trial_s),
            ("recovery.stopped_mps", self.stopped_mps),
        ] {
            let ok = value > 0.0 && value.is_finite();
            setting(ok, key, value.into(), "positive")?;
        }
        let trials = self.trials;
        setting(trials > 0, "recovery.trials", trials as f64, "at least 1")?;
        for (key, values) in [
            ("recovery.vx_mps", &self.vx_mps),
            ("recovery.vy_mps", &self.vy_mps),
            ("recovery.yaw_rate_radps", &self.yaw_rate_radps),
            ("recovery.braking_mps", &self.braking_mps),
        ] {
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return setting(false, key, f64::from(*value), "finite numbers");
            }
        }
        Ok(())
    }

    /// Every command of the grid, from rest.
    fn grid(&self) -> impl Iterator<Item = Twist> {
        self.vx_mps.iter().flat_map(move |&vx_mps| {
            self.vy_mps.iter().flat_map(move |&vy_mps| {
                let twist = move |&yaw_rate_radps| Twist {
                    vx_mps,
                    vy_mps,
                    yaw_rate_radps,
                };
                self.yaw_rate_radps.iter().map(twist)
            })
        })
    }
}

/// The recovery policy of one bundle on one robot, ready to be tested.
pub struct RecoveryEvaluation<'a> {
    robot: &'a Robot,
    bundle: &'a Bundle,
    config: &'a EvalConfig,
    physics: &'a PhysicsConfig,
    seed: u64,
    method: Method,
    controller: Controller,
    reality: RealityConfig,
}

impl<'a> RecoveryEvaluation<'a> {
    /// Checks the settings, and that the bundle fits the robot.
    ///
    /// # Errors
    /// One line that says what does not fit.
    pub fn new(
        robot: &'a Robot,
        bundle: &'a Bundle,
        method: Method,
        config: &'a EvalConfig,
        physics: &'a PhysicsConfig,
        controller: &ControllerConfig,
        seed: u64,
    ) -> Result<Self, EvalError> {
        config.validate(physics)?;
        let step = bundle.spec.check_policy_step(physics.policy_step_s());
        step.map_err(EvalError::PolicyStep)?;
        Ok(Self {
            robot,
            bundle,
            config,
            physics,
            seed,
            method,
            controller: Controller::new(robot, bundle, method, controller)?,
            reality: RealityConfig::default(),
        })
    }

    /// On a robot that differs from the simulation.
    ///
    /// # Errors
    /// The first range that is wrong.
    pub fn with_reality(mut self, reality: &RealityConfig) -> Result<Self, EvalError> {
        reality.validate()?;
        self.reality.clone_from(reality);
        Ok(self)
    }

    /// Number of trials for one command, or for the grid and braking.
    pub fn trials(&self, command: Option<Twist>) -> usize {
        self.cases(command).len() * self.config.recovery.trials
    }

    /// Runs all trials of one command from rest or, without one, of the grid and of braking. `progress` is called
    /// after each, from any thread; the result does not depend on the number of threads.
    ///
    /// # Errors
    /// An engine that cannot be built, or a policy whose output is not finite.
    pub fn report(
        &self,
        command: Option<Twist>,
        progress: &(dyn Fn() + Sync),
    ) -> Result<RecoveryReport, EvalError> {
        let rays = &self.bundle.spec.rays;
        let runner = Runner {
            robot: self.robot,
            engine: self.config.engine,
            physics: self.physics,
            rays,
            link: SimLink::new(self.robot, rays, None).with_reality(
                &self.reality,
                self.robot,
                rays,
            ),
        };
        let plan = TrialPlan {
            evaluation: self,
            cases: self.cases(command),
        };
        let numbers: Vec<u64> = (0..self.trials(command) as u64).collect();
        let observe = |trial: &Trial| TrialObserver {
            evaluation: self,
            sum: [0.0; 3],
            counted: 0,
            gait: GaitMeter::new(self.robot, &trial.start, self.physics),
            result: TrialResult::default(),
        };
        let results = runner.run(&plan, &numbers, observe, progress)?;
        let trials = results.chunks_exact(self.config.recovery.trials);
        let cases = plan.cases.iter().zip(trials);
        let cases = cases.map(|(case, trials)| CaseReport::new(*case, trials));
        let mut gait = GaitSums::default();
        results.iter().for_each(|trial| gait.add(&trial.gait));
        let (name, engine) = (&self.robot.name, self.config.engine);
        let cases = cases.collect();
        Ok(RecoveryReport {
            reality: self.reality.clone(),
            gait: gait.report(),
            ..RecoveryReport::new(name, self.method, engine, self.seed, cases)
        })
    }

    fn steps(&self) -> usize {
        let trial_s = self.config.recovery.trial_s;
        ((trial_s / self.physics.policy_step_s()).round() as usize).max(1)
    }

    fn cases(&self, command: Option<Twist>) -> Vec<Case> {
        let at_rest = |command| Case {
            start_vx_mps: 0.0,
            command,
        };
        let config = &self.config.recovery;
        match command {
            Some(command) => vec![at_rest(command)],
            None => config
                .grid()
                .map(at_rest)
                .chain(config.braking_mps.iter().map(|&start_vx_mps| Case {
                    start_vx_mps,
                    command: Twist::default(),
                }))
                .collect(),
        }
    }
}

/// A trial of a case.
struct Trial {
    case: Case,
    start: EpisodeStart,
}

/// Every trial of every case.
struct TrialPlan<'a> {
    evaluation: &'a RecoveryEvaluation<'a>,
    cases: Vec<Case>,
}

impl Plan for TrialPlan<'_> {
    type Episode = Trial;
    type Error = EvalError;

    /// The standing pose, at speed where the case says so.
    fn begin(&self, number: u64) -> Result<(Trial, SlotStart), EvalError> {
        let RecoveryEvaluation {
            robot,
            config,
            seed,
            ..
        } = self.evaluation;
        let case = self.cases[number as usize / config.recovery.trials];
        let mut stream = stream(*seed, number);
        let mut physics = EpisodeStart {
            linear_velocity_world: Vector3::x() * case.start_vx_mps,
            dynamics: Dynamics {
                friction: uniform(config.testbed.friction, &mut stream),
                ..Dynamics::nominal(robot)
            },
            terrain: Arc::new(config.testbed.draw_terrain(&mut stream)),
            ..EpisodeStart::standing(robot)
        };
        let noise_seed = stream.next_u64();
        let step_s = self.evaluation.physics.step_s;
        (self.evaluation.reality).change_dynamics(robot, &mut physics.dynamics, step_s, noise_seed);
        let start = SlotStart {
            physics,
            goal: Goal {
                position_world: Point2::origin(),
                heading_rad: 0.0,
            },
            duration_s: config.recovery.trial_s,
            noise_seed,
            scanned_before: false,
        };
        let trial = Trial {
            case,
            start: start.physics.clone(),
        };
        Ok((trial, start))
    }

    fn controller(&self, _trial: &Trial) -> &Controller {
        &self.evaluation.controller
    }

    fn command(&self, trial: &Trial) -> Option<Twist> {
        Some(trial.case.command)
    }

    fn next(&self, _trial: &mut Trial, step: &Step<'_>) -> Next {
        match has_fallen(step) || step.steps >= self.evaluation.steps() {
            true => Next::End,
            false => Next::Continue,
        }
    }
}

fn tilt_rad(physics: &PhysicsState) -> f32 {
    let up = physics.orientation * Vector3::z();
    up.z.clamp(-1.0, 1.0).acos()
}

/// Legs may touch the ground.
fn has_fallen(step: &Step<'_>) -> bool {
    step.failed || step.physics.base_touches() || tilt_rad(step.physics) > FALL_TILT_RAD
}

/// Measures one trial.
struct TrialObserver<'a> {
    evaluation: &'a RecoveryEvaluation<'a>,
    sum: [f64; 3],
    counted: u32,
    gait: GaitMeter<'a>,
    result: TrialResult,
}

impl<'a> Observer<TrialPlan<'a>> for TrialObserver<'a> {
    type Record = TrialResult;
    const EVERY_PHYSICS_STEP: bool = true;

    fn controlled(&mut self, _trial: &mut Trial, slot: &Slot) {
        self.gait.command(slot.link.target_rad());
    }

    fn physics_stepped(&mut self, _trial: &mut Trial, physics: &PhysicsState) {
        self.gait.observe(physics);
    }

    fn stepped(&mut self, _trial: &mut Trial, step: &Step<'_>, _slot: &Slot) {
        let physics = step.physics;
        let result = &mut self.result;
        result.worst_tilt_rad = result.worst_tilt_rad.max(tilt_rad(physics));
        result.fell = has_fallen(step);
        if result.fell {
            return;
        }
        let stopped_mps = self.evaluation.config.recovery.stopped_mps;
        if result.stopping_distance_m.is_none()
            && physics.linear_velocity_world.xy().norm() < stopped_mps
        {
            // From the origin.
            result.stopping_distance_m = Some(physics.position_world.xy().coords.norm());
        }
        if 2 * step.steps > self.evaluation.steps() {
            let to_base = physics.orientation.inverse();
            let linear = to_base * physics.linear_velocity_world;
            let angular = to_base * physics.angular_velocity_world;
            for (sum, value) in self.sum.iter_mut().zip([linear.x, linear.y, angular.z]) {
                *sum += f64::from(value);
            }
            self.counted += 1;
        }
    }

    fn finish(self, _trial: Trial, _step: &Step<'_>, _slot: &mut Slot) -> TrialResult {
        TrialResult {
            mean: self.sum.map(|sum| sum / f64::from(self.counted.max(1))),
            gait: self.gait.finish(),
            ..self.result
        }
    }
}
