//! What the trainings of the value and of the rays have in common.

use std::{fs, path::PathBuf, time::Instant};

use anyhow::{Context, Result};
use learning::{Regression, RegressionProgress};
use policies::Bundle;

use super::{Callbacks, Event, Training};
use crate::{
    repository,
    results::events::EventWriter,
    run::{folder::RunFolder, progress::clock},
};

/// The folder of the run with a bundle in it: a new one with a copy of the bundle that is asked for, or the run's. `check` gives what else is needed,
/// first, so that a mistake leaves no run folder behind.
pub fn open_run<T>(
    training: &Training,
    check: impl FnOnce(&mut Bundle) -> Result<T>,
) -> Result<(RunFolder, Bundle, T)> {
    let existing = match training.resuming {
        true => Some(RunFolder::open(&training.path)?),
        false => None,
    };
    let folder = match (&existing, &training.bundle) {
        (Some(run), _) => run.bundle(),
        (None, Some(folder)) => folder.clone(),
        (None, None) => repository::shipped_bundle(&training.robot.name)?,
    };
    let mut bundle = Bundle::load(&folder)?;
    let checked = check(&mut bundle)?;
    let run = match existing {
        Some(run) => {
            run.save_config(&training.config)?;
            run
        }
        None => {
            let run = RunFolder::create(&training.path, &training.config)?;
            bundle.save(&run.bundle())?;
            run
        }
    };
    Ok((run, bundle, checked))
}

/// Learns to the end, or until told to stop; whether to the end. Checkpoint and curves are named `name`, the loss `loss`. `held_out` measures, now
/// and then, what else belongs into the curves.
pub fn learn<L: Regression>(
    training: &Training,
    run: &RunFolder,
    learner: &mut L,
    [name, loss]: [&str; 2],
    mut held_out: impl FnMut(&mut L, u64) -> Result<Option<Vec<(String, f64)>>>,
    callbacks: &mut Callbacks<'_>,
) -> Result<bool> {
    let checkpoint = checkpoint(training, run, learner, name)?;
    let mut events = EventWriter::create(run.path())
        .with_context(|| format!("cannot write to {}", run.path().display()))?;
    let total = learner.total_steps();
    let mut last = (Instant::now(), learner.steps());
    let mut measured = Vec::new();
    let stop = callbacks.stop;
    let observe = |learner: &mut L, now: RegressionProgress| -> Result<()> {
        let per_s = (now.steps - last.1) as f64 / last.0.elapsed().as_secs_f64();
        last = (Instant::now(), now.steps);
        if let Some(new) = held_out(learner, now.steps)? {
            let new = new.into_iter();
            measured = new
                .map(|(name, value)| (format!("held_out/{name}"), value))
                .collect();
            events.scalars(now.steps, measured.clone())?;
        }
        let mut scalars = vec![
            (format!("{name}/{loss}"), now.loss),
            (format!("{name}/learning_rate"), now.learning_rate.into()),
        ];
        events.scalars(now.steps, scalars.clone())?;
        events.flush()?;
        scalars.extend(measured.clone());
        callbacks.tell(Event::Progress {
            unit: "steps",
            done: now.steps,
            total,
            per_s,
            scalars: &scalars,
        });
        Ok(())
    };
    learner.run::<anyhow::Error>(Some(&checkpoint), stop, observe)?;
    Ok(learner.steps() == total)
}

/// The file of the checkpoint, from which a learner of an old run has been loaded.
fn checkpoint<L: Regression>(
    training: &Training,
    run: &RunFolder,
    learner: &mut L,
    name: &str,
) -> Result<PathBuf> {
    let folder = run.checkpoints();
    fs::create_dir_all(&folder).with_context(|| format!("cannot write to {}", folder.display()))?;
    let path = folder.join(format!("{name}.safetensors"));
    if training.resuming && path.is_file() {
        learner.load(&path)?;
    }
    Ok(path)
}

/// What is said at the end of a session.
pub fn note_end(is_done: bool, begin: Instant, run: &RunFolder, callbacks: &mut Callbacks<'_>) {
    let spent = clock(begin.elapsed().as_secs_f64());
    let path = run.path();
    if is_done {
        callbacks.note(format!(
            "done after {spent} of this session; figures and pictures are in {}",
            path.display()
        ));
    } else {
        callbacks.note(format!("stopped after {spent} of this session"));
        callbacks.note_resume(path);
    }
}
