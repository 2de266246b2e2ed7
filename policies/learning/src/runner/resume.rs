//! How a training is saved, resumed, given other settings, and begun from another one.

use std::path::{Path, PathBuf};

use policies::training::{PpoConfig, VecEnv};

use super::{Runner, Worker, workers};
use crate::checkpoint::{self, CheckpointError, EnvState};
use crate::distributed::{Communicator, LostWorker};
use crate::error::TrainError;
use crate::learner::KnownInputs;

/// What a checkpoint brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// Iterations done.
    pub iteration: u64,
    /// Policy steps done.
    pub policy_steps: u64,
    /// Whether the episodes continue exactly where they were; if not, fresh ones begin.
    pub environments: bool,
}

impl Worker {
    fn env_state(&self) -> EnvState {
        EnvState {
            carried: self.learner.carried(),
            env: self.env.save(),
        }
    }
}

impl Runner {
    /// Writes the checkpoint `folder/checkpoint-<iteration>` and removes old ones beyond the config's number. Returns its path.
    ///
    /// # Errors
    /// When it cannot be written whole; then it is not there, and earlier ones still are.
    pub fn save(&self, folder: &Path) -> Result<PathBuf, TrainError> {
        let communicator = &self.workers[0].communicator;
        let mut writer = checkpoint::Writer::new(folder, self.iteration());
        if communicator.rank() == 0 {
            writer.begin();
        }
        communicator.agree(writer.is_ok())?;
        for worker in &self.workers {
            writer.environments(worker.communicator.rank(), &worker.env_state());
        }
        if communicator.agree(writer.is_ok())? && communicator.rank() == 0 {
            let (workers, state) = (communicator.size(), self.workers[0].learner.state());
            writer.learner(&self.config, self.progress, workers, &state);
            writer.publish(self.config.keep_checkpoints);
        }
        let everywhere = communicator.agree(writer.is_ok())?;
        Ok(writer.finish(everywhere)?)
    }

    /// Resumes from a checkpoint: exactly, if it holds the environments of as many workers as this runner has; else with fresh episodes.
    /// The seed becomes the checkpoint's.
    ///
    /// # Errors
    /// When the checkpoint is damaged, or of other networks or environments. The runner is then as before, or of no more use if it was an
    /// environment that refused.
    pub fn resume(&mut self, checkpoint: &Path) -> Result<Resumed, TrainError> {
        let own = self.workers[0].learner.state();
        let read = checkpoint::load(checkpoint).and_then(|(progress, workers, state)| {
            (state.fits(&own)).map_err(|what| checkpoint::misfit(checkpoint, what))?;
            Ok((
                progress,
                workers,
                state,
                self.load_environments(checkpoint)?,
            ))
        });
        let (progress, workers, state, environments) = self.all_or_none(read)?;
        let counts = workers == self.workers[0].communicator.size();
        let exact = self.agree(counts && environments.len() == self.workers.len())?;
        if exact {
            self.restore_environments(&environments, |rank, what| {
                checkpoint::refused(checkpoint, rank, what).into()
            })?;
        }
        for worker in &mut self.workers {
            worker.learner.restore(&state);
        }
        self.progress = progress;
        Ok(Resumed {
            iteration: progress.iteration,
            policy_steps: progress.policy_steps,
            environments: exact,
        })
    }

    /// Continues with other settings, and with `envs` in place of the present environments, one for each worker. Networks, optimizer, learning rate and
    /// multiplier are kept, and so are episodes under way where there are as many environments as before; else these begin afresh.
    /// Returns whether they were kept.
    ///
    /// # Errors
    /// When a setting is out of range or changes the networks, or when an environment refuses its episodes. The runner is then of no more use.
    pub fn reconfigure(
        &mut self,
        config: PpoConfig,
        envs: Vec<Box<dyn VecEnv>>,
    ) -> Result<bool, TrainError> {
        if envs.len() != self.workers.len() {
            let (shards, workers) = (envs.len(), self.workers.len());
            let what = format!("{shards} shards of environments for {workers} workers");
            return Err(TrainError::Environments(what));
        }
        let communicators = self
            .workers
            .iter()
            .map(|worker| worker.communicator.clone());
        let new = workers(&config, envs, self.progress.seed, communicators)?;
        let state = self.workers[0].learner.state();
        (state.fits(&new[0].learner.state())).map_err(TrainError::Reconfigured)?;
        let carried = |worker: &Worker| worker.learner.carried().len();
        let same = (self.workers.iter().map(carried)).eq(new.iter().map(carried));
        let keep = self.agree(same)?;
        let environments: Vec<_> = self.workers.iter().map(Worker::env_state).collect();
        self.workers = new;
        self.config = config;
        if keep {
            self.restore_environments(&environments, |rank, what| {
                TrainError::Reconfigured(format!("worker {rank}: {what}"))
            })?;
        }
        for worker in &mut self.workers {
            worker.learner.restore(&state);
        }
        Ok(keep)
    }

    /// Begins with the networks of a checkpoint of another run, perhaps with other observations: `inputs` says which are the same. The optimizer, the
    /// seed and the count of steps are new.
    ///
    /// # Errors
    /// When the checkpoint is damaged, or its networks have other layers.
    ///
    /// # Panics
    /// When `inputs` is not about observations of these environments.
    pub fn begin_from(
        &mut self,
        checkpoint: &Path,
        inputs: &KnownInputs,
    ) -> Result<(), TrainError> {
        let read = checkpoint::load(checkpoint);
        let (_, _, state) = self.all_or_none(read)?;
        for worker in &mut self.workers {
            (worker.learner.adopt(&state, inputs))
                .map_err(|what| checkpoint::misfit(checkpoint, what))?;
        }
        Ok(())
    }

    /// What was read, if all processes could read it.
    fn all_or_none<T>(&self, read: Result<T, CheckpointError>) -> Result<T, TrainError> {
        let everywhere = self.agree(read.is_ok())?;
        let read = read?;
        match everywhere {
            true => Ok(read),
            false => Err(LostWorker.into()),
        }
    }

    fn restore_environments(
        &mut self,
        states: &[EnvState],
        refused: impl Fn(usize, String) -> TrainError,
    ) -> Result<(), TrainError> {
        for (worker, state) in self.workers.iter_mut().zip(states) {
            let rank = worker.communicator.rank();
            (worker.env.load(&state.env)).map_err(|what| refused(rank, what))?;
            worker.learner.restore_carried(&state.carried);
        }
        Ok(())
    }

    /// Those of the workers of this process, as far as the checkpoint has them.
    fn load_environments(&self, checkpoint: &Path) -> Result<Vec<EnvState>, CheckpointError> {
        let mut environments = Vec::new();
        for worker in &self.workers {
            let (rank, carried) = (worker.communicator.rank(), worker.learner.carried().len());
            environments.extend(checkpoint::load_environments(checkpoint, rank, carried)?);
        }
        Ok(environments)
    }
}
