//! Flags and files that make up the configuration.

use std::fs;

use crate::{abs, assert_refused};

#[test]
fn unknown_keys_are_named_with_the_nearest_known_one() {
    assert_refused(
        &["config", "--set", "env.num_env=3"],
        &["unknown key `env.num_env`", "`env.num_envs`"],
    );
    assert_refused(
        &["config", "--set", "sed=3"],
        &["unknown key `sed`", "`seed`"],
    );
    assert_refused(
        &["config", "--set", "xyzzy.plugh=3"],
        &["unknown key `xyzzy`"],
    );
}

#[test]
fn wrong_types_are_named_with_key_and_value() {
    assert_refused(
        &["config", "--set", "env.num_envs=many"],
        &["env.num_envs", "\"many\""],
    );
    assert_refused(&["config", "--set", "seed=-3"], &["seed", "-3"]);
    assert_refused(
        &["config", "--set", "env.engine=mujoco"],
        &["env.engine", "mujoco", "rapier"],
    );
    assert_refused(
        &["config", "--set", "algorithm.name=trpo"],
        &["algorithm.name", "trpo", "`ppo`", "`ppo-lagrangian`"],
    );
    assert_refused(&["config", "--set", "env=3"], &["env", "3"]);
    assert_refused(&["config", "--set", "seed"], &["KEY=VALUE"]);
}

#[test]
fn config_files_are_named_with_line_or_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    assert_refused(&["config", "--config", "nowhere.toml"], &["nowhere.toml"]);
    let broken = file("broken.toml", "seed = 3\nrobot = [\n");
    assert_refused(&["config", "--config", &broken], &["broken.toml", "line 2"]);
    let unknown = file("unknown.toml", "[env]\nnum_robots = 3\n");
    assert_refused(
        &["config", "--config", &unknown],
        &["unknown.toml", "env.num_robots"],
    );
}

#[test]
fn what_config_prints_is_a_config_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my.toml");
    let printed = abs(&["config", "--set", "env.num_envs=17", "--seed", "5"]);
    assert!(printed.success);
    fs::write(&path, &printed.stdout).unwrap();
    let again = abs(&["config", "--config", path.to_str().unwrap()]);
    assert_eq!(printed.stdout, again.stdout);
    assert!(printed.stdout.contains("num_envs = 17"));
    assert!(printed.stdout.contains("seed = 5"));
}
