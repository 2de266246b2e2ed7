//! The gradient of the reach-avoid value, written by hand, against autograd.

use policies::{Linear, ReachAvoidValue};
use tch::{Kind, Tensor};

const WIDTHS: [usize; 4] = [19, 64, 64, 1];

#[test]
fn value_and_gradient_agree_with_autograd() {
    tch::manual_seed(3);
    let observation = Tensor::randn([200, 19], (Kind::Float, tch::Device::Cpu));
    let weights: Vec<(Tensor, Tensor)> = WIDTHS
        .windows(2)
        .map(|pair| {
            let (inputs, outputs) = (pair[0] as i64, pair[1] as i64);
            let options = (Kind::Float, tch::Device::Cpu);
            let weight = Tensor::randn([outputs, inputs], options) * (2.0 / inputs as f64).sqrt();
            (weight, Tensor::randn([outputs], options) * 0.1)
        })
        .collect();

    let input = observation.set_requires_grad(true);
    let mut output = input.shallow_clone();
    for (index, (weight, bias)) in weights.iter().enumerate() {
        output = output.linear(weight, Some(bias));
        output = if index + 2 < WIDTHS.len() {
            output.relu()
        } else {
            output.tanh()
        };
    }
    output.sum(Kind::Float).backward();

    let floats = |tensor: &Tensor| Vec::<f32>::try_from(tensor.detach().flatten(0, -1)).unwrap();
    let layers = weights.iter().map(|(weight, bias)| Linear {
        weight: floats(weight),
        bias: floats(bias),
        inputs: weight.size()[1] as usize,
    });
    let mut value = ReachAvoidValue::new(layers.collect()).unwrap();
    let (rows, values, gradients) = (floats(&input), floats(&output), floats(&input.grad()));
    let mut gradient = [0.0; 19];
    for ((row, expected), slopes) in rows.chunks(19).zip(values).zip(gradients.chunks(19)) {
        let found = value.value_and_gradient(row, &mut gradient);
        assert!(
            (found - expected).abs() < 1e-5,
            "{found}, expected {expected}"
        );
        for (found, expected) in gradient.iter().zip(slopes) {
            let error = (found - expected).abs();
            assert!(error < 1e-5, "{found}, expected {expected}");
        }
    }
}
