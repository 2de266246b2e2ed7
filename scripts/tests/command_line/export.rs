//! `abs export`: what it writes runs elsewhere.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Once,
};

use controller::TwistSearch;
use policies::{
    Activation, Bundle, GoalYaw, Mlp, Quantity, ReachAvoidValue,
    policy::ActionMap,
    spec::{Output, PolicySpec, role},
};
use robots::Robot;
use serde_json::{Value, json};

use super::{abs, assert_refused};

fn shipped(name: &str) -> String {
    format!("{}/../policies/bundles/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join("export")
        .join(name);
    let _ = fs::remove_dir_all(&folder);
    folder
}

fn export(bundle: &str, out: &Path, flags: &[&str]) -> String {
    let out = out.to_str().unwrap();
    let bundle = shipped(bundle);
    let arguments = [&["export", &bundle, "--out", out], flags].concat();
    let exported = abs(&arguments);
    assert!(exported.success, "{}", exported.stderr);
    exported.stdout
}

/// A number of the contract, which is written as short as float32 allows.
fn float(value: &Value) -> f32 {
    value.as_f64().unwrap() as f32
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_contract_says_what_goes_in_and_comes_out() {
    let out = folder("go1");
    let told = export("go1", &out, &["--scenes", "2"]);
    assert!(told.contains("without `rays`"), "{told}");
    let contract = read_json(&out.join("contract.json"));
    let robot = Robot::load("go1").unwrap();
    let joints = contract["robot"]["joints"].as_array().unwrap();
    for ((joint, own), default_rad) in joints
        .iter()
        .zip(robot.joints())
        .zip(&robot.control.default_position_rad)
    {
        assert_eq!(joint["name"], own.name);
        assert_eq!(float(&joint["default_position_rad"]), *default_rad);
    }
    assert_eq!(joints.len(), 12);
    assert_eq!(float(&contract["policy_step_s"]), 0.02);
    assert_eq!(float(&contract["switch"]["threshold"]), 0.0);
    assert_eq!(contract["rays"]["angle_rad"].as_array().unwrap().len(), 39);
    // 4.0 times 30.1 rad/s in 20 ms.
    let change_rad = contract["safety"]["largest_change_rad"][0]
        .as_f64()
        .unwrap();
    let expected = 4.0 * 0.02 * f64::from(robot.legs[0].joints[0].velocity_limit_radps);
    assert!((change_rad - expected).abs() < 1e-5, "{change_rad}");
    let networks = contract["networks"].as_object().unwrap();
    for (role, widths) in [
        ("agile", vec![4, 12, 3, 2, 1, 1, 48, 48, 48, 39, 39]),
        ("recovery", vec![4, 12, 3, 3, 48, 48, 48]),
        ("reach-avoid", vec![3, 3, 2, 39, 39]),
        ("twist-search", vec![3, 3, 2, 39, 39]),
    ] {
        let network = &networks[role];
        assert!(
            out.join(network["file"].as_str().unwrap()).exists(),
            "{role}"
        );
        let observation = &network["inputs"]["observation"];
        let terms = observation["terms"].as_array().unwrap();
        let found: Vec<_> = terms
            .iter()
            .map(|term| term["width"].as_u64().unwrap())
            .collect();
        assert_eq!(found, widths, "{role}");
        assert_eq!(
            observation["width"],
            json!(widths.iter().sum::<u64>()),
            "{role}"
        );
        assert!(
            terms
                .iter()
                .all(|term| term["how"].as_str().unwrap().len() > 10)
        );
    }
    // Of the rates only that about z is observed.
    let rates = &networks["reach-avoid"]["inputs"]["observation"]["terms"][1];
    assert_eq!(rates["ignored"], json!([3, 4]));
    let scenes = read_json(&out.join("scenes.json"));
    assert_eq!(scenes.as_array().unwrap().len(), 2);
    assert_eq!(scenes[0]["cylinders"].as_array().unwrap().len(), 8);
}

#[test]
fn what_cannot_be_exported_is_one_line() {
    let out = folder("refused");
    fs::create_dir_all(&out).unwrap();
    let exists = out.to_str().unwrap();
    let go1 = shipped("go1");
    assert_refused(
        &["export", &go1, "--out", exists],
        &[exists, "exists already"],
    );
    let new = out.join("new");
    let refuse = |bundle: &str, flags: &[&str], parts: &[&str]| {
        let arguments = ["export", bundle, "--out", new.to_str().unwrap()];
        assert_refused(&[&arguments, flags].concat(), parts);
        assert!(!new.exists());
    };
    refuse(
        &go1,
        &["--network", "rays"],
        &["go1: network `rays`", "depth image"],
    );
    refuse(
        &go1,
        &["--network", "jump"],
        &["no network `jump`, it has agile"],
    );
    refuse(&go1, &["--scenes", "0"], &["--scenes", "0"]);
    let robot = Robot::load("go1").unwrap();
    let spec = PolicySpec::new(&robot, &policies::RaySpec::default(), 0.02);
    let empty = out.join("empty");
    Bundle::new(spec).save(&empty).unwrap();
    let empty = empty.to_str().unwrap();
    refuse(
        empty,
        &[],
        &[empty, "no network that can be exported", "none at all"],
    );
}

/// The folder with the Python packages, fetched once; none, said in a line, when pip reaches no index.
fn python_packages() -> Option<PathBuf> {
    static ONCE: Once = Once::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/onnx-peers");
    let done = folder.join(".complete");
    ONCE.call_once(|| {
        if done.exists() {
            return;
        }
        let installed = Command::new("python3")
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .args(["mujoco==3.17.0", "onnxruntime==1.32.0", "--target"])
            .arg(&folder)
            .status();
        if installed.is_ok_and(|status| status.success()) {
            fs::write(&done, "").unwrap();
        }
    });
    if !done.exists() {
        println!(
            "SKIPPED: pip cannot fetch mujoco and onnxruntime, so nothing else runs the models"
        );
        return None;
    }
    Some(folder)
}

fn python(script: &str, arguments: &[&Path], packages: &Path) -> Value {
    let output = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script))
        .args(arguments)
        .env("PYTHONPATH", packages)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Numbers from -1 to 1.
fn numbers(count: usize, mut seed: u32) -> Vec<f32> {
    let next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// Of a policy or value: outputs by name, as the bundle computes them.
fn outputs(bundle: &Bundle, role: &str, rows: &[f32]) -> BTreeMap<&'static str, Vec<f32>> {
    let network = &bundle.spec.networks[role];
    let layout = bundle.spec.layout(role).unwrap();
    let last = match network.output {
        Output::Value { .. } => Activation::Tanh,
        _ => Activation::Identity,
    };
    let mut mlp = Mlp::new(bundle.layers(role), network.activation, last).unwrap();
    let mut outputs: BTreeMap<_, Vec<f32>> = BTreeMap::new();
    for row in rows.chunks_exact(layout.dim()) {
        let mut row = row.to_vec();
        layout.masked().for_each(|at| row[at] = 0.0);
        let mut output = mlp.forward(&row).to_vec();
        let Output::Actions { scale, clip, .. } = network.output else {
            outputs.entry("value").or_default().extend(output);
            continue;
        };
        let mut position_rad = vec![0.0; output.len()];
        let default_rad = &bundle.spec.robot.default_position_rad;
        ActionMap::new(default_rad, scale, clip).apply(&mut output, &mut position_rad);
        outputs.entry("action").or_default().extend(output);
        outputs
            .entry("joint_target_rad")
            .or_default()
            .extend(position_rad);
    }
    outputs
}

#[test]
fn onnx_runtime_computes_what_the_bundle_does() {
    let Some(packages) = python_packages() else {
        return;
    };
    const ROWS: usize = 300;
    for name in ["go1", "go2"] {
        let out = folder(&format!("{name}-runtime"));
        export(name, &out, &[]);
        let bundle = Bundle::load(shipped(name).as_ref()).unwrap();
        let (mut inputs, mut expected) = (BTreeMap::new(), BTreeMap::new());
        for role in ["agile", "recovery", "reach-avoid"] {
            let dim = bundle.spec.layout(role).unwrap().dim();
            let mut rows = numbers(ROWS * dim, 3);
            // At rest, as usual, and far beyond what a policy meets.
            for (index, row) in rows.chunks_exact_mut(dim).enumerate() {
                let magnitude = [0.0, 1.0, 3.0, 10.0][index % 4];
                row.iter_mut().for_each(|value| *value *= magnitude);
            }
            expected.insert(role, outputs(&bundle, role, &rows));
            inputs.insert(role, json!({"observation": rows}));
        }

        let layout = bundle.spec.layout(role::REACH_AVOID).unwrap();
        let (dim, switch) = (layout.dim(), bundle.switch());
        let mut rows = numbers(ROWS * dim, 5);
        let columns = |quantity| layout.range(quantity).unwrap_or(0..0);
        let (linear, angular, goal) = (
            columns(Quantity::LinearVelocityBase).start,
            columns(Quantity::AngularVelocityBase).start,
            columns(Quantity::GoalPosition),
        );
        let mut search = TwistSearch::of_layout(&switch.search, &layout, &bundle.spec.rays);
        let mut value = ReachAvoidValue::new(bundle.layers(role::REACH_AVOID).to_vec()).unwrap();
        let (mut starts, mut twists, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows.chunks_exact_mut(dim) {
            row[linear] = 1.5 + 2.0 * row[linear];
            row[goal.clone()].iter_mut().for_each(|at| *at *= 7.0);
            for at in columns(Quantity::LogRays).chain(columns(Quantity::PreviousLogRays)) {
                row[at] = (2.5 * row[at]).min(6_f32.log2());
            }
            layout.masked().for_each(|at| row[at] = 0.0);
            starts.extend([row[linear], row[linear + 1], row[angular + 2]]);
            let goal = GoalYaw {
                x_m: row[goal.start],
                y_m: row[goal.start + 1],
                heading_error_rad: 0.0,
            };
            let found = search.search(&mut value, row, &goal, switch.threshold);
            let twist = found.twist;
            twists.extend([twist.vx_mps, twist.vy_mps, twist.yaw_rate_radps]);
            values.push(found.value);
        }
        expected.insert(
            "twist-search",
            BTreeMap::from([("twist", twists), ("value", values)]),
        );
        inputs.insert(
            "twist-search",
            json!({"observation": rows, "start_twist": starts}),
        );

        let file = out.join("inputs.json");
        fs::write(&file, serde_json::to_vec(&inputs).unwrap()).unwrap();
        let found = python(
            "tests/command_line/onnx_runtime.py",
            &[&out, &file],
            &packages,
        );
        for (role, outputs) in expected {
            for (output, expected) in outputs {
                let found = found[role][output].as_array().unwrap();
                assert_eq!(found.len(), expected.len());
                let pairs = found
                    .iter()
                    .map(|found| found.as_f64().unwrap())
                    .zip(&expected);
                let tolerance = if role == "twist-search" { 1e-4 } else { 1e-5 };
                let is_far = |(found, expected): &(f64, &f32)| {
                    let expected = f64::from(**expected);
                    (found - expected).abs() > tolerance * expected.abs().max(1.0)
                };
                let far = pairs.filter(is_far).count();
                // A search finds another twist where two are as good up to rounding; among random rays the other may be a little worse.
                let most = match (role, output) {
                    ("twist-search", "value") => expected.len() / 100,
                    ("twist-search", _) => expected.len() / 10,
                    _ => 0,
                };
                assert!(
                    far <= most,
                    "{name} {role} {output}: {far} of {}",
                    expected.len()
                );
            }
        }
    }
}

#[test]
fn the_example_reaches_the_goal_in_mujoco() {
    let Some(packages) = python_packages() else {
        return;
    };
    // With the present alone, and with past policy steps and the previous scan.
    for (bundle, method) in [("go1-paper", "abs"), ("go1", "agile")] {
        let out = folder(&format!("{bundle}-mujoco"));
        export(bundle, &out, &["--scenes", "8"]);
        let outcomes = python(
            "examples/mujoco_onnx.py",
            &[&out, method.as_ref()],
            &packages,
        );
        assert_eq!(outcomes["episodes"], 8);
        assert!(
            outcomes["reach"].as_u64() >= Some(6),
            "{bundle}: {outcomes}"
        );
    }
}
