//! Robots and scenes that cannot be trained with are refused in one line that says what to do.

use std::{fs, path::Path};

use crate::{abs, assert_refused};

/// A folder with go1, in which each text is replaced once.
fn edited_go1(folder: &Path, edits: &[(&str, &str)]) -> String {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../robots/go1");
    let mut unused: Vec<_> = edits.iter().map(|(from, _)| *from).collect();
    for name in ["robot.toml", "go1.urdf"] {
        let mut text = fs::read_to_string(shipped.join(name)).unwrap();
        for (from, to) in edits {
            if text.contains(from) {
                text = text.replacen(from, to, 1);
                unused.retain(|edit| edit != from);
            }
        }
        fs::write(folder.join(name), text).unwrap();
    }
    assert!(unused.is_empty(), "nothing to edit: {unused:?}");
    folder.to_str().unwrap().to_owned()
}

#[track_caller]
fn refused(edits: &[(&str, &str)], parts: &[&str]) {
    refused_by(&[&["train", "agile"], &["bench", "sim"]], edits, parts);
}

#[track_caller]
fn refused_by(commands: &[&[&str]], edits: &[(&str, &str)], parts: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let robot = edited_go1(folder.path(), edits);
    for &command in commands {
        let flags = ["--engine", "batch", "--num-envs", "2", "--robot", &robot];
        if command[0] == "train" && cfg!(not(feature = "train")) {
            continue;
        }
        assert_refused(&[command, &flags[..]].concat(), parts);
    }
}

#[test]
fn robots_that_no_engine_holds() {
    refused(
        &[(
            "\"FL_thigh_joint\" type=\"revolute\"",
            "\"FL_thigh_joint\" type=\"prismatic\"",
        )],
        &[
            "`FL_thigh_joint` is prismatic",
            "only revolute, continuous and fixed",
        ],
    );
    refused(
        &[("<child link=\"FR_calf\"/>", "<child link=\"FR_hip\"/>")],
        &["closes a loop", "remove joint"],
    );
}

#[test]
fn legs_of_unequal_length_are_for_rapier() {
    let joints = |values: &str| format!("[{}]", [values, values, values, values].join(", "));
    // The calf of one leg is fixed to its thigh.
    let vectors = [
        (
            "default_position_rad = [0.0, 0.8, -1.5]",
            "default_position_rad = ",
            "0.0, 0.8, -1.5",
        ),
        (
            "standing_position_rad = [0.0, 1.0, -1.8]",
            "standing_position_rad = ",
            "0.0, 1.0, -1.8",
        ),
        (
            "stiffness = [30.0, 30.0, 30.0]",
            "stiffness = ",
            "30.0, 30.0, 30.0",
        ),
        (
            "damping = [0.65, 0.65, 0.65]",
            "damping = ",
            "0.65, 0.65, 0.65",
        ),
        (
            "armature_kgm2 = [0.005, 0.005, 0.005]",
            "armature_kgm2 = ",
            "0.005, 0.005, 0.005",
        ),
        (
            "damping_nms = [0.05, 0.05, 0.05]",
            "damping_nms = ",
            "0.05, 0.05, 0.05",
        ),
        (
            "friction_nm = [0.2, 0.2, 0.2]",
            "friction_nm = ",
            "0.2, 0.2, 0.2",
        ),
    ];
    let mut edits = vec![
        (
            "joints = [\"FR_hip_joint\", \"FR_thigh_joint\", \"FR_calf_joint\"]".to_owned(),
            "joints = [\"FR_hip_joint\", \"FR_thigh_joint\"]".to_owned(),
        ),
        (
            "\"FR_calf_joint\" type=\"revolute\"".to_owned(),
            "\"FR_calf_joint\" type=\"fixed\"".to_owned(),
        ),
    ];
    for (line, key, leg) in vectors {
        let mut values: Vec<String> = joints(leg)
            .trim_matches(['[', ']'])
            .split(", ")
            .map(String::from)
            .collect();
        values.remove(5);
        edits.push((line.to_owned(), format!("{key}[{}]", values.join(", "))));
    }
    let edits: Vec<_> = edits
        .iter()
        .map(|(from, to)| (from.as_str(), to.as_str()))
        .collect();
    refused_by(
        &[&["bench", "sim"]],
        &edits,
        &["leg `FR` has 2 joints", "equal length", "--engine rapier"],
    );
}

#[test]
fn what_cannot_stand_is_neither_trained_nor_evaluated() {
    for (edit, part) in [
        (
            ("[30.0, 30.0, 30.0]", "[0.0, 0.0, 0.0]"),
            "stiffness 0 of joint `FL_hip_joint` does not hold",
        ),
        (
            ("[0.0, 1.0, -1.8]", "[0.0, 2.2, -1.8]"),
            "in the standing pose",
        ),
        (
            ("<mass value=\"5.204\"/>", "<mass value=\"904\"/>"),
            "its mass is 910",
        ),
        // The maker's usual box, which ends at the centre of the foot.
        (
            (
                "<origin xyz=\"0 0 -0.0965\"/>\n      <geometry><cylinder radius=\"0.016\" length=\"0.185\"/>",
                "<origin xyz=\"0 0 -0.1065\"/>\n      <geometry><box size=\"0.016 0.016 0.213\"/>",
            ),
            "calf of leg FL ends 10 mm too near the surface of its foot",
        ),
    ] {
        let parts = ["robot `go1` cannot stand: ", part, "abs robot check"];
        refused_by(&[&["train", "agile"]], &[edit], &parts);
        let folder = tempfile::tempdir().unwrap();
        let robot = edited_go1(folder.path(), &[edit]);
        assert_refused(&["eval", "--robot", &robot], &parts);
    }
}

#[test]
fn a_description_becomes_a_robot_that_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    let urdf = concat!(env!("CARGO_MANIFEST_DIR"), "/../robots/a1/a1.urdf");
    let out = folder.path().join("mine");
    let out = out.to_str().unwrap();
    let flags = ["robot", "import", urdf, "--name", "Mine", "--out", out];
    let outcome = abs(&flags);
    assert!(outcome.success, "{}", outcome.stderr);
    assert!(
        outcome
            .stdout
            .contains("found  leg FL: FL_hip_joint, FL_thigh_joint, FL_calf_joint\n"),
        "{}",
        outcome.stdout
    );
    assert!(
        outcome
            .stdout
            .ends_with(&format!("next: abs robot check {out}\n")),
        "{}",
        outcome.stdout
    );
    // A second one does not overwrite it.
    let again = abs(&flags);
    assert!(
        !again.success && again.stderr.contains("mine exists; choose another --out"),
        "{}",
        again.stderr
    );

    let picture = folder.path().join("mine.png");
    let check = abs(&[
        "robot",
        "check",
        out,
        "--picture",
        picture.to_str().unwrap(),
    ]);
    assert!(check.success, "{}{}", check.stdout, check.stderr);
    assert!(
        check.stdout.contains("\nrapier ") && check.stdout.contains("\nbatch "),
        "{}",
        check.stdout
    );
    assert!(
        check.stdout.ends_with("verdict: sound\n"),
        "{}",
        check.stdout
    );
    assert!(fs::metadata(picture).unwrap().len() > 1000);
    let show = abs(&["robot", "show", out]);
    assert!(
        show.success && show.stdout.contains("mine: 1"),
        "{}",
        show.stdout
    );
    let list = abs(&["robot", "list"]);
    assert!(
        list.success && list.stdout.lines().any(|line| line.starts_with("go2 ")),
        "{}",
        list.stdout
    );
}

#[test]
fn with_an_error_all_is_listed_and_nothing_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("two.urdf");
    let urdf =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../robots/a1/a1.urdf")).unwrap();
    fs::write(
        &file,
        urdf.replace(
            "</robot>",
            "<link name='trunk'/><link name='trunk'/></robot>",
        ),
    )
    .unwrap();
    let out = folder.path().join("out");
    let outcome = abs(&[
        "robot",
        "import",
        file.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ]);
    assert!(!outcome.success && !out.exists());
    assert!(
        outcome
            .stdout
            .ends_with("ERROR  link `trunk` appears twice; names must be unique\n"),
        "{}",
        outcome.stdout
    );
    assert_eq!(outcome.stderr, "error: 1 error; nothing is written\n");
}

#[test]
fn a_robot_that_falls_is_told_by_check_and_doctor() {
    let folder = tempfile::tempdir().unwrap();
    let robot = edited_go1(folder.path(), &[("[30.0, 30.0, 30.0]", "[8.0, 8.0, 8.0]")]);
    let check = abs(&["robot", "check", &robot]);
    assert!(
        !check.success && check.stdout.contains("\n- "),
        "{}",
        check.stdout
    );
    assert!(
        check.stderr.contains("robot `go1` is not sound: "),
        "{}",
        check.stderr
    );
    let doctor = abs(&["doctor", "--robot", &robot]);
    assert!(
        doctor.stdout.contains(&format!("FAIL  robot {robot}")),
        "{}",
        doctor.stdout
    );
}

#[test]
fn a_robot_that_is_not_the_one_of_the_bundle_is_refused_with_both_names() {
    let bundle = concat!(env!("CARGO_MANIFEST_DIR"), "/../policies/bundles/go2");
    for command in [
        &["eval"][..],
        &["play"],
        &["bench", "switch"],
        &["bench", "control"],
        &["bench", "depth"],
        &["collect-depth"],
        #[cfg(feature = "ros2")]
        &["deploy"],
        #[cfg(feature = "ros2")]
        &["sim-robot"],
        &["train", "reach-avoid"],
    ] {
        assert_refused(
            &[command, &["--bundle", bundle, "--robot", "go1"]].concat(),
            &["policies/bundles/go2", "`go2`", "--robot says `go1`"],
        );
    }
}

#[test]
fn without_a_robot_it_is_that_of_the_bundle() {
    let bundle = concat!(env!("CARGO_MANIFEST_DIR"), "/../policies/bundles/go2");
    let flags = [
        "bench",
        "switch",
        "--bundle",
        bundle,
        "--seconds",
        "0.01",
        "--json",
    ];
    let outcome = abs(&flags);
    assert!(outcome.success, "{}", outcome.stderr);
    assert!(
        outcome.stdout.contains("\"robot\": \"go2\""),
        "{}",
        outcome.stdout
    );
}

#[test]
fn workers_and_lanes_that_there_are_not() {
    let flags = [
        "bench",
        "sim",
        "--engine",
        "batch",
        "--num-envs",
        "2",
        "--threads",
        "3",
    ];
    assert_refused(
        &flags,
        &["3 threads", "2 environments", "--num-envs", "--threads"],
    );
    let flags = ["bench", "sim", "--engine", "batch", "--lanes", "5"];
    assert_refused(
        &flags,
        &["5 lanes", "this CPU has 4", "0 stands for the most"],
    );
}
