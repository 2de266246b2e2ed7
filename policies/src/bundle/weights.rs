//! The safetensors file of one network.

use std::fmt::Write as _;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use sha2::{Digest, Sha256};

use crate::nn::Linear;

/// Reads all layers. The error is what follows the file name in the message.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Linear>, String> {
    let tensors = SafeTensors::deserialize(bytes)
        .map_err(|error| format!("not a whole safetensors file ({error}); copy it again"))?;
    // Each layer has two tensors; what is then missing or left over is named below.
    let layers = tensors.len().div_ceil(2);
    for name in tensors.names() {
        if !(0..layers).any(|layer| name == weight_name(layer) || name == bias_name(layer)) {
            return Err(format!(
                "unexpected tensor `{name}`, must be layers.<i>.weight or layers.<i>.bias without gaps in <i>"
            ));
        }
    }
    (0..layers)
        .map(|layer| read_layer(&tensors, layer))
        .collect()
}

fn read_layer(tensors: &SafeTensors<'_>, layer: usize) -> Result<Linear, String> {
    let (weight_shape, weight) = read_tensor(tensors, &weight_name(layer))?;
    let (bias_shape, bias) = read_tensor(tensors, &bias_name(layer))?;
    let [outputs, inputs] = weight_shape[..] else {
        return Err(format!(
            "{} has shape {weight_shape:?}, must be [outputs, inputs]",
            weight_name(layer)
        ));
    };
    if bias_shape != [outputs] {
        return Err(format!(
            "{} has shape {bias_shape:?}, must be [{outputs}] like the outputs of {}",
            bias_name(layer),
            weight_name(layer)
        ));
    }
    Ok(Linear {
        weight,
        bias,
        inputs,
    })
}

fn read_tensor(tensors: &SafeTensors<'_>, name: &str) -> Result<(Vec<usize>, Vec<f32>), String> {
    let tensor = tensors
        .tensor(name)
        .map_err(|_| format!("tensor `{name}` is missing"))?;
    if tensor.dtype() != Dtype::F32 {
        return Err(format!("{name} is {:?}, must be F32", tensor.dtype()));
    }
    let values = tensor
        .data()
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect();
    Ok((tensor.shape().to_vec(), values))
}

pub(super) fn encode(layers: &[Linear]) -> Result<Vec<u8>, String> {
    let bytes = |values: &[f32]| {
        values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect()
    };
    let data: Vec<(String, Vec<usize>, Vec<u8>)> = layers
        .iter()
        .enumerate()
        .flat_map(|(index, linear)| {
            [
                (
                    weight_name(index),
                    vec![linear.outputs(), linear.inputs],
                    bytes(&linear.weight),
                ),
                (
                    bias_name(index),
                    vec![linear.outputs()],
                    bytes(&linear.bias),
                ),
            ]
        })
        .collect();
    let views = data
        .iter()
        .map(|(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|error| error.to_string())?;
    safetensors::serialize(views, None).map_err(|error| error.to_string())
}

/// SHA-256, hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

fn weight_name(layer: usize) -> String {
    format!("layers.{layer}.weight")
}

fn bias_name(layer: usize) -> String {
    format!("layers.{layer}.bias")
}
