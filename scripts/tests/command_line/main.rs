//! What a user sees of `abs`. When something is wrong: one line, and an exit status that is not zero.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails like the test")]

mod bench;
mod bounded_input;
mod bundle;
mod configuration;
mod depth;
#[cfg(feature = "onnx")]
mod export;
#[cfg(feature = "ros2")]
mod identify;
mod import;
#[cfg(feature = "ros2")]
mod over_dds;
#[cfg(feature = "train")]
mod pipeline;
#[cfg(feature = "mpi")]
mod processes;
// `--engine mujoco` and the commands of a robot are on the pages.
#[cfg(all(feature = "mujoco", feature = "ros2"))]
mod reference;
mod robots;
mod scenes;
mod sweep;
mod training;
mod view;

use std::process::Command;

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
    assert_refused(&["config", "agile", "--sed", "1"], &["--sed", "--help"]);
    assert_refused(&["config", "agile", "--seed", "x"], &["--seed", "'x'"]);
    assert_refused(&["config", "agile", "--seed", "-1"], &["-1"]);
    assert_refused(&["config", "agile", "--threads", "two"], &["--threads"]);
}

#[test]
fn causes_are_named_once() {
    let outcome = abs(&["eval", "--bundle", "nowhere"]);
    assert_eq!(
        outcome.stderr.matches("No such file").count(),
        1,
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_shell_completes_commands_and_flags() {
    let bash = abs(&["completions", "bash"]);
    assert!(bash.success, "{}", bash.stderr);
    for word in ["robustness", "--min-improvement", "--bundle"] {
        assert!(bash.stdout.contains(word), "{word}");
    }
    assert_eq!(abs(&["completions", "tcsh"]).stdout, "");
}
