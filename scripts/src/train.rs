//! `abs train`: the command, up to the point where libtorch is needed.

#[cfg(feature = "train")]
mod rays;
#[cfg(feature = "train")]
mod reach_avoid;
#[cfg(feature = "train")]
mod session;
#[cfg(feature = "train")]
mod together;

use std::path::PathBuf;

use anyhow::Result;
#[cfg(feature = "train")]
use policies::train::Processes;
use robots::Robot;
use time::OffsetDateTime;

#[cfg(feature = "train")]
use crate::repository;
use crate::{
    config::{Config, ConfigArgs, Task},
    run_folder::RunFolder,
};

/// Train a policy
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs train agile --robot go1 --seed 1
  abs train recovery --robot go1
  abs train rays --data data/depth-go1-1
  abs train reach-avoid --bundle runs/agile-go1-1-20260131-235959/bundle
  abs train agile --preset paper --set algorithm.total_policy_steps=200_000_000
  abs train --resume runs/agile-go1-1-20260131-235959
  tensorboard --logdir runs

  mpirun -n 4 scripts/abs train agile --num-envs 4096

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
    /// For rays: folder of depth images [default: data/depth-ROBOT-SEED]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    data: Option<PathBuf>,
    /// Number of environments, over all workers of all processes
    #[arg(long)]
    num_envs: Option<usize>,
    /// Physics engine [default: batch]
    #[arg(long, value_parser = ["rapier", "batch"])]
    engine: Option<String>,
    /// What computes the networks; environments and optimizer are on the processor [default: cpu]
    #[arg(long, value_parser = ["cpu", "cuda"])]
    device: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// What the command line asks for, found to be sound.
#[cfg_attr(
    not(feature = "train"),
    expect(dead_code, reason = "found sound, then refused for want of libtorch")
)]
struct Request {
    config: Config,
    robot: Robot,
    run: RunPath,
}

/// Where a training belongs.
#[cfg_attr(
    not(feature = "train"),
    expect(dead_code, reason = "found sound, then refused for want of libtorch")
)]
enum RunPath {
    /// A folder still to be made.
    New(PathBuf),
    /// The folder of a run that goes on.
    Old(PathBuf),
}

impl TrainCommand {
    /// Trains until the configured number of steps is done or Ctrl-C comes.
    ///
    /// # Errors
    /// One line for a configuration, robot or folder that does not do, and when training fails.
    #[cfg(feature = "train")]
    pub fn run(&self) -> Result<()> {
        let processes = Processes::join()?;
        let request = self.request(processes.size());
        let request = together::same(&processes, request)?;
        match (request.config.task, request.run) {
            (Task::Agile | Task::Recovery, run) => {
                session::train(&processes, &request.config, request.robot, run)
            }
            (task @ (Task::ReachAvoid | Task::Rays), _) if processes.size() > 1 => {
                let error = anyhow::anyhow!(
                    "`{}` is learned by one process; start it without mpirun",
                    task.name()
                );
                together::goes_on(&processes, Err(error))
            }
            (Task::ReachAvoid, RunPath::New(path)) => {
                let bundle = self.bundle.clone();
                let bundle = bundle.unwrap_or_else(|| repository::bundle(&request.robot.name));
                reach_avoid::begin(&path, &request.config, &request.robot, &bundle)
            }
            (Task::ReachAvoid, RunPath::Old(path)) => {
                reach_avoid::resume(&RunFolder::open(&path)?, &request.config, &request.robot)
            }
            (Task::Rays, RunPath::New(path)) => {
                let bundle = self.bundle.clone();
                let bundle = bundle.unwrap_or_else(|| repository::bundle(&request.robot.name));
                let data = self.data.as_deref();
                rays::begin(&path, &request.config, &request.robot, &bundle, data)
            }
            (Task::Rays, RunPath::Old(path)) => {
                rays::resume(&RunFolder::open(&path)?, &request.config, &request.robot)
            }
        }
    }

    /// Says how to get a program that trains.
    ///
    /// # Errors
    /// Always: first what else is wrong, then that libtorch is missing.
    #[cfg(not(feature = "train"))]
    pub fn run(&self) -> Result<()> {
        self.request(1)?;
        anyhow::bail!(
            "this program was built without libtorch; start it as scripts/abs train, which fetches it"
        )
    }

    fn request(&self, processes: usize) -> Result<Request> {
        let mut args = self.config.clone();
        args.set("env.num_envs", self.num_envs);
        args.set("algorithm.device", self.device.as_ref());
        args.set("env.engine", self.engine.as_ref());
        args.set("reach_avoid.rollouts.engine", self.engine.as_ref());
        let (base, old) = match &self.resume {
            Some(path) => (RunFolder::open(path)?.config()?, Some(path.clone())),
            None => (Config::for_task(self.task.unwrap_or(Task::Agile)), None),
        };
        let config = args.resolve_over(base)?;
        let (config, robot) = check(config, processes)?;
        let run = match (old, &self.out) {
            (Some(path), _) => RunPath::Old(path),
            (None, Some(path)) => RunPath::New(path.clone()),
            (None, None) => {
                let (task, now) = (config.task.name(), OffsetDateTime::now_utc());
                RunPath::New(RunFolder::default_path(task, &robot.name, config.seed, now))
            }
        };
        Ok(Request { config, robot, run })
    }
}

/// Finds what is wrong before anything is written. The number of workers becomes part of the configuration, because
/// a run goes on exactly only with the same number.
fn check(mut config: Config, processes: usize) -> Result<(Config, Robot)> {
    config.env.validate()?;
    config.algorithm.validate()?;
    config.reach_avoid.validate()?;
    config.depth.learning.validate()?;
    if config.threads == 0 {
        config.resolve_threads(processes);
        config.threads = config.threads.min(config.env.num_envs);
    }
    let robot = Robot::load(&config.robot)?;
    Ok((config, robot))
}

#[cfg(feature = "train")]
pub use {session::learner, together::goes_on};
