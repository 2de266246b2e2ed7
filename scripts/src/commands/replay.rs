//! `abs replay`: a recorded run, run again.

use std::path::PathBuf;

use anyhow::{Result, bail};

/// Run the log of `abs deploy` again, and compare every command bit by bit
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs deploy --goal 6,0 --go --log run.mcap     record a run
  abs replay run.mcap                           the same inputs, the same commands?

The log holds its settings and its bundle.")]
pub struct ReplayCommand {
    /// The log
    #[arg(value_name = "FILE.mcap")]
    file: PathBuf,
}

impl ReplayCommand {
    /// Replays the log.
    ///
    /// # Errors
    /// One line for a file that is no whole log, or for the first command that differs.
    pub fn run(&self) -> Result<()> {
        let report = ros2::replay(&self.file)?;
        if let Some(first) = report.first_different {
            bail!(
                "{}: {} of {} commands differ, the first in cycle {first}",
                self.file.display(),
                report.different,
                report.cycles
            );
        }
        println!(
            "{} cycles, every command the same, bit for bit",
            report.cycles
        );
        Ok(())
    }
}
