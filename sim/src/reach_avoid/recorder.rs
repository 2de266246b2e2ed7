use std::ops::Range;

use controller::{Controller, ControllerConfig, ControllerError, Method, RobotLink};
use nalgebra::Point2;
use policies::{
    Bundle, GoalYaw, Layout, ObservationInput, Twist,
    observation::{FrameHistory, terms},
    reach_avoid::{Rollouts, margins::target_margin},
    spec::role,
};
use robots::Robot;

use super::{
    RolloutConfig, RolloutConfigError,
    plan::{Planner, RolloutPlan, running},
};
use crate::{
    engine::PhysicsConfig,
    episode::{EpisodeError, Next, Observer, Plan, Runner, SimLink, Slot, SlotStart, Step},
    reality::{RealityConfig, RealityError},
    scene::TestbedError,
};

/// Records episodes of a bundle's agile policy.
pub struct RolloutRecorder<'a> {
    robot: &'a Robot,
    bundle: &'a Bundle,
    config: &'a RolloutConfig,
    physics: &'a PhysicsConfig,
    seed: u64,
    controller: Controller,
    layout: Layout,
    reality: RealityConfig,
}

/// Why episodes cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// A setting is out of range.
    #[error(transparent)]
    Config(#[from] RolloutConfigError),
    /// A scene cannot be drawn.
    #[error("reach_avoid.rollouts.testbed: {0}")]
    Testbed(#[from] TestbedError),
    /// The bundle does not fit the robot.
    #[error(transparent)]
    Controller(#[from] ControllerError),
    /// The reality is impossible.
    #[error(transparent)]
    Reality(#[from] RealityError),
    /// An episode cannot be run.
    #[error(transparent)]
    Episode(#[from] EpisodeError),
}

impl<'a> RolloutRecorder<'a> {
    /// Checks the settings, and that the bundle fits the robot.
    ///
    /// # Errors
    /// One line that says what does not fit.
    pub fn new(
        robot: &'a Robot,
        bundle: &'a Bundle,
        config: &'a RolloutConfig,
        physics: &'a PhysicsConfig,
        seed: u64,
    ) -> Result<Self, RolloutError> {
        config.validate()?;
        let step = bundle.spec.check_policy_step(physics.policy_step_s());
        step.map_err(|error| ControllerError::Bundle(error.into()))?;
        let controller = ControllerConfig::default();
        Ok(Self {
            controller: if bundle.has(role::RECOVERY) {
                Controller::commanded(robot, bundle, &controller)?
            } else {
                Controller::new(robot, bundle, Method::agile(), &controller)?
            },
            layout: Layout::new(
                &terms::reach_avoid(&bundle.spec.rays),
                &bundle.spec.robot,
                &bundle.spec.rays,
            )
            .unwrap_or_else(|error| unreachable!("{error}")),
            robot,
            bundle,
            config,
            physics,
            seed,
            reality: RealityConfig::default(),
        })
    }

    /// On robots that differ from the simulation.
    ///
    /// # Errors
    /// The first range that is wrong.
    pub fn with_reality(mut self, reality: &RealityConfig) -> Result<Self, RolloutError> {
        reality.validate()?;
        self.reality.clone_from(reality);
        Ok(self)
    }

    /// What a row observes.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Records episodes on all threads of the current rayon pool, in order; each depends on the seed and its number
    /// alone. An episode in which the simulation fails is left out.
    ///
    /// # Errors
    /// A scene that cannot be drawn or held by the engine, or a policy whose output is not finite.
    pub fn record(&self, episodes: Range<u64>) -> Result<Rollouts, RolloutError> {
        let RolloutRecorder {
            robot,
            bundle,
            config,
            physics,
            ..
        } = *self;
        let rays = &bundle.spec.rays;
        let runner = Runner {
            robot,
            engine: config.engine,
            physics,
            rays,
            link: SimLink::new(robot, rays, bundle.spec.illusion_margin_m)
                .with_collision_margin(config.agile.obstacles.collision_margin())
                .with_reality(&self.reality, robot, rays),
        };
        let planner = Planner::new(robot, bundle, config, physics.policy_step_s());
        let plan = Rollout {
            recorder: self,
            planner: planner.map_err(RolloutConfigError::from)?,
        };
        let observe = |_: &RolloutEpisode| Recorded::new(&self.layout);
        let numbers: Vec<u64> = episodes.collect();
        let mut rollouts = Rollouts::new(self.layout.dim());
        for episode in runner.run(&plan, &numbers, observe, || ())? {
            rollouts.push_episode(
                &episode.observations,
                &episode.goal_distance_m,
                episode.collided,
            );
        }
        Ok(rollouts)
    }
}

/// The episodes to record.
struct Rollout<'a> {
    recorder: &'a RolloutRecorder<'a>,
    planner: Planner<'a>,
}

struct RolloutEpisode {
    plan: RolloutPlan,
    phase: Phase,
    /// Policy steps since the phase began.
    steps: usize,
    /// Recorded steps since the first at the goal, that one included.
    steps_at_goal: usize,
}

/// The phases of an episode, in this order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The agile policy runs in another scene.
    RunUp,
    /// The recovery policy follows a twist in the recorded scene.
    Recovering,
    /// The agile policy runs, and is recorded.
    Recording,
}

impl RolloutPlan {
    /// The first phase in the recorded scene.
    fn phase_in_scene(&self) -> Phase {
        match self.recovering {
            Some(_) => Phase::Recovering,
            None => Phase::Recording,
        }
    }
}

impl Plan for Rollout<'_> {
    type Episode = RolloutEpisode;
    type Error = RolloutError;

    fn begin(&self, number: u64) -> Result<(RolloutEpisode, SlotStart), RolloutError> {
        let mut plan = self.planner.plan(self.recorder.seed, number)?;
        let RolloutRecorder {
            robot,
            physics,
            reality,
            ..
        } = self.recorder;
        let seed = plan.recorded.noise_seed;
        let run_up = plan.run_up.as_mut().map(|(start, _)| start);
        for start in run_up.into_iter().chain([&mut plan.recorded]) {
            reality.change_dynamics(robot, &mut start.physics.dynamics, physics.step_s, seed);
        }
        let (phase, start) = match &plan.run_up {
            Some((run_up, _)) => (Phase::RunUp, run_up.clone()),
            None => (plan.phase_in_scene(), plan.recorded.clone()),
        };
        let episode = RolloutEpisode {
            plan,
            phase,
            steps: 0,
            steps_at_goal: 0,
        };
        Ok((episode, start))
    }

    fn controller(&self, _episode: &RolloutEpisode) -> &Controller {
        &self.recorder.controller
    }

    fn command(&self, episode: &RolloutEpisode) -> Option<Twist> {
        let is_recovering = episode.phase == Phase::Recovering;
        let (twist, _) = episode.plan.recovering.filter(|_| is_recovering)?;
        Some(twist)
    }

    fn next(&self, episode: &mut RolloutEpisode, step: &Step<'_>) -> Next {
        if step.failed {
            return Next::End;
        }
        episode.steps += 1;
        let RolloutPlan {
            run_up,
            recovering,
            recorded,
        } = &episode.plan;
        match episode.phase {
            Phase::Recording => {
                let steps =
                    |time_s: f32| (time_s / self.recorder.physics.policy_step_s()).round() as usize;
                let goal = recorded.goal.position_world;
                let distance_m = (step.physics.position_world.xy() - goal).norm();
                if episode.steps_at_goal > 0 || target_margin(distance_m) <= 0.0 {
                    episode.steps_at_goal += 1;
                }
                let after_reach_s = self.recorder.config.after_reach_s;
                let ends = step.steps >= steps(recorded.duration_s)
                    || episode.steps_at_goal > steps(after_reach_s);
                match step.collided || ends {
                    true => Next::End,
                    false => Next::Continue,
                }
            }
            // A collision of the recovery policy is none of the agile policy.
            Phase::Recovering if step.collided => Next::End,
            Phase::Recovering => {
                if recovering.is_none_or(|(_, last)| episode.steps >= last) {
                    episode.phase = Phase::Recording;
                }
                Next::Continue
            }
            Phase::RunUp => {
                let last = run_up.as_ref().map_or(0, |(_, last)| *last);
                if !step.collided && episode.steps < last {
                    return Next::Continue;
                }
                let mut start = Box::new(recorded.clone());
                if !step.collided {
                    // The controller is not reset: what the robot did last is part of how it runs.
                    start.physics = running(&recorded.physics, step.physics);
                }
                episode.phase = episode.plan.phase_in_scene();
                episode.steps = 0;
                Next::Start {
                    start,
                    // A robot that falls while running up starts at rest.
                    reset_controller: step.collided,
                }
            }
        }
    }
}

/// What is recorded of an episode.
struct Recorded<'a> {
    layout: &'a Layout,
    frames: FrameHistory,
    observations: Vec<f32>,
    goal_distance_m: Vec<f32>,
    collided: bool,
}

impl<'a> Observer<Rollout<'a>> for Recorded<'_> {
    type Record = Self;

    fn controlled(&mut self, episode: &mut RolloutEpisode, slot: &Slot) {
        if episode.phase == Phase::Recording {
            self.push(slot);
        }
    }

    fn finish(mut self, episode: RolloutEpisode, step: &Step<'_>, slot: &mut Slot) -> Self {
        if step.failed {
            return Self::new(self.layout);
        }
        if episode.phase == Phase::Recording {
            self.collided = step.collided;
            // What the controller would have observed next.
            let Ok(()) = slot.link.read(&mut slot.input);
            slot.controller
                .observe_scan(&slot.input.state, &slot.input.rays);
            self.push(slot);
        }
        self
    }
}

impl<'a> Recorded<'a> {
    fn new(layout: &'a Layout) -> Self {
        Self {
            frames: FrameHistory::new(layout),
            layout,
            observations: Vec::new(),
            goal_distance_m: Vec::new(),
            collided: false,
        }
    }

    fn push(&mut self, slot: &Slot) {
        let (input, previous) = (&slot.input, slot.controller.previous_rays());
        let goal: Point2<f32> = input.goal.position_world;
        self.goal_distance_m
            .push((input.state.position_world.xy() - goal).norm());
        let first = self.observations.len();
        self.observations.resize(first + self.layout.dim(), 0.0);
        self.layout.write(
            &ObservationInput {
                state: &input.state,
                foot_contact: &input.state.foot_contact,
                goal: GoalYaw::new(&input.state, &input.goal),
                time_left_s: input.time_left_s,
                twist: Twist::default(),
                previous_action: &[],
                ray_distance_m: &input.rays.distance_m,
                previous_ray_distance_m: &previous.distance_m,
                reality: &[],
            },
            &mut self.observations[first..],
        );
        (self.frames).complete(self.layout, &mut self.observations[first..]);
    }
}
