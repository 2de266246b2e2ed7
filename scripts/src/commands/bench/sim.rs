//! Speed of the simulation: physics with rays, and the whole environment step.

use std::{
    f32::consts::TAU,
    panic,
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use policies::{
    rays::RayScan,
    training::{Done, StepOut, Times, VecEnv},
};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg32;
use robots::{Robot, RobotState};
use serde::Serialize;
use sim::{
    engine::{self, EngineKind, EpisodeStart, PhysicsState},
    scene::Obstacle,
    sensors::RayCaster,
    tasks::{self, agile::AgileTask},
};

use crate::{config::Config, run::progress::short};

/// Policy steps after which the robots of the physics benchmark start again.
const EPISODE_STEPS: usize = 450;
const OBSTACLES: usize = 8;

/// Results of `abs bench sim`.
#[derive(Serialize)]
pub struct SimReport {
    robot: String,
    engine: EngineKind,
    threads: usize,
    /// Robots that one instruction works on.
    lanes: usize,
    num_envs: usize,
    /// Physics steps of single robots, which differ as `[reality]` says, among obstacles, rays included.
    robot_steps_per_second: f64,
    /// Policy steps of single environments: physics, observations, noise, rewards, resets, curriculum.
    env_steps_per_second: f64,
    /// Where the time of the whole step goes.
    #[serde(serialize_with = "super::fractions")]
    time_shares: Times,
}

impl SimReport {
    /// What the bar of this report says, and its parts.
    pub fn bar(&self) -> (String, Times) {
        let label = format!(
            "{} on {}, {} threads: {} policy steps/s",
            self.engine,
            self.robot,
            self.threads,
            short(self.env_steps_per_second)
        );
        (label, self.time_shares.clone())
    }
}

/// Measures each speed for `duration`.
pub fn measure(config: &Config, duration: Duration) -> Result<SimReport> {
    let robot = Arc::new(Robot::load(&config.robot)?);
    let physics = (0..config.threads)
        .map(|worker| physics_worker(&robot, config, worker))
        .collect::<Result<Vec<_>>>()?;
    let robot_steps_per_second = total_rate(physics, duration);
    config.reality.validate()?;
    let env = config.environments();
    let shards = || {
        let (seed, workers) = (config.seed, config.threads);
        tasks::shards::<AgileTask>(&robot, &config.physics, &env, seed, workers)
    };
    let environments = shards()?.into_iter().map(environment_worker).collect();
    let mut first = shards()?.swap_remove(0);
    Ok(SimReport {
        robot: robot.name.clone(),
        engine: config.env.engine,
        threads: config.threads,
        lanes: engine::build_with_lanes(
            config.env.engine,
            &robot,
            &config.physics,
            1,
            config.env.lanes,
        )?
        .lanes(),
        num_envs: config.env.num_envs,
        robot_steps_per_second,
        env_steps_per_second: total_rate(environments, duration),
        time_shares: times(&mut first, duration / 4),
    })
}

/// Does a piece of work and returns the number of steps that it was.
pub(super) type Work = Box<dyn FnMut() -> usize + Send>;

/// Runs every worker in a thread of its own and adds up their steps per second.
pub(super) fn total_rate(workers: Vec<Work>, duration: Duration) -> f64 {
    let barrier = &Barrier::new(workers.len());
    thread::scope(|scope| {
        let threads: Vec<_> = workers
            .into_iter()
            .map(|mut work| {
                scope.spawn(move || {
                    work();
                    barrier.wait();
                    let begin = Instant::now();
                    let mut steps = 0;
                    while begin.elapsed() < duration {
                        steps += work();
                    }
                    steps as f64 / begin.elapsed().as_secs_f64()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|e| panic::resume_unwind(e)))
            .sum()
    })
}

/// Its multiples are spread evenly over the phases.
const GOLDEN_RATIO: f32 = 1.618_034;

/// Robots that tread on the spot in a ring of cylinders, each in its own phase.
fn physics_worker(robot: &Arc<Robot>, config: &Config, worker: usize) -> Result<Work> {
    let share = |worker: usize| worker * config.env.num_envs / config.threads;
    let count = share(worker + 1) - share(worker);
    let settings = &config.physics;
    let (kind, lanes) = (config.env.engine, config.env.lanes);
    let mut engine = engine::build_with_lanes(kind, robot, settings, count, lanes)?;
    let start = EpisodeStart {
        obstacles: ring_of_cylinders(),
        ..EpisodeStart::standing(robot)
    };
    let starts: Vec<EpisodeStart> = (0..count)
        .map(|index| {
            let mut start = start.clone();
            (config.reality).change_dynamics(
                robot,
                &mut start.dynamics,
                settings.step_s,
                index as u64,
            );
            start
        })
        .collect();
    for (index, start) in starts.iter().enumerate() {
        engine.reset(index, start)?;
    }

    let rays = RayCaster::new(&config.env.rays);
    let mut scan = RayScan::clear(&config.env.rays);
    let mut physics = PhysicsState::zero(robot);
    let mut state = RobotState::zero(robot.num_joints(), robot.num_feet());
    let standing = robot.control.standing_position_rad.clone();
    let mut targets = standing.repeat(count);
    let (decimation, step_s) = (settings.decimation, settings.policy_step_s());
    let mut step = 0;
    Ok(Box::new(move || {
        if step == EPISODE_STEPS {
            step = 0;
            for (index, start) in starts.iter().enumerate() {
                // The same start was accepted above.
                let _ = engine.reset(index, start);
            }
        }
        for (index, row) in targets.chunks_exact_mut(standing.len()).enumerate() {
            // Robots in step with each other, with the same contacts in all lanes, would flatter the engine.
            let phase = step as f32 / 25.0 + index as f32 * GOLDEN_RATIO;
            let sway_rad = 0.1 * (TAU * phase).sin();
            for (target, standing) in row.iter_mut().zip(&standing) {
                *target = standing + sway_rad;
            }
        }
        engine.step(&targets);
        for index in 0..count {
            engine.read(index, &mut physics);
            physics.write_robot_state(&mut state);
            rays.cast(&state, &start.obstacles, step as f32 * step_s, &mut scan);
        }
        step += 1;
        count * decimation
    }))
}

pub(super) fn ring_of_cylinders() -> Vec<Obstacle> {
    (0..OBSTACLES)
        .map(|index| {
            let (sin, cos) = (TAU * index as f32 / OBSTACLES as f32).sin_cos();
            Obstacle::cylinder(2.0 * cos, 2.0 * sin, 0.4, 1.0)
        })
        .collect()
}

/// Where the time of one worker's environments goes.
fn times(env: &mut impl VecEnv, duration: Duration) -> Times {
    let mut steps = NoiseDriven::new(env);
    steps.step(env);
    env.take_times();
    let begin = Instant::now();
    loop {
        steps.step(env);
        if begin.elapsed() >= duration {
            break;
        }
    }
    let mut times = env.take_times();
    for learning in ["inference", "update"] {
        times.add(learning, 0.0);
    }
    times
}

fn environment_worker(mut env: impl VecEnv + 'static) -> Work {
    let mut steps = NoiseDriven::new(&mut env);
    let num_envs = env.num_envs();
    Box::new(move || {
        steps.step(&mut env);
        num_envs
    })
}

/// Drives environments by noise, as at the start of training.
struct NoiseDriven {
    actions: Vec<f32>,
    observations: Vec<f32>,
    terminal_observations: Vec<f32>,
    rewards: Vec<f32>,
    done: Vec<Done>,
}

impl NoiseDriven {
    fn new(env: &mut impl VecEnv) -> Self {
        let (num_envs, dim) = (env.num_envs(), env.observation_dim());
        let mut random = Pcg32::seed_from_u64(0);
        let actions = (0..num_envs * env.action_dim()).map(|_| random.random_range(-1.0..1.0));
        let mut observations = vec![0.0; num_envs * dim];
        env.observe(&mut observations);
        Self {
            actions: actions.collect(),
            terminal_observations: observations.clone(),
            observations,
            rewards: vec![0.0; num_envs],
            done: vec![Done::No; num_envs],
        }
    }

    /// Steps all environments.
    fn step(&mut self, env: &mut impl VecEnv) {
        let out = StepOut {
            observations: &mut self.observations,
            rewards: &mut self.rewards,
            costs: None,
            done: &mut self.done,
            terminal_observations: &mut self.terminal_observations,
        };
        env.step(&self.actions, out);
    }
}
