//! `abs deploy`: a policy bundle on a robot.

use std::path::PathBuf;

use anyhow::Result;
use controller::Method;
use policies::Bundle;
use robots::Robot;
use ros2::{Run, RunArgs, RunConfig};

use crate::{
    config::{Config, ConfigArgs},
    pictures::cycle_times,
    repository,
};

/// Run a policy bundle on a robot over ROS 2
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs sim-robot --robot go1 --domain 7 --interface lo          a simulated robot, in another terminal
  abs deploy --robot go1 --domain 7 --interface lo --goal 6,0  run to a goal, asked by keys
  abs deploy --robot go2 --interface eth0 --log run.mcap       a real robot; goals come from RViz

Before a real robot: docs/robot.md. What each fault means: docs/faults.md.")]
pub struct DeployCommand {
    /// Folder of the policy bundle [default: the one that is shipped for the robot]
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// What controls the robot: agile, abs or recovery [default: abs]
    #[arg(long)]
    method: Option<Method>,
    /// Draw how the control thread kept its times
    #[arg(long, value_name = "FILE.png")]
    picture: Option<PathBuf>,
    #[command(flatten)]
    args: RunArgs,
    #[command(flatten)]
    config: ConfigArgs,
}

impl DeployCommand {
    /// Runs until the operator ends it.
    ///
    /// # Errors
    /// One line that says what does not fit, or what went wrong.
    pub fn run(&self) -> Result<()> {
        let config = self.config.resolve()?;
        let Config {
            robot,
            controller,
            mut deploy,
            ros2,
            ..
        } = config;
        deploy.method = self.method.unwrap_or(deploy.method);
        let bundle_path = match &self.bundle {
            Some(folder) => folder.clone(),
            None => repository::shipped_bundle(&robot)?,
        };
        let run = Run {
            bundle: Bundle::load(&bundle_path)?,
            robot: Robot::load(&robot)?,
            robot_name: robot,
            bundle_path,
            config: RunConfig {
                controller,
                deploy,
                ros2,
            },
            args: self.args.clone(),
        };
        let report = run.run(|line| eprintln!("{line}"))?;
        print!("{report}");
        if let Some(path) = &self.picture {
            cycle_times("abs deploy", &report.timing)?.save_png(path)?;
        }
        Ok(())
    }
}
