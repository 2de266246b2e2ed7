//! `abs train`: from the flags to a [`Training`], and what is shown of it.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use time::OffsetDateTime;

use crate::{
    config::{Config, ConfigArgs, Task},
    run::folder::RunFolder,
    train::{BUNDLE, RunPath, Training},
};
#[cfg(feature = "train")]
use crate::{
    run::{interrupt::Interrupt, progress::Progress},
    train::{self, Callbacks, Event, all, distributed},
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
    /// Resume the run in this folder, exactly where it stopped
    #[arg(
        long,
        value_name = "RUN",
        conflicts_with_all = ["task", "out", "config", "preset", "robot", "seed"],
    )]
    resume: Option<PathBuf>,
    /// For agile and recovery: begin with the networks of another run, of another robot perhaps. Inputs that it did not have begin with zero weights
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

/// What can be trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Agile policy, recovery policy and reach-avoid value, one after the other: a whole bundle
    All,
    /// The policy that runs to a goal among obstacles
    Agile,
    /// The policy that tracks a twist from a violent state
    Recovery,
    /// The value that tells whether the agile policy will reach its goal without a collision
    ReachAvoid,
    /// The network that predicts rays from depth images
    Rays,
}

impl What {
    /// In the order in which they need each other.
    fn tasks(self) -> &'static [Task] {
        match self {
            Self::All => &BUNDLE,
            Self::Agile => &[Task::Agile],
            Self::Recovery => &[Task::Recovery],
            Self::ReachAvoid => &[Task::ReachAvoid],
            Self::Rays => &[Task::Rays],
        }
    }
}

impl TrainCommand {
    /// Trains until the configured number of steps is done or Ctrl-C comes.
    ///
    /// # Errors
    /// One line for a configuration, robot or folder that does not do, and when training fails.
    #[cfg(feature = "train")]
    pub fn run(&self) -> Result<()> {
        let processes = learning::Processes::join()?;
        let interrupt = Interrupt::listen("stopping soon; Ctrl-C again to kill")?;
        let mut terminal = Terminal::default();
        // One process shows what all do.
        let mut tell = |event: Event<'_>| {
            if processes.rank() == 0 {
                terminal.show(event);
            }
        };
        let callbacks = &mut Callbacks {
            stop: interrupt.flag(),
            tell: &mut tell,
        };
        let result = match self.is_all() {
            true if processes.size() > 1 => {
                distributed::all_ok(&processes, Err(distributed::by_one_process("all")))
            }
            true => self.run_all(&processes, callbacks),
            false => {
                let training = self.training(self.tasks()[0], processes.size());
                distributed::same(&processes, training)
                    .and_then(|training| train::train(&training, &processes, callbacks))
            }
        };
        if let Err(error) = &result
            && distributed::is_mid_iteration(error)
            && processes.size() > 1
        {
            crate::report(error);
            processes.end_all();
        }
        distributed::told_once(result)
    }

    /// Says how to get a program that trains.
    ///
    /// # Errors
    /// Always: first what else is wrong, then that libtorch is missing.
    #[cfg(not(feature = "train"))]
    pub fn run(&self) -> Result<()> {
        for task in self.tasks() {
            self.training(*task, 1)?;
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
    fn run_all(
        &self,
        processes: &learning::Processes,
        callbacks: &mut Callbacks<'_>,
    ) -> Result<()> {
        ensure!(
            self.bundle.is_none(),
            "--bundle is for `reach-avoid` and `rays`; `all` trains a bundle from nothing"
        );
        let path = match &self.resume {
            Some(path) => {
                let agile = path.join(Task::Agile.name());
                ensure!(
                    self.args().sets.is_empty() && self.config.threads.is_none(),
                    "{} holds three runs; settings are changed in one of them, e.g. by --resume {} --set ...",
                    path.display(),
                    agile.display()
                );
                path.clone()
            }
            None => {
                let trainings = What::All.tasks().iter();
                let trainings = trainings.map(|task| self.training(*task, 1));
                let trainings = trainings.collect::<Result<Vec<_>>>()?;
                let path = self.new_path("all", &trainings[0].config);
                all::create(&path, trainings.iter().map(|training| &training.config))?;
                path
            }
        };
        all::train(processes, &path, callbacks)
    }

    fn tasks(&self) -> &'static [Task] {
        self.task.unwrap_or(What::Agile).tasks()
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

    /// What the flags ask for, if it is sound.
    fn training(&self, task: Task, processes: usize) -> Result<Training> {
        ensure!(
            self.from.is_none() || matches!(self.task, Some(What::Agile | What::Recovery)),
            "--from is for `agile` and `recovery`"
        );
        let config = match &self.resume {
            Some(path) => self.args().resolve_over(RunFolder::open(path)?.config()?)?,
            None => self.args().resolve_task(task)?.config,
        };
        let run = match &self.resume {
            Some(path) => RunPath::Old(path.clone()),
            None => RunPath::New(self.new_path(config.task.name(), &config)),
        };
        Ok(Training {
            from: self.from.clone(),
            bundle: self.bundle.clone(),
            data: self.data.clone(),
            ..Training::new(config, run, processes)?
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

/// Shows a training: a bar, lines on standard error, results on standard output.
#[cfg(feature = "train")]
#[derive(Default)]
struct Terminal {
    bar: Option<(&'static str, u64, Progress)>,
}

#[cfg(feature = "train")]
impl Terminal {
    fn show(&mut self, event: Event<'_>) {
        match event {
            Event::Note(line) => {
                self.end_bar();
                eprintln!("{line}");
            }
            Event::Result(lines) => {
                self.end_bar();
                print!("{lines}");
            }
            Event::Progress {
                unit,
                done,
                total,
                per_s,
                scalars,
            } => {
                if !matches!(&self.bar, Some((own, of, _)) if (*own, *of) == (unit, total)) {
                    self.end_bar();
                }
                let new = || (unit, total, Progress::new(unit, total, done));
                let (_, _, bar) = self.bar.get_or_insert_with(new);
                bar.iteration(done, per_s, scalars);
            }
        }
    }

    fn end_bar(&mut self) {
        if let Some((_, _, bar)) = self.bar.take() {
            bar.finish();
        }
    }
}
