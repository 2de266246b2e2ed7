//! `abs`: trains, evaluates and shows agile-but-safe policies for legged robots.

mod allocations;
mod bench;
mod benchmark;
mod bundle;
mod collect_depth;
mod compare;
mod config;
mod config_command;
mod demo;
#[cfg(feature = "ros2")]
mod deploy;
mod depth_data;
#[cfg_attr(not(feature = "train"), expect(dead_code, reason = "for training"))]
mod depth_report;
mod doctor;
mod eval;
mod events;
#[cfg(any(feature = "ros2", feature = "train"))]
mod interrupt;
mod pictures;
mod play;
mod plot;
mod policy_args;
#[cfg_attr(
    not(any(feature = "train", test)),
    expect(dead_code, reason = "for training")
)]
mod progress;
#[cfg(feature = "ros2")]
mod replay;
mod repository;
#[cfg_attr(
    not(any(feature = "train", test)),
    expect(dead_code, reason = "for training")
)]
mod run_folder;
mod scenes;
#[cfg(feature = "ros2")]
mod sim_robot;
mod stored_evaluation;
mod train;
mod view_depth;

use std::{io, process::ExitCode};

use clap::{Parser, Subcommand};

const EXAMPLES: &str = "\
Examples:
  abs demo                                     evaluate the policy that is shipped, with pictures
  abs train agile --robot go1 --seed 1         train; watch with tensorboard --logdir runs
  abs train --resume runs/agile-go1-1-...      go on with a run that was stopped
  abs eval --bundle policies/bundles/go1       the paper's test: table, metrics.json, pictures
  abs play --bundle policies/bundles/go1       one episode as an animated GIF
  abs doctor                                   what this machine has, and what is missing";

/// Agile but safe: a legged robot that runs to a goal and does not collide.
#[derive(Parser)]
#[command(name = "abs", version, after_help = EXAMPLES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::DemoCommand),
    Eval(eval::EvalCommand),
    Play(play::PlayCommand),
    Scenes(scenes::ScenesCommand),
    Compare(compare::CompareCommand),
    Benchmark(benchmark::BenchmarkCommand),
    Plot(plot::PlotCommand),
    Train(train::TrainCommand),
    Bundle(bundle::BundleCommand),
    CollectDepth(collect_depth::CollectDepthCommand),
    ViewDepth(view_depth::ViewDepthCommand),
    Bench(bench::BenchCommand),
    #[cfg(feature = "ros2")]
    Deploy(deploy::DeployCommand),
    #[cfg(feature = "ros2")]
    SimRobot(sim_robot::SimRobotCommand),
    #[cfg(feature = "ros2")]
    Replay(replay::ReplayCommand),
    Config(config_command::ConfigCommand),
    Doctor(doctor::DoctorCommand),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() && !is_help(&error) => {
            eprintln!("{}", one_line_usage_error(&error));
            return ExitCode::from(2);
        }
        Err(error) => error.exit(),
    };
    let result = match cli.command {
        Command::Demo(command) => command.run(),
        Command::Eval(command) => command.run(),
        Command::Play(command) => command.run(),
        Command::Scenes(command) => command.run(),
        Command::Compare(command) => command.run(),
        Command::Benchmark(command) => command.run(),
        Command::Plot(command) => command.run(),
        Command::Train(command) => command.run(),
        Command::Bundle(command) => command.run(),
        Command::CollectDepth(command) => command.run(),
        Command::ViewDepth(command) => command.run(),
        Command::Bench(command) => command.run(),
        #[cfg(feature = "ros2")]
        Command::Deploy(command) => command.run(),
        #[cfg(feature = "ros2")]
        Command::SimRobot(command) => command.run(),
        #[cfg(feature = "ros2")]
        Command::Replay(command) => command.run(),
        Command::Config(command) => command.run(),
        Command::Doctor(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // `abs ... | head` closes the pipe early; that is not an error.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        // The first of several processes tells the error and fails: a failure here could end it before it has.
        Err(error) if with_causes(&error).is_empty() => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

/// Prints an error in one line.
fn report(error: &anyhow::Error) {
    eprintln!("error: {}", one_line(&with_causes(error)));
}

fn is_help(error: &clap::Error) -> bool {
    error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
}

/// What clap says before it goes on with the usage, in one line.
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

/// An error and its causes, without those that the error names itself.
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
