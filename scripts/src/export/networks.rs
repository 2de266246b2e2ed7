//! The networks of a bundle as graphs.

use policies::{
    Activation, Bundle, Layout,
    spec::{NetworkSpec, Output, SpecError},
};

use super::graph::{Graph, Tensor};

/// Name of the input of every network, [batch, length of the observation].
pub const OBSERVATION: &str = "observation";
/// Output of a policy: the clipped action, [batch, joints].
pub const ACTION: &str = "action";
/// Output of a policy: joint positions that the action stands for, rad, [batch, joints].
pub const JOINT_TARGET: &str = "joint_target_rad";
/// Output of the reach-avoid value, [batch, 1].
pub const VALUE: &str = "value";

/// The graph of a network; none for those that observe images.
///
/// # Errors
/// When the bundle has none of this role, or a term cannot be observed.
pub fn graph(bundle: &Bundle, role: &str) -> Result<Option<Graph>, SpecError> {
    let network = bundle.spec.network(role)?;
    if matches!(network.output, Output::Rays { .. }) {
        return Ok(None);
    }
    let layout = bundle.spec.layout(role)?;
    let mut graph = Graph::default();
    let input = graph.input(OBSERVATION, layout.dim());
    let input = observed(&mut graph, &input, network, &layout);
    let raw = forward(&mut graph, &input, bundle, role, network.activation);
    match network.output {
        Output::Actions {
            scale,
            clip,
            activation,
        } => {
            let raw = activated(&mut graph, raw, activation);
            let default_rad = &bundle.spec.robot.default_position_rad;
            let [low, high, scale] = [-clip, clip, scale].map(|value| graph.scalar(value));
            let action = graph.clamp(&raw, &low, &high);
            graph.output(ACTION, &action, default_rad.len());
            let offset = graph.apply("Mul", &[&action, &scale]);
            let default = graph.row(default_rad);
            let target = graph.apply("Add", &[&offset, &default]);
            graph.output(JOINT_TARGET, &target, default_rad.len());
        }
        Output::Value { .. } => {
            let value = graph.apply("Tanh", &[&raw]);
            graph.output(VALUE, &value, 1);
        }
        Output::Rays { .. } => {}
    }
    Ok(Some(graph))
}

/// The observation with its clips and masks, which the model applies so that nobody can forget them.
pub fn observed(
    graph: &mut Graph,
    input: &Tensor,
    network: &NetworkSpec,
    layout: &Layout,
) -> Tensor {
    let mut observed = input.clone();
    if network.observations.iter().any(|term| term.clip.is_some()) {
        let mut bounds = vec![f32::MAX; layout.dim()];
        for term in &network.observations {
            if let (Some(clip), Some(range)) = (term.clip, layout.range(term.term)) {
                bounds[range.end - range.len() * term.history..range.end].fill(clip);
            }
        }
        let low: Vec<f32> = bounds.iter().map(|bound| -bound).collect();
        let (low, high) = (graph.row(&low), graph.row(&bounds));
        observed = graph.clamp(&observed, &low, &high);
    }
    let mut mask = vec![1.0; layout.dim()];
    for index in layout.masked() {
        mask[index] = 0.0;
    }
    if mask.contains(&0.0) {
        let mask = graph.row(&mask);
        observed = graph.apply("Mul", &[&observed, &mask]);
    }
    observed
}

/// The output of the last layer, before what is made of it.
fn forward(
    graph: &mut Graph,
    input: &Tensor,
    bundle: &Bundle,
    role: &str,
    hidden: Activation,
) -> Tensor {
    let layers = bundle.layers(role);
    let mut tensor = input.clone();
    for (index, layer) in layers.iter().enumerate() {
        let layer = graph.layer(layer);
        tensor = graph.linear(&tensor, &layer);
        if index + 1 < layers.len() {
            tensor = activated(graph, tensor, hidden);
        }
    }
    tensor
}

fn activated(graph: &mut Graph, tensor: Tensor, activation: Activation) -> Tensor {
    match activation {
        Activation::Identity => tensor,
        Activation::Elu => graph.apply("Elu", &[&tensor]),
        Activation::Relu => graph.apply("Relu", &[&tensor]),
        Activation::Silu => {
            let gate = graph.apply("Sigmoid", &[&tensor]);
            graph.apply("Mul", &[&tensor, &gate])
        }
        Activation::Tanh => graph.apply("Tanh", &[&tensor]),
    }
}
