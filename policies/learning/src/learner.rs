//! What a learning algorithm is to the [`Runner`](crate::Runner).

use std::sync::Arc;

use policies::Linear;
use policies::training::{Algorithm, PpoConfig, VecEnv};
use rand::SeedableRng;
use rand_pcg::Pcg64;

use crate::backend::Torch;
use crate::distributed::{LostWorker, ThreadCommunicator};
use crate::error::TrainError;
use crate::ppo::Ppo;

/// A learning algorithm, as one worker runs it. The runner calls [`collect`](Self::collect) and [`update`](Self::update) in turn, on a thread of the
/// worker's own; threads, processes, checkpoints and stages are the runner's. All workers call the same in the same order, and hold the same
/// parameters bit for bit.
pub(crate) trait Learner: Send {
    /// Acts in the environments for one rollout and keeps what `update` needs of it.
    fn collect(&mut self, env: &mut dyn VecEnv, random: &mut Pcg64);

    /// Learns from the rollout.
    ///
    /// # Errors
    /// When another worker has stopped.
    fn update(&mut self, iteration: &Iteration) -> Result<Update, LostWorker>;

    /// What the next rollout begins with, environments aside: their observations, for example.
    fn carried(&self) -> Vec<f32>;

    /// Puts back what `carried` returned.
    fn restore_carried(&mut self, carried: &[f32]);

    /// All that was learned.
    fn state(&self) -> State;

    /// Puts back a state that [`fits`](State::fits).
    fn restore(&mut self, state: &State);

    /// Takes over the networks of a learner that observed something else; `inputs` says what is the same.
    ///
    /// # Errors
    /// What does not fit. Nothing is changed then.
    fn adopt(&mut self, old: &State, inputs: &KnownInputs) -> Result<(), String>;

    /// The layers of the actor that is exported, input to output, with ELU after all but the last.
    fn actor_layers(&self) -> Vec<Linear>;

    /// Mean actions [rows, action_dim] for what the actor sees [rows, actor_dim].
    fn mean_actions(&self, observations: &[f32]) -> Vec<f32>;
}

/// The learner that a configuration asks for, before its first iteration, for a worker with these environments.
pub(crate) fn build(
    config: &PpoConfig,
    env: &mut dyn VecEnv,
    communicator: &Arc<ThreadCommunicator>,
    seed: u64,
) -> Result<Box<dyn Learner>, TrainError> {
    match config.name {
        Algorithm::Ppo | Algorithm::PpoLagrangian => {
            let random = &mut random_stream(seed, 0, 0, Purpose::Parameters);
            let backend = Torch::new(config, env, Arc::clone(communicator), random)?;
            Ok(Box::new(Ppo::new(config, backend, env)))
        }
    }
}

/// How far a training is; the same for all workers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    pub(crate) seed: u64,
    /// Iterations done.
    pub(crate) iteration: u64,
    /// Policy steps done over all environments.
    pub(crate) policy_steps: u64,
}

/// One iteration, as one worker sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Iteration {
    pub(crate) before: Progress,
    /// Policy steps done over all environments when it ends.
    pub(crate) policy_steps_after: u64,
    /// Of the worker, over all processes.
    pub(crate) rank: usize,
    /// How much the worker's rows count: its number of environments in proportion to the mean over all workers.
    pub(crate) weight: f32,
}

impl Iteration {
    pub(crate) fn random(&self, purpose: Purpose) -> Pcg64 {
        random_stream(self.before.seed, self.rank, self.before.iteration, purpose)
    }
}

/// What random numbers are for: each use has its own stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Parameters,
    Actions,
    Minibatches,
}

/// A stream for one use in one iteration of one worker. Nothing of it needs to be saved to resume.
fn random_stream(seed: u64, rank: usize, iteration: u64, purpose: Purpose) -> Pcg64 {
    // SplitMix64's finalizer, once per input.
    let mut state = 0_u64;
    for input in [seed, rank as u64, iteration, purpose as u64] {
        state = (state ^ input).wrapping_add(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^= state >> 31;
    }
    Pcg64::seed_from_u64(state)
}

/// What an update came to, the same for all workers.
pub(crate) struct Update {
    /// Named numbers for the report.
    pub(crate) scalars: Vec<(&'static str, f64)>,
    /// How many minibatches in a row had a loss or gradient that is not finite, if these are so many that learning is lost.
    pub(crate) diverged: Option<u32>,
}

/// Before the names of the averaged actor's tensors. A learner may begin or stop to average, so they may be missing or be of no use.
pub(crate) const AVERAGE: &str = "average.";

/// All that a learner learned, by name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    pub(crate) learning_rate: f32,
    /// What a unit of cost is worth in reward, if costs are bounded.
    pub(crate) multiplier: Option<f32>,
    pub(crate) optimizer_steps: u64,
    /// Parameters, moments of the optimizer, and the averaged actor behind [`AVERAGE`], if there is one.
    pub(crate) tensors: Vec<NamedTensor>,
}

/// A float32 tensor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NamedTensor {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

impl State {
    pub(crate) fn tensor(&self, name: &str) -> Result<&NamedTensor, String> {
        let mut tensors = self.tensors.iter();
        let tensor = tensors.find(|tensor| tensor.name == name);
        tensor.ok_or_else(|| format!("has no tensor {name}"))
    }

    fn learned(&self) -> impl Iterator<Item = &NamedTensor> {
        let tensors = self.tensors.iter();
        tensors.filter(|tensor| !tensor.name.starts_with(AVERAGE))
    }

    /// Whether a learner with the state `own` can take this one over.
    pub(crate) fn fits(&self, own: &Self) -> Result<(), String> {
        for tensor in own.learned() {
            self.tensor(&tensor.name)?.has_shape(&tensor.shape)?;
        }
        // An average has the shapes of the actor, which fits.
        for tensor in &self.tensors {
            if let Some(name) = tensor.name.strip_prefix(AVERAGE) {
                let actor = self.tensor(&format!("actor.{name}"))?;
                tensor.has_shape(&actor.shape)?;
            }
        }
        match self.learned().count() == own.learned().count() {
            true => Ok(()),
            false => Err("has more layers than this config".into()),
        }
    }
}

impl NamedTensor {
    pub(crate) fn has_shape(&self, shape: &[usize]) -> Result<(), String> {
        if self.shape == shape {
            return Ok(());
        }
        Err(format!(
            "{} is F32 {:?}, must be F32 {shape:?} for this config and robot",
            self.name, self.shape
        ))
    }
}

/// Which inputs networks that were trained before knew already.
#[derive(Clone, Debug)]
pub struct KnownInputs {
    /// Elements of an observation that their actor saw.
    pub actor_before: usize,
    /// All elements of an observation then.
    pub observation_before: usize,
    /// For each element of an observation now, the same one then. Those without one begin with zero weights.
    pub same: Vec<Option<usize>>,
}
