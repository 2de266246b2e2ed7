//! `abs identify`: the motors of a robot from a log of it on a stand.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::Result;
use controller::identification::{Estimate, JointEstimate};
use policies::file::write_atomic;
use robots::Robot;
use ros2::{IdentifiedLog, LogEnd};
use sim::reality::RealityConfig;

/// Identify the motors from the log of `abs deploy --identify`: delay, armature, friction, encoder bias
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs deploy --identify --interface eth0 --log stand.mcap    the robot on a stand, feet free: u, then g
  abs identify stand.mcap --out mine.toml                    its motors, and a reality with them
  abs eval --reality mine.toml                               what is left of a policy with such motors

Every value comes with its 95% interval. What they mean, and what they cannot tell: docs/how-to/identify.md.")]
pub struct IdentifyCommand {
    /// The log
    #[arg(value_name = "LOG.mcap")]
    log: PathBuf,
    /// Write the motors as a reality, ranges over the joints, for `--reality`
    #[arg(long, value_name = "FILE.toml")]
    out: Option<PathBuf>,
}

impl IdentifyCommand {
    /// Identifies the motors.
    ///
    /// # Errors
    /// One line for a file that is no log, or does not show joints that are driven on a stand.
    pub fn run(&self) -> Result<()> {
        let log = ros2::identify(&self.log)?;
        let mut out = io::stdout();
        write!(out, "{}", table(&log))?;
        out.flush()?;
        if log.end != LogEnd::Whole {
            eprintln!("warning: the log {}", log.end);
        }
        if let Some(path) = &self.out {
            let source = self.log.display().to_string();
            let date = time::OffsetDateTime::now_utc().date().to_string();
            let text = reality(&log, &source, &date)?;
            write_atomic(path, text.as_bytes())?;
            eprintln!("wrote {}", path.display());
        }
        Ok(())
    }
}

fn name(robot: &Robot, joint: usize) -> &str {
    let mut joints = robot.joints();
    joints.nth(joint).map_or("", |joint| &joint.name)
}

fn cell(estimate: Option<Estimate>, scale: f64, decimals: usize) -> String {
    let Some(Estimate { value, low, high }) = estimate else {
        return "not seen".to_owned();
    };
    let [value, low, high] = [value, low, high].map(|value| scale * value);
    format!("{value:.decimals$} [{low:.decimals$}, {high:.decimals$}]")
}

/// A row per joint.
fn table(log: &IdentifiedLog) -> String {
    let mut rows = vec![
        [
            "joint",
            "delay, ms",
            "armature, kg m2",
            "damping, N m s/rad",
            "friction, N m",
            "bias, rad",
            "saturation, N m",
            "asked, N m",
            "reported",
            "unexplained, N m",
        ]
        .map(str::to_owned),
    ];
    for joint in &log.motors.joints {
        let reported = joint.reported_torque;
        rows.push([
            name(&log.robot, joint.joint).to_owned(),
            cell(Some(joint.delay_s), 1e3, 1),
            cell(Some(joint.armature_kgm2), 1.0, 4),
            cell(Some(joint.damping_nms), 1.0, 3),
            cell(Some(joint.friction_nm), 1.0, 2),
            cell(joint.bias_rad, 1.0, 3),
            match joint.saturation_nm {
                None => "not reached".to_owned(),
                reached => cell(reached, 1.0, 1),
            },
            format!("{:.1}", joint.asked_nm),
            reported.map_or_else(|| "no".to_owned(), |ratio| format!("x {ratio:.2}")),
            format!("{:.2}", joint.unexplained_nm),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths);
        let cells = cells.map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        text += line.trim_end();
        text.push('\n');
    }
    if !log.motors.missing.is_empty() {
        let missing = log.motors.missing.iter();
        let names: Vec<_> = missing.map(|&joint| name(&log.robot, joint)).collect();
        let _ = writeln!(text, "not driven to the end: {}", names.join(", "));
    }
    text
}

/// The range over the joints of what is estimated, each with its interval.
fn range(
    joints: &[JointEstimate],
    of: impl Fn(&JointEstimate) -> Option<Estimate>,
) -> Option<[f64; 2]> {
    let estimates: Vec<Estimate> = joints.iter().filter_map(of).collect();
    let low = estimates.iter().map(|estimate| estimate.low);
    let high = estimates.iter().map(|estimate| estimate.high);
    (!estimates.is_empty()).then(|| [low.fold(f64::MAX, f64::min), high.fold(f64::MIN, f64::max)])
}

/// The motors as a file for `--reality`.
fn reality(log: &IdentifiedLog, source: &str, date: &str) -> Result<String> {
    let (robot, joints) = (&log.robot, &log.motors.joints);
    let mut text = format!(
        "# Motors of {}, identified on {date} from {source}: {} joints, each driven by a chirp on a stand.\n\
         # Ranges go over the joints and their 95% intervals.\n",
        robot.name,
        joints.len()
    );
    let mut config = RealityConfig::default();
    let mut put = |key: &str, comment: &str, to: &mut [f32; 2], [low, high]: [f64; 2]| {
        *to = [low, high].map(|value| value as f32);
        let _ = write!(text, "\n# {comment}\n{key} = [{low:.4}, {high:.4}]\n");
    };
    let described = |joint: &JointEstimate| robot.joints().nth(joint.joint);
    if let Some(delay_s) = range(joints, |joint| Some(joint.delay_s)) {
        put(
            "target_delay_ms",
            "From a command to its torque as the measurements show it: that these are late is part of it.",
            &mut config.target_delay_ms,
            delay_s.map(|delay_s| (1e3 * delay_s).max(0.0)),
        );
    }
    let factor = |joint: &JointEstimate| {
        let described = f64::from(described(joint)?.armature_kgm2);
        let of = joint.armature_kgm2;
        (described > 0.0).then(|| Estimate {
            value: of.value / described,
            low: of.low / described,
            high: of.high / described,
        })
    };
    if let (Some(factor), Some([low, high])) = (
        range(joints, factor),
        range(joints, |joint| Some(joint.armature_kgm2)),
    ) {
        put(
            "armature_factor",
            &format!("Armature {low:.4} to {high:.4} kg m2, as a factor on that of robot.toml."),
            &mut config.armature_factor,
            factor.map(|factor| factor.clamp(0.1, 10.0)),
        );
    }
    let above = |of: Estimate, described: f32| Estimate {
        value: of.value - f64::from(described),
        low: of.low - f64::from(described),
        high: of.high - f64::from(described),
    };
    let frictions =
        |joint: &JointEstimate| Some(above(joint.friction_nm, described(joint)?.friction_nm));
    if let (Some(added), Some([low, high])) = (
        range(joints, frictions),
        range(joints, |joint| Some(joint.friction_nm)),
    ) {
        put(
            "joint_friction_nm",
            &format!(
                "Coulomb friction {low:.3} to {high:.3} N m, less that of robot.toml{}.",
                lowered(added)
            ),
            &mut config.joint_friction_nm,
            added.map(|added| added.max(0.0)),
        );
    }
    let dampings =
        |joint: &JointEstimate| Some(above(joint.damping_nms, described(joint)?.damping_nms));
    if let (Some(added), Some([low, high])) = (
        range(joints, dampings),
        range(joints, |joint| Some(joint.damping_nms)),
    ) {
        put(
            "joint_damping_nms",
            &format!(
                "Viscous friction {low:.3} to {high:.3} N m s/rad, less that of robot.toml{}.",
                lowered(added)
            ),
            &mut config.joint_damping_nms,
            added.map(|added| added.max(0.0)),
        );
    }
    if let Some(bias_rad) = range(joints, |joint| joint.bias_rad) {
        put(
            "joint_bias_rad",
            "Measured minus true position, where gravity shows it.",
            &mut config.joint_bias_rad,
            bias_rad.map(|bias_rad| bias_rad.clamp(-0.5, 0.5)),
        );
    }
    if let Some([low, high]) = range(joints, |joint| joint.saturation_nm) {
        let _ = write!(
            text,
            "\n# Motors saturate at {low:.1} to {high:.1} N m: motor.effort_limit_nm of robot.toml.\n"
        );
    }
    config.validate()?;
    Ok(text)
}

/// What a reality cannot say.
fn lowered([low, _]: [f64; 2]) -> &'static str {
    match low < 0.0 {
        true => ", which may be too much: a reality takes nothing away",
        false => "",
    }
}

#[cfg(test)]
mod tests {
    use controller::identification::Identification;

    use super::*;

    fn estimate(value: f64, half: f64) -> Estimate {
        Estimate {
            value,
            low: value - half,
            high: value + half,
        }
    }

    #[test]
    fn a_reality_spans_the_joints_and_can_be_loaded() {
        let robot = Robot::load("go1").unwrap();
        let joint = |joint: usize, delay_s: f64, friction_nm: f64| JointEstimate {
            joint,
            delay_s: estimate(delay_s, 5e-4),
            armature_kgm2: estimate(0.008, 0.0005),
            damping_nms: estimate(0.09, 0.01),
            friction_nm: estimate(friction_nm, 0.01),
            bias_rad: (joint == 1).then(|| estimate(0.02, 0.002)),
            saturation_nm: None,
            asked_nm: 6.0,
            reported_torque: Some(1.0),
            unexplained_nm: 0.01,
        };
        let log = IdentifiedLog {
            robot,
            motors: Identification {
                joints: vec![joint(0, 0.010, 0.35), joint(1, 0.012, 0.15)],
                missing: vec![2],
            },
            cycles: 1,
            end: LogEnd::Whole,
        };
        let table = table(&log);
        assert!(
            table.contains("FL_hip_joint    10.0 [9.5, 10.5]"),
            "{table}"
        );
        assert!(
            table.contains("not driven to the end: FL_calf_joint"),
            "{table}"
        );
        let text = reality(&log, "stand.mcap", "2026-11-29").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        std::fs::write(&path, &text).unwrap();
        let loaded = RealityConfig::load(path.to_str().unwrap()).unwrap();
        assert_eq!(loaded.target_delay_ms, [9.5, 12.5]);
        assert_eq!(loaded.armature_factor, [1.5, 1.7]);
        // The description has 0.2 N m of friction: what is less cannot be said.
        assert_eq!(loaded.joint_friction_nm, [0.0, 0.16]);
        assert!(text.contains("a reality takes nothing away"), "{text}");
        assert_eq!(loaded.joint_bias_rad, [0.018, 0.022]);
        assert_eq!(loaded.motor_strength, [1.0, 1.0]);
    }
}
