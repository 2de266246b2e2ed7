//! The reach-avoid value, learned from a problem whose answer is known.

use std::sync::atomic::AtomicBool;

use learning::{Regression, RegressionError, ValueLearner};
use policies::{
    Activation, Mlp,
    reach_avoid::{ReachAvoidConfig, ReachAvoidValue, Rollouts, TargetKind, ValueReport},
};
use rand::RngExt;
use rand_pcg::Pcg64;

/// A runner on a line, observed as (speed, distance to the goal, distance to a wall). Walls within 1 m are run into at
/// more than 2 m/s; slower, the runner turns aside and goes on to the goal.
fn rollouts(episodes: usize, seed: u64) -> Rollouts {
    rollouts_observed(episodes, seed, 1.0)
}

/// The same with a factor on the observed goal distance.
fn rollouts_observed(episodes: usize, seed: u64, goal_scale: f32) -> Rollouts {
    let mut random = Pcg64::new(seed.into(), 0);
    let mut rollouts = Rollouts::new(3);
    for _ in 0..episodes {
        let speed = random.random_range(0.5..4.0_f32);
        let mut goal = random.random_range(1.0..6.0_f32);
        let mut wall = random.random_range(0.2..5.0_f32);
        let (mut rows, mut distances) = (Vec::new(), Vec::new());
        let mut collided = false;
        while !collided && distances.len() < 400 {
            collided = wall <= 0.0;
            rows.extend([speed, goal_scale * goal, wall]);
            distances.push(goal.abs());
            if goal <= 0.1 {
                break;
            }
            goal = (goal - 0.02 * speed).max(0.0);
            // Who is slow turns aside in front of the wall.
            wall = if speed > 2.0 || wall > 1.0 {
                wall - 0.02 * speed
            } else {
                5.0
            };
        }
        rollouts.push_episode(&rows, &distances, collided);
    }
    rollouts
}

fn config(target: TargetKind) -> ReachAvoidConfig {
    ReachAvoidConfig {
        hidden: vec![32, 32],
        target,
        learning_rate: 3e-3,
        final_learning_rate: 1e-4,
        batch_size: 512,
        epochs: match target {
            TargetKind::Course => 6,
            TargetKind::Bootstrap => 20,
        },
        ..ReachAvoidConfig::default()
    }
}

fn learned(config: &ReachAvoidConfig, rollouts: &Rollouts) -> Vec<policies::Linear> {
    let mut learner = ValueLearner::new(config.clone(), rollouts, 1).unwrap();
    let go_on = AtomicBool::new(false);
    learner
        .run::<RegressionError>(None, &go_on, |_, _| Ok(()))
        .unwrap();
    learner.layers()
}

#[test]
fn a_known_value_is_learned_with_its_sign() {
    let rollouts = rollouts(400, 3);
    for target in [TargetKind::Course, TargetKind::Bootstrap] {
        let layers = learned(&config(target), &rollouts);
        let mut value = ReachAvoidValue::new(layers.clone()).unwrap();
        let mut at = |speed, goal, wall| value.value(&[speed, goal, wall]);
        // The wall is behind the goal, or the runner is slow: safe. Fast into a near wall: not.
        assert!(
            at(3.0, 1.5, 4.0) < -0.1,
            "{target:?}: {}",
            at(3.0, 1.5, 4.0)
        );
        assert!(
            at(1.0, 4.0, 1.0) < -0.1,
            "{target:?}: {}",
            at(1.0, 4.0, 1.0)
        );
        assert!(at(3.5, 5.0, 0.5) > 0.3, "{target:?}: {}", at(3.5, 5.0, 0.5));
        assert!(at(2.5, 4.0, 1.0) > 0.3, "{target:?}: {}", at(2.5, 4.0, 1.0));

        let held_out = 360..400;
        let report = ValueReport::new(&layers, &rollouts, held_out, -0.05, 0.02).unwrap();
        assert!(report.collision_fraction > 0.05, "{report:?}");
        assert!(report.rates.false_safe_rate < 0.1, "{target:?}: {report:?}");
        assert!(
            report.rates.false_alarm_rate < 0.15,
            "{target:?}: {report:?}"
        );
    }
}

#[test]
fn the_stored_network_is_the_learned_one() {
    let rollouts = rollouts(40, 4);
    // One batch with everything: its error can be recomputed from the stored layers.
    let everything = ReachAvoidConfig {
        batch_size: usize::MAX,
        ..config(TargetKind::Course)
    };
    let mut whole = ValueLearner::new(everything, &rollouts, 1).unwrap();
    whole.step().unwrap();
    let layers = whole.layers();
    let mut network = Mlp::new(&layers, Activation::Relu, Activation::Tanh).unwrap();
    let (mut sum, mut count) = (0.0, 0);
    for episode in 0..whole.held_out_episodes().start {
        let targets = rollouts.course_targets(episode, 0.999_999, true);
        let mut values = vec![0.0; targets.len()];
        network.forward_batch(rollouts.observations(episode), &mut values);
        let squares = values
            .iter()
            .zip(&targets)
            .map(|(v, t)| f64::from(v - t).powi(2));
        sum += squares.sum::<f64>();
        count += targets.len();
    }
    assert_eq!(count, whole.num_rows());
    let loss = whole.step().unwrap();
    assert!(
        (loss - sum / count as f64).abs() < 1e-5,
        "{loss} {sum} {count}"
    );
}

#[test]
fn what_never_varies_has_no_weight() {
    let rollouts = rollouts_observed(40, 7, 0.0);
    let mut value = ReachAvoidValue::new(learned(&config(TargetKind::Course), &rollouts)).unwrap();
    let (one, other) = (value.value(&[1.0, 0.0, 2.0]), value.value(&[1.0, 9.0, 2.0]));
    assert!(one.is_finite() && one == other, "{one} {other}");
}

#[test]
fn a_resumed_learning_ends_as_one_that_never_stopped() {
    let rollouts = rollouts(60, 5);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("value.safetensors");
    for target in [TargetKind::Course, TargetKind::Bootstrap] {
        let config = ReachAvoidConfig {
            epochs: 2,
            ..config(target)
        };
        let whole = learned(&config, &rollouts);
        assert_eq!(learned(&config, &rollouts), whole, "the same again");

        let mut first = ValueLearner::new(config.clone(), &rollouts, 1).unwrap();
        // In the middle of the first epoch.
        for _ in 0..7 {
            first.step().unwrap();
        }
        first.save(&path).unwrap();
        let mut second = ValueLearner::new(config.clone(), &rollouts, 1).unwrap();
        second.load(&path).unwrap();
        assert_eq!(second.steps(), 7);
        let go_on = AtomicBool::new(false);
        let run = second.run::<RegressionError>(Some(&path), &go_on, |_, _| Ok(()));
        run.unwrap();
        assert_eq!(second.layers(), whole, "{target:?}");

        let mut other = ValueLearner::new(config.clone(), &rollouts, 2).unwrap();
        for _ in 0..other.total_steps() {
            other.step().unwrap();
        }
        assert_ne!(other.layers(), whole, "another seed");
    }
}

#[test]
fn a_set_stop_saves_and_ends() {
    let rollouts = rollouts(60, 6);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("value.safetensors");
    let mut learner = ValueLearner::new(config(TargetKind::Course), &rollouts, 1).unwrap();
    let stop = AtomicBool::new(true);
    let run = learner.run::<RegressionError>(Some(&path), &stop, |_, _| Ok(()));
    run.unwrap();
    assert_eq!(learner.steps(), 0);
    learner.load(&path).unwrap();
}

#[test]
fn what_cannot_be_learned_from_is_named() {
    let error = |config, rollouts: &Rollouts| {
        ValueLearner::new(config, rollouts, 1)
            .err()
            .unwrap()
            .to_string()
    };
    let course = || config(TargetKind::Course);
    let one = rollouts(1, 1);
    assert!(error(course(), &one).contains("1 episodes are too few"));
    let none = Rollouts::new(3);
    assert!(error(course(), &none).contains("0 episodes are too few"));
    let bad = ReachAvoidConfig {
        epochs: 0,
        ..course()
    };
    assert!(error(bad, &one).contains("reach_avoid.learning.epochs = 0"));

    let enough = rollouts(40, 1);
    let mut learner = ValueLearner::new(course(), &enough, 1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("value.safetensors");
    let mut load_error = |path: &std::path::Path| learner.load(path).unwrap_err().to_string();
    assert!(load_error(&path).contains("value.safetensors"));
    std::fs::write(&path, b"short").unwrap();
    assert!(load_error(&path).contains("not a whole checkpoint"));
    let wide = ReachAvoidConfig {
        hidden: vec![16],
        ..course()
    };
    let other = ValueLearner::new(wide, &enough, 1).unwrap();
    other.save(&path).unwrap();
    assert!(load_error(&path).contains("must be F32"));
}
