//! Layers with the names that PyTorch gives them, from a safetensors file.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use nalgebra::DVector;
use policies::Activation;
use safetensors::{Dtype, SafeTensors};

use super::network::{Chain, Network, matrix};

/// The linear layers of a file, sorted by the number in their names, `0.weight`, `actor.0.weight`, `layers.0.weight`: those below
/// `prefix`, or the only ones there are, or those whose prefix holds `actor`. `ignore` says of other tensors whether they are accounted for.
pub fn read(
    bytes: &[u8],
    prefix: Option<&str>,
    activations: [Activation; 2],
    ignore: impl Fn(&str) -> bool,
) -> Result<Network> {
    let tensors = deserialize(bytes)?;
    let names = tensors.names();
    let mut groups: BTreeMap<&str, BTreeMap<u64, &str>> = BTreeMap::new();
    let mut others = Vec::new();
    for name in &names {
        match layer_name(name) {
            Some((prefix, number, path)) => {
                groups.entry(prefix).or_default().insert(number, path);
            }
            None => others.push(*name),
        }
    }
    let prefix = choose(&groups, prefix)?;
    // The standard deviation of the actions is for training alone.
    let is_noise =
        |name: &str| ["std", "log_std"].contains(&name.rsplit('.').next().unwrap_or(name));
    if let Some(other) = others.iter().find(|name| !is_noise(name) && !ignore(name)) {
        bail!(
            "tensor `{other}` is no weight or bias of a linear layer; if it normalizes the observation, say so in [normalization] of the contract"
        );
    }
    let [hidden, output] = activations;
    let layers = &groups[prefix];
    let mut chain: Option<Chain> = None;
    for (index, path) in layers.values().enumerate() {
        let (weight_name, bias_name) = (format!("{path}.weight"), format!("{path}.bias"));
        let (shape, weight) = numbers(&tensors, &weight_name)?;
        let [outputs, inputs] = shape[..] else {
            bail!("{weight_name} has shape {shape:?}, must be [outputs, inputs]");
        };
        let (shape, bias) = numbers(&tensors, &bias_name)?;
        ensure!(
            shape == [outputs],
            "{bias_name} has shape {shape:?}, must be [{outputs}] like the outputs of {weight_name}"
        );
        let weight = matrix(outputs, inputs, &weight).with_context(|| weight_name.clone())?;
        let chain = match &mut chain {
            Some(chain) => chain,
            None => chain.insert(Chain::new(inputs)?),
        };
        chain
            .linear(weight, Some(DVector::from_vec(bias)))
            .with_context(|| weight_name.clone())?;
        let activation = match index + 1 == layers.len() {
            true => output,
            false => hidden,
        };
        if activation != Activation::Identity {
            chain.activate(activation)?;
        }
    }
    chain.context("holds no layers")?.finish()
}

/// A vector of a file.
pub fn vector(bytes: &[u8], name: &str) -> Result<Vec<f64>> {
    Ok(numbers(&deserialize(bytes)?, name)?.1)
}

fn deserialize(bytes: &[u8]) -> Result<SafeTensors<'_>> {
    SafeTensors::deserialize(bytes)
        .map_err(|error| anyhow::anyhow!("not a whole safetensors file ({error}); copy it again"))
}

/// Prefix, number and path of a layer: `actor`, 2 and `actor.2` of `actor.2.weight`.
fn layer_name(name: &str) -> Option<(&str, u64, &str)> {
    let path = name
        .strip_suffix(".weight")
        .or_else(|| name.strip_suffix(".bias"))?;
    let (prefix, number) = path.rsplit_once('.').unwrap_or(("", path));
    Some((prefix, number.parse().ok()?, path))
}

fn choose<'a>(
    groups: &BTreeMap<&'a str, BTreeMap<u64, &str>>,
    prefix: Option<&str>,
) -> Result<&'a str> {
    let all: Vec<&str> = groups.keys().copied().collect();
    let is_actor = |name: &&str| name.contains("actor");
    let actors: Vec<&str> = all.iter().copied().filter(is_actor).collect();
    let quoted = || {
        let quoted: Vec<String> = all.iter().map(|prefix| format!("`{prefix}`")).collect();
        quoted.join(", ")
    };
    match (prefix, &all[..], &actors[..]) {
        (_, [], _) => bail!(
            "holds no layers: no tensor is called as PyTorch does, <prefix>.<number>.weight, e.g. actor.0.weight"
        ),
        (Some(prefix), ..) => all
            .iter()
            .find(|name| **name == prefix)
            .copied()
            .with_context(|| format!("has no layers below `{prefix}`, but below {}", quoted())),
        (None, [only], _) | (None, _, [only]) => Ok(only),
        _ => bail!(
            "has layers below {}; say in the contract which are the policy's, as layers = \"actor\"",
            quoted()
        ),
    }
}

fn numbers(tensors: &SafeTensors<'_>, name: &str) -> Result<(Vec<usize>, Vec<f64>)> {
    let tensor = tensors
        .tensor(name)
        .map_err(|_| anyhow::anyhow!("tensor `{name}` is missing"))?;
    let data = tensor.data();
    let values = match tensor.dtype() {
        Dtype::F32 => {
            let chunks = data.as_chunks::<4>().0.iter();
            chunks.map(|x| f64::from(f32::from_le_bytes(*x))).collect()
        }
        Dtype::F64 => {
            let chunks = data.as_chunks::<8>().0.iter();
            chunks.map(|x| f64::from_le_bytes(*x)).collect()
        }
        other => bail!("{name} is {other:?}, must be F32 or F64"),
    };
    Ok((tensor.shape().to_vec(), values))
}
