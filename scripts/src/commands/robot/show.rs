//! `abs robot show`: what a robot is, in numbers and as a picture.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Result;
use robots::{CONTINUOUS_LIMIT_RAD, Robot};

use crate::pictures::robot_sheet;

/// Show a robot: mass, size, legs and joints
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs robot show go2
  abs robot show path/to/folder --picture out/robot.png")]
pub struct ShowCommand {
    /// A robot that is built in, or the folder of one
    #[arg(value_name = "NAME|DIR")]
    robot: String,
    /// Draw it from the side, from the front and from above, with the axes of its joints
    #[arg(long, value_name = "FILE.png")]
    picture: Option<PathBuf>,
}

impl ShowCommand {
    /// Prints the table.
    ///
    /// # Errors
    /// One line if there is no such robot, or the picture cannot be written.
    pub fn run(&self) -> Result<()> {
        let robot = Robot::load(&self.robot)?;
        let mut text = table(&robot);
        if let Some(path) = &self.picture {
            draw(&robot, path)?;
            let _ = writeln!(text, "picture: {}", path.display());
        }
        io::stdout().write_all(text.as_bytes())?;
        Ok(())
    }
}

/// Draws it.
///
/// # Errors
/// When the file cannot be written.
pub fn draw(robot: &Robot, path: &Path) -> Result<()> {
    robot_sheet(robot)?.save(path)
}

/// Mass, size, legs and a row per joint. Writing to a string cannot fail.
pub fn table(robot: &Robot) -> String {
    let control = &robot.control;
    let standing = &control.standing_position_rad;
    let feet = robot.foot_positions_base(standing);
    let extent = |axis: usize| {
        let along = feet.iter().map(|at| at[axis]);
        along.clone().fold(f32::MIN, f32::max) - along.fold(f32::MAX, f32::min)
    };
    let load = robot.static_load(standing);
    let mut text = format!(
        "{}: {:.2} kg ({:.2} of it trunk), {} legs of {:.3} m, {} joints\n\
         stands {:.3} m high on feet {:.3} m apart lengthwise and {:.3} m across; its centre of mass is {:.0} mm inside them\n\n\
         {:<5} {:<24} {:>17} {:>9} {:>7} {:>8} {:>7} {:>6} {:>8} {:>8} {:>7}\n",
        robot.name,
        robot.mass_kg(),
        robot.base.link.mass_kg,
        robot.num_feet(),
        robot.leg_length_m(),
        robot.num_joints(),
        control.standing_height_m,
        extent(0),
        extent(1),
        1e3 * load.support_margin_m,
        "leg",
        "joint",
        "range, rad",
        "standing",
        "default",
        "stiffn.",
        "damping",
        "N·m",
        "rad/s",
        "load N·m",
        "link kg"
    );
    for (leg, range) in robot.legs_with_joint_range() {
        for (joint, index) in leg.joints.iter().zip(range) {
            let limits = match joint.upper_rad >= CONTINUOUS_LIMIT_RAD {
                true => "none".to_owned(),
                false => format!("{:.2} to {:.2}", joint.lower_rad, joint.upper_rad),
            };
            let _ = writeln!(
                text,
                "{:<5} {:<24} {limits:>17} {:>9.2} {:>7.2} {:>8} {:>7} {:>6.1} {:>8.1} {:>8.1} {:>7.2}",
                leg.name,
                joint.name,
                standing[index],
                control.default_position_rad[index],
                control.stiffness[index],
                control.damping[index],
                joint.effort_limit_nm,
                joint.velocity_limit_radps,
                load.torque_nm[index],
                joint.link.mass_kg
            );
        }
    }
    text
}
