//! `abs identify`, and what leads to its log.

use std::fs;

use super::{abs, assert_refused};

#[test]
fn what_is_no_log_of_driven_joints_is_refused() {
    assert_refused(
        &["identify", "nowhere.mcap"],
        &["nowhere.mcap: cannot be read"],
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.mcap");
    fs::write(&path, "no log").unwrap();
    let path = path.to_str().unwrap();
    assert_refused(&["identify", path], &["text.mcap: is no MCAP file"]);
}

#[test]
fn flags_that_do_not_go_together_are_refused() {
    assert_refused(
        &["deploy", "--identify", "--goal", "1,0"],
        &["--identify", "--goal", "cannot be used with"],
    );
    assert_refused(&["deploy", "--go"], &["--goal", "--identify"]);
    assert_refused(&["sim-robot", "--engine", "mujoco"], &["--stand"]);
    assert_refused(
        &["sim-robot", "--stand", "--engine", "batch"],
        &["take rapier or mujoco"],
    );
    assert_refused(
        &["sim-robot", "--reality", "mars"],
        &["there is no reality `mars`"],
    );
    assert_refused(
        &["deploy", "--identify", "--set", "deploy.identify.chirp_s=1"],
        &["deploy.identify.chirp_s is 1, must be from 4 to 120"],
    );
    assert_refused(
        &[
            "deploy",
            "--identify",
            "--set",
            "deploy.identify.joints=[\"tail\"]",
        ],
        &["the robot has no joint `tail`; it has FL_hip_joint"],
    );
}

#[test]
fn it_is_explained() {
    for (command, part) in [("deploy", "--identify"), ("sim-robot", "--stand")] {
        assert!(abs(&[command, "--help"]).stdout.contains(part));
    }
}
