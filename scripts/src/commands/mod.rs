//! The commands of `abs`, one file each.

mod bench;
mod benchmark;
mod bundle;
mod collect_depth;
mod compare;
mod completions;
mod config;
mod demo;
#[cfg(feature = "ros2")]
mod deploy;
mod doctor;
#[cfg(all(test, feature = "mujoco", feature = "ros2"))]
mod documented;
pub mod eval;
mod export;
#[cfg(feature = "ros2")]
mod identify;
mod import;
#[cfg(feature = "ros2")]
mod memory;
mod play;
mod plot;
mod policy_args;
#[cfg(feature = "ros2")]
mod replay;
mod robot;
mod robustness;
mod scenes;
#[cfg(feature = "ros2")]
mod sim_robot;
pub mod subject;
mod sweep;
mod train;
mod view;
mod view_depth;
#[cfg(not(feature = "ros2"))]
mod without_ros2;

use anyhow::Result;
use clap::{
    Parser, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use sim::engine::EngineKind;

#[cfg(not(feature = "ros2"))]
use without_ros2::{deploy, identify, replay, sim_robot};

const EXAMPLES: &str = "\
Examples:
  abs demo                                     evaluate the policy that is shipped, with pictures
  abs train agile --robot go1 --seed 1         train; watch with tensorboard --logdir runs
  abs train --resume runs/agile-go1-1-...      go on with a run that was stopped
  abs eval --bundle policies/bundles/go1       the paper's test: table, metrics.json, pictures
  abs play --bundle policies/bundles/go1       one episode as an animated GIF
  abs play --view                              one episode in 3-D
  abs doctor                                   what this machine has, and what is missing";

/// Reads the name of an engine; `--help` lists them.
fn engine_kind() -> impl TypedValueParser<Value = EngineKind> {
    let names = EngineKind::ALL.iter().map(|kind| kind.name());
    PossibleValuesParser::new(names).try_map(|name| name.parse::<EngineKind>())
}

/// Agile but safe: a legged robot that runs to a goal and does not collide.
#[derive(Parser)]
#[command(name = "abs", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::DemoCommand),
    Eval(eval::EvalCommand),
    Play(play::PlayCommand),
    View(view::ViewCommand),
    Scenes(scenes::ScenesCommand),
    Robot(robot::RobotCommand),
    Compare(compare::CompareCommand),
    Benchmark(benchmark::BenchmarkCommand),
    Robustness(robustness::RobustnessCommand),
    Sweep(sweep::SweepCommand),
    Plot(plot::PlotCommand),
    Train(train::TrainCommand),
    Bundle(bundle::BundleCommand),
    Export(export::ExportCommand),
    Import(import::ImportCommand),
    CollectDepth(collect_depth::CollectDepthCommand),
    ViewDepth(view_depth::ViewDepthCommand),
    Bench(bench::BenchCommand),
    Deploy(deploy::DeployCommand),
    SimRobot(sim_robot::SimRobotCommand),
    Replay(replay::ReplayCommand),
    Identify(identify::IdentifyCommand),
    Config(config::ConfigCommand),
    Completions(completions::CompletionsCommand),
    Doctor(doctor::DoctorCommand),
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// One line that says what does not fit, or what went wrong.
    pub fn run(self) -> Result<()> {
        match self.command {
            Command::Demo(command) => command.run(),
            Command::Eval(command) => command.run(),
            Command::Play(command) => command.run(),
            Command::View(command) => command.run(),
            Command::Scenes(command) => command.run(),
            Command::Robot(command) => command.run(),
            Command::Compare(command) => command.run(),
            Command::Benchmark(command) => command.run(),
            Command::Robustness(command) => command.run(),
            Command::Sweep(command) => command.run(),
            Command::Plot(command) => command.run(),
            Command::Train(command) => command.run(),
            Command::Bundle(command) => command.run(),
            Command::Export(command) => command.run(),
            Command::Import(command) => command.run(),
            Command::CollectDepth(command) => command.run(),
            Command::ViewDepth(command) => command.run(),
            Command::Bench(command) => command.run(),
            Command::Deploy(command) => command.run(),
            Command::SimRobot(command) => command.run(),
            Command::Replay(command) => command.run(),
            Command::Identify(command) => command.run(),
            Command::Config(command) => command.run(),
            Command::Completions(command) => command.run(),
            Command::Doctor(command) => command.run(),
        }
    }
}
