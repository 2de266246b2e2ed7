//! The vectorized training environment behind the learner's [`VecEnv`] contract.
//!
//! Order of a policy step: action, decimation x (actuate, physics step), termination, rewards, reset,
//! observation. One [`Env`] is stepped by one thread; [`shards`] splits the environments over several, and an
//! environment's course depends on the seed and its index alone, not on the shard it is in.

mod config;
mod history;
mod log;
mod randomization;
mod shards;
mod step;
mod stopwatch;

use std::{
    f32::consts::{PI, TAU},
    sync::Arc,
    time::Instant,
};

use policies::{
    observation::{FrameHistory, Layout, ObservationTerm, Quantity, REALITY_DIM},
    policy::{ACTION_CLIP, ActionMap},
    rays::{PreviousScans, RayScan, RaySpec},
    training::{Scalar, StepOut, Times, VecEnv},
};
use rand::RngExt;
use robots::{FootVec, JointVec, Robot, RobotState};
use serde::{Deserialize, Serialize};

pub use self::{
    config::{ConfigError, CurriculumConfig, NoiseConfig},
    randomization::RandomizationConfig,
    shards::{EnvError, Share, shards},
};
use self::{history::History, log::Log, stopwatch::Stopwatch};
use super::{EnvConfig, rewards::SoftLimits, task::Task};
use crate::{
    engine::{Engine, PhysicsConfig, PhysicsState, build_with_lanes},
    random::{Stream, stream},
    reality::RobotReality,
    scene::{Obstacle, TerrainLibrary, Tile},
    sensors::RayCaster,
};

/// Many environments of one task.
pub struct Env<T: Task> {
    config: EnvConfig,
    step_s: f32,
    physics_step_s: f32,
    robot: Arc<Robot>,
    task: T,
    layout: Layout,
    action_map: ActionMap,
    engine: Box<dyn Engine>,
    terrains: Arc<TerrainLibrary>,
    /// Rays of the policy, if it observes any.
    rays: Option<RayCaster>,
    /// What the critic observes besides, if it is privileged.
    privileged: Option<Privileged>,
    limits: SoftLimits,
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

/// What only a simulation knows, for critics.
struct Privileged {
    layout: Layout,
    /// Rays from the centre of the base, if it observes any.
    rays: Option<RayCaster>,
}

/// The rays of privileged critics: all around.
pub(super) fn privileged_rays() -> RaySpec {
    const COUNT: usize = 28;
    let gap_rad = TAU / COUNT as f32;
    RaySpec {
        count: COUNT,
        first_rad: 0.5 * gap_rad - PI,
        last_rad: PI - 0.5 * gap_rad,
        origin_x_m: 0.0,
        ..RaySpec::default()
    }
}

/// What privileged critics observe besides: where robots differ, in what.
pub(super) fn privileged_terms(
    task: Vec<ObservationTerm>,
    config: &EnvConfig,
) -> Vec<ObservationTerm> {
    let reality = (!config.reality.is_ideal()).then(|| Quantity::Reality.into());
    task.into_iter().chain(reality).collect()
}

/// What one environment remembers between policy steps.
#[derive(Clone, Serialize, Deserialize)]
struct Slot<E> {
    stream: Stream,
    level: usize,
    steps: u32,
    episode: E,
    obstacles: Vec<Obstacle>,
    tile: Tile,
    joint_bias_rad: JointVec,
    /// Where the robot differs from the simulation.
    reality: Option<RobotReality>,
    /// What a privileged critic knows of it.
    known_reality: [f32; REALITY_DIM],
    action: JointVec,
    previous_joint_velocity_radps: JointVec,
    previous_foot_contact: FootVec<bool>,
    rays: PreviousScans,
    frames: FrameHistory,
}

impl<T: Task> Env<T> {
    fn new(
        robot: &Arc<Robot>,
        physics: &PhysicsConfig,
        config: &EnvConfig,
        seed: u64,
        range: std::ops::Range<usize>,
        terrains: &Arc<TerrainLibrary>,
        task: T,
    ) -> Result<Self, EnvError> {
        let num_envs = range.len();
        let (joints, feet) = (robot.num_joints(), robot.num_feet());
        let spec = robot.as_ref().into();
        let terms = config.with_history(T::observations(&config.rays));
        let layout = Layout::new(&terms, &spec, &config.rays)?;
        let observes_rays = |layout: &Layout| layout.range(Quantity::LogRays).is_some();
        let mut privileged = None;
        if config.privileged_critic {
            let rays = privileged_rays();
            let layout = Layout::new(
                &privileged_terms(T::privileged_observations(), config),
                &spec,
                &rays,
            )?;
            let rays = observes_rays(&layout).then(|| RayCaster::new(&rays));
            privileged = Some(Privileged { layout, rays });
        }
        let dim = layout.dim() + privileged.as_ref().map_or(0, |p| p.layout.dim());
        let noise_half_width = layout.noise_half_width().into_iter();
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
                    tile: 0,
                    joint_bias_rad: zeros(joints),
                    reality: (!config.reality.is_ideal())
                        .then(|| RobotReality::new(&config.reality, robot, &config.rays)),
                    known_reality: [0.0; REALITY_DIM],
                    action: zeros(joints),
                    previous_joint_velocity_radps: zeros(joints),
                    previous_foot_contact: std::iter::repeat_n(false, feet).collect(),
                    rays: PreviousScans::new(&config.rays),
                    frames: FrameHistory::new(&layout),
                }
            })
            .collect();
        let rays = || RayCaster::new(&config.rays).with_collision_margin(task.collision_margin());
        let mut env = Self {
            engine: build_with_lanes(config.engine, robot, physics, num_envs, config.lanes)?,
            config: config.clone(),
            step_s: physics.policy_step_s(),
            physics_step_s: physics.step_s,
            action_map: ActionMap::new(
                &robot.control.default_position_rad,
                robot.control.action_scale,
                ACTION_CLIP,
            ),
            terrains: Arc::clone(terrains),
            rays: observes_rays(&layout).then(rays),
            privileged,
            limits: SoftLimits::new(robot),
            noise_half_width: noise_half_width.map(|w| config.noise.scale * w).collect(),
            layout,
            slots,
            observations: vec![0.0; num_envs * dim],
            targets_rad: vec![0.0; num_envs * joints],
            old_actions: vec![zeros(joints); num_envs],
            terms: vec![0.0; T::reward_names().len()],
            log: Log::new(T::reward_names()),
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
        self.layout.dim()
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
            if let Some(reality) = &mut slot.reality {
                reality.command(target);
                if let Some(push) = reality.push(slot.steps as f32 * self.step_s) {
                    self.engine.push(index, push);
                }
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
