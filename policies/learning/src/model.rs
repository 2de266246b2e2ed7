//! One replica of actor, critics and optimizer. All replicas hold the same bits.

use std::ops::Range;

use rand::RngExt;
use rand_pcg::Pcg64;
use tch::{Device, Kind, Tensor};

use super::adam::Adam;
use super::compute::Compute;
use super::host_tensor::{elements, elements_mut, zeros};
use super::network::{Columns, LayerSpan, Mlp, Shape, Workspace, padded};
use policies::mlp::Linear;
use policies::training::PpoConfig;

/// Where everything lies in the flat vector of parameters: actor, log_std, critics.
#[derive(Clone, Debug)]
pub(super) struct ParameterLayout {
    pub(super) actor: Vec<LayerSpan>,
    pub(super) log_std: Range<usize>,
    /// Of the rewards, then of the costs if they are bounded.
    pub(super) critics: Vec<Vec<LayerSpan>>,
}

impl ParameterLayout {
    /// With one critic, or with a second one for costs.
    pub(super) fn new(
        columns: Columns,
        hidden: &[usize],
        action_dim: usize,
        has_costs: bool,
    ) -> Self {
        let actor = Shape::new(columns.actor, hidden, action_dim).spans(0);
        let begin = actor[actor.len() - 1].end();
        let log_std = begin..begin + action_dim;
        let critic = Shape::new(columns.critic(), hidden, 1);
        let mut critics = vec![critic.spans(log_std.end)];
        if has_costs {
            critics.push(critic.spans(end(&critics[0])));
        }
        Self {
            actor,
            log_std,
            critics,
        }
    }

    pub(super) fn len(&self) -> usize {
        end(&self.critics[self.critics.len() - 1])
    }

    /// Parts whose gradients are clipped on their own: actor with log_std, critic, and critic of the costs, empty where there is none.
    fn parts(&self) -> [Range<usize>; PARTS] {
        let critic_end = end(&self.critics[0]);
        [
            0..self.log_std.end,
            self.log_std.end..critic_end,
            critic_end..self.len(),
        ]
    }

    /// Names, shapes without padding, and where the rows of each tensor lie.
    pub(super) fn tensors(&self) -> Vec<NamedTensor> {
        let mut tensors = Vec::new();
        let critics = ["critic", "cost_critic"].into_iter().zip(&self.critics);
        for (network, spans) in std::iter::once(("actor", &self.actor)).chain(critics) {
            for (index, span) in spans.iter().enumerate() {
                tensors.push(NamedTensor {
                    name: format!("{network}.layers.{index}.weight"),
                    shape: vec![span.outputs, span.inputs],
                    offset: span.offset,
                    stride: span.stride,
                });
                tensors.push(NamedTensor {
                    name: format!("{network}.layers.{index}.bias"),
                    shape: vec![span.outputs],
                    offset: span.bias_offset(),
                    stride: span.outputs,
                });
            }
        }
        tensors.push(NamedTensor {
            name: "actor.log_std".into(),
            shape: vec![self.log_std.len()],
            offset: self.log_std.start,
            stride: self.log_std.len(),
        });
        tensors
    }
}

/// Parameters for `layout` with those of networks that were trained before, by name. In the first layers `columns` has, for each column of now, the
/// one of before; a column without one gets zero weights, so that the networks begin as they were. What was not there before stays as in `initial`.
pub(super) fn adopted(
    (before, old): (&ParameterLayout, &[f32]),
    (layout, initial): (&ParameterLayout, &[f32]),
    columns: &[Option<usize>],
) -> Vec<f32> {
    let mut parameters = initial.to_vec();
    let tensors = before.tensors();
    for tensor in layout.tensors() {
        let Some(then) = tensors.iter().find(|then| then.name == tensor.name) else {
            continue;
        };
        let old = then.gather(old);
        let values = match (&tensor.shape[..], &then.shape[..]) {
            (&[_, now_wide], &[_, then_wide]) if tensor.name.ends_with(".layers.0.weight") => {
                let columns = &columns[..now_wide];
                let row = |old: &[f32]| -> Vec<f32> {
                    let weight = |column: &Option<usize>| column.map_or(0.0, |column| old[column]);
                    columns.iter().map(weight).collect()
                };
                old.chunks_exact(then_wide).flat_map(row).collect()
            }
            _ => old,
        };
        tensor.scatter(&values, &mut parameters);
    }
    parameters
}

/// Where a network ends in the flat vector.
fn end(spans: &[LayerSpan]) -> usize {
    spans[spans.len() - 1].end()
}

/// One tensor within the flat vector.
pub(super) struct NamedTensor {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    offset: usize,
    stride: usize,
}

impl NamedTensor {
    fn rows(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (rows, width) = match self.shape[..] {
            [rows, width] => (rows, width),
            _ => (1, self.shape[0]),
        };
        let (offset, stride) = (self.offset, self.stride);
        (0..rows).map(move |row| offset + row * stride..offset + row * stride + width)
    }

    /// Its elements out of the flat vector, without padding.
    pub(super) fn gather(&self, flat: &[f32]) -> Vec<f32> {
        self.rows().flat_map(|row| &flat[row]).copied().collect()
    }

    /// Puts its elements into the flat vector.
    pub(super) fn scatter(&self, values: &[f32], flat: &mut [f32]) {
        let mut values = values;
        for row in self.rows() {
            let (head, rest) = values.split_at(row.len());
            flat[row].copy_from_slice(head);
            values = rest;
        }
    }
}

const PARTS: usize = 3;

/// Statistics that travel behind the gradients, so that a minibatch needs one all-reduce.
pub(super) const STATISTICS: usize = 5;

pub(super) struct Model {
    pub(super) layout: ParameterLayout,
    /// float32 [len], in host memory.
    parameters: Tensor,
    /// The parameters on the device [len]; on the processor `parameters` itself.
    on_device: Tensor,
    /// The parameters on the device in the kind that hidden layers compute with [len]; in float32 `on_device` itself.
    shadow: Tensor,
    /// float32 [len + STATISTICS], in host memory.
    gradients: Tensor,
    /// Where the networks write them; on the processor `gradients` itself.
    device_gradients: Tensor,
    compute: Compute,
    pub(super) actor: Mlp,
    /// Of the rewards, then of the costs if they are bounded.
    pub(super) critics: Vec<Mlp>,
    pub(super) adam: Adam,
}

impl Model {
    pub(super) fn new(layout: ParameterLayout, compute: Compute) -> Self {
        let len = layout.len();
        let parameters = zeros(&[len], Kind::Float);
        let gradients = zeros(&[len + STATISTICS], Kind::Float);
        // Shares its memory where it is there already.
        let on_device = parameters.to_device(compute.device);
        let device_gradients = gradients.to_device(compute.device);
        let shadow = match compute.kind {
            Kind::Float => on_device.shallow_clone(),
            kind => compute.zeros(&[len], kind),
        };
        let network =
            |spans: &[LayerSpan]| Mlp::new(spans, &on_device, &shadow, &device_gradients, compute);
        let actor = network(&layout.actor);
        let critics = layout.critics.iter().map(|c| network(c)).collect();
        Self {
            parameters,
            on_device,
            shadow,
            gradients,
            device_gradients,
            compute,
            actor,
            critics,
            adam: Adam::new(len),
            layout,
        }
    }

    /// Uniform within 1 / sqrt(inputs), the actor's last layer times its gain.
    pub(super) fn initialize(&mut self, config: &PpoConfig, random: &mut Pcg64) {
        let layout = self.layout.clone();
        let flat = elements_mut::<f32>(&mut self.parameters);
        let critics = layout.critics.iter().map(|critic| (critic, 1.0));
        for (spans, gain) in std::iter::once((&layout.actor, config.last_layer_gain)).chain(critics)
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
        flat[layout.log_std].fill(config.initial_std.ln());
        self.refresh_shadow();
    }

    pub(super) fn compute(&self) -> Compute {
        self.compute
    }

    pub(super) fn parameters(&self) -> &[f32] {
        elements(&self.parameters)
    }

    /// Overwrites the parameters; `refresh_shadow` must follow.
    pub(super) fn parameters_mut(&mut self) -> &mut [f32] {
        elements_mut(&mut self.parameters)
    }

    pub(super) fn refresh_shadow(&mut self) {
        if self.compute.device != Device::Cpu {
            self.on_device.copy_(&self.parameters);
        }
        if self.compute.kind != Kind::Float {
            self.shadow.copy_(&self.on_device);
        }
    }

    pub(super) fn log_std(&self) -> &[f32] {
        &self.parameters()[self.layout.log_std.clone()]
    }

    /// Brings to host memory what the networks' backward passes wrote.
    pub(super) fn fetch_gradients(&mut self) {
        if self.compute.device != Device::Cpu {
            self.gradients.copy_(&self.device_gradients);
        }
    }

    /// Gradients, then statistics.
    pub(super) fn gradients_mut(&mut self) -> &mut [f32] {
        elements_mut(&mut self.gradients)
    }

    /// Norms of the gradients of actor, critic and critic of the costs, 0 where there is none.
    pub(super) fn gradient_norms(&self) -> [f32; PARTS] {
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

    /// One step of Adam with clipped gradients.
    pub(super) fn step(
        &mut self,
        norms: [f32; PARTS],
        config: &PpoConfig,
        learning_rate: f32,
        log_std: Range<f32>,
    ) {
        self.adam.begin_step();
        let parameters = elements_mut::<f32>(&mut self.parameters);
        let gradients = elements::<f32>(&self.gradients);
        let limits = [
            config.actor_gradient_norm,
            config.critic_gradient_norm,
            config.critic_gradient_norm,
        ];
        for ((range, norm), limit) in self.layout.parts().into_iter().zip(norms).zip(limits) {
            let scale = if norm > limit { limit / norm } else { 1.0 };
            let gradients = &gradients[range.clone()];
            self.adam.apply(
                range.start,
                &mut parameters[range],
                gradients,
                scale,
                learning_rate,
            );
        }
        for value in &mut parameters[self.layout.log_std.clone()] {
            *value = value.clamp(log_std.start, log_std.end);
        }
        self.refresh_shadow();
    }
    /// The actor's layers, input to output, without padding.
    pub(super) fn actor_layers(&self) -> Vec<Linear> {
        let tensors = self.layout.tensors();
        let named = |name: String| {
            (tensors.iter().find(|t| t.name == name))
                .map_or_else(Vec::new, |t| t.gather(self.parameters()))
        };
        (self.layout.actor.iter().enumerate())
            .map(|(index, span)| Linear {
                inputs: span.inputs,
                weight: named(format!("actor.layers.{index}.weight")),
                bias: named(format!("actor.layers.{index}.bias")),
            })
            .collect()
    }

    /// Mean actions [rows, action_dim] for what the actor sees [rows, actor_dim]; `hidden` are the widths of its hidden layers.
    pub(super) fn mean_actions(&self, hidden: &[usize], observations: &[f32]) -> Vec<f32> {
        let dim = self.layout.actor[0].inputs;
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
        let mut work = Workspace::new(rows, hidden, self.compute);
        self.actor
            .forward(&wide.to_kind(self.compute.kind), &output, &mut work);
        elements(&output).to_vec()
    }
}
