//! What the learner is told: the algorithm's configuration. No libtorch here, so that every program can read a run's config.

use serde::{Deserialize, Serialize};

use super::InvalidConfig;

/// Proximal policy optimization. Steps are policy steps, summed over all environments, unless said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PpoConfig {
    /// Which algorithm.
    pub name: Algorithm,
    /// What `ppo-lagrangian` has besides.
    pub lagrangian: LagrangianConfig,
    /// Widths of the hidden layers of actor and critic, each 1 to 8192. The activation is ELU.
    pub hidden: Vec<usize>,
    /// Number format of the networks' products; weights, optimizer and last layers are always float32.
    pub precision: Precision,
    /// Where the networks are evaluated and differentiated. Environments, losses and optimizer are on the CPU.
    pub device: Device,
    /// Discount per policy step, in [0, 1).
    pub gamma: f32,
    /// GAE's trade between bias (0) and variance (1), in [0, 1].
    pub lambda: f32,
    /// The probability ratio counts within [1 - clip, 1 + clip], and value steps within +/- clip if `value_clip`; in (0, 1).
    pub clip: f32,
    /// Clips value steps too (paper: yes).
    pub value_clip: bool,
    /// Policy steps of each environment per iteration, at least 1.
    pub steps_per_rollout: usize,
    /// Passes over each rollout, at least 1.
    pub epochs: usize,
    /// Optimizer steps per pass, at least 1.
    pub minibatches: usize,
    /// Step size, adapted to `desired_kl`.
    pub learning_rate: LearningRate,
    /// Divergence of the policy per minibatch that the learning rate is adapted to, 0 or more; 0 keeps the rate fixed.
    pub desired_kl: f32,
    /// Weight of the entropy bonus, 0 or more.
    pub entropy: f32,
    /// Largest gradient norm of the actor, above 0.
    pub actor_gradient_norm: f32,
    /// Largest gradient norm of the critic, above 0.
    pub critic_gradient_norm: f32,
    /// Factor on the rewards before they reach the critic, above 0.
    pub reward_scale: f32,
    /// Gain of the actor's last layer at the start, above 0: small, so that the first mean actions are near zero.
    pub last_layer_gain: f32,
    /// Standard deviation of the actions at the start, `min_std` or more.
    pub initial_std: f32,
    /// Lower bound on the standard deviation, above 0.
    pub min_std: f32,
    /// Upper bound on the standard deviation late in training.
    pub std_bound: StdBound,
    /// Iterations over which the exported policy averages the actor's weights, exponentially; 0 exports the newest weights.
    pub averaged_iterations: u32,
    /// Training ends after this many policy steps, at least 1.
    pub total_policy_steps: u64,
    /// Iterations from one checkpoint to the next, at least 1.
    pub checkpoint_interval: u64,
    /// Number of checkpoints kept, the newest ones, at least 1.
    pub keep_checkpoints: usize,
}

/// What learns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// PPO (Schulman et al., 2017): collisions are penalties in the reward.
    #[default]
    Ppo,
    /// PPO-Lagrangian (Ray et al., 2019), the paper's baseline LAG: collisions are costs, with a critic of their own, and bounded per episode.
    PpoLagrangian,
}

/// How costs are bounded. A multiplier weighs them against the rewards; it rises while episodes cost more than the limit and falls, down to 0,
/// while they cost less.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LagrangianConfig {
    /// Multiplier at the start, 0 or more: the reward, unscaled, that one unit of cost is worth.
    pub multiplier: f32,
    /// What an iteration adds to the multiplier for each unit of cost per episode above the limit, 0 or more.
    pub rate: f32,
    /// Mean cost of an episode that is allowed, 0 or more.
    pub cost_limit: f32,
    /// GAE's lambda for the costs, in [0, 1].
    pub cost_lambda: f32,
}

/// Start and range of the learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LearningRate {
    /// Learning rate at the start, between `min` and `max`.
    pub start: f32,
    /// Lower bound, above 0.
    pub min: f32,
    /// Upper bound. 1e-2 has diverged.
    pub max: f32,
}

/// A bound on the actions' standard deviation that shrinks, so that the mean action learns to do what until then only the sampled one did.
/// Without it a policy evaluated deterministically may stand where the sampled one walks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StdBound {
    /// Whether there is such a bound.
    pub enabled: bool,
    /// Policy step at which the bound begins, at `from`.
    pub start: u64,
    /// Policy step from which on the bound is `to`, `start` or more; geometric in between.
    pub end: u64,
    /// Bound at `start`, above 0.
    pub from: f32,
    /// Bound from `end` on, between `min_std` and `from`.
    pub to: f32,
}

/// What evaluates and differentiates the networks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// The CPU.
    #[default]
    Cpu,
    /// The first CUDA device.
    Cuda,
}

/// Number format of the networks' products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// bfloat16 where the CPU computes with it (AMX or AVX-512 BF16), else float32; float32 on a CUDA device.
    Auto,
    /// bfloat16.
    Bf16,
    /// float32.
    F32,
}

impl Default for PpoConfig {
    fn default() -> Self {
        Self::fast()
    }
}

impl Default for LagrangianConfig {
    fn default() -> Self {
        Self {
            multiplier: 1.0,
            rate: 1e-3,
            cost_limit: 0.0,
            cost_lambda: 0.97,
        }
    }
}

impl Default for LearningRate {
    fn default() -> Self {
        Self {
            start: 1e-3,
            min: 1e-5,
            max: 1e-3,
        }
    }
}

impl Default for StdBound {
    fn default() -> Self {
        Self {
            enabled: true,
            start: 20_000_000,
            end: 60_000_000,
            from: 0.6,
            to: 0.2,
        }
    }
}

impl StdBound {
    /// No bound.
    #[must_use]
    pub fn off() -> Self {
        Self {
            enabled: false,
            ..Self::default()
        }
    }

    /// The bound after `policy_steps`; `None` before it begins.
    #[must_use]
    pub fn at(&self, policy_steps: u64) -> Option<f32> {
        if !self.enabled || policy_steps < self.start {
            return None;
        }
        let span = self.end.saturating_sub(self.start).max(1);
        let progress = ((policy_steps - self.start) as f64 / span as f64).min(1.0) as f32;
        Some(self.from * (self.to / self.from).powf(progress))
    }
}

impl PpoConfig {
    /// Smaller networks, shorter rollouts and fewer passes than the paper's: about three times faster per policy step at similar progress.
    #[must_use]
    pub fn fast() -> Self {
        Self {
            name: Algorithm::Ppo,
            lagrangian: LagrangianConfig::default(),
            hidden: vec![256, 128, 64],
            precision: Precision::Auto,
            device: Device::Cpu,
            gamma: 0.99,
            lambda: 0.95,
            clip: 0.2,
            value_clip: false,
            steps_per_rollout: 24,
            epochs: 3,
            minibatches: 4,
            learning_rate: LearningRate::default(),
            desired_kl: 0.01,
            entropy: 0.003,
            actor_gradient_norm: 1.0,
            critic_gradient_norm: 1.0,
            reward_scale: 0.1,
            last_layer_gain: 0.01,
            initial_std: 1.0,
            min_std: 0.05,
            std_bound: StdBound::default(),
            averaged_iterations: 0,
            total_policy_steps: 80_000_000,
            checkpoint_interval: 100,
            keep_checkpoints: 3,
        }
    }

    /// The paper's networks and algorithm (section IV-A and its reference code).
    #[must_use]
    pub fn paper() -> Self {
        Self {
            hidden: vec![512, 256, 128],
            value_clip: true,
            steps_per_rollout: 48,
            epochs: 5,
            reward_scale: 1.0,
            last_layer_gain: 1.0,
            min_std: 0.01,
            std_bound: StdBound::off(),
            ..Self::fast()
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// One line that names the field, its value, and what would be right.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let above_zero =
            |field, value: f32| check(field, value, value > 0.0 && value.is_finite(), "above 0");
        let not_negative =
            |field, value: f32| check(field, value, value >= 0.0 && value.is_finite(), "0 or more");
        let fraction =
            |field, value: f32| check(field, value, (0.0..=1.0).contains(&value), "in [0, 1]");
        let at_least_1 = |field, value: u64| check(field, value, value > 0, "at least 1");

        let hidden = !self.hidden.is_empty() && self.hidden.iter().all(|w| (1..=8192).contains(w));
        let widths = format!("{:?}", self.hidden);
        check("hidden", widths, hidden, "one or more widths of 1 to 8192")?;
        let gamma = (0.0..1.0).contains(&self.gamma);
        check("gamma", self.gamma, gamma, "in [0, 1)")?;
        fraction("lambda", self.lambda)?;
        let clip = self.clip > 0.0 && self.clip < 1.0;
        check("clip", self.clip, clip, "in (0, 1)")?;
        at_least_1("steps_per_rollout", self.steps_per_rollout as u64)?;
        at_least_1("epochs", self.epochs as u64)?;
        at_least_1("minibatches", self.minibatches as u64)?;
        at_least_1("keep_checkpoints", self.keep_checkpoints as u64)?;
        at_least_1("checkpoint_interval", self.checkpoint_interval)?;
        at_least_1("total_policy_steps", self.total_policy_steps)?;

        let LearningRate { start, min, max } = self.learning_rate;
        above_zero("learning_rate.min", min)?;
        let between = (min..=max).contains(&start);
        let right = "between learning_rate.min and max";
        check("learning_rate.start", start, between, right)?;
        check("learning_rate.max", max, max.is_finite(), "finite")?;
        not_negative("desired_kl", self.desired_kl)?;
        not_negative("entropy", self.entropy)?;
        above_zero("actor_gradient_norm", self.actor_gradient_norm)?;
        above_zero("critic_gradient_norm", self.critic_gradient_norm)?;
        above_zero("reward_scale", self.reward_scale)?;
        above_zero("last_layer_gain", self.last_layer_gain)?;
        above_zero("min_std", self.min_std)?;
        let std = self.initial_std >= self.min_std && self.initial_std.is_finite();
        check("initial_std", self.initial_std, std, "min_std or more")?;
        not_negative("lagrangian.multiplier", self.lagrangian.multiplier)?;
        not_negative("lagrangian.rate", self.lagrangian.rate)?;
        not_negative("lagrangian.cost_limit", self.lagrangian.cost_limit)?;
        fraction("lagrangian.cost_lambda", self.lagrangian.cost_lambda)?;

        let bound = self.std_bound;
        if bound.enabled {
            above_zero("std_bound.from", bound.from)?;
            let to = bound.to >= self.min_std && bound.to <= bound.from;
            let right = "between min_std and std_bound.from";
            check("std_bound.to", bound.to, to, right)?;
            let end = bound.end >= bound.start;
            check("std_bound.end", bound.end, end, "std_bound.start or more")?;
        }
        Ok(())
    }
}

fn check(
    field: &'static str,
    value: impl ToString,
    ok: bool,
    right: &'static str,
) -> Result<(), InvalidConfig> {
    InvalidConfig::unless(ok, "algorithm", field, value, right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid_and_survive_toml() {
        for config in [PpoConfig::fast(), PpoConfig::paper()] {
            config.validate().unwrap();
            let text = toml::to_string(&config).unwrap();
            assert_eq!(
                toml::from_str::<PpoConfig>(&text).unwrap(),
                config,
                "{text}"
            );
        }
    }

    #[test]
    fn a_field_out_of_range_is_named_with_its_value() {
        let mut config = PpoConfig::fast();
        config.gamma = 1.5;
        assert_eq!(
            config.validate().unwrap_err().to_string(),
            "algorithm.gamma = 1.5: must be in [0, 1)"
        );
        config = PpoConfig::fast();
        config.reward_scale = f32::NAN;
        assert!(
            config
                .validate()
                .unwrap_err()
                .to_string()
                .contains("reward_scale = NaN")
        );
        config = PpoConfig::fast();
        config.learning_rate.start = 1.0;
        assert!(
            config
                .validate()
                .unwrap_err()
                .to_string()
                .contains("learning_rate.start = 1")
        );
        config = PpoConfig::fast();
        config.lagrangian.rate = -0.001;
        assert_eq!(
            config.validate().unwrap_err().to_string(),
            "algorithm.lagrangian.rate = -0.001: must be 0 or more"
        );
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let error = toml::from_str::<PpoConfig>("gama = 0.9").unwrap_err();
        assert!(error.to_string().contains("gama"), "{error}");
        let error = toml::from_str::<PpoConfig>("name = \"trpo\"").unwrap_err();
        assert!(error.message().contains("`ppo-lagrangian`"), "{error}");
    }

    #[test]
    fn the_std_bound_begins_then_shrinks_geometrically_then_stays() {
        let bound = StdBound {
            enabled: true,
            start: 100,
            end: 300,
            from: 0.8,
            to: 0.2,
        };
        assert_eq!(bound.at(99), None);
        assert_eq!(bound.at(100), Some(0.8));
        assert!((bound.at(200).unwrap() - 0.4).abs() < 1e-6);
        assert!((bound.at(1_000_000).unwrap() - 0.2).abs() < 1e-6);
    }
}
