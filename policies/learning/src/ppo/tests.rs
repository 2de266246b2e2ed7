//! Advantages, losses and learning rate, computed by hand.

use policies::training::LagrangianConfig;

use super::*;

/// Advantages of one environment's rewards.
fn advantages(
    rewards: [f32; 3],
    values: [f32; 4],
    done: [Done; 3],
    timeouts: &[(usize, f32)],
    [gamma, lambda]: [f32; 2],
) -> Vec<f32> {
    let mut signal = Signal {
        rewards: rewards.into(),
        values: values.into(),
        advantages: vec![f32::NAN; 3],
        returns: vec![f32::NAN; 3],
    };
    signal.estimate(&done, timeouts, 1, gamma, lambda);
    for (i, value) in values[..3].iter().enumerate() {
        assert_eq!(signal.returns[i], signal.advantages[i] + value);
    }
    signal.advantages
}

/// gamma 0.5, lambda 0.5, so gamma * lambda = 0.25; values 1, 2, 3 and 4 after the last step; rewards 1, 1, 1.
fn halved(done: [Done; 3], timeouts: &[(usize, f32)]) -> Vec<f32> {
    advantages([1.0; 3], [1.0, 2.0, 3.0, 4.0], done, timeouts, [0.5, 0.5])
}

#[test]
fn an_episode_that_continues_is_bootstrapped_with_the_next_value() {
    // deltas: 1 + 0.5*2 - 1 = 1;  1 + 0.5*3 - 2 = 0.5;  1 + 0.5*4 - 3 = 0
    // advantages: 0;  0.5 + 0.25*0 = 0.5;  1 + 0.25*0.5 = 1.125
    assert_eq!(halved([Done::No; 3], &[]), [1.125, 0.5, 0.0]);
}

#[test]
fn a_termination_does_not_bootstrap() {
    // delta at the end of the episode: 1 + 0 - 2 = -1;  before it: 1 + 0.25 * -1 = 0.75
    assert_eq!(
        halved([Done::No, Done::Terminated, Done::No], &[]),
        [0.75, -1.0, 0.0]
    );
}

#[test]
fn a_timeout_is_bootstrapped_with_the_last_observation_of_its_own_episode() {
    // delta at the timeout: 1 + 0.5*10 - 2 = 4;  before it: 1 + 0.25*4 = 2
    assert_eq!(
        halved([Done::No, Done::Timeout, Done::No], &[(1, 10.0)]),
        [2.0, 4.0, 0.0]
    );
    // In the last step: 1 + 0.5*10 - 3 = 3, not the value 4 of the next episode.
    assert_eq!(
        halved([Done::No, Done::No, Done::Timeout], &[(2, 10.0)])[2],
        3.0
    );
}

#[test]
fn environments_do_not_mix_in_time_major_order() {
    let mut both = Signal {
        rewards: vec![1.0, 10.0, 2.0, 20.0],
        values: vec![0.0; 6],
        advantages: vec![0.0; 4],
        returns: vec![0.0; 4],
    };
    let done = [Done::No, Done::Timeout, Done::Timeout, Done::No];
    both.estimate(&done, &[(1, 100.0), (2, 1000.0)], 2, 0.5, 1.0);
    // env 0: step 1: 2 + 500 = 502, step 0: 1 + 0.5*502 = 252.  env 1: step 0: 10 + 50 = 60, step 1: 20.
    assert_eq!(both.advantages, [252.0, 60.0, 502.0, 20.0]);
}

#[test]
fn advantages_of_costs_have_a_lambda_of_their_own() {
    let lambda = LagrangianConfig::default().cost_lambda;
    assert_eq!(lambda, 0.97);
    let advantages = advantages(
        [0.0, 1.0, 0.0],
        [0.5, 0.25, 0.125, 9.0],
        [Done::No, Done::No, Done::Terminated],
        &[],
        [0.99, lambda],
    );
    // deltas: 0.99*0.25 - 0.5 = -0.2525;  1 + 0.99*0.125 - 0.25 = 0.87375;  -0.125;  gamma * lambda = 0.9603
    // advantages: -0.125;  0.87375 - 0.9603*0.125 = 0.7537125;  -0.2525 + 0.9603*0.7537125 = 0.4712901
    for (advantage, expected) in advantages.iter().zip([0.471_290_1, 0.753_712_5, -0.125]) {
        assert!((advantage - expected).abs() < 1e-6, "{advantages:?}");
    }
}

#[test]
fn the_learning_rate_follows_the_divergence_within_its_bounds() {
    let config = PpoConfig::fast();
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
fn one_row(advantage: f32) -> (f32, f32, f32) {
    let config = PpoConfig {
        clip: 0.2,
        entropy: 0.01,
        ..PpoConfig::fast()
    };
    let rollout = Rollout {
        actions: vec![1.0],
        means: vec![0.0],
        log_std: vec![0.0],
        rewards: Signal {
            advantages: vec![advantage],
            ..Signal::default()
        },
        ..Rollout::default()
    };
    let (mut mean_gradient, mut log_std_gradient) = ([0.0], [0.0]);
    let gradients = (&mut mean_gradient[..], &mut log_std_gradient[..]);
    let [surrogate, kl, clipped] =
        rollout.policy_loss((&[0], 1.0), &config, (&[0.5], &[0.0]), gradients);
    assert!((kl - 0.125).abs() < 1e-6, "0.5 * 0.5^2");
    assert_eq!(clipped, 1.0);
    (surrogate, mean_gradient[0], log_std_gradient[0])
}

#[test]
fn a_gain_beyond_the_clip_has_no_gradient_and_a_loss_beyond_it_has() {
    let (loss, mean, log_std) = one_row(2.0);
    assert!((loss + 1.2 * 2.0).abs() < 1e-6);
    assert_eq!(
        (mean, log_std),
        (0.0, -0.01),
        "only the entropy bonus is left"
    );

    let ratio = 0.375_f32.exp();
    let (loss, mean, log_std) = one_row(-2.0);
    assert!((loss - 2.0 * ratio).abs() < 1e-5);
    // d loss / d mean = 2 * ratio * z with z = 0.5;  d loss / d log_std = 2 * ratio * (z^2 - 1) - entropy
    assert!((mean - 2.0 * ratio * 0.5).abs() < 1e-5);
    assert!((log_std - (2.0 * ratio * -0.75 - 0.01)).abs() < 1e-5);
}

#[test]
fn the_value_loss_takes_the_worse_of_plain_and_clipped() {
    let signal = Signal {
        returns: vec![1.0],
        values: vec![0.0],
        ..Signal::default()
    };
    let loss = |value, clip| {
        let mut gradient = [0.0];
        let loss = signal.value_loss((&[0], 1.0), clip, &[value], &mut gradient);
        (loss, gradient[0])
    };
    assert_eq!(loss(0.5, None), (0.25, -1.0));
    // Clipped to 0.2: (0.2 - 1)^2 = 0.64 is worse, and flat.
    let (value, slope) = loss(0.5, Some(0.2));
    assert!((value - 0.64).abs() < 1e-6 && slope == 0.0);
    // Away from the target the plain error is worse.
    assert_eq!(loss(-0.5, Some(0.2)), (2.25, -3.0));
}
