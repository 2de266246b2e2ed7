//! Settings in layers: defaults, the recipe of the task, a preset, a file, flags. Later ones win.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context, Result, bail};
use policies::{settings, training::Algorithm};
use robots::Robot;
use sim::{
    reality::RealityConfig,
    scene::TestbedConfig,
    tasks::{RelativeSize, TASKS},
};
use toml::{Table, Value};

use super::{Config, Task, changes};

/// With an algorithm that takes collisions as costs they are not penalized too, in no stage.
fn collisions_as_costs() -> String {
    let sections = TASKS.iter().map(|task| {
        let keys = task.collision_penalties.iter();
        let keys = keys.map(|key| format!("env.{}.{key} = 0.0\n", task.name));
        keys.collect::<String>()
    });
    sections.collect()
}

/// Flags that change the configuration, shared by the commands.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
#[command(next_help_heading = "Configuration")]
pub struct ConfigArgs {
    /// Named settings in place of the recipe, or over it
    #[arg(long, value_enum)]
    pub preset: Option<Preset>,
    /// Read settings from a TOML file that holds what differs; `abs config TASK` prints all of them
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,
    /// Change one setting, e.g. `--set env.num_envs=512`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// Name of a shipped robot, or path of a robot folder [default: that of the bundle, else go1]
    #[arg(long, value_name = "NAME|DIR")]
    pub robot: Option<String>,
    /// Seed of every random stream [default: 1]
    #[arg(long, value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub seed: Option<u64>,
    /// Worker threads, 0 for all cores [default: 0]
    #[arg(long, visible_alias = "workers")]
    pub threads: Option<usize>,
    /// Scene of the test, for the commands that have it as a flag: after the file, before `--set`.
    #[arg(skip)]
    pub scene: Option<String>,
    /// Reality of the test, like the scene.
    #[arg(skip)]
    pub reality: Option<String>,
    /// Settings that a command brings, and their name: after scene and reality, before `--set`.
    #[arg(skip)]
    pub settings: Option<(String, Table)>,
}

/// Named settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// The paper's networks, passes, rewards and randomization, without stages, in place of the recipe
    Paper,
    /// For agile and reach-avoid: among walls and moving cylinders, with a previous scan. Start from a policy that can run (`--from`)
    People,
}

/// A configuration, and where its values come from.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// All settings.
    pub config: Config,
    /// For each setting that is not the default, by its key: what set it last.
    pub origins: BTreeMap<String, String>,
}

impl ConfigArgs {
    /// Adds `--set key=value`, for flags that stand for a key.
    pub fn set(&mut self, key: &str, value: Option<impl std::fmt::Display>) {
        self.sets
            .extend(value.map(|value| format!("{key}={value}")));
    }

    /// The configuration of a command that trains nothing.
    ///
    /// # Errors
    /// Names the file or flag, and the key, that is wrong.
    pub fn resolve(&self) -> Result<Config> {
        Ok(self.resolve_plain()?.config)
    }

    /// The same, with where the values come from.
    ///
    /// # Errors
    /// Names the file or flag, and the key, that is wrong.
    pub fn resolve_plain(&self) -> Result<Resolved> {
        self.lay(Config::default(), None)
    }

    /// The configuration with which a task is trained: the recipe of the task with what differs.
    ///
    /// # Errors
    /// Names the file or flag, and the key, that is wrong; so is a file of another task.
    pub fn resolve_task(&self, task: Task) -> Result<Resolved> {
        let defaults = Config {
            task,
            ..Config::default()
        };
        self.lay(defaults, Some(task))
    }

    /// The configuration of a run, changed.
    ///
    /// # Errors
    /// Names the file or flag, and the key, that is wrong.
    pub fn resolve_over(&self, run: Config) -> Result<Config> {
        Ok(self.lay(run, None)?.config)
    }

    fn lay(&self, base: Config, task: Option<Task>) -> Result<Resolved> {
        let resolved = self.lay_over(base.clone(), task, "", None)?;
        let costs = match (base.algorithm.name, resolved.config.algorithm.name) {
            (Algorithm::Ppo, Algorithm::PpoLagrangian) => collisions_as_costs(),
            _ => String::new(),
        };
        let robot = task
            .map(|_| Robot::load(&resolved.config.robot))
            .transpose()?;
        match (costs.is_empty(), robot) {
            (true, None) => Ok(resolved),
            (_, robot) => self.lay_over(base, task, &costs, robot.as_ref()),
        }
    }

    /// `costs`, TOML, comes after recipe and preset, then what follows from the size of `robot`.
    fn lay_over(
        &self,
        base: Config,
        task: Option<Task>,
        costs: &str,
        robot: Option<&Robot>,
    ) -> Result<Resolved> {
        let of_task = base.task;
        let mut resolved = Resolved {
            config: base,
            origins: BTreeMap::new(),
        };
        match (task, self.preset) {
            (Some(_), Some(Preset::Paper)) | (None, _) => {}
            (Some(task), _) => resolved.lay(settings::parse(task.recipe())?, "recipe")?,
        }
        match self.preset {
            Some(Preset::Paper) => {
                let of_task = of_task.paper()?;
                for paper in [include_str!("../../recipes/paper.toml"), of_task] {
                    resolved.lay(settings::parse(paper)?, "preset paper")?;
                }
            }
            Some(Preset::People) if matches!(of_task.name(), "agile" | "reach-avoid") => {
                let people = include_str!("../../recipes/people.toml");
                resolved.lay(settings::parse(people)?, "preset people")?;
            }
            Some(Preset::People) | None => {}
        }
        resolved.lay(settings::parse(costs)?, "ppo-lagrangian")?;
        if let Some(robot) = robot {
            resolved.scale_to(robot)?;
        }
        if let Some(path) = &self.config {
            let name = path.display().to_string();
            settings::read(path)
                .map_err(Into::into)
                .and_then(|layer| resolved.lay_asked(layer, &name, task))
                .context(name)?;
        }
        if let Some(scene) = &self.scene {
            let testbed = Value::try_from(TestbedConfig::load(scene)?)?;
            let layer = Table::from_iter([("testbed".to_owned(), testbed)]);
            let layer = Table::from_iter([("eval".to_owned(), Value::Table(layer))]);
            resolved.lay(layer, "--scene")?;
        }
        if let Some(reality) = &self.reality {
            let reality = Value::try_from(RealityConfig::load(reality)?)?;
            let layer = Table::from_iter([("reality".to_owned(), reality)]);
            resolved.lay(layer, "--reality")?;
        }
        if let Some((name, layer)) = &self.settings {
            resolved
                .lay(layer.clone(), name)
                .with_context(|| name.clone())?;
        }
        for set in &self.sets {
            settings::parse_set(set)
                .map_err(Into::into)
                .and_then(|layer| resolved.lay_asked(layer, "--set", task))
                .with_context(|| format!("--set {set}"))?;
        }
        let flags = [
            ("robot", self.robot.clone().map(Value::from)),
            ("seed", self.seed.map(|seed| (seed as i64).into())),
            ("threads", self.threads.map(|n| (n as i64).into())),
        ];
        for (key, value) in flags {
            if let Some(value) = value {
                let layer = Table::from_iter([(key.to_owned(), value)]);
                resolved.lay(layer, &format!("--{key}"))?;
            }
        }
        Ok(resolved)
    }
}

impl Resolved {
    /// Scales the settings of training, which are written for go1, in every stage.
    fn scale_to(&mut self, robot: &Robot) -> Result<()> {
        let size = RelativeSize::of(robot, &Robot::load("go1")?);
        let mut scaled = self.config.clone();
        for stage in &mut scaled.stages {
            let before = settings::overlaid(&self.config, stage.set.clone())?;
            for (key, value) in changes(&before, &before.scaled_to(size))? {
                replace(&mut stage.set, &key, value);
            }
        }
        let scaled = scaled.scaled_to(size);
        for key in changes(&self.config, &scaled)?.into_keys() {
            if key != "stages" {
                self.origins.insert(key, format!("size of {}", robot.name));
            }
        }
        self.config = scaled;
        Ok(())
    }

    /// Lays what the user asks for over what there is so far. It is of no other task.
    fn lay_asked(&mut self, layer: Table, from: &str, task: Option<Task>) -> Result<()> {
        if let (Some(task), Some(Value::String(other))) = (task, layer.get("task"))
            && other != task.name()
        {
            bail!("these are settings of `{other}`, not of `{}`", task.name());
        }
        self.lay(layer, from)
    }

    /// Lays settings over what there is so far. They hold in every stage, unless they bring stages of their own.
    fn lay(&mut self, layer: Table, from: &str) -> Result<()> {
        self.config.holds_throughout(&layer);
        note(&layer, "", from, &mut self.origins);
        self.config = settings::overlaid(&self.config, layer)?;
        Ok(())
    }
}

impl Config {
    /// What is written for the reference robot, for one of this size.
    fn scaled_to(&self, size: RelativeSize) -> Self {
        let mut scaled = self.clone();
        scaled.env.scale_to(size);
        scaled.reach_avoid.rollouts.randomization.scale_to(size);
        scaled
    }
}

/// Gives the setting at `key` a new value, if the table has it.
fn replace(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        Some((first, rest)) => {
            if let Some(Value::Table(inner)) = table.get_mut(first) {
                replace(inner, rest, value);
            }
        }
        None => {
            if let Some(old) = table.get_mut(key) {
                *old = value;
            }
        }
    }
}

/// Writes down that all keys of `layer` come `from` there.
fn note(layer: &Table, prefix: &str, from: &str, origins: &mut BTreeMap<String, String>) {
    for (key, value) in layer {
        let path = format!("{prefix}{key}");
        match value {
            Value::Table(inner) => note(inner, &format!("{path}."), from, origins),
            _ => {
                origins.insert(path, from.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use sim::tasks::EnvConfig;

    use super::*;

    fn args(sets: &[&str]) -> ConfigArgs {
        ConfigArgs {
            sets: sets.iter().map(|set| (*set).to_owned()).collect(),
            ..ConfigArgs::default()
        }
    }

    fn task(name: &str) -> Task {
        Task::named(name).unwrap()
    }

    #[test]
    fn a_training_is_told_apart_by_what_is_not_its_recipe() {
        let changes = |sets: &[&str]| {
            let config = args(sets).resolve_task(task("agile")).unwrap().config;
            config.changed_settings().unwrap()
        };
        let keys = |sets: &[&str]| changes(sets).into_keys().collect::<Vec<_>>();
        assert_eq!(keys(&[]), ["seed"]);
        let sets = ["env.agile.rewards.stall=-25", "seed=3", "env.num_envs=64"];
        assert_eq!(
            keys(&sets),
            ["env.agile.rewards.stall", "env.num_envs", "seed"]
        );
        assert_eq!(changes(&sets)["seed"], toml::Value::Integer(3));
    }

    fn recipe_of(task: Task) -> Config {
        ConfigArgs::default().resolve_task(task).unwrap().config
    }

    #[test]
    fn what_is_written_for_go1_follows_the_size_of_the_robot_unless_it_is_set() {
        let of = |robot: &str, sets: &[&str]| {
            let args = ConfigArgs {
                robot: Some(robot.to_owned()),
                ..args(sets)
            };
            args.resolve_task(task("agile")).unwrap()
        };
        let [go1, heavy] = ["go1", "anymal_b"].map(|robot| of(robot, &[]).config.env);
        let torque = |env: &EnvConfig| env.agile.regularizers.torque;
        // 2.53 times the mass on legs of 1.38 times the length: torques are 3.5 times as large.
        let ratio = torque(&go1) / torque(&heavy);
        assert!((11.0..13.5).contains(&ratio), "{ratio}");
        assert_eq!(
            go1.agile.regularizers.thigh_contact,
            heavy.agile.regularizers.thigh_contact
        );
        let set = of("anymal_b", &["env.agile.regularizers.torque=-0.0005"]);
        assert_eq!(torque(&set.config.env), -0.0005);
        let origins = of("anymal_b", &[]).origins;
        assert_eq!(origins["env.agile.regularizers.torque"], "size of anymal_b");
        // The stages of a recipe stay, with their values scaled.
        let recovery = |robot: &str| {
            let args = ConfigArgs {
                robot: Some(robot.to_owned()),
                ..args(&[])
            };
            let config = args.resolve_task(task("recovery")).unwrap().config;
            let stages = config.each_stage().unwrap();
            let stages = stages.into_iter().map(|stage| stage.env);
            stages.collect::<Vec<_>>()
        };
        let [go1, heavy] = ["go1", "anymal_b"].map(recovery);
        assert_eq!((go1.len(), heavy.len()), (2, 2));
        for (go1, heavy) in go1.iter().zip(&heavy) {
            let noise = |env: &EnvConfig| env.randomization.torque_noise_per_level_nm;
            let ratio = noise(heavy) / noise(go1);
            assert!((3.3..3.6).contains(&ratio), "{ratio}");
            assert_eq!(
                go1.recovery.rewards.velocity,
                heavy.recovery.rewards.velocity
            );
        }
        // A training of a robot is told apart by what it does not share with others of that robot.
        let changed = of("anymal_b", &[]).config.changed_settings().unwrap();
        assert!(!changed.contains_key("env.agile.regularizers.torque"));
    }

    #[test]
    fn later_layers_win_and_leave_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my.toml");
        fs::write(&path, "seed = 5\nthreads = 2\nrobot = \"go2\"").unwrap();
        let config = ConfigArgs {
            config: Some(path),
            threads: Some(4),
            ..args(&["seed=7", "seed=6", "threads=3"])
        }
        .resolve()
        .unwrap();
        assert_eq!(
            (config.robot.as_str(), config.seed, config.threads),
            ("go2", 6, 4)
        );
    }

    #[test]
    fn the_checkpoints_that_are_kept_can_be_gone_on_with() {
        let folder = crate::repository::root().join("policies/checkpoints");
        for run in fs::read_dir(folder).unwrap() {
            let config = run.unwrap().path().join("config.toml");
            Config::read(&config).unwrap();
        }
    }

    #[test]
    fn collisions_are_either_costs_or_penalties_unless_told_otherwise() {
        let weights = |sets: &[&str]| {
            let agile = args(sets).resolve().unwrap().env.agile;
            let contacts = &agile.regularizers;
            [
                agile.rewards.base_contact,
                contacts.thigh_contact,
                contacts.calf_contact,
                contacts.foot_horizontal_contact,
            ]
        };
        assert_eq!(weights(&["algorithm.name=ppo"]), [-100.0; 4]);
        assert_eq!(weights(&["algorithm.name=ppo-lagrangian"]), [0.0; 4]);
        let both = [
            "env.agile.regularizers.thigh_contact=-3",
            "algorithm.name=ppo-lagrangian",
        ];
        assert_eq!(weights(&both), [0.0, -3.0, 0.0, 0.0]);

        // In every stage of the recipe, and with the paper's settings.
        for preset in [None, Some(Preset::Paper)] {
            let lag = ConfigArgs {
                preset,
                ..args(&["algorithm.name=ppo-lagrangian"])
            };
            let config = lag.resolve_task(task("agile")).unwrap().config;
            assert_eq!(config.stages.is_empty(), preset.is_some());
            for stage in config.each_stage().unwrap() {
                assert_eq!(stage.env.agile.rewards.base_contact, 0.0);
                assert_eq!(stage.env.agile.regularizers.calf_contact, 0.0);
            }
        }
    }

    #[test]
    fn among_people_a_run_goes_on_as_the_recipe_ends() {
        let people = ConfigArgs {
            preset: Some(Preset::People),
            ..ConfigArgs::default()
        };
        let agile = people.resolve_task(task("agile")).unwrap().config;
        let recipe = recipe_of(task("agile")).each_stage().unwrap();
        let stages = agile.each_stage().unwrap();
        assert_eq!(stages.len(), 2);
        let end = recipe.last().unwrap();
        for stage in &stages {
            assert_eq!(stage.env.rays.previous_steps, 20);
            assert!(stage.env.agile.obstacles.moving_fraction > 0.0);
            assert!(stage.env.agile.obstacles.box_fraction > 0.0);
            assert_eq!(stage.env.agile.regularizers, end.env.agile.regularizers);
            assert_eq!(stage.env.agile.obstacles.x_m, end.env.agile.obstacles.x_m);
        }
        let value = people.resolve_task(Task::ReachAvoid).unwrap().config;
        let rollouts = &value.reach_avoid.rollouts;
        assert!(rollouts.agile.obstacles.moving_fraction > 0.0);
        assert_eq!(rollouts.episodes, 150_000);
        // It sees no rays.
        let recovery = people.resolve_task(task("recovery")).unwrap().config;
        assert_eq!(recovery, recipe_of(task("recovery")));
    }
}
