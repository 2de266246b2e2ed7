//! `abs demo`: what the shipped policy can do, in a minute or two.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::Result;

use super::{eval, play, policy_args::PolicyArgs};

/// Run the shipped policy through the paper's test, and leave table, pictures and an animation
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
    /// Evaluates, films the first episode, and says where everything is.
    ///
    /// # Errors
    /// One line for a setting, bundle or folder that does not do.
    pub fn run(&self) -> Result<()> {
        let subject = self
            .policy
            .load(|config| config.eval.episodes = self.episodes)?;
        eprintln!(
            "running {} episodes of {} in rapier",
            self.episodes, subject.robot.name
        );
        let report = eval::evaluate(&subject, &self.out)?;
        let animation = self.out.join("play.gif");
        play::film(&subject, 0, &animation)?;

        let out = self.out.display();
        let text = format!(
            "{}\n\
             {out}/outcomes.png   how the episodes ended, with 95% intervals\n\
             {out}/speeds.png     how fast it ran\n\
             {out}/episodes.png   the first episodes from above, and one of each outcome beside it\n\
             {out}/play.gif       the first episode, moving\n\
             {out}/metrics.json, {out}/episodes.csv, {out}/steps.csv, {out}/play.csv\n",
            eval::table(&report)
        );
        io::stdout().write_all(text.as_bytes())?;
        Ok(())
    }
}
