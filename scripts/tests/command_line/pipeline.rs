//! `abs train` through several stages, and `abs train all`.

use std::fs;

use policies::Bundle;
use robots::Robot;

use crate::{abs, assert_refused, training::TINY};

/// Iterations of 32 policy steps.
const TINY_TOML: &str = "
    threads = 2
    [env]
    num_envs = 4
    engine = 'rapier'
    [algorithm]
    hidden = [16]
    steps_per_rollout = 8
    total_policy_steps = 128
    [[stages]]
    from = 32
    set.env.agile.rewards.agile = 500.0
    [[stages]]
    from = 96
    set.env.num_envs = 6
";

#[track_caller]
fn train(arguments: &[&str]) -> String {
    let outcome = abs(&[&["train"], arguments].concat());
    assert!(outcome.success, "{}", outcome.stderr);
    outcome.stderr
}

#[test]
fn a_run_goes_through_its_stages_and_goes_on_within_them() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let config = at("my.toml");
    fs::write(&config, TINY_TOML).unwrap();
    let weights = |run: &str| fs::read(format!("{run}/bundle/agile.safetensors")).unwrap();

    let whole = at("whole");
    let said = train(&["agile", "--config", &config, "--out", &whole]);
    assert!(said.contains("with fresh episodes"), "{said}");
    assert_eq!(said.matches("done after").count(), 1, "{said}");
    let bundle = Bundle::load(format!("{whole}/bundle").as_ref()).unwrap();
    // Three iterations of 4 environments, one of 6.
    assert_eq!(
        bundle.spec.networks["agile"].provenance.policy_steps,
        3 * 32 + 48
    );

    // Stopped in the middle of a stage.
    let parts = at("parts");
    let until = ["--set", "algorithm.total_policy_steps=64"];
    train(&[&["agile", "--config", &config, "--out", &parts], &until[..]].concat());
    assert_ne!(weights(&parts), weights(&whole));
    train(&[
        "--resume",
        &parts,
        "--set",
        "algorithm.total_policy_steps=128",
    ]);
    assert_eq!(weights(&parts), weights(&whole));

    // What a flag sets, no stage changes.
    let flat = at("flat");
    let set = ["--set", "env.agile.rewards.agile=10"];
    train(&[&["agile", "--config", &config, "--out", &flat], &set[..]].concat());
    assert_ne!(weights(&flat), weights(&whole));

    let wrong = TINY_TOML.replace("set.env.num_envs = 6", "set.env.num_envs = 0");
    fs::write(&config, wrong).unwrap();
    assert_refused(
        &["train", "agile", "--config", &config, "--out", &at("wrong")],
        &["env.num_envs", "at least 1"],
    );
}

#[test]
fn all_trains_a_bundle_and_goes_on_with_what_is_not_done() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("all").to_str().unwrap().to_owned();
    let value = [
        "stages=[]",
        "reach_avoid.rollouts.episodes=40",
        "reach_avoid.rollouts.recovering_fraction=0",
        "reach_avoid.rollouts.agile.episode_s=[0.4,0.5]",
        "reach_avoid.rollouts.run_up_s=[0.1,0.2]",
        "reach_avoid.learning.hidden=[8]",
        "reach_avoid.learning.batch_size=32",
        "reach_avoid.learning.epochs=2",
    ];
    let sets = value.iter().flat_map(|set| ["--set", set]);
    let arguments: Vec<&str> = ["all", "--out", &out]
        .into_iter()
        .chain(TINY)
        .chain(sets)
        .collect();
    train(&arguments);

    let load = |run: &str| Bundle::load(format!("{out}/{run}").as_ref()).unwrap();
    let bundle = load("bundle");
    let robot = Robot::load("go1").unwrap();
    bundle.policy("agile", &robot).unwrap();
    bundle.policy("recovery", &robot).unwrap();
    bundle.reach_avoid(&robot).unwrap();
    let weights = |file: &str| fs::read(format!("{out}/{file}.safetensors")).unwrap();
    assert_eq!(weights("bundle/agile"), weights("agile/bundle/agile"));
    assert_eq!(
        weights("bundle/recovery"),
        weights("recovery/bundle/recovery")
    );

    // As if it had been ended before the value was learned.
    fs::remove_file(format!("{out}/reach-avoid/metrics.json")).unwrap();
    fs::remove_dir_all(format!("{out}/bundle")).unwrap();
    let said = train(&["--resume", &out]);
    assert!(
        !said.contains("training in"),
        "the policies are done: {said}"
    );
    load("bundle").reach_avoid(&robot).unwrap();

    assert_refused(
        &["train", "--resume", &out, "--set", "seed=3"],
        &["three runs", "agile --set"],
    );
    assert_refused(
        &["train", "all", "--out", &out],
        &["holds runs already", "--resume"],
    );
    assert_refused(
        &["train", "all", "--bundle", &out],
        &["--bundle", "`reach-avoid` and `rays`"],
    );
}

#[test]
fn a_run_begins_with_the_networks_of_another_robot_that_saw_less() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (old, new) = (at("old"), at("new"));
    let narrow = [
        "--set",
        "env.privileged_critic=false",
        "--set",
        "env.rays={count=11,first_rad=-0.7853982,last_rad=0.7853982}",
    ];
    train(&[&["agile", "--out", &old][..], &TINY, &narrow].concat());
    let from = ["--from", &old, "--out", &new];
    let said = train(&[&["agile", "--robot", "go2"][..], &from, &TINY].concat());
    // All that the old actor saw; not 16 rays to the sides, nor 31 elements for the critic.
    assert!(said.contains("know 61 of 108 inputs"), "{said}");
    let bundle = Bundle::load(format!("{new}/bundle").as_ref()).unwrap();
    bundle
        .policy("agile", &Robot::load("go2").unwrap())
        .unwrap();

    let refused = |arguments: &[&str], parts: &[&str]| {
        let none = at("none");
        assert_refused(
            &[
                &["train"],
                &arguments[..1],
                &TINY,
                &["--out", &none],
                &arguments[1..],
            ]
            .concat(),
            parts,
        );
        assert!(!folder.path().join("none").exists(), "{arguments:?}");
    };
    refused(
        &["recovery", "--from", &old],
        &["learned `agile`", "`recovery`"],
    );
    refused(&["reach-avoid", "--from", &old], &["--from is for"]);
    refused(
        &["agile", "--from", &at("nowhere")],
        &["nowhere", "not a run"],
    );
    refused(
        &["agile", "--from", &old, "--set", "algorithm.hidden=[8]"],
        &["actor.layers.0.weight", "must be"],
    );
}
