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

use super::{RunPath, reach_avoid, session};
use crate::{
    config::{Config, Task},
    interrupt::Interrupt,
    run_folder::RunFolder,
};

/// Whether a folder holds the runs of `create`.
pub fn is_run(path: &Path) -> bool {
    RunFolder::open(path).is_err() && RunFolder::open(&path.join("agile")).is_ok()
}

/// Makes the folders of all runs, with their configurations.
pub fn create<'a>(path: &Path, configs: impl Iterator<Item = &'a Config>) -> Result<()> {
    if is_run(path) {
        bail!(
            "{} holds runs already; go on with them by --resume, or choose another --out",
            path.display()
        );
    }
    for config in configs {
        RunFolder::create(&path.join(config.task.name()), config)?;
    }
    Ok(())
}

/// Trains what is not done yet. Returns early after Ctrl-C.
pub fn train(processes: &Processes, path: &Path, interrupt: &Interrupt) -> Result<()> {
    let run_of = |task: &str| RunFolder::open(&path.join(task));
    let go_on = || {
        eprintln!(
            "go on with all of it by   scripts/abs train --resume {}",
            path.display()
        );
        Ok(())
    };
    for task in ["agile", "recovery"] {
        let run = run_of(task)?;
        let config = run.config()?;
        if !session::is_done(run.path(), &config)? {
            let robot = run.robot(&config)?;
            let old = RunPath::Old(run.path().to_owned());
            session::train(processes, &config, &robot, old, None, interrupt)?;
        }
        if !session::is_done(run.path(), &config)? {
            return go_on();
        }
    }
    let run = run_of(Task::ReachAvoid.name())?;
    if !reach_avoid::is_done(run.path()) {
        let config = run.config()?;
        if Bundle::load(&run.bundle()).is_err() {
            let mut bundle = Bundle::load(&run_of("agile")?.bundle())?;
            let recovery = Bundle::load(&run_of("recovery")?.bundle())?;
            bundle.insert_from(role::RECOVERY, &recovery)?;
            bundle.save(&run.bundle())?;
        }
        let robot = run.robot(&config)?;
        reach_avoid::resume(&run, &config, &robot, interrupt)?;
    }
    if !reach_avoid::is_done(run.path()) {
        return go_on();
    }
    let bundle = path.join("bundle");
    Bundle::load(&run.bundle())?.save(&bundle)?;
    eprintln!(
        "all done     scripts/abs eval --method abs --bundle {}",
        bundle.display()
    );
    Ok(())
}
