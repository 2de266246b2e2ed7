//! `abs eval`, `play` and `plot` on a policy of random weights.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails like the test")]

use std::{fs, path::Path, process::Command};

use policies::{Activation, Bundle, Layout, Linear, Member, Provenance, RaySpec};
use robots::Robot;
use serde_json::Value;

/// A bundle for go1 whose weights are numbers without order.
fn save_bundle(folder: &Path, scale: f32) {
    let robot = Robot::load("go1").unwrap();
    let ray_spec = RaySpec::default();
    let layout = Layout::agile(&robot, &ray_spec);
    let layer = |inputs: usize, outputs: usize| Linear {
        inputs,
        weight: (0..inputs * outputs)
            .map(|i| scale * (i as f32 * 12.9898).sin())
            .collect(),
        bias: vec![0.0; outputs],
    };
    let layers = vec![layer(layout.dim(), 16), layer(16, robot.num_joints())];
    let scale = robot.control.action_scale;
    let provenance = Provenance::default();
    let member = Member::agile(&layout, scale, Activation::Elu, layers, provenance);
    let bundle = Bundle {
        agile: Some(member),
        ..Bundle::new(&robot, &ray_spec)
    };
    bundle.save(folder).unwrap();
}

/// Standard output of a command that succeeds.
#[track_caller]
fn abs(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_abs"))
        .args(arguments)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

fn metrics(folder: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(folder.join("metrics.json")).unwrap()).unwrap()
}

#[test]
fn an_evaluation_keeps_its_contract() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (bundle, out) = (at("bundle"), at("out"));
    save_bundle(bundle.as_ref(), 0.3);
    let flags = [
        "eval",
        "--bundle",
        &bundle,
        "--method",
        "agile",
        "--episodes",
        "5",
        "--seed",
        "2",
        "--set",
        "eval.episode_s=1.5",
        "--out",
        &out,
    ];
    let table = abs(&flags);
    assert!(
        table.contains("5 episodes, seed 2") && table.contains("collision"),
        "{table}"
    );

    let written = metrics(out.as_ref());
    assert_eq!(written["robot"], "go1");
    assert_eq!(written["method"], "agile");
    assert_eq!(written["engine"], "rapier");
    assert_eq!(written["episodes"], 5);
    assert_eq!(written["seed"], 2);
    let number = |key: &str| written[key].as_f64().unwrap();
    let sum = number("reach_rate") + number("collision_rate") + number("time_out_rate");
    assert!((sum - 1.0).abs() < 1e-9);
    for outcome in ["reach", "collision"] {
        let ci95 = &written[&format!("{outcome}_ci95")];
        let rate = number(&format!("{outcome}_rate"));
        assert!(ci95[0].as_f64().unwrap() <= rate && rate <= ci95[1].as_f64().unwrap());
    }
    assert!(number("mean_speed") >= 0.0 && number("peak_speed") >= 0.0);
    assert!(number("steps_per_second") > 0.0);

    let rows = fs::read_to_string(Path::new(&out).join("episodes.csv")).unwrap();
    assert_eq!(rows.lines().count(), 6, "{rows}");
    for picture in ["outcomes.png", "speeds.png", "episodes.png"] {
        assert!(Path::new(&out).join(picture).is_file(), "{picture}");
    }

    // Again, on one thread: the same but for the time that it took.
    let again = abs(&[&flags[..], &["--json", "--threads", "1"]].concat());
    let mut again: Value = serde_json::from_str(&again).unwrap();
    again["steps_per_second"] = written["steps_per_second"].clone();
    assert_eq!(again, written);
    let rows_again = fs::read_to_string(Path::new(&out).join("episodes.csv")).unwrap();
    assert_eq!(rows_again, rows);

    let plots = at("plots");
    let plotted = abs(&["plot", &out, &out, "--out", &plots]);
    assert!(
        plotted.contains("outcomes.png") && plotted.contains("speeds.png"),
        "{plotted}"
    );
}

#[test]
fn play_writes_an_animation() {
    let folder = tempfile::tempdir().unwrap();
    let (bundle, film) = (
        folder.path().join("bundle"),
        folder.path().join("films/1.gif"),
    );
    save_bundle(&bundle, 0.1);
    let (bundle, out) = (bundle.to_str().unwrap(), film.to_str().unwrap());
    let flags = [
        "--episode",
        "1",
        "--out",
        out,
        "--set",
        "eval.episode_s=0.5",
    ];
    let text = abs(&[&["play", "--bundle", bundle][..], &flags].concat());
    assert!(text.starts_with("episode 1: "), "{text}");
    assert_eq!(&fs::read(film).unwrap()[..6], b"GIF89a");
}

/// Asserts that the command fails with one line that holds `part`.
#[track_caller]
fn assert_refused(arguments: &[&str], part: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_abs"))
        .args(arguments)
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{arguments:?} succeeds");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains(part), "`{part}` is not in: {stderr}");
}

#[test]
fn what_cannot_be_evaluated_is_named_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle");
    save_bundle(&bundle, 0.1);
    let bundle = bundle.to_str().unwrap();
    let eval = |flags: &[&'static str]| [&["eval", "--bundle", bundle][..], flags].concat();
    assert_refused(&eval(&["--episodes", "0"]), "`eval.episodes` is 0");
    assert_refused(&eval(&["--method", "fly"]), "there is no method `fly`");
    assert_refused(&eval(&["--robot", "go2"]), "go2");
    assert_refused(
        &eval(&["--set", "eval.testbed.obstacle=3"]),
        "eval.testbed.obstacles",
    );
    assert_refused(
        &eval(&["--out", "/proc/nowhere"]),
        "cannot write to /proc/nowhere",
    );
    assert_refused(&["eval", "--bundle", "/nowhere"], "/nowhere");
    assert_refused(
        &["plot", bundle],
        "neither metrics.json nor TensorBoard events",
    );
}
