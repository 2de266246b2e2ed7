//! `abs robot`: robots of one's own, from a maker's description to a verdict.

mod check;
mod import;
mod show;

use std::io::{self, Write as _};

use anyhow::Result;
use clap::Subcommand;
use robots::Robot;

pub use check::quick_check;

/// Import, check, list and show robots
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs robot import go9.urdf                  a maker's description becomes the folder ./go9
  abs robot check go9                        does it stand, in every engine?
  abs robot show go9 --picture go9.png       its table, and a picture from three sides
  abs robot list                             the robots that are built in
  abs train all --robot ./go9                train a bundle for it; docs/how-to/own-robot.md says more")]
pub struct RobotCommand {
    #[command(subcommand)]
    command: RobotSubcommand,
}

#[derive(Subcommand)]
enum RobotSubcommand {
    Import(import::ImportCommand),
    Check(check::CheckCommand),
    /// List the robots that are built in
    List,
    Show(show::ShowCommand),
}

impl RobotCommand {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// One line; the findings of import and check are printed before it.
    pub fn run(&self) -> Result<()> {
        match &self.command {
            RobotSubcommand::Import(command) => command.run(),
            RobotSubcommand::Check(command) => command.run(),
            RobotSubcommand::List => list(),
            RobotSubcommand::Show(command) => command.run(),
        }
    }
}

fn list() -> Result<()> {
    let mut text = String::new();
    for name in Robot::names() {
        let robot = Robot::load(name)?;
        text += &format!(
            "{name:<8} {} legs, {} joints, {:>5.1} kg, stands {:.2} m high\n",
            robot.num_feet(),
            robot.num_joints(),
            robot.mass_kg(),
            robot.control.standing_height_m
        );
    }
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
