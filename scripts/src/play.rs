//! `abs play`: one episode as an animated GIF.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{
    pictures::{Film, caption_of},
    policy_args::PolicyArgs,
};

/// Show one episode of the test as an animated GIF, from above and from the side
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs play --episode 3 --out play.gif       episode 3 of `abs eval`, with the policy that is shipped
  abs play --bundle runs/agile-go1-1-.../bundle --seed 2")]
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
    /// One line for a setting, bundle or file that does not do.
    pub fn run(&self) -> Result<()> {
        let subject = self.policy.load(|_| ())?;
        let records = subject.evaluation()?.run(&[self.episode], true, &|| ())?;
        let record = records.first().context("the episode was not simulated")?;
        let film = Film {
            title: format!(
                "{}, {}, episode {} of seed {}",
                subject.robot.name, subject.method, self.episode, subject.config.seed
            ),
            robot: &subject.robot,
            record,
            rays: &subject.bundle.ray_spec,
            reach_m: subject.config.eval.reach_m.into(),
        };
        film.save_gif(&self.out)?;
        println!("episode {}", caption_of(record));
        println!("{}", self.out.display());
        Ok(())
    }
}
