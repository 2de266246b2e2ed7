//! The contract that a model carries itself: mjlab and legged_control write one into its metadata.

use anyhow::{Context as _, Result, ensure};
use prost::Message as _;
use tract_onnx::pb::ModelProto;

use crate::import::contract::{Contract, Numbers, Term};

/// The contract in the metadata of a model; none where it does not say what the model observes.
pub fn contract(bytes: &[u8]) -> Result<Option<Contract>> {
    let model = ModelProto::decode(bytes)
        .ok()
        .context("not a whole ONNX model; copy it again")?;
    // Of several entries the last one counts.
    let entry = |key: &str| {
        let entries = model.metadata_props.iter().rev();
        let mut of_key = entries.filter(|entry| entry.key == key);
        of_key.next().map(|entry| entry.value.as_str())
    };
    let names = |key: &str| entry(key).map(|text| text.split(',').map(str::trim).collect());
    let numbers = |key: &str| -> Result<Option<Numbers>> {
        let Some(text) = entry(key) else {
            return Ok(None);
        };
        let numbers: Result<Vec<f32>, _> = text.split(',').map(|x| x.trim().parse()).collect();
        let numbers = numbers.with_context(|| format!("metadata `{key}`"))?;
        ensure!(!numbers.is_empty(), "metadata `{key}` is empty");
        Ok(Some(match numbers[..] {
            [number] => Numbers::All(number),
            _ => Numbers::Each(numbers),
        }))
    };
    let observed: Option<Vec<&str>> = names("observation_names");
    let Some(observed) = observed else {
        return Ok(None);
    };
    let terms = observed.into_iter().map(Term::named);
    let terms: Result<Vec<Term>> = terms.collect();
    let terms = terms.context("metadata `observation_names`")?;
    let joints: Option<Vec<&str>> = names("joint_names");
    Ok(Some(Contract {
        joints: joints.map(|joints| joints.into_iter().map(str::to_owned).collect()),
        default_position_rad: numbers("default_joint_pos")?,
        stiffness: numbers("joint_stiffness")?,
        damping: numbers("joint_damping")?,
        action_scale: numbers("action_scale")?,
        observations: Some(terms),
        ..Contract::default()
    }))
}
