//! ONNX models, made operator by operator.

mod refusals;

use prost::Message as _;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    attribute_proto::AttributeType,
    tensor_proto::DataType,
    tensor_shape_proto::{Dimension, dimension},
    type_proto,
};

use super::*;
use crate::{
    export::{CONTRACT_FILE, Export},
    import::contract::Term,
};

/// Observations of 3 numbers.
const TWIST: &str = "observations = [{ term = \"twist-command\" }]";

/// A model in the making.
#[derive(Default)]
struct Model(GraphProto);

impl Model {
    /// Observes so many numbers as `obs`.
    fn new(inputs: usize) -> Self {
        let mut model = Self::default();
        model.0.input.push(value("obs", inputs));
        model
    }

    fn constant(mut self, name: &str, dims: &[usize], values: &[f32]) -> Self {
        self.0.initializer.push(TensorProto {
            dims: dims.iter().map(|dim| *dim as i64).collect(),
            data_type: DataType::Float as i32,
            name: name.to_owned(),
            raw_data: values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            ..TensorProto::default()
        });
        self
    }

    fn whole(mut self, name: &str, values: &[i64]) -> Self {
        self.0.initializer.push(TensorProto {
            dims: vec![values.len() as i64],
            data_type: DataType::Int64 as i32,
            name: name.to_owned(),
            int64_data: values.to_vec(),
            ..TensorProto::default()
        });
        self
    }

    fn node(self, operator: &str, inputs: &[&str], output: &str) -> Self {
        self.node_with(operator, inputs, &[output], &[])
    }

    fn node_with(
        mut self,
        operator: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: &[(&str, i64)],
    ) -> Self {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let attribute = |(name, value): &(&str, i64)| AttributeProto {
            name: (*name).to_owned(),
            r#type: AttributeType::Int as i32,
            i: *value,
            ..AttributeProto::default()
        };
        self.0.node.push(NodeProto {
            op_type: operator.to_owned(),
            name: format!("/{}", outputs[0]),
            input: names(inputs),
            output: names(outputs),
            attribute: attributes.iter().map(attribute).collect(),
            ..NodeProto::default()
        });
        self
    }

    /// With one output more.
    fn output(mut self, name: &str, width: usize) -> Self {
        self.0.output.push(value(name, width));
        self
    }

    fn write(self, folder: &TempDir) -> PathBuf {
        let model = ModelProto {
            ir_version: 8,
            opset_import: vec![OperatorSetIdProto {
                domain: String::new(),
                version: 13,
            }],
            graph: Some(self.0),
            ..ModelProto::default()
        };
        let path = folder.path().join("policy.onnx");
        std::fs::write(&path, model.encode_to_vec()).unwrap();
        path
    }
}

fn value(name: &str, width: usize) -> ValueInfoProto {
    let dim = |value: i64| Dimension {
        value: Some(dimension::Value::DimValue(value)),
        ..Dimension::default()
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(type_proto::Tensor {
                elem_type: DataType::Float as i32,
                shape: Some(TensorShapeProto {
                    dim: vec![dim(1), dim(width as i64)],
                }),
            })),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}

fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f64]) {
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (f64::from(*found) - expected).abs() < 1e-6 * (1.0 + expected.abs()),
            "{found} {expected}"
        );
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn a_normalized_network_with_a_gaussian_head_is_folded() {
    let folder = TempDir::new().unwrap();
    // (obs - 1) * [1, 2, 4], sums of the first two and the last two -> silu -> 24 numbers, of which the first 12 -> tanh.
    let head: Vec<f32> = (0..48).map(|k| 0.02 * k as f32 - 0.5).collect();
    let bias: Vec<f32> = (0..24).map(|k| 0.1 * k as f32).collect();
    let model = || {
        Model::new(3)
            .constant("mean", &[3], &[1.0, 1.0, 1.0])
            .constant("inverse", &[1, 3], &[1.0, 2.0, 4.0])
            // [inputs, outputs].
            .constant("w0", &[3, 2], &[1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
            .constant("b0", &[2], &[0.5, -0.5])
            .constant("w1", &[24, 2], &head)
            .constant("b1", &[24], &bias)
            .node("Sub", &["obs", "mean"], "centred")
            .node("Mul", &["inverse", "centred"], "normal")
            .node("MatMul", &["normal", "w0"], "product")
            .node("Add", &["b0", "product"], "hidden")
            .node("Sigmoid", &["hidden"], "gate")
            .node("Mul", &["hidden", "gate"], "silu")
            .node_with("Gemm", &["silu", "w1", "b1"], &["head"], &[("transB", 1)])
    };
    let split = model()
        .node_with("Split", &["head"], &["mu", "std"], &[("axis", -1)])
        .node("Tanh", &["mu"], "actions")
        .output("actions", 12);
    let slice = model()
        .whole("zero", &[0])
        .whole("twelve", &[12])
        .whole("axis", &[1])
        .node("Slice", &["head", "zero", "twelve", "axis"], "mu")
        .node("Tanh", &["mu"], "actions")
        .output("actions", 12);
    // Observation 2, 0.5, 1.5: normal 1, -1, 2, hidden 1 - 1 + 0.5 and -1 + 2 - 0.5.
    let hidden = [silu(0.5), silu(0.5)];
    let expected: Vec<f64> = (0..12)
        .map(|k| {
            let [w0, w1] = [2 * k, 2 * k + 1].map(|place| f64::from(head[place]));
            (w0 * hidden[0] + w1 * hidden[1] + f64::from(bias[k])).tanh()
        })
        .collect();
    for model in [split, slice] {
        let file = model.write(&folder);
        let contract = contract(TWIST);
        let contract = Contract {
            activation: None,
            ..contract
        };
        let imported = Import::new(&file, &contract, "contract.toml")
            .map_err(|error| format!("{error:#}"))
            .unwrap();
        let notes = &imported.notes;
        assert!(
            notes[0].ends_with("3-2-12, silu between the layers, tanh behind the last"),
            "{notes:?}"
        );
        assert!(
            notes[1].starts_with("same actions as the file within"),
            "{notes:?}"
        );
        assert_close(&action(&imported.bundle, &[2.0, 0.5, 1.5]), &expected);
    }
}

#[test]
fn what_exporters_leave_around_the_layers_is_read() {
    let folder = TempDir::new().unwrap();
    let weight: Vec<f32> = (0..36).map(|k| k as f32).collect();
    // Twelve outputs from three inputs by a transposed MatMul, behind (obs - mean) / (std + epsilon), as rsl_rl exports them.
    let file = Model::new(3)
        .constant("mean", &[1, 3], &[1.0, 2.0, 3.0])
        .constant("std", &[1, 3], &[0.5, 1.0, 1.5])
        .constant("epsilon", &[], &[0.5])
        .constant("w", &[12, 3], &weight)
        .constant("b", &[12], &[1.0; 12])
        .constant("low", &[], &[-50.0])
        .constant("high", &[], &[50.0])
        .constant("critic", &[3, 1], &[1.0; 3])
        .whole("shape", &[1, 12])
        .node("Add", &["std", "epsilon"], "deviation")
        .node("Sub", &["obs", "mean"], "centred")
        .node("Div", &["centred", "deviation"], "normal")
        .node("Transpose", &["w"], "wT")
        .node("MatMul", &["normal", "wT"], "product")
        .node("Add", &["product", "b"], "sum")
        .node("Reshape", &["sum", "shape"], "shaped")
        .node("Clip", &["shaped", "low", "high"], "clipped")
        .node("Identity", &["clipped"], "actions")
        .node("MatMul", &["normal", "critic"], "values")
        .output("values", 1)
        .output("actions", 12)
        .write(&folder);
    let bundle = import(&file, &format!("{RIGHT_FIRST}{TWIST}"));
    // (3 - 1) / 1, (3.5 - 2) / 1.5, (1 - 3) / 2: 2, 1, -1. Row k is 3k, 3k + 1, 3k + 2.
    let of_file: Vec<f64> = (0..12)
        .map(|k| f64::from(3 * k) * 2.0 - 1.0 + 1.0)
        .collect();
    let places = [3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8];
    let expected = places.map(|place| of_file[place]);
    assert_close(&action(&bundle, &[3.0, 3.5, 1.0]), &expected);
    let spec = &bundle.spec.networks["recovery"];
    assert!(matches!(spec.output, Output::Actions { clip: 50.0, .. }));
}

#[test]
fn an_exported_policy_comes_back_as_it_was() {
    let bundles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/bundles");
    for (name, role) in [("go1", "recovery"), ("go1-velocity", "velocity")] {
        let folder = TempDir::new().unwrap();
        let shipped = Bundle::load(&bundles.join(name)).unwrap();
        let before = &shipped.spec.networks[role];
        let robot = shipped.robot().unwrap();
        let export = Export::new(&shipped, &robot, &[role.to_owned()]);
        let out = folder.path().join("exported");
        export.unwrap().write(&out).unwrap();
        let exported = std::fs::read(out.join(CONTRACT_FILE)).unwrap();
        let exported: serde_json::Value = serde_json::from_slice(&exported).unwrap();
        let twist_range = exported["networks"][role]["twist_range"].clone();
        let observations = before.observations.iter().cloned().map(Term::from);
        let contract = Contract {
            observations: Some(observations.collect()),
            twist_range: serde_json::from_value(twist_range).unwrap(),
            ..Contract::of_recipe("go1", role)
        };
        let imported = Import::new(&out.join(format!("{role}.onnx")), &contract, "contract")
            .map_err(|error| format!("{error:#}"))
            .unwrap();
        assert_eq!(imported.notes.len(), 2, "{:?}", imported.notes);
        let after = &imported.bundle.spec.networks[role];
        assert_eq!(imported.bundle.layers(role), shipped.layers(role));
        assert_eq!(after.observations, before.observations);
        assert_eq!(after.output, before.output);
        assert_eq!(after.activation, before.activation);
        assert_eq!(after.twist_range, before.twist_range);
        assert_eq!(after.twist_range.is_some(), role == "velocity");
        assert_eq!(imported.bundle.spec.robot, shipped.spec.robot);
        assert_eq!(imported.bundle.robot_files, None);
    }
}

/// One layer from three numbers to twelve, whose output is `layer`.
fn layer() -> Model {
    Model::new(3)
        .constant("w", &[12, 3], &[0.1; 36])
        .constant("b", &[12], &[0.0; 12])
        .node_with("Gemm", &["obs", "w", "b"], &["layer"], &[("transB", 1)])
}

#[test]
fn a_model_may_carry_its_contract() {
    let folder = TempDir::new().unwrap();
    let file = layer().output("layer", 12).write(&folder);
    assert_eq!(carried_contract(&file).unwrap(), None);
    let with = |entries: &[(&str, &str)]| {
        let mut model = ModelProto::decode(&std::fs::read(&file).unwrap()[..]).unwrap();
        let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        };
        model.metadata_props = entries.iter().map(entry).collect();
        std::fs::write(&file, model.encode_to_vec()).unwrap();
        carried_contract(&file)
    };
    let carried = with(&[
        ("observation_names", "joint_pos"),
        ("joint_names", "b, a"),
        ("joint_stiffness", "20.000,30.000"),
        ("action_scale", "0.5"),
        ("observation_names", "base_ang_vel,command"),
    ]);
    let expected = Contract {
        joints: Some(vec!["b".to_owned(), "a".to_owned()]),
        stiffness: Some(Numbers::Each(vec![20.0, 30.0])),
        action_scale: Some(Numbers::All(0.5)),
        observations: contract(
            "observations = [{ term = \"base_ang_vel\" }, { term = \"command\" }]",
        )
        .observations,
        ..Contract::default()
    };
    assert_eq!(carried.unwrap(), Some(expected));
    for (entry, parts) in [
        (
            ("observation_names", "base_height"),
            ["`observation_names`", "unknown variant `base_height`"],
        ),
        (
            ("observation_names", "joint_pos"),
            ["`action_scale`", "invalid float"],
        ),
    ] {
        let error = with(&[entry, ("action_scale", "much")]).unwrap_err();
        let error = format!("{error:#}");
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
}

#[test]
fn a_contract_puts_an_activation_behind_a_model() {
    let folder = TempDir::new().unwrap();
    let file = layer().output("layer", 12).write(&folder);
    let bundle = import(&file, &format!("output_activation = \"tanh\"\n{TWIST}"));
    assert_close(&action(&bundle, &[1.0, 2.0, 3.0]), &[0.6_f64.tanh(); 12]);
}
