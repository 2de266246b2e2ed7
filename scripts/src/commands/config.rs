//! `abs config`: the settings of a task, explained.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use anyhow::{Context, Result, ensure};

use crate::config::{ConfigArgs, Topic};

/// Print the settings of a task as TOML, each with its meaning, unit and range
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs config                               what there are settings for
  abs config agile > my.toml               a file for `abs train agile --config my.toml`; delete what you do not change
  abs config agile --origin                where each value comes from: default, recipe, preset, file or flag
  abs config eval --config my.toml --set eval.episodes=50")]
pub struct ConfigCommand {
    /// What the settings are for; without it, the list
    #[arg(value_name = "TASK")]
    task: Option<String>,
    /// Show where each value comes from
    #[arg(long, requires = "task")]
    origin: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

impl ConfigCommand {
    /// Prints to standard output.
    ///
    /// # Errors
    /// One line for a task that is not there, or a configuration that cannot be resolved.
    pub fn run(&self) -> Result<()> {
        let text = match &self.task {
            Some(name) => {
                let topic = Topic::all().find(|topic| topic.name() == name);
                let names: Vec<_> = Topic::all().map(Topic::name).collect();
                let topic = topic.with_context(|| {
                    format!(
                        "there are no settings for `{name}`, only for {}",
                        names.join(", ")
                    )
                })?;
                topic.resolve(&self.config)?.explained(topic, self.origin)?
            }
            None => {
                ensure!(
                    self.config == ConfigArgs::default(),
                    "name what the settings are for, e.g. `abs config agile`"
                );
                overview()
            }
        };
        io::stdout().write_all(text.as_bytes())?;
        Ok(())
    }
}

fn overview() -> String {
    let mut text = String::from(
        "Settings are laid over each other: defaults, the recipe of the task, --preset, --config FILE.toml, --set KEY=VALUE,\n\
         other flags. A file holds only what differs. Print all settings with:\n\n",
    );
    for topic in Topic::all() {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  abs config {:<14} for {}",
            topic.name(),
            topic.commands()
        );
    }
    text
}
