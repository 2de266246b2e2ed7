//! The reach-avoid value network (docs/concepts/reach-avoid.md#reach-avoid-value): forward pass and input gradient, without allocation.

use crate::nn::{Linear, MlpError, check};

/// A perceptron with ReLU hidden layers and one tanh output. Negative: from here the agile policy reaches its goal
/// without a collision.
#[derive(Clone, Debug)]
pub struct ReachAvoidValue {
    layers: Vec<Linear>,
    /// Activations behind each layer.
    activations: Vec<Vec<f32>>,
    /// Derivatives of the output by the activations.
    derivatives: Vec<Vec<f32>>,
}

impl ReachAvoidValue {
    /// Takes over the layers.
    ///
    /// # Errors
    /// When shapes do not fit each other, the output is not one number, or a weight is not finite.
    pub fn new(layers: Vec<Linear>) -> Result<Self, MlpError> {
        check(&layers)?;
        let outputs = layers[layers.len() - 1].outputs();
        if outputs != 1 {
            return Err(MlpError::Outputs {
                outputs,
                expected: 1,
            });
        }
        let buffers: Vec<Vec<f32>> = layers
            .iter()
            .map(|layer| vec![0.0; layer.outputs()])
            .collect();
        Ok(Self {
            activations: buffers.clone(),
            derivatives: buffers,
            layers,
        })
    }

    /// Length of the input.
    pub fn input_dim(&self) -> usize {
        self.layers[0].inputs
    }

    /// Value in (-1, 1) of an observation \[input_dim\].
    ///
    /// # Panics
    /// When the length of the input is wrong.
    pub fn value(&mut self, input: &[f32]) -> f32 {
        self.logit(input).tanh()
    }

    /// Value and its derivatives by the inputs \[input_dim\].
    ///
    /// # Panics
    /// When the length of a slice is wrong.
    pub fn value_and_gradient(&mut self, input: &[f32], gradient: &mut [f32]) -> f32 {
        let value = self.logit_and_gradient(input, gradient).tanh();
        for derivative in gradient {
            *derivative *= 1.0 - value * value;
        }
        value
    }

    /// What the output's tanh is taken of, and its derivatives by the inputs \[input_dim\]. It rises and falls with the
    /// value, and still has a slope where the value is flat near -1 and 1.
    ///
    /// # Panics
    /// When the length of a slice is wrong.
    pub fn logit_and_gradient(&mut self, input: &[f32], gradient: &mut [f32]) -> f32 {
        let logit = self.logit(input);
        let last = self.layers.len() - 1;
        self.derivatives[last][0] = 1.0;
        for index in (0..=last).rev() {
            let layer = &self.layers[index];
            let (before, rest) = self.derivatives.split_at_mut(index);
            let target = before.last_mut().map_or(&mut *gradient, Vec::as_mut_slice);
            assert_eq!(target.len(), layer.inputs, "length of the gradient");
            target.fill(0.0);
            for (row, derivative) in layer.weight.chunks_exact(layer.inputs).zip(&rest[0]) {
                if *derivative != 0.0 {
                    for (sum, weight) in target.iter_mut().zip(row) {
                        *sum += derivative * weight;
                    }
                }
            }
            if index > 0 {
                // Behind a ReLU that is shut nothing passes.
                for (sum, activation) in target.iter_mut().zip(&self.activations[index - 1]) {
                    if *activation <= 0.0 {
                        *sum = 0.0;
                    }
                }
            }
        }
        logit
    }

    fn logit(&mut self, input: &[f32]) -> f32 {
        assert_eq!(input.len(), self.input_dim(), "length of the value's input");
        let last = self.layers.len() - 1;
        for (index, layer) in self.layers.iter().enumerate() {
            let (before, rest) = self.activations.split_at_mut(index);
            let input = before.last().map_or(input, Vec::as_slice);
            let rows = layer.weight.chunks_exact(layer.inputs).zip(&layer.bias);
            for (out, (row, bias)) in rest[0].iter_mut().zip(rows) {
                let sum = bias + dot(row, input);
                // Not `max`, which would make 0 of NaN.
                *out = if index < last && sum < 0.0 { 0.0 } else { sum };
            }
        }
        self.activations[last][0]
    }
}

/// Dot product in eight partial sums, which the compiler turns into vector instructions.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a_chunks
        .remainder()
        .iter()
        .zip(b_chunks.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    rest + sums.iter().sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2 inputs, hidden relu(x0 - x1), relu(2 x1 - 1), output tanh(h0 - 3 h1 + 0.5).
    fn small() -> ReachAvoidValue {
        ReachAvoidValue::new(vec![
            Linear {
                weight: vec![1.0, -1.0, 0.0, 2.0],
                bias: vec![0.0, -1.0],
                inputs: 2,
            },
            Linear {
                weight: vec![1.0, -3.0],
                bias: vec![0.5],
                inputs: 2,
            },
        ])
        .unwrap()
    }

    #[test]
    fn value_and_gradient_by_hand() {
        let mut gradient = [0.0; 2];
        // h = (0.5, 0): only the first unit is open.
        let value = small().value_and_gradient(&[0.75, 0.25], &mut gradient);
        assert!((value - 1f32.tanh()).abs() < 1e-6);
        let slope = 1.0 - value * value;
        assert!((gradient[0] - slope).abs() < 1e-6 && (gradient[1] + slope).abs() < 1e-6);
        // h = (0, 1): only the second.
        let value = small().value_and_gradient(&[0.0, 1.0], &mut gradient);
        assert!((value - (-2.5f32).tanh()).abs() < 1e-6);
        let slope = 1.0 - value * value;
        assert!(gradient[0] == 0.0 && (gradient[1] + 6.0 * slope).abs() < 1e-6);
    }

    #[test]
    fn gradient_agrees_with_finite_differences() {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        let mut layer = |inputs: usize, outputs: usize| Linear {
            weight: (0..inputs * outputs).map(|_| next()).collect(),
            bias: (0..outputs).map(|_| next()).collect(),
            inputs,
        };
        let mut value =
            ReachAvoidValue::new(vec![layer(19, 64), layer(64, 64), layer(64, 1)]).unwrap();
        let input: Vec<f32> = (0..19).map(|i| (i as f32 * 0.7).sin()).collect();
        let mut gradient = vec![0.0; 19];
        value.value_and_gradient(&input, &mut gradient);
        for i in 0..19 {
            let mut at = |delta: f32| {
                let mut moved = input.clone();
                moved[i] += delta;
                value.value(&moved)
            };
            let difference = (at(1e-3) - at(-1e-3)) / 2e-3;
            assert!(
                (gradient[i] - difference).abs() < 2e-3,
                "{i}: {} {difference}",
                gradient[i]
            );
        }
    }

    #[test]
    fn the_logit_has_a_slope_where_the_value_is_flat() {
        let (mut flat, mut steep) = ([0.0; 2], [0.0; 2]);
        let input = [30.0, 0.0];
        assert_eq!(small().value_and_gradient(&input, &mut flat), 1.0);
        assert_eq!(flat, [0.0; 2]);
        assert_eq!(small().logit_and_gradient(&input, &mut steep), 30.5);
        assert_eq!(steep, [1.0, -1.0]);
    }

    #[test]
    fn nan_passes_through() {
        assert!(small().value(&[f32::NAN, 0.0]).is_nan());
    }

    #[test]
    fn a_value_of_two_outputs_is_refused() {
        let layer = Linear {
            weight: vec![1.0; 4],
            bias: vec![0.0; 2],
            inputs: 2,
        };
        let error = ReachAvoidValue::new(vec![layer]).unwrap_err().to_string();
        assert!(error.contains("2 outputs"), "{error}");
    }
}
