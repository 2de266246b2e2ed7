use controller::{ControlInput, Controller, RobotLink};
use policies::RaySpec;
use rayon::prelude::*;
use robots::Robot;

use super::{EpisodeError, Next, Observer, Plan, SimLink, SlotStart, Step};
use crate::engine::{self, Engine, EngineKind, PhysicsConfig, PhysicsState};

/// Runs the episodes of a plan on all threads of the current rayon pool.
pub struct Runner<'a> {
    /// The robot.
    pub robot: &'a Robot,
    /// The engine that it is simulated in.
    pub engine: EngineKind,
    /// Physics.
    pub physics: &'a PhysicsConfig,
    /// The rays of the policies.
    pub rays: &'a RaySpec,
    /// The sensors.
    pub link: SimLink,
}

impl Runner<'_> {
    /// Runs the episodes with these numbers. Records come in the order of `numbers`, and depend neither on the other
    /// episodes nor on the number of threads. `observe` makes the observer of an episode; `progress` is called after each,
    /// from any thread.
    ///
    /// # Errors
    /// Those of the plan, a scene that the engine cannot hold, or a policy whose output is not finite.
    pub fn run<P: Plan, O: Observer<P>>(
        &self,
        plan: &P,
        numbers: &[u64],
        observe: impl Fn(&P::Episode) -> O + Sync,
        progress: impl Fn() + Sync,
    ) -> Result<Vec<O::Record>, P::Error> {
        let together = self.engine.robots_together();
        // Enough episodes for each engine that its slots are rarely idle, and enough engines for all threads.
        let even = numbers.len().div_ceil(2 * rayon::current_num_threads());
        let records: Vec<Vec<O::Record>> = numbers
            .par_chunks(even.clamp(together, 8 * together))
            .map(|numbers| {
                let slots = together.min(numbers.len());
                Slots::new(self, plan, slots)?.run(numbers, &observe, &progress)
            })
            .collect::<Result<_, P::Error>>()?;
        Ok(records.into_iter().flatten().collect())
    }
}

/// An environment slot: a robot of an engine with its sensors and its controller.
pub struct Slot {
    /// What controls the robot.
    pub controller: Controller,
    /// What it observes and commands.
    pub link: SimLink,
    /// What it observed last.
    pub input: ControlInput,
}

/// The slots of one engine; each takes the next episode when its own has ended.
struct Slots<'a, P: Plan, O> {
    runner: &'a Runner<'a>,
    plan: &'a P,
    engine: Box<dyn Engine>,
    running: Vec<Option<Running<P::Episode, O>>>,
    physics: PhysicsState,
}

/// An episode in its slot.
struct Running<E, O> {
    number: u64,
    /// Place of the record in the result.
    place: usize,
    episode: E,
    observer: O,
    slot: Slot,
    /// Policy steps since the slot started, or since the goal changed.
    steps: usize,
}

impl<'a, P: Plan, O: Observer<P>> Slots<'a, P, O> {
    fn new(runner: &'a Runner<'a>, plan: &'a P, slots: usize) -> Result<Self, EpisodeError> {
        let Runner { robot, physics, .. } = runner;
        Ok(Self {
            engine: engine::build(runner.engine, robot, physics, slots)?,
            running: std::iter::repeat_with(|| None).take(slots).collect(),
            physics: PhysicsState::zero(robot),
            runner,
            plan,
        })
    }

    fn run(
        mut self,
        numbers: &[u64],
        observe: &impl Fn(&P::Episode) -> O,
        progress: &impl Fn(),
    ) -> Result<Vec<O::Record>, P::Error> {
        let mut records: Vec<Option<O::Record>> = numbers.iter().map(|_| None).collect();
        let mut waiting = numbers.iter().copied().enumerate();
        let num_joints = self.runner.robot.num_joints();
        // A robot without episode stands by with its last target.
        let mut targets_rad = vec![0.0; self.running.len() * num_joints];
        loop {
            for index in 0..self.running.len() {
                if self.running[index].is_none()
                    && let Some((place, number)) = waiting.next()
                {
                    self.running[index] = Some(self.begin(index, place, number, observe)?);
                }
            }
            if self.running.iter().all(Option::is_none) {
                return Ok(records.into_iter().flatten().collect());
            }
            let targets = targets_rad.chunks_exact_mut(num_joints);
            for (index, (running, target_rad)) in self.running.iter_mut().zip(targets).enumerate() {
                if let Some(running) = running {
                    running.control(self.plan)?;
                    let link = &mut running.slot.link;
                    target_rad.copy_from_slice(link.target_rad());
                    if let Some(push) = link.push() {
                        self.engine.push(index, push);
                    }
                }
            }
            match O::EVERY_PHYSICS_STEP {
                true => self.step_observed(&targets_rad),
                false => self.engine.step(&targets_rad),
            }
            for index in 0..self.running.len() {
                if let Some((place, record)) = self.finish_step(index)? {
                    records[place] = Some(record);
                    progress();
                }
            }
        }
    }

    /// A policy step whose physics steps are observed.
    fn step_observed(&mut self, targets_rad: &[f32]) {
        for step in 0..self.runner.physics.decimation {
            self.engine.physics_step(targets_rad, step);
            for (index, running) in self.running.iter_mut().enumerate() {
                if let Some(Running {
                    episode, observer, ..
                }) = running
                {
                    self.engine.read(index, &mut self.physics);
                    observer.physics_stepped(episode, &self.physics);
                }
            }
        }
    }

    fn begin(
        &mut self,
        index: usize,
        place: usize,
        number: u64,
        observe: &impl Fn(&P::Episode) -> O,
    ) -> Result<Running<P::Episode, O>, P::Error> {
        let Runner { robot, rays, .. } = self.runner;
        let (episode, start) = self.plan.begin(number)?;
        let mut slot = Slot {
            controller: self.plan.controller(&episode).clone(),
            link: self.runner.link.clone(),
            input: ControlInput::new(robot, rays),
        };
        slot.controller.reset();
        self.start(index, &mut slot, &start)?;
        Ok(Running {
            number,
            place,
            observer: observe(&episode),
            episode,
            slot,
            steps: 0,
        })
    }

    /// Places the robot in another scene.
    fn start(
        &mut self,
        index: usize,
        slot: &mut Slot,
        start: &SlotStart,
    ) -> Result<(), EpisodeError> {
        self.engine.reset(index, &start.physics)?;
        self.engine.read(index, &mut self.physics);
        slot.start(start, &self.physics, self.runner.physics.policy_step_s());
        Ok(())
    }

    /// After the physics: the record, with its place, of an episode that is over.
    fn finish_step(&mut self, index: usize) -> Result<Option<(usize, O::Record)>, P::Error> {
        let Some(mut running) = self.running[index].take() else {
            return Ok(None);
        };
        let Running {
            episode,
            observer,
            slot,
            steps,
            ..
        } = &mut running;
        *steps += 1;
        self.engine.read(index, &mut self.physics);
        let failed = !self.physics.is_finite();
        let step = Step {
            physics: &self.physics,
            steps: *steps,
            time_s: (self.plan).time_s(*steps, self.runner.physics.policy_step_s()),
            failed,
            collided: !failed && self.physics.collision().is_some(),
        };
        if !failed {
            slot.link.sense(&self.physics, step.time_s);
        }
        observer.stepped(episode, &step, slot);
        match self.plan.next(episode, &step) {
            Next::Continue => {}
            Next::Goal(goal, seed) => {
                *steps = 0;
                slot.link.set_goal(goal, seed);
                slot.link.sense(&self.physics, 0.0);
            }
            Next::Start {
                start,
                reset_controller,
            } => {
                *steps = 0;
                if reset_controller {
                    slot.controller.reset();
                }
                self.start(index, slot, &start)?;
            }
            Next::End => {
                let Running {
                    place,
                    episode,
                    observer,
                    mut slot,
                    ..
                } = running;
                return Ok(Some((place, observer.finish(episode, &step, &mut slot))));
            }
        }
        self.running[index] = Some(running);
        Ok(None)
    }
}

impl<E, O> Running<E, O> {
    /// One cycle of the controller.
    fn control<P: Plan<Episode = E>>(&mut self, plan: &P) -> Result<(), EpisodeError>
    where
        O: Observer<P>,
    {
        let Slot {
            controller,
            link,
            input,
        } = &mut self.slot;
        controller.set_command(plan.command(&self.episode));
        let Ok(()) = controller.cycle(link, input);
        if let Some(fault) = controller.fallback_reason() {
            return Err(EpisodeError::Fault {
                episode: self.number,
                time_s: link.time_s(),
                fault,
            });
        }
        self.observer.controlled(&mut self.episode, &self.slot);
        Ok(())
    }
}

impl Slot {
    /// Starts in a scene in which the robot has been placed.
    fn start(&mut self, start: &SlotStart, physics: &PhysicsState, step_s: f32) {
        let obstacles = &start.physics.obstacles;
        self.link
            .reset(obstacles, start.goal, start.duration_s, start.noise_seed);
        self.controller.enter_scene();
        if start.scanned_before {
            for step in (0..self.controller.previous_steps()).rev() {
                self.link.sense(physics, -(step as f32 + 1.0) * step_s);
                let Ok(()) = self.link.read(&mut self.input);
                self.controller
                    .observe_scan(&self.input.state, &self.input.rays);
            }
        }
        self.link.sense(physics, 0.0);
    }
}
