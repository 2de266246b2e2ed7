//! `abs train`: from the flags to a [`Training`], and what is shown of it.

use std::{path::PathBuf, sync::LazyLock};

use anyhow::{Result, ensure};
use clap::{ValueEnum, builder::PossibleValue};
use robots::Robot;
use sim::engine::EngineKind;
use time::OffsetDateTime;

use super::{engine_kind, subject::Subject};
use crate::{
    config::{Config, ConfigArgs, Task},
    run::folder::RunFolder,
    train::{Training, whole_bundle},
    view::ViewArgs,
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
  abs train agile --config policies/checkpoints/go1-agile/config.toml --robot go2 --from policies/checkpoints/go1-agile
  abs train rays --data data/depth-go1-1
  abs train reach-avoid --bundle runs/agile-go1-1-20260131-235959/bundle
  abs train agile --preset paper --set algorithm.total_policy_steps=200_000_000
  abs train --resume runs/agile-go1-1-20260131-235959
  abs train agile --view                        now and then an episode in 3-D, with the curves
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
    /// For policies: begin with the networks of another run, of another robot perhaps. Inputs that it did not have begin with zero weights
    #[arg(long, value_name = "RUN", conflicts_with = "resume")]
    from: Option<PathBuf>,
    /// For reach-avoid: the bundle whose agile policy is rolled out [default: the one that is shipped for the robot]
    #[arg(long, value_name = "DIR|NAME", value_parser = crate::repository::bundle_argument, conflicts_with = "resume")]
    bundle: Option<PathBuf>,
    /// For rays: folder of depth images [default: data/depth-ROBOT-SEED]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    data: Option<PathBuf>,
    /// In what the robots differ from the simulation: ideal, lab, field, or a TOML file [default: ideal]
    #[arg(long, value_name = "NAME|FILE.toml")]
    reality: Option<String>,
    /// Write the scalars of a policy in another format besides TensorBoard's; jsonl: an object per iteration, RUN/scalars.jsonl
    #[arg(long, value_name = "FORMAT", value_parser = ["jsonl"])]
    log: Option<String>,
    /// Number of environments, over all workers of all processes
    #[arg(long)]
    num_envs: Option<usize>,
    /// Physics engine [default: batch]
    #[arg(long, value_parser = engine_kind())]
    engine: Option<EngineKind>,
    /// What computes the networks; environments and optimizer are on the CPU [default: cpu]
    #[arg(long, value_parser = ["cpu", "cuda"])]
    device: Option<String>,
    #[command(flatten)]
    view: ViewArgs,
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
    #[cfg(feature = "train")]
    fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::One(task) => task.name(),
        }
    }

    /// In the order in which they need each other.
    fn tasks(self) -> Result<Vec<Task>> {
        match self {
            Self::All => Ok(whole_bundle()?.into()),
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

impl TrainCommand {
    /// Trains until the configured number of steps is done or Ctrl-C comes.
    ///
    /// # Errors
    /// One line for a configuration, robot or folder that is invalid, and when training fails.
    #[cfg(feature = "train")]
    pub fn run(&self) -> Result<()> {
        let is_policy =
            !self.is_all() && matches!(self.task, None | Some(What::One(Task::Policy(_))));
        ensure!(
            is_policy || self.view.destination()?.is_none(),
            "--view is for the training of one policy, not for `{}`",
            self.task.map_or("all", What::name)
        );
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
                let training = self.training(self.what().tasks()?[0], processes.size());
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
        for task in self.what().tasks()? {
            self.training(task, 1)?;
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
                let trainings = tasks.map(|task| self.training(task, 1));
                let trainings = trainings.collect::<Result<Vec<_>>>()?;
                let first = &trainings[0];
                let path = self.new_path("all", &first.robot, &first.config);
                all::create(&path, trainings.iter().map(|training| &training.config))?;
                path
            }
        };
        all::train(processes, &path, callbacks)
    }

    /// The task of a run that is resumed is in its configuration.
    fn what(&self) -> What {
        self.task.unwrap_or(What::One(Task::default()))
    }

    /// All flags that change the configuration.
    fn args(&self) -> ConfigArgs {
        let mut args = ConfigArgs {
            reality: self.reality.clone(),
            ..self.config.clone()
        };
        args.set("json_lines", self.log.as_ref().map(|_| true));
        args.set("env.num_envs", self.num_envs);
        args.set("algorithm.device", self.device.as_ref());
        args.set("env.engine", self.engine);
        args.set("reach_avoid.rollouts.engine", self.engine);
        args
    }

    /// What the flags ask for, if it is sound.
    fn training(&self, task: Task, processes: usize) -> Result<Training> {
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
            let config = RunFolder::open(path)?.config()?;
            let config = self.args().resolve_over(config)?;
            let view = self.view.destination()?.cloned();
            let training = Training::resume(config, path.clone(), processes)?;
            return Ok(Training { view, ..training });
        }
        let resolved = self.args().resolve_task(task)?;
        let (config, robot, bundle) = match takes_bundle {
            true => {
                let subject = Subject::resolve(resolved, self.bundle.as_deref(), None)?;
                // Once more, since settings follow the robot, which only the bundle may name.
                let mut args = self.args();
                args.robot = Some(subject.config.robot);
                let config = args.resolve_task(task)?.config;
                (config, subject.robot, Some(subject.bundle_path))
            }
            false => {
                let robot = Robot::load(&resolved.config.robot)?;
                robot.require_sound()?;
                (resolved.config, robot, None)
            }
        };
        let path = self.new_path(task.name(), &robot, &config);
        Ok(Training {
            from: self.from.clone(),
            bundle,
            data: self.data.clone(),
            view: self.view.destination()?.cloned(),
            ..Training::new(config, robot, path, processes)?
        })
    }

    fn new_path(&self, name: &str, robot: &Robot, config: &Config) -> PathBuf {
        let now = OffsetDateTime::now_utc();
        let default = || RunFolder::default_path(name, &robot.name, config.seed, now);
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
