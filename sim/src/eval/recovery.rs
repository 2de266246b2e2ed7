//! The test of the recovery policy alone: how well it follows twists from rest, and how soon it stops.

use std::f32::consts::FRAC_PI_3;

use controller::{Controller, ControllerConfig, Method};
use nalgebra::{Point2, Vector3};
use policies::{Bundle, Goal, Twist};
use rand::Rng;
use robots::Robot;
use serde::{Deserialize, Serialize};

use super::config::{EvalConfig, EvalError, setting};
use crate::{
    engine::{Dynamics, EngineKind, EpisodeStart, PhysicsConfig, PhysicsState},
    episode::{Next, Observer, Plan, Runner, SimLink, Slot, SlotStart, Step},
    random::{stream, uniform},
};

/// A robot that tilts farther has fallen, even if its legs keep the base off the ground.
const FALL_TILT_RAD: f32 = FRAC_PI_3;

/// Settings of the test of the recovery policy.
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

/// Results of all trials of one case. Means are over the trials that did not fall; there are none where all fell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseReport {
    /// Speed along x at the start, m/s; 0 is at rest.
    pub start_vx_mps: f32,
    /// Twist to follow.
    pub command: Twist,
    /// Trials.
    pub trials: usize,
    /// Trials in which the base touched the ground or tilted by more than 60 degrees.
    pub falls: usize,
    /// Mean forward velocity over the second half, base frame, m/s.
    pub mean_vx_mps: Option<f64>,
    /// Mean velocity to the left over the second half, base frame, m/s.
    pub mean_vy_mps: Option<f64>,
    /// Mean turning rate over the second half, base frame, rad/s.
    pub mean_yaw_rate_radps: Option<f64>,
    /// Largest angle between the base's z and the vertical in any trial, rad.
    pub worst_tilt_rad: f32,
    /// Distance until the robot had stopped, m: the longest of the trials; for the stop command after a start at speed,
    /// where it stopped in every trial.
    pub stopping_distance_m: Option<f32>,
}

/// Summary of a test of the recovery policy, as it stands in `metrics.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecoveryReport {
    /// Name of the robot.
    pub robot: String,
    /// Always `recovery`.
    pub method: Method,
    /// Physics engine.
    pub engine: EngineKind,
    /// Number of trials of all cases.
    pub episodes: usize,
    /// Seed of the trials.
    pub seed: u64,
    /// Fraction of the trials without a fall.
    pub survival_rate: f64,
    /// Mean over the cases of |mean v_x - command|, m/s.
    pub mean_vx_error: f64,
    /// Mean over the cases of |mean v_y - command|, m/s.
    pub mean_vy_error: f64,
    /// Mean over the cases of the length of the horizontal velocity error, m/s.
    pub mean_velocity_error: f64,
    /// Mean over the cases of |mean w_z - command|, rad/s.
    pub mean_yaw_rate_error: f64,
    /// Every case: commands from rest first, then braking.
    pub cases: Vec<CaseReport>,
}

/// The recovery policy of one bundle on one robot, ready to be tested.
pub struct RecoveryEvaluation<'a> {
    robot: &'a Robot,
    bundle: &'a Bundle,
    config: &'a EvalConfig,
    physics: &'a PhysicsConfig,
    seed: u64,
    controller: Controller,
}

/// How a trial begins, and what is commanded.
#[derive(Clone, Copy, Debug)]
struct Case {
    start_vx_mps: f32,
    command: Twist,
}

/// What one trial showed.
#[derive(Default)]
struct TrialResult {
    fell: bool,
    /// Mean v_x, v_y and w_z over the second half.
    mean: [f64; 3],
    worst_tilt_rad: f32,
    /// Distance until it first was slower than the bound.
    stopping_distance_m: Option<f32>,
}

impl<'a> RecoveryEvaluation<'a> {
    /// Checks the settings, and that the bundle fits the robot.
    ///
    /// # Errors
    /// One line that says what does not fit.
    pub fn new(
        robot: &'a Robot,
        bundle: &'a Bundle,
        config: &'a EvalConfig,
        physics: &'a PhysicsConfig,
        controller: &ControllerConfig,
        seed: u64,
    ) -> Result<Self, EvalError> {
        config.validate(physics)?;
        Ok(Self {
            robot,
            bundle,
            config,
            physics,
            seed,
            controller: Controller::new(robot, bundle, Method::recovery(), controller)?,
        })
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
            link: SimLink::new(self.robot, rays, None),
        };
        let plan = TrialPlan {
            evaluation: self,
            cases: self.cases(command),
        };
        let numbers: Vec<u64> = (0..self.trials(command) as u64).collect();
        let observe = |_: &Case| TrialObserver {
            evaluation: self,
            sum: [0.0; 3],
            counted: 0,
            result: TrialResult::default(),
        };
        let results = runner.run(&plan, &numbers, observe, progress)?;
        let trials = results.chunks_exact(self.config.recovery.trials);
        let cases = plan.cases.iter().zip(trials);
        Ok(self.summarize(
            cases
                .map(|(case, trials)| CaseReport::new(*case, trials))
                .collect(),
        ))
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

    fn summarize(&self, cases: Vec<CaseReport>) -> RecoveryReport {
        let episodes: usize = cases.iter().map(|case| case.trials).sum();
        let falls: usize = cases.iter().map(|case| case.falls).sum();
        let errors: Vec<[f64; 3]> = cases.iter().filter_map(CaseReport::error).collect();
        let mean = |value: fn(&[f64; 3]) -> f64| {
            errors.iter().map(value).sum::<f64>() / errors.len().max(1) as f64
        };
        RecoveryReport {
            robot: self.robot.name.clone(),
            method: Method::recovery(),
            engine: self.config.engine,
            episodes,
            seed: self.seed,
            survival_rate: 1.0 - falls as f64 / episodes.max(1) as f64,
            mean_vx_error: mean(|e| e[0].abs()),
            mean_vy_error: mean(|e| e[1].abs()),
            mean_velocity_error: mean(|e| e[0].hypot(e[1])),
            mean_yaw_rate_error: mean(|e| e[2].abs()),
            cases,
        }
    }
}

/// Every trial of every case.
struct TrialPlan<'a> {
    evaluation: &'a RecoveryEvaluation<'a>,
    cases: Vec<Case>,
}

impl Plan for TrialPlan<'_> {
    type Episode = Case;
    type Error = EvalError;

    /// The standing pose, at speed where the case says so.
    fn begin(&self, number: u64) -> Result<(Case, SlotStart), EvalError> {
        let RecoveryEvaluation {
            robot,
            config,
            seed,
            ..
        } = self.evaluation;
        let case = self.cases[number as usize / config.recovery.trials];
        let mut stream = stream(*seed, number);
        let physics = EpisodeStart {
            linear_velocity_world: Vector3::x() * case.start_vx_mps,
            dynamics: Dynamics {
                friction: uniform(config.testbed.friction, &mut stream),
                ..Dynamics::nominal(robot)
            },
            ..EpisodeStart::standing(robot)
        };
        let start = SlotStart {
            physics,
            goal: Goal {
                position_world: Point2::origin(),
                heading_rad: 0.0,
            },
            duration_s: config.recovery.trial_s,
            noise_seed: stream.next_u64(),
            scanned_before: false,
        };
        Ok((case, start))
    }

    fn controller(&self, _case: &Case) -> &Controller {
        &self.evaluation.controller
    }

    fn command(&self, case: &Case) -> Option<Twist> {
        Some(case.command)
    }

    fn next(&self, _case: &mut Case, step: &Step<'_>) -> Next {
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
    result: TrialResult,
}

impl<'a> Observer<TrialPlan<'a>> for TrialObserver<'a> {
    type Record = TrialResult;

    fn stepped(&mut self, _case: &mut Case, step: &Step<'_>, _slot: &Slot) {
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

    fn finish(self, _case: Case, _step: &Step<'_>, _slot: &mut Slot) -> TrialResult {
        TrialResult {
            mean: self.sum.map(|sum| sum / f64::from(self.counted.max(1))),
            ..self.result
        }
    }
}

impl CaseReport {
    fn new(case: Case, trials: &[TrialResult]) -> Self {
        let upright: Vec<&TrialResult> = trials.iter().filter(|trial| !trial.fell).collect();
        let mean = |axis: usize| {
            let sum: f64 = upright.iter().map(|trial| trial.mean[axis]).sum();
            (!upright.is_empty()).then(|| sum / upright.len() as f64)
        };
        let stops = case.start_vx_mps != 0.0 && case.command == Twist::default();
        let stopped = trials.iter().map(|trial| {
            let way_m = trial.stopping_distance_m?;
            (!trial.fell).then_some(way_m)
        });
        let stopped: Option<Vec<f32>> = stopped.collect();
        Self {
            start_vx_mps: case.start_vx_mps,
            command: case.command,
            trials: trials.len(),
            falls: trials.len() - upright.len(),
            mean_vx_mps: mean(0),
            mean_vy_mps: mean(1),
            mean_yaw_rate_radps: mean(2),
            worst_tilt_rad: trials
                .iter()
                .fold(0.0, |w, trial| w.max(trial.worst_tilt_rad)),
            stopping_distance_m: stopped
                .filter(|_| stops)
                .map(|ways| ways.into_iter().fold(0.0, f32::max)),
        }
    }

    /// Mean velocity minus command: v_x, v_y, w_z.
    pub fn error(&self) -> Option<[f64; 3]> {
        Some([
            self.mean_vx_mps? - f64::from(self.command.vx_mps),
            self.mean_vy_mps? - f64::from(self.command.vy_mps),
            self.mean_yaw_rate_radps? - f64::from(self.command.yaw_rate_radps),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(fell: bool, mean: [f64; 3], stopping_distance_m: Option<f32>) -> TrialResult {
        TrialResult {
            fell,
            mean,
            worst_tilt_rad: 0.1 + 0.1 * mean[0] as f32,
            stopping_distance_m,
        }
    }

    #[test]
    fn falls_count_and_do_not_enter_the_means() {
        let command = Twist {
            vx_mps: 1.0,
            vy_mps: 0.0,
            yaw_rate_radps: -1.0,
        };
        let case = Case {
            start_vx_mps: 0.0,
            command,
        };
        let trials = [
            trial(false, [1.0, 0.25, -1.0], Some(0.0)),
            trial(false, [0.5, 0.25, -2.0], Some(0.0)),
            trial(true, [9.0, 9.0, 9.0], None),
        ];
        let report = CaseReport::new(case, &trials);
        assert_eq!((report.trials, report.falls), (3, 1));
        assert_eq!(report.error(), Some([-0.25, 0.25, -0.5]));
        assert!((report.worst_tilt_rad - 1.0).abs() < 1e-6);
        assert_eq!(report.stopping_distance_m, None, "it was not to stop");
        assert_eq!(CaseReport::new(case, &trials[2..]).error(), None);
    }

    #[test]
    fn the_longest_way_to_a_stop_counts_if_every_trial_stopped() {
        let case = Case {
            start_vx_mps: 3.0,
            command: Twist::default(),
        };
        let trials = [
            trial(false, [0.0; 3], Some(0.7)),
            trial(false, [0.0; 3], Some(0.9)),
            trial(false, [0.0; 3], None),
            trial(true, [0.0; 3], Some(0.1)),
        ];
        let way_m = |trials| CaseReport::new(case, trials).stopping_distance_m;
        assert_eq!(way_m(&trials[..2]), Some(0.9));
        assert_eq!(way_m(&trials[1..3]), None);
        assert_eq!(way_m(&trials[3..]), None);
    }
}
