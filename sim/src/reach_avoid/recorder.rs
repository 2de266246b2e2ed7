use std::ops::Range;

use controller::{
    ControlInput, Controller, ControllerConfig, ControllerError, Fault, Method, RobotLink,
};
use nalgebra::Point2;
use policies::{
    Bundle, GoalYaw, Layout, ObservationInput, RayScan, Twist,
    observation::{FrameHistory, terms},
    reach_avoid::{Rollouts, margins::target_margin},
    spec::role,
};
use rayon::prelude::*;
use robots::Robot;

use super::{
    RolloutConfig, RolloutConfigError,
    plan::{EpisodePlan, Plan, Planner},
};
use crate::{
    engine::{self, Engine, EngineError, EngineKind, PhysicsState},
    episode::SimLink,
    eval::touching_body,
    scene::TestbedError,
};

/// Records episodes of a bundle's agile policy.
pub struct RolloutRecorder<'a> {
    robot: &'a Robot,
    bundle: &'a Bundle,
    config: &'a RolloutConfig,
    seed: u64,
    controller: Controller,
    layout: Layout,
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
    /// The engine cannot hold the robot or a scene.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The policy cannot be run.
    #[error("episode {episode} at {time_s:.2} s: {fault}")]
    Fault {
        /// Number of the episode.
        episode: u64,
        /// Time in the episode, s.
        time_s: f32,
        /// What the controller said.
        fault: Fault,
    },
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
        seed: u64,
    ) -> Result<Self, RolloutError> {
        config.validate()?;
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
            seed,
        })
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
        // rapier gains nothing from stepping robots together, and one robot never waits for another.
        let (robots, per_batch) = match self.config.engine {
            EngineKind::Rapier => (1, 4),
            EngineKind::Batch => (64, 512),
        };
        let planner = Planner::new(self.robot, self.bundle, self.config)
            .map_err(|error| ControllerError::Bundle(error.into()))?;
        let episodes: Vec<u64> = episodes.collect();
        let recorded: Vec<Rollouts> = episodes
            .par_chunks(per_batch)
            .map(|episodes| Batch::new(self, &planner, robots.min(episodes.len()))?.run(episodes))
            .collect::<Result<_, RolloutError>>()?;
        let mut all = Rollouts::new(self.layout.dim());
        for rollouts in &recorded {
            all.append(rollouts);
        }
        Ok(all)
    }
}

/// Some robots of one engine; each takes the next episode when its own has ended.
struct Batch<'a> {
    job: &'a RolloutRecorder<'a>,
    planner: &'a Planner<'a>,
    engine: Box<dyn Engine>,
    seats: Vec<Seat>,
    physics: PhysicsState,
}

/// A robot of the engine and its episode.
struct Seat {
    controller: Controller,
    link: SimLink,
    input: ControlInput,
    episode: Option<Episode>,
}

struct Episode {
    number: u64,
    /// Place in the result.
    place: usize,
    plan: EpisodePlan,
    phase: Phase,
    /// Policy steps since the phase began.
    steps: usize,
    /// Policy steps in the recorded scene.
    scene_steps: usize,
    /// Recorded steps since the first at the goal, that one included.
    steps_at_goal: usize,
    recorded: Recorded,
}

/// What an episode is about, in this order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The agile policy runs in another scene.
    RunUp,
    /// The recovery policy follows a twist in the recorded scene.
    Recovering,
    /// The agile policy runs, and is recorded.
    Recording,
}

#[derive(Default)]
struct Recorded {
    observations: Vec<f32>,
    goal_distance_m: Vec<f32>,
    collided: bool,
}

impl<'a> Batch<'a> {
    fn new(
        job: &'a RolloutRecorder<'a>,
        planner: &'a Planner<'a>,
        robots: usize,
    ) -> Result<Self, RolloutError> {
        let RolloutRecorder { robot, config, .. } = job;
        let rays = &job.bundle.spec.rays;
        let margin_m = config.illusion.then_some(config.illusion_margin_m);
        let seats = (0..robots).map(|_| Seat {
            controller: job.controller.clone(),
            link: SimLink::new(robot, rays, margin_m)
                .with_hidden_margin(job.config.agile.obstacles.margin_m),
            input: ControlInput::new(robot, rays),
            episode: None,
        });
        Ok(Self {
            engine: engine::build(config.engine, robot, &config.physics, robots)?,
            seats: seats.collect(),
            physics: PhysicsState::zero(robot),
            job,
            planner,
        })
    }

    fn run(mut self, numbers: &[u64]) -> Result<Rollouts, RolloutError> {
        let mut recorded: Vec<Recorded> = Vec::new();
        recorded.resize_with(numbers.len(), Recorded::default);
        let mut waiting = numbers.iter().copied().enumerate();
        let mut targets_rad = Vec::new();
        loop {
            for seat in 0..self.seats.len() {
                if self.seats[seat].episode.is_none()
                    && let Some((place, number)) = waiting.next()
                {
                    self.begin(seat, place, number)?;
                }
            }
            if self.seats.iter().all(|seat| seat.episode.is_none()) {
                break;
            }
            targets_rad.clear();
            for seat in &mut self.seats {
                // A seat without episode stands by with its last target.
                seat.control(&self.job.layout)?;
                targets_rad.extend_from_slice(seat.link.target_rad());
            }
            self.engine.step(&targets_rad);
            for seat in 0..self.seats.len() {
                if let Some(episode) = self.follow(seat)? {
                    recorded[episode.place] = episode.recorded;
                }
            }
        }
        let mut rollouts = Rollouts::new(self.job.layout.dim());
        for episode in recorded {
            rollouts.push_episode(
                &episode.observations,
                &episode.goal_distance_m,
                episode.collided,
            );
        }
        Ok(rollouts)
    }

    fn begin(&mut self, index: usize, place: usize, number: u64) -> Result<(), RolloutError> {
        let plan = self.planner.plan(self.job.seed, number)?;
        let step_s = self.job.config.physics.policy_step_s();
        let seat = &mut self.seats[index];
        seat.controller.reset();
        let first = plan
            .run_up
            .as_ref()
            .map_or(&plan.recorded, |(run_up, _)| run_up);
        self.engine.reset(index, &first.start)?;
        self.engine.read(index, &mut self.physics);
        seat.enter(first, &self.physics, step_s);
        seat.episode = Some(Episode {
            number,
            place,
            phase: match (&plan.run_up, plan.recovering) {
                (Some(_), _) => Phase::RunUp,
                (None, Some(_)) => Phase::Recovering,
                (None, None) => Phase::Recording,
            },
            plan,
            steps: 0,
            scene_steps: 0,
            steps_at_goal: 0,
            recorded: Recorded::default(),
        });
        Ok(())
    }

    /// After the physics: the episode, if it is over.
    fn follow(&mut self, index: usize) -> Result<Option<Episode>, RolloutError> {
        let RolloutRecorder { robot, config, .. } = self.job;
        let seat = &mut self.seats[index];
        let Some(mut episode) = seat.episode.take() else {
            return Ok(None);
        };
        self.engine.read(index, &mut self.physics);
        if !self.physics.is_finite() {
            episode.recorded = Recorded::default();
            return Ok(Some(episode));
        }
        episode.steps += 1;
        let step_s = config.physics.policy_step_s();
        let steps = |time_s: f32| (time_s / step_s).round() as usize;
        let in_scene = match episode.phase {
            Phase::RunUp => episode.steps,
            Phase::Recovering | Phase::Recording => {
                episode.scene_steps += 1;
                episode.scene_steps
            }
        };
        seat.link.sense(&self.physics, in_scene as f32 * step_s);
        let collided = touching_body(robot, &self.physics).is_some();
        let EpisodePlan {
            run_up,
            recovering,
            recorded,
        } = &episode.plan;
        match episode.phase {
            Phase::Recording => {
                let goal = recorded.goal.position_world;
                let distance_m = (self.physics.position_world.xy() - goal).norm();
                if episode.steps_at_goal > 0 || target_margin(distance_m) <= 0.0 {
                    episode.steps_at_goal += 1;
                }
                let ends = in_scene >= steps(recorded.duration_s)
                    || episode.steps_at_goal > steps(config.after_reach_s);
                if collided || ends {
                    episode.recorded.collided = collided;
                    // What the controller would have seen next.
                    let Ok(()) = seat.link.read(&mut seat.input);
                    seat.controller
                        .observe_scan(&seat.input.state, &seat.input.rays);
                    let previous = seat.controller.previous_rays();
                    (episode.recorded).push(&self.job.layout, &seat.input, previous);
                    return Ok(Some(episode));
                }
            }
            // What the recovery policy runs into is not what the agile policy does.
            Phase::Recovering if collided => return Ok(Some(episode)),
            Phase::Recovering => {
                if recovering.is_none_or(|(_, last)| episode.steps >= last) {
                    episode.phase = Phase::Recording;
                    episode.steps = 0;
                }
            }
            Phase::RunUp => {
                if collided
                    || run_up
                        .as_ref()
                        .is_none_or(|(_, last)| episode.steps >= *last)
                {
                    let start = if collided {
                        // Who falls while running up begins at rest.
                        seat.controller.reset();
                        recorded.start.clone()
                    } else {
                        // The controller is not reset: what the robot did last is part of how it runs.
                        recorded.running(&self.physics)
                    };
                    self.engine.reset(index, &start)?;
                    self.engine.read(index, &mut self.physics);
                    seat.enter(recorded, &self.physics, step_s);
                    episode.phase = match recovering {
                        Some(_) => Phase::Recovering,
                        None => Phase::Recording,
                    };
                    episode.steps = 0;
                }
            }
        }
        seat.episode = Some(episode);
        Ok(None)
    }
}

impl Seat {
    /// Enters the scene of a plan, where the robot now is. What moves in it has moved before: the policies have seen where it was.
    fn enter(&mut self, plan: &Plan, physics: &PhysicsState, step_s: f32) {
        let obstacles = &plan.start.obstacles;
        self.link
            .reset(obstacles, plan.goal, plan.duration_s, plan.noise_seed);
        self.controller.enter_scene();
        for step in (0..self.controller.previous_steps()).rev() {
            self.link.sense(physics, -(step as f32 + 1.0) * step_s);
            let Ok(()) = self.link.read(&mut self.input);
            self.controller
                .observe_scan(&self.input.state, &self.input.rays);
        }
        self.link.sense(physics, 0.0);
    }

    /// One cycle of the controller, recorded as it saw it.
    fn control(&mut self, layout: &Layout) -> Result<(), RolloutError> {
        let Some(episode) = &mut self.episode else {
            return Ok(());
        };
        let recovering = episode.phase == Phase::Recovering;
        let twist = episode.plan.recovering.filter(|_| recovering);
        self.controller.set_command(twist.map(|(twist, _)| twist));
        let Ok(()) = self.controller.cycle(&mut self.link, &mut self.input);
        if let Some(fault) = self.controller.fault() {
            return Err(RolloutError::Fault {
                episode: episode.number,
                time_s: self.link.time_s(),
                fault,
            });
        }
        if episode.phase == Phase::Recording {
            let previous = self.controller.previous_rays();
            episode.recorded.push(layout, &self.input, previous);
        }
        Ok(())
    }
}

impl Recorded {
    fn push(&mut self, layout: &Layout, input: &ControlInput, previous: &RayScan) {
        let goal: Point2<f32> = input.goal.position_world;
        self.goal_distance_m
            .push((input.state.position_world.xy() - goal).norm());
        let first = self.observations.len();
        self.observations.resize(first + layout.dim(), 0.0);
        layout.write(
            &ObservationInput {
                state: &input.state,
                foot_contact: &input.state.foot_contact,
                goal: GoalYaw::new(&input.state, &input.goal),
                time_left_s: input.time_left_s,
                twist: Twist::default(),
                previous_action: &[],
                ray_distance_m: &input.rays.distance_m,
                previous_ray_distance_m: &previous.distance_m,
            },
            &mut self.observations[first..],
        );
        FrameHistory::new(layout).complete(layout, &mut self.observations[first..]);
    }
}
