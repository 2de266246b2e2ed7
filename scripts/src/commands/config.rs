//! `abs config`: the resolved configuration.

use std::io::{self, Write};

use anyhow::Result;

use crate::config::ConfigArgs;

/// Print the complete configuration as TOML, with files and --set applied
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs config                               all keys with their defaults
  abs config --set seed=3 > my.toml        a file for --config my.toml")]
pub struct ConfigCommand {
    #[command(flatten)]
    config: ConfigArgs,
}

impl ConfigCommand {
    /// Prints to standard output.
    ///
    /// # Errors
    /// One line for a configuration that cannot be resolved.
    pub fn run(&self) -> Result<()> {
        let text = self.config.resolve()?.to_toml()?;
        io::stdout().write_all(text.as_bytes())?;
        Ok(())
    }
}
