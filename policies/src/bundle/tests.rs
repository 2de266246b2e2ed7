use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::{
    Activation,
    command::{GoalYaw, Twist},
    depth::Convolution,
    observation::ObservationInput,
};

fn go1() -> Robot {
    Robot::load("go1").unwrap()
}

/// A network whose action i is 0.01 * (i + 1) for every observation.
fn bundle() -> Bundle {
    let robot = go1();
    let ray_spec = RaySpec::default();
    let layers = vec![
        Linear {
            weight: vec![0.0; 61 * 8],
            bias: vec![1.0; 8],
            inputs: 61,
        },
        Linear {
            weight: (0..12)
                .flat_map(|joint| [0.01 * (joint + 1) as f32 / 8.0; 8])
                .collect(),
            bias: vec![0.0; 12],
            inputs: 8,
        },
    ];
    let provenance = Provenance {
        git_revision: "0123abc".to_owned(),
        seed: 7,
        policy_steps: 25_000_000,
        date: None,
        config: "[task]\nname = \"agile\"\n".to_owned(),
    };
    let layout = Layout::agile(&robot, &ray_spec);
    let agile = Member::agile(&layout, 0.25, Activation::Elu, layers, provenance);
    Bundle {
        agile: Some(agile),
        ..Bundle::new(&robot, &ray_spec)
    }
}

/// The same with a recovery policy that does nothing, and the value tanh(v_x - 1).
fn whole_bundle() -> Bundle {
    let (robot, ray_spec) = (go1(), RaySpec::default());
    let zeros = |inputs: usize, outputs: usize| Linear {
        weight: vec![0.0; inputs * outputs],
        bias: vec![0.0; outputs],
        inputs,
    };
    let mut bundle = bundle();
    bundle.recovery = Some(Member::recovery(
        &Layout::recovery(&robot, &ray_spec),
        0.25,
        Activation::Elu,
        vec![zeros(49, 12)],
        Provenance::default(),
    ));
    let mut value = zeros(19, 1);
    (value.weight[0], value.bias[0]) = (1.0, -1.0);
    let agile = bundle.agile.as_ref().unwrap();
    bundle.reach_avoid = Some(ReachAvoidMember::new(
        &Layout::reach_avoid(&robot, &ray_spec),
        agile.weights_hash().unwrap(),
        vec![value],
        Provenance::default(),
    ));
    bundle
}

fn saved() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("bundles/go1");
    bundle().save(&dir).unwrap();
    (folder, dir)
}

fn edit_manifest(dir: &Path, from: &str, to: &str) {
    let path = dir.join(MANIFEST);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

fn edit_agile(edit: impl FnOnce(&mut Member)) -> Bundle {
    let mut bundle = bundle();
    edit(bundle.agile.as_mut().unwrap());
    bundle
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T, BundleError>, parts: &[&str]) {
    let message = result.unwrap_err().to_string();
    assert!(!message.contains('\n'), "more than one line: {message}");
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

#[test]
fn a_saved_bundle_is_loaded_as_it_was_and_acts() {
    let (_folder, dir) = saved();
    let loaded = Bundle::load(&dir).unwrap();
    assert_eq!(loaded, bundle());

    let robot = go1();
    let mut policy = loaded.agile(&robot).unwrap();
    let (mut action, mut position_rad) = ([0.0; 12], [0.0; 12]);
    policy
        .act(
            &ObservationInput {
                state: &robots::RobotState::zero(12, 4),
                foot_contact: &[true; 4],
                goal: GoalYaw::default(),
                time_left_s: 9.0,
                twist: Twist::default(),
                previous_action: &[0.0; 12],
                ray_distance_m: &[6.0; 11],
                earlier_ray_distance_m: &[],
            },
            &mut action,
            &mut position_rad,
        )
        .unwrap();
    for joint in 0..12 {
        let expected = 0.01 * (joint + 1) as f32;
        assert!((action[joint] - expected).abs() < 1e-6);
        let default_rad = robot.control.default_position_rad[joint];
        assert!((position_rad[joint] - default_rad - 0.25 * expected).abs() < 1e-6);
    }
}

#[test]
fn saving_over_a_bundle_replaces_it_and_leaves_no_other_files() {
    let (_folder, dir) = saved();
    let changed = edit_agile(|agile| agile.provenance.seed = 8);
    changed.save(&dir).unwrap();
    assert_eq!(Bundle::load(&dir).unwrap(), changed);
    let mut files: Vec<_> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    files.sort();
    assert_eq!(files, ["agile.safetensors", "bundle.toml"]);
}

#[test]
fn missing_and_truncated_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    assert_refused(
        Bundle::load(&folder.path().join("nowhere")),
        &["cannot read", "nowhere/bundle.toml"],
    );

    let (_folder, dir) = saved();
    let path = dir.join("agile.safetensors");
    let whole = fs::read(&path).unwrap();
    for len in [0, 4, 60, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..len]).unwrap();
        assert_refused(
            Bundle::load(&dir),
            &["agile.safetensors: not a whole safetensors file"],
        );
    }
    fs::remove_file(&path).unwrap();
    assert_refused(Bundle::load(&dir), &["cannot read", "agile.safetensors"]);

    let (_folder, dir) = saved();
    let manifest = fs::read(dir.join(MANIFEST)).unwrap();
    fs::write(dir.join(MANIFEST), &manifest[..manifest.len() / 2]).unwrap();
    assert_refused(Bundle::load(&dir), &["bundle.toml:"]);
    fs::write(dir.join(MANIFEST), [0xff, 0xfe]).unwrap();
    assert_refused(Bundle::load(&dir), &["bundle.toml:1: not UTF-8"]);
}

#[test]
fn manifest_faults_have_file_line_and_reason() {
    let (_folder, dir) = saved();
    edit_manifest(&dir, "action_scale", "action_scael");
    assert_refused(
        Bundle::load(&dir),
        &["bundle.toml:", "unknown field `action_scael`"],
    );

    let (_folder, dir) = saved();
    edit_manifest(&dir, "robot = \"go1\"", "robot = \"go1\"\ncolour = 3");
    assert_refused(
        Bundle::load(&dir),
        &["bundle.toml:2: unknown field `colour`"],
    );

    let (_folder, dir) = saved();
    edit_manifest(&dir, "\"elu\"", "\"swish\"");
    assert_refused(Bundle::load(&dir), &["unknown variant `swish`", "`elu`"]);

    let (_folder, dir) = saved();
    edit_manifest(&dir, "\"time-left\"", "\"clock\"");
    assert_refused(Bundle::load(&dir), &["unknown variant `clock`"]);

    let (_folder, dir) = saved();
    edit_manifest(&dir, "\"agile.safetensors\"", "\"../agile.safetensors\"");
    assert_refused(
        Bundle::load(&dir),
        &["must be the name of a file in the bundle folder"],
    );

    let (_folder, dir) = saved();
    edit_manifest(&dir, "max_m = 6.0", "max_m = 0.0");
    assert_refused(
        Bundle::load(&dir),
        &["bundle.toml: ray_spec:", "0 < min_m < max_m"],
    );
}

#[test]
fn a_policy_of_another_robot_or_layout_is_refused() {
    let mut go2 = go1();
    go2.name = "go2".to_owned();
    assert_refused(
        bundle().agile(&go2),
        &["for robot `go1`", "the robot is `go2`"],
    );

    let swapped = edit_agile(|agile| agile.layout.swap(1, 2));
    assert_refused(
        swapped.agile(&go1()),
        &["[agile] observes [foot-contact, projected-gravity-base"],
    );

    let other_hash = edit_agile(|agile| agile.layout_hash = "0".repeat(64));
    assert_refused(other_hash.agile(&go1()), &["layout hash 000"]);

    // Rays of the same number that reach farther.
    let mut other_rays = bundle();
    other_rays.ray_spec.max_m = 8.0;
    assert_refused(other_rays.agile(&go1()), &["layout hash", "rays"]);

    // A robot that was retuned after training.
    let mut crouching = go1();
    crouching.control.default_position_rad[1] = 1.0;
    assert_refused(
        bundle().agile(&crouching),
        &["layout hash", "default joint positions"],
    );
}

#[test]
fn a_member_that_is_not_there_is_named() {
    let (_folder, dir) = saved();
    let empty = Bundle {
        agile: None,
        ..bundle()
    };
    empty.save(&dir).unwrap();
    let loaded = Bundle::load(&dir).unwrap();
    assert_refused(loaded.agile(&go1()), &["no [agile] network"]);
}

#[test]
fn wrong_weights_are_named() {
    let refused = |edit: fn(&mut Member), parts: &[&str]| {
        assert_refused(edit_agile(edit).agile(&go1()), parts);
    };
    refused(
        |agile| agile.layers[1].weight[3] = f32::NAN,
        &["layers.1.weight[3] is NaN"],
    );
    refused(
        |agile| agile.layers[0].bias[2] = f32::INFINITY,
        &["layers.0.bias[2] is inf"],
    );
    refused(
        |agile| agile.layers.clear(),
        &["agile.safetensors: network has no layers"],
    );
    refused(
        |agile| agile.action_scale = 0.0,
        &["action_scale 0, must be positive"],
    );
    refused(|agile| agile.action_scale = f32::NAN, &["action_scale NaN"]);
    refused(
        |agile| agile.layers.truncate(1),
        &["has 8 outputs, must have 12"],
    );
    refused(
        |agile| {
            agile.layers[0].inputs = 60;
            agile.layers[0].weight.truncate(60 * 8);
        },
        &["has 60 inputs, must have 61"],
    );
    refused(
        |agile| {
            agile.layers[1].inputs = 7;
            agile.layers[1].weight.truncate(7 * 12);
        },
        &["layers.1.weight takes 7 inputs", "8 outputs"],
    );
}

#[test]
fn tensors_of_another_type_shape_or_name_are_refused() {
    use safetensors::{Dtype, tensor::TensorView};
    let zeros = [0u8; 64];
    let check = |tensors: &[(&str, Dtype, &[usize])], expected: &str| {
        let views = tensors.iter().map(|(name, dtype, shape)| {
            let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
            (
                *name,
                TensorView::new(*dtype, shape.to_vec(), &zeros[..bytes]).unwrap(),
            )
        });
        let bytes = safetensors::serialize(views, None).unwrap();
        let message = weights::read(&bytes).unwrap_err();
        assert!(message.contains(expected), "{message}");
    };
    let (weight, bias) = ("layers.0.weight", "layers.0.bias");
    check(
        &[(weight, Dtype::F16, &[2, 3]), (bias, Dtype::F32, &[2])],
        "layers.0.weight is F16, must be F32",
    );
    check(
        &[(weight, Dtype::F32, &[6]), (bias, Dtype::F32, &[2])],
        "has shape [6], must be [outputs, inputs]",
    );
    check(
        &[(weight, Dtype::F32, &[2, 3]), (bias, Dtype::F32, &[3])],
        "has shape [3], must be [2]",
    );
    check(
        &[(weight, Dtype::F32, &[2, 3])],
        "tensor `layers.0.bias` is missing",
    );
    check(
        &[
            (weight, Dtype::F32, &[2, 3]),
            (bias, Dtype::F32, &[2]),
            ("layers.2.bias", Dtype::F32, &[2]),
        ],
        "unexpected tensor `layers.2.bias`",
    );
    check(
        &[
            (weight, Dtype::F32, &[2, 3]),
            (bias, Dtype::F32, &[2]),
            ("std", Dtype::F32, &[2]),
        ],
        "unexpected tensor `std`",
    );
}

#[test]
fn three_networks_are_loaded_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let mut bundle = whole_bundle();
    let value = bundle.reach_avoid.as_mut().unwrap();
    (value.threshold, value.min_gain) = (-0.1, -2.0);
    bundle.save(folder.path()).unwrap();
    let loaded = Bundle::load(folder.path()).unwrap();
    assert_eq!(loaded, bundle);
    let robot = go1();
    assert_eq!(loaded.recovery(&robot).unwrap().layout().dim(), 49);
    let (mut value, member) = loaded.reach_avoid(&robot).unwrap();
    assert_eq!((member.threshold, member.min_gain), (-0.1, -2.0));
    let mut row = [0.0; 19];
    row[0] = 1.25;
    assert!((value.value(&row) - 0.25f32.tanh()).abs() < 1e-6);

    // The hash is that of the file.
    let bytes = fs::read(folder.path().join("agile.safetensors")).unwrap();
    let hash: String = sha2::Digest::finalize(sha2::Digest::chain_update(
        <sha2::Sha256 as sha2::Digest>::new(),
        bytes,
    ))
    .iter()
    .map(|byte| format!("{byte:02x}"))
    .collect();
    assert_eq!(loaded.reach_avoid.unwrap().conditioned_on, hash);
}

#[test]
fn a_manifest_without_threshold_means_the_papers() {
    let folder = tempfile::tempdir().unwrap();
    whole_bundle().save(folder.path()).unwrap();
    edit_manifest(folder.path(), "threshold = -0.05", "");
    edit_manifest(folder.path(), "min_gain = 0.1", "");
    let value = Bundle::load(folder.path()).unwrap().reach_avoid.unwrap();
    assert_eq!((value.threshold, value.min_gain), (-0.05, 0.1));
}

#[test]
fn a_value_that_does_not_fit_is_refused() {
    let refused = |edit: fn(&mut Bundle), parts: &[&str]| {
        let mut bundle = whole_bundle();
        edit(&mut bundle);
        assert_refused(bundle.reach_avoid(&go1()), parts);
    };
    fn value(bundle: &mut Bundle) -> &mut ReachAvoidMember {
        bundle.reach_avoid.as_mut().unwrap()
    }
    refused(|b| b.robot = "go2".to_owned(), &["for robot `go2`"]);
    refused(|b| b.reach_avoid = None, &["no [reach_avoid] network"]);
    refused(|b| b.agile = None, &["no [agile] network"]);
    refused(
        |b| b.ray_spec.first_rad = -1.0,
        &["[reach_avoid] has layout hash", "rays"],
    );
    refused(|b| b.ray_spec.count = 13, &["layout hash", "rays"]);
    refused(
        |b| b.agile.as_mut().unwrap().layers[1].bias[0] = 1e-3,
        &["[reach_avoid] was trained with the agile policy", "train"],
    );
    for threshold in [-1.0, 1.0, 1.5, f32::NAN] {
        let mut bundle = whole_bundle();
        value(&mut bundle).threshold = threshold;
        let expected = format!("threshold {threshold}, must be between -1 and 1");
        assert_refused(bundle.reach_avoid(&go1()), &[&expected]);
    }
    refused(
        |b| value(b).min_gain = 2.0,
        &["min_gain 2, must be -2 or more and below 2"],
    );
    refused(
        |b| value(b).layers[0].weight[4] = f32::INFINITY,
        &["reach_avoid.safetensors: layers.0.weight[4] is inf"],
    );
    refused(
        |b| {
            value(b).layers[0].inputs = 18;
            value(b).layers[0].weight.truncate(18);
        },
        &["reach_avoid.safetensors: network has 18 inputs, must have 19"],
    );
    refused(
        |b| {
            value(b).layers[0].weight.extend([0.0; 19]);
            value(b).layers[0].bias.push(0.0);
        },
        &["network has 2 outputs, must have 1"],
    );
}

#[test]
fn a_recovery_policy_that_does_not_fit_is_refused() {
    let refused = |edit: fn(&mut Bundle), parts: &[&str]| {
        let mut bundle = whole_bundle();
        edit(&mut bundle);
        assert_refused(bundle.recovery(&go1()), parts);
    };
    refused(|b| b.recovery = None, &["no [recovery] network"]);
    refused(
        |b| b.recovery.as_mut().unwrap().action_scale = 0.3,
        &["[recovery] has action_scale 0.3, must be 0.25 like [agile]"],
    );
    refused(
        |b| b.recovery.as_mut().unwrap().layout.swap(0, 1),
        &["[recovery] observes [angular-velocity-base"],
    );
    // The rays are nothing to a policy that does not see them, and neither is the agile policy.
    let mut other = whole_bundle();
    other.ray_spec.max_m = 8.0;
    other.agile = None;
    assert!(other.recovery(&go1()).is_ok());
}

#[test]
fn a_ray_network_that_does_not_fit_is_refused() {
    let whole = || Bundle {
        rays: Some(RayMember::new(
            &bundle().ray_spec,
            vec![Convolution {
                kernel: [40, 1],
                stride: [1, 1],
                padding: [0, 0],
            }],
            vec![Linear {
                weight: vec![0.0; 40 * 42],
                bias: vec![1.0],
                inputs: 40 * 42,
            }],
            Provenance::default(),
        )),
        ..bundle()
    };
    assert!(whole().ray_network().is_ok());
    let refused = |edit: fn(&mut RayMember), parts: &[&str]| {
        let mut bundle = whole();
        edit(bundle.rays.as_mut().unwrap());
        assert_refused(bundle.ray_network(), parts);
    };
    assert_refused(bundle().ray_network(), &["no [rays] network"]);
    refused(|rays| rays.ray_spec.max_m = 8.0, &["[rays] predicts"]);
    // As of a network that saw something else.
    refused(
        |rays| rays.grid_hash.clear(),
        &["[rays] has grid hash ``", "abs train rays"],
    );
    refused(
        |rays| rays.layers[0].inputs = 3,
        &["rays.safetensors: layers.0.weight takes 3 inputs, must be 1680"],
    );
}
