//! The networks on libtorch: a multilayer perceptron with ELU for the actor and for each critic, differentiated by hand, in float32 or bfloat16, on
//! the CPU or a CUDA device. Environments, losses and optimizer are on the CPU in float32 whatever the networks are.

use std::ops::Range;
use std::sync::Arc;

use policies::Linear;
use policies::training::{Algorithm, PpoConfig, VecEnv};
use rand::RngExt;
use rand_pcg::Pcg64;
use tch::{Device, Kind, Tensor};

use super::adam::adam_step;
use super::compute::Compute;
use super::host_tensor::{elements, elements_mut, head, zeros};
use super::layout::{Columns, LayerSpan, ParameterLayout, padded};
use super::network::{Mlp, Workspace};
use super::{Backend, Norms, Statistics};
use crate::distributed::{Communicator, LostWorker, ThreadCommunicator};
use crate::error::TrainError;
use crate::learner::{KnownInputs, NamedTensor, State};

/// Before the names of parameters and of the optimizer's moments.
const PREFIXES: [&str; 3] = ["", "adam.first_moment.", "adam.second_moment."];

/// One replica of actor, critics and optimizer.
pub(crate) struct Torch {
    communicator: Arc<ThreadCommunicator>,
    compute: Compute,
    hidden: Vec<usize>,
    columns: Columns,
    num_envs: usize,

    layout: ParameterLayout,
    /// float32 [len], in host memory.
    parameters: Tensor,
    /// The parameters on the device [len]; on the CPU `parameters` itself.
    on_device: Tensor,
    /// The parameters on the device in the kind that hidden layers compute with [len]; in float32 `on_device` itself.
    shadow: Tensor,
    /// float32 [len + statistics], in host memory.
    gradients: Tensor,
    /// Where the networks write them; on the CPU `gradients` itself.
    device_gradients: Tensor,
    log_std_gradient: Vec<f32>,
    norms: Norms,
    actor: Mlp,
    /// Of the rewards, then of the costs if they are bounded.
    critics: Vec<Mlp>,
    optimizer_steps: u64,
    /// Of Adam [len].
    moments: [Vec<f32>; 2],

    /// What the environments show now [num_envs, observation_dim], float32 in host memory.
    shown: Tensor,
    /// The rollout's observations [(steps + 1) * num_envs, stride], in host memory, of the kind that hidden layers compute with.
    observations: Tensor,
    /// The same on the device, once the first minibatch has been taken of them.
    device_observations: Option<Tensor>,
    /// Observations of a block [block rows, stride], on the device, and how many rows of it are in use.
    block: Tensor,
    rows: usize,
    /// Outputs and their gradients in host memory [block rows, action_dim], [block rows, 1].
    means: Tensor,
    mean_gradient: Tensor,
    values: Tensor,
    value_gradient: Tensor,
    work: Workspace,
}

impl Torch {
    /// Networks with random weights, for a worker with these environments.
    ///
    /// # Errors
    /// When the config asks for a device that is not there.
    pub(crate) fn new(
        config: &PpoConfig,
        env: &dyn VecEnv,
        communicator: Arc<ThreadCommunicator>,
        random: &mut Pcg64,
    ) -> Result<Self, TrainError> {
        let compute = Compute::new(config)?;
        let kind = compute.kind;
        let (num_envs, action_dim) = (env.num_envs(), env.action_dim());
        let columns = Columns {
            actor: env.actor_dim(),
            observation: env.observation_dim(),
        };
        let rows = config.steps_per_rollout * num_envs;
        let minibatch = rows.div_ceil(config.minibatches);
        let elements = columns.stride() + 2 * config.hidden.iter().sum::<usize>();
        let block = compute.block_rows(minibatch, elements);

        let has_costs = config.name == Algorithm::PpoLagrangian;
        let layout = ParameterLayout::new(columns, &config.hidden, action_dim, has_costs);
        let len = layout.len();
        let parameters = zeros(&[len], Kind::Float);
        let gradients = zeros(&[len + Statistics::default().len()], Kind::Float);
        // Shares its memory where it is there already.
        let on_device = parameters.to_device(compute.device);
        let device_gradients = gradients.to_device(compute.device);
        let shadow = match kind {
            Kind::Float => on_device.shallow_clone(),
            kind => compute.zeros(&[len], kind),
        };
        let network =
            |spans: &[LayerSpan]| Mlp::new(spans, &on_device, &shadow, &device_gradients, compute);
        let mut torch = Self {
            actor: network(&layout.actor),
            critics: layout.critics.iter().map(|spans| network(spans)).collect(),
            optimizer_steps: 0,
            moments: [vec![0.0; len], vec![0.0; len]],
            log_std_gradient: vec![0.0; action_dim],
            norms: Norms::default(),
            shown: zeros(&[num_envs, columns.observation], Kind::Float),
            observations: zeros(&[rows + num_envs, columns.stride()], kind),
            device_observations: None,
            block: compute.zeros(&[block, columns.stride()], kind),
            rows: 0,
            means: zeros(&[block, action_dim], Kind::Float),
            mean_gradient: zeros(&[block, action_dim], Kind::Float),
            values: zeros(&[block, 1], Kind::Float),
            value_gradient: zeros(&[block, 1], Kind::Float),
            work: Workspace::new(block, &config.hidden, compute),
            communicator,
            compute,
            hidden: config.hidden.clone(),
            columns,
            num_envs,
            layout,
            parameters,
            on_device,
            shadow,
            gradients,
            device_gradients,
        };
        torch.initialize(config, random);
        Ok(torch)
    }

    /// Uniform within 1 / sqrt(inputs), the actor's last layer times its gain.
    fn initialize(&mut self, config: &PpoConfig, random: &mut Pcg64) {
        let flat = elements_mut::<f32>(&mut self.parameters);
        let critics = self.layout.critics.iter().map(|critic| (critic, 1.0));
        for (spans, gain) in
            std::iter::once((&self.layout.actor, config.last_layer_gain)).chain(critics)
        {
            for (index, span) in spans.iter().enumerate() {
                let gain = if index + 1 == spans.len() { gain } else { 1.0 };
                let bound = gain / (span.inputs as f32).sqrt();
                for row in 0..span.outputs {
                    for weight in &mut flat[span.offset + row * span.stride..][..span.inputs] {
                        *weight = random.random_range(-bound..bound);
                    }
                }
                for bias in &mut flat[span.bias_offset()..span.end()] {
                    *bias = random.random_range(-bound..bound);
                }
            }
        }
        flat[self.layout.log_std.clone()].fill(config.initial_std.ln());
        self.refresh_shadow();
    }

    /// After every change of the parameters.
    fn refresh_shadow(&mut self) {
        if self.compute.device != Device::Cpu {
            self.on_device.copy_(&self.parameters);
        }
        if self.compute.kind != Kind::Float {
            self.shadow.copy_(&self.on_device);
        }
    }

    fn parameters(&self) -> &[f32] {
        elements(&self.parameters)
    }

    fn gradient_norms(&self) -> Norms {
        let gradients = elements::<f32>(&self.gradients);
        self.layout.parts().map(|range| {
            // Sums of a few lanes: one running sum in float32 would lose digits, and wait for itself.
            let mut lanes = [0.0_f32; 16];
            for chunk in gradients[range].chunks(16) {
                for (lane, g) in lanes.iter_mut().zip(chunk) {
                    *lane += g * g;
                }
            }
            lanes.iter().map(|&l| f64::from(l)).sum::<f64>().sqrt() as f32
        })
    }
}

impl Backend for Torch {
    fn observations(&self) -> &[f32] {
        elements(&self.shown)
    }

    fn observations_mut(&mut self) -> &mut [f32] {
        elements_mut(&mut self.shown)
    }

    fn keep(&mut self, step: usize) {
        let n = self.num_envs as i64;
        let rows = self.observations.narrow(0, step as i64 * n, n);
        self.columns.place(&self.shown, &rows);
        self.device_observations = None;
    }

    fn act(&mut self, step: usize, means: &mut [f32]) {
        let block = self.block_rows();
        let action_dim = self.layout.log_std.len();
        let mut begin = step * self.num_envs;
        for means in means.chunks_mut(block * action_dim) {
            let rows = means.len() / action_dim;
            let input = self.observations.narrow(0, begin as i64, rows as i64);
            let output = head(&self.means, rows);
            self.actor.forward(&input, &output, &mut self.work);
            means.copy_from_slice(elements(&output));
            begin += rows;
        }
    }

    fn values(&mut self, critic: usize, values: &mut [f32]) {
        let block = self.block_rows();
        for (index, values) in values.chunks_mut(block).enumerate() {
            let begin = (index * block) as i64;
            let input = self.observations.narrow(0, begin, values.len() as i64);
            let output = head(&self.values, values.len());
            self.critics[critic].forward(&input, &output, &mut self.work);
            values.copy_from_slice(elements(&output));
        }
    }

    fn values_of(&mut self, critic: usize, observations: &[f32]) -> Vec<f32> {
        let dim = self.columns.observation;
        let mut values = Vec::with_capacity(observations.len() / dim);
        for observations in observations.chunks(self.block_rows() * dim) {
            let rows = observations.len() / dim;
            let observations = Tensor::from_slice(observations).view([rows as i64, dim as i64]);
            let input = head(&self.block, rows);
            let _ = input.shallow_clone().zero_();
            self.columns.place(&observations, &input);
            let output = head(&self.values, rows);
            self.critics[critic].forward(&input, &output, &mut self.work);
            values.extend_from_slice(elements(&output));
        }
        values
    }

    fn log_std(&self) -> &[f32] {
        &self.parameters()[self.layout.log_std.clone()]
    }

    fn block_rows(&self) -> usize {
        self.block.size()[0] as usize
    }

    fn clear_gradients(&mut self) {
        let _ = self.device_gradients.zero_();
        self.log_std_gradient.fill(0.0);
    }

    fn begin_block(&mut self, rows: &[i64]) {
        self.rows = rows.len();
        // On the CPU they are there already.
        let observations = (self.device_observations)
            .get_or_insert_with(|| self.observations.to_device(self.compute.device));
        let rows = Tensor::from_slice(rows).to_device(self.compute.device);
        let _ = observations.index_select_out(&head(&self.block, self.rows), 0, &rows);
    }

    fn differentiate_actor<T>(
        &mut self,
        loss: impl FnOnce(&[f32], &[f32], &mut [f32], &mut [f32]) -> T,
    ) -> T {
        let input = head(&self.block, self.rows);
        let means = head(&self.means, self.rows);
        let mut gradient = head(&self.mean_gradient, self.rows);
        self.actor.forward(&input, &means, &mut self.work);
        let log_std = &elements::<f32>(&self.parameters)[self.layout.log_std.clone()];
        let outcome = loss(
            elements(&means),
            log_std,
            elements_mut(&mut gradient),
            &mut self.log_std_gradient,
        );
        self.actor.backward(&input, &gradient, &mut self.work);
        outcome
    }

    fn differentiate_critic<T>(
        &mut self,
        critic: usize,
        loss: impl FnOnce(&[f32], &mut [f32]) -> T,
    ) -> T {
        let input = head(&self.block, self.rows);
        let values = head(&self.values, self.rows);
        let mut gradient = head(&self.value_gradient, self.rows);
        let critic = &mut self.critics[critic];
        critic.forward(&input, &values, &mut self.work);
        let outcome = loss(elements(&values), elements_mut(&mut gradient));
        critic.backward(&input, &gradient, &mut self.work);
        outcome
    }

    fn average(&mut self, weight: f32, statistics: &mut Statistics) -> Result<Norms, LostWorker> {
        if self.compute.device != Device::Cpu {
            self.gradients.copy_(&self.device_gradients);
        }
        let gradients = elements_mut::<f32>(&mut self.gradients);
        let len = self.layout.len();
        gradients[self.layout.log_std.clone()].copy_from_slice(&self.log_std_gradient);
        gradients[len..].copy_from_slice(statistics);
        if weight != 1.0 {
            gradients.iter_mut().for_each(|g| *g *= weight);
        }
        self.communicator.all_reduce_mean(gradients)?;
        statistics.copy_from_slice(&gradients[len..]);
        self.norms = self.gradient_norms();
        Ok(self.norms)
    }

    fn step(&mut self, learning_rate: f32, max_norms: Norms, log_std: Range<f32>) {
        self.optimizer_steps += 1;
        let parameters = elements_mut::<f32>(&mut self.parameters);
        let gradients = elements::<f32>(&self.gradients);
        let parts = self.layout.parts().into_iter();
        for ((range, norm), limit) in parts.zip(self.norms).zip(max_norms) {
            let scale = if norm > limit { limit / norm } else { 1.0 };
            adam_step(
                self.optimizer_steps,
                learning_rate,
                &mut parameters[range.clone()],
                &gradients[range.clone()],
                scale,
                self.moments
                    .each_mut()
                    .map(|moment| &mut moment[range.clone()]),
            );
        }
        for value in &mut parameters[self.layout.log_std.clone()] {
            *value = value.clamp(log_std.start, log_std.end);
        }
        self.refresh_shadow();
    }

    fn mean_over_workers(&self, values: &mut [f32]) -> Result<(), LostWorker> {
        self.communicator.all_reduce_mean(values)
    }

    fn state(&self) -> (u64, Vec<NamedTensor>) {
        let flats = [self.parameters(), &self.moments[0], &self.moments[1]];
        let spans = self.layout.tensors();
        let named = |(prefix, flat)| spans.iter().map(move |span| span.named(prefix, flat));
        let tensors = PREFIXES.into_iter().zip(flats).flat_map(named).collect();
        (self.optimizer_steps, tensors)
    }

    fn restore(&mut self, state: &State) {
        let mut flats = [const { Vec::new() }; 3];
        for (prefix, flat) in PREFIXES.into_iter().zip(&mut flats) {
            flat.resize(self.layout.len(), 0.0);
            for span in self.layout.tensors() {
                // It fits: none is missing.
                if let Ok(tensor) = state.tensor(&format!("{prefix}{}", span.name)) {
                    span.scatter(&tensor.values, flat);
                }
            }
        }
        let [parameters, moments @ ..] = flats;
        elements_mut(&mut self.parameters).copy_from_slice(&parameters);
        self.moments = moments;
        self.optimizer_steps = state.optimizer_steps;
        self.refresh_shadow();
    }

    fn adopt(&mut self, old: &State, inputs: &KnownInputs) -> Result<(), String> {
        let flat = elements_mut(&mut self.parameters);
        self.layout.adopt(flat, self.columns, old, inputs)?;
        self.refresh_shadow();
        Ok(())
    }

    fn actor_layers(&self) -> Vec<Linear> {
        let tensors = self.layout.tensors();
        let layers = tensors.chunks_exact(2).zip(&self.layout.actor);
        layers
            .map(|(pair, span)| Linear {
                inputs: span.inputs,
                weight: pair[0].gather(self.parameters()),
                bias: pair[1].gather(self.parameters()),
            })
            .collect()
    }

    fn mean_actions(&self, observations: &[f32]) -> Vec<f32> {
        let dim = self.columns.actor;
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
        let output = zeros(&[rows, self.layout.log_std.len()], Kind::Float);
        let mut work = Workspace::new(rows, &self.hidden, self.compute);
        self.actor
            .forward(&wide.to_kind(self.compute.kind), &output, &mut work);
        elements(&output).to_vec()
    }
}
