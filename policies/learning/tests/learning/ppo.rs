//! Advantages, learning rate, losses, and a task learned from nothing.

use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

use learning::{
    Learner, PolicyBatch, TrainError, Trajectories, ValueBatch, adapted_rate, estimate_advantages,
    policy_loss, value_loss,
};
use policies::training::{Done, VecEnv};
use policies::training::{PpoConfig, Precision, StdBound};
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

fn learner(config: PpoConfig, workers: usize) -> Learner {
    Learner::new(config, PointEnv::shards(workers, 64), 3).unwrap()
}

/// gamma 0.5, lambda 0.5, so gamma * lambda = 0.25; values 1, 2, 3 and 4 after the last step; rewards 1, 1, 1.
fn advantages(done: [Done; 3], terminal_values: &[(usize, f32)]) -> [f32; 3] {
    let mut advantages = [0.0; 3];
    let trajectories = Trajectories {
        num_envs: 1,
        rewards: &[1.0; 3],
        done: &done,
        values: &[1.0, 2.0, 3.0, 4.0],
        terminal_values,
    };
    estimate_advantages(&trajectories, 0.5, 0.5, &mut advantages);
    advantages
}

#[test]
fn an_episode_that_goes_on_is_bootstrapped_with_the_next_value() {
    // deltas: 1 + 0.5*2 - 1 = 1;  1 + 0.5*3 - 2 = 0.5;  1 + 0.5*4 - 3 = 0
    // advantages: 0;  0.5 + 0.25*0 = 0.5;  1 + 0.25*0.5 = 1.125
    assert_eq!(advantages([Done::No; 3], &[]), [1.125, 0.5, 0.0]);
}

#[test]
fn a_termination_does_not_bootstrap() {
    // delta at the end of the episode: 1 + 0 - 2 = -1;  before it: 1 + 0.25 * -1 = 0.75
    assert_eq!(
        advantages([Done::No, Done::Terminated, Done::No], &[]),
        [0.75, -1.0, 0.0]
    );
}

#[test]
fn a_time_out_is_bootstrapped_with_the_last_observation_of_its_own_episode() {
    // delta at the time-out: 1 + 0.5*10 - 2 = 4;  before it: 1 + 0.25*4 = 2
    assert_eq!(
        advantages([Done::No, Done::TimedOut, Done::No], &[(1, 10.0)]),
        [2.0, 4.0, 0.0]
    );
    // In the last step: 1 + 0.5*10 - 3 = 3, not the value 4 of the next episode.
    assert_eq!(
        advantages([Done::No, Done::No, Done::TimedOut], &[(2, 10.0)])[2],
        3.0
    );
}

#[test]
fn environments_do_not_mix_in_time_major_order() {
    let mut both = [0.0; 4];
    let trajectories = Trajectories {
        num_envs: 2,
        rewards: &[1.0, 10.0, 2.0, 20.0],
        done: &[Done::No, Done::TimedOut, Done::TimedOut, Done::No],
        values: &[0.0; 6],
        terminal_values: &[(1, 100.0), (2, 1000.0)],
    };
    estimate_advantages(&trajectories, 0.5, 1.0, &mut both);
    // env 0: step 1: 2 + 500 = 502, step 0: 1 + 0.5*502 = 252.  env 1: step 0: 10 + 50 = 60, step 1: 20.
    assert_eq!(both, [252.0, 60.0, 502.0, 20.0]);
}

#[test]
fn the_learning_rate_follows_the_divergence_within_its_bounds() {
    let config = small();
    assert_eq!(config.desired_kl, 0.01);
    let after = |rate, kl| adapted_rate(&config, rate, kl);
    let close = |a: f32, b: f32| assert!((a / b - 1.0).abs() < 1e-6, "{a} {b}");
    close(after(6e-4, 0.021), 4e-4);
    close(after(6e-4, 0.004), 9e-4);
    close(after(6e-4, 0.015), 6e-4);
    close(after(9e-4, 0.004), 1e-3);
    close(after(1.2e-5, 1.0), 1e-5);
}

/// One row, one action dimension. Old policy: mean 0, std 1; action 1. New: mean 0.5, std 1.
/// log ratio = 0.5 * (1 - 0.25) = 0.375, ratio = 1.4550.
fn one_row(advantage: f32) -> (f32, f32, f32, f32) {
    let mut mean_gradient = [0.0];
    let mut log_std_gradient = [0.0];
    let statistics = policy_loss(
        &PolicyBatch {
            rows: &[0],
            actions: &[1.0],
            old_means: &[0.0],
            old_log_std: &[0.0],
            advantages: &[advantage],
            means: &[0.5],
            log_std: &[0.0],
            clip: 0.2,
            entropy: 0.01,
        },
        &mut mean_gradient,
        &mut log_std_gradient,
    );
    assert!((statistics.kl - 0.125).abs() < 1e-6, "0.5 * 0.5^2");
    assert_eq!(statistics.clipped, 1.0);
    (
        statistics.surrogate,
        mean_gradient[0],
        log_std_gradient[0],
        statistics.kl,
    )
}

#[test]
fn a_gain_beyond_the_clip_has_no_gradient_and_a_loss_beyond_it_has() {
    let (loss, mean, log_std, _) = one_row(2.0);
    assert!((loss + 1.2 * 2.0).abs() < 1e-6);
    assert_eq!(
        (mean, log_std),
        (0.0, -0.01),
        "only the entropy bonus is left"
    );

    let ratio = 0.375_f32.exp();
    let (loss, mean, log_std, _) = one_row(-2.0);
    assert!((loss - 2.0 * ratio).abs() < 1e-5);
    // d loss / d mean = 2 * ratio * z with z = 0.5;  d loss / d log_std = 2 * ratio * (z^2 - 1) - entropy
    assert!((mean - 2.0 * ratio * 0.5).abs() < 1e-5);
    assert!((log_std - (2.0 * ratio * -0.75 - 0.01)).abs() < 1e-5);
}

#[test]
fn the_value_loss_takes_the_worse_of_plain_and_clipped() {
    let loss = |value, clip| {
        let mut gradient = [0.0];
        let batch = ValueBatch {
            rows: &[0],
            returns: &[1.0],
            old_values: &[0.0],
            values: &[value],
            clip,
        };
        let loss = value_loss(&batch, &mut gradient);
        (loss, gradient[0])
    };
    assert_eq!(loss(0.5, None), (0.25, -1.0));
    // Clipped to 0.2: (0.2 - 1)^2 = 0.64 is worse, and flat.
    let (value, slope) = loss(0.5, Some(0.2));
    assert!((value - 0.64).abs() < 1e-6 && slope == 0.0);
    // Away from the target the plain error is worse.
    assert_eq!(loss(-0.5, Some(0.2)), (2.25, -3.0));
}

fn final_distance(mut learner: Learner) -> f64 {
    let mut distance = f64::NAN;
    let observer = |_: &Learner, report: &learning::IterationReport| {
        distance = report.scalars[0].value;
        assert_eq!(report.skipped_minibatches, 0);
        assert_eq!(report.scalars[0].count, 64 * 16);
        ControlFlow::Continue(())
    };
    learner
        .run(None, &AtomicBool::new(false), observer)
        .unwrap();
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
        let distance = final_distance(learner(config, workers));
        assert!(
            distance < 0.25,
            "{precision:?}, {workers} workers: mean distance {distance}"
        );
    }
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
    let mut learner = learner(
        PpoConfig {
            std_bound: bound,
            ..small()
        },
        2,
    );
    assert!(learner.iterate().unwrap().std > 0.9);
    assert!((learner.iterate().unwrap().std - 0.5).abs() < 0.01);
    learner.iterate().unwrap();
    assert!((learner.iterate().unwrap().std - 0.25).abs() < 0.01);
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
        Learner::new(config.clone(), envs.collect(), 5)
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
        for (a, b) in [
            (one.reward, several.reward),
            (one.value_loss, several.value_loss),
            (one.critic_gradient_norm, several.critic_gradient_norm),
            (one.explained_variance, several.explained_variance),
        ] {
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
    let mut learner = Learner::new(small(), vec![Box::new(env)], 1).unwrap();
    assert_eq!(learner.iterate().unwrap().skipped_minibatches, 0);
    let before = learner.actor_layers();
    assert_eq!(learner.iterate().unwrap().skipped_minibatches, 12);
    assert_eq!(learner.actor_layers(), before);
    assert_eq!(learner.iterate().unwrap().skipped_minibatches, 0);
    assert_ne!(learner.actor_layers(), before);
}

#[test]
fn nan_without_end_stops_with_one_line() {
    struct Nan(PointEnv);
    impl VecEnv for Nan {
        fn num_envs(&self) -> usize {
            self.0.num_envs()
        }
        fn observation_dim(&self) -> usize {
            2
        }
        fn action_dim(&self) -> usize {
            1
        }
        fn observe(&mut self, observations: &mut [f32]) {
            observations.fill(f32::NAN);
        }
        fn step(&mut self, _: &[f32], out: policies::training::StepOut<'_>) {
            out.observations.fill(f32::NAN);
        }
        fn take_log(&mut self) -> Vec<policies::training::Scalar> {
            Vec::new()
        }
        fn save(&self) -> Vec<u8> {
            Vec::new()
        }
        fn load(&mut self, _: &[u8]) -> Result<(), String> {
            Ok(())
        }
    }
    let mut learner = Learner::new(small(), vec![Box::new(Nan(PointEnv::new(8, 0)))], 1).unwrap();
    let error = learner
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
    let mut learner = Learner::new(
        small(),
        vec![Box::new(PointEnv::new(8, 1)), Box::new(broken)],
        1,
    )
    .unwrap();
    let error = learner.iterate().unwrap_err().to_string();
    assert!(
        error.contains("worker 1 panicked") && error.contains("the environment broke"),
        "{error}"
    );
}

#[test]
fn the_exported_layers_compute_what_the_learner_computes() {
    let mut learner = learner(small(), 1);
    for _ in 0..3 {
        learner.iterate().unwrap();
    }
    let observations = [0.5, 0.5, -1.5, 1.5, 0.1, 0.1];
    let expected = learner.mean_actions(&observations);
    let layers = learner.actor_layers();
    let mut network = Mlp::new(&layers, Activation::Elu, Activation::Identity).unwrap();
    for (observation, expected) in observations.chunks_exact(2).zip(expected) {
        let action = network.forward(observation)[0];
        assert!((action - expected).abs() < 1e-5, "{action} {expected}");
    }
}

#[test]
fn environments_that_do_not_fit_together_are_refused() {
    let error = Learner::new(small(), Vec::new(), 1)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("no environments"), "{error}");
    let envs: Vec<Box<dyn VecEnv>> =
        vec![Box::new(PointEnv::new(4, 0)), Box::new(PointEnv::new(0, 0))];
    let error = Learner::new(small(), envs, 1).err().unwrap().to_string();
    assert!(error.contains("shard 1 has 0 environments"), "{error}");
    let config = PpoConfig {
        epochs: 0,
        ..small()
    };
    let error = Learner::new(config, PointEnv::shards(1, 4), 1)
        .err()
        .unwrap()
        .to_string();
    assert_eq!(error, "algorithm.epochs = 0: must be at least 1");
}
