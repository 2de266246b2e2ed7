//! `abs eval`, `play` and `plot` on a policy of random weights.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails like the test")]

use std::{fs, path::Path, process::Command};

use policies::{
    Bundle, Linear, PolicySpec, RaySpec,
    observation::terms,
    spec::{NetworkSpec, Provenance, role},
};
use robots::{Robot, RobotFiles};
use serde_json::Value;

/// A bundle of all networks for go1 whose weights are numbers without order.
fn save_bundle(folder: &Path, scale: f32) {
    let robot = Robot::load("go1").unwrap();
    let ray_spec = RaySpec::default();
    let layer = |inputs: usize, outputs: usize| Linear {
        inputs,
        weight: (0..inputs * outputs)
            .map(|i| scale * (i as f32 * 12.9898).sin())
            .collect(),
        bias: vec![0.0; outputs],
    };
    let mut bundle = Bundle::new(PolicySpec {
        illusion_margin_m: Some(0.3),
        ..PolicySpec::new(&robot, &ray_spec, 0.02)
    });
    let scale = robot.control.action_scale;
    for (role, terms, inputs) in [
        (role::AGILE, terms::agile(&ray_spec), 61),
        (role::RECOVERY, terms::recovery(), 49),
    ] {
        let spec = NetworkSpec::policy(role, terms, scale, Provenance::default());
        let layers = vec![layer(inputs, 16), layer(16, robot.num_joints())];
        bundle.insert(role, spec, layers).unwrap();
    }
    // tanh(2 - log2 of the ray ahead): safe where there is more than about 4 m of free way.
    let mut value = Linear {
        inputs: 19,
        weight: vec![0.0; 19],
        bias: vec![2.0],
    };
    value.weight[13] = -1.0;
    let agile = bundle.spec.networks[role::AGILE].sha256.clone();
    let spec = NetworkSpec::value(terms::reach_avoid(&ray_spec), &agile, Provenance::default());
    bundle.insert(role::REACH_AVOID, spec, vec![value]).unwrap();
    // Recovery acts on any twist: what decides is the value alone.
    bundle.spec.switch.get_or_insert_default().min_improvement = -2.0;
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
    // No path is shorter than the straight line.
    if number("reach_rate") > 0.0 {
        assert!(number("path_ratio") >= 1.0 && number("time_to_goal_s") > 1.0);
        assert!(table.contains("time to goal"), "{table}");
    }
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
fn an_evaluation_does_not_replace_another_unnoticed() {
    let folder = tempfile::tempdir().unwrap();
    save_bundle(&folder.path().join("mine/bundle"), 0.3);
    save_bundle(&folder.path().join("other"), 0.2);
    let run = |flags: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_abs"))
            .current_dir(folder.path())
            .args(["eval", "--method", "agile", "--seed", "2"])
            .args(["--set", "eval.episode_s=0.5"])
            .args(flags)
            .output()
            .unwrap()
    };
    let mine = ["--bundle", "mine/bundle", "--episodes", "2"];
    let more = ["--bundle", "mine/bundle", "--episodes", "3"];
    let episodes = || metrics(&folder.path().join("out/eval-agile-mine-2"))["episodes"].clone();
    for _ in 0..2 {
        let output = run(&mine);
        assert!(output.status.success() && output.stderr.is_empty());
        assert_eq!(episodes(), 2);
    }
    let refused = run(&more);
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success());
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for part in ["out/eval-agile-mine-2", "mine/bundle", "--out", "--force"] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
    assert_eq!(episodes(), 2);
    // A folder that is named is replaced, which is said.
    for flags in [&["--force"][..], &["--out", "out/eval-agile-mine-2"]] {
        assert!(run(&[&mine, &["--force"][..]].concat()).status.success());
        let output = run(&[&more, flags].concat());
        assert!(output.status.success());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            stderr.contains("replacing the evaluation of mine/bundle"),
            "{stderr}"
        );
        assert_eq!(episodes(), 3);
    }
    // Another bundle has another folder.
    assert!(
        run(&["--bundle", "other", "--episodes", "2"])
            .status
            .success()
    );
    assert!(folder.path().join("out/eval-agile-other-2").is_dir());
}

#[test]
fn a_bundle_knows_its_robot() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (bundle, out) = (at("bundle"), at("out"));
    save_bundle(bundle.as_ref(), 0.3);
    let eval = |flags: &[&str]| {
        let common = [
            "eval", "--bundle", &bundle, "--method", "agile", "--out", &out,
        ];
        let few = ["--episodes", "1", "--set", "eval.episode_s=0.2"];
        abs(&[&common[..], &few, flags].concat())
    };
    // A robot of one's own: the files are in the bundle.
    let own = at("own");
    let files = RobotFiles::read("go1").unwrap();
    files.write(own.as_ref()).unwrap();
    let text = files.description().replacen("\"go1\"", "\"mine\"", 1);
    fs::write(Path::new(&own).join("robot.toml"), text).unwrap();
    let mut of_own = Bundle::load(bundle.as_ref()).unwrap();
    of_own.spec.robot.name = "mine".to_owned();
    of_own.save(bundle.as_ref()).unwrap();
    assert_refused(
        &["eval", "--bundle", &bundle],
        "`mine`, which is not shipped; name its folder with --robot",
    );
    eval(&["--robot", &own]);
    assert_eq!(metrics(out.as_ref())["robot"], "mine");
    of_own.robot_files = RobotFiles::in_folder(own.as_ref()).unwrap();
    of_own.save(bundle.as_ref()).unwrap();
    fs::remove_dir_all(&own).unwrap();
    eval(&[]);
    assert_eq!(metrics(out.as_ref())["robot"], "mine");
    assert_refused(
        &["eval", "--bundle", &bundle, "--robot", "go1"],
        "is for robot `mine`, but --robot says `go1`",
    );
}

#[test]
fn abs_runs_the_same_episodes_and_is_compared_with_agile() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (bundle, agile, abs_out) = (at("bundle"), at("agile"), at("abs"));
    save_bundle(bundle.as_ref(), 0.3);
    let eval = |flags: &[&str]| {
        let common = [
            "eval",
            "--bundle",
            &bundle,
            "--episodes",
            "6",
            "--seed",
            "2",
        ];
        abs(&[&common[..], &["--set", "eval.episode_s=1.0"], flags].concat())
    };
    eval(&["--method", "agile", "--out", &agile]);
    // A bundle with all networks is evaluated with all of them.
    let table = eval(&["--out", &abs_out]);
    assert!(table.contains("of the policy steps"), "{table}");

    let written = metrics(abs_out.as_ref());
    assert_eq!(written["method"], "abs");
    let number = |key: &str| written[key].as_f64().unwrap();
    assert!(number("recovery_fraction") > 0.0 && number("recovery_fraction") < 1.0);
    assert!(number("recovery_episodes") >= 1.0 && number("recovery_episodes") <= 6.0);
    for key in ["recovery_episode_safe_rate", "false_safe_rate"] {
        assert!((0.0..=1.0).contains(&number(key)), "{key}");
    }
    assert!(metrics(agile.as_ref()).get("recovery_fraction").is_none());

    // The log has every decision.
    let mut steps = csv::Reader::from_path(Path::new(&abs_out).join("steps.csv")).unwrap();
    let column = |name: &str, header: &csv::StringRecord| {
        header.iter().position(|column| column == name).unwrap()
    };
    let header = steps.headers().unwrap().clone();
    let [mode, value, twist] = ["mode", "value", "twist_vx_mps"].map(|name| column(name, &header));
    let mut recovered = 0;
    for row in steps.records() {
        let row = row.unwrap();
        let value: f32 = row[value].parse().unwrap();
        let expected = if value < -0.05 { "agile" } else { "recovery" };
        assert_eq!(&row[mode], expected);
        assert_eq!(row[twist].is_empty(), expected == "agile");
        recovered += usize::from(expected == "recovery");
    }
    assert!(recovered > 0);

    let pictures = at("compare");
    let table = abs(&["compare", &agile, &abs_out, "--out", &pictures, "--paper"]);
    assert!(table.contains("of 6 common episodes"), "{table}");
    for picture in ["outcomes.png", "tradeoff.png", "speeds.png"] {
        assert!(Path::new(&pictures).join(picture).is_file(), "{picture}");
    }

    let film = at("film.gif");
    let flags = [
        "--episode",
        "1",
        "--set",
        "eval.episode_s=0.4",
        "--out",
        &film,
    ];
    abs(&[&["play", "--bundle", &bundle][..], &flags].concat());
    let log = fs::read_to_string(Path::new(&film).with_extension("csv")).unwrap();
    assert!(log.lines().count() > 2, "{log}");
}

#[test]
fn recovery_is_tested_on_twists() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (bundle, out) = (at("bundle"), at("out"));
    save_bundle(bundle.as_ref(), 0.0);
    let eval = |flags: &[&str]| {
        let common = ["eval", "--bundle", &bundle, "--method", "recovery"];
        let short = ["--set", "eval.recovery.trial_s=0.4", "--out", &out];
        abs(&[&common[..], &short, flags].concat())
    };
    let table = eval(&["--set", "eval.recovery.trials=1"]);
    assert!(
        table.contains("survival") && table.contains("78 cases"),
        "{table}"
    );
    let written = metrics(out.as_ref());
    assert_eq!(written["method"], "recovery");
    assert_eq!(written["cases"].as_array().unwrap().len(), 5 * 3 * 5 + 3);
    // A robot that only stands may fall where it is to brake.
    let falls = |case: &Value| case["falls"].as_u64().unwrap();
    assert!(
        written["cases"].as_array().unwrap()[..75]
            .iter()
            .all(|case| falls(case) == 0)
    );
    assert!(Path::new(&out).join("tracking.png").is_file());

    eval(&["--command", "-1.0,0,0.5"]);
    let written = metrics(out.as_ref());
    let case = &written["cases"][0];
    assert_eq!(case["command"]["vx_mps"], -1.0);
    assert_eq!(case["falls"], 0);
    // It settles from the standing into the default posture meanwhile.
    assert!((written["mean_vx_error"].as_f64().unwrap() - 1.0).abs() < 0.4);
}

#[test]
fn a_benchmark_is_a_table_and_goes_on_with_what_is_not_done() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (bundle, out) = (at("bundle"), at("out"));
    save_bundle(bundle.as_ref(), 0.05);
    let named = format!("n={bundle}");
    let run = || {
        let arguments = [
            "benchmark",
            &named,
            "--seeds",
            "4,5",
            "--episodes",
            "6",
            "--out",
            &out,
        ];
        abs(&[&arguments[..], &["--engine", "batch"]].concat())
    };
    let report = run();
    let row = |name: &str| {
        report
            .lines()
            .find(|l| l.starts_with(&format!("| {name} |")))
    };
    let cells: Vec<&str> = row("n agile").unwrap().split('|').map(str::trim).collect();
    // The mean of the two evaluations, and the interval of the 12 episodes together.
    let rate = |seed: u32| {
        let metrics = metrics(format!("{out}/n-agile-{seed}").as_ref());
        100.0 * metrics["collision_rate"].as_f64().unwrap()
    };
    let mean = format!("{:.1} ±", (rate(4) + rate(5)) / 2.0);
    assert!(cells[3].starts_with(&mean), "{cells:?}, {mean}");
    assert!(row("n abs").is_some(), "{report}");
    assert!(report.contains("| paper, ABS-n | 79.1 ± 4.4 | 5.7 ± 2.9 | 15.2 | 2.08 | 3.48 |"));
    let html = fs::read_to_string(format!("{out}/report.html")).unwrap();
    for file in ["outcomes.png", "tradeoff.png", "speeds.png"] {
        assert!(Path::new(&out).join(file).is_file() && html.contains(file));
    }

    // What is done is not done again; what is not, is.
    let written = |run: &str| {
        fs::metadata(format!("{out}/{run}/metrics.json"))
            .unwrap()
            .modified()
    };
    let before = written("n-abs-4").unwrap();
    fs::remove_file(format!("{out}/n-abs-5/metrics.json")).unwrap();
    assert_eq!(run(), report);
    assert_eq!(written("n-abs-4").unwrap(), before);
    // Another bundle of that name is another request.
    save_bundle(bundle.as_ref(), 0.06);
    run();
    assert_ne!(written("n-abs-4").unwrap(), before);

    assert_refused(&["benchmark", &bundle], "NAME=BUNDLE");
    assert_refused(&["benchmark", "--episodes", "0"], "at least 1");
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
    assert_refused(
        &eval(&["--method", "fly"]),
        "no network `fly`, it has agile",
    );
    assert_refused(&eval(&["--robot", "go2"]), "go2");
    assert_refused(
        &eval(&["--command", "1,0,0"]),
        "is for policies that track twists",
    );
    assert_refused(
        &eval(&["--method", "recovery", "--command", "1,0"]),
        "must be three numbers",
    );
    assert_refused(
        &eval(&["--set", "controller.switch.threshold=1.5"]),
        "controller.switch.threshold is 1.5, must be between -1 and 1",
    );
    assert_refused(
        &eval(&[
            "--set",
            "controller.switch.search.limit={vx_mps=0.1,vy_mps=0.0,yaw_rate_radps=1.0}",
        ]),
        "controller.switch.search.limit.vy_mps is 0, must be positive",
    );
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
