//! How a learner is saved, goes on, and begins from another run.

use std::path::{Path, PathBuf};

use super::Learner;
use crate::checkpoint::{self, CheckpointError, EnvState, Progress};
use crate::communicator::{Communicator, LostWorker};
use crate::error::TrainError;
use crate::model::{ParameterLayout, adopted};
use crate::network::Columns;
use crate::worker::Worker;

/// What a checkpoint brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// Iterations done.
    pub iteration: u64,
    /// Policy steps done.
    pub policy_steps: u64,
    /// Whether the environments go on exactly where they were. If not, they begin fresh episodes.
    pub environments: bool,
}

/// Which of the observations that networks were trained with are still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownInputs {
    /// How many elements the actor saw.
    pub actor_before: usize,
    /// How many the critics saw.
    pub observation_before: usize,
    /// For each element of now, the same one of before, if there was one: for the actor's elements one of the actor's.
    pub same: Vec<Option<usize>>,
}

impl Learner {
    /// Writes the checkpoint `folder/checkpoint-<iteration>` and removes old ones beyond the config's number. Returns its path.
    ///
    /// # Errors
    /// When it cannot be written whole; then it is not there, and earlier ones still are.
    pub fn save(&self, folder: &Path) -> Result<PathBuf, TrainError> {
        let Worker {
            model,
            communicator,
            learning_rate,
            lagrangian,
            ..
        } = &self.workers[0];
        let mut writer = checkpoint::Writer::new(folder, self.iteration);
        if communicator.rank() == 0 {
            writer.begin();
        }
        communicator.agree(writer.is_ok())?;
        for worker in &self.workers {
            writer.environments(
                worker.communicator.rank(),
                &worker.carried(),
                &worker.env.save(),
            );
        }
        if communicator.agree(writer.is_ok())? && communicator.rank() == 0 {
            let progress = Progress::new(
                &self.config,
                self.next(),
                *learning_rate,
                lagrangian.as_ref().map(|l| l.multiplier),
                communicator.size(),
                &model.adam,
            );
            writer.learner(progress, &model.layout, model.parameters(), &model.adam);
            writer.publish(self.config.keep_checkpoints);
        }
        let everywhere = communicator.agree(writer.is_ok())?;
        Ok(writer.finish(everywhere)?)
    }

    /// Goes on from a checkpoint: exactly, if it holds the environments of as many workers as this learner has; else with fresh episodes.
    /// The seed becomes the checkpoint's.
    ///
    /// # Errors
    /// When the checkpoint is damaged, or of other networks or environments. The learner is then as before, or of no more use if it was an
    /// environment that refused.
    pub fn resume(&mut self, checkpoint: &Path) -> Result<Resumed, TrainError> {
        let layout = self.workers[0].model.layout.clone();
        let read = checkpoint::load(checkpoint, &layout)
            .and_then(|loaded| Ok((loaded, self.load_environments(checkpoint)?)));
        if !self.agree(read.is_ok())? {
            read?;
            return Err(LostWorker.into());
        }
        let (loaded, environments) = read?;
        let exact = self.agree(
            environments.len() == self.workers.len()
                && loaded.progress.workers == self.workers[0].communicator.size(),
        )?;
        if exact {
            for (worker, state) in self.workers.iter_mut().zip(environments) {
                let rank = worker.communicator.rank();
                (worker.env.load(&state.env))
                    .map_err(|what| checkpoint::refused(checkpoint, rank, what))?;
                worker.restore(&state.carried);
            }
        }
        for worker in &mut self.workers {
            worker
                .model
                .parameters_mut()
                .copy_from_slice(&loaded.parameters);
            worker.model.refresh_shadow();
            worker.model.adam = loaded.adam.clone();
            worker.learning_rate = loaded.progress.learning_rate;
            if let (Some(lagrangian), Some(multiplier)) =
                (&mut worker.lagrangian, loaded.progress.multiplier)
            {
                lagrangian.multiplier = multiplier;
            }
        }
        self.seed = loaded.seed;
        self.iteration = loaded.progress.iteration;
        self.policy_steps = loaded.progress.policy_steps;
        Ok(Resumed {
            iteration: self.iteration,
            policy_steps: self.policy_steps,
            environments: exact,
        })
    }

    /// Begins with the networks of a checkpoint of another run, perhaps with other observations: `inputs` says which are the same. The optimizer, the
    /// seed and the count of steps are new.
    ///
    /// # Errors
    /// When the checkpoint is damaged, or its networks have other layers.
    ///
    /// # Panics
    /// When `inputs` is not about observations of this learner.
    pub fn begin_from(
        &mut self,
        checkpoint: &Path,
        inputs: &KnownInputs,
    ) -> Result<(), TrainError> {
        let (columns, layout) = (
            self.workers[0].columns,
            self.workers[0].model.layout.clone(),
        );
        assert_eq!(inputs.same.len(), columns.observation, "elements");
        let before = Columns {
            actor: inputs.actor_before,
            observation: inputs.observation_before,
        };
        let read = checkpoint::had_costs(checkpoint).and_then(|had_costs| {
            let actions = layout.log_std.len();
            let then = ParameterLayout::new(before, &self.config.hidden, actions, had_costs);
            Ok((checkpoint::load(checkpoint, &then)?, then))
        });
        if !self.agree(read.is_ok())? {
            read?;
            return Err(LostWorker.into());
        }
        let (loaded, then) = read?;
        let mut known = vec![None; columns.critic()];
        for (element, same) in inputs.same.iter().enumerate() {
            known[columns.column(element)] = same.map(|same| before.column(same));
        }
        for worker in &mut self.workers {
            let old = (&then, loaded.parameters.as_slice());
            let parameters = adopted(old, (&layout, worker.model.parameters()), &known);
            worker.model.parameters_mut().copy_from_slice(&parameters);
            worker.model.refresh_shadow();
        }
        Ok(())
    }

    /// Those of the workers of this process, as far as the checkpoint has them.
    fn load_environments(&self, checkpoint: &Path) -> Result<Vec<EnvState>, CheckpointError> {
        let mut environments = Vec::new();
        for worker in &self.workers {
            let (rank, carried) = (worker.communicator.rank(), worker.carried().len());
            environments.extend(checkpoint::load_environments(checkpoint, rank, carried)?);
        }
        Ok(environments)
    }
}
