//! A moving average of the actor's weights: the newest weights jitter with every step of the optimizer
//! (Polyak and Juditsky, 1992; Izmailov et al., 2018).

use policies::Linear;

use crate::learner::{AVERAGE, NamedTensor, State};

/// The averaged actor.
pub(super) struct WeightAverage {
    /// Share of the newest weights.
    rate: f32,
    layers: Vec<Linear>,
}

impl WeightAverage {
    /// Over so many iterations, from these layers on; none over 0 of them.
    pub(super) fn new(iterations: u32, layers: impl FnOnce() -> Vec<Linear>) -> Option<Self> {
        (iterations > 0).then(|| Self {
            rate: 1.0 / iterations as f32,
            layers: layers(),
        })
    }

    pub(super) fn layers(&self) -> Vec<Linear> {
        self.layers.clone()
    }

    /// Takes in the layers after an iteration.
    pub(super) fn add(&mut self, newest: &[Linear]) {
        for (average, newest) in self.layers.iter_mut().zip(newest) {
            let weights = average.weight.iter_mut().chain(&mut average.bias);
            for (average, newest) in weights.zip(newest.weight.iter().chain(&newest.bias)) {
                *average += self.rate * (newest - *average);
            }
        }
    }

    pub(super) fn tensors(&self) -> impl Iterator<Item = NamedTensor> {
        self.layers.iter().enumerate().flat_map(|(index, layer)| {
            let outputs = layer.bias.len();
            let tensor = |part, shape, values: &[f32]| NamedTensor {
                name: name(index, part),
                shape,
                values: values.to_vec(),
            };
            [
                tensor("weight", vec![outputs, layer.inputs], &layer.weight),
                tensor("bias", vec![outputs], &layer.bias),
            ]
        })
    }

    /// Restores the average of a checkpoint; without one it starts from the layers `now`.
    pub(super) fn restore(&mut self, state: &State, now: Vec<Linear>) {
        self.layers = now;
        for (index, layer) in self.layers.iter_mut().enumerate() {
            for (part, values) in [("weight", &mut layer.weight), ("bias", &mut layer.bias)] {
                // It fits where it is there.
                if let Ok(tensor) = state.tensor(&name(index, part)) {
                    values.copy_from_slice(&tensor.values);
                }
            }
        }
    }
}

fn name(layer: usize, part: &str) -> String {
    format!("{AVERAGE}layers.{layer}.{part}")
}
