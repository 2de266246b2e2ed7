//! Training, evaluation and deployment of agile but safe policies for legged robots: the library behind the program `abs`.

mod allocations;
mod commands;
pub mod config;
mod depth;
#[cfg(feature = "onnx")]
mod export;
mod import;
mod parity;
mod pictures;
mod repository;
mod results;
mod run;
pub mod train;
pub mod view;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser;

pub use commands::subject::Subject;

/// The program: runs the command that the arguments name. An error is one line.
pub fn run() -> ExitCode {
    // `abs deploy` starts processes beside its own.
    #[cfg(feature = "ros2")]
    if let Some(code) = ros2::run_helper() {
        return code;
    }
    let cli = match commands::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() && !is_help(&error) => {
            print_error(&one_line_usage_error(&error));
            return ExitCode::from(2);
        }
        Err(error) => error.exit(),
    };
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        // `abs ... | head` closes the pipe early; that is not an error.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

/// Longest error, characters: it may quote what it was given.
const LONGEST_ERROR: usize = 2000;

/// Prints an error in one line.
fn report(error: &anyhow::Error) {
    let mut line = one_line(&with_causes(error));
    if let Some((end, _)) = line.char_indices().nth(LONGEST_ERROR) {
        line.replace_range(end.., "...");
    }
    print_error(&format!("error: {line}"));
}

/// Prints a line to standard error; that it may be closed changes nothing about the error.
fn print_error(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn is_help(error: &clap::Error) -> bool {
    error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
}

/// The message of clap without the usage, in one line.
fn one_line_usage_error(error: &clap::Error) -> String {
    let text = error.to_string();
    let message = text.split("\nUsage:").next().unwrap_or_default();
    let message = message
        .split("\nFor more information")
        .next()
        .unwrap_or_default();
    format!("{} (see --help)", one_line(message))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// An error and its causes, without those that its message already includes.
fn with_causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
