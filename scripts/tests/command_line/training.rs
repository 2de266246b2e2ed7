//! `abs train`.

use crate::assert_refused;

/// Three iterations, over in a moment.
pub const TINY: [&str; 12] = [
    "--engine",
    "rapier",
    "--num-envs",
    "4",
    "--threads",
    "2",
    "--set",
    "algorithm.hidden=[16]",
    "--set",
    "algorithm.steps_per_rollout=8",
    "--set",
    "algorithm.total_policy_steps=96",
];

fn with_tiny<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&["train"], arguments, &TINY].concat()
}

#[test]
fn what_cannot_be_trained_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run").to_str().unwrap().to_owned();
    let refused = |flags: &[&str], parts: &[&str]| {
        assert_refused(&[&["train", "agile", "--out", &out], flags].concat(), parts);
        assert!(!folder.path().join("run").exists(), "{flags:?}");
    };
    refused(&["--num-envs", "0"], &["env.num_envs", "at least 1"]);
    refused(&["--robot", "go9"], &["`go9`", "go1", "go2"]);
    refused(
        &["--set", "algorithm.gamma=2"],
        &["algorithm.gamma", "[0, 1)"],
    );
    refused(
        &["--set", "reach_avoid.threshold=1"],
        &["reach_avoid.threshold", "between -1 and 1"],
    );
    refused(
        &["--set", "reach_avoid.rollouts.random_velocity_fraction=0.9"],
        &["running_fraction + random_velocity_fraction"],
    );
    refused(
        &["--set", "algorithm.epochs=0"],
        &["algorithm.epochs", "at least 1"],
    );
    assert_refused(&["train", "--resume", &out], &[&out, "not a run"]);
    assert_refused(
        &["train", "--resume", &out, "--seed", "3"],
        &["--resume", "--seed"],
    );
    assert_refused(&["train"], &["<TASK>"]);
    assert_refused(&["train", "flying"], &["flying", "agile"]);
}

#[cfg(not(feature = "train"))]
#[test]
fn without_libtorch_training_says_how_to_get_it() {
    assert_refused(&with_tiny(&["agile"]), &["libtorch", "scripts/abs train"]);
}

#[cfg(feature = "train")]
mod with_libtorch {
    use std::{
        fs,
        path::Path,
        process::{Command, Stdio},
        thread,
        time::{Duration, Instant},
    };

    use policies::Bundle;
    use robots::{Robot, RobotFiles};

    use super::with_tiny;
    use crate::{abs, assert_refused};

    #[track_caller]
    fn train(arguments: &[&str]) {
        let outcome = abs(arguments);
        assert!(outcome.success, "{}", outcome.stderr);
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_run_keeps_all_that_belongs_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let out = run.to_str().unwrap();
        train(&with_tiny(&["agile", "--out", out, "--seed", "7"]));

        let files = names(&run);
        assert!(files[3].starts_with("events.out.tfevents"), "{files:?}");
        assert_eq!(files[..3], ["bundle", "checkpoints", "config.toml"]);
        assert_eq!(files[4..], ["revision.txt", "robot"]);
        assert_eq!(names(&run.join("checkpoints")), ["checkpoint-3"]);

        let bundle = Bundle::load(&run.join("bundle")).unwrap();
        bundle
            .policy("agile", &Robot::load("go1").unwrap())
            .unwrap();
        let provenance = &bundle.spec.networks["agile"].provenance;
        assert_eq!((provenance.seed, provenance.policy_steps), (7, 96));
        let config = fs::read_to_string(run.join("config.toml")).unwrap();
        assert_eq!(provenance.config, config);

        // Another run does not go there; nor does one where there can be no folder.
        assert_refused(
            &with_tiny(&["agile", "--out", out]),
            &["holds a run already", "--resume"],
        );
        let file = run.join("config.toml/run");
        let file = file.to_str().unwrap();
        assert_refused(
            &with_tiny(&["agile", "--out", file]),
            &["cannot write", file],
        );
    }

    #[test]
    fn a_resumed_run_ends_with_the_same_policy() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (whole, parts) = (at("whole"), at("parts"));
        train(&with_tiny(&["agile", "--out", &whole]));
        // The last of several --set wins, but those of `with_tiny` stand at the end: 32 steps are one iteration.
        let mut first = with_tiny(&["agile", "--out", &parts]);
        first.extend(["--set", "algorithm.total_policy_steps=32"]);
        train(&first);
        let weights = |run: &str| fs::read(format!("{run}/bundle/agile.safetensors")).unwrap();
        assert_ne!(weights(&whole), weights(&parts));
        train(&[
            "train",
            "--resume",
            &parts,
            "--set",
            "algorithm.total_policy_steps=96",
        ]);
        assert_eq!(weights(&whole), weights(&parts));
    }

    #[test]
    fn the_printed_settings_train_the_same_policy() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (file, with, without) = (at("my.toml"), at("with"), at("without"));
        fs::write(&file, abs(&["config", "agile"]).stdout).unwrap();
        let two = ["--set", "algorithm.total_policy_steps=64"];
        train(&[&with_tiny(&["agile", "--out", &without])[..], &two].concat());
        train(
            &[
                &with_tiny(&["agile", "--out", &with, "--config", &file])[..],
                &two,
            ]
            .concat(),
        );
        let read = |run: &str, name: &str| fs::read(Path::new(run).join(name)).unwrap();
        for name in names(&Path::new(&with).join("checkpoints/checkpoint-2")) {
            let name = format!("checkpoints/checkpoint-2/{name}");
            assert!(read(&with, &name) == read(&without, &name), "{name}");
        }
        assert_eq!(read(&with, "config.toml"), read(&without, "config.toml"));
    }

    #[test]
    fn a_run_is_resumed_from_elsewhere_with_its_own_robot() {
        let folder = tempfile::tempdir().unwrap();
        let robot = folder.path().join("mine");
        let files = RobotFiles::read("go1").unwrap();
        files.write(&robot).unwrap();
        let run = folder.path().join("run");
        let start = with_tiny(&["agile", "--out", "run", "--robot", "mine"]);
        let output = Command::new(env!("CARGO_BIN_EXE_abs"))
            .current_dir(folder.path())
            .args([&start[..], &["--set", "algorithm.total_policy_steps=32"]].concat())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let stiffer = files
            .description()
            .replacen("stiffness = [30.0", "stiffness = [40.0", 1);
        fs::write(robot.join("robot.toml"), stiffer).unwrap();
        let more = ["--set", "algorithm.total_policy_steps=96"];
        let resumed = abs(&[&["train", "--resume", run.to_str().unwrap()], &more[..]].concat());
        assert!(resumed.success, "{}", resumed.stderr);
        for part in ["has changed", "control.stiffness is [40.0", "was [30.0"] {
            assert!(resumed.stderr.contains(part), "{part}: {}", resumed.stderr);
        }
        let bundle = Bundle::load(&run.join("bundle")).unwrap();
        assert_eq!(bundle.spec.robot.stiffness[0], 30.0);
    }

    #[test]
    fn ctrl_c_saves_and_stops() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let mut arguments = with_tiny(&["agile", "--out", run.to_str().unwrap()]);
        arguments.extend(["--set", "algorithm.total_policy_steps=1_000_000_000"]);
        arguments.extend(["--set", "algorithm.checkpoint_interval=1_000_000"]);
        let process = Command::new(env!("CARGO_BIN_EXE_abs"))
            .args(&arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let events_are_there =
            || run.exists() && names(&run).iter().any(|n| n.starts_with("events"));
        let begin = Instant::now();
        while !events_are_there() {
            assert!(begin.elapsed() < Duration::from_secs(60), "does not begin");
            thread::sleep(Duration::from_millis(20));
        }
        let pid = process.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &pid])
                .status()
                .unwrap()
                .success()
        );
        let output = process.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        assert!(stderr.contains("stopped after"), "{stderr}");
        assert!(stderr.contains("--resume"), "{stderr}");
        assert_eq!(names(&run.join("checkpoints")).len(), 1);
        Bundle::load(&run.join("bundle")).unwrap();
    }

    #[test]
    fn a_device_that_is_not_there_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let arguments = with_tiny(&["agile", "--out", run.to_str().unwrap(), "--device", "cuda"]);
        let outcome = abs(&arguments);
        if outcome.success {
            println!("skipped: there is a CUDA device");
            return;
        }
        assert_refused(&arguments, &["--device cuda: ", "--device cpu"]);
        assert!(!run.exists());
    }

    #[test]
    fn a_full_disk_leaves_the_last_checkpoint_whole() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (whole, parts) = (at("whole"), at("parts"));
        train(&with_tiny(&["agile", "--out", &whole]));
        let mut first = with_tiny(&["agile", "--out", &parts]);
        first.extend(["--set", "algorithm.total_policy_steps=32"]);
        train(&first);
        let checkpoints = Path::new(&parts).join("checkpoints");
        let content = || {
            let files = names(&checkpoints.join("checkpoint-1"));
            let read = |name: &String| fs::read(checkpoints.join("checkpoint-1").join(name));
            let bytes: Vec<_> = files.iter().map(|name| read(name).unwrap()).collect();
            (files, bytes)
        };
        let before = content();

        // No file may grow beyond 16 KiB, which is enough for all but the checkpoint: a write fails in its middle, as on
        // a full disk.
        let rest = [
            "train",
            "--resume",
            &parts,
            "--set",
            "algorithm.total_policy_steps=96",
        ];
        let limited = "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\"";
        let output = Command::new("bash")
            .args(["-c", limited, env!("CARGO_BIN_EXE_abs")])
            .args(rest)
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{stderr}");
        let errors: Vec<_> = stderr
            .lines()
            .filter(|l| l.starts_with("error: "))
            .collect();
        assert_eq!(errors.len(), 1, "{stderr}");
        for part in ["checkpoints/.checkpoint-3.partial/", "File too large"] {
            assert!(errors[0].contains(part), "{stderr}");
        }
        assert_eq!(names(&checkpoints), ["checkpoint-1"]);
        assert_eq!(content(), before);

        // With room again the run goes on as if nothing had been.
        train(&rest);
        let weights = |run: &str| fs::read(format!("{run}/bundle/agile.safetensors")).unwrap();
        assert_eq!(weights(&whole), weights(&parts));
    }

    /// A value of the shipped policy, learned in a moment.
    fn tiny_value<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
        const TINY: [&str; 8] = [
            "reach_avoid.rollouts.episodes=40",
            // An episode in which the recovery policy collides is left out.
            "reach_avoid.rollouts.recovering_fraction=0",
            "reach_avoid.rollouts.agile.episode_s=[0.4,0.5]",
            "reach_avoid.rollouts.run_up_s=[0.1,0.2]",
            "reach_avoid.learning.hidden=[8]",
            "reach_avoid.learning.batch_size=32",
            "reach_avoid.learning.epochs=2",
            "threads=2",
        ];
        let sets = TINY.iter().flat_map(|set| ["--set", set]);
        [&["train", "reach-avoid"], arguments]
            .concat()
            .into_iter()
            .chain(sets)
            .collect()
    }

    #[test]
    fn a_value_run_leaves_bundle_figures_and_pictures() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let out = run.to_str().unwrap();
        train(&tiny_value(&["--out", out]));
        let files = names(&run);
        for file in [
            "bundle",
            "checkpoints",
            "config.toml",
            "metrics.json",
            "reliability.png",
            "value.png",
        ] {
            assert!(files.iter().any(|name| name == file), "{file}: {files:?}");
        }
        assert!(!files.contains(&"rollouts".to_owned()), "{files:?}");
        let text = fs::read_to_string(run.join("metrics.json")).unwrap();
        let metrics: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(metrics["recorded_episodes"], 40);
        assert_eq!(metrics["episodes"], 4, "a tenth is held out");
        assert_eq!(metrics["calibration"].as_array().unwrap().len(), 20);
        let rate = metrics["rates"]["false_safe_rate"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&rate));

        let bundle = Bundle::load(&run.join("bundle")).unwrap();
        bundle.reach_avoid(&Robot::load("go1").unwrap()).unwrap();
        assert_eq!(bundle.switch().threshold, -0.3);

        // Done again from its end: the same value.
        let weights = || fs::read(run.join("bundle/reach-avoid.safetensors")).unwrap();
        let before = weights();
        train(&["train", "--resume", out]);
        assert_eq!(weights(), before);
        // And from its beginning.
        fs::remove_dir_all(run.join("checkpoints")).unwrap();
        train(&["train", "--resume", out]);
        assert_eq!(weights(), before);
    }

    #[test]
    fn a_value_is_learned_with_the_settings_of_the_robot_of_its_bundle() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let bundle = concat!(env!("CARGO_MANIFEST_DIR"), "/../policies/bundles/go2");
        train(&tiny_value(&[
            "--bundle",
            bundle,
            "--out",
            run.to_str().unwrap(),
        ]));
        let randomization = |text: &str| {
            let config: toml::Table = text.parse().unwrap();
            (
                config["robot"].clone(),
                config["reach_avoid"]["rollouts"]["randomization"].clone(),
            )
        };
        let of_run = fs::read_to_string(run.join("config.toml")).unwrap();
        let of = |robot| abs(&["config", "reach-avoid", "--robot", robot]).stdout;
        assert_eq!(randomization(&of_run), randomization(&of("go2")));
        assert_ne!(randomization(&of_run).1, randomization(&of("go1")).1);
    }

    #[test]
    fn ctrl_c_keeps_the_roll_outs() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let mut arguments = tiny_value(&["--out", run.to_str().unwrap()]);
        arguments.extend(["--set", "reach_avoid.rollouts.episodes=1_000_000"]);
        let process = Command::new(env!("CARGO_BIN_EXE_abs"))
            .args(&arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let rollouts = run.join("rollouts");
        let begin = Instant::now();
        while !rollouts.exists() || names(&rollouts).is_empty() {
            assert!(begin.elapsed() < Duration::from_secs(60), "does not begin");
            thread::sleep(Duration::from_millis(20));
        }
        let pid = process.id().to_string();
        let kill = Command::new("kill").args(["-INT", &pid]).status();
        assert!(kill.unwrap().success());
        let output = process.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        assert!(stderr.contains("--resume"), "{stderr}");
        assert!(!names(&rollouts).is_empty());
        // Those of another policy, seed or configuration are refused.
        let run = run.to_str().unwrap();
        let other = ["--set", "reach_avoid.rollouts.clearance_m=0.6"];
        let outcome = abs(&[&["train", "--resume", run][..], &other].concat());
        assert!(outcome.stderr.contains("remove it"), "{}", outcome.stderr);
    }
}
