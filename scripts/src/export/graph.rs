//! ONNX graphs, built operator by operator. All tensors are float32 with a batch as first dimension, unless their name says otherwise.

use policies::Linear;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    attribute_proto::AttributeType,
    tensor_proto::DataType,
    tensor_shape_proto::{Dimension, dimension},
    type_proto,
};

/// The set of operators that the models use.
const OPSET: i64 = 17;
/// The version of the file format that came with it.
const IR_VERSION: i64 = 8;

/// A tensor of a graph, by its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor(String);

/// A graph in the making.
#[derive(Default)]
pub struct Graph {
    graph: GraphProto,
}

impl Graph {
    /// An input [batch, columns].
    pub fn input(&mut self, name: &str, columns: usize) -> Tensor {
        self.graph.input.push(matrix(name, columns));
        Tensor(name.to_owned())
    }

    /// Makes `tensor` the output [batch, columns] of this name.
    pub fn output(&mut self, name: &str, tensor: &Tensor, columns: usize) {
        self.graph.output.push(matrix(name, columns));
        self.add_node("Identity", &[tensor], Vec::new(), name.to_owned());
    }

    /// A constant of these dimensions, row by row.
    pub fn constant(&mut self, dims: &[usize], values: &[f32]) -> Tensor {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.add_constant(DataType::Float, dims, bytes.collect())
    }

    /// A constant [1, columns], the same for the whole batch.
    pub fn row(&mut self, values: &[f32]) -> Tensor {
        self.constant(&[1, values.len()], values)
    }

    /// A constant number.
    pub fn scalar(&mut self, value: f32) -> Tensor {
        self.constant(&[], &[value])
    }

    fn indices(&mut self, values: &[usize]) -> Tensor {
        let bytes = values
            .iter()
            .flat_map(|value| (*value as i64).to_le_bytes());
        self.add_constant(DataType::Int64, &[values.len()], bytes.collect())
    }

    /// The output of an operator without attributes.
    pub fn apply(&mut self, operator: &str, inputs: &[&Tensor]) -> Tensor {
        self.apply_with(operator, inputs, Vec::new())
    }

    fn apply_with(
        &mut self,
        operator: &str,
        inputs: &[&Tensor],
        attributes: Vec<AttributeProto>,
    ) -> Tensor {
        let name = format!("{}_{}", operator.to_lowercase(), self.graph.node.len());
        self.add_node(operator, inputs, attributes, name.clone());
        Tensor(name)
    }

    /// `input` through a linear layer.
    pub fn linear(&mut self, input: &Tensor, layer: &Layer) -> Tensor {
        let transposed = integer("transB", 1);
        self.apply_with(
            "Gemm",
            &[input, &layer.weight, &layer.bias],
            vec![transposed],
        )
    }

    /// The constants of a linear layer, to be used any number of times.
    pub fn layer(&mut self, layer: &Linear) -> Layer {
        Layer {
            weight: self.constant(&[layer.outputs(), layer.inputs], &layer.weight),
            bias: self.constant(&[layer.outputs()], &layer.bias),
        }
    }

    /// Columns of a matrix.
    pub fn columns(&mut self, input: &Tensor, range: std::ops::Range<usize>) -> Tensor {
        let [start, end, axis] = [range.start, range.end, 1].map(|at| self.indices(&[at]));
        self.apply("Slice", &[input, &start, &end, &axis])
    }

    /// Matrices side by side.
    pub fn concat(&mut self, inputs: &[&Tensor]) -> Tensor {
        self.apply_with("Concat", inputs, vec![integer("axis", 1)])
    }

    /// Of each row the elements in the columns `places`, whole numbers as float32.
    pub fn elements(&mut self, input: &Tensor, places: &Tensor) -> Tensor {
        let whole = integer("to", DataType::Int64 as i64);
        let places = self.apply_with("Cast", &[places], vec![whole]);
        self.apply_with(
            "GatherElements",
            &[input, &places],
            vec![integer("axis", 1)],
        )
    }

    /// 1 where a condition holds, else 0.
    pub fn indicator(&mut self, condition: &Tensor) -> Tensor {
        let float = integer("to", DataType::Float as i64);
        self.apply_with("Cast", &[condition], vec![float])
    }

    /// Sum of each row, [batch, 1].
    pub fn sum(&mut self, input: &Tensor) -> Tensor {
        let axis = self.indices(&[1]);
        self.apply("ReduceSum", &[input, &axis])
    }

    /// `input` between two tensors.
    pub fn clamp(&mut self, input: &Tensor, low: &Tensor, high: &Tensor) -> Tensor {
        let raised = self.apply("Max", &[input, low]);
        self.apply("Min", &[&raised, high])
    }

    /// The model with its metadata.
    pub fn model(mut self, name: &str, metadata: &[(&str, &str)]) -> ModelProto {
        self.graph.name = name.to_owned();
        let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        };
        ModelProto {
            ir_version: IR_VERSION,
            opset_import: vec![OperatorSetIdProto {
                domain: String::new(),
                version: OPSET,
            }],
            producer_name: env!("CARGO_PKG_NAME").to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(self.graph),
            metadata_props: metadata.iter().map(entry).collect(),
            ..ModelProto::default()
        }
    }

    fn add_constant(&mut self, kind: DataType, dims: &[usize], raw_data: Vec<u8>) -> Tensor {
        let name = format!("constant_{}", self.graph.initializer.len());
        self.graph.initializer.push(TensorProto {
            dims: dims.iter().map(|dim| *dim as i64).collect(),
            data_type: kind as i32,
            name: name.clone(),
            raw_data,
            ..TensorProto::default()
        });
        Tensor(name)
    }

    fn add_node(
        &mut self,
        operator: &str,
        inputs: &[&Tensor],
        attribute: Vec<AttributeProto>,
        output: String,
    ) {
        self.graph.node.push(NodeProto {
            op_type: operator.to_owned(),
            name: output.clone(),
            input: inputs.iter().map(|input| input.0.clone()).collect(),
            output: vec![output],
            attribute,
            ..NodeProto::default()
        });
    }
}

/// A linear layer as constants of a graph: weights [outputs, inputs] and biases \[outputs\].
pub struct Layer {
    pub weight: Tensor,
    pub bias: Tensor,
}

fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Int as i32,
        i: value,
        ..AttributeProto::default()
    }
}

/// An input or output [batch, columns].
fn matrix(name: &str, columns: usize) -> ValueInfoProto {
    let dimension = |value| Dimension {
        value: Some(value),
        ..Dimension::default()
    };
    let shape = TensorShapeProto {
        dim: vec![
            dimension(dimension::Value::DimParam("batch".to_owned())),
            dimension(dimension::Value::DimValue(columns as i64)),
        ],
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(type_proto::Tensor {
                elem_type: DataType::Float as i32,
                shape: Some(shape),
            })),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}
