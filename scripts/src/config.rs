//! The one configuration of everything: defaults, then a preset, then a file, then `--set`.

mod stages;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use controller::{ControllerConfig, deploy::DeployConfig, settings};
use policies::{
    algorithm::{Algorithm, PpoConfig},
    depth::RayLearningConfig,
    reach_avoid::{DEFAULT_MIN_GAIN, DEFAULT_THRESHOLD, ReachAvoidConfig},
};
use serde::{Deserialize, Serialize};
use sim::{
    depth::RecordingConfig, engine::PhysicsConfig, env::EnvConfig, eval::EvalConfig,
    reach_avoid::RolloutConfig, scene::TestbedConfig,
};
use toml::Table;

pub use stages::Stage;

/// All settings. Every field is a TOML key, and a `--set key=value` on the command line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What is trained.
    pub task: Task,
    /// Name of a robot that is shipped, or path of a robot folder.
    pub robot: String,
    /// Seed of every random stream.
    pub seed: u64,
    /// Worker threads; 0 stands for all cores, or for one in each of several processes. Evaluation does not depend on it. Training does in the last digits,
    /// because each worker learns from its own share of the environments.
    pub threads: usize,
    /// Physics step, decimation, gravity, motors: of training, evaluation and recordings alike.
    pub physics: PhysicsConfig,
    /// Training environments: randomization, curriculum, rewards.
    pub env: EnvConfig,
    /// Learning.
    pub algorithm: PpoConfig,
    /// What runs on the robot: switch and safety limits.
    pub controller: ControllerConfig,
    /// What runs around the controller on a robot: postures, faults, state estimate.
    pub deploy: DeployConfig,
    /// How a robot is reached over ROS 2: network, topics, frames, lidar.
    #[cfg(feature = "ros2")]
    pub ros2: controller::ros2::Ros2Config,
    /// The paper's test.
    pub eval: EvalConfig,
    /// The reach-avoid value.
    pub reach_avoid: ReachAvoidSettings,
    /// Rays from depth images.
    pub depth: DepthSettings,
    /// Settings that change while a policy learns, by policy step.
    pub stages: Vec<Stage>,
}

/// How rays are learned from depth images.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DepthSettings {
    /// The images.
    pub recording: RecordingConfig,
    /// The network and how it learns.
    pub learning: RayLearningConfig,
}

/// How the reach-avoid value is learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReachAvoidSettings {
    /// Values below this are safe; the bundle keeps it. In (-1, 1).
    pub threshold: f32,
    /// The recovery policy acts only on a twist that lowers the value by this; a property of the bundle, like the threshold.
    pub min_gain: f32,
    /// Learn from the measured v_z, w_x and w_y; if not, from zeros, which is what the switch shows the value by default.
    pub measured_twist: bool,
    /// Folder of roll-outs to learn from; those that are missing in it are recorded. Without it they are recorded in
    /// the run folder, and removed at the end.
    pub rollout_folder: Option<PathBuf>,
    /// The network and how it learns.
    pub learning: ReachAvoidConfig,
    /// The episodes that it learns from.
    pub rollouts: RolloutConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            task: Task::Agile,
            robot: "go1".into(),
            seed: 1,
            threads: 0,
            physics: PhysicsConfig::default(),
            env: EnvConfig::default(),
            algorithm: PpoConfig::default(),
            controller: ControllerConfig::default(),
            deploy: DeployConfig::default(),
            #[cfg(feature = "ros2")]
            ros2: controller::ros2::Ros2Config::default(),
            eval: EvalConfig::default(),
            reach_avoid: ReachAvoidSettings::default(),
            depth: DepthSettings::default(),
            stages: Vec::new(),
        }
    }
}

impl Default for ReachAvoidSettings {
    fn default() -> Self {
        Self {
            threshold: DEFAULT_THRESHOLD,
            min_gain: DEFAULT_MIN_GAIN,
            measured_twist: false,
            rollout_folder: None,
            learning: ReachAvoidConfig::default(),
            rollouts: RolloutConfig::default(),
        }
    }
}

impl ReachAvoidSettings {
    /// Checks all settings.
    ///
    /// # Errors
    /// One line that names the key and what would be right.
    pub fn validate(&self, physics: &PhysicsConfig) -> Result<()> {
        // NaN is no threshold either.
        ensure!(
            self.threshold > -1.0 && self.threshold < 1.0,
            "reach_avoid.threshold is {}, must be between -1 and 1, like the value",
            self.threshold
        );
        ensure!(
            (-2.0..2.0).contains(&self.min_gain),
            "reach_avoid.min_gain is {}, must be -2 or more and below 2",
            self.min_gain
        );
        self.learning.validate()?;
        Ok(self.rollouts.validate(physics)?)
    }
}

/// What can be learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Runs to a goal among obstacles
    Agile,
    /// Tracks a twist from a violent state
    Recovery,
    /// Tells whether the agile policy will reach its goal without a collision
    ReachAvoid,
    /// Predicts the rays from depth images
    Rays,
}

impl Task {
    /// Name in run folders.
    pub fn name(self) -> &'static str {
        match self {
            Self::Agile => "agile",
            Self::Recovery => "recovery",
            Self::ReachAvoid => "reach-avoid",
            Self::Rays => "rays",
        }
    }
}

/// Defaults for an algorithm that takes collisions as costs: they are not penalized too, in no stage.
const COLLISIONS_AS_COSTS: &str = "
[env.agile]
rewards = { base_contact = 0.0 }
regularizers = { thigh_contact = 0.0, calf_contact = 0.0, foot_horizontal_contact = 0.0 }
[env.recovery]
rewards = { base_contact = 0.0 }
regularizers = { thigh_contact = 0.0, calf_contact = 0.0, foot_horizontal_contact = 0.0 }
";

/// Flags that change the configuration, shared by the commands.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Configuration")]
pub struct ConfigArgs {
    /// Start from these settings [default: fast]
    #[arg(long, value_enum)]
    pub preset: Option<Preset>,
    /// Read settings from a TOML file, e.g. the `config.toml` of a run
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,
    /// Change one setting, e.g. `--set env.num_envs=512`; may be repeated. `abs config` lists all
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// Name of a robot that is shipped, or path of a robot folder [default: go1]
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
}

/// Named settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// Our recipe, with smaller networks and fewer passes: about three times faster on two cores
    Fast,
    /// The paper's networks, passes, rewards and randomization, without stages
    Paper,
    /// For agile and reach-avoid: among walls and among cylinders that walk, with an earlier scan. Begin with a policy that can run (`--from`)
    People,
}

impl ConfigArgs {
    /// As `--config path`.
    pub fn from_file(path: PathBuf) -> Self {
        Self {
            config: Some(path),
            ..Self::default()
        }
    }

    /// As `--set key=value`, for flags that stand for a key.
    pub fn set(&mut self, key: &str, value: Option<impl std::fmt::Display>) {
        self.sets
            .extend(value.map(|value| format!("{key}={value}")));
    }

    /// Resolves the configuration, starting from the defaults.
    ///
    /// # Errors
    /// Names the file or flag, and the key, that is wrong.
    pub fn resolve(&self) -> Result<Config> {
        self.resolve_over(Config::default())
    }

    /// Resolves the configuration, starting from `base`.
    ///
    /// # Errors
    /// Names the file or flag, and the key, that is wrong.
    pub fn resolve_over(&self, base: Config) -> Result<Config> {
        let (config, before) = (self.lay_over(base.clone(), "")?, base.algorithm.name);
        match config.algorithm.name {
            Algorithm::PpoLagrangian if before == Algorithm::Ppo => {
                self.lay_over(base, COLLISIONS_AS_COSTS)
            }
            _ => Ok(config),
        }
    }

    /// The layers over `base`; `defaults`, TOML, come after the preset.
    fn lay_over(&self, base: Config, defaults: &str) -> Result<Config> {
        let mut config = base;
        match self.preset {
            Some(Preset::Paper) => config.as_in_the_paper(),
            Some(Preset::People) if matches!(config.task, Task::Agile | Task::ReachAvoid) => {
                config =
                    config.layered(settings::parse(include_str!("../recipes/people.toml"))?)?;
            }
            Some(Preset::Fast | Preset::People) | None => {}
        }
        config = config.layered(settings::parse(defaults)?)?;
        if let Some(path) = &self.config {
            config = settings::read(path)
                .map_err(Into::into)
                .and_then(|layer| config.layered(layer))
                .with_context(|| path.display().to_string())?;
        }
        if let Some(scene) = &self.scene {
            config.eval.testbed = TestbedConfig::load(scene)?;
        }
        for set in &self.sets {
            config = settings::parse_set(set)
                .map_err(Into::into)
                .and_then(|layer| config.layered(layer))
                .with_context(|| format!("--set {set}"))?;
        }
        config.robot = self.robot.clone().unwrap_or(config.robot);
        config.seed = self.seed.unwrap_or(config.seed);
        config.threads = self.threads.unwrap_or(config.threads);
        Ok(config)
    }
}

impl Config {
    /// The defaults for a task: its recipe.
    pub fn for_task(task: Task) -> Self {
        let config = Self {
            task,
            ..Self::default()
        };
        let recipe = match task {
            Task::Agile => include_str!("../recipes/agile.toml"),
            Task::Recovery => include_str!("../recipes/recovery.toml"),
            Task::ReachAvoid => include_str!("../recipes/reach-avoid.toml"),
            Task::Rays => "",
        };
        let recipe = settings::parse(recipe)
            .map_err(Into::into)
            .and_then(|recipe| config.overlaid_by(recipe));
        recipe.unwrap_or_else(|error| unreachable!("a recipe is not sound: {error:#}"))
    }

    /// The paper's own setting for this task: no recipe.
    fn as_in_the_paper(&mut self) {
        let num_envs = match self.task {
            Task::Recovery => 4096,
            _ => EnvConfig::default().num_envs,
        };
        self.env = EnvConfig {
            num_envs,
            ..EnvConfig::default()
        };
        self.algorithm = PpoConfig::paper();
        if self.task == Task::Recovery {
            self.algorithm.steps_per_rollout = 24;
        }
        self.reach_avoid = ReachAvoidSettings::default();
        self.stages.clear();
    }

    /// All settings as TOML.
    ///
    /// # Errors
    /// Only for values that TOML cannot hold.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).context("the configuration does not fit into TOML")
    }

    /// Makes the number of worker threads part of the configuration. Several processes have one each unless told
    /// otherwise.
    pub fn resolve_threads(&mut self, processes: usize) {
        if self.threads == 0 && processes > 1 {
            self.threads = 1;
        }
        self.threads = self.num_threads();
    }

    /// Number of worker threads, with 0 resolved to the number of cores.
    pub fn num_threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }

    /// Gives rayon the configured number of threads. To be called once, before rayon is used.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub fn start_thread_pool(&self) -> Result<()> {
        rayon::ThreadPoolBuilder::new()
            .num_threads(self.num_threads())
            .build_global()
            .with_context(|| format!("cannot start {} threads", self.num_threads()))
    }

    /// Overlaid by what the user asks for, which no stage changes.
    fn layered(mut self, layer: Table) -> Result<Self> {
        self.holds_throughout(&layer);
        self.overlaid_by(layer)
    }

    fn overlaid_by(&self, layer: Table) -> Result<Self> {
        Ok(settings::overlaid(self, layer)?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn args(sets: &[&str]) -> ConfigArgs {
        ConfigArgs {
            sets: sets.iter().map(|set| (*set).to_owned()).collect(),
            ..ConfigArgs::default()
        }
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
            ConfigArgs::from_file(config).resolve().unwrap();
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
            let config = lag.resolve_over(Config::for_task(Task::Agile)).unwrap();
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
        let agile = people.resolve_over(Config::for_task(Task::Agile)).unwrap();
        let recipe = Config::for_task(Task::Agile).each_stage().unwrap();
        let stages = agile.each_stage().unwrap();
        assert_eq!(stages.len(), 2);
        let end = recipe.last().unwrap();
        for stage in &stages {
            assert_eq!(stage.env.rays.earlier_steps, 20);
            assert!(stage.env.agile.obstacles.walking_share > 0.0);
            assert!(stage.env.agile.obstacles.box_share > 0.0);
            assert_eq!(stage.env.agile.regularizers, end.env.agile.regularizers);
            assert_eq!(stage.env.agile.obstacles.x_m, end.env.agile.obstacles.x_m);
        }
        let value = people
            .resolve_over(Config::for_task(Task::ReachAvoid))
            .unwrap();
        let rollouts = &value.reach_avoid.rollouts;
        assert!(rollouts.agile.obstacles.walking_share > 0.0);
        assert_eq!(rollouts.episodes, 150_000);
        // It sees no rays.
        let recovery = Config::for_task(Task::Recovery);
        assert_eq!(people.resolve_over(recovery.clone()).unwrap(), recovery);
    }
}
