//! What a user sees of `abs` when something is wrong: one line, and an exit status that is not zero.

use std::{fs, process::Command};

struct Outcome {
    success: bool,
    stdout: String,
    stderr: String,
}

fn abs(arguments: &[&str]) -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_abs"))
        .args(arguments)
        .output()
        .unwrap();
    Outcome {
        success: output.status.success(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Asserts that the command fails with one line that holds all of `parts`.
#[track_caller]
fn assert_refused(arguments: &[&str], parts: &[&str]) {
    let outcome = abs(arguments);
    assert!(!outcome.success, "{arguments:?} succeeds");
    assert_eq!(outcome.stdout, "", "{arguments:?}");
    let lines: Vec<_> = outcome.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{arguments:?}: {}", outcome.stderr);
    assert!(lines[0].starts_with("error: "), "{}", lines[0]);
    for part in parts {
        assert!(lines[0].contains(part), "`{part}` is not in: {}", lines[0]);
    }
}

#[test]
fn every_command_explains_itself() {
    let help = abs(&["--help"]);
    assert!(help.success);
    let commands: Vec<&str> = help
        .stdout
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    assert!(commands.contains(&"config"), "{commands:?}");
    for command in commands {
        let help = abs(&[command, "--help"]);
        assert!(help.success, "{command}");
        assert!(help.stdout.contains("Usage: abs"), "{}", help.stdout);
    }
}

#[test]
fn usage_errors_are_one_line() {
    assert_refused(&["trian"], &["unrecognized subcommand 'trian'", "train"]);
    assert_refused(&["config", "--sed", "1"], &["--sed", "--help"]);
    assert_refused(&["config", "--seed", "x"], &["--seed", "'x'"]);
    assert_refused(&["config", "--seed", "-1"], &["-1"]);
    assert_refused(&["config", "--threads", "two"], &["--threads"]);
}

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
