//! The learner: workers, iterations, checkpoints.

use std::any::Any;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tch::Kind;

use super::checkpoint::{self, CheckpointError, EnvState, Progress};
use super::communicator::{Communicator, LostWorker, ThreadCommunicator};
use super::host_tensor::{elements, elements_mut, zeros};
use super::model::{Model, ParameterLayout, adopted};
use super::network::{Columns, Compute, Workspace, padded};
use super::report::{CostReport, IterationReport, merged};
use super::worker::{Measured, Plan, Worker, WorkerReport};
use crate::Linear;
use crate::algorithm::{Device, InvalidConfig, PpoConfig, Precision};
use crate::vec_env::{StepTimes, TimeShares, VecEnv};

/// Learning stops as diverged when all minibatches of this many iterations in a row had to be skipped.
const LOST_ITERATIONS: usize = 2;

/// PPO (Schulman et al., 2017) with data-parallel workers.
pub struct Learner {
    config: PpoConfig,
    seed: u64,
    iteration: u64,
    policy_steps: u64,
    workers: Vec<Worker>,
}

/// Why learning cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The config is out of range.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// Environments that one learner cannot take together.
    #[error("{0}")]
    Environments(String),
    /// A CUDA device is asked for and is not there.
    #[error("--device cuda: {0}")]
    NoCuda(&'static str),
    /// Losses or gradients stay NaN or infinite.
    #[error(
        "diverged: the last {skipped} minibatches up to iteration {iteration} had a loss or gradient that is not finite; \
         go back to an earlier checkpoint with a smaller learning_rate.max, or look for NaN in rewards and observations"
    )]
    Diverged {
        /// Where it stopped.
        iteration: u64,
        /// Minibatches skipped in a row.
        skipped: u32,
    },
    /// A worker thread panicked.
    #[error("worker {rank} panicked: {message}")]
    Panicked {
        /// Which one.
        rank: usize,
        /// What it said.
        message: String,
    },
    /// A worker of another process failed.
    #[error(transparent)]
    LostWorker(#[from] LostWorker),
    /// A checkpoint could not be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

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

impl TrainError {
    /// Whether this only follows from what another process reports.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        matches!(
            self,
            Self::LostWorker(_) | Self::Checkpoint(CheckpointError::Elsewhere { .. })
        )
    }
}

impl Learner {
    /// A learner with one worker thread for each of `envs`, which share the config's rollout: as many as there are cores is best.
    /// The result depends on the seed and on how the environments are divided, not on timing.
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

    /// As `new`, as one of several processes, each with the same number of environments; `processes` ties them together.
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
        let compute = compute(&config)?;
        tch::set_num_threads(1);
        let workers = envs
            .into_iter()
            .zip(communicators)
            .map(|(env, communicator)| Worker::new(&config, compute, env, communicator, seed))
            .collect();
        Ok(Self {
            config,
            seed,
            iteration: 0,
            policy_steps: 0,
            workers,
        })
    }

    /// The algorithm's config.
    #[must_use]
    pub fn config(&self) -> &PpoConfig {
        &self.config
    }

    /// Index of this process among those that learn together.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.workers[0].communicator.rank() / self.workers.len()
    }

    /// Number format of the networks' products on this machine, never `Auto`.
    #[must_use]
    pub fn precision(&self) -> Precision {
        match compute_kind(&self.config) {
            Kind::BFloat16 => Precision::Bf16,
            _ => Precision::F32,
        }
    }

    /// Iterations done.
    #[must_use]
    pub fn iteration(&self) -> u64 {
        self.iteration
    }

    /// Policy steps done over all environments.
    #[must_use]
    pub fn policy_steps(&self) -> u64 {
        self.policy_steps
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
        while self.policy_steps < self.config.total_policy_steps
            && self.agree(go_on && !stop.load(Ordering::Relaxed))?
        {
            let report = self.iterate()?;
            if let Some(folder) = checkpoints
                && self
                    .iteration
                    .is_multiple_of(self.config.checkpoint_interval)
            {
                self.save(folder)?;
                saved = Some(self.iteration);
            }
            go_on = observer(self, &report).is_continue();
        }
        if let Some(folder) = checkpoints
            && saved != Some(self.iteration)
        {
            self.save(folder)?;
        }
        Ok(())
    }

    /// Whether all processes are `ok`. Every process asks at the same place between two iterations.
    ///
    /// # Errors
    /// When another process has stopped.
    pub fn agree(&self, ok: bool) -> Result<bool, TrainError> {
        Ok(self.workers[0].communicator.agree(ok)?)
    }

    /// Collects one rollout and learns from it.
    ///
    /// # Errors
    /// When learning has diverged or a worker has failed. After a failed worker the learner is of no more use.
    pub fn iterate(&mut self) -> Result<IterationReport, TrainError> {
        let begin = Instant::now();
        let plan = self.next();
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (self.workers.iter_mut())
                .map(|worker| scope.spawn(move || iterate_or_abort(worker, plan)))
                .collect();
            threads
                .into_iter()
                .map(std::thread::ScopedJoinHandle::join)
                .collect()
        });
        let reports = collect_reports(results)?;
        let first = &reports[0];
        self.iteration += 1;
        self.policy_steps += first.policy_steps;

        let worker = &self.workers[0];
        let limit = LOST_ITERATIONS * self.config.epochs * self.config.minibatches;
        if worker.skipped_in_a_row as usize >= limit {
            return Err(TrainError::Diverged {
                iteration: self.iteration,
                skipped: worker.skipped_in_a_row,
            });
        }
        let log_std = worker.model.log_std();
        let entropy_of_unit = 0.5 * (1.0 + (2.0 * std::f32::consts::PI).ln());
        let sum = |of: fn(&Measured) -> f64| first.measured.iter().map(of).sum::<f64>();
        let (collect_s, update_s) = (sum(|m| m.collect_s), sum(|m| m.update_s));
        let step_s = sum(|m| m.step_s);
        let step = StepTimes {
            physics_s: sum(|m| m.step.physics_s),
            rays_s: sum(|m| m.step.rays_s),
            rewards_s: sum(|m| m.step.rewards_s),
        };
        Ok(IterationReport {
            iteration: self.iteration,
            policy_steps: self.policy_steps,
            steps_per_s: first.policy_steps as f64 / begin.elapsed().as_secs_f64(),
            collect_share: collect_s / (collect_s + update_s),
            time_shares: TimeShares::new(&step, step_s, collect_s - step_s, update_s),
            reward: first.reward,
            learning_rate: worker.learning_rate,
            kl: first.kl,
            std: log_std.iter().map(|l| l.exp()).sum::<f32>() / log_std.len() as f32,
            entropy: log_std.iter().map(|l| l + entropy_of_unit).sum(),
            surrogate_loss: first.surrogate,
            value_loss: first.value_loss,
            costs: (worker.lagrangian.as_ref()).map(|lagrangian| CostReport {
                multiplier: lagrangian.multiplier,
                episode_cost: first.episode_cost,
                value_loss: first.cost_value_loss,
            }),
            explained_variance: first.explained_variance,
            clip_fraction: first.clipped,
            actor_gradient_norm: first.actor_gradient_norm,
            critic_gradient_norm: first.critic_gradient_norm,
            skipped_minibatches: first.skipped,
            scalars: merged(first.measured.iter().flat_map(|m| &m.log)),
        })
    }

    fn next(&self) -> Plan {
        Plan {
            seed: self.seed,
            iteration: self.iteration,
            policy_steps: self.policy_steps,
        }
    }

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

    /// The actor's layers, input to output, with ELU after all but the last: what a bundle stores.
    #[must_use]
    pub fn actor_layers(&self) -> Vec<Linear> {
        let model = &self.workers[0].model;
        let tensors = model.layout.tensors();
        let named = |name: String| {
            (tensors.iter().find(|t| t.name == name))
                .map_or_else(Vec::new, |t| t.gather(model.parameters()))
        };
        (model.layout.actor.iter().enumerate())
            .map(|(index, span)| Linear {
                inputs: span.inputs,
                weight: named(format!("actor.layers.{index}.weight")),
                bias: named(format!("actor.layers.{index}.bias")),
            })
            .collect()
    }

    /// Mean actions [rows, action_dim] for what the actor sees [rows, actor_dim], as the learner computes them.
    ///
    /// # Panics
    /// When `observations` is not a whole number of rows.
    #[must_use]
    pub fn mean_actions(&self, observations: &[f32]) -> Vec<f32> {
        let model = &self.workers[0].model;
        mean_actions(model, model.compute(), &self.config.hidden, observations)
    }
}

fn mean_actions(
    model: &Model,
    compute: Compute,
    hidden: &[usize],
    observations: &[f32],
) -> Vec<f32> {
    let dim = model.layout.actor[0].inputs;
    assert_eq!(
        observations.len() % dim,
        0,
        "observations have {dim} elements each"
    );
    let rows = observations.len() / dim;
    let mut wide = zeros(&[rows, padded(dim)], Kind::Float);
    let rows_of_input = elements_mut::<f32>(&mut wide).chunks_exact_mut(padded(dim));
    for (row, observation) in rows_of_input.zip(observations.chunks_exact(dim)) {
        row[..dim].copy_from_slice(observation);
    }
    let output = zeros(&[rows, model.layout.log_std.len()], Kind::Float);
    let mut work = Workspace::new(rows, hidden, compute);
    model
        .actor
        .forward(&wide.to_kind(compute.kind), &output, &mut work);
    elements(&output).to_vec()
}

/// Frees the other workers if this one fails.
fn iterate_or_abort(worker: &mut Worker, plan: Plan) -> Result<WorkerReport, LostWorker> {
    tch::set_num_threads(1);
    let result = tch::no_grad(|| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| worker.iterate(plan)))
    });
    match result {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(lost)) => {
            worker.communicator.abort();
            Err(lost)
        }
        Err(panic) => {
            worker.communicator.abort();
            std::panic::resume_unwind(panic)
        }
    }
}

type Joined = Result<Result<WorkerReport, LostWorker>, Box<dyn Any + Send>>;

/// The reports of all workers, or the failure that stopped the others.
fn collect_reports(results: Vec<Joined>) -> Result<Vec<WorkerReport>, TrainError> {
    let mut reports = Vec::new();
    let mut lost = None;
    for (rank, result) in results.into_iter().enumerate() {
        match result {
            Ok(Ok(report)) => reports.push(report),
            Ok(Err(error)) => lost = Some(error),
            Err(panic) => {
                let message = (panic.downcast_ref::<String>().cloned())
                    .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
                    .unwrap_or_else(|| "no message".into());
                return Err(TrainError::Panicked { rank, message });
            }
        }
    }
    lost.map_or(Ok(reports), |lost| Err(lost.into()))
}

/// What evaluates the networks, if it is there.
fn compute(config: &PpoConfig) -> Result<Compute, TrainError> {
    let device = match config.device {
        Device::Cpu => tch::Device::Cpu,
        Device::Cuda if tch::Cuda::is_available() => tch::Device::Cuda(0),
        Device::Cuda => return Err(TrainError::NoCuda(no_cuda())),
    };
    Ok(Compute::on(device, compute_kind(config)))
}

/// Why there is no CUDA device.
fn no_cuda() -> &'static str {
    // Torch without its CUDA library knows of no device either.
    let has_library = option_env!("LIBTORCH")
        .is_some_and(|torch| Path::new(torch).join("lib/libtorch_cuda.so").exists());
    match has_library {
        true => "libtorch finds no usable GPU: look at nvidia-smi, or train with --device cpu",
        false => {
            "the libtorch in .libtorch/torch is for processors only: put a CUDA build of libtorch 2.11.0 in its place, \
             or train with --device cpu"
        }
    }
}

fn compute_kind(config: &PpoConfig) -> Kind {
    match config.precision {
        Precision::F32 => Kind::Float,
        Precision::Bf16 => Kind::BFloat16,
        #[cfg(target_arch = "x86_64")]
        Precision::Auto
            if config.device == Device::Cpu && is_x86_feature_detected!("avx512bf16") =>
        {
            Kind::BFloat16
        }
        Precision::Auto => Kind::Float,
    }
}
