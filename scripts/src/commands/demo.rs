//! `abs demo`: the shipped policy, evaluated in a minute or two.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::Result;

use super::{eval, play, policy_args::PolicyArgs};
use crate::results::request::Request;

/// Evaluate the shipped policy on the paper's test: table, pictures, animation
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs demo
  abs demo --episodes 50 --out /tmp/demo")]
pub struct DemoCommand {
    /// Number of episodes
    #[arg(long, default_value_t = 500)]
    episodes: usize,
    /// Folder for the results
    #[arg(long, value_name = "DIR", default_value = "out/demo")]
    out: PathBuf,
    #[command(flatten)]
    policy: PolicyArgs,
}

impl DemoCommand {
    /// Evaluates, animates the first episode, and lists the files.
    ///
    /// # Errors
    /// One line if a setting, bundle or folder is invalid.
    pub fn run(&self) -> Result<()> {
        let subject = self
            .policy
            .load(|config| config.eval.episodes = self.episodes)?;
        let request = Request::new(&subject, None)?;
        request.claim(&self.out, true)?;
        // First what there is to see.
        let animation = self.out.join("play.gif");
        play::film(&subject, 0, &animation)?;
        eprintln!("{}: the first episode", animation.display());
        eprintln!(
            "running {} episodes of {} in rapier",
            self.episodes, subject.robot.name
        );
        let report = eval::evaluate(&subject, &request, &self.out)?;

        let out = self.out.display();
        let text = format!(
            "{}\n\
             {out}/outcomes.png   how the episodes ended, with 95% intervals\n\
             {out}/speeds.png     how fast it ran\n\
             {out}/episodes.png   the first episodes from above, and one of each outcome next to it\n\
             {out}/play.gif       the first episode as an animation\n\
             {out}/metrics.json, {out}/episodes.csv, {out}/steps.csv, {out}/play.csv\n",
            eval::table(&report)
        );
        io::stdout().write_all(text.as_bytes())?;
        Ok(())
    }
}
