//! A multilayer perceptron with its backward pass written out.
//!
//! Writing it out, rather than leaving it to autograd, keeps every intermediate in memory that is allocated once, gives the bias gradients and
//! ELU's slope in one pass, takes the loss gradients as plain numbers, and adds up the gradients of blocks of rows that stay in the cache.

use tch::{Kind, Tensor};

use super::compute::Compute;
use super::elementwise::{self, Bf16};
use super::host_tensor::{elements, elements_mut, head};
use super::layout::LayerSpan;

/// Views of one network's parameters, and of the gradients in the same order.
pub(super) struct Mlp {
    layers: Vec<Layer>,
    compute: Compute,
}

struct Layer {
    /// [outputs, stride] and [outputs], of the kind the layer computes with.
    weight: Tensor,
    bias: Tensor,
    /// [outputs, stride] and [outputs], float32.
    weight_gradient: Tensor,
    bias_gradient: Tensor,
    /// Where torch writes the gradient when the layer does not compute in float32.
    narrow_gradient: Option<Tensor>,
}

/// Memory for the intermediates of up to `capacity` rows. Actor and critic, having the same hidden layers, share one.
pub(super) struct Workspace {
    /// Outputs of the hidden layers [capacity, width].
    hidden: Vec<Tensor>,
    /// Gradients with respect to them.
    hidden_gradient: Vec<Tensor>,
    /// Last hidden layer in float32, if it is not already.
    last: Option<Tensor>,
    last_gradient: Option<Tensor>,
}

impl Workspace {
    pub(super) fn new(capacity: usize, hidden: &[usize], compute: Compute) -> Self {
        let kind = compute.kind;
        let buffers = || {
            hidden
                .iter()
                .map(|&width| compute.zeros(&[capacity, width], kind))
                .collect()
        };
        let last = || {
            (kind != Kind::Float)
                .then(|| compute.zeros(&[capacity, hidden[hidden.len() - 1]], Kind::Float))
        };
        Self {
            hidden: buffers(),
            hidden_gradient: buffers(),
            last: last(),
            last_gradient: last(),
        }
    }
}

impl Mlp {
    /// Views into flat vectors on the device: `parameters` and `gradients` are float32; `shadow` holds the parameters in the kind that hidden
    /// layers compute with.
    pub(super) fn new(
        spans: &[LayerSpan],
        parameters: &Tensor,
        shadow: &Tensor,
        gradients: &Tensor,
        compute: Compute,
    ) -> Self {
        let kind = compute.kind;
        let last = spans.len() - 1;
        let layers = spans
            .iter()
            .enumerate()
            .map(|(index, span)| {
                let view = |flat: &Tensor| {
                    let shape = [span.outputs as i64, span.stride as i64];
                    let weight = flat.narrow(0, span.offset as i64, shape[0] * shape[1]);
                    let bias = flat.narrow(0, span.bias_offset() as i64, shape[0]);
                    (weight.view(shape), bias)
                };
                let (weight, bias) = view(if index == last { parameters } else { shadow });
                let (weight_gradient, bias_gradient) = view(gradients);
                let narrow = index != last && kind != Kind::Float;
                Layer {
                    weight,
                    bias,
                    weight_gradient,
                    bias_gradient,
                    narrow_gradient: narrow
                        .then(|| compute.zeros(&[span.outputs, span.stride], kind)),
                }
            })
            .collect();
        Self { layers, compute }
    }

    /// Writes the outputs for `input` [rows, stride or more] into `output` [rows, outputs] (float32); the workspace keeps what `backward` needs.
    /// Both may be in host memory whatever the device. Columns beyond the network's stride are not for it.
    pub(super) fn forward(&self, input: &Tensor, output: &Tensor, work: &mut Workspace) {
        let rows = input.size()[0] as usize;
        let (last, hidden) = self.layers.split_last().expect("a network has layers");
        let mut input = self.own_columns(input);
        for (layer, buffer) in hidden.iter().zip(&work.hidden) {
            let mut output = head(buffer, rows);
            let _ = layer.bias.addmm_out(&output, &input, &layer.weight.tr());
            match self.compute {
                Compute { own_elu: false, .. } => drop(output.elu_()),
                Compute {
                    kind: Kind::Float, ..
                } => elementwise::elu::<f32>(elements_mut(&mut output)),
                _ => elementwise::elu::<Bf16>(elements_mut(&mut output)),
            }
            input = output;
        }
        if let Some(wide) = &work.last {
            let mut wide = head(wide, rows);
            wide.copy_(&input);
            input = wide;
        }
        let weight = last.weight.tr();
        if output.device() == self.compute.device {
            let _ = last.bias.addmm_out(output, &input, &weight);
        } else {
            output
                .shallow_clone()
                .copy_(&last.bias.addmm(&input, &weight));
        }
    }

    /// The columns of `input` that the network reads, on its device.
    fn own_columns(&self, input: &Tensor) -> Tensor {
        let stride = self.layers[0].weight.size()[1];
        input.narrow(1, 0, stride).to_device(self.compute.device)
    }

    /// Adds the gradients of all parameters, given the gradient with respect to the outputs [rows, outputs] of the `forward` just done.
    pub(super) fn backward(
        &mut self,
        input: &Tensor,
        output_gradient: &Tensor,
        work: &mut Workspace,
    ) {
        let rows = input.size()[0] as usize;
        let input = &self.own_columns(input);
        let output_gradient = &output_gradient.to_device(self.compute.device);
        let (last, hidden) = self.layers.split_last_mut().expect("a network has layers");
        let top = work.hidden.len() - 1;

        let last_input = head(work.last.as_ref().unwrap_or(&work.hidden[top]), rows);
        add_product(&last.weight_gradient, output_gradient, &last_input);
        let _ = last.bias_gradient.g_add_(&column_sums(output_gradient));
        let mut below = head(&work.hidden_gradient[top], rows);
        if let Some(wide) = &work.last_gradient {
            let wide = head(wide, rows);
            let _ = output_gradient.mm_out(&wide, &last.weight);
            below.copy_(&wide);
        } else {
            let _ = output_gradient.mm_out(&below, &last.weight);
        }

        for index in (0..hidden.len()).rev() {
            let layer = &mut hidden[index];
            let output = head(&work.hidden[index], rows);
            let mut gradient = head(&work.hidden_gradient[index], rows);
            match self.compute {
                Compute { own_elu: false, .. } => {
                    // The slope is exp(x) = y + 1 where x < 0, else 1.
                    let _ = gradient.g_mul_(&(output.clamp_max(0.0) + 1.0));
                    let _ = layer.bias_gradient.g_add_(&column_sums(&gradient));
                }
                Compute {
                    kind: Kind::Float, ..
                } => elementwise::elu_backward::<f32>(
                    elements_mut(&mut gradient),
                    elements(&output),
                    elements_mut(&mut layer.bias_gradient),
                ),
                _ => elementwise::elu_backward::<Bf16>(
                    elements_mut(&mut gradient),
                    elements(&output),
                    elements_mut(&mut layer.bias_gradient),
                ),
            }
            let layer_input = match index {
                0 => input.shallow_clone(),
                _ => head(&work.hidden[index - 1], rows),
            };
            if let Some(narrow) = &layer.narrow_gradient {
                let _ = gradient.tr().mm_out(narrow, &layer_input);
                let _ = layer.weight_gradient.g_add_(narrow);
            } else {
                add_product(&layer.weight_gradient, &gradient, &layer_input);
            }
            if index > 0 {
                let below = head(&work.hidden_gradient[index - 1], rows);
                let _ = gradient.mm_out(&below, &layer.weight);
            }
        }
    }
}

/// Adds the product of `gradient` [rows, outputs], transposed, and `input` [rows, inputs] to `sum` [outputs, inputs].
fn add_product(sum: &Tensor, gradient: &Tensor, input: &Tensor) {
    let _ = sum.addmm_out(sum, &gradient.tr(), input);
}

fn column_sums(rows: &Tensor) -> Tensor {
    rows.sum_dim_intlist([0_i64].as_slice(), false, Kind::Float)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::super::host_tensor::zeros;
    use super::super::layout::{padded, spans, with_padding};
    use super::*;

    /// Parameters, gradients by `backward`, and gradients by autograd for the loss sum(output * direction).
    fn gradients(compute: Compute) -> (Tensor, Tensor) {
        let kind = compute.kind;
        tch::manual_seed(5);
        let (inputs, hidden, outputs, rows) = (7, [24, 16], 3, 50);
        let spans = spans(0, with_padding(inputs), &hidden, outputs);
        let len = spans[2].end() as i64;
        let parameters = Tensor::randn([len], (Kind::Float, Device::Cpu)) * 0.3;
        let shadow = parameters.to_kind(kind);
        let written = Tensor::zeros([len], (Kind::Float, Device::Cpu));
        let mut network = Mlp::new(&spans, &parameters, &shadow, &written, compute);
        let mut work = Workspace::new(rows + 10, &hidden, compute);
        let input = Tensor::randn(
            [rows as i64, padded(inputs) as i64],
            (Kind::Float, Device::Cpu),
        );
        let direction = Tensor::randn([rows as i64, outputs as i64], (Kind::Float, Device::Cpu));
        let output = zeros(&[rows, outputs], Kind::Float);
        let narrow_input = input.to_kind(kind);
        // In two blocks, whose gradients add up.
        for (begin, rows) in [(0, 20), (20, 30)] {
            let block = |rows_of: &Tensor| rows_of.narrow(0, begin, rows);
            let (input, output) = (block(&narrow_input), block(&output));
            network.forward(&input, &output, &mut work);
            network.backward(&input, &block(&direction), &mut work);
        }

        let leaf = parameters.copy().set_requires_grad(true);
        let mut x = input.shallow_clone();
        for (index, span) in spans.iter().enumerate() {
            let (rows, columns) = (span.outputs as i64, span.stride as i64);
            let weight = leaf
                .narrow(0, span.offset as i64, rows * columns)
                .view([rows, columns]);
            x = x.linear(
                &weight,
                Some(leaf.narrow(0, span.bias_offset() as i64, rows)),
            );
            if index + 1 < spans.len() {
                x = x.elu();
            }
        }
        let tolerance = if kind == Kind::Float { 1e-4 } else { 0.1 };
        assert!((&x - &output).abs().max().double_value(&[]) < tolerance);
        (x * direction).sum(Kind::Float).backward();
        (written, leaf.grad())
    }

    fn relative_error(a: &Tensor, b: &Tensor) -> f64 {
        ((a - b).norm() / b.norm()).double_value(&[])
    }

    #[test]
    fn backward_agrees_with_autograd() {
        // Torch's ELU is what other devices than the CPU use.
        for own_elu in [true, false] {
            for (kind, tolerance) in [(Kind::Float, 1e-5), (Kind::BFloat16, 0.02)] {
                let compute = Compute {
                    own_elu,
                    ..Compute::on(Device::Cpu, kind)
                };
                let (written, autograd) = gradients(compute);
                assert!(
                    relative_error(&written, &autograd) < tolerance,
                    "{compute:?}"
                );
            }
        }
    }
}
