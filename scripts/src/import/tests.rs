#![allow(clippy::unwrap_used, reason = "a helper of a test fails like the test")]

#[cfg(feature = "onnx")]
mod onnx;
mod refusals;

use std::path::PathBuf;

use ::safetensors::{Dtype, tensor::TensorView};
use policies::{Mlp, Quantity};
use robots::Robot;
use tempfile::TempDir;

use super::*;

/// Joints of go1 with the right legs first, as in MuJoCo and legged_gym.
const RIGHT_FIRST: &str = "legs = [\"FR\", \"FL\", \"RR\", \"RL\"]\n";

/// Shape and numbers of a tensor, by name.
type Tensor<'a> = (&'a str, Vec<usize>, Vec<f32>);

fn safetensors_file(folder: &TempDir, tensors: &[Tensor<'_>]) -> PathBuf {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(.., values)| values.iter().flat_map(|x| x.to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        (*name, view.unwrap())
    });
    let path = folder.path().join("policy.safetensors");
    std::fs::write(&path, ::safetensors::serialize(views, None).unwrap()).unwrap();
    path
}

/// One layer of these weights [12, inputs], and biases 0.
fn one_layer(folder: &TempDir, weight: Vec<f32>) -> PathBuf {
    let inputs = weight.len() / 12;
    safetensors_file(
        folder,
        &[
            ("0.weight", vec![12, inputs], weight),
            ("0.bias", vec![12], vec![0.0; 12]),
        ],
    )
}

/// Weights of actions that are each one of the inputs.
fn picking(inputs: usize, picked: [usize; 12]) -> Vec<f32> {
    let row = |place: usize| (0..inputs).map(move |input| f32::from(u8::from(input == place)));
    picked.into_iter().flat_map(row).collect()
}

fn contract(text: &str) -> Contract {
    let text = format!("robot = \"go1\"\nrole = \"recovery\"\nactivation = \"relu\"\n{text}");
    Contract::parse(Path::new("contract.toml"), &text).unwrap()
}

fn import(file: &Path, text: &str) -> Bundle {
    Import::new(file, &contract(text), "contract.toml")
        .map_err(|error| format!("{error:#}"))
        .unwrap()
        .bundle
}

fn action(bundle: &Bundle, observation: &[f32]) -> Vec<f32> {
    let spec = bundle.spec.network("recovery").unwrap();
    let Output::Actions { activation, .. } = spec.output else {
        unreachable!("only policies are imported")
    };
    let layers = bundle.layers("recovery");
    let mut mlp = Mlp::new(layers, spec.activation, activation).unwrap();
    mlp.forward(observation).to_vec()
}

#[test]
fn layers_are_sorted_by_the_number_in_their_names() {
    let folder = TempDir::new().unwrap();
    // 2 inputs -> x0 + x1, x0 - x1 -> relu -> twice the first less the second, and 1 -> relu -> 12 actions.
    let file = safetensors_file(
        &folder,
        &[
            (
                "actor.10.weight",
                vec![12, 1],
                (0..12).map(|k| k as f32).collect(),
            ),
            ("actor.10.bias", vec![12], vec![0.5; 12]),
            ("actor.0.weight", vec![2, 2], vec![1.0, 1.0, 1.0, -1.0]),
            ("actor.0.bias", vec![2], vec![0.0; 2]),
            ("actor.2.weight", vec![1, 2], vec![2.0, -1.0]),
            ("actor.2.bias", vec![1], vec![1.0]),
            ("critic.0.weight", vec![1, 7], vec![0.0; 7]),
            ("critic.0.bias", vec![1], vec![0.0]),
            ("std", vec![12], vec![1.0; 12]),
        ],
    );
    let text = "observations = [{ term = \"goal-position\" }]";
    let bundle = import(&file, text);
    // relu(3 + 1) = 4, relu(3 - 1) = 2, relu(2 * 4 - 2 + 1) = 7.
    let expected: Vec<f32> = (0..12).map(|k| 7.0 * k as f32 + 0.5).collect();
    assert_eq!(action(&bundle, &[3.0, 1.0]), expected);
    // relu(1 - 3) = 0, relu(1 + 3) = 4, relu(0 - 4 + 1) = 0.
    assert_eq!(action(&bundle, &[1.0, -3.0]), [0.5; 12]);
    let provenance = &bundle.spec.networks["recovery"].provenance;
    let from = provenance.imported_from.as_ref().unwrap();
    assert_eq!(from.name, "policy.safetensors");
    assert_eq!(from.sha256, sha256(&std::fs::read(&file).unwrap()));
}

#[test]
fn legs_in_another_order_are_put_into_that_of_the_robot() {
    let folder = TempDir::new().unwrap();
    // Feet, then joint positions; each action is the position of its joint, and of the hips the contact of its foot.
    let mut weight = picking(16, std::array::from_fn(|joint| 4 + joint));
    for leg in 0..4 {
        weight[3 * leg * 16 + leg] = 100.0;
    }
    let file = one_layer(&folder, weight);
    let text = format!(
        "{RIGHT_FIRST}observations = [{{ term = \"foot-contact\" }}, {{ term = \"dof_pos\" }}]"
    );
    let bundle = import(&file, &text);
    // A contact of FL and RR, and the joint positions 0 to 11, in the order of the robot.
    let mut observation = vec![1.0, 0.0, 0.0, 1.0];
    observation.extend((0..12).map(|joint| joint as f32));
    let mut expected: Vec<f32> = (0..12).map(|joint| joint as f32).collect();
    expected[0] += 100.0;
    expected[9] += 100.0;
    assert_eq!(action(&bundle, &observation), expected);
    assert_eq!(
        bundle.layers("recovery")[0].weight[..16],
        [
            [100.0, 0.0, 0.0, 0.0].as_slice(),
            &picking(12, [0; 12])[..12]
        ]
        .concat()
    );
}

#[test]
fn joints_in_another_order_take_their_history_with_them() {
    let folder = TempDir::new().unwrap();
    // Isaac Lab: all hips, all thighs, all calves. Frames of 15 numbers, the newest first; the actions are the positions one step ago.
    let file = one_layer(
        &folder,
        picking(30, std::array::from_fn(|joint| 15 + 3 + joint)),
    );
    let legs = ["FL", "FR", "RL", "RR"];
    let joint = |k: usize| {
        format!(
            "\"{}_{}_joint\"",
            legs[k % 4],
            ["hip", "thigh", "calf"][k / 4]
        )
    };
    let joints: Vec<String> = (0..12).map(joint).collect();
    let text = format!(
        "joints = [{}]\nstacking = \"frames\"\nhistory_order = \"newest-first\"\n\
         observations = [{{ term = \"twist-command\", history = 2 }}, {{ term = \"joint-position\", history = 2 }}]",
        joints.join(", ")
    );
    let bundle = import(&file, &text);
    // In the bundle: twist of both steps, oldest first, then positions of both.
    let layout = bundle.spec.layout("recovery").unwrap();
    assert_eq!(layout.range(Quantity::JointPosition), Some(18..30));
    let observation: Vec<f32> = (0..30).map(|x| x as f32).collect();
    let oldest: Vec<f32> = (6..18).map(|x| x as f32).collect();
    assert_eq!(action(&bundle, &observation), oldest);
}

#[test]
fn scales_of_single_numbers_and_a_normalization_go_into_the_first_layer() {
    let folder = TempDir::new().unwrap();
    let mut tensors: Vec<Tensor> = vec![
        ("0.weight", vec![12, 3], vec![1.0; 36]),
        ("0.bias", vec![12], vec![0.0; 12]),
        ("norm.mean", vec![1, 3], vec![1.0, 0.0, 0.0]),
        ("norm.std", vec![1, 3], vec![1.0, 3.0, 0.5]),
    ];
    let text = "[[observations]]\nterm = \"commands\"\nscale = [2.0, 2.0, 0.25]\n\
                [normalization]\nmean = \"norm.mean\"\nstd = \"norm.std\"\nepsilon = 1.0";
    let bundle = import(&safetensors_file(&folder, &tensors), text);
    // (2 * 3 - 1) / 2 + 2 * 4 / 4 + 0.25 * 6 / 1.5 = 2.5 + 2 + 1
    for action in action(&bundle, &[3.0, 4.0, 6.0]) {
        assert!((action - 5.5).abs() < 1e-6, "{action}");
    }
    let numbers = "observations = [{ term = \"commands\" }]\n\
                   [normalization]\nmean = [1.0, 0.0, 0.0]\nstd = [1.0, 2.0, 4.0]";
    tensors.truncate(2);
    let bundle = import(&safetensors_file(&folder, &tensors), numbers);
    assert_eq!(action(&bundle, &[3.0, 4.0, 6.0]), [2.0 + 2.0 + 1.5; 12]);
}

#[test]
fn a_smaller_action_scale_of_some_joints_makes_their_actions_smaller() {
    let folder = TempDir::new().unwrap();
    let file = one_layer(&folder, picking(12, std::array::from_fn(|joint| joint)));
    let text = "action_scale = [0.125, 0.25, 0.25]\noutput_activation = \"identity\"\n\
                observations = [{ term = \"last_action\" }]";
    let bundle = import(&file, text);
    // Actions of the network are its previous actions, 4: the hips' is 2 in the bundle, whose scale is twice theirs.
    let previous: Vec<f32> = [2.0, 4.0, 4.0].repeat(4);
    assert_eq!(action(&bundle, &previous), previous);
    let spec = &bundle.spec.networks["recovery"];
    assert!(matches!(spec.output, Output::Actions { scale: 0.25, .. }));
}

#[test]
fn gains_of_the_contract_are_those_of_the_bundle() {
    let folder = TempDir::new().unwrap();
    let file = one_layer(&folder, vec![0.5; 36]);
    let text = format!(
        "{RIGHT_FIRST}stiffness = 35.0\ndamping = [0.5, 0.6, 0.7]\n\
         default_position_rad = [0.1, 0.9, -1.8, -0.1, 0.9, -1.8, 0.1, 0.9, -1.8, -0.1, 0.9, -1.8]\n\
         action_scale = 0.5\naction_clip = 3.0\noutput_activation = \"tanh\"\n\
         observations = [{{ term = \"twist-command\", clip = 2.0 }}]"
    );
    let imported = Import::new(&file, &contract(&text), "contract.toml").unwrap();
    assert!(
        imported.notes[2].starts_with("default_position_rad, stiffness, damping not as go1"),
        "{:?}",
        imported.notes
    );
    let out = folder.path().join("bundle");
    imported.bundle.save(&out).unwrap();
    let bundle = Bundle::load(&out).unwrap();
    let robot = bundle.robot().unwrap();
    bundle.check(&robot).unwrap();
    assert_eq!(robot.control.stiffness, [35.0; 12]);
    assert_eq!(robot.control.damping, [0.5, 0.6, 0.7].repeat(4));
    // Left legs first.
    assert_eq!(
        robot.control.default_position_rad[..6],
        [-0.1, 0.9, -1.8, 0.1, 0.9, -1.8]
    );
    let spec = &bundle.spec.networks["recovery"];
    assert_eq!(
        spec.output,
        Output::Actions {
            scale: 0.5,
            clip: 3.0,
            activation: Activation::Tanh
        }
    );
    assert_eq!(spec.observations[0].clip, Some(2.0));
    // The robot as it is shipped is another one, and the message says in what.
    let error = bundle.check(&Robot::load("go1").unwrap()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("default_position_rad of FL_hip_joint is 0,"),
        "{error}"
    );
}

#[test]
fn a_written_contract_is_that_of_the_recipe() {
    for (robot, role) in [("go1", "recovery"), ("go2", "velocity"), ("a1", "agile")] {
        let recipe = Contract::of_recipe(robot, role);
        let text = template(&recipe).unwrap();
        let written = Contract::parse(Path::new("contract.toml"), &text)
            .map_err(|error| format!("{error:#}\n{text}"))
            .unwrap();
        assert_eq!(written.observations, recipe.observations, "{text}");
        assert_eq!(written.rays, recipe.rays);
        let loaded = Robot::load(robot).unwrap();
        let imported = ImportedRobot::new(robot, &written).unwrap();
        assert_eq!(imported.robot, loaded);
        assert!(imported.files.is_none() && imported.changed.is_empty());
        assert_eq!(imported.largest_action_scale(), loaded.control.action_scale);
    }
    // Numbers of joints in the order of the network are read back in that of the robot.
    let text =
        "default_position_rad = [0.1, 0.8, -1.5, 0.2, 0.8, -1.5, 0.3, 0.8, -1.5, 0.4, 0.8, -1.5]\n";
    let range = "twist_range = { vx_mps = [-1.0, 2.0], vy_mps = [-0.5, 0.5], yaw_rate_radps = [0.0, 1.0] }\n";
    let given = contract(&format!("{RIGHT_FIRST}{text}{range}observations = []"));
    let written = template(&given).unwrap();
    let written = Contract::parse(Path::new("contract.toml"), &written).unwrap();
    assert_eq!(written.twist_range, given.twist_range);
    assert!(given.twist_range.is_some());
    let numbers = |contract: &Contract| {
        let robot = ImportedRobot::new("go1", contract).unwrap().robot;
        robot.control.default_position_rad
    };
    assert_eq!(numbers(&written), numbers(&given));
    assert_eq!(numbers(&given)[..4], [0.2, 0.8, -1.5, 0.1]);
}
