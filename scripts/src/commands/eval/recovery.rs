//! `abs eval` of a policy that tracks twists: tracking and braking.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::Path,
};

use anyhow::Result;
use policies::Twist;
use sim::eval::RecoveryReport;

use super::{METRICS, gait_table, make_folder, progress_bar, write};
use crate::{
    commands::subject::Subject,
    pictures::twist_tracking,
    results::{figure, request::Request},
};

/// `1.0,0,-0.5` as v_x, v_y in m/s and w_z in rad/s.
pub fn parse_command(text: &str) -> Result<Twist, String> {
    let numbers: Option<Vec<f32>> = text
        .split(',')
        .map(|part| part.trim().parse().ok().filter(|x: &f32| x.is_finite()))
        .collect();
    match numbers.as_deref() {
        Some(&[vx_mps, vy_mps, yaw_rate_radps]) => Ok(Twist {
            vx_mps,
            vy_mps,
            yaw_rate_radps,
        }),
        _ => Err("must be three numbers, e.g. 1.0,0,-0.5".to_owned()),
    }
}

/// Runs one command, or the grid and braking, and writes the results.
pub fn run(
    subject: &Subject,
    command: Option<Twist>,
    request: &Request,
    out: &Path,
    json: bool,
) -> Result<()> {
    let evaluation = subject.recovery_evaluation()?;
    make_folder(out)?;
    let bar = progress_bar(evaluation.trials(command), "trials");
    let report = evaluation.report(command, &|| bar.inc(1))?;
    bar.finish_and_clear();

    Request::begin(out)?;
    let metrics = serde_json::to_string_pretty(&report)? + "\n";
    write(&out.join(METRICS), metrics.as_bytes())?;
    let picture = out.join("tracking.png");
    if command.is_none() {
        let title = format!(
            "{}, {} policy: velocity over command",
            report.robot, subject.method
        );
        twist_tracking(&title, &report)?.save(&picture)?;
    } else if picture.exists() {
        // One of an earlier evaluation would be misleading.
        fs::remove_file(&picture)?;
    }
    request.finish(out)?;
    let text = match json {
        true => metrics,
        false => table(&report, subject.method.name()) + &format!("results in {}\n", out.display()),
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

fn table(report: &RecoveryReport, method: &str) -> String {
    let mut text = format!(
        "{}, {method}, {}: {} cases, {} trials, seed {}\n",
        report.robot,
        report.engine,
        report.cases.len(),
        report.episodes,
        report.seed
    );
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  survival   {:>6.1} %", 100.0 * report.survival_rate);
    for (name, error, unit) in [
        ("v error", report.mean_velocity_error, "m/s"),
        ("v_x error", report.mean_vx_error, "m/s"),
        ("v_y error", report.mean_vy_error, "m/s"),
        ("w_z error", report.mean_yaw_rate_error, "rad/s"),
    ] {
        let _ = writeln!(text, "  {name:<10} {error:>6.3} {unit}");
    }
    if let Some(gait) = &report.gait {
        text += &gait_table(gait);
    }
    let _ = writeln!(
        text,
        "  start v_x | command v_x  v_y  w_z | mean v_x  v_y  w_z | worst tilt | falls | stops in"
    );
    for case in &report.cases {
        let Twist {
            vx_mps,
            vy_mps,
            yaw_rate_radps,
        } = case.command;
        let stops = case.stopping_distance_m;
        let _ = writeln!(
            text,
            "  {:>9.1} | {vx_mps:>11.2} {vy_mps:>4.1} {yaw_rate_radps:>4.1} | {:>8} {:>4} {:>4} | {:>6.1} deg | {:>2}/{:<2} | {}",
            case.start_vx_mps,
            figure(case.mean_vx_mps),
            figure(case.mean_vy_mps),
            figure(case.mean_yaw_rate_radps),
            case.worst_tilt_rad.to_degrees(),
            case.falls,
            case.trials,
            stops.map_or_else(|| "-".to_owned(), |way_m| format!("{way_m:.2} m")),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_three_numbers() {
        let twist = parse_command("1.5, -0.3,2").unwrap();
        assert_eq!(
            [twist.vx_mps, twist.vy_mps, twist.yaw_rate_radps],
            [1.5, -0.3, 2.0]
        );
        for wrong in ["", "1,2", "1,2,3,4", "1,a,3", "1,NaN,3", "1,inf,3"] {
            assert!(parse_command(wrong).unwrap_err().contains("three numbers"));
        }
    }
}
