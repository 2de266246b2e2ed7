//! What is refused, and how it is said.

use super::*;

#[test]
fn manifest_faults_have_file_and_reason() {
    let refused = |from: &str, to: &str, parts: &[&str]| {
        let (_folder, dir) = saved();
        edit_manifest(&dir, from, to);
        assert_refused(Bundle::load(&dir), parts);
    };
    refused(
        "policy_steps",
        "policy_setps",
        &["bundle.toml:", "unknown field `policy_setps`"],
    );
    refused(
        "version = 2",
        "version = 2\ncolour = 3",
        &["bundle.toml:2: unknown field `colour`"],
    );
    refused(
        "version = 2",
        "",
        &["bundle.toml:1: no `version`: a bundle of an earlier program"],
    );
    refused(
        "version = 2",
        "version = 9",
        &["version is 9, this program reads 2"],
    );
    refused(
        "\"elu\"",
        "\"swish\"",
        &["unknown variant `swish`", "`elu`"],
    );
    refused(
        "\"time-left\"",
        "\"clock\"",
        &["unknown variant `clock`", "`time-left`"],
    );
    refused(
        "\"agile.safetensors\"",
        "\"../agile.safetensors\"",
        &[
            "networks.agile.file",
            "must be the name of a file in the bundle folder",
        ],
    );
    refused(
        "max_m = 6.0",
        "max_m = 0.0",
        &["bundle.toml: rays", "0 < min_m < max_m"],
    );
    refused(
        "sha256 = \"",
        "sha256 = \"00",
        &["agile.safetensors: SHA-256 is", "manifest says `00"],
    );
    refused(
        "term = \"joint-velocity\"",
        "term = \"joint-velocity\"\nhistory = 0",
        &["networks.agile.observations", "history 0, must be 1 to 50"],
    );
    refused(
        "term = \"joint-velocity\"\nscale = 0.2",
        "term = \"joint-velocity\"\nscale = nan",
        &["`joint-velocity` has scale NaN"],
    );
    refused(
        "scale = 0.25",
        "scale = 0.0",
        &["networks.agile.output.scale is 0, must be positive"],
    );
    refused(
        "policy_step_s = 0.02",
        "policy_step_s = nan",
        &["policy_step_s is NaN"],
    );
    refused(
        "stiffness = [\n    30.0,",
        "stiffness = [",
        &["robot.stiffness has 11 entries, must have 12"],
    );
}

#[test]
fn another_robot_is_refused_with_both_values() {
    let refused = |edit: fn(&mut Robot), parts: &[&str]| {
        let mut robot = go1();
        edit(&mut robot);
        assert_refused(bundle().policy(role::AGILE, &robot), parts);
        assert_refused(bundle().check(&robot), parts);
    };
    refused(
        |r| r.name = "go2".to_owned(),
        &["robot is go2", "trained with go1"],
    );
    refused(
        |r| r.legs.swap(0, 1),
        &["legs is FR, FL, RL, RR", "trained with FL, FR"],
    );
    refused(
        |r| r.legs[2].joints[0].name = "hip".to_owned(),
        &["joints is", "trained with"],
    );
    refused(
        |r| r.control.default_position_rad[1] = 1.0,
        &[
            "default_position_rad of FL_thigh_joint is 1,",
            "trained with 0.8",
        ],
    );
    refused(
        |r| r.control.stiffness[11] = 90.0,
        &["stiffness of RR_calf_joint is 90,", "trained with 30"],
    );
    refused(
        |r| r.control.damping[0] = 2.0,
        &["damping of FL_hip_joint is 2,", "0.65"],
    );
    refused(
        |r| r.legs[0].joints[2].effort_limit_nm = 1.0,
        &["effort_limit_nm of FL_calf_joint is 1,"],
    );
    let error = bundle()
        .spec
        .check_policy_step(0.01)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("policy_step_s is 0.01, but the bundle was trained with 0.02"),
        "{error}"
    );
    assert!(bundle().spec.check_policy_step(4.0 * 0.005).is_ok());
}

#[test]
fn a_network_that_is_not_there_is_named_with_those_that_are() {
    let refused = bundle().policy("velocity", &go1());
    assert_refused(refused, &["no network `velocity`, it has agile"]);
    assert_refused(bundle().reach_avoid(&go1()), &["no network `reach-avoid`"]);
    assert_refused(bundle().ray_network(), &["no network `rays`"]);
    let value_as_policy = whole_bundle().policy(role::REACH_AVOID, &go1());
    assert_refused(value_as_policy, &["networks.reach-avoid is not a policy"]);
}

#[test]
fn wrong_weights_are_named() {
    let refused = |edit: fn(&mut Vec<Linear>), parts: &[&str]| {
        let mut layers = agile_layers();
        edit(&mut layers);
        assert_refused(bundle_of(layers).policy(role::AGILE, &go1()), parts);
    };
    refused(
        |l| l[1].weight[3] = f32::NAN,
        &["layers.1.weight[3] is NaN"],
    );
    refused(
        |l| l[0].bias[2] = f32::INFINITY,
        &["layers.0.bias[2] is inf"],
    );
    refused(|l| l.clear(), &["agile.safetensors: network has no layers"]);
    refused(|l| l.truncate(1), &["has 8 outputs, must have 12"]);
    refused(
        |l| {
            l[0].inputs = 60;
            l[0].weight.truncate(60 * 8);
        },
        &["has 60 inputs, must have 61"],
    );
    refused(
        |l| {
            l[1].inputs = 7;
            l[1].weight.truncate(7 * 12);
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
fn a_switch_out_of_range_is_named() {
    let refused = |edit: fn(&mut SwitchSpec), expected: &str| {
        let mut switch = SwitchSpec::default();
        edit(&mut switch);
        let error = switch.validate().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    for threshold in [-1.0, 1.0, 1.5, f32::NAN] {
        let switch = SwitchSpec {
            threshold,
            ..SwitchSpec::default()
        };
        let error = switch.validate().unwrap_err().to_string();
        assert_eq!(
            error,
            format!("switch.threshold is {threshold}, must be between -1 and 1, like the value")
        );
    }
    refused(
        |s| s.min_improvement = 2.0,
        "switch.min_improvement is 2, must be -2 or more and below 2",
    );
    refused(|s| s.hysteresis = -0.1, "switch.hysteresis is -0.1");
    refused(
        |s| s.search.steps = 0,
        "switch.search.steps is 0, must be 1 to 100",
    );
    refused(
        |s| s.search.limit.vx_mps = f32::NAN,
        "switch.search.limit.vx_mps is NaN",
    );
    refused(|s| s.search.margin = -1.0, "switch.search.margin is -1");
}

#[test]
fn a_value_that_does_not_fit_is_refused() {
    let refused = |edit: fn(&mut Bundle), parts: &[&str]| {
        let mut bundle = whole_bundle();
        edit(&mut bundle);
        assert_refused(bundle.reach_avoid(&go1()), parts);
    };
    refused(
        |b| b.spec.robot.name = "go2".to_owned(),
        &["trained with go2"],
    );
    refused(
        |b| drop(b.spec.networks.remove(role::AGILE)),
        &["no network `agile`"],
    );
    refused(|b| b.spec.rays.count = 13, &["has 19 inputs, must have 21"]);
    refused(
        |b| {
            let mut layers = agile_layers();
            layers[1].bias[0] = 1e-3;
            let spec = b.spec.networks[role::AGILE].clone();
            b.insert(role::AGILE, spec, layers).unwrap();
        },
        &[
            "networks.reach-avoid was trained with the agile policy",
            "train",
        ],
    );
    refused(
        |b| network(b, role::REACH_AVOID).activation = Activation::Elu,
        &["networks.reach-avoid.activation must be relu"],
    );
    refused(
        |b| {
            let mut layer = zeros(19, 1);
            layer.weight[4] = f32::INFINITY;
            insert_value(b, vec![layer]);
        },
        &["reach-avoid.safetensors: layers.0.weight[4] is inf"],
    );
    refused(
        |b| insert_value(b, vec![zeros(18, 1)]),
        &["reach-avoid.safetensors: network has 18 inputs, must have 19"],
    );
    refused(
        |b| insert_value(b, vec![zeros(19, 2)]),
        &["network has 2 outputs, must have 1"],
    );
}

#[test]
fn policies_that_take_turns_have_one_action_scale() {
    let mut bundle = whole_bundle();
    network(&mut bundle, role::RECOVERY).output = Output::Actions {
        scale: 0.3,
        clip: 10.0,
        activation: Activation::Identity,
    };
    assert_refused(
        bundle.policy(role::RECOVERY, &go1()),
        &["networks.recovery.output.scale is 0.3, must be 0.25 like that of networks.agile"],
    );
}

#[test]
fn networks_of_other_bundles_are_taken_over_if_they_are_for_the_same_robot() {
    let mut bundle = bundle();
    bundle.insert_from(role::RECOVERY, &whole_bundle()).unwrap();
    bundle.policy(role::RECOVERY, &go1()).unwrap();
    assert_refused(
        bundle.insert_from("velocity", &whole_bundle()),
        &["no network `velocity`"],
    );
    let mut other = whole_bundle();
    other.spec.robot.stiffness[0] = 10.0;
    assert_refused(
        bundle.insert_from(role::RECOVERY, &other),
        &["network `recovery` is for robot `go1`"],
    );
}

#[test]
fn a_ray_network_fits_a_robot_with_the_same_camera() {
    let shipped = |name: &str| {
        Bundle::load(
            &Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("bundles")
                .join(name),
        )
        .unwrap()
    };
    let (go2, rays) = (shipped("go2"), shipped("go1-paper"));
    let mut bundle = go2.clone();
    assert_ne!(bundle.layers(role::RAYS), rays.layers(role::RAYS));
    bundle.insert_from(role::RAYS, &rays).unwrap();
    assert_eq!(bundle.layers(role::RAYS), rays.layers(role::RAYS));
    // Its policies do not, nor does a robot without a camera take it.
    assert_refused(
        bundle.insert_from(role::RECOVERY, &rays),
        &["network `recovery` is for robot `go1`"],
    );
    assert_refused(
        shipped("anymal_b").insert_from(role::RAYS, &go2),
        &["network `rays` is for robot `go2`"],
    );
}

#[test]
fn a_ray_network_that_does_not_fit_is_refused() {
    fn whole(layer: Linear) -> Bundle {
        let mut bundle = bundle();
        let convolution = Convolution {
            kernel: [40, 1],
            stride: [1, 1],
            padding: [0, 0],
        };
        let rays = bundle.spec.rays.clone();
        let spec = NetworkSpec::rays(&rays, vec![convolution], Provenance::default());
        bundle.insert(role::RAYS, spec, vec![layer]).unwrap();
        bundle
    }
    assert!(whole(zeros(40 * 42, 1)).ray_network().is_ok());
    let refused = |edit: fn(&mut RaySpec, &mut String), parts: &[&str]| {
        let mut bundle = whole(zeros(40 * 42, 1));
        let Output::Rays {
            rays, grid_sha256, ..
        } = &mut network(&mut bundle, role::RAYS).output
        else {
            unreachable!()
        };
        edit(rays, grid_sha256);
        assert_refused(bundle.ray_network(), parts);
    };
    refused(
        |rays, _| rays.max_m = 8.0,
        &["networks.rays predicts", "max_m 8 instead of 6"],
    );
    // As of a network that saw something else.
    refused(
        |_, hash| hash.clear(),
        &["networks.rays has grid hash ``", "abs train rays"],
    );
    assert_refused(
        whole(zeros(3, 1)).ray_network(),
        &["rays.safetensors: layers.0.weight takes 3 inputs, must be 1680"],
    );
}

#[test]
fn a_bundle_brings_a_robot_that_is_not_shipped() {
    let folder = TempDir::new().unwrap();
    let mut bundle = bundle();
    bundle.save(folder.path()).unwrap();
    assert_eq!(Bundle::load(folder.path()).unwrap().robot().unwrap(), go1());

    let own = TempDir::new().unwrap();
    let files = RobotFiles::read("go1").unwrap();
    files.write(own.path()).unwrap();
    let text = files.description().replacen("\"go1\"", "\"mine\"", 1);
    fs::write(own.path().join("robot.toml"), text).unwrap();
    bundle.robot_files = RobotFiles::in_folder(own.path()).unwrap();
    bundle.spec.robot.name = "mine".to_owned();
    bundle.save(folder.path()).unwrap();
    let loaded = Bundle::load(folder.path()).unwrap();
    assert_eq!(loaded, bundle);
    assert_eq!(loaded.robot().unwrap().name, "mine");
    loaded.check(&loaded.robot().unwrap()).unwrap();

    fs::remove_file(folder.path().join("robot.toml")).unwrap();
    let error = Bundle::load(folder.path()).unwrap().robot().unwrap_err();
    assert!(error.to_string().contains("`mine`"), "{error}");
}
