//! Flags and files that make up the configuration.

use std::fs;

use crate::{abs, assert_refused};

#[test]
fn unknown_keys_are_named_with_the_nearest_known_one() {
    assert_refused(
        &["config", "agile", "--set", "env.num_env=3"],
        &["unknown key `env.num_env`", "`env.num_envs`"],
    );
    assert_refused(
        &["config", "agile", "--set", "sed=3"],
        &["unknown key `sed`", "`seed`"],
    );
    assert_refused(
        &["config", "agile", "--set", "xyzzy.plugh=3"],
        &["unknown key `xyzzy`"],
    );
}

#[test]
fn wrong_types_are_named_with_key_and_value() {
    assert_refused(
        &["config", "agile", "--set", "env.num_envs=many"],
        &["env.num_envs", "\"many\""],
    );
    assert_refused(&["config", "agile", "--set", "seed=-3"], &["seed", "-3"]);
    assert_refused(
        &["config", "agile", "--set", "env.engine=mujoco"],
        &["env.engine", "mujoco", "rapier"],
    );
    assert_refused(
        &["config", "agile", "--set", "algorithm.name=trpo"],
        &["algorithm.name", "trpo", "`ppo`", "`ppo-lagrangian`"],
    );
    assert_refused(&["config", "agile", "--set", "env=3"], &["env", "3"]);
    assert_refused(&["config", "agile", "--set", "seed"], &["KEY=VALUE"]);
}

#[test]
fn config_files_are_named_with_line_or_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    assert_refused(
        &["config", "agile", "--config", "nowhere.toml"],
        &["nowhere.toml"],
    );
    let broken = file("broken.toml", "seed = 3\nrobot = [\n");
    assert_refused(
        &["config", "agile", "--config", &broken],
        &["broken.toml", "line 2"],
    );
    let unknown = file("unknown.toml", "[env]\nnum_robots = 3\n");
    assert_refused(
        &["config", "agile", "--config", &unknown],
        &["unknown.toml", "env.num_robots"],
    );
}

#[test]
fn files_of_former_keys_are_refused_with_the_new_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.toml");
    fs::write(&path, "[reach_avoid]\nmin_gain = 0.1\n").unwrap();
    let path = path.to_str().unwrap();
    for command in [&["config", "agile"][..], &["eval"]] {
        assert_refused(
            &[command, &["--config", path]].concat(),
            &[
                "old.toml",
                "`reach_avoid.min_gain` was renamed to `reach_avoid.min_improvement`", // words: allow
            ],
        );
    }
}

#[test]
fn tasks_that_are_not_there_and_files_of_another_task_are_refused() {
    assert_refused(
        &["config", "flying"],
        &[
            "`flying`",
            "agile, recovery, velocity, reach-avoid, rays, eval",
        ],
    );
    assert_refused(
        &["config", "--set", "seed=3"],
        &["name what the settings are for", "abs config agile"],
    );
    assert_refused(
        &["train", "agile", "--set", "task=recovery"],
        &["settings of `recovery`, not of `agile`"],
    );
    let overview = abs(&["config"]);
    assert!(overview.success);
    for line in [
        "abs config agile",
        "abs config reach-avoid",
        "abs config eval",
    ] {
        assert!(overview.stdout.contains(line), "{}", overview.stdout);
    }
}

#[test]
fn what_config_prints_is_a_config_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my.toml");
    let printed = abs(&[
        "config",
        "recovery",
        "--set",
        "env.num_envs=17",
        "--seed",
        "5",
    ]);
    assert!(printed.success);
    fs::write(&path, &printed.stdout).unwrap();
    let again = abs(&["config", "recovery", "--config", path.to_str().unwrap()]);
    assert_eq!(printed.stdout, again.stdout);
    assert!(
        printed
            .stdout
            .contains("\n# Environments, over all workers.\nnum_envs = 17\n")
    );
    assert!(printed.stdout.contains("seed = 5"));
    // The recipe is in it.
    assert!(printed.stdout.contains("one_sided_vx = false"));
    assert!(printed.stdout.contains("[[stages]]"));
    assert!(!printed.stdout.contains("[env.agile"));
}

#[test]
fn origins_are_shown() {
    let flags = [
        "config",
        "agile",
        "--origin",
        "--preset",
        "people",
        "--set",
        "env.num_envs=9",
    ];
    let printed = abs(&flags).stdout;
    for line in [
        "num_envs = 9  # --set",
        "engine = \"batch\"  # default",
        "count = 27  # recipe",
        "end_on_collision = true  # preset people",
    ] {
        assert!(printed.contains(line), "{line} is not in\n{printed}");
    }
}
