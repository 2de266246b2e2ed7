//! What is refused, and how it is said.

use super::*;

/// Observations of 45 numbers.
const OBSERVATIONS: &str = "observations = [{ term = \"base_ang_vel\", scale = 0.25 }, { term = \"projected_gravity\" }, { term = \"commands\" }, \
                            { term = \"dof_pos\" }, { term = \"dof_vel\", scale = 0.05 }, { term = \"actions\" }]\n";

#[track_caller]
fn assert_refused(file: &Path, contract: &Contract, parts: &[&str]) {
    let imported = Import::new(file, contract, "contract.toml");
    let error = imported.err().map(|error| format!("{error:#}"));
    let error = error.expect("it is imported");
    assert!(!error.contains('\n'), "{error}");
    for part in parts {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
}

#[test]
fn a_contract_that_does_not_fit_is_one_line() {
    let folder = TempDir::new().unwrap();
    let file = one_layer(&folder, vec![0.1; 12 * 45]);
    import(&file, OBSERVATIONS);
    let refused = |text: &str, parts: &[&str]| {
        assert_refused(&file, &contract(&format!("{text}{OBSERVATIONS}")), parts);
    };
    refused(
        "joints = [\"FL_hip\"]\n",
        &[
            "contract.toml: `joints` names `FL_hip`, which go1 has not",
            "FL_hip_joint",
        ],
    );
    refused(
        "joints = [\"FL_hip_joint\"]\n",
        &["`joints` does not name `FL_thigh_joint`"],
    );
    refused(
        "legs = [\"FL\", \"FR\", \"RL\", \"RR\", \"FL\"]\n",
        &["`legs` has 5 names, must have each of the 4 of go1"],
    );
    refused(
        "stiffness = [30.0, 30.0]\n",
        &["`stiffness` has 2 numbers, must have 1, 3 (one per joint of a leg) or 12"],
    );
    refused("damping = -1.0\n", &["`damping` has -1", "0 or more"]);
    refused(
        "action_scale = 0.0\n",
        &["`action_scale` has 0, must be positive"],
    );
    refused(
        "action_clip = nan\n",
        &["networks.recovery.output.clip is NaN"],
    );
    refused(
        "policy_step_s = 20.0\n",
        &["policy_step_s is 20, must be 0.001 to 1 s"],
    );
    refused(
        "action_scale = [0.1, 0.2, 0.2]\noutput_activation = \"tanh\"\n",
        &["`action_scale` differs between joints", "tanh"],
    );
    refused(
        "twist_range = { vx_mps = [1.0, -1.0], vy_mps = [-1.0, 1.0], yaw_rate_radps = [-1.0, 1.0] }\n",
        &["contract.toml: networks.recovery.twist_range must have [low, high] in each direction"],
    );
    refused(
        "normalization = { mean = [0.0], std = [1.0] }\n",
        &["normalization.mean has 1 numbers, must have 45"],
    );
    refused(
        "normalization = { mean = \"mean\", std = \"std\" }\n",
        &["normalization.mean: tensor `mean` is missing"],
    );
    refused(
        "layers = \"actor\"\n",
        &["policy.safetensors: has no layers below `actor`, but below ``"],
    );
}

#[test]
fn terms_that_do_not_fit_are_listed_with_their_widths() {
    let folder = TempDir::new().unwrap();
    let file = one_layer(&folder, vec![0.1; 12 * 45]);
    let refused = |text: &str, parts: &[&str]| assert_refused(&file, &contract(text), parts);
    refused("", &["contract.toml: `observations` is missing"]);
    refused(
        "observations = [{ term = \"joint-position\", history = 3 }, { term = \"twist-command\" }]",
        &[
            "the network takes 45 inputs, but the observations are 39 wide: joint-position 12 x 3, twist-command 3",
        ],
    );
    let width_45 = |term: &str| {
        format!("observations = [{{ term = \"foot-contact\", history = 3 }}, {{ {term} }}]")
    };
    let refused = |term: &str, parts: &[&str]| refused(&width_45(term), parts);
    // 3 * 11 rays.
    let rays = "term = \"log-rays\", history = 3";
    assert!(!action(&import(&file, &width_45(rays)), &[0.0; 45]).is_empty());
    refused(
        &format!("{rays}, scale = [1.0, 2.0]"),
        &["term `log-rays` has the scales [1.0, 2.0]", "or 11"],
    );
    refused(
        &format!("{rays}, scale = 0.0"),
        &["term `log-rays` has scale 0, must be finite and not 0"],
    );
    refused(
        &format!("{rays}, mask = [true]"),
        &["term `log-rays` has a mask of 1 elements, must have 11"],
    );
    refused(
        "term = \"log-rays\", history = 0",
        &["history 0, must be 1 to 50"],
    );
    let frames = "stacking = \"frames\"\nobservations = [{ term = \"foot-contact\", history = 3 }, { term = \"log-rays\", history = 2 }, { term = \"log-rays\" }]";
    assert_refused(
        &file,
        &contract(frames),
        &["all terms have the same history, but `log-rays` has 2, and the first 3"],
    );
    let twice = "observations = [{ term = \"foot-contact\", history = 3 }, { term = \"log-rays\", history = 2 }, { term = \"log-rays\" }]";
    assert_refused(&file, &contract(twice), &["term `log-rays` is there twice"]);
    let clipped = "observations = [{ term = \"foot-contact\", history = 3 }, { term = \"log-rays\", history = 2 }, \
                   { term = \"twist-command\", clip = 1.0, scale = [1.0, 2.0, 3.0], history = 2 }, { term = \"goal-polar\" }, { term = \"goal-heading\", history = 2 }, { term = \"time-left\" }]";
    assert_refused(
        &file,
        &contract(clipped),
        &["term `twist-command` has a clip and another scale for each number"],
    );
}

#[test]
fn a_contract_with_a_wrong_key_has_file_and_line() {
    let refused = |text: &str, parts: &[&str]| {
        let error = Contract::parse(Path::new("contract.toml"), text)
            .unwrap_err()
            .to_string();
        for part in parts {
            assert!(error.contains(part), "`{part}` is not in: {error}");
        }
    };
    refused(
        "robot = \"go1\"\nstifness = 3.0",
        &["contract.toml:2: unknown field `stifness`"],
    );
    refused(
        "stiffness = \"high\"",
        &["contract.toml:1: must be a number or a list of numbers"],
    );
    refused(
        "activation = \"gelu\"",
        &["unknown variant `gelu`", "`silu`"],
    );
    refused(
        "observations = [\n    { term = \"base_height\" },\n]",
        &[
            "contract.toml:2: unknown variant `base_height`",
            "`joint-position`",
        ],
    );
    refused(
        "observations = [{ term = \"actions\", noise = 1.0 }]",
        &["unknown field `noise`"],
    );
    refused(
        "observations = [{ scale = 1.0 }]",
        &["missing field `term`"],
    );
    refused(
        "history_order = \"newest\"",
        &["unknown variant `newest`", "`newest-first`"],
    );
}

#[test]
fn robot_and_role_are_needed() {
    let folder = TempDir::new().unwrap();
    let file = one_layer(&folder, vec![0.1; 12 * 45]);
    let complete = contract(OBSERVATIONS);
    let refused = |change: fn(&mut Contract), parts: &[&str]| {
        let mut contract = complete.clone();
        change(&mut contract);
        assert_refused(&file, &contract, parts);
    };
    refused(
        |c| c.robot = None,
        &["contract.toml: `robot` is missing", "--robot"],
    );
    refused(
        |c| c.role = None,
        &["contract.toml: `role` is missing", "--role"],
    );
    refused(
        |c| c.robot = Some("spot".to_owned()),
        &["contract.toml: ", "`spot`"],
    );
    refused(
        |c| c.role = Some("Walk".to_owned()),
        &["`Walk` is no method"],
    );
    refused(
        |c| c.role = Some("abs".to_owned()),
        &["two policies and a value"],
    );
    refused(
        |c| c.role = Some("reach-avoid".to_owned()),
        &["only policies can be imported"],
    );
    refused(
        |c| c.activation = None,
        &[
            "policy.safetensors: `activation` is missing",
            "--activation",
        ],
    );
}

#[test]
fn a_file_without_layers_is_one_line() {
    let folder = TempDir::new().unwrap();
    let complete = contract(OBSERVATIONS);
    let refused = |tensors: &[Tensor<'_>], parts: &[&str]| {
        assert_refused(&safetensors_file(&folder, tensors), &complete, parts);
    };
    let weight = ("0.weight", vec![12, 45], vec![0.0; 540]);
    let bias = ("0.bias", vec![12], vec![0.0; 12]);
    refused(
        &[("weight", vec![12, 45], vec![0.0; 540])],
        &["policy.safetensors: holds no layers"],
    );
    refused(
        std::slice::from_ref(&weight),
        &["tensor `0.bias` is missing"],
    );
    refused(
        &[weight.clone(), ("0.bias", vec![11], vec![0.0; 11])],
        &["0.bias has shape [11], must be [12]"],
    );
    refused(
        &[("0.weight", vec![12], vec![0.0; 12]), bias.clone()],
        &["0.weight has shape [12]"],
    );
    refused(
        &[
            weight.clone(),
            bias.clone(),
            ("normalizer._mean", vec![45], vec![0.0; 45]),
        ],
        &[
            "tensor `normalizer._mean` is no weight or bias",
            "[normalization]",
        ],
    );
    refused(
        &[
            weight.clone(),
            bias.clone(),
            ("2.weight", vec![12, 11], vec![0.0; 132]),
            ("2.bias", vec![12], vec![0.0; 12]),
        ],
        &["2.weight: takes 11 inputs, but 12 come in"],
    );
    refused(
        &[
            ("a.0.weight", vec![12, 45], vec![0.0; 540]),
            ("a.0.bias", vec![12], vec![0.0; 12]),
            ("b.0.bias", vec![12], vec![0.0; 12]),
        ],
        &["has layers below `a`, `b`; say in the contract which are the policy's"],
    );
    refused(
        &[
            ("0.weight", vec![11, 45], vec![0.0; 495]),
            ("0.bias", vec![11], vec![0.0; 11]),
        ],
        &["the network has 11 outputs, must have 12, one per joint of go1"],
    );
    refused(
        &[("0.weight", vec![12, 45], vec![f32::NAN; 540]), bias],
        &["recovery.safetensors: layers.0.weight[0] is NaN"],
    );
    let file = safetensors_file(&folder, &[weight]);
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert_refused(&file, &complete, &["not a whole safetensors file"]);
    std::fs::File::create(&file)
        .unwrap()
        .set_len(65 << 20)
        .unwrap();
    assert_refused(&file, &complete, &["policy.safetensors: is too large"]);
    assert_refused(
        &folder.path().join("no.safetensors"),
        &complete,
        &["no.safetensors: "],
    );
    assert_refused(
        Path::new("policy.pt"),
        &complete,
        &["policy.pt: the name must end in .onnx or .safetensors"],
    );
}
