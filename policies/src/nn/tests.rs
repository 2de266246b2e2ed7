use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

use super::*;

fn linear(inputs: usize, weight: &[f32], bias: &[f32]) -> Linear {
    Linear {
        weight: weight.to_vec(),
        bias: bias.to_vec(),
        inputs,
    }
}

/// A network with weights that keep the activations at the scale of the inputs.
fn random_layers(widths: &[usize], seed: u64) -> Vec<Linear> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    widths
        .windows(2)
        .map(|pair| {
            let bound = (3.0 / pair[0] as f32).sqrt();
            Linear {
                weight: (0..pair[0] * pair[1])
                    .map(|_| rng.random_range(-bound..bound))
                    .collect(),
                bias: (0..pair[1]).map(|_| rng.random_range(-0.1..0.1)).collect(),
                inputs: pair[0],
            }
        })
        .collect()
}

fn random_rows(len: usize, seed: u64) -> Vec<f32> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    (0..len).map(|_| rng.random_range(-2.0..2.0)).collect()
}

/// The definition, in double precision.
fn naive(layers: &[Linear], hidden: Activation, output: Activation, input: &[f32]) -> Vec<f64> {
    let mut values: Vec<f64> = input.iter().map(|&value| value.into()).collect();
    for (index, layer) in layers.iter().enumerate() {
        let activation = if index + 1 == layers.len() {
            output
        } else {
            hidden
        };
        values = (0..layer.outputs())
            .map(|row| {
                let weights = &layer.weight[row * layer.inputs..(row + 1) * layer.inputs];
                let sum = f64::from(layer.bias[row])
                    + weights
                        .iter()
                        .zip(&values)
                        .map(|(&w, v)| f64::from(w) * v)
                        .sum::<f64>();
                match activation {
                    Activation::Identity => sum,
                    Activation::Elu => {
                        if sum > 0.0 {
                            sum
                        } else {
                            sum.exp_m1()
                        }
                    }
                    Activation::Relu => sum.max(0.0),
                    Activation::Silu => sum / (1.0 + (-sum).exp()),
                    Activation::Tanh => sum.tanh(),
                }
            })
            .collect();
    }
    values
}

#[test]
fn two_layers_by_hand() {
    // Hidden: (1*1 + 2*2 + 0.5, 3*1 - 4*2 + 1) = (5.5, -4).
    let layers = [
        linear(2, &[1.0, 2.0, 3.0, -4.0], &[0.5, 1.0]),
        linear(2, &[2.0, 10.0], &[-1.0]),
    ];
    let run = |hidden, output| {
        Mlp::new(&layers, hidden, output)
            .unwrap()
            .forward(&[1.0, 2.0])[0]
    };
    assert_eq!(
        run(Activation::Identity, Activation::Identity),
        2.0 * 5.5 - 40.0 - 1.0
    );
    assert_eq!(run(Activation::Relu, Activation::Identity), 10.0);
    // ELU(-4) = exp(-4) - 1 = -0.981684361.
    assert!((run(Activation::Elu, Activation::Identity) - (10.0 - 9.816_844)).abs() < 1e-5);
    assert!((run(Activation::Elu, Activation::Tanh) - 0.181_134_7).abs() < 1e-5);
    // 5.5 / (1 + exp(-5.5)) = 5.477614; -4 / (1 + exp(4)) = -0.0719448.
    assert!(
        (run(Activation::Silu, Activation::Identity) - (10.955_229 - 0.719_448 - 1.0)).abs() < 1e-5
    );
}

#[test]
fn every_instruction_set_agrees_with_the_definition() {
    for widths in [
        &[61, 512, 256, 128, 12][..],
        &[19, 64, 64, 1],
        &[7, 33, 17],
        &[1, 1],
    ] {
        let layers = random_layers(widths, 5);
        for (hidden, output) in [
            (Activation::Elu, Activation::Identity),
            (Activation::Relu, Activation::Tanh),
            (Activation::Tanh, Activation::Elu),
            (Activation::Silu, Activation::Silu),
        ] {
            let mut mlp = Mlp::new(&layers, hidden, output).unwrap();
            let detected = mlp.isa;
            for isa in [detected, Isa::Portable] {
                mlp.isa = isa;
                for seed in 0..4 {
                    let input = random_rows(widths[0], seed);
                    let expected = naive(&layers, hidden, output, &input);
                    let actual = mlp.forward(&input);
                    assert_eq!(actual.len(), expected.len());
                    for (a, e) in actual.iter().zip(expected) {
                        assert!(
                            (f64::from(*a) - e).abs() < 1e-5,
                            "{widths:?} {isa:?}: {a} {e}"
                        );
                    }
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn vector_width_does_not_change_a_bit() {
    if Isa::detect() != Isa::Avx512 {
        return;
    }
    let layers = random_layers(&[61, 512, 256, 128, 12], 1);
    let mut mlp = Mlp::new(&layers, Activation::Elu, Activation::Identity).unwrap();
    let input = random_rows(61, 2);
    let wide = mlp.forward(&input).to_vec();
    mlp.isa = Isa::Avx2;
    assert_eq!(wide, mlp.forward(&input));
}

#[test]
fn a_row_gives_the_same_bits_alone_and_in_any_batch() {
    let layers = random_layers(&[61, 128, 64, 12], 3);
    let mut mlp = Mlp::new(&layers, Activation::Elu, Activation::Identity).unwrap();
    for rows in [
        0,
        1,
        5,
        6,
        7,
        BATCH_ROWS,
        BATCH_ROWS + 1,
        3 * BATCH_ROWS + 8,
    ] {
        let inputs = random_rows(rows * 61, 4);
        let mut outputs = vec![f32::NAN; rows * 12];
        mlp.forward_batch(&inputs, &mut outputs);
        for row in 0..rows {
            let alone = mlp.forward(&inputs[row * 61..(row + 1) * 61]).to_vec();
            assert_eq!(
                outputs[row * 12..(row + 1) * 12],
                alone,
                "row {row} of {rows}"
            );
        }
    }
}

#[test]
fn elu_is_exact_to_float_precision_over_its_range() {
    let layers = [linear(1, &[1.0], &[0.0])];
    let mut mlp = Mlp::new(&layers, Activation::Identity, Activation::Elu).unwrap();
    let mut x = -120.0f32;
    while x < 5.0 {
        let expected = if x > 0.0 {
            f64::from(x)
        } else {
            f64::from(x).exp_m1()
        };
        let actual = f64::from(mlp.forward(&[x])[0]);
        assert!(
            (actual - expected).abs() < 2e-7,
            "elu({x}) = {actual}, expected {expected}"
        );
        x += 0.0137;
    }
    assert_eq!(mlp.forward(&[f32::NEG_INFINITY])[0], -1.0);
    assert_eq!(mlp.forward(&[0.0])[0], 0.0);
}

#[test]
fn nan_in_the_input_reaches_the_output() {
    let layers = random_layers(&[4, 32, 3], 9);
    for hidden in [
        Activation::Elu,
        Activation::Relu,
        Activation::Silu,
        Activation::Tanh,
    ] {
        let mut mlp = Mlp::new(&layers, hidden, Activation::Identity).unwrap();
        assert!(
            mlp.forward(&[0.0, f32::NAN, 0.0, 0.0])
                .iter()
                .all(|value| value.is_nan())
        );
        // And leaves nothing behind.
        assert!(mlp.forward(&[0.0; 4]).iter().all(|value| value.is_finite()));
    }
}

#[test]
fn layers_that_do_not_fit_are_named() {
    let error = |layers: &[Linear]| {
        Mlp::new(layers, Activation::Elu, Activation::Identity)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(error(&[]), "network has no layers");
    let good = linear(2, &[1.0, 2.0], &[0.0]);
    assert!(
        error(&[linear(2, &[1.0; 3], &[0.0])])
            .starts_with("layers.0.weight has 3 elements, must be 1 x 2")
    );
    assert!(error(&[good.clone(), good.clone()]).starts_with("layers.1.weight takes 2 inputs"));
    assert_eq!(
        error(&[good.clone(), linear(1, &[1.0], &[f32::NAN])]),
        "layers.1.bias[0] is NaN, must be finite"
    );
    assert!(
        error(&[linear(2, &[1.0, f32::INFINITY], &[0.0])]).starts_with("layers.0.weight[1] is inf")
    );
}
