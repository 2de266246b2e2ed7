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

/// Where the time goes.
fn shares(report: &Value) -> Vec<f64> {
    let shares = report["time_shares"].as_object().unwrap().values();
    shares.map(|share| share.as_f64().unwrap()).collect()
}

#[cfg(feature = "train")]
#[test]
fn the_training_benchmark_prints_json() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("a/times.png");
    let flags = "bench train --json --engine rapier --num-envs 2 --threads 1 --seconds 0.1 \
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
        &["bench", "sim", "--engine", "mujoco"],
        &["mujoco", "rapier", "batch"],
    );
}
