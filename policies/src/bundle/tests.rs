mod refusals;

use std::path::PathBuf;

use robots::RobotState;
use tempfile::TempDir;

use super::*;
use crate::{
    depth::Convolution,
    observation::{ObservationInput, Quantity, terms},
    policy::NotFinite,
    policy::{GoalYaw, Twist},
    spec::Provenance,
};

fn go1() -> Robot {
    Robot::load("go1").unwrap()
}

fn zeros(inputs: usize, outputs: usize) -> Linear {
    Linear {
        weight: vec![0.0; inputs * outputs],
        bias: vec![0.0; outputs],
        inputs,
    }
}

/// A network whose action i is 0.01 * (i + 1) for every observation.
fn agile_layers() -> Vec<Linear> {
    let hidden = Linear {
        bias: vec![1.0; 8],
        ..zeros(61, 8)
    };
    let last = Linear {
        weight: (0..12)
            .flat_map(|joint| [0.01 * (joint + 1) as f32 / 8.0; 8])
            .collect(),
        ..zeros(8, 12)
    };
    vec![hidden, last]
}

fn bundle_of(agile: Vec<Linear>) -> Bundle {
    let rays = RaySpec::default();
    let provenance = Provenance {
        git_revision: "0123abc".to_owned(),
        seed: 7,
        policy_steps: 25_000_000,
        date: None,
        config: "[task]\nname = \"agile\"\n".to_owned(),
        imported_from: None,
    };
    let mut bundle = Bundle::new(PolicySpec::new(&go1(), &rays, 0.02));
    let spec = NetworkSpec::policy(role::AGILE, terms::agile(&rays), 0.25, provenance);
    bundle.insert(role::AGILE, spec, agile).unwrap();
    bundle
}

fn bundle() -> Bundle {
    bundle_of(agile_layers())
}

/// The same with a recovery policy that does nothing, and the value tanh(v_x - 1).
fn whole_bundle() -> Bundle {
    let (mut bundle, nowhere) = (bundle(), Provenance::default);
    let spec = NetworkSpec::policy(role::RECOVERY, terms::recovery(), 0.25, nowhere());
    bundle
        .insert(role::RECOVERY, spec, vec![zeros(49, 12)])
        .unwrap();
    let mut value = zeros(19, 1);
    (value.weight[0], value.bias[0]) = (1.0, -1.0);
    insert_value(&mut bundle, vec![value]);
    bundle
}

fn insert_value(bundle: &mut Bundle, layers: Vec<Linear>) {
    let agile = bundle.spec.networks[role::AGILE].sha256.clone();
    let terms = terms::reach_avoid(&RaySpec::default());
    let spec = NetworkSpec::value(terms, &agile, Provenance::default());
    bundle.insert(role::REACH_AVOID, spec, layers).unwrap();
}

fn network<'a>(bundle: &'a mut Bundle, role: &str) -> &'a mut NetworkSpec {
    bundle.spec.networks.get_mut(role).unwrap()
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

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T, BundleError>, parts: &[&str]) {
    let message = result.unwrap_err().to_string();
    assert!(!message.contains('\n'), "more than one line: {message}");
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

fn input(state: &RobotState) -> ObservationInput<'_> {
    ObservationInput {
        state,
        foot_contact: &[true; 4],
        goal: GoalYaw::default(),
        time_left_s: 9.0,
        twist: Twist::default(),
        previous_action: &[0.0; 12],
        ray_distance_m: &[6.0; 11],
        previous_ray_distance_m: &[],
        reality: &[],
    }
}

#[test]
fn a_saved_bundle_is_loaded_as_it_was_and_acts() {
    let (_folder, dir) = saved();
    let loaded = Bundle::load(&dir).unwrap();
    assert_eq!(loaded, bundle());

    let robot = go1();
    let mut policy = loaded.policy(role::AGILE, &robot).unwrap();
    let (mut action, mut position_rad) = ([0.0; 12], [0.0; 12]);
    let state = RobotState::zero(12, 4);
    policy
        .act(&input(&state), &mut action, &mut position_rad)
        .unwrap();
    for joint in 0..12 {
        let expected = 0.01 * (joint + 1) as f32;
        assert!((action[joint] - expected).abs() < 1e-6);
        let default_rad = robot.control.default_position_rad[joint];
        assert!((position_rad[joint] - default_rad - 0.25 * expected).abs() < 1e-6);
    }
}

/// Any MLP whose observations are made of our terms, in any order, with any scales and history, runs by a manifest alone.
#[test]
fn a_network_from_elsewhere_runs_by_a_manifest_written_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    // Action 0: the scaled w_z of two steps ago; action 1: the present one.
    let mut layer = zeros(3 * 3 + 12, 12);
    (layer.weight[12 + 2], layer.weight[21 + 12 + 8]) = (1.0, 1.0);
    let bytes = weights::encode(&[layer]).unwrap();
    fs::write(folder.path().join("net.safetensors"), &bytes).unwrap();
    let robot = toml::to_string(&PolicySpec::new(&go1(), &RaySpec::default(), 0.02).robot).unwrap();
    let manifest = format!(
        "version = 2\npolicy_step_s = 0.02\n[robot]\n{robot}
        [networks.mine]
        file = \"net.safetensors\"
        sha256 = \"{}\"
        activation = \"tanh\"
        output = {{ kind = \"actions\", scale = 0.5, clip = 100.0 }}
        observations = [
            {{ term = \"joint-velocity\", scale = 0.05 }},
            {{ term = \"angular-velocity-base\", scale = 0.25, clip = 2.0, history = 3 }},
        ]",
        weights::sha256(&bytes)
    );
    fs::write(folder.path().join(MANIFEST), manifest).unwrap();
    let bundle = Bundle::load(folder.path()).unwrap();
    let mut policy = bundle.policy("mine", &go1()).unwrap();
    let (mut action, mut position_rad) = ([0.0; 12], [0.0; 12]);
    let mut state = RobotState::zero(12, 4);
    for (yaw_rate_radps, expected) in [
        (4.0, [1.0, 1.0]),
        (2.0, [1.0, 0.5]),
        (100.0, [1.0, 2.0]),
        (0.0, [0.5, 0.0]),
    ] {
        state.angular_velocity_base.z = yaw_rate_radps;
        policy
            .act(&input(&state), &mut action, &mut position_rad)
            .unwrap();
        assert_eq!(action[..2], expected);
        assert_eq!(position_rad[0], 0.5 * expected[0]);
    }
    // A step in which another policy acts is observed too, and a new episode starts anew.
    state.angular_velocity_base.z = 4.0;
    policy.observe(&input(&state)).unwrap();
    policy
        .act(&input(&state), &mut action, &mut position_rad)
        .unwrap();
    assert_eq!(action[..2], [0.0, 1.0]);
    policy.reset();
    policy
        .act(&input(&state), &mut action, &mut position_rad)
        .unwrap();
    assert_eq!(action[..2], [1.0, 1.0]);
    state.angular_velocity_base.z = f32::NAN;
    let fault = policy.act(&input(&state), &mut action, &mut position_rad);
    assert_eq!(
        fault,
        Err(NotFinite::Observation(Quantity::AngularVelocityBase))
    );
}

#[test]
fn saving_over_a_bundle_replaces_it_and_leaves_no_other_files() {
    let (_folder, dir) = saved();
    let mut changed = bundle();
    network(&mut changed, role::AGILE).provenance.seed = 8;
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
fn missing_truncated_and_other_files_are_named() {
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
        assert_refused(Bundle::load(&dir), &["agile.safetensors: SHA-256 is"]);
        assert!(
            weights::read(&whole[..len])
                .unwrap_err()
                .contains("not a whole")
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
fn three_networks_are_loaded_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let mut bundle = whole_bundle();
    let switch = SwitchSpec {
        threshold: -0.1,
        min_improvement: -2.0,
        ..SwitchSpec::default()
    };
    bundle.spec.switch = Some(switch.clone());
    bundle.save(folder.path()).unwrap();
    let loaded = Bundle::load(folder.path()).unwrap();
    assert_eq!(loaded, bundle);
    assert_eq!(loaded.switch(), switch);
    let robot = go1();
    assert_eq!(
        loaded
            .policy(role::RECOVERY, &robot)
            .unwrap()
            .layout()
            .dim(),
        49
    );
    let (mut value, layout) = loaded.reach_avoid(&robot).unwrap();
    assert_eq!(layout.masked().collect::<Vec<_>>(), [2, 3, 4]);
    let mut row = [0.0; 19];
    row[0] = 1.25;
    assert!((value.value(&row) - 0.25f32.tanh()).abs() < 1e-6);
    loaded.check(&robot).unwrap();
}

#[test]
fn no_policy_observes_what_only_a_simulation_knows() {
    let mut bundle = bundle();
    let agile = bundle.spec.networks.get_mut(role::AGILE).unwrap();
    agile.observations.push(Quantity::Reality.into());
    let error = bundle.spec.layout(role::AGILE).unwrap_err();
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "term `reality` is for the critics of a training; no robot knows it"
    );
}
