//! `abs deploy`: a policy bundle on a robot.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::Result;
use controller::{
    Method,
    deploy::{DeployConfig, Status},
};
use ros2::{Run, RunArgs, RunConfig, print_line};

use super::subject::Subject;
use crate::{
    config::ConfigArgs,
    pictures::cycle_times,
    view::{self, Destination, Feed, Pace, StatusView, ViewArgs},
};

/// Run a policy bundle on a robot over ROS 2
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs sim-robot --robot go1 --domain 7 --interface lo          a simulated robot, in another terminal
  abs deploy --robot go1 --domain 7 --interface lo --goal 6,0  run to a goal, started from the keyboard
  abs deploy --bundle policies/bundles/go2 --interface eth0 --log run.mcap
                                                               a real robot; goals come from RViz
  abs deploy --goal 6,0 --interface eth0 --view web            with a live view in a browser
  abs deploy --bundle policies/bundles/go1-velocity --gamepad  driven by a gamepad; without --gamepad by the arrow keys
  abs deploy --identify --interface eth0 --log stand.mcap      a robot on a stand; then `abs identify stand.mcap`

Before a real robot: docs/robot-day.md. What each fault means: docs/reference/faults.md.")]
pub struct DeployCommand {
    /// Policy bundle, which knows its robot: its folder, or the name of a shipped one [default: the shipped bundle of the robot]
    #[arg(long, value_name = "DIR|NAME", value_parser = crate::repository::bundle_argument)]
    bundle: Option<PathBuf>,
    /// What controls the robot: abs, or a policy of the bundle, e.g. agile or recovery [default: abs if the bundle has all three networks]
    #[arg(long)]
    method: Option<Method>,
    /// Draw the compute time and lateness of the control thread
    #[arg(long, value_name = "FILE.png")]
    picture: Option<PathBuf>,
    #[command(flatten)]
    view: ViewArgs,
    #[command(flatten)]
    args: RunArgs,
    #[command(flatten)]
    config: ConfigArgs,
}

impl DeployCommand {
    /// Runs until the operator ends the run.
    ///
    /// # Errors
    /// One line that says what does not fit, or what went wrong.
    pub fn run(&self) -> Result<()> {
        let resolved = self.config.resolve_plain()?;
        let set = resolved.origins.contains_key("deploy.method");
        let method = self.method.or(set.then_some(resolved.config.deploy.method));
        let destination = self.view.destination()?;
        let subject = Subject::resolve(resolved, self.bundle.as_deref(), method)?;
        // Before any thread has the priority of the control thread.
        let feed = destination.map(|to| start_view(to, &subject)).transpose()?;
        let Subject {
            robot,
            bundle,
            bundle_path,
            method,
            config,
        } = subject;
        let run = Run {
            robot,
            robot_name: config.robot,
            bundle,
            bundle_path,
            config: RunConfig {
                controller: config.controller,
                deploy: DeployConfig {
                    method,
                    ..config.deploy
                },
                ros2: config.ros2,
            },
            args: self.args.clone(),
        };
        let watch = |status: &Status| {
            if let Some(feed) = &feed {
                feed.show(status.clone());
            }
        };
        let report = run.run(print_line, watch);
        if let Some(Err(error)) = feed.map(Feed::close) {
            print_line(&format!("warning: the view: {error:#}"));
        }
        let report = report?;
        // A terminal that was closed meanwhile is no error.
        let _ = write!(io::stdout(), "{report}");
        if let Some(path) = &self.picture {
            cycle_times("abs deploy", &report.timing)?.save(path)?;
        }
        Ok(())
    }
}

/// Opens a view, and a thread that shows statuses in it.
fn start_view(destination: &Destination, subject: &Subject) -> Result<Feed<Status>> {
    let shown = view::Subject {
        title: format!("{}, {}, deployed", subject.robot.name, subject.method),
        robot: &subject.robot,
        rays: &subject.bundle.spec.rays,
        threshold: subject.threshold(),
        camera: None,
        pace: Pace::Live,
    };
    let mut view = StatusView::open(destination, &shown, subject.config.eval.reach_m)?;
    Feed::start(move |statuses| {
        statuses.iter().try_for_each(|status| view.show(&status))?;
        view.close()
    })
}
