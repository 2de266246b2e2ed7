//! `abs replay`: a recorded run, run again.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::{Result, bail};
use ros2::LogEnd;

/// Run the log of `abs deploy` again, and compare every command bit by bit
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs deploy --goal 6,0 --go --log run.mcap     record a run
  abs replay run.mcap                           the same inputs, the same commands?

The log holds its settings and its bundle. One that was cut short, run.mcap.part, is replayed up to its last whole record.")]
pub struct ReplayCommand {
    /// The log
    #[arg(value_name = "FILE.mcap")]
    file: PathBuf,
}

impl ReplayCommand {
    /// Replays the log.
    ///
    /// # Errors
    /// One line for a file that is no log or damaged, or for the first command that differs.
    pub fn run(&self) -> Result<()> {
        let report = ros2::replay(&self.file)?;
        let (file, cycles) = (self.file.display(), report.cycles);
        let end = match &report.end {
            LogEnd::Whole => String::new(),
            end => format!("; the log {end}"),
        };
        if let Some(first) = report.first_different {
            let different = report.different;
            bail!(
                "{file}: {different} of {cycles} commands differ, the first in cycle {first}{end}"
            );
        }
        let mut out = io::stdout();
        match &report.end {
            LogEnd::Whole => writeln!(out, "{cycles} cycles, every command the same, bit for bit")?,
            LogEnd::Cut { .. } => writeln!(
                out,
                "the first {cycles} cycles, commands the same, bit for bit{end}"
            )?,
            LogEnd::Damaged { .. } => bail!(
                "{file}: only the first {cycles} cycles can be replayed, commands the same, bit for bit{end}"
            ),
        }
        Ok(out.flush()?)
    }
}
