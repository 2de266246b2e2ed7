//! A task learned from nothing, and what can go wrong.

use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

use learning::{IterationReport, Runner, TrainError};
use policies::training::{PpoConfig, Precision, StdBound, VecEnv};
use policies::{Activation, Mlp};

use crate::point_env::PointEnv;

pub fn small() -> PpoConfig {
    PpoConfig {
        hidden: vec![32, 16],
        precision: Precision::F32,
        steps_per_rollout: 16,
        reward_scale: 1.0,
        std_bound: StdBound::off(),
        ..PpoConfig::fast()
    }
}

fn runner(config: PpoConfig, workers: usize) -> Runner {
    Runner::new(config, PointEnv::shards(workers, 64), 3).unwrap()
}

fn final_distance(mut runner: Runner) -> f64 {
    let mut distance = f64::NAN;
    let observer = |_: &Runner, report: &IterationReport| {
        distance = report.environments[0].value;
        assert_eq!(report.learner("skipped_minibatches"), Some(0.0));
        assert_eq!(report.environments[0].count, 64 * 16);
        ControlFlow::Continue(())
    };
    runner.run(None, &AtomicBool::new(false), observer).unwrap();
    distance
}

#[test]
fn a_point_learns_to_go_to_its_goal() {
    // Drawn uniformly from [-2, 2] and moved by one step at a time, the best mean distance is about 1/16 + noise; standing still gives 1.
    for (precision, workers) in [
        (Precision::F32, 1),
        (Precision::F32, 2),
        (Precision::Bf16, 2),
    ] {
        let bound = StdBound {
            enabled: true,
            start: 0,
            end: 100_000,
            from: 0.5,
            to: 0.1,
        };
        let config = PpoConfig {
            precision,
            total_policy_steps: 120_000,
            std_bound: bound,
            min_std: 0.01,
            ..small()
        };
        let distance = final_distance(runner(config, workers));
        assert!(
            distance < 0.25,
            "{precision:?}, {workers} workers: mean distance {distance}"
        );
    }
}

fn std(runner: &mut Runner) -> f64 {
    runner.iterate().unwrap().learner("std").unwrap()
}

fn skipped(runner: &mut Runner) -> f64 {
    let report = runner.iterate().unwrap();
    report.learner("skipped_minibatches").unwrap()
}

#[test]
fn the_std_stays_below_its_bound() {
    let bound = StdBound {
        enabled: true,
        start: 2048,
        end: 4096,
        from: 0.5,
        to: 0.25,
    };
    let mut runner = runner(
        PpoConfig {
            std_bound: bound,
            ..small()
        },
        2,
    );
    assert!(std(&mut runner) > 0.9);
    assert!((std(&mut runner) - 0.5).abs() < 0.01);
    runner.iterate().unwrap();
    assert!((std(&mut runner) - 0.25).abs() < 0.01);
}

#[test]
fn two_workers_compute_the_gradient_that_one_does_from_the_same_data() {
    // One minibatch with all rows, and hardly any noise in the actions: how the environments are divided is all that differs.
    let config = PpoConfig {
        epochs: 1,
        minibatches: 1,
        initial_std: 1e-4,
        min_std: 1e-5,
        entropy: 0.0,
        ..small()
    };
    let run = |parts: &[std::ops::Range<u64>]| {
        let envs = parts
            .iter()
            .map(|p| Box::new(PointEnv::part(p.clone(), 7)) as Box<dyn VecEnv>);
        Runner::new(config.clone(), envs.collect(), 5)
            .unwrap()
            .iterate()
            .unwrap()
    };
    let one = run(std::slice::from_ref(&(0..64)));
    for parts in [
        &[0..32, 32..64][..],
        &[0..48, 48..64],
        &[0..10, 10..20, 20..64],
    ] {
        let several = run(parts);
        assert_eq!(several.policy_steps, one.policy_steps);
        for name in [
            "reward",
            "value_loss",
            "critic_gradient_norm",
            "explained_variance",
        ] {
            let [a, b] = [&one, &several].map(|report| report.learner(name).unwrap());
            assert!(
                (a - b).abs() < 1e-3 * a.abs().max(0.1),
                "{parts:?}: {a} {b}"
            );
        }
    }
}

#[test]
fn a_nan_reward_is_skipped_counted_and_survived() {
    let mut env = PointEnv::new(64, 0);
    env.nan_reward_at = Some(20);
    let mut runner = Runner::new(small(), vec![Box::new(env)], 1).unwrap();
    assert_eq!(skipped(&mut runner), 0.0);
    let before = runner.actor_layers();
    assert_eq!(skipped(&mut runner), 12.0);
    assert_eq!(runner.actor_layers(), before);
    assert_eq!(skipped(&mut runner), 0.0);
    assert_ne!(runner.actor_layers(), before);
}

#[test]
fn nan_without_end_stops_with_one_line() {
    let mut env = PointEnv::new(8, 0);
    env.nan_observations = true;
    let mut runner = Runner::new(small(), vec![Box::new(env)], 1).unwrap();
    let error = runner
        .run(None, &AtomicBool::new(false), |_, _| {
            ControlFlow::Continue(())
        })
        .unwrap_err();
    assert!(
        matches!(
            error,
            TrainError::Diverged {
                iteration: 2,
                skipped: 24
            }
        ),
        "{error}"
    );
    assert!(!error.to_string().contains('\n'));
}

#[test]
fn a_worker_that_panics_ends_the_others_with_its_message() {
    let mut broken = PointEnv::new(8, 0);
    broken.panic_at = Some(3);
    let mut runner = Runner::new(
        small(),
        vec![Box::new(PointEnv::new(8, 1)), Box::new(broken)],
        1,
    )
    .unwrap();
    let error = runner.iterate().unwrap_err().to_string();
    assert!(
        error.contains("worker 1 panicked") && error.contains("the environment broke"),
        "{error}"
    );
}

#[test]
fn the_exported_layers_compute_what_the_learner_computes() {
    let mut runner = runner(small(), 1);
    for _ in 0..3 {
        runner.iterate().unwrap();
    }
    let observations = [0.5, 0.5, -1.5, 1.5, 0.1, 0.1];
    let expected = runner.mean_actions(&observations);
    let layers = runner.actor_layers();
    let mut network = Mlp::new(&layers, Activation::Elu, Activation::Identity).unwrap();
    for (observation, expected) in observations.chunks_exact(2).zip(expected) {
        let action = network.forward(observation)[0];
        assert!((action - expected).abs() < 1e-5, "{action} {expected}");
    }
}

#[test]
fn environments_that_do_not_fit_together_are_refused() {
    let error = Runner::new(small(), Vec::new(), 1)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("no environments"), "{error}");
    let envs: Vec<Box<dyn VecEnv>> =
        vec![Box::new(PointEnv::new(4, 0)), Box::new(PointEnv::new(0, 0))];
    let error = Runner::new(small(), envs, 1).err().unwrap().to_string();
    assert!(error.contains("shard 1 has 0 environments"), "{error}");
    let config = PpoConfig {
        epochs: 0,
        ..small()
    };
    let error = Runner::new(config, PointEnv::shards(1, 4), 1)
        .err()
        .unwrap()
        .to_string();
    assert_eq!(error, "algorithm.epochs = 0: must be at least 1");
}
