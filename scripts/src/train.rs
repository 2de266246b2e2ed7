//! Training as a library: [`train`] takes a configuration, tells a callback what happens, and prints nothing.
//!
//! From `abs train agile` to an update of PPO, in order:
//! 1. `scripts/src/commands/train.rs`: the command makes a [`Training`] of its flags
//! 2. `scripts/src/train.rs`, this file: what kind of training it is
//! 3. `scripts/src/train/policy.rs`: the stages, from the first iteration to the last
//! 4. `policies/learning/src/runner/mod.rs`: the loop of iterations, with checkpoints
//! 5. `policies/learning/src/runner/threads.rs`: one worker's part of an iteration
//! 6. `policies/learning/src/ppo/mod.rs`: collect, estimate advantages, update
//! 7. `policies/learning/src/ppo/losses.rs`: the formulas of PPO
//! 8. `policies/learning/src/backend/mod.rs`: the networks, as PPO sees them

#[cfg(feature = "train")]
pub mod all;
#[cfg(feature = "train")]
pub mod distributed;
#[cfg(feature = "train")]
mod policy;
#[cfg(feature = "train")]
mod rays;
#[cfg(feature = "train")]
mod regression;
#[cfg(feature = "train")]
mod value;

use std::{fs, path::PathBuf, sync::Arc};

use anyhow::Result;
use robots::Robot;

use crate::{
    config::{Config, Task},
    run::folder::RunFolder,
    view::Destination,
};
#[cfg(feature = "train")]
pub use callbacks::{Callbacks, Event};
#[cfg(feature = "train")]
pub use policy::runner;

/// What makes a whole bundle, in the order in which they need each other.
pub fn whole_bundle() -> Result<[Task; 3]> {
    Ok([
        Task::named("agile")?,
        Task::named("recovery")?,
        Task::ReachAvoid,
    ])
}

/// A training that was found to be sound.
pub struct Training {
    /// What is trained, and how.
    pub config: Config,
    /// For which robot.
    pub robot: Arc<Robot>,
    /// How the robot's own folder differs from the copy of the run, which is used.
    pub robot_change: Option<String>,
    /// The folder of its run.
    pub path: PathBuf,
    /// Whether that run is resumed.
    pub resuming: bool,
    /// For a policy: the run whose networks it begins with.
    pub from: Option<PathBuf>,
    /// For the value and the rays: the bundle that they are for [default: the one that is shipped for the robot].
    pub bundle: Option<PathBuf>,
    /// For the rays: the folder of depth images [default: data/depth-ROBOT-SEED].
    pub data: Option<PathBuf>,
    /// For a policy: where it is shown in 3-D.
    pub view: Option<Destination>,
}

impl Training {
    /// A new one, in the folder `path`, by one of so many processes.
    ///
    /// # Errors
    /// One line for a setting out of range.
    pub fn new(config: Config, robot: Robot, path: PathBuf, processes: usize) -> Result<Self> {
        let mut training = Self::of(config, robot, path, processes)?;
        let robot = &mut training.config.robot;
        // So that the run can be resumed from another folder.
        if !Robot::names().any(|name| name == *robot) {
            *robot = fs::canonicalize(&*robot)?.display().to_string();
        }
        Ok(training)
    }

    /// The one of the run in the folder `path`, with these settings.
    ///
    /// # Errors
    /// One line for a setting out of range, or when the folder holds no run.
    pub fn resume(config: Config, path: PathBuf, processes: usize) -> Result<Self> {
        let run = RunFolder::open(&path)?;
        let robot = run.robot(&config)?;
        Ok(Self {
            robot_change: run.robot_change(&config),
            resuming: true,
            ..Self::of(config, robot, path, processes)?
        })
    }

    /// Finds what is wrong before anything is written. The number of workers becomes part of the configuration, because a run is resumed exactly only
    /// with the same number.
    fn of(mut config: Config, robot: Robot, path: PathBuf, processes: usize) -> Result<Self> {
        for stage in config.each_stage()? {
            stage.env.validate()?;
            stage.algorithm.validate()?;
        }
        config.physics.validate()?;
        config.reality.validate()?;
        config.reach_avoid.validate()?;
        config.depth.learning.validate()?;
        if config.threads == 0 {
            config.resolve_threads(processes);
            config.threads = config.threads.min(config.env.num_envs);
        }
        Ok(Self {
            config,
            robot: Arc::new(robot),
            robot_change: None,
            path,
            resuming: false,
            from: None,
            bundle: None,
            data: None,
            view: None,
        })
    }
}

#[cfg(feature = "train")]
mod callbacks {
    use std::{path::Path, sync::atomic::AtomicBool};

    /// How a training is stopped and followed.
    pub struct Callbacks<'a> {
        /// Set to save and stop.
        pub stop: &'a AtomicBool,
        /// Told what happens.
        pub tell: &'a mut dyn FnMut(Event<'_>),
    }

    /// What a training tells.
    pub enum Event<'a> {
        /// A line about its course.
        Note(String),
        /// Its results, lines.
        Result(String),
        /// How far it is.
        Progress {
            /// What is counted.
            unit: &'static str,
            /// So many are done.
            done: u64,
            /// Of so many.
            total: u64,
            /// At present.
            per_s: f64,
            /// Named numbers worth showing.
            scalars: &'a [(String, f64)],
        },
    }

    impl Callbacks<'_> {
        pub(super) fn tell(&mut self, event: Event<'_>) {
            (self.tell)(event);
        }

        pub(super) fn note(&mut self, line: impl Into<String>) {
            self.tell(Event::Note(line.into()));
        }

        pub(super) fn note_resume(&mut self, run: &Path) {
            self.note(format!(
                "resume by    scripts/abs train --resume {}",
                run.display()
            ));
        }
    }
}

/// Trains until all is learned or it is told to stop; then the run can be resumed.
///
/// # Errors
/// One line for what does not fit together, before anything is written; and when training fails.
#[cfg(feature = "train")]
pub fn train(
    training: &Training,
    processes: &learning::Processes,
    callbacks: &mut Callbacks<'_>,
) -> Result<()> {
    if let Some(change) = &training.robot_change {
        callbacks.note(change);
    }
    match training.config.task {
        Task::Policy(_) => policy::train(training, processes, callbacks),
        task @ (Task::ReachAvoid | Task::Rays) if processes.size() > 1 => {
            distributed::all_ok(processes, Err(distributed::by_one_process(task.name())))
        }
        Task::ReachAvoid => value::train(training, callbacks),
        Task::Rays => rays::train(training, callbacks),
    }
}

/// Where the networks of a training come from.
#[cfg(feature = "train")]
struct Origin {
    git_revision: String,
    seed: u64,
    config: String,
}

#[cfg(feature = "train")]
impl Origin {
    /// `text` is the configuration, or what matters of it, as TOML.
    fn new(config: &Config, text: String) -> Self {
        Self {
            git_revision: crate::run::folder::git_revision(),
            seed: config.seed,
            config: text,
        }
    }

    /// As of today, after so many policy steps or images.
    fn provenance(&self, policy_steps: u64) -> policies::spec::Provenance {
        policies::spec::Provenance {
            git_revision: self.git_revision.clone(),
            seed: self.seed,
            policy_steps,
            date: Some(time::OffsetDateTime::now_utc().date().to_string()),
            config: self.config.clone(),
            imported_from: None,
        }
    }
}
