use std::time::Instant;

use controller::{Controller, ControllerConfig, ControllerError, Method, Mode, RobotLink};
use policies::{Bundle, Quantity};
use robots::Robot;

use super::{
    config::{EvalConfig, EvalError, RaySource},
    gait::GaitMeter,
    outcome::OutcomeTracker,
    paper_rule::PaperRule,
    record::{EpisodeRecord, EvalReport, TraceStep},
};
use crate::{
    engine::{EpisodeStart, PhysicsConfig, PhysicsState},
    episode::{Next, Observer, Plan, Runner, SimLink, Slot, SlotStart, Step},
    reality::RealityConfig,
    scene::TestScene,
    sensors::{CameraConfig, DepthRays},
};

/// How long before a collision the switch must have seen it coming, s.
const FALSE_SAFE_S: f32 = 0.5;

/// One bundle on one robot, ready to be tested.
pub struct Evaluation<'a> {
    robot: &'a Robot,
    bundle: &'a Bundle,
    method: Method,
    config: &'a EvalConfig,
    physics: &'a PhysicsConfig,
    seed: u64,
    controller: Controller,
    link: SimLink,
    reality: RealityConfig,
}

impl<'a> Evaluation<'a> {
    /// Checks the settings, and that the bundle fits the robot. The method is one that runs to a goal.
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
        if let Method::Policy(role) = method
            && !bundle.spec.observes(&role, Quantity::GoalPosition)
            && bundle.has(&role)
        {
            return Err(EvalError::NoGoal);
        }
        let step = bundle.spec.check_policy_step(physics.policy_step_s());
        step.map_err(EvalError::PolicyStep)?;
        let link = SimLink::new(robot, &bundle.spec.rays, bundle.spec.illusion_margin_m);
        Ok(Self {
            link: match config.rays {
                RaySource::Exact => link,
                RaySource::Depth => with_predicted_rays(link, robot, bundle, &config.camera)?,
            },
            robot,
            bundle,
            method,
            config,
            physics,
            seed,
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
        let rays = &self.bundle.spec.rays;
        self.link = self.link.with_reality(reality, self.robot, rays);
        self.reality.clone_from(reality);
        Ok(self)
    }

    /// Runs the configured number of episodes and summarizes them. `progress` is called after each, from any thread.
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub fn report(
        &self,
        progress: &(dyn Fn() + Sync),
    ) -> Result<(EvalReport, Vec<EpisodeRecord>), EvalError> {
        let indices: Vec<u64> = (0..self.config.episodes as u64).collect();
        let start = Instant::now();
        let records = self.run(&indices, self.config.every_step, progress)?;
        let wall_s = start.elapsed().as_secs_f64();
        let (name, engine) = (&self.robot.name, self.config.engine);
        let report = EvalReport {
            rays: self.config.rays,
            scene: self.config.testbed.name.clone(),
            reality: self.reality.clone(),
            ..EvalReport::new(name, self.method, engine, self.seed, &records, wall_s)
        };
        Ok((report, records))
    }

    /// Runs chosen episodes on all threads of the current rayon pool; records come in the order of `indices`, and
    /// depend neither on the other episodes nor on the number of threads.
    ///
    /// # Errors
    /// A scene that cannot be drawn or held by the engine, or a policy whose output is not finite.
    pub fn run(
        &self,
        indices: &[u64],
        traced: bool,
        progress: &(dyn Fn() + Sync),
    ) -> Result<Vec<EpisodeRecord>, EvalError> {
        let runner = Runner {
            robot: self.robot,
            engine: self.config.engine,
            physics: self.physics,
            rays: &self.bundle.spec.rays,
            link: self.link.clone(),
        };
        let observe = |episode: &TestEpisode| EpisodeObserver {
            evaluation: self,
            traced,
            gait: GaitMeter::new(self.robot, &episode.start, self.physics),
            modes: Vec::new(),
            trace: Vec::new(),
        };
        runner.run(self, indices, observe, progress)
    }
}

/// The link of a robot that predicts its rays with its camera and the ray network of the bundle.
fn with_predicted_rays(
    link: SimLink,
    robot: &Robot,
    bundle: &Bundle,
    config: &CameraConfig,
) -> Result<SimLink, EvalError> {
    let camera = robot.camera.as_ref();
    let camera = camera.ok_or_else(|| EvalError::NoCamera(robot.name.clone()))?;
    let network = bundle.ray_network().map_err(ControllerError::from)?;
    let memory = bundle.ray_memory().map_err(ControllerError::from)?;
    let sensor =
        DepthRays::new(camera, network, config).map_err(|source| EvalError::Projection {
            robot: robot.name.clone(),
            source,
        })?;
    Ok(link.with_predicted_rays(sensor, memory, &bundle.spec.rays))
}

/// An episode while it runs. It goes on until it is over by both collision rules; by ours it ends with the first collision.
pub struct TestEpisode {
    scene: TestScene,
    start: EpisodeStart,
    outcome: OutcomeTracker,
    /// Policy steps until then.
    steps: usize,
    paper_rule: PaperRule,
}

impl TestEpisode {
    /// By our rule.
    fn is_over(&self) -> bool {
        self.outcome.collision().is_some()
    }
}

impl Plan for Evaluation<'_> {
    type Episode = TestEpisode;
    type Error = EvalError;

    fn begin(&self, number: u64) -> Result<(TestEpisode, SlotStart), EvalError> {
        let scene = TestScene::new(self.seed, number, &self.config.testbed)?;
        let mut physics = scene.start(self.robot);
        let step_s = self.physics.step_s;
        (self.reality).change_dynamics(self.robot, &mut physics.dynamics, step_s, scene.noise_seed);
        let start = SlotStart {
            physics,
            goal: scene.goal,
            duration_s: self.config.episode_s,
            noise_seed: scene.noise_seed,
            scanned_before: false,
        };
        let episode = TestEpisode {
            outcome: OutcomeTracker::new(
                scene.start_world,
                scene.goal.position_world,
                self.config.reach_m,
            ),
            steps: 0,
            paper_rule: PaperRule::new(self.robot),
            start: start.physics.clone(),
            scene,
        };
        Ok((episode, start))
    }

    fn controller(&self, _episode: &TestEpisode) -> &Controller {
        &self.controller
    }

    fn next(&self, episode: &mut TestEpisode, step: &Step<'_>) -> Next {
        let is_late = step.steps >= self.config.steps(self.physics);
        let is_over = episode.is_over() && episode.paper_rule.is_over();
        match step.failed || is_over || is_late {
            true => Next::End,
            false => Next::Continue,
        }
    }
}

/// Keeps the record of an episode.
struct EpisodeObserver<'a> {
    evaluation: &'a Evaluation<'a>,
    traced: bool,
    gait: GaitMeter<'a>,
    /// What decided each policy step.
    modes: Vec<Mode>,
    trace: Vec<TraceStep>,
}

impl EpisodeObserver<'_> {
    /// The last step of a trace: what the controller has observed after the end, and what it had decided before.
    fn trace_end(&mut self, slot: &Slot, time_s: f32) {
        let end = TraceStep::new(slot, time_s);
        let decided = match self.trace.last() {
            Some(last) => TraceStep {
                mode: last.mode,
                value: last.value,
                twist: last.twist,
                ..end
            },
            None => end,
        };
        self.trace.push(decided);
    }
}

impl<'a> Observer<Evaluation<'a>> for EpisodeObserver<'a> {
    type Record = EpisodeRecord;
    const EVERY_PHYSICS_STEP: bool = true;

    fn controlled(&mut self, episode: &mut TestEpisode, slot: &Slot) {
        if episode.is_over() {
            if self.traced && self.trace.len() == episode.steps {
                self.trace_end(slot, slot.link.time_s());
            }
            return;
        }
        if self.traced {
            self.trace.push(TraceStep::new(slot, slot.link.time_s()));
        }
        self.modes.push(slot.controller.mode());
        self.gait.command(slot.link.target_rad());
    }

    fn physics_stepped(&mut self, episode: &mut TestEpisode, physics: &PhysicsState) {
        episode.paper_rule.physics_stepped(physics);
        if !episode.is_over() {
            self.gait.observe(physics);
        }
    }

    fn stepped(&mut self, episode: &mut TestEpisode, step: &Step<'_>, slot: &Slot) {
        let TestEpisode {
            scene,
            outcome,
            steps,
            paper_rule,
            ..
        } = episode;
        let was_over = outcome.collision().is_some();
        if !was_over {
            *steps = step.steps;
        }
        let Step {
            physics, time_s, ..
        } = *step;
        if step.failed {
            paper_rule.fail();
            if !was_over {
                outcome.fail(slot.input.state.position_world, time_s);
            }
            return;
        }
        let distance_m = (physics.position_world.xy() - scene.goal.position_world).norm();
        paper_rule.stepped(physics, &scene.obstacles, time_s, distance_m);
        if !was_over {
            outcome.observe(self.evaluation.robot, physics, time_s);
        }
    }

    fn finish(mut self, episode: TestEpisode, step: &Step<'_>, slot: &mut Slot) -> EpisodeRecord {
        if self.traced && self.trace.len() == episode.steps {
            // What the controller would have observed next.
            let Ok(()) = slot.link.read(&mut slot.input);
            self.trace_end(slot, step.time_s);
        }
        let Evaluation {
            config, physics, ..
        } = self.evaluation;
        let false_safe_steps = (FALSE_SAFE_S / physics.policy_step_s()).round() as usize;
        let Self { modes, gait, .. } = self;
        let TestEpisode {
            scene,
            outcome,
            steps,
            paper_rule,
            ..
        } = episode;
        EpisodeRecord {
            outcome: outcome.outcome(),
            steps,
            final_distance_m: outcome.distance_m(),
            mean_speed_mps: outcome.mean_speed_mps(),
            peak_speed_mps: outcome.peak_speed_mps(),
            arrival: outcome.arrival(),
            recovery_steps: count_recovery(&modes),
            false_safe: outcome.collision().is_some() && was_safe(&modes, false_safe_steps),
            collision: outcome.into_collision(),
            paper_outcome: paper_rule.outcome(config.reach_m),
            gait: gait.finish(),
            scene,
            trace: self.trace,
        }
    }
}

fn count_recovery(modes: &[Mode]) -> usize {
    let recovery = modes.iter().filter(|mode| **mode == Mode::Recovery);
    recovery.count()
}

/// Whether the agile policy acted `steps` before the last step, or at the start of a shorter episode.
fn was_safe(modes: &[Mode], steps: usize) -> bool {
    let before = modes.len().saturating_sub(1 + steps);
    modes.get(before) == Some(&Mode::Agile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_episode_was_safe_if_the_agile_policy_acted_in_time() {
        let (a, r) = (Mode::Agile, Mode::Recovery);
        assert!(was_safe(&[r, a, r, r], 2));
        assert!(!was_safe(&[a, r, a, a], 2));
        // Shorter than that: the start counts.
        assert!(was_safe(&[a, r], 25) && !was_safe(&[r, a], 25) && !was_safe(&[], 25));
        assert_eq!(count_recovery(&[r, a, r]), 2);
    }
}
