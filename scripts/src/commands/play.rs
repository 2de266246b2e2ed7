//! `abs play`: one episode as an animated GIF.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use policies::file::write_atomic;
use sim::eval::EpisodeRecord;

use super::{eval::steps_csv, policy_args::PolicyArgs, subject::Subject};
use crate::pictures::{Film, caption_of};

/// Show one episode of the test as an animated GIF, from above and from the side
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs play --episode 3 --out play.gif       episode 3 of `abs eval`, with the shipped policy
  abs play --method agile --episode 3       the same episode without the switch
  abs play --bundle runs/agile-go1-1-.../bundle --seed 2

A CSV file of the same name next to the animation has every policy step: mode, value, twist.")]
pub struct PlayCommand {
    /// Number of the episode, as in episodes.csv
    #[arg(long, default_value_t = 0)]
    episode: u64,
    /// Where to write the animation
    #[arg(long, value_name = "FILE.gif", default_value = "out/play.gif")]
    out: PathBuf,
    #[command(flatten)]
    policy: PolicyArgs,
}

impl PlayCommand {
    /// Simulates the episode and writes the animation.
    ///
    /// # Errors
    /// One line if a setting, bundle or file is invalid.
    pub fn run(&self) -> Result<()> {
        let subject = self.policy.load(|_| ())?;
        let record = film(&subject, self.episode, &self.out)?;
        println!("episode {}", caption_of(&record));
        println!("{}", self.out.display());
        Ok(())
    }
}

/// Simulates one episode and writes its animation to `out`, and every policy step to a CSV file next to it.
///
/// # Errors
/// One line if a setting, bundle or file is invalid.
pub fn film(subject: &Subject, episode: u64, out: &Path) -> Result<EpisodeRecord> {
    let mut records = subject.evaluation()?.run(&[episode], true, &|| ())?;
    let record = records.pop().context("the episode was not simulated")?;
    let film = Film {
        title: format!(
            "{}, {}, {}, episode {episode} of seed {}",
            subject.robot.name,
            subject.method,
            subject.config.eval.testbed.name,
            subject.config.seed
        ),
        robot: &subject.robot,
        record: &record,
        rays: &subject.bundle.spec.rays,
        reach_m: subject.config.eval.reach_m.into(),
        threshold: subject.threshold(),
    };
    film.save_gif(out)?;
    let log = out.with_extension("csv");
    write_atomic(&log, &steps_csv(std::slice::from_ref(&record))?)
        .with_context(|| format!("cannot write {}", log.display()))?;
    Ok(record)
}
