//! `abs play`: one episode as an animated GIF, or in 3-D.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use policies::file::write_atomic;
use sim::eval::EpisodeRecord;

use super::{eval::steps_csv, policy_args::PolicyArgs, subject::Subject};
use crate::{
    pictures::{Film, caption_of},
    view::{View, ViewArgs},
};

const DEFAULT_OUT: &str = "out/play.gif";

/// Show one episode of the test as an animated GIF, from above and from the side, or in 3-D
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs play --episode 3 --out play.gif       episode 3 of `abs eval`, with the shipped policy
  abs play --method agile --episode 3       the same episode without the switch
  abs play --bundle runs/agile-go1-1-.../bundle --seed 2
  abs play --episode 3 --view               in 3-D, in a window
  abs play --episode 3 --view web           in 3-D, in a browser
  abs play --episode 3 --view play.rrd      in 3-D, later: abs view play.rrd

A CSV file of the same name next to the animation has every policy step: mode, value, twist.")]
pub struct PlayCommand {
    /// Number of the episode, as in episodes.csv
    #[arg(long, default_value_t = 0)]
    episode: u64,
    /// Where to write the animation [default: out/play.gif; none with --view]
    #[arg(long, value_name = "FILE.gif")]
    out: Option<PathBuf>,
    #[command(flatten)]
    view: ViewArgs,
    #[command(flatten)]
    policy: PolicyArgs,
}

impl PlayCommand {
    /// Simulates the episode and writes the animation.
    ///
    /// # Errors
    /// One line if a setting, bundle or file is invalid.
    pub fn run(&self) -> Result<()> {
        let destination = self.view.destination()?;
        let subject = self.policy.load(|_| ())?;
        let record = trace(&subject, self.episode)?;
        println!("episode {}", caption_of(&record));
        let default = destination.is_none().then(|| Path::new(DEFAULT_OUT));
        if let Some(out) = self.out.as_deref().or(default) {
            save(&subject, &record, out)?;
            println!("{}", out.display());
        }
        if let Some(destination) = destination {
            let shown = subject.recorded(title(&subject, self.episode));
            let mut view = View::open(destination, &shown)?;
            view.show_episode(&record, subject.config.eval.reach_m, &caption_of(&record))?;
            view.finish()?;
        }
        Ok(())
    }
}

/// Simulates one episode and writes its animation to `out`, and every policy step to a CSV file next to it.
///
/// # Errors
/// One line if a setting, bundle or file is invalid.
pub fn film(subject: &Subject, episode: u64, out: &Path) -> Result<EpisodeRecord> {
    let record = trace(subject, episode)?;
    save(subject, &record, out)?;
    Ok(record)
}

fn trace(subject: &Subject, episode: u64) -> Result<EpisodeRecord> {
    let mut records = subject.evaluation()?.run(&[episode], true, &|| ())?;
    records.pop().context("the episode was not simulated")
}

fn title(subject: &Subject, episode: u64) -> String {
    format!(
        "{}, {}, {}, episode {episode} of seed {}",
        subject.robot.name, subject.method, subject.config.eval.testbed.name, subject.config.seed
    )
}

fn save(subject: &Subject, record: &EpisodeRecord, out: &Path) -> Result<()> {
    let film = Film {
        title: title(subject, record.scene.index),
        robot: &subject.robot,
        record,
        rays: &subject.bundle.spec.rays,
        reach_m: subject.config.eval.reach_m.into(),
        threshold: subject.threshold(),
    };
    film.save_gif(out)?;
    let log = out.with_extension("csv");
    write_atomic(&log, &steps_csv(std::slice::from_ref(record))?)
        .with_context(|| format!("cannot write {}", log.display()))
}
