//! `abs completions`: what a shell needs to complete commands and flags.

use std::io::{self, Write};

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;

/// Print the completions of a shell, for its folder of completions
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs completions bash > ~/.local/share/bash-completion/completions/abs
  abs completions zsh > ~/.zfunc/_abs
  abs completions fish > ~/.config/fish/completions/abs.fish")]
pub struct CompletionsCommand {
    /// Which shell
    shell: Shell,
}

impl CompletionsCommand {
    /// Prints them.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn run(&self) -> Result<()> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "abs", &mut text);
        Ok(io::stdout().write_all(&text)?)
    }
}
