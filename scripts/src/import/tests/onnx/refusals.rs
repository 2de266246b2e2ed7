//! Models that are refused, and how it is said.

use super::*;

#[test]
fn models_that_are_no_such_network_are_one_line() {
    let folder = TempDir::new().unwrap();
    let refused = |model: Model, parts: &[&str]| {
        let file = model.write(&folder);
        let contract = Contract {
            activation: None,
            ..contract(TWIST)
        };
        let error = Import::new(&file, &contract, "contract.toml").err();
        let error = format!("{:#}", error.expect("it is imported"));
        assert!(!error.contains('\n'), "{error}");
        for part in parts.iter().chain(&["policy.onnx: "]) {
            assert!(error.contains(part), "`{part}` is not in: {error}");
        }
    };
    let ended = |model: Model| model.output("actions", 12);
    refused(
        ended(layer().node("Softplus", &["layer"], "actions")),
        &["node `/actions` (Softplus): is not supported; supported are Gemm, MatMul"],
    );
    refused(
        ended(layer().node("Sigmoid", &["layer"], "actions")),
        &[
            "node `/actions` (Sigmoid): is not supported",
            "Sigmoid times its input (SiLU)",
        ],
    );
    let mut memory = Model::new(3);
    memory.0.input.push(value("h_in", 4));
    refused(
        ended(memory.node("LSTM", &["obs", "h_in"], "actions")),
        &[
            "node `/actions` (LSTM) has the inputs obs, h_in",
            "a memory (LSTM, GRU)",
        ],
    );
    refused(
        ended(
            layer()
                .node("Relu", &["layer"], "relu")
                .node("Add", &["relu", "layer"], "actions"),
        ),
        &[
            "node `/actions` (Add) has the inputs relu, layer",
            "skip connection",
        ],
    );
    refused(
        ended(
            layer()
                .node("Relu", &["layer"], "relu")
                .node("Tanh", &["relu"], "actions"),
        ),
        &["node `/actions` (Tanh): must follow a linear layer"],
    );
    let mixed = layer()
        .constant("w1", &[12, 12], &[0.1; 144])
        .constant("w2", &[12, 12], &[0.1; 144])
        .node("Relu", &["layer"], "relu")
        .node("MatMul", &["relu", "w1"], "second")
        .node("Tanh", &["second"], "tanh")
        .node("MatMul", &["tanh", "w2"], "actions");
    refused(
        ended(mixed),
        &["relu behind one layer and tanh behind another"],
    );
    let clipped = layer()
        .constant("one", &[], &[1.0])
        .node("Min", &["layer", "one"], "clipped");
    refused(
        ended(clipped.node("Mul", &["clipped", "one"], "actions")),
        &["node `/actions` (Mul): follows a clip"],
    );
    let half = layer()
        .constant("one", &[], &[1.0])
        .node("Min", &["layer", "one"], "actions");
    refused(ended(half), &["the action is clipped from -inf to 1"]);
    let wide = Model::new(4).constant("w", &[12, 3], &[0.1; 36]).node_with(
        "Gemm",
        &["obs", "w"],
        &["actions"],
        &[("transB", 1)],
    );
    refused(
        ended(wide),
        &["node `/actions` (Gemm): takes 3 inputs, but 4 come in"],
    );
    refused(
        layer().output("layer", 12).output("values", 1),
        &[
            "has the outputs layer, values; say in the contract",
            "output = \"layer\"",
        ],
    );
    refused(ended(layer()), &["no operator gives the tensor `actions`"]);
    refused(layer(), &["has no output"]);
    let mut cyclic =
        layer()
            .node("Relu", &["actions"], "relu")
            .node("Identity", &["relu"], "actions");
    cyclic.0.node.swap(1, 2);
    refused(ended(cyclic), &["operators are not in order"]);
    refused(
        ended(layer().node("Identity", &["w"], "actions")),
        &["the action does not depend on the observation"],
    );
    let mut far = ended(layer().node("Tanh", &["layer"], "actions"));
    far.0.initializer[0].data_location = Some(1);
    refused(
        far,
        &[
            "constant `w`: its numbers are in another file",
            "as one file",
        ],
    );
    let mut short = ended(layer().node("Tanh", &["layer"], "actions"));
    short.0.initializer[0].raw_data.truncate(8);
    refused(
        short,
        &["constant `w`: it has 2 numbers, but dimensions [12, 3]"],
    );
    let mut huge = ended(layer().node("Tanh", &["layer"], "actions"));
    huge.0.initializer[0].dims = vec![i64::MAX, 3];
    refused(huge, &["constant `w`: it has 36 numbers"]);
    let mut open = ended(layer().node("Tanh", &["layer"], "actions"));
    open.0.input[0] = ValueInfoProto {
        name: "obs".to_owned(),
        ..ValueInfoProto::default()
    };
    refused(open, &["the width of input `obs` is not in the model"]);
    refused(
        ended(Model::new(12).node("Tanh", &["obs"], "actions")),
        &["must follow a linear layer"],
    );
    refused(
        ended(Model::new(12).node("Identity", &["obs"], "actions")),
        &["holds no linear layer"],
    );
}

#[test]
fn a_model_that_does_not_fit_its_contract_is_one_line() {
    let folder = TempDir::new().unwrap();
    let file = layer()
        .node("Tanh", &["layer"], "actions")
        .output("actions", 12)
        .write(&folder);
    let refused = |text: &str, parts: &[&str]| {
        let contract = Contract {
            activation: None,
            ..contract(text)
        };
        let error = Import::new(&file, &contract, "contract.toml").err();
        let error = format!("{:#}", error.expect("it is imported"));
        for part in parts {
            assert!(error.contains(part), "`{part}` is not in: {error}");
        }
    };
    refused(
        "observations = [{ term = \"dof_pos\" }, { term = \"commands\" }]",
        &[
            "contract.toml: the network takes 3 inputs, but the observations are 15 wide: joint-position 12, twist-command 3",
        ],
    );
    refused(
        &format!("output = \"mu\"\n{TWIST}"),
        &["has no output `mu`, it has actions"],
    );
    refused(
        &format!("output_activation = \"elu\"\n{TWIST}"),
        &["`output_activation` is elu, but the network has tanh behind its last layer"],
    );
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() - 5]).unwrap();
    refused(TWIST, &["policy.onnx: not a whole ONNX model"]);
}
