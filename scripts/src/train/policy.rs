//! Training of a policy by reinforcement, stage by stage.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};
use controller::Method;
use learning::{IterationReport, KnownInputs, Processes, Runner, TrainError, checkpoint};
use policies::{Bundle, Layout, PolicySpec, spec::NetworkSpec, training::VecEnv};
use robots::Robot;
use sim::tasks::{Share, TaskEntry};

use super::{
    Callbacks, Event, Origin, Training,
    distributed::{all_ok, of_first},
};
use crate::{
    config::{Config, Task},
    results::{events::EventWriter, json_lines::JsonLines},
    run::{
        folder::RunFolder,
        progress::{clock, short},
    },
    view::{Destination, TrainingView},
};

/// Trains until all steps are done or it is told to stop. Where the next stage of the configuration begins, its settings take the place of those before;
/// networks, optimizer and episodes are kept.
pub fn train(
    training: &Training,
    processes: &Processes,
    callbacks: &mut Callbacks<'_>,
) -> Result<()> {
    let begin = Instant::now();
    let config = &training.config;
    let path = of_first(processes, &training.path)?;
    // First, so that a mistake leaves no run folder behind.
    let mut runner = all_ok(
        processes,
        first_stage(training, &path, processes, callbacks),
    )?;
    let run = open_run(training, &path, processes)?;
    let mut record = all_ok(processes, Record::new(training, &run, processes))?;
    callbacks.note(format!(
        "training in {} with {} workers{}; Ctrl-C saves and stops",
        path.display(),
        config.num_threads(),
        match processes.size() {
            1 => String::new(),
            several => format!(" in each of {several} processes"),
        }
    ));
    let total = config.algorithm.total_policy_steps;
    let is_done = loop {
        let mut failure = None;
        let outcome = runner.run(
            Some(&run.checkpoints()),
            callbacks.stop,
            |runner, report| match record.iteration(runner, report, callbacks) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            },
        );
        if let Err(error @ TrainError::Panicked { .. }) = outcome {
            // The others are in the middle of an iteration: there is no agreeing with them.
            return Err(error.into());
        }
        let outcome = outcome.map_err(Into::into);
        all_ok(
            processes,
            outcome.and_then(|()| failure.map_or(Ok(()), Err)),
        )?;
        record.export_bundle(&runner)?;

        let done = runner.policy_steps();
        if done >= total {
            break true;
        }
        if done < runner.config().total_policy_steps {
            break false;
        }
        let stage = stage(config, done, &path)?;
        let reconfigured = environments(&stage, &training.robot, processes)
            .and_then(|envs| Ok(runner.reconfigure(stage.algorithm, envs)?));
        if !all_ok(processes, reconfigured)? {
            callbacks.note(format!(
                "from {} steps on with fresh episodes, because the number of environments has changed",
                short(done as f64)
            ));
        }
    };
    record.view.map_or(Ok(()), TrainingView::close)?;
    callbacks.note(format!(
        "{} after {} steps, {} of this session",
        if is_done { "done" } else { "stopped" },
        short(runner.policy_steps() as f64),
        clock(begin.elapsed().as_secs_f64())
    ));
    if !is_done {
        callbacks.note_resume(&path);
    }
    callbacks.note(format!(
        "evaluate     scripts/abs eval --bundle {}",
        run.bundle().display()
    ));
    Ok(())
}

/// The runner of the stage that a run is in: as its newest checkpoint, as the networks of another run, or from nothing.
fn first_stage(
    training: &Training,
    path: &Path,
    processes: &Processes,
    callbacks: &mut Callbacks<'_>,
) -> Result<Runner> {
    let newest = match training.resuming {
        // None if the run was ended before its first one.
        true => newest_checkpoint(path)?,
        false => None,
    };
    let done = newest.as_deref().map_or(Ok(0), checkpoint::policy_steps)?;
    let stage = stage(&training.config, done, path)?;
    let runner = runner(&stage, &training.robot, processes);
    let mut runner = all_ok(processes, runner)?;
    if let Some(newest) = newest {
        let exactly = match runner.resume(&newest)?.environments {
            true => "",
            false => {
                ", with fresh episodes because the number of workers or environments has changed"
            }
        };
        callbacks.note(format!("resuming {}{exactly}", newest.display()));
    }
    if let Some(from) = &training.from {
        let known = known_inputs(from, &stage, &training.robot);
        let (checkpoint, inputs, new) = all_ok(processes, known)?;
        runner.begin_from(&checkpoint, &inputs)?;
        callbacks.note(format!(
            "beginning with the networks of {}, which know {} of {} inputs{new}",
            checkpoint.display(),
            inputs.same.iter().flatten().count(),
            inputs.same.len()
        ));
    }
    Ok(runner)
}

/// The configuration after `policy_steps`. States that are not finite are left in the run folder for inspection.
fn stage(config: &Config, policy_steps: u64, run: &Path) -> Result<Config> {
    let mut stage = config.at(policy_steps)?;
    let folder = &mut stage.env.dump_dir;
    folder.get_or_insert_with(|| run.join("not_finite"));
    Ok(stage)
}

/// Makes the folder of a new run, or keeps what is configured in that of an old one.
fn open_run(training: &Training, path: &Path, processes: &Processes) -> Result<RunFolder> {
    let config = &training.config;
    let prepared = match (processes.rank(), training.resuming) {
        (0, false) => RunFolder::create(path, config).map(|_| ()),
        (0, true) => RunFolder::open(path).and_then(|run| run.save_config(config)),
        _ => Ok(()),
    };
    all_ok(processes, prepared)?;
    let run = RunFolder::open(path).context(
        "this process does not see the run folder; put it where all machines do, with --out",
    );
    all_ok(processes, run)
}

/// The newest checkpoint of another run, which inputs its networks know, and a text about those that are new to the actor.
fn known_inputs(
    from: &Path,
    config: &Config,
    robot: &Robot,
) -> Result<(PathBuf, KnownInputs, String)> {
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
    let then = policy_task(&before)?.layouts(&run.robot(&before)?, &before.environments())?;
    let mut same = Vec::new();
    let layouts = policy_task(config)?.layouts(robot, &config.environments())?;
    for (index, layout) in layouts.iter().enumerate() {
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
    let inputs = KnownInputs {
        actor_before: then[0].dim(),
        observation_before: then.iter().map(Layout::dim).sum(),
        same,
    };
    let new = layouts[0].without_same(&inputs.same[..layouts[0].dim()]);
    let new = new.iter().map(|(quantity, without, of)| {
        format!(
            "; new to the actor: {} ({without} of {of})",
            quantity.spec().name
        )
    });
    Ok((checkpoint, inputs, new.collect()))
}

fn newest_checkpoint(run: &Path) -> Result<Option<PathBuf>> {
    Ok(checkpoint::latest(&RunFolder::open(run)?.checkpoints())?)
}

/// Whether a run has done all its steps.
pub fn is_done(run: &Path, config: &Config) -> Result<bool> {
    let newest = newest_checkpoint(run)?;
    let done = newest.as_deref().map_or(Ok(0), checkpoint::policy_steps)?;
    Ok(done >= config.algorithm.total_policy_steps)
}

/// The row of the table of tasks.
fn policy_task(config: &Config) -> Result<&'static TaskEntry> {
    match config.task {
        Task::Policy(task) => Ok(task),
        other => bail!("`{}` is not learned by reinforcement", other.name()),
    }
}

/// The environments of the workers of this process.
fn environments(
    config: &Config,
    robot: &Arc<Robot>,
    processes: &Processes,
) -> Result<Vec<Box<dyn VecEnv>>> {
    let threads = config.num_threads();
    let share = Share {
        workers: threads * processes.size(),
        own: threads * processes.rank()..threads * (processes.rank() + 1),
    };
    let (physics, env, seed) = (&config.physics, config.environments(), config.seed);
    Ok(policy_task(config)?.shards(robot, physics, &env, seed, share)?)
}

/// The runner of a configuration, before its first iteration.
pub fn runner(config: &Config, robot: &Arc<Robot>, processes: &Processes) -> Result<Runner> {
    let envs = environments(config, robot, processes)?;
    let (algorithm, seed) = (config.algorithm.clone(), config.seed);
    Ok(match processes.communicator() {
        Some(others) => Runner::among_processes(algorithm, envs, seed, others)?,
        None => Runner::new(algorithm, envs, seed)?,
    })
}

/// What the first process leaves in the run folder besides checkpoints: curves, and the bundle.
struct Record<'a> {
    training: &'a Training,
    run: &'a RunFolder,
    task: &'static TaskEntry,
    origin: Origin,
    /// None in the other processes, which leave nothing.
    events: Option<EventWriter>,
    json_lines: Option<JsonLines>,
    view: Option<TrainingView>,
}

impl<'a> Record<'a> {
    fn new(training: &'a Training, run: &'a RunFolder, processes: &Processes) -> Result<Self> {
        let config = &training.config;
        let unwritable = || format!("cannot write to {}", run.path().display());
        let events = || -> Result<EventWriter> {
            let mut events = EventWriter::create(run.path()).with_context(unwritable)?;
            let changed = config.changed_settings()?;
            let settings = changed.iter().map(|(name, value)| (name.as_str(), value));
            events.hyper_parameters(settings).with_context(unwritable)?;
            Ok(events)
        };
        let json_lines = || JsonLines::open(run.path()).with_context(unwritable);
        let is_first = processes.rank() == 0;
        Ok(Self {
            training,
            run,
            task: policy_task(config)?,
            origin: Origin::new(config, config.to_toml()?),
            events: is_first.then(events).transpose()?,
            json_lines: (is_first && config.json_lines)
                .then(json_lines)
                .transpose()?,
            view: match (&training.view, is_first) {
                (Some(destination), true) => Some(open_view(destination, training)?),
                _ => None,
            },
        })
    }

    fn iteration(
        &mut self,
        runner: &Runner,
        report: &IterationReport,
        callbacks: &mut Callbacks<'_>,
    ) -> Result<()> {
        let Some(events) = &mut self.events else {
            return Ok(());
        };
        let unwritable = || format!("cannot write to {}", self.run.path().display());
        events
            .scalars(report.policy_steps, report.scalars())
            .and_then(|()| events.flush())
            .with_context(unwritable)?;
        if let Some(lines) = &mut self.json_lines {
            let appended = lines.append(report.policy_steps, report.scalars());
            appended.with_context(unwritable)?;
        }
        let algorithm = &self.training.config.algorithm;
        if report
            .iteration
            .is_multiple_of(algorithm.checkpoint_interval)
        {
            self.export_bundle(runner)?;
        }
        self.show(runner, report)?;
        callbacks.tell(Event::Progress {
            unit: "steps",
            done: report.policy_steps,
            total: algorithm.total_policy_steps,
            per_s: report.steps_per_s,
            scalars: &shown(report),
        });
        Ok(())
    }

    /// Shows the curves, and now and then an episode.
    fn show(&mut self, runner: &Runner, report: &IterationReport) -> Result<()> {
        let Some(mut view) = self.view.take() else {
            return Ok(());
        };
        view.iteration(report)?;
        if view.is_due() {
            let Training { config, robot, .. } = self.training;
            let method: Method = self.task.role.parse()?;
            let bundle = self.bundle(runner)?;
            view.episode(robot, &bundle, method, config, report.policy_steps)?;
        }
        self.view = Some(view);
        Ok(())
    }

    fn export_bundle(&self, runner: &Runner) -> Result<()> {
        match self.events {
            Some(_) => Ok(self.bundle(runner)?.save(&self.run.bundle())?),
            None => Ok(()),
        }
    }

    /// The policy as it is.
    fn bundle(&self, runner: &Runner) -> Result<Bundle> {
        let Training { config, robot, .. } = self.training;
        let step_s = config.physics.policy_step_s();
        let noise = &config.env.noise;
        let mut bundle = Bundle::new(PolicySpec {
            illusion_margin_m: noise.illusion.then_some(noise.illusion_margin_m),
            ..PolicySpec::new(robot, &config.env.rays, step_s)
        });
        bundle.robot_files = self.run.bundled_robot()?;
        let provenance = self.origin.provenance(runner.policy_steps());
        let (role, scale) = (self.task.role, robot.control.action_scale);
        let terms = self.task.observations(&config.env);
        let spec = NetworkSpec {
            twist_range: self.task.twist_range(&config.env),
            ..NetworkSpec::policy(role, terms, scale, provenance)
        };
        bundle.insert(role, spec, runner.actor_layers())?;
        Ok(bundle)
    }
}

fn open_view(destination: &Destination, training: &Training) -> Result<TrainingView> {
    let (config, robot) = (&training.config, &training.robot);
    let title = format!("{}, {}, training", robot.name, config.task.name());
    TrainingView::open(destination, title, robot, config)
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
