//! `abs train`: the command, up to the point where libtorch is needed.

#[cfg(feature = "train")]
mod all;
#[cfg(feature = "train")]
mod rays;
#[cfg(feature = "train")]
mod reach_avoid;
#[cfg(feature = "train")]
mod session;
#[cfg(feature = "train")]
mod together;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use anyhow::{Result, ensure};
use clap::{ValueEnum, builder::PossibleValue};
#[cfg(feature = "train")]
use learning::Processes;
use robots::Robot;
use time::OffsetDateTime;

#[cfg(feature = "train")]
use crate::interrupt::Interrupt;
use crate::{
    commands::subject::Subject,
    config::{Config, ConfigArgs, Task},
    run_folder::RunFolder,
};

/// Train a policy
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs train all --robot go1                     a whole bundle, from nothing
  abs train agile --robot go1 --seed 1
  abs train recovery --robot go1
  abs train agile --robot go2 --from policies/checkpoints/go1-agile
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
    task: Option<What>,
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
    /// For policies: begin with the networks of another run, of another robot perhaps. Inputs that it did not have begin with zero weights
    #[arg(long, value_name = "RUN", conflicts_with = "resume")]
    from: Option<PathBuf>,
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
    /// What computes the networks; environments and optimizer are on the CPU [default: cpu]
    #[arg(long, value_parser = ["cpu", "cuda"])]
    device: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// What the command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// Agile policy, recovery policy and reach-avoid value: a whole bundle.
    All,
    One(Task),
}

static WHAT: LazyLock<Vec<What>> = LazyLock::new(|| {
    let tasks = Task::value_variants().iter().copied().map(What::One);
    [What::All].into_iter().chain(tasks).collect()
});

impl What {
    /// In the order in which they need each other.
    fn tasks(self) -> Result<Vec<Task>> {
        match self {
            Self::All => Ok(vec![
                Task::named("agile")?,
                Task::named("recovery")?,
                Task::ReachAvoid,
            ]),
            Self::One(task) => Ok(vec![task]),
        }
    }
}

impl ValueEnum for What {
    fn value_variants<'a>() -> &'a [Self] {
        &WHAT
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::All => Some(PossibleValue::new("all").help(
                "Agile policy, recovery policy and reach-avoid value, one after the other: a whole bundle",
            )),
            Self::One(task) => task.to_possible_value(),
        }
    }
}

/// What the command line asks for, found to be sound.
#[cfg_attr(
    not(feature = "train"),
    expect(dead_code, reason = "found sound, then refused for want of libtorch")
)]
struct Request {
    config: Config,
    robot: Robot,
    /// How the robot's folder differs from the copy of the run, which is used.
    robot_change: Option<String>,
    /// For what is learned from the policies of a bundle: its folder.
    bundle: Option<PathBuf>,
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
        let interrupt = Interrupt::listen("stopping soon; Ctrl-C again to kill")?;
        if self.is_all() {
            return match processes.size() {
                1 => self.run_all(&processes, &interrupt),
                _ => together::all_ok(&processes, Err(by_one_process("all"))),
            };
        }
        let request = self.request(self.what().tasks()?[0], processes.size());
        let Request {
            config,
            robot,
            robot_change,
            bundle,
            run,
        } = together::same(&processes, request)?;
        if let (Some(change), 0) = (robot_change, processes.rank()) {
            eprintln!("{change}");
        }
        let bundle = bundle.unwrap_or_default();
        match (config.task, run) {
            (Task::Policy(_), run) => {
                let from = self.from.as_deref();
                session::train(&processes, &config, &robot, run, from, &interrupt)
            }
            (task @ (Task::ReachAvoid | Task::Rays), _) if processes.size() > 1 => {
                together::all_ok(&processes, Err(by_one_process(task.name())))
            }
            (Task::ReachAvoid, RunPath::New(path)) => {
                reach_avoid::begin(&path, &config, &robot, &bundle, &interrupt)
            }
            (Task::ReachAvoid, RunPath::Old(path)) => {
                reach_avoid::resume(&RunFolder::open(&path)?, &config, &robot, &interrupt)
            }
            (Task::Rays, RunPath::New(path)) => {
                let data = self.data.as_deref();
                rays::begin(&path, &config, &robot, &bundle, data, &interrupt)
            }
            (Task::Rays, RunPath::Old(path)) => {
                rays::resume(&RunFolder::open(&path)?, &config, &robot, &interrupt)
            }
        }
    }

    /// Says how to get a program that trains.
    ///
    /// # Errors
    /// Always: first what else is wrong, then that libtorch is missing.
    #[cfg(not(feature = "train"))]
    pub fn run(&self) -> Result<()> {
        for task in self.what().tasks()? {
            self.request(task, 1)?;
        }
        anyhow::bail!(
            "this program was built without libtorch; start it as scripts/abs train, which fetches it"
        )
    }

    #[cfg(feature = "train")]
    fn is_all(&self) -> bool {
        self.task == Some(What::All) || self.resume.as_deref().is_some_and(all::is_run)
    }

    #[cfg(feature = "train")]
    fn run_all(&self, processes: &Processes, interrupt: &Interrupt) -> Result<()> {
        let path = match &self.resume {
            Some(path) => {
                let agile = path.join("agile");
                ensure!(
                    self.args().sets.is_empty() && self.config.threads.is_none(),
                    "{} holds three runs; settings are changed in one of them, e.g. by --resume {} --set ...",
                    path.display(),
                    agile.display()
                );
                path.clone()
            }
            None => {
                let tasks = What::All.tasks()?.into_iter();
                let requests = tasks.map(|task| self.request(task, 1));
                let requests = requests.collect::<Result<Vec<_>>>()?;
                let first = &requests[0].config;
                let path = self.new_path("all", first);
                all::create(&path, requests.iter().map(|request| &request.config))?;
                path
            }
        };
        all::train(processes, &path, interrupt)
    }

    /// The task of a run that is resumed is in its configuration.
    fn what(&self) -> What {
        self.task.unwrap_or(What::One(Task::default()))
    }

    /// All flags that change the configuration.
    fn args(&self) -> ConfigArgs {
        let mut args = self.config.clone();
        args.set("env.num_envs", self.num_envs);
        args.set("algorithm.device", self.device.as_ref());
        args.set("env.engine", self.engine.as_ref());
        args.set("reach_avoid.rollouts.engine", self.engine.as_ref());
        args
    }

    fn request(&self, task: Task, processes: usize) -> Result<Request> {
        ensure!(
            self.from.is_none() || matches!(self.task, Some(What::One(Task::Policy(_)))),
            "--from is for policies, not for `{}`",
            task.name()
        );
        let takes_bundle = matches!(self.task, Some(What::One(Task::ReachAvoid | Task::Rays)));
        ensure!(
            self.bundle.is_none() || takes_bundle,
            "--bundle is for `reach-avoid` and `rays`"
        );
        if let Some(path) = &self.resume {
            let run = RunFolder::open(path)?;
            let config = self.args().resolve_over(run.config()?)?;
            let robot = run.robot(&config)?;
            return Ok(Request {
                robot_change: run.robot_change(&config),
                config: check(config, processes)?,
                robot,
                bundle: None,
                run: RunPath::Old(path.clone()),
            });
        }
        let resolved = self.args().resolve_task(task)?;
        let (config, robot, bundle) = match task {
            Task::ReachAvoid | Task::Rays if self.task != Some(What::All) => {
                let subject = Subject::resolve(resolved, self.bundle.as_deref(), None)?;
                (subject.config, subject.robot, Some(subject.bundle_path))
            }
            _ => {
                let robot = Robot::load(&resolved.config.robot)?;
                (resolved.config, robot, None)
            }
        };
        let mut config = check(config, processes)?;
        // So that the run can be resumed from another folder.
        if !Robot::names().any(|name| name == config.robot) {
            let path = fs::canonicalize(&config.robot)?;
            config.robot = path.display().to_string();
        }
        Ok(Request {
            run: RunPath::New(self.new_path(task.name(), &config)),
            robot_change: None,
            config,
            robot,
            bundle,
        })
    }

    fn new_path(&self, name: &str, config: &Config) -> PathBuf {
        let robot = Path::new(&config.robot).file_name();
        let robot = robot.unwrap_or_default().to_string_lossy();
        let now = OffsetDateTime::now_utc();
        let default = || RunFolder::default_path(name, &robot, config.seed, now);
        self.out.clone().unwrap_or_else(default)
    }
}

#[cfg(feature = "train")]
fn by_one_process(what: &str) -> anyhow::Error {
    anyhow::anyhow!("`{what}` is learned by one process; start it without mpirun")
}

/// Finds what is wrong before anything is written. The number of workers becomes part of the configuration, because
/// a run goes on exactly only with the same number.
fn check(mut config: Config, processes: usize) -> Result<Config> {
    for stage in config.each_stage()? {
        stage.env.validate()?;
        stage.algorithm.validate()?;
    }
    config.physics.validate()?;
    config.reach_avoid.validate()?;
    config.depth.learning.validate()?;
    if config.threads == 0 {
        config.resolve_threads(processes);
        config.threads = config.threads.min(config.env.num_envs);
    }
    Ok(config)
}

#[cfg(feature = "train")]
pub use {session::runner, together::all_ok};
