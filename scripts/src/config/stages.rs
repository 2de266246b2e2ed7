//! Settings that change while a policy learns: a curriculum of settings.

use anyhow::{Context, Result, ensure};
use policies::settings::overlaid;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::Config;

/// The parts of the configuration that a stage may change.
const STAGED: [&str; 2] = ["env", "algorithm"];

/// Settings that hold from some policy step on. In TOML:
///
/// ```toml
/// [[stages]]
/// from = 40_000_000
/// set.env.agile.end_on_collision = true
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// First policy step, over all environments.
    pub from: u64,
    /// The settings, by their place in the configuration.
    pub set: Table,
}

impl Config {
    /// The configuration as it is after `policy_steps`, with all stages that have begun; it ends where the next one begins.
    ///
    /// # Errors
    /// Names the stage, and its key, that is wrong.
    pub fn at(&self, policy_steps: u64) -> Result<Self> {
        let mut config = Self {
            stages: Vec::new(),
            ..self.clone()
        };
        for (index, stage) in self.stages.iter().enumerate() {
            if stage.from <= policy_steps {
                config = overlaid(&config, stage.set.clone())
                    .with_context(|| format!("stages[{index}]"))?;
            }
        }
        let next = self.stages.iter().map(|stage| stage.from);
        let next = next.filter(|from| *from > policy_steps).min();
        let total = &mut config.algorithm.total_policy_steps;
        *total = next.map_or(*total, |next| next.min(*total));
        Ok(config)
    }

    /// The configuration of every stage, the first one included.
    ///
    /// # Errors
    /// Names the stage, and what is wrong with it.
    pub fn each_stage(&self) -> Result<Vec<Self>> {
        for (index, stage) in self.stages.iter().enumerate() {
            let before = index.checked_sub(1).map_or(0, |i| self.stages[i].from);
            ensure!(
                stage.from > before,
                "stages[{index}].from = {}: must be above {before}, where the stage before it begins",
                stage.from
            );
            if let Some(key) = stage.set.keys().find(|key| !STAGED.contains(&key.as_str())) {
                anyhow::bail!(
                    "stages[{index}].set.{key}: only `env` and `algorithm` change during a run"
                );
            }
        }
        let begins = std::iter::once(0).chain(self.stages.iter().map(|stage| stage.from));
        begins.map(|policy_steps| self.at(policy_steps)).collect()
    }

    /// What `layer` sets holds for the whole run: the stages no longer change it, unless the layer brings stages of its own.
    pub(super) fn holds_throughout(&mut self, layer: &Table) {
        if !layer.contains_key("stages") {
            for stage in &mut self.stages {
                remove(&mut stage.set, layer);
            }
            self.stages.retain(|stage| !stage.set.is_empty());
        }
    }
}

/// Removes from `table` every setting that `layer` has.
fn remove(table: &mut Table, layer: &Table) {
    for (key, value) in layer {
        match (table.get_mut(key), value) {
            (Some(Value::Table(inner)), Value::Table(layer)) => {
                remove(inner, layer);
                if inner.is_empty() {
                    table.remove(key);
                }
            }
            _ => {
                table.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ConfigArgs, Task};
    use super::*;

    const TEXT: &str = "
        [[stages]]
        from = 100
        set.env.agile.end_on_collision = true
        set.env.agile.rewards.agile = 15.0
        [[stages]]
        from = 300
        set.env.agile.rewards.agile = 18.0
        set.algorithm.desired_kl = 0.006";

    fn staged(text: &str) -> Result<Config> {
        Ok(overlaid(
            &Config::default(),
            text.parse::<Table>().unwrap(),
        )?)
    }

    #[test]
    fn each_stage_begins_at_its_step_and_keeps_what_the_earlier_ones_set() {
        let config = staged(TEXT).unwrap();
        let seen = |steps| {
            let at = config.at(steps).unwrap();
            let agile = &at.env.agile;
            (
                agile.end_on_collision,
                agile.rewards.agile,
                at.algorithm.desired_kl,
                at.algorithm.total_policy_steps,
            )
        };
        let total = config.algorithm.total_policy_steps;
        assert_eq!(seen(0), (false, 10.0, 0.01, 100));
        assert_eq!(seen(99), (false, 10.0, 0.01, 100));
        assert_eq!(seen(100), (true, 15.0, 0.01, 300));
        assert_eq!(seen(1_000), (true, 18.0, 0.006, total));
        assert_eq!(config.each_stage().unwrap().len(), 3);
    }

    #[test]
    fn what_a_flag_sets_no_stage_changes() {
        let args = ConfigArgs {
            sets: vec!["env.agile.rewards.agile=7.0".into()],
            ..ConfigArgs::default()
        };
        let config = args.resolve_over(staged(TEXT).unwrap()).unwrap();
        let last = config.at(1_000).unwrap();
        assert_eq!(last.env.agile.rewards.agile, 7.0);
        assert!(last.env.agile.end_on_collision);
        assert_eq!(last.algorithm.desired_kl, 0.006);
    }

    #[test]
    fn the_config_file_of_a_run_brings_its_stages_back() {
        let config = staged(TEXT).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, config.to_toml().unwrap()).unwrap();
        assert_eq!(Config::read(&path).unwrap(), config);
    }

    #[test]
    fn a_wrong_stage_is_named_with_its_key() {
        let error = |text: &str| format!("{:#}", staged(text).unwrap().each_stage().unwrap_err());
        assert!(
            error("[[stages]]\nfrom = 5\nset.env.num_env = 3")
                .starts_with("stages[0]: unknown key `env.num_env`; did you mean `env.num_envs`?")
        );
        assert_eq!(
            error("[[stages]]\nfrom = 5\nset.robot = \"go2\""),
            "stages[0].set.robot: only `env` and `algorithm` change during a run"
        );
        assert!(
            error("[[stages]]\nfrom = 5\nset = {}\n[[stages]]\nfrom = 5\nset = {}")
                .starts_with("stages[1].from = 5: must be above 5")
        );
    }

    #[test]
    fn the_stages_of_every_recipe_are_sound() {
        for &task in Task::all() {
            let resolved = ConfigArgs::default().resolve_task(task).unwrap();
            for stage in resolved.config.each_stage().unwrap() {
                stage.env.validate().unwrap();
                stage.algorithm.validate().unwrap();
            }
        }
    }
}
