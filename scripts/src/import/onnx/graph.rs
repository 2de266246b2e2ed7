//! The way from the observation to the action through a model's graph.

use std::collections::{HashMap, HashSet};

use anyhow::{Context as _, Result, bail, ensure};
use tract_onnx::pb::{
    AttributeProto, GraphProto, NodeProto, ValueInfoProto, tensor_shape_proto::dimension,
    type_proto,
};

use super::constant::Constant;

/// Most operators of a model.
const MAX_NODES: usize = 10_000;
/// Most numbers of all constants together.
const MAX_NUMBERS: usize = 1 << 25;
/// Outputs that are the action where a model has several.
const ACTIONS: [&str; 6] = [
    "action",
    "actions",
    "continuous_actions",
    "mean",
    "mu",
    "output",
];

/// A model's graph.
pub struct Graph<'a> {
    graph: &'a GraphProto,
    /// Which node gives a tensor.
    givers: HashMap<&'a str, usize>,
    constants: HashMap<&'a str, Constant>,
}

/// An operator on the way.
pub struct Step<'a> {
    pub node: &'a NodeProto,
    /// The tensor that comes in.
    pub input: &'a str,
    /// The tensor that goes on.
    pub output: &'a str,
    /// It multiplies a number with its own sigmoid.
    pub is_silu: bool,
}

/// All operators from the observation to the action.
pub struct Path<'a> {
    pub input: Input<'a>,
    pub steps: Vec<Step<'a>>,
}

/// The observation.
pub struct Input<'a> {
    pub name: &'a str,
    /// Dimensions; the last one is the width.
    pub rank: usize,
    pub width: usize,
}

impl<'a> Graph<'a> {
    /// Reads all constants.
    pub fn new(graph: &'a GraphProto) -> Result<Self> {
        ensure!(
            graph.node.len() <= MAX_NODES,
            "has {} operators, must have at most {MAX_NODES}",
            graph.node.len()
        );
        let mut constants = HashMap::new();
        let mut numbers = 0;
        let mut add = |name: &'a str, constant: Constant| {
            numbers += constant.values.len();
            ensure!(
                numbers <= MAX_NUMBERS,
                "has more than {MAX_NUMBERS} constant numbers"
            );
            constants.insert(name, constant);
            Ok(())
        };
        for tensor in &graph.initializer {
            let constant = Constant::read(tensor);
            let constant = constant.with_context(|| format!("constant `{}`", tensor.name))?;
            add(&tensor.name, constant)?;
        }
        let mut givers = HashMap::new();
        for (index, node) in graph.node.iter().enumerate() {
            for output in node.output.iter().filter(|output| !output.is_empty()) {
                givers.insert(output.as_str(), index);
            }
        }
        let mut graph = Self {
            graph,
            givers,
            constants,
        };
        graph.fold(numbers)?;
        Ok(graph)
    }

    /// Computes what depends on constants alone.
    fn fold(&mut self, mut numbers: usize) -> Result<()> {
        for node in &self.graph.node {
            let [output] = &node.output[..] else { continue };
            let value = match node.op_type.as_str() {
                "Constant" => constant_node(node).with_context(|| described(node))?,
                operator => {
                    let inputs = node.input.iter();
                    let inputs: Option<Vec<&Constant>> = inputs
                        .map(|input| self.constants.get(input.as_str()))
                        .collect();
                    let inputs = inputs.filter(|inputs| !inputs.is_empty());
                    inputs.and_then(|inputs| Constant::folded(operator, &inputs))
                }
            };
            let Some(value) = value else { continue };
            numbers += value.values.len();
            ensure!(
                numbers <= MAX_NUMBERS,
                "has more than {MAX_NUMBERS} constant numbers"
            );
            self.constants.insert(output, value);
        }
        Ok(())
    }

    /// A constant of this name.
    pub fn constant(&self, name: &str) -> Option<&Constant> {
        self.constants.get(name)
    }

    /// The output that is the action.
    pub fn action(&self, named: Option<&str>) -> Result<&'a str> {
        let outputs = self.graph.output.iter().map(|output| output.name.as_str());
        let outputs: Vec<&str> = outputs.collect();
        let listed = outputs.join(", ");
        match (named, &outputs[..]) {
            (_, []) => bail!("has no output"),
            (Some(named), _) => outputs
                .iter()
                .find(|output| **output == named)
                .copied()
                .with_context(|| format!("has no output `{named}`, it has {listed}")),
            (None, [only]) => Ok(only),
            (None, _) => outputs
                .iter()
                .find(|output| ACTIONS.contains(output))
                .copied()
                .with_context(|| {
                    format!(
                        "has the outputs {listed}; say in the contract which one is the action, as output = \"{}\"",
                        outputs[0]
                    )
                }),
        }
    }

    /// The operators from the observation to this tensor.
    pub fn path(&self, output: &'a str) -> Result<Path<'a>> {
        let inputs: HashSet<&str> = self.graph.input.iter().map(|i| i.name.as_str()).collect();
        let mut steps = Vec::new();
        let mut tensor = output;
        let mut before = self.graph.node.len();
        loop {
            ensure!(
                !self.constants.contains_key(tensor),
                "the action does not depend on the observation: `{tensor}` is constant"
            );
            if let Some(index) = self.givers.get(tensor).copied() {
                ensure!(
                    index < before,
                    "its operators are not in order: {} comes before what it needs",
                    described(&self.graph.node[index])
                );
                before = index;
                let step = self.step(&self.graph.node[index], tensor)?;
                tensor = step.input;
                // The sigmoid comes before the product.
                steps.push(step);
            } else {
                ensure!(
                    inputs.contains(tensor),
                    "no operator gives the tensor `{tensor}`"
                );
                steps.reverse();
                let input = self.graph.input.iter().find(|input| input.name == tensor);
                let input = input.context("has no input")?;
                return Ok(Path {
                    input: shape(input)?,
                    steps,
                });
            }
        }
    }

    fn step(&self, node: &'a NodeProto, output: &'a str) -> Result<Step<'a>> {
        let step = |input: &'a str, is_silu: bool| Step {
            node,
            input,
            output,
            is_silu,
        };
        let all = node.input.iter().map(String::as_str);
        let changing: Vec<&str> = all
            .filter(|input| !input.is_empty() && !self.constants.contains_key(input))
            .collect();
        let is_sigmoid_of = |gate: &str, of: &str| {
            let giver = self.givers.get(gate).map(|index| &self.graph.node[*index]);
            giver.is_some_and(|giver| giver.op_type == "Sigmoid" && giver.input[..] == [of])
        };
        match (node.op_type.as_str(), &changing[..]) {
            (_, [input]) => Ok(step(input, false)),
            ("Mul", [a, b]) if is_sigmoid_of(b, a) => Ok(step(a, true)),
            ("Mul", [a, b]) if is_sigmoid_of(a, b) => Ok(step(b, true)),
            // The shape may depend on the batch.
            ("Reshape", [input, _]) => Ok(step(input, false)),
            (_, []) => bail!("{} has no input", described(node)),
            (_, several) => bail!(
                "{} has the inputs {}; an MLP is a chain, in which each operator takes one, so a memory (LSTM, GRU), an encoder beside it or a skip \
                 connection cannot be imported",
                described(node),
                several.join(", ")
            ),
        }
    }
}

/// Name and operator of a node, for messages.
pub fn described(node: &NodeProto) -> String {
    let name = match (node.name.as_str(), node.output.first()) {
        ("", Some(output)) => output,
        (name, _) => name,
    };
    format!("node `{name}` ({})", node.op_type)
}

/// An attribute of a node.
pub fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute
        .iter()
        .find(|attribute| attribute.name == name)
}

fn constant_node(node: &NodeProto) -> Result<Option<Constant>> {
    let number = |value: f64| Constant {
        dims: Vec::new(),
        values: vec![value],
    };
    let list = |values: Vec<f64>| Constant {
        dims: vec![values.len()],
        values,
    };
    let Some(attribute) = node.attribute.first() else {
        return Ok(None);
    };
    Ok(match attribute.name.as_str() {
        "value" => attribute.t.as_ref().map(Constant::read).transpose()?,
        "value_float" => Some(number(f64::from(attribute.f))),
        "value_int" => Some(number(attribute.i as f64)),
        "value_floats" => Some(list(
            attribute.floats.iter().map(|x| f64::from(*x)).collect(),
        )),
        "value_ints" => Some(list(attribute.ints.iter().map(|x| *x as f64).collect())),
        _ => None,
    })
}

/// Rank and width of an input.
fn shape(input: &ValueInfoProto) -> Result<Input<'_>> {
    let name = &input.name;
    let kind = input.r#type.as_ref().and_then(|kind| kind.value.as_ref());
    let dims = match kind {
        Some(type_proto::Value::TensorType(tensor)) => tensor.shape.as_ref().map(|s| &s.dim[..]),
        _ => None,
    };
    let last = dims.and_then(|dims| dims.last()?.value.as_ref());
    let Some((dims, dimension::Value::DimValue(width))) = dims.zip(last) else {
        bail!("the width of input `{name}` is not in the model; export it with a fixed width");
    };
    ensure!(
        dims.len() <= 3,
        "input `{name}` has {} dimensions, must be [batch, width]",
        dims.len()
    );
    Ok(Input {
        name,
        rank: dims.len(),
        width: usize::try_from(*width).unwrap_or(0),
    })
}
