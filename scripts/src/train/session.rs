//! A training from its first to its last iteration.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};
use learning::{
    EventWriter, IterationReport, KnownInputs, Processes, Runner, TrainError, checkpoint,
};
use policies::{
    Bundle, Layout, Linear, PolicySpec,
    spec::{NetworkSpec, Provenance},
};
use robots::Robot;
use sim::tasks::{Share, TaskEntry};
use time::OffsetDateTime;

use super::{
    RunPath,
    together::{all_ok, same_path},
};
use crate::{
    config::{Config, Task},
    interrupt::Interrupt,
    progress::{Progress, clock, short},
    run_folder::{RunFolder, git_revision},
};

struct Session<'a> {
    run: &'a RunFolder,
    config: &'a Config,
    robot: Arc<Robot>,
    git_revision: String,
    interrupt: &'a Interrupt,
    begin: Instant,
}

/// Starts a run, or goes on with it from its newest checkpoint. Each stage of the configuration has a runner of its own, which goes on from the
/// checkpoint of the one before.
pub fn train(
    processes: &Processes,
    config: &Config,
    robot: &Robot,
    run: RunPath,
    from: Option<&Path>,
    interrupt: &Interrupt,
) -> Result<()> {
    let robot = Arc::new(robot.clone());
    let (resuming, path) = match run {
        RunPath::New(path) => (false, path),
        RunPath::Old(path) => (true, path),
    };
    let path = same_path(processes, &path)?;
    // First, so that a mistake leaves no run folder behind.
    let mut runner = all_ok(processes, stage(&path, config, &robot, processes, resuming))?;
    if let Some(from) = from {
        all_ok(processes, begin_from(&mut runner, from, config, &robot))?;
    }
    let prepared = match (processes.rank(), resuming) {
        (0, false) => RunFolder::create(&path, config).map(|_| ()),
        (0, true) => RunFolder::open(&path).and_then(|run| run.save_config(config)),
        _ => Ok(()),
    };
    all_ok(processes, prepared)?;
    let run = RunFolder::open(&path).context(
        "this process does not see the run folder; put it where all machines do, with --out",
    );
    let run = all_ok(processes, run)?;
    let session = Session {
        run: &run,
        config,
        robot: Arc::clone(&robot),
        git_revision: git_revision(),
        interrupt,
        begin: Instant::now(),
    };
    loop {
        match processes.rank() {
            0 => session.lead(processes, &mut runner)?,
            _ => session.follow(processes, &mut runner)?,
        }
        let (done, end) = (runner.policy_steps(), runner.config().total_policy_steps);
        if done < end || done >= config.algorithm.total_policy_steps {
            return Ok(());
        }
        runner = all_ok(processes, stage(&path, config, &robot, processes, true))?;
    }
}

/// The runner of the stage that a run is in.
fn stage(
    run: &Path,
    config: &Config,
    robot: &Arc<Robot>,
    processes: &Processes,
    resuming: bool,
) -> Result<Runner> {
    let newest = match resuming {
        // None if the run was ended before its first one.
        true => newest_checkpoint(run)?,
        false => None,
    };
    let done = newest.as_deref().map_or(Ok(0), checkpoint::policy_steps)?;
    let config = dumping_into(run, &config.at(done)?);
    let mut runner = runner(&config, robot, processes)?;
    if let Some(path) = newest {
        let resumed = runner.resume(&path)?;
        let exactly = match resumed.environments {
            true => "",
            false => {
                ", with fresh episodes because the number of workers or environments has changed"
            }
        };
        if runner.rank() == 0 {
            eprintln!("going on from {}{exactly}", path.display());
        }
    }
    Ok(runner)
}

/// Gives a new runner the networks of another run.
fn begin_from(runner: &mut Runner, from: &Path, config: &Config, robot: &Robot) -> Result<()> {
    let run = RunFolder::open(from)?;
    let before = run.config()?;
    ensure!(
        before.task == config.task,
        "{} learned `{}`, must be a run of `{}`",
        from.display(),
        before.task.name(),
        config.task.name()
    );
    let checkpoint = newest_checkpoint(from)?
        .with_context(|| format!("{} has no checkpoint to begin from", from.display()))?;
    let before = before.at(checkpoint::policy_steps(&checkpoint)?)?;
    let then = observed(&before, &run.robot(&before)?)?;
    let mut same = Vec::new();
    for (index, layout) in observed(&config.at(0)?, robot)?.iter().enumerate() {
        let there = then.get(index);
        let first: usize = then.iter().take(index).map(Layout::dim).sum();
        same.extend(there.map_or_else(
            || vec![None; layout.dim()],
            |there| {
                let known = layout.same_elements(there).into_iter();
                known.map(|element| Some(first + element?)).collect()
            },
        ));
    }
    let known = same.iter().flatten().count();
    let inputs = KnownInputs {
        actor_before: then[0].dim(),
        observation_before: then.iter().map(Layout::dim).sum(),
        same,
    };
    runner.begin_from(&checkpoint, &inputs)?;
    if runner.rank() == 0 {
        eprintln!(
            "beginning with the networks of {}, which know {known} of {} inputs",
            checkpoint.display(),
            inputs.same.len()
        );
    }
    Ok(())
}

/// What the actor observes, and what a privileged critic observes besides.
fn observed(config: &Config, robot: &Robot) -> Result<Vec<Layout>> {
    Ok(policy_task(config)?.layouts(robot, &config.env)?)
}

/// The row of the table of tasks.
fn policy_task(config: &Config) -> Result<&'static TaskEntry> {
    match config.task {
        Task::Policy(task) => Ok(task),
        other => bail!("`{}` is not learned by reinforcement", other.name()),
    }
}

fn newest_checkpoint(run: &Path) -> Result<Option<PathBuf>> {
    let folder = RunFolder::open(run)?.checkpoints();
    match folder.is_dir() {
        true => Ok(checkpoint::latest(&folder)?),
        false => Ok(None),
    }
}

/// Whether a run has done all its steps.
pub fn is_done(run: &Path, config: &Config) -> Result<bool> {
    let newest = newest_checkpoint(run)?;
    let done = newest.as_deref().map_or(Ok(0), checkpoint::policy_steps)?;
    Ok(done >= config.algorithm.total_policy_steps)
}

/// The runner of a configuration, before its first iteration.
pub fn runner(config: &Config, robot: &Arc<Robot>, processes: &Processes) -> Result<Runner> {
    let (env, seed, threads) = (&config.env, config.seed, config.num_threads());
    let share = Share {
        workers: threads * processes.size(),
        own: threads * processes.rank()..threads * (processes.rank() + 1),
    };
    let shards = policy_task(config)?.shards(robot, &config.physics, env, seed, share)?;
    let algorithm = config.algorithm.clone();
    Ok(match processes.communicator() {
        Some(others) => Runner::among_processes(algorithm, shards, seed, others)?,
        None => Runner::new(algorithm, shards, seed)?,
    })
}

/// States that are not finite are left in the run folder for inspection.
fn dumping_into(run: &Path, config: &Config) -> Config {
    let mut config = config.clone();
    let folder = &mut config.env.dump_dir;
    folder.get_or_insert_with(|| run.join("not_finite"));
    config
}

impl Session<'_> {
    /// The first process: learns, writes and shows.
    fn lead(&self, processes: &Processes, runner: &mut Runner) -> Result<()> {
        let mut events = EventWriter::create(self.run.path())
            .with_context(|| format!("cannot write to {}", self.run.path().display()))?;
        let of_processes = match processes.size() {
            1 => String::new(),
            several => format!(" in each of {several} processes"),
        };
        eprintln!(
            "training in {} with {} workers{of_processes}; Ctrl-C saves and stops",
            self.run.path().display(),
            self.config.num_threads()
        );

        let total = self.config.algorithm.total_policy_steps;
        let mut progress = Progress::new(total, runner.policy_steps());
        let mut failure = None;
        let outcome = runner.run(
            Some(&self.run.checkpoints()),
            self.interrupt.flag(),
            |runner, report| match self.after_iteration(runner, report, &mut events) {
                Ok(()) => {
                    progress.iteration(report.policy_steps, report.steps_per_s, &shown(report));
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            },
        );
        progress.finish();
        let outcome = outcome.map_err(|error| alone_or_end(processes, error));
        let outcome = outcome.map_or_else(Err, |()| failure.map_or(Ok(()), Err));
        all_ok(processes, outcome)?;
        self.export_bundle(runner)?;

        let run = self.run.path().display();
        let is_done = runner.policy_steps() >= total;
        if !is_done && runner.policy_steps() >= runner.config().total_policy_steps {
            return Ok(());
        }
        eprintln!(
            "{} after {} steps, {} of this session",
            if is_done { "done" } else { "stopped" },
            short(runner.policy_steps() as f64),
            clock(self.begin.elapsed().as_secs_f64())
        );
        if !is_done {
            eprintln!("go on with   scripts/abs train --resume {run}");
        }
        eprintln!("evaluate     scripts/abs eval --bundle {run}/bundle");
        Ok(())
    }

    /// The other processes: learn.
    fn follow(&self, processes: &Processes, runner: &mut Runner) -> Result<()> {
        let checkpoints = self.run.checkpoints();
        let outcome = runner.run(Some(&checkpoints), self.interrupt.flag(), |_, _| {
            ControlFlow::Continue(())
        });
        all_ok(
            processes,
            outcome.map_err(|error| alone_or_end(processes, error)),
        )
    }

    fn after_iteration(
        &self,
        runner: &Runner,
        report: &IterationReport,
        events: &mut EventWriter,
    ) -> Result<()> {
        events
            .scalars(report.policy_steps, report.scalars())
            .and_then(|()| events.flush())
            .with_context(|| format!("cannot write to {}", self.run.path().display()))?;
        if report
            .iteration
            .is_multiple_of(self.config.algorithm.checkpoint_interval)
        {
            self.export_bundle(runner)?;
        }
        Ok(())
    }

    fn export_bundle(&self, runner: &Runner) -> Result<()> {
        let layers = runner
            .actor_layers()
            .into_iter()
            .map(|layer| Linear {
                weight: layer.weight,
                bias: layer.bias,
                inputs: layer.inputs,
            })
            .collect();
        let provenance = Provenance {
            git_revision: self.git_revision.clone(),
            seed: self.config.seed,
            policy_steps: runner.policy_steps(),
            date: Some(OffsetDateTime::now_utc().date().to_string()),
            config: self.config.to_toml()?,
        };
        let (robot, rays) = (&self.robot, &self.config.env.rays);
        let scale = robot.control.action_scale;
        let step_s = self.config.physics.policy_step_s();
        let noise = &self.config.env.noise;
        let mut bundle = Bundle::new(PolicySpec {
            illusion_margin_m: noise.illusion.then_some(noise.illusion_margin_m),
            ..PolicySpec::new(robot, rays, step_s)
        });
        bundle.robot_files = self.run.bundled_robot()?;
        let task = policy_task(self.config)?;
        let spec = NetworkSpec::policy(task.role, task.observations(rays), scale, provenance);
        bundle.insert(task.role, spec, layers)?;
        Ok(bundle.save(&self.run.bundle())?)
    }
}

/// After an error that the other processes do not know of, in the middle of an iteration, they are ended too.
fn alone_or_end(processes: &Processes, error: TrainError) -> anyhow::Error {
    let in_the_middle = matches!(error, TrainError::Panicked { .. });
    let error = anyhow::Error::from(error);
    if in_the_middle && processes.size() > 1 {
        crate::report(&error);
        processes.end_all();
    }
    error
}

/// What the progress shows of an iteration; TensorBoard has it all.
fn shown(report: &IterationReport) -> Vec<(String, f64)> {
    const LEARNER: [&str; 7] = [
        "reward",
        "std",
        "kl",
        "learning_rate",
        "explained_variance",
        "multiplier",
        "cost",
    ];
    report
        .scalars()
        .filter(|(name, _)| {
            name.strip_prefix("learner/")
                .is_none_or(|name| LEARNER.contains(&name))
        })
        .collect()
}
