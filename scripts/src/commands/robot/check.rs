//! `abs robot check`: numbers, standing test in every engine, picture, verdict.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::{Result, bail};
use robots::{Robot, Soundness};
use sim::{
    engine::{EngineError, EngineKind},
    standing::{StandingReport, complaints, stand},
};

use super::show;

/// Check whether a robot is sound: its numbers, and whether it stands and squats in every engine
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs robot check go1
  abs robot check path/to/folder --picture out/robot.png")]
pub struct CheckCommand {
    /// A robot that is built in, or the folder of one
    #[arg(value_name = "NAME|DIR")]
    robot: String,
    /// Draw it from the side, from the front and from above, with the axes of its joints
    #[arg(long, value_name = "FILE.png")]
    picture: Option<PathBuf>,
}

impl CheckCommand {
    /// Prints tables and the verdict.
    ///
    /// # Errors
    /// When the robot is not sound, so that the exit status tells.
    pub fn run(&self) -> Result<()> {
        let robot = Robot::load(&self.robot)?;
        let mut text = show::table(&robot);
        let Soundness {
            reasons,
            mut doubts,
        } = robot.soundness();
        if reasons.is_empty() {
            let (table, found) = standing_test(&robot);
            text += &table;
            doubts.extend(found);
        }
        if let Some(path) = &self.picture {
            show::draw(&robot, path)?;
            let _ = writeln!(text, "picture: {}", path.display());
        }
        text.push('\n');
        for line in reasons.iter().chain(&doubts) {
            let _ = writeln!(text, "- {line}");
        }
        let found = reasons.len() + doubts.len();
        if found == 0 {
            text += "verdict: sound\n";
        }
        io::stdout().write_all(text.as_bytes())?;
        match found {
            0 => Ok(()),
            1 => bail!("robot `{}` is not sound: 1 finding", robot.name),
            found => bail!("robot `{}` is not sound: {found} findings", robot.name),
        }
    }
}

/// The table of the standing test, and what it speaks against.
fn standing_test(robot: &Robot) -> (String, Vec<String>) {
    let mut text = String::from(
        "\nstanding for 5 s, then squatting\n\
         engine   height    tilt  drift   slip  effort, standing      squatting\n",
    );
    let (mut reports, mut found) = (Vec::new(), Vec::new());
    for &kind in EngineKind::ALL {
        match stand(robot, kind) {
            Ok(report) => {
                text += &row(&report);
                reports.push(report);
            }
            Err(EngineError::Absent(reason)) => {
                let _ = writeln!(text, "{:<8} {reason}", kind.name());
            }
            Err(error) => found.push(format!("{kind}: {error}")),
        }
    }
    found.extend(complaints(robot, &reports));
    (text, found)
}

fn row(report: &StandingReport) -> String {
    let effort = |(part, joint): &(f32, String)| format!("{:>3.0}% {joint}", 100.0 * part);
    format!(
        "{:<8} {:.3} m {:>5.1}° {:>3.0} mm {:>3.0} mm  {:<21} {}\n",
        report.engine.name(),
        report.height_m,
        report.tilt_rad.to_degrees(),
        1e3 * report.drift_m,
        1e3 * report.slip_m,
        effort(&report.stand_effort),
        effort(&report.squat_effort)
    )
}

/// One line on a robot for `abs doctor`, and whether it is sound.
pub fn quick_check(robot: &Robot) -> (String, bool) {
    let size = format!(
        "{} legs, {} joints, {:.1} kg",
        robot.num_feet(),
        robot.num_joints(),
        robot.mass_kg()
    );
    let Soundness { reasons, doubts } = robot.soundness();
    let mut found = reasons;
    found.extend(doubts);
    if found.is_empty() {
        found.extend(standing_test(robot).1);
    }
    match found.is_empty() {
        true => (
            format!("{size}, stands in every engine that is built in"),
            true,
        ),
        false => (found.join("; "), false),
    }
}
