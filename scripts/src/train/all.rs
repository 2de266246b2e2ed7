//! A whole bundle from nothing: agile policy, recovery policy and reach-avoid value, each in a run folder of its own.
//!
//! ```text
//! runs/all-go1-1-20260131-235959/
//!   agile/ recovery/ reach-avoid/   the runs
//!   bundle/                         all three networks, at the end
//! ```

use std::path::Path;

use anyhow::{Result, bail};
use learning::Processes;
use policies::{Bundle, spec::role};

use super::{Callbacks, Training, policy, value, whole_bundle};
use crate::{
    config::{Config, Task},
    run::folder::RunFolder,
};

/// Whether a folder holds the runs of `create`.
pub fn is_run(path: &Path) -> bool {
    RunFolder::open(path).is_err() && RunFolder::open(&path.join("agile")).is_ok()
}

/// Makes the folders of all runs, with their configurations.
pub fn create<'a>(path: &Path, configs: impl Iterator<Item = &'a Config>) -> Result<()> {
    if is_run(path) {
        bail!(
            "{} holds runs already; resume them by --resume, or choose another --out",
            path.display()
        );
    }
    for config in configs {
        RunFolder::create(&path.join(config.task.name()), config)?;
    }
    Ok(())
}

/// Trains what is not done yet. Returns early when told to stop.
pub fn train(processes: &Processes, path: &Path, callbacks: &mut Callbacks<'_>) -> Result<()> {
    for task in whole_bundle()? {
        let run = RunFolder::open(&path.join(task.name()))?;
        let config = run.config()?;
        let is_done = || match task {
            Task::ReachAvoid => Ok(value::is_done(run.path())),
            _ => policy::is_done(run.path(), &config),
        };
        if is_done()? {
            continue;
        }
        if task == Task::ReachAvoid && Bundle::load(&run.bundle()).is_err() {
            let bundle_of = |task: &str| Bundle::load(&path.join(task).join("bundle"));
            let mut bundle = bundle_of("agile")?;
            bundle.insert_from(role::RECOVERY, &bundle_of("recovery")?)?;
            bundle.save(&run.bundle())?;
        }
        let folder = run.path().to_owned();
        let training = Training::resume(config.clone(), folder, processes.size())?;
        super::train(&training, processes, callbacks)?;
        if !is_done()? {
            callbacks.note("all of it:");
            callbacks.note_resume(path);
            return Ok(());
        }
    }
    let bundle = path.join("bundle");
    Bundle::load(&path.join(Task::ReachAvoid.name()).join("bundle"))?.save(&bundle)?;
    callbacks.note(format!(
        "all done     scripts/abs eval --method abs --bundle {}",
        bundle.display()
    ));
    Ok(())
}
