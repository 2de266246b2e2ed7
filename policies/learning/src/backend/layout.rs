//! Where everything lies: parameters in one flat vector, an observation in a row that the networks read.

use std::ops::Range;

use tch::Tensor;

use crate::learner::{KnownInputs, NamedTensor, State};

/// Inputs are padded with zeros to a multiple of this, which is what AMX tiles want. Padding weights are zero and stay zero.
const INPUT_MULTIPLE: usize = 32;

/// Width of the rows that `inputs` observation elements are stored in.
pub(super) fn padded(inputs: usize) -> usize {
    inputs.next_multiple_of(INPUT_MULTIPLE)
}

/// Inputs, and the width of their rows.
pub(super) fn with_padding(inputs: usize) -> (usize, usize) {
    (inputs, padded(inputs))
}

/// How an observation lies in a row that the networks read: what the actor sees, padded, then what only critics see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    /// Elements that the actor sees.
    pub(super) actor: usize,
    /// All elements.
    pub(super) observation: usize,
}

impl Columns {
    /// Inputs of a critic. The padding in between is zero, and its weights mean nothing.
    pub(super) fn critic(self) -> usize {
        self.column(self.observation - 1) + 1
    }

    /// Width of a row.
    pub(super) fn stride(self) -> usize {
        padded(self.critic())
    }

    /// The critic's column of an element; for the actor's elements it is the actor's too.
    pub(super) fn column(self, element: usize) -> usize {
        match element.checked_sub(self.actor) {
            None => element,
            Some(privileged) => padded(self.actor) + privileged,
        }
    }

    /// Copies observations [n, observation] to the first n of `rows` [.., stride], whose padding stays.
    pub(super) fn place(self, observations: &Tensor, rows: &Tensor) {
        let rows = rows.narrow(0, 0, observations.size()[0]);
        let copy = |from: usize, to: usize, len: usize| {
            let (from, to, len) = (from as i64, to as i64, len as i64);
            rows.narrow(1, to, len)
                .copy_(&observations.narrow(1, from, len));
        };
        copy(0, 0, self.actor);
        if self.observation > self.actor {
            let privileged = self.observation - self.actor;
            copy(self.actor, self.column(self.actor), privileged);
        }
    }
}

/// Ranges of one layer in the flat vector.
#[derive(Clone, Debug)]
pub(crate) struct LayerSpan {
    /// Inputs without padding.
    pub(crate) inputs: usize,
    /// Width of a row of weights.
    pub(crate) stride: usize,
    pub(crate) outputs: usize,
    /// Where the weights [outputs, stride] begin; the biases [outputs] follow.
    pub(crate) offset: usize,
}

impl LayerSpan {
    pub(crate) fn bias_offset(&self) -> usize {
        self.offset + self.outputs * self.stride
    }

    pub(crate) fn end(&self) -> usize {
        self.bias_offset() + self.outputs
    }
}

/// The layers of a network, the first one at `offset` and with rows of `stride`.
pub(crate) fn spans(
    offset: usize,
    (inputs, stride): (usize, usize),
    hidden: &[usize],
    outputs: usize,
) -> Vec<LayerSpan> {
    let (mut offset, mut inputs, mut stride) = (offset, inputs, stride);
    let outputs = hidden.iter().chain([&outputs]);
    outputs
        .map(|&outputs| {
            let span = LayerSpan {
                inputs,
                stride,
                outputs,
                offset,
            };
            offset = span.end();
            (inputs, stride) = (outputs, outputs);
            span
        })
        .collect()
}

/// Where a network ends in the flat vector.
fn end(spans: &[LayerSpan]) -> usize {
    spans[spans.len() - 1].end()
}

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
        let actor = spans(0, with_padding(columns.actor), hidden, action_dim);
        let log_std = end(&actor)..end(&actor) + action_dim;
        let critic = |offset| spans(offset, with_padding(columns.critic()), hidden, 1);
        let mut critics = vec![critic(log_std.end)];
        if has_costs {
            critics.push(critic(end(&critics[0])));
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
    pub(super) fn parts(&self) -> [Range<usize>; 3] {
        let critic_end = end(&self.critics[0]);
        [
            0..self.log_std.end,
            self.log_std.end..critic_end,
            critic_end..self.len(),
        ]
    }

    /// Names, shapes without padding, and where the rows of each tensor lie.
    pub(super) fn tensors(&self) -> Vec<TensorSpan> {
        let mut tensors = Vec::new();
        let critics = ["critic", "cost_critic"].into_iter().zip(&self.critics);
        for (network, spans) in std::iter::once(("actor", &self.actor)).chain(critics) {
            for (index, span) in spans.iter().enumerate() {
                tensors.push(TensorSpan {
                    name: format!("{network}.layers.{index}.weight"),
                    shape: vec![span.outputs, span.inputs],
                    offset: span.offset,
                    stride: span.stride,
                });
                tensors.push(TensorSpan {
                    name: format!("{network}.layers.{index}.bias"),
                    shape: vec![span.outputs],
                    offset: span.bias_offset(),
                    stride: span.outputs,
                });
            }
        }
        tensors.push(TensorSpan {
            name: "actor.log_std".into(),
            shape: vec![self.log_std.len()],
            offset: self.log_std.start,
            stride: self.log_std.len(),
        });
        tensors
    }

    /// Writes those parameters into `flat` that a learner with other observations had, by name. In the first layers a column that was not there before
    /// gets zero weights, so that the networks begin as they were. A critic that was not there stays as it is.
    pub(super) fn adopt(
        &self,
        flat: &mut [f32],
        columns: Columns,
        old: &State,
        inputs: &KnownInputs,
    ) -> Result<(), String> {
        let before = Columns {
            actor: inputs.actor_before,
            observation: inputs.observation_before,
        };
        assert_eq!(inputs.same.len(), columns.observation, "elements");
        // For each column of a critic, which begin with the actor's, the one it was.
        let mut known = vec![None; columns.critic()];
        for (element, same) in inputs.same.iter().enumerate() {
            known[columns.column(element)] = same.map(|same| before.column(same));
        }
        let had_costs = old.multiplier.is_some();
        let mut adopted = Vec::new();
        for span in self.tensors() {
            if span.name.starts_with("cost_critic") && !had_costs {
                continue;
            }
            let tensor = old.tensor(&span.name)?;
            if !span.name.ends_with(".layers.0.weight") {
                tensor.has_shape(&span.shape)?;
                adopted.push((tensor.values.clone(), span));
                continue;
            }
            let width = match span.name.starts_with("actor") {
                true => before.actor,
                false => before.critic(),
            };
            tensor.has_shape(&[span.shape[0], width])?;
            let row = |old: &[f32]| -> Vec<f32> {
                let columns = known[..span.shape[1]].iter();
                columns
                    .map(|column| column.map_or(0.0, |column| old[column]))
                    .collect()
            };
            let rows = tensor.values.chunks_exact(width);
            adopted.push((rows.flat_map(row).collect(), span));
        }
        for (values, span) in adopted {
            span.scatter(&values, flat);
        }
        Ok(())
    }
}

/// One tensor within the flat vector.
pub(super) struct TensorSpan {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    offset: usize,
    stride: usize,
}

impl TensorSpan {
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

    /// As `gather`, with the name behind `prefix`.
    pub(super) fn named(&self, prefix: &str, flat: &[f32]) -> NamedTensor {
        NamedTensor {
            name: format!("{prefix}{}", self.name),
            shape: self.shape.clone(),
            values: self.gather(flat),
        }
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
