//! A multilayer perceptron from an ONNX model: the operators from the observation to the action, one after the other.

mod constant;
mod graph;
mod metadata;
mod operators;
mod run;

use anyhow::{Context as _, Result};
use prost::Message as _;
use tract_onnx::pb::ModelProto;

use super::{Source, network::Chain};
use graph::Graph;

pub use metadata::contract;

/// Reads a model. `output` names the output that is the action, where there are several.
pub fn read(bytes: &[u8], output: Option<&str>) -> Result<Source> {
    let model = ModelProto::decode(bytes)
        .ok()
        .and_then(|model| model.graph)
        .context("not a whole ONNX model; copy it again")?;
    let graph = Graph::new(&model)?;
    let output = graph.action(output)?;
    let path = graph.path(output)?;
    let mut chain = Chain::new(path.input.width)?;
    for step in &path.steps {
        operators::apply(&graph, step, path.input.rank, &mut chain)?;
    }
    Ok(Source {
        network: chain.finish()?,
        original: run::original(bytes, &path.input, output)?,
    })
}
