//! Training called from a program: a configuration goes in, events come out, and it stops when told to.

#![cfg(feature = "train")]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use abs::{
    config::{Config, Stage},
    train::{Callbacks, Event, Training, train},
};
use learning::Processes;
use robots::Robot;
use sim::engine::EngineKind;

/// Four iterations of 32 policy steps, the last two in stages of their own.
fn config() -> Config {
    let mut config = Config {
        threads: 2,
        ..Config::default()
    };
    config.env.num_envs = 4;
    config.env.engine = EngineKind::Rapier;
    config.algorithm.hidden = vec![16];
    config.algorithm.steps_per_rollout = 8;
    config.algorithm.total_policy_steps = 128;
    let stage = |from, set: &str| Stage {
        from,
        set: set.parse().unwrap(),
    };
    config.stages = vec![
        stage(64, "env.agile.rewards.agile = 500.0"),
        stage(96, "algorithm.epochs = 1"),
    ];
    config
}

/// Trains, and returns how many steps were done at each progress, and what was noted.
fn run(training: &Training, stop_after: u64) -> (Vec<u64>, String) {
    let stop = AtomicBool::new(false);
    let (mut steps, mut notes) = (Vec::new(), String::new());
    let mut tell = |event: Event<'_>| match event {
        Event::Progress { done, scalars, .. } => {
            assert!(scalars.iter().any(|(name, _)| name == "learner/reward"));
            steps.push(done);
            stop.store(done >= stop_after, Ordering::Relaxed);
        }
        Event::Note(line) | Event::Result(line) => notes += &(line + "\n"),
    };
    let callbacks = &mut Callbacks {
        stop: &stop,
        tell: &mut tell,
    };
    train(training, &Processes::join().unwrap(), callbacks).unwrap();
    (steps, notes)
}

fn new(config: Config, path: &Path) -> Training {
    let robot = Robot::load(&config.robot).unwrap();
    Training::new(config, robot, path.to_owned(), 1).unwrap()
}

#[test]
fn stages_in_one_session_equal_stages_that_go_through_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, parts] = ["whole", "parts"].map(|name| folder.path().join(name));
    let (steps, notes) = run(&new(config(), &whole), u64::MAX);
    assert_eq!(steps, [32, 64, 96, 128]);
    assert!(notes.contains("done after 128 steps"), "{notes}");

    // Stopped where the stages begin.
    let (steps, notes) = run(&new(config(), &parts), 64);
    assert_eq!(steps, [32, 64]);
    assert!(notes.contains("stopped after 64 steps"), "{notes}");
    let old = || Training::resume(config(), parts.clone(), 1).unwrap();
    assert_eq!(run(&old(), 96).0, [96]);
    let (steps, notes) = run(&old(), u64::MAX);
    assert_eq!(steps, [128]);
    assert!(notes.contains("resuming"), "{notes}");

    let files = |run: &Path| {
        let checkpoint = run.join("checkpoints/checkpoint-4");
        let names = [
            "learner.toml",
            "learner.safetensors",
            "envs-0.bin",
            "envs-1.bin",
        ];
        names.map(|name| fs::read(checkpoint.join(name)).unwrap())
    };
    let same = files(&whole).into_iter().zip(files(&parts));
    let same: Vec<bool> = same.map(|(whole, parts)| whole == parts).collect();
    assert_eq!(same, [true; 4], "bit for bit");
    // Without stages it would be another policy.
    let flat = folder.path().join("flat");
    let mut config = config();
    config.stages.clear();
    run(&new(config, &flat), u64::MAX);
    assert!(files(&whole)[1] != files(&flat)[1]);
}
