//! The one configuration of everything.

mod layers;
mod reference;
mod stages;
mod task;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use controller::{ControllerConfig, deploy::DeployConfig};
use policies::{
    depth::RayLearningConfig, reach_avoid::ReachAvoidConfig, settings, spec::SwitchSpec,
    training::PpoConfig,
};
use serde::{Deserialize, Serialize};
use sim::{
    depth::RecordingConfig, engine::PhysicsConfig, eval::EvalConfig, reach_avoid::RolloutConfig,
    reality::RealityConfig, tasks::EnvConfig,
};

pub use layers::{ConfigArgs, Resolved};
pub use reference::Topic;
pub use stages::Stage;
pub use task::Task;

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
    /// The scalars of a policy's training as JSON lines, `scalars.jsonl` in the run folder, besides TensorBoard's events.
    pub json_lines: bool,
    /// Physics step, decimation, gravity, motors: of training, evaluation and recordings alike.
    pub physics: PhysicsConfig,
    /// In what a robot differs from the simulation: in training, rollouts and evaluation alike.
    pub reality: RealityConfig,
    /// Training environments: randomization, curriculum, rewards.
    pub env: EnvConfig,
    /// Learning.
    pub algorithm: PpoConfig,
    /// What runs on the robot: switch and safety limits.
    pub controller: ControllerConfig,
    /// What runs around the controller on a robot: stand-up trajectory, faults, state estimate.
    pub deploy: DeployConfig,
    /// How a robot is reached over ROS 2: network, topics, frames, lidar.
    #[cfg(feature = "ros2")]
    pub ros2: ros2::Ros2Config,
    /// Those settings as they were read, in a program without ROS 2.
    #[cfg(not(feature = "ros2"))]
    #[serde(skip_serializing_if = "toml::Table::is_empty")]
    pub ros2: toml::Table,
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
    pub min_improvement: f32,
    /// Folder of rollouts to learn from; those that are missing in it are recorded. Without it they are recorded in
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
            task: Task::default(),
            robot: "go1".into(),
            seed: 1,
            threads: 0,
            json_lines: false,
            physics: PhysicsConfig::default(),
            reality: RealityConfig::default(),
            env: EnvConfig::default(),
            algorithm: PpoConfig::default(),
            controller: ControllerConfig::default(),
            deploy: DeployConfig::default(),
            ros2: Default::default(),
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
            threshold: SwitchSpec::default().threshold,
            min_improvement: SwitchSpec::default().min_improvement,
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
    pub fn validate(&self) -> Result<()> {
        // NaN is no threshold either.
        ensure!(
            self.threshold > -1.0 && self.threshold < 1.0,
            "reach_avoid.threshold is {}, must be between -1 and 1, like the value",
            self.threshold
        );
        ensure!(
            (-2.0..2.0).contains(&self.min_improvement),
            "reach_avoid.min_improvement is {}, must be -2 or more and below 2",
            self.min_improvement
        );
        self.learning.validate()?;
        Ok(self.rollouts.validate()?)
    }
}

impl Config {
    /// Reads the file of a run, which holds all settings.
    ///
    /// # Errors
    /// Names the file, and the key that is wrong.
    pub fn read(path: &Path) -> Result<Self> {
        Ok(settings::with_file(&Self::default(), path)?)
    }

    /// The settings of training environments, those of all else that they need included.
    pub fn environments(&self) -> EnvConfig {
        EnvConfig {
            reality: self.reality.clone(),
            ..self.env.clone()
        }
    }

    /// All settings as TOML.
    ///
    /// # Errors
    /// Only for values that TOML cannot hold.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).context("the configuration does not fit into TOML")
    }

    /// What a training is told apart by: its seed, and every setting that is not the default of its task and robot, by the path of its key.
    ///
    /// # Errors
    /// Only for values that TOML cannot hold.
    pub fn changed_settings(&self) -> Result<BTreeMap<String, toml::Value>> {
        let args = ConfigArgs {
            robot: Some(self.robot.clone()),
            ..ConfigArgs::default()
        };
        let defaults = args.resolve_task(self.task)?.config;
        let mut changed = changes(&defaults, self)?;
        changed.insert("seed".to_owned(), i64::try_from(self.seed)?.into());
        Ok(changed)
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
}

/// The settings of `after` that `before` does not have, by their keys.
fn changes(before: &Config, after: &Config) -> Result<BTreeMap<String, toml::Value>> {
    let [before, after] = [before, after].map(toml::Value::try_from);
    let mut changed = BTreeMap::new();
    collect_changes("", Some(&before?), &after?, &mut changed);
    Ok(changed)
}

/// The values below `after` that `before` does not have.
fn collect_changes(
    path: &str,
    before: Option<&toml::Value>,
    after: &toml::Value,
    changed: &mut BTreeMap<String, toml::Value>,
) {
    if let toml::Value::Table(table) = after {
        for (key, value) in table {
            let before = before.and_then(|before| before.get(key));
            let path = match path {
                "" => key.clone(),
                _ => format!("{path}.{key}"),
            };
            collect_changes(&path, before, value, changed);
        }
    } else if before != Some(after) {
        changed.insert(path.to_owned(), after.clone());
    }
}
