//! Training environments.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use abs::config::{ConfigArgs, Task};
use anyhow::{Context, Result, bail};
use numpy::{PyArray1, PyArray2, PyArrayMethods};
use policies::training::{Done, StepOut, VecEnv};
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder, prelude::*};
use robots::Robot;

use crate::{arrays::matrix, value_error};

/// Many environments of one task, split over threads. Its arrays are written by `step`, in place.
#[pyclass(unsendable)]
pub struct Environments {
    shards: Vec<Box<dyn VecEnv>>,
    pool: ThreadPool,
    done: Vec<Done>,
    /// Next observations, (num_envs, observation_dim); of the new episode where one ended.
    #[pyo3(get)]
    observations: Py<PyArray2<f32>>,
    /// Rewards, (num_envs,).
    #[pyo3(get)]
    rewards: Py<PyArray1<f32>>,
    /// Episodes that the task ended, (num_envs,).
    #[pyo3(get)]
    terminated: Py<PyArray1<bool>>,
    /// Episodes that the clock ended, (num_envs,).
    #[pyo3(get)]
    truncated: Py<PyArray1<bool>>,
    /// Last observations of the episodes that the clock ended, in their rows; other rows mean nothing.
    #[pyo3(get)]
    final_observations: Py<PyArray2<f32>>,
    /// Number of environments.
    #[pyo3(get)]
    num_envs: usize,
    /// Width of an observation.
    #[pyo3(get)]
    observation_dim: usize,
    /// How many elements of an observation the policy may see: the first ones. Critics see all.
    #[pyo3(get)]
    policy_dim: usize,
    /// Width of an action.
    #[pyo3(get)]
    action_dim: usize,
    /// Simulated time between two actions, s.
    #[pyo3(get)]
    policy_step_s: f32,
}

/// Parts that a thread gets, so that one that is done early takes some of another's.
const SHARDS_PER_THREAD: usize = 4;
/// Environments of a part at least: the batch engine steps many together.
const SMALLEST_SHARD: usize = 128;

/// What the flags ask for.
struct Built {
    shards: Vec<Box<dyn VecEnv>>,
    threads: usize,
    policy_step_s: f32,
}

fn build(task: &str, threads: usize, args: &ConfigArgs) -> Result<Built> {
    let Task::Policy(entry) = Task::named(task)? else {
        bail!("`{task}` is not learned by reinforcement");
    };
    let mut config = args.resolve_task(Task::Policy(entry))?.config;
    let robot = Robot::load(&config.robot)?;
    robot.require_sound()?;
    if threads > 0 {
        config.threads = threads;
    }
    let env = config.environments();
    let threads = config.num_threads().min(env.num_envs).max(1);
    let most = (env.num_envs / SMALLEST_SHARD).max(threads);
    let count = (SHARDS_PER_THREAD * threads).min(most);
    let shards = entry.shards(&Arc::new(robot), &config.physics, &env, config.seed, count)?;
    Ok(Built {
        shards,
        threads,
        policy_step_s: config.physics.policy_step_s(),
    })
}

#[pymethods]
impl Environments {
    #[new]
    #[pyo3(signature = (task, *, robot=None, num_envs=None, seed=1, threads=0, reality=None, config=None, settings=Vec::new()))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn new(
        py: Python<'_>,
        task: &str,
        robot: Option<String>,
        num_envs: Option<usize>,
        seed: u64,
        threads: usize,
        reality: Option<String>,
        config: Option<PathBuf>,
        settings: Vec<String>,
    ) -> PyResult<Self> {
        let mut args = ConfigArgs {
            robot,
            seed: Some(seed),
            reality,
            config,
            sets: settings,
            ..ConfigArgs::default()
        };
        args.set("env.num_envs", num_envs);
        let Built {
            shards,
            threads,
            policy_step_s,
        } = build(task, threads, &args).map_err(value_error)?;
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.context("cannot start threads").map_err(value_error)?;
        let num_envs = shards.iter().map(|shard| shard.num_envs()).sum();
        let (observation_dim, policy_dim, action_dim) = (
            shards[0].observation_dim(),
            shards[0].actor_dim(),
            shards[0].action_dim(),
        );
        let matrix = || PyArray2::zeros(py, [num_envs, observation_dim], false).unbind();
        let flags = || PyArray1::zeros(py, [num_envs], false).unbind();
        let mut environments = Self {
            shards,
            pool,
            done: vec![Done::No; num_envs],
            observations: matrix(),
            rewards: PyArray1::zeros(py, [num_envs], false).unbind(),
            terminated: flags(),
            truncated: flags(),
            final_observations: matrix(),
            num_envs,
            observation_dim,
            policy_dim,
            action_dim,
            policy_step_s,
        };
        environments.observe(py)?;
        Ok(environments)
    }

    /// Writes the present observations to `observations`, without a step.
    fn observe(&mut self, py: Python<'_>) -> PyResult<()> {
        let dim = self.observation_dim;
        let mut observations = self.observations.bind(py).try_readwrite()?;
        let mut rest = observations.as_slice_mut()?;
        for shard in &mut self.shards {
            let (rows, after) = rest.split_at_mut(shard.num_envs() * dim);
            shard.observe(rows);
            rest = after;
        }
        Ok(())
    }

    /// Applies `actions`, float32 (num_envs, action_dim), and writes all arrays. Python's other threads run meanwhile.
    fn step(&mut self, py: Python<'_>, actions: &Bound<'_, PyAny>) -> PyResult<()> {
        let actions = matrix(actions, "actions", Some(self.num_envs), self.action_dim)?;
        let actions = actions.as_slice()?;
        let mut observations = self.observations.bind(py).try_readwrite()?;
        let mut last = self.final_observations.bind(py).try_readwrite()?;
        let mut rewards = self.rewards.bind(py).try_readwrite()?;
        let mut rest = (
            actions,
            observations.as_slice_mut()?,
            last.as_slice_mut()?,
            rewards.as_slice_mut()?,
            self.done.as_mut_slice(),
        );
        let (dim, joints) = (self.observation_dim, self.action_dim);
        let mut jobs = Vec::with_capacity(self.shards.len());
        for shard in &mut self.shards {
            let n = shard.num_envs();
            let (actions, observations, last, rewards, done) = rest;
            let (own_actions, actions) = actions.split_at(n * joints);
            let (own_observations, observations) = observations.split_at_mut(n * dim);
            let (own_last, last) = last.split_at_mut(n * dim);
            let (own_rewards, rewards) = rewards.split_at_mut(n);
            let (own_done, done) = done.split_at_mut(n);
            rest = (actions, observations, last, rewards, done);
            let out = StepOut {
                observations: own_observations,
                rewards: own_rewards,
                costs: None,
                done: own_done,
                terminal_observations: own_last,
            };
            jobs.push((shard, own_actions, out));
        }
        let pool = &self.pool;
        py.detach(|| {
            pool.install(|| {
                jobs.into_par_iter()
                    .for_each(|(shard, actions, out)| shard.step(actions, out));
            });
        });
        let mut terminated = self.terminated.bind(py).try_readwrite()?;
        let mut truncated = self.truncated.bind(py).try_readwrite()?;
        let flags = terminated.as_slice_mut()?.iter_mut();
        let flags = flags.zip(truncated.as_slice_mut()?);
        for ((terminated, truncated), done) in flags.zip(&self.done) {
            *terminated = *done == Done::Terminated;
            *truncated = *done == Done::Timeout;
        }
        Ok(())
    }

    /// Means since the last call: `reward/...`, `episode/...`, `curriculum/level`.
    fn log(&mut self) -> HashMap<String, f64> {
        let mut sums: HashMap<String, (f64, u64)> = HashMap::new();
        for scalar in self.shards.iter_mut().flat_map(|shard| shard.take_log()) {
            let (sum, count) = sums.entry(scalar.name).or_default();
            *sum += scalar.value * scalar.count as f64;
            *count += scalar.count;
        }
        let mean = |(name, (sum, count)): (String, (f64, u64))| (name, sum / count.max(1) as f64);
        sums.into_iter().map(mean).collect()
    }
}
