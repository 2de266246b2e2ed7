//! Forward pass of a multilayer perceptron without libtorch and without allocation.

pub(crate) mod kernel;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use kernel::{Isa, Layer, Row};

/// What follows a linear layer, element by element.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// Nothing.
    #[default]
    Identity,
    /// x for x > 0, else exp(x) - 1.
    Elu,
    /// x for x > 0, else 0.
    Relu,
    /// x / (1 + exp(-x)), also called swish.
    Silu,
    /// Hyperbolic tangent.
    Tanh,
}

impl Activation {
    pub(crate) fn is_identity(&self) -> bool {
        *self == Self::Identity
    }
}

/// A linear layer as it is stored: output = weight * input + bias.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// Weights [outputs, inputs], row by row.
    pub weight: Vec<f32>,
    /// Biases \[outputs\].
    pub bias: Vec<f32>,
    /// Number of inputs.
    pub inputs: usize,
}

impl Linear {
    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }
}

/// Layers that do not make a network.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MlpError {
    /// No layers at all.
    #[error("network has no layers")]
    Empty,
    /// A weight matrix is not [outputs, inputs].
    #[error(
        "layers.{layer}.weight has {len} elements, must be {outputs} x {inputs} as the bias and the inputs say"
    )]
    Shape {
        /// Index of the layer.
        layer: usize,
        /// Elements found.
        len: usize,
        /// Length of the bias.
        outputs: usize,
        /// Inputs claimed.
        inputs: usize,
    },
    /// Two layers do not fit together.
    #[error(
        "layers.{layer}.weight takes {inputs} inputs, but the layer before it has {outputs} outputs"
    )]
    Chain {
        /// Index of the layer that does not fit.
        layer: usize,
        /// Its inputs.
        inputs: usize,
        /// Outputs of the layer before.
        outputs: usize,
    },
    /// The network has another number of outputs than its use needs.
    #[error("network has {outputs} outputs, must have {expected}")]
    Outputs {
        /// Outputs found.
        outputs: usize,
        /// Outputs needed.
        expected: usize,
    },
    /// A weight or bias is NaN or infinite.
    #[error("layers.{layer}.{tensor}[{index}] is {value}, must be finite")]
    NotFinite {
        /// Index of the layer.
        layer: usize,
        /// `weight` or `bias`.
        tensor: &'static str,
        /// Flat index of the element.
        index: usize,
        /// What was found.
        value: f32,
    },
}

/// A network ready to run. Clones share the weights.
///
/// Every output is summed in the order of the inputs, so that one row gives the same bits alone, in any batch and
/// with any vector width. Only machines without fused multiply-add round differently.
#[derive(Clone, Debug)]
pub struct Mlp {
    layers: Arc<[Layer]>,
    isa: Isa,
    one: Buffers,
    batch: Buffers,
}

/// Activations between the layers, read from one and written to the other.
#[derive(Clone, Debug, Default)]
struct Buffers([Vec<Row>; 2]);

/// Rows that go through all layers together, a multiple of the kernel's tile.
const BATCH_ROWS: usize = 8 * kernel::TILE_ROWS;

impl Mlp {
    /// Arranges the weights for the vector units of this machine.
    ///
    /// # Errors
    /// When there are no layers, shapes do not fit each other, or a number is not finite.
    pub fn new(
        linear: &[Linear],
        hidden: Activation,
        output: Activation,
    ) -> Result<Self, MlpError> {
        check(linear)?;
        let last = linear.len() - 1;
        let layers: Arc<[Layer]> = linear
            .iter()
            .enumerate()
            .map(|(index, linear)| Layer::new(linear, if index == last { output } else { hidden }))
            .collect();
        Ok(Self {
            isa: Isa::detect(),
            one: Buffers::new(&layers, 1),
            batch: Buffers::default(),
            layers,
        })
    }

    /// Length of the input.
    pub fn input_dim(&self) -> usize {
        self.layers[0].inputs
    }

    /// Length of the output.
    pub fn output_dim(&self) -> usize {
        self.layers[self.layers.len() - 1].outputs
    }

    /// Evaluates one row; valid until the next call. Never allocates.
    ///
    /// # Panics
    /// When `input` is not [`Mlp::input_dim`] long.
    pub fn forward(&mut self, input: &[f32]) -> &[f32] {
        assert_eq!(input.len(), self.input_dim(), "length of the network input");
        let output = self.one.forward(&self.layers, self.isa, input, 1);
        &Row::flatten(output)[..self.layers[self.layers.len() - 1].outputs]
    }

    /// Evaluates rows [rows, input_dim] into [rows, output_dim], several times faster per row than one by one.
    /// Allocates in its first call only.
    ///
    /// # Panics
    /// When the lengths are not multiples of the widths, or of different numbers of rows.
    pub fn forward_batch(&mut self, inputs: &[f32], outputs: &mut [f32]) {
        let (input_dim, output_dim) = (self.input_dim(), self.output_dim());
        assert_eq!(inputs.len() % input_dim, 0, "length of the network inputs");
        assert_eq!(
            outputs.len() / output_dim * input_dim,
            inputs.len(),
            "rows of the outputs"
        );
        if self.batch.0[0].is_empty() {
            self.batch = Buffers::new(&self.layers, BATCH_ROWS);
        }
        for (input, output) in inputs
            .chunks(BATCH_ROWS * input_dim)
            .zip(outputs.chunks_mut(BATCH_ROWS * output_dim))
        {
            let rows = input.len() / input_dim;
            let result = self.batch.forward(&self.layers, self.isa, input, rows);
            let stride = result.len() / rows;
            for (row, output) in result.chunks(stride).zip(output.chunks_mut(output_dim)) {
                output.copy_from_slice(&Row::flatten(row)[..output_dim]);
            }
        }
    }
}

impl Buffers {
    fn new(layers: &[Layer], rows: usize) -> Self {
        let widest = layers.iter().map(Layer::output_rows).max().unwrap_or(0);
        Self([
            vec![Row::ZERO; rows * widest],
            vec![Row::ZERO; rows * widest],
        ])
    }

    /// Runs all layers and returns the output, padded to whole [`Row`]s.
    fn forward(&mut self, layers: &[Layer], isa: Isa, input: &[f32], rows: usize) -> &[Row] {
        let [read, write] = &mut self.0;
        let (mut read, mut write) = (read, write);
        let mut width = 0;
        for (index, layer) in layers.iter().enumerate() {
            let source = if index == 0 {
                input
            } else {
                Row::flatten(&read[..rows * width])
            };
            width = layer.output_rows();
            layer.forward(isa, source, rows, &mut write[..rows * width]);
            std::mem::swap(&mut read, &mut write);
        }
        &read[..rows * width]
    }
}

pub(crate) fn check(layers: &[Linear]) -> Result<(), MlpError> {
    if layers.is_empty() {
        return Err(MlpError::Empty);
    }
    for (layer, linear) in layers.iter().enumerate() {
        let (inputs, outputs) = (linear.inputs, linear.outputs());
        if inputs == 0 || outputs == 0 || linear.weight.len() != inputs * outputs {
            return Err(MlpError::Shape {
                layer,
                len: linear.weight.len(),
                outputs,
                inputs,
            });
        }
        if let Some(before) = layer.checked_sub(1).map(|before| layers[before].outputs())
            && before != inputs
        {
            return Err(MlpError::Chain {
                layer,
                inputs,
                outputs: before,
            });
        }
        for (tensor, values) in [("weight", &linear.weight), ("bias", &linear.bias)] {
            if let Some(index) = values.iter().position(|value| !value.is_finite()) {
                return Err(MlpError::NotFinite {
                    layer,
                    tensor,
                    index,
                    value: values[index],
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
