//! `abs bench`.

use serde_json::Value;

use crate::{abs, assert_refused};

#[test]
fn the_simulation_benchmark_prints_json() {
    let flags = "bench sim --json --engine rapier --num-envs 3 --threads 2 --seconds 0.1";
    let outcome = abs(&flags.split(' ').collect::<Vec<_>>());
    assert!(outcome.success, "{}", outcome.stderr);
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(report["engine"], "rapier");
    assert_eq!(report["threads"], 2);
    assert_eq!(report["num_envs"], 3);
    assert!(report["robot_steps_per_second"].as_f64().unwrap() > 0.0);
    assert!(report["env_steps_per_second"].as_f64().unwrap() > 0.0);
    let shares = shares(&report);
    assert_eq!(shares.len(), 6);
    assert!(
        (shares.iter().sum::<f64>() - 1.0).abs() < 1e-9,
        "{shares:?}"
    );
}

/// Half the step, about half the error, in every engine.
#[test]
fn the_engines_are_measured_beside_their_error() {
    let flags = "bench engines --json --seconds 0.01 --threads 1 --set env.num_envs=64";
    let outcome = abs(&flags.split(' ').collect::<Vec<_>>());
    assert!(outcome.success, "{}", outcome.stderr);
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let cells = report["cells"].as_array().unwrap();
    let engines = 2 + usize::from(cfg!(feature = "mujoco"));
    // Three motions at three steps.
    assert_eq!(cells.len(), engines * 9);
    for cell in cells {
        assert!(cell["robot_steps_per_second"].as_f64().unwrap() > 0.0);
    }
    let standing = cells.iter().filter(|cell| cell["motion"] == "standing");
    let standing: Vec<&Value> = standing.collect();
    for steps in standing.chunks(3) {
        let errors = ["position_mm", "joint_deg"].map(|key| {
            let error = |cell: &Value| cell["error"][key].as_f64().unwrap();
            steps.iter().map(|cell| error(cell)).collect::<Vec<_>>()
        });
        assert_eq!(steps[0]["engine"], steps[2]["engine"]);
        for error in errors {
            for pair in error.windows(2) {
                assert!(pair[1] < 0.7 * pair[0], "{} {error:?}", steps[0]["engine"]);
            }
        }
    }
}

/// Where the time goes.
fn shares(report: &Value) -> Vec<f64> {
    let shares = report["time_shares"].as_object().unwrap().values();
    shares.map(|share| share.as_f64().unwrap()).collect()
}

#[test]
fn the_control_benchmark_counts_cycles_and_finds_no_allocation() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("control.png");
    // As it is, without asking for real-time priority.
    let flags = "bench control --json --seconds 0.4 --busy 1 \
                 --set deploy.realtime.priority=0 --set deploy.realtime.lock_memory=false --picture";
    let mut flags: Vec<&str> = flags.split_whitespace().collect();
    flags.push(picture.to_str().unwrap());
    let outcome = abs(&flags);
    assert!(outcome.success, "{}", outcome.stderr);
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(report["cycles"], 200);
    assert_eq!(report["busy"], 1);
    assert_eq!(report["allocations"], 0);
    assert_eq!(report["refused"], Value::Null);
    assert!(report["running_cycles"].as_u64().unwrap() > 0);
    for times in ["compute_us", "lateness_us"] {
        let at = |name: &str| report[times][name].as_f64().unwrap();
        assert!(at("p50") > 0.0 && at("p50") <= at("p99") && at("p99") <= at("max"));
    }
    assert!(std::fs::read(&picture).unwrap().starts_with(b"\x89PNG"));
}

#[cfg(feature = "train")]
#[test]
fn the_training_benchmark_prints_json() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("a/times.png");
    let flags = "bench train --json --engine rapier --num-envs 2 --threads 1 --seconds 1.0 \
                 --set algorithm.steps_per_rollout=4 --set algorithm.precision=f32 --picture";
    let mut arguments: Vec<_> = flags.split_whitespace().collect();
    arguments.push(picture.to_str().unwrap());
    let outcome = abs(&arguments);
    assert!(picture.is_file());
    assert!(outcome.success, "{}", outcome.stderr);
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert!(report["policy_steps_per_second"].as_f64().unwrap() > 0.0);
    assert_eq!(report["precision"], "f32");
    let share = |name: &str| report[name].as_f64().unwrap();
    assert!((share("collect_share") + share("update_share") - 1.0).abs() < 1e-9);
    assert!(share("collect_share") > 0.0 && share("update_share") > 0.0);
    let shares = shares(&report);
    assert!(shares.iter().all(|share| *share > 0.0), "{shares:?}");
    assert!(
        (shares.iter().sum::<f64>() - 1.0).abs() < 1e-9,
        "{shares:?}"
    );
}

#[test]
fn what_cannot_be_measured_is_refused() {
    assert_refused(
        &["bench", "sim", "--seconds", "0"],
        &["--seconds", "above 0"],
    );
    assert_refused(
        &["bench", "sim", "--threads", "4", "--num-envs", "2"],
        &["4 threads", "2 environments"],
    );
    assert_refused(&["bench", "sim", "--num-envs", "0"], &["env.num_envs"]);
    assert_refused(
        &[
            "bench",
            "control",
            "--set",
            "deploy.faults.state_timeout_s=1",
        ],
        &["deploy.faults.state_timeout_s is 1", "0.036"],
    );
    assert_refused(
        &[
            "bench",
            "control",
            "--robot",
            "go2",
            "--set",
            "deploy.stand_up.crouch_position_rad=[0, 1]",
        ],
        &["crouch_position_rad has 2 entries", "3 (one leg)"],
    );
    assert_refused(
        &["bench", "sim", "--engine", "physx"],
        &["physx", "rapier", "batch"],
    );
    if !cfg!(feature = "mujoco") {
        assert_refused(
            &["bench", "sim", "--engine", "mujoco"],
            &["without MuJoCo", "scripts/abs", "--engine mujoco"],
        );
    }
}

#[cfg(feature = "ros2")]
#[test]
fn memory_stays_flat_over_a_compressed_soak() {
    // Fails if memory grows, the control thread allocates, or the robot does not run.
    let outcome = abs(&["bench", "control", "--soak", "0.02", "--json"]);
    assert!(outcome.success, "{}", outcome.stderr);
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(report["cycles"], 36_000);
    assert_eq!(report["log_cycles"], 36_000);
    assert_eq!(report["log_files"], 2);
}

#[cfg(feature = "ros2")]
#[test]
fn hostile_datagrams_of_many_kinds_leave_no_stiff_robot() {
    let namespace = std::process::Command::new("unshare")
        .args(["-n", "true"])
        .status();
    if !namespace.is_ok_and(|status| status.success()) {
        println!("SKIPPED: no network namespace is allowed here");
        return;
    }
    // Fails if the robot is left stiff.
    let outcome = abs(&["bench", "attack", "--datagrams", "2000", "--json"]);
    assert!(outcome.success, "{}", outcome.stderr);
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let attacks = report["attacks"].as_array().unwrap();
    assert!(attacks.len() >= 40, "{} kinds", attacks.len());
    assert!(report["run_memory_mb"].as_f64().unwrap() < 64.0, "{report}");
    assert!(report["dds_memory_mb"].as_f64().unwrap() < 64.0, "{report}");
}
