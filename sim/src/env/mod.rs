//! The vectorized training environment behind the learner's [`VecEnv`] contract.
//!
//! Order of a policy step: action, decimation x (actuate, physics step), terminations, rewards, resets,
//! observations. One [`Env`] is stepped by one thread; `shards` splits the environments over several, and an
//! environment's course depends on the seed and its index alone, not on the shard it is in.

pub mod agile;
mod config;
mod history;
mod log;
pub mod randomization;
pub mod recovery;
pub mod rewards;
mod shards;
mod stopwatch;
pub mod task;

use std::{sync::Arc, time::Instant};

use nalgebra::{Point3, UnitQuaternion};
use policies::{
    observation::{FrameHistory, Quantity},
    policy::{ACTION_CLIP, ActionMap},
    rays::{PreviousScans, RayScan},
    training::{Done, Scalar, StepOut, Times, VecEnv},
};
use rand::RngExt;
use robots::{FootVec, JointVec, Robot, RobotState};
use serde::{Deserialize, Serialize};

pub use self::config::{ConfigError, CurriculumConfig, EnvConfig, NoiseConfig};
pub use self::shards::{EnvError, Share, agile_shards, recovery_shards};
use self::{
    history::History,
    log::Log,
    rewards::{SoftLimits, StepContext},
    stopwatch::Stopwatch,
    task::{EpisodePlan, LevelChange, Task},
};
use crate::{
    engine::{Engine, EngineError, EpisodeStart, PhysicsState, build_with_lanes},
    random::{Stream, stream},
    scene::{Obstacle, TerrainLibrary},
    sensors::RayCaster,
};

/// Height of the lowest foot over the ground at the start, m.
const FOOT_CLEARANCE_M: f32 = 0.01;

/// Many environments of one task.
pub struct Env<T: Task> {
    config: EnvConfig,
    robot: Arc<Robot>,
    task: T,
    action_map: ActionMap,
    engine: Box<dyn Engine>,
    terrains: Arc<TerrainLibrary>,
    rays: RayCaster,
    sees_rays: bool,
    /// Rays for privileged critics, if there are any.
    critic_rays: Option<RayCaster>,
    limits: SoftLimits,
    first_joints: Vec<usize>,
    noise_half_width: Vec<f32>,
    slots: Vec<Slot<T::Episode>>,
    /// Copy of what was last observed, so that observing again draws no new noise.
    observations: Vec<f32>,
    targets_rad: Vec<f32>,
    old_actions: Vec<JointVec>,
    terms: Vec<f32>,
    log: Log,
    history: History,
    stopwatch: Stopwatch,
    first_index: usize,
    // Scratch, reused by every environment.
    physics: PhysicsState,
    state: RobotState,
    scan: RayScan,
    previous_scan: RayScan,
}

/// What one environment remembers between policy steps.
#[derive(Clone, Serialize, Deserialize)]
struct Slot<E> {
    stream: Stream,
    level: usize,
    steps: u32,
    episode: E,
    obstacles: Vec<Obstacle>,
    joint_bias_rad: JointVec,
    action: JointVec,
    previous_joint_velocity_radps: JointVec,
    previous_foot_contact: FootVec<bool>,
    rays: PreviousScans,
    frames: FrameHistory,
}

/// What a policy step came to in one environment.
struct StepResult {
    reward: f32,
    /// 1 where the robot collides by the test's definition (method section 10).
    cost: f32,
    done: Done,
}

impl<T: Task> Env<T> {
    fn new(
        robot: &Arc<Robot>,
        config: &EnvConfig,
        seed: u64,
        range: std::ops::Range<usize>,
        terrains: Arc<TerrainLibrary>,
        task: T,
    ) -> Result<Self, EnvError> {
        let num_envs = range.len();
        let (joints, feet) = (robot.num_joints(), robot.num_feet());
        let layout = task.layout();
        let scale = config.noise.scale;
        let noise_half_width = layout
            .noise_half_width()
            .iter()
            .map(|width| scale * width)
            .collect();
        let privileged = task.privileged();
        let is_privileged = config.privileged_critic;
        let dim = layout.dim() + usize::from(is_privileged) * privileged.layout.dim();
        let slots = range
            .clone()
            .map(|index| {
                let mut stream = stream(seed, index as u64);
                let level = stream.random_range(0..=config.curriculum.start_max);
                let plan = task.plan(level, &mut stream);
                Slot {
                    stream,
                    level,
                    steps: 0,
                    episode: plan.episode,
                    obstacles: Vec::new(),
                    joint_bias_rad: zeros(joints),
                    action: zeros(joints),
                    previous_joint_velocity_radps: zeros(joints),
                    previous_foot_contact: std::iter::repeat_n(false, feet).collect(),
                    rays: PreviousScans::new(&config.rays),
                    frames: FrameHistory::new(layout),
                }
            })
            .collect();
        let mut env = Self {
            engine: build_with_lanes(
                config.engine,
                robot,
                &config.physics,
                num_envs,
                config.lanes,
            )?,
            config: config.clone(),
            action_map: ActionMap::new(
                &robot.control.default_position_rad,
                robot.control.action_scale,
                ACTION_CLIP,
            ),
            terrains,
            rays: RayCaster::new(&config.rays)
                .with_collision_margin(config.agile.obstacles.margin_m),
            sees_rays: layout.range(Quantity::LogRays).is_some(),
            critic_rays: is_privileged.then(|| RayCaster::new(&privileged.rays)),
            limits: SoftLimits::new(robot),
            first_joints: robot
                .legs_with_joint_range()
                .map(|(_, range)| range.start)
                .collect(),
            noise_half_width,
            slots,
            observations: vec![0.0; num_envs * dim],
            targets_rad: vec![0.0; num_envs * joints],
            old_actions: vec![zeros(joints); num_envs],
            log: Log::new(task.term_names()),
            terms: vec![0.0; task.term_names().len()],
            history: History::new(num_envs, joints),
            stopwatch: Stopwatch::new(num_envs),
            first_index: range.start,
            physics: PhysicsState::zero(robot),
            state: RobotState::zero(joints, feet),
            scan: RayScan::clear(&config.rays),
            previous_scan: RayScan::default(),
            robot: Arc::clone(robot),
            task,
        };
        let mut observations = std::mem::take(&mut env.observations);
        for (index, row) in observations.chunks_exact_mut(dim).enumerate() {
            env.begin_episode(index)?;
            env.observe_row(index, row);
        }
        env.observations = observations;
        Ok(env)
    }

    /// Draws a new episode for environment `index` and places the robot.
    fn begin_episode(&mut self, index: usize) -> Result<(), EngineError> {
        let slot = &mut self.slots[index];
        let EpisodePlan {
            episode,
            obstacles,
            start_xy_m: [x, y],
            orientation,
            linear_velocity_world,
            angular_velocity_world,
            joint_position_rad,
            joint_velocity_radps,
        } = self.task.plan(slot.level, &mut slot.stream);
        let terrain = self.terrains.draw(slot.level, &mut slot.stream);
        let dynamics = self
            .config
            .randomization
            .draw(&self.robot, slot.level, &mut slot.stream);
        slot.joint_bias_rad = self
            .config
            .randomization
            .draw_joint_bias(&self.robot, &mut slot.stream);
        slot.episode = episode;
        slot.obstacles = obstacles;
        slot.steps = 0;
        slot.action.fill(0.0);
        slot.previous_foot_contact.fill(false);
        slot.rays.reset();
        slot.frames.reset();
        slot.previous_joint_velocity_radps
            .clone_from(&joint_velocity_radps);
        let height_m = height_over_feet_m(&self.robot, &orientation, &joint_position_rad)
            + terrain.height_m(x, y)
            + FOOT_CLEARANCE_M;
        let start = EpisodeStart {
            terrain,
            obstacles: slot.obstacles.clone(),
            position_world: Point3::new(x, y, height_m),
            orientation,
            linear_velocity_world,
            angular_velocity_world,
            joint_position_rad,
            joint_velocity_radps,
            dynamics,
        };
        self.engine.reset(index, &start)?;
        self.engine.read(index, &mut self.physics);
        self.physics.write_robot_state(&mut self.state);
        self.history.clear(index);
        Ok(())
    }

    /// Writes the observation of environment `index`, whose state is in `self.state` (the true one).
    fn observe_row(&mut self, index: usize, row: &mut [f32]) {
        let (row, privileged_row) = row.split_at_mut(self.task.layout().dim());
        let slot = &mut self.slots[index];
        let time_s = slot.steps as f32 * self.config.physics.policy_step_s();
        let input = self.task.input(&slot.episode, &self.state, time_s);

        let mut foot_contact = self.state.foot_contact.clone();
        for (now, before) in foot_contact.iter_mut().zip(&mut slot.previous_foot_contact) {
            let touches = *now;
            *now |= *before;
            *before = touches;
        }
        if let Some(rays) = &self.critic_rays {
            let begin = Stopwatch::begin(index);
            // Cylinders as thick as they are.
            rays.cast(&self.state, &slot.obstacles, time_s, &mut self.scan);
            self.stopwatch.rays(begin);
            let action = &slot.action;
            self.task.privileged().layout.write(
                &input.observed(
                    &self.state,
                    &foot_contact,
                    action,
                    &self.scan,
                    &self.previous_scan,
                ),
                privileged_row,
            );
        }
        if self.sees_rays {
            let begin = Stopwatch::begin(index);
            self.rays
                .cast(&self.state, &slot.obstacles, time_s, &mut self.scan);
            self.stopwatch.rays(begin);
            if self.config.noise.illusion {
                let bound_m = input.goal.distance_m() + self.config.noise.illusion_margin_m;
                self.scan.apply_illusion(bound_m, &mut slot.stream);
            }
            slot.rays.push(
                &self.config.rays,
                &self.state,
                &self.scan,
                &mut self.previous_scan,
            );
        }
        for (measured, bias) in self
            .state
            .joint_position_rad
            .iter_mut()
            .zip(&slot.joint_bias_rad)
        {
            *measured += bias;
        }
        self.task.layout().write(
            &input.observed(
                &self.state,
                &foot_contact,
                &slot.action,
                &self.scan,
                &self.previous_scan,
            ),
            row,
        );
        for (value, half_width) in row.iter_mut().zip(&self.noise_half_width) {
            if *half_width > 0.0 {
                *value += half_width * (2.0 * slot.stream.random::<f32>() - 1.0);
            }
        }
        slot.frames.complete(self.task.layout(), row);
    }

    fn move_level(&mut self, index: usize, change: LevelChange) {
        let slot = &mut self.slots[index];
        let levels = self.config.curriculum.levels;
        slot.level = match change {
            LevelChange::Up if slot.level + 1 == levels => slot.stream.random_range(0..levels),
            LevelChange::Up => slot.level + 1,
            LevelChange::Stay => slot.level,
            LevelChange::Down => slot.level.saturating_sub(1),
        };
    }

    /// After the physics: terminations, rewards, reset and observation of one environment.
    fn finish_step(
        &mut self,
        index: usize,
        old_action: &JointVec,
        row: &mut [f32],
        terminal_row: &mut [f32],
    ) -> StepResult {
        let begin = Stopwatch::begin(index);
        self.engine.read(index, &mut self.physics);
        let slot = &mut self.slots[index];
        slot.steps += 1;
        self.history.push(index, &self.physics, &slot.action);
        let result = if self.physics.is_finite() {
            self.physics.write_robot_state(&mut self.state);
            let step_s = self.config.physics.policy_step_s();
            let context = StepContext {
                limits: &self.limits,
                step_s,
                time_s: slot.steps as f32 * step_s,
                physics: &self.physics,
                state: &self.state,
                standing_position_rad: &self.robot.control.standing_position_rad,
                first_joints: &self.first_joints,
                action: &slot.action,
                previous_action: old_action,
                previous_joint_velocity_radps: &slot.previous_joint_velocity_radps,
            };
            let judgement = self
                .task
                .judge(&mut slot.episode, &context, &mut self.terms);
            let cost = f32::from(self.physics.collision().is_some());
            slot.previous_joint_velocity_radps
                .clone_from(&self.physics.joint_velocity_radps);
            self.log.step(&self.terms);
            if let Some(end) = judgement.end {
                self.log.episode(slot.steps, &end);
                self.move_level(index, end.level);
            }
            StepResult {
                reward: step_s * self.terms.iter().sum::<f32>(),
                cost,
                done: judgement.done,
            }
        } else {
            self.log.not_finite += 1;
            let dump = self.config.dump_dir.as_deref();
            self.history.dump(dump, index, self.first_index + index);
            StepResult {
                reward: 0.0,
                cost: 0.0,
                done: Done::Terminated,
            }
        };
        self.stopwatch.rewards(begin);
        if result.done == Done::Timeout {
            self.observe_row(index, terminal_row);
        }
        if result.done != Done::No {
            // The scene was accepted when the environment was built; later ones are of the same kind.
            if let Err(error) = self.begin_episode(index) {
                unreachable!("{error}");
            }
        }
        self.observe_row(index, row);
        result
    }
}

/// Height of the base over the plane that the lowest foot touches, m.
fn height_over_feet_m(robot: &Robot, orientation: &UnitQuaternion<f32>, joints_rad: &[f32]) -> f32 {
    let feet = robot.foot_positions_base(joints_rad);
    let heights = feet
        .iter()
        .zip(&robot.legs)
        .map(|(p, leg)| leg.foot.radius - (orientation * p).z);
    heights.fold(f32::NEG_INFINITY, f32::max)
}

fn zeros(len: usize) -> JointVec {
    std::iter::repeat_n(0.0, len).collect()
}

impl<T: Task> VecEnv for Env<T> {
    fn num_envs(&self) -> usize {
        self.slots.len()
    }

    fn observation_dim(&self) -> usize {
        self.observations.len() / self.slots.len()
    }

    fn actor_dim(&self) -> usize {
        self.task.layout().dim()
    }

    fn action_dim(&self) -> usize {
        self.robot.num_joints()
    }

    fn observe(&mut self, observations: &mut [f32]) {
        observations.copy_from_slice(&self.observations);
    }

    fn step(&mut self, actions: &[f32], mut out: StepOut<'_>) {
        let step = Instant::now();
        let joints = self.robot.num_joints();
        let mut old_actions = std::mem::take(&mut self.old_actions);
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let range = index * joints..(index + 1) * joints;
            old_actions[index].clone_from(&slot.action);
            let target = &mut self.targets_rad[range.clone()];
            slot.action.copy_from_slice(&actions[range]);
            self.action_map.apply(&mut slot.action, target);
            // The motor controller regulates the measured position.
            for (target, bias) in target.iter_mut().zip(&slot.joint_bias_rad) {
                *target -= bias;
            }
        }
        let begin = Instant::now();
        self.engine.step(&self.targets_rad);
        self.stopwatch.physics(begin);
        let dim = self.observation_dim();
        for (index, old_action) in old_actions.iter().enumerate() {
            let range = index * dim..(index + 1) * dim;
            let row = &mut out.observations[range.clone()];
            let terminal_row = &mut out.terminal_observations[range];
            let result = self.finish_step(index, old_action, row, terminal_row);
            out.rewards[index] = result.reward;
            if let Some(costs) = &mut out.costs {
                costs[index] = result.cost;
            }
            out.done[index] = result.done;
        }
        self.old_actions = old_actions;
        self.observations.copy_from_slice(out.observations);
        self.stopwatch.step(step);
    }

    fn take_log(&mut self) -> Vec<Scalar> {
        self.log.take(self.slots.iter().map(|slot| slot.level))
    }

    fn take_times(&mut self) -> Times {
        self.stopwatch.take()
    }

    fn save(&self) -> Vec<u8> {
        let saved = SavedEnv {
            slots: self.slots.clone(),
            observations: self.observations.clone(),
            engine: self.engine.save(),
        };
        // Serializing plain data to memory cannot fail.
        postcard::to_stdvec(&saved).unwrap_or_default()
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), String> {
        let saved: SavedEnv<T::Episode> = postcard::from_bytes(bytes)
            .map_err(|error| format!("environment state is not readable: {error}"))?;
        if saved.slots.len() != self.slots.len()
            || saved.observations.len() != self.observations.len()
        {
            return Err(format!(
                "environment state holds {} environments, {} are configured",
                saved.slots.len(),
                self.slots.len()
            ));
        }
        self.engine
            .load(&saved.engine)
            .map_err(|error| error.to_string())?;
        self.slots = saved.slots;
        self.observations = saved.observations;
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct SavedEnv<E> {
    slots: Vec<Slot<E>>,
    observations: Vec<f32>,
    engine: Vec<u8>,
}
