//! `abs replay`: a recorded run, run again.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::{Result, bail};
use controller::deploy::Status;
use ros2::{LogEnd, ReplayReport, ReplayedRun};
use sim::eval::EvalConfig;

use crate::view::{Destination, Pace, StatusView, Subject, ViewArgs};

/// Run the log of `abs deploy` again, and compare every command bit by bit
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs deploy --goal 6,0 --go --log run.mcap     record a run
  abs replay run.mcap                           the same inputs, the same commands?
  abs replay run.mcap --view                    and in 3-D

The log holds its settings and its bundle. One that was cut short, run.mcap.part, is replayed up to its last whole record.")]
pub struct ReplayCommand {
    /// The log
    #[arg(value_name = "FILE.mcap")]
    file: PathBuf,
    #[command(flatten)]
    view: ViewArgs,
}

impl ReplayCommand {
    /// Replays the log.
    ///
    /// # Errors
    /// One line for a file that is no log or damaged, or for the first command that differs.
    pub fn run(&self) -> Result<()> {
        let Some(destination) = self.view.destination()? else {
            return self.tell(&ros2::replay(&self.file)?);
        };
        let mut view = None;
        let mut show = |run: &ReplayedRun, status: &Status| -> Result<()> {
            if view.is_none() {
                view = Some(self.open(destination, run)?);
            }
            view.as_mut().map_or(Ok(()), |view| view.show(status))
        };
        let mut shown = Ok(());
        let report = ros2::replay_watched(&self.file, |run, status| {
            if shown.is_ok() {
                shown = show(run, status);
            }
        })?;
        shown?;
        let told = self.tell(&report);
        view.map_or(Ok(()), StatusView::finish)?;
        told
    }

    fn open(&self, destination: &Destination, run: &ReplayedRun) -> Result<StatusView> {
        let subject = Subject {
            title: format!("{}, {}", run.robot.name, self.file.display()),
            robot: &run.robot,
            rays: &run.rays,
            threshold: run.threshold,
            camera: None,
            pace: Pace::Recorded,
        };
        StatusView::open(destination, &subject, EvalConfig::default().reach_m)
    }

    fn tell(&self, report: &ReplayReport) -> Result<()> {
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
