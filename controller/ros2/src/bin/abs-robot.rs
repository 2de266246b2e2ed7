//! `abs-robot`: runs a policy bundle on a robot. The same as `abs deploy`, without simulation, training and pictures.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;
use policies::{Bundle, settings};
use robots::Robot;
use ros2::{Run, RunArgs, RunConfig, RunError, print_line, run_helper};

/// Run a policy bundle on a robot over ROS 2
#[derive(Parser)]
#[command(name = "abs-robot", version)]
struct Cli {
    /// Folder of the policy bundle
    #[arg(long, value_name = "DIR")]
    bundle: PathBuf,
    /// Name of a robot that is shipped, or path of a robot folder [default: the bundle's]
    #[arg(long, value_name = "NAME|DIR")]
    robot: Option<String>,
    /// Read settings from a TOML file: the tables controller, deploy and ros2 of `abs config`
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// Change one setting, e.g. `--set ros2.lidar.frame=laser`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    #[command(flatten)]
    args: RunArgs,
}

fn main() -> ExitCode {
    if let Some(code) = run_helper() {
        return code;
    }
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let words: Vec<_> = error.split_whitespace().collect();
            print_line(&format!("error: {}", words.join(" ")));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), String> {
    let mut config = RunConfig::default();
    if let Some(path) = &cli.config {
        config = settings::with_file(&config, path).map_err(|error| error.to_string())?;
    }
    for set in &cli.sets {
        config = settings::with_set(&config, set).map_err(|error| error.to_string())?;
    }
    let start = || -> Result<_, RunError> {
        let bundle = Bundle::load(&cli.bundle)?;
        let (robot, robot_name) = match &cli.robot {
            Some(name) => (Robot::load(name)?, name.clone()),
            None => bundle.robot_and_place(&cli.bundle)?,
        };
        robot.require_sound()?;
        Run {
            robot,
            robot_name,
            bundle,
            bundle_path: cli.bundle.clone(),
            config,
            args: cli.args.clone(),
        }
        .run(print_line, |_| ())
    };
    let report = start().map_err(|error| error.to_string())?;
    let _ = write!(io::stdout(), "{report}");
    Ok(())
}
