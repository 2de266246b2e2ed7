//! The loop of training: every worker collects a rollout and learns from it, on a thread of its own; now and then all of it is saved.

mod resume;
mod threads;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use policies::Linear;
use policies::training::{PpoConfig, Times, VecEnv};

use crate::distributed::{Communicator, ThreadCommunicator};
use crate::error::TrainError;
use crate::learner::{self, Learner, Progress};
use crate::report::{IterationReport, merged};

pub use resume::Resumed;

/// Learns by a configured algorithm in many environments, with data-parallel workers.
pub struct Runner {
    config: PpoConfig,
    progress: Progress,
    workers: Vec<Worker>,
}

/// One worker: its environments, and its replica of the learner.
struct Worker {
    env: Box<dyn VecEnv>,
    learner: Box<dyn Learner>,
    communicator: Arc<ThreadCommunicator>,
    steps_per_rollout: u64,
}

impl Runner {
    /// A runner with one worker thread for each of `envs`, which share the config's rollout: as many as there are cores is best. The result depends on
    /// the seed and on how the environments are divided, not on timing.
    ///
    /// # Errors
    /// When the config is out of range or the environments do not fit together.
    pub fn new(
        config: PpoConfig,
        envs: Vec<Box<dyn VecEnv>>,
        seed: u64,
    ) -> Result<Self, TrainError> {
        let communicators = ThreadCommunicator::group(envs.len());
        Self::with_communicators(config, envs, seed, communicators)
    }

    /// As `new`, as one of several processes, each with the same number of workers; `processes` connects them.
    ///
    /// # Errors
    /// As `new`.
    pub fn among_processes(
        config: PpoConfig,
        envs: Vec<Box<dyn VecEnv>>,
        seed: u64,
        processes: Box<dyn Communicator>,
    ) -> Result<Self, TrainError> {
        let communicators = ThreadCommunicator::group_within(envs.len(), processes);
        Self::with_communicators(config, envs, seed, communicators)
    }

    fn with_communicators(
        config: PpoConfig,
        envs: Vec<Box<dyn VecEnv>>,
        seed: u64,
        communicators: Vec<ThreadCommunicator>,
    ) -> Result<Self, TrainError> {
        let communicators = communicators.into_iter().map(Arc::new);
        Ok(Self {
            workers: workers(&config, envs, seed, communicators)?,
            config,
            progress: Progress {
                seed,
                iteration: 0,
                policy_steps: 0,
            },
        })
    }

    /// Iterates until the config's policy steps are done, or `stop` is set or `observer` breaks in any of the processes. With `checkpoints`, a
    /// folder that all processes see, it saves there at the config's interval and at the end.
    ///
    /// # Errors
    /// When learning diverges, a worker fails or a checkpoint cannot be written; earlier checkpoints stay.
    pub fn run(
        &mut self,
        checkpoints: Option<&Path>,
        stop: &AtomicBool,
        mut observer: impl FnMut(&Self, &IterationReport) -> ControlFlow<()>,
    ) -> Result<(), TrainError> {
        let mut saved = None;
        let mut go_on = true;
        while self.policy_steps() < self.config.total_policy_steps
            && self.agree(go_on && !stop.load(Ordering::Relaxed))?
        {
            let report = self.iterate()?;
            if let Some(folder) = checkpoints
                && (self.iteration()).is_multiple_of(self.config.checkpoint_interval)
            {
                self.save(folder)?;
                saved = Some(self.iteration());
            }
            go_on = observer(self, &report).is_continue();
        }
        if let Some(folder) = checkpoints
            && saved != Some(self.iteration())
        {
            self.save(folder)?;
        }
        Ok(())
    }

    /// Collects one rollout and learns from it.
    ///
    /// # Errors
    /// When learning has diverged or a worker has failed. After a failed worker the runner is of no more use.
    pub fn iterate(&mut self) -> Result<IterationReport, TrainError> {
        let begin = Instant::now();
        let iterated = threads::iterate(&mut self.workers, self.progress)?;
        let policy_steps = iterated.policy_steps - self.progress.policy_steps;
        self.progress.iteration += 1;
        self.progress.policy_steps = iterated.policy_steps;
        if let Some(skipped) = iterated.update.diverged {
            return Err(TrainError::Diverged {
                iteration: self.progress.iteration,
                skipped,
            });
        }
        let mut times = Times::default();
        for worker in &iterated.measured {
            times.add_all(&worker.times);
        }
        Ok(IterationReport {
            iteration: self.progress.iteration,
            policy_steps: self.progress.policy_steps,
            steps_per_s: policy_steps as f64 / begin.elapsed().as_secs_f64(),
            times,
            learner: iterated.update.scalars,
            environments: merged(iterated.measured.iter().flat_map(|worker| &worker.log)),
        })
    }

    /// Whether all processes are `ok`. Every process asks at the same place between two iterations.
    ///
    /// # Errors
    /// When another process has stopped.
    pub fn agree(&self, ok: bool) -> Result<bool, TrainError> {
        Ok(self.workers[0].communicator.agree(ok)?)
    }

    /// The algorithm's config.
    #[must_use]
    pub fn config(&self) -> &PpoConfig {
        &self.config
    }

    /// Iterations done.
    #[must_use]
    pub fn iteration(&self) -> u64 {
        self.progress.iteration
    }

    /// Policy steps done over all environments.
    #[must_use]
    pub fn policy_steps(&self) -> u64 {
        self.progress.policy_steps
    }

    /// The actor's layers, input to output, with ELU after all but the last: what a bundle stores. With `averaged_iterations` these are the averages.
    #[must_use]
    pub fn actor_layers(&self) -> Vec<Linear> {
        self.workers[0].learner.actor_layers()
    }

    /// Mean actions [rows, action_dim] for what the actor sees [rows, actor_dim], as the learner computes them with its newest weights.
    ///
    /// # Panics
    /// When `observations` is not a whole number of rows.
    #[must_use]
    pub fn mean_actions(&self, observations: &[f32]) -> Vec<f32> {
        self.workers[0].learner.mean_actions(observations)
    }
}

/// A worker for each of `envs`, before its first iteration.
fn workers(
    config: &PpoConfig,
    envs: Vec<Box<dyn VecEnv>>,
    seed: u64,
    communicators: impl Iterator<Item = Arc<ThreadCommunicator>>,
) -> Result<Vec<Worker>, TrainError> {
    config.validate()?;
    let Some(first) = envs.first() else {
        return Err(TrainError::Environments(
            "no environments to learn from".into(),
        ));
    };
    let dims_of = |env: &dyn VecEnv| (env.observation_dim(), env.actor_dim(), env.action_dim());
    let dims = dims_of(first.as_ref());
    for (index, env) in envs.iter().enumerate() {
        let (observations, seen, actions) = dims_of(env.as_ref());
        if (observations, seen, actions) != dims
            || env.num_envs() == 0
            || !(1..=observations).contains(&seen)
            || actions == 0
        {
            return Err(TrainError::Environments(format!(
                "shard {index} has {} environments with {observations} observations, {seen} of them for the actor, and {actions} actions, \
                 must have at least one, with {}, {} and {} like shard 0",
                env.num_envs(),
                dims.0,
                dims.1,
                dims.2
            )));
        }
    }
    tch::set_num_threads(1);
    let workers = envs.into_iter().zip(communicators);
    workers
        .map(|(mut env, communicator)| {
            Ok(Worker {
                learner: learner::build(config, env.as_mut(), &communicator, seed)?,
                env,
                communicator,
                steps_per_rollout: config.steps_per_rollout as u64,
            })
        })
        .collect()
}
