//! `abs train`: the command, up to the point where libtorch is needed.

#[cfg(feature = "train")]
mod reach_avoid;
#[cfg(feature = "train")]
mod session;

#[cfg(not(feature = "train"))]
use std::path::Path;
use std::path::PathBuf;

use anyhow::Result;
use robots::Robot;
use time::OffsetDateTime;

use crate::{
    config::{Config, ConfigArgs, Task},
    repository,
    run_folder::RunFolder,
};

/// Train a policy
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs train agile --robot go1 --seed 1
  abs train recovery --robot go1
  abs train reach-avoid --bundle runs/agile-go1-1-20260131-235959/bundle
  abs train agile --preset paper --set algorithm.total_policy_steps=200_000_000
  abs train --resume runs/agile-go1-1-20260131-235959
  tensorboard --logdir runs

Ctrl-C saves and stops; a second Ctrl-C kills.")]
pub struct TrainCommand {
    /// What to train
    #[arg(value_enum, required_unless_present = "resume")]
    task: Option<Task>,
    /// Folder of the run [default: runs/TASK-ROBOT-SEED-TIME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the run in this folder, exactly where it stopped
    #[arg(
        long,
        value_name = "RUN",
        conflicts_with_all = ["task", "out", "config", "preset", "robot", "seed"],
    )]
    resume: Option<PathBuf>,
    /// For reach-avoid: the bundle whose agile policy is rolled out [default: the one that is shipped for the robot]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    bundle: Option<PathBuf>,
    /// Number of environments, over all workers
    #[arg(long)]
    num_envs: Option<usize>,
    /// Physics engine [default: batch]
    #[arg(long, value_parser = ["rapier", "batch"])]
    engine: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

impl TrainCommand {
    /// Trains until the configured number of steps is done or Ctrl-C comes.
    ///
    /// # Errors
    /// One line for a configuration, robot or folder that does not do, and when training fails.
    pub fn run(&self) -> Result<()> {
        let mut args = self.config.clone();
        args.set("env.num_envs", self.num_envs);
        args.set("env.engine", self.engine.as_ref());
        args.set("reach_avoid.rollouts.engine", self.engine.as_ref());
        match &self.resume {
            Some(path) => {
                let run = RunFolder::open(path)?;
                let (config, robot) = check(args.resolve_over(run.config()?)?)?;
                match config.task {
                    Task::Agile | Task::Recovery => resume(&run, &config, robot),
                    Task::ReachAvoid => resume_reach_avoid(&run, &config, &robot),
                }
            }
            None => {
                let task = self.task.unwrap_or(Task::Agile);
                let (config, robot) = check(args.resolve_over(Config::for_task(task))?)?;
                let path = self.out.clone().unwrap_or_else(|| {
                    let now = OffsetDateTime::now_utc();
                    RunFolder::default_path(config.task.name(), &robot.name, config.seed, now)
                });
                match config.task {
                    Task::Agile | Task::Recovery => begin(&path, &config, robot),
                    Task::ReachAvoid => {
                        let bundle = self.bundle.clone();
                        let bundle = bundle.unwrap_or_else(|| repository::bundle(&robot.name));
                        begin_reach_avoid(&path, &config, &robot, &bundle)
                    }
                }
            }
        }
    }
}

/// Finds what is wrong before anything is written. The number of workers becomes part of the configuration, because
/// a run goes on exactly only with the same number.
fn check(mut config: Config) -> Result<(Config, Robot)> {
    config.env.validate()?;
    config.algorithm.validate()?;
    config.reach_avoid.validate()?;
    if config.threads == 0 {
        config.threads = config.num_threads().min(config.env.num_envs);
    }
    let robot = Robot::load(&config.robot)?;
    Ok((config, robot))
}

#[cfg(feature = "train")]
use reach_avoid::{begin as begin_reach_avoid, resume as resume_reach_avoid};
#[cfg(feature = "train")]
pub use session::learner;
#[cfg(feature = "train")]
use session::{begin, resume};

#[cfg(not(feature = "train"))]
fn begin(_path: &Path, _config: &Config, _robot: Robot) -> Result<()> {
    anyhow::bail!(NO_LIBTORCH)
}

#[cfg(not(feature = "train"))]
fn resume(_run: &RunFolder, _config: &Config, _robot: Robot) -> Result<()> {
    anyhow::bail!(NO_LIBTORCH)
}

#[cfg(not(feature = "train"))]
fn begin_reach_avoid(_path: &Path, _config: &Config, _robot: &Robot, _bundle: &Path) -> Result<()> {
    anyhow::bail!(NO_LIBTORCH)
}

#[cfg(not(feature = "train"))]
fn resume_reach_avoid(_run: &RunFolder, _config: &Config, _robot: &Robot) -> Result<()> {
    anyhow::bail!(NO_LIBTORCH)
}

#[cfg(not(feature = "train"))]
const NO_LIBTORCH: &str =
    "this program was built without libtorch; start it as scripts/abs train, which fetches it";
