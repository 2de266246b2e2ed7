//! `abs compare`: evaluations side by side.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::Result;
use sim::eval::{Outcome, SwitchReport};

use crate::{
    pictures::{Style, files_of, outcome_intervals, speed_against_collision, speed_histograms},
    results::{evaluation::StoredEvaluation, figure, gait},
};

/// Compare evaluations: table, outcome bars, speed against collision rate
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs eval --method agile --out out/agile; abs eval --method abs --out out/abs
  abs compare out/agile out/abs
  abs compare --paper out/abs-a out/abs-n out/abs-c      with the paper's results as open marks")]
pub struct CompareCommand {
    /// Folders of evaluations; the others are compared with the first
    #[arg(required = true, num_args = 2.., value_name = "EVAL")]
    folders: Vec<PathBuf>,
    /// Show the paper's results in the plot
    #[arg(long)]
    paper: bool,
    /// Folder for the pictures
    #[arg(long, value_name = "DIR", default_value = "out/compare")]
    out: PathBuf,
    /// How the pictures look: a TOML file, see docs/how-to/pictures.md
    #[arg(long, value_name = "FILE")]
    style: Option<PathBuf>,
}

impl CompareCommand {
    /// Prints the table and writes the pictures.
    ///
    /// # Errors
    /// One line if a folder holds no evaluation.
    pub fn run(&self) -> Result<()> {
        if let Some(style) = &self.style {
            Style::read(style)?.apply()?;
        }
        let evaluations = (self.folders.iter())
            .map(|folder| StoredEvaluation::read(folder))
            .collect::<Result<Vec<_>>>()?;
        let named: Vec<_> = evaluations.iter().map(StoredEvaluation::named).collect();
        let speeds: Vec<_> = evaluations.iter().map(StoredEvaluation::speeds).collect();
        let mut text = table(&evaluations);
        for (name, picture) in [
            ("outcomes.png", outcome_intervals("Outcomes", &named)?),
            (
                "tradeoff.png",
                speed_against_collision("Speed against collision", &named, self.paper)?,
            ),
            (
                "speeds.png",
                speed_histograms("Speed on the way to the goal", &speeds)?,
            ),
        ] {
            let path = self.out.join(name);
            picture.save(&path)?;
            for file in files_of(&path) {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{}", file.display());
            }
        }
        io::stdout().write_all(text.as_bytes())?;
        Ok(())
    }
}

fn table(evaluations: &[StoredEvaluation]) -> String {
    let width = evaluations.iter().map(|e| e.name.len()).max().unwrap_or(0);
    let mut text = format!(
        "{:<width$}  method    episodes  reach %             collision %         timeout %  mean / peak m/s  to goal, s  path    recovery %\n",
        ""
    );
    for StoredEvaluation { name, report, .. } in evaluations {
        let rate = |rate: f64, [low, high]: [f64; 2]| {
            let [rate, low, high] = [rate, low, high].map(|share| 100.0 * share);
            format!("{rate:5.1} [{low:.1}, {high:.1}]")
        };
        let recovery = |switch: &SwitchReport| format!("{:.1}", 100.0 * switch.recovery_fraction);
        let _ = writeln!(
            text,
            "{name:<width$}  {:<8}  {:>8}  {:<18}  {:<18}  {:>9.1}   {:>6.2} / {:<6.2}  {:>10}  {:>4}  {:>10}",
            report.method.name(),
            report.episodes,
            rate(report.reach_rate, report.reach_ci95),
            rate(report.collision_rate, report.collision_ci95),
            100.0 * report.time_out_rate,
            report.mean_speed,
            report.peak_speed,
            figure(report.time_to_goal_s),
            figure(report.path_ratio),
            report
                .switch
                .as_ref()
                .map_or_else(|| "-".to_owned(), recovery),
        );
    }
    let reports = evaluations.iter().map(|e| (e.name.as_str(), &e.report));
    let rows = gait::rows(reports);
    if !rows.is_empty() {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{}\n", gait::markdown(&rows));
    }
    if let [first, others @ ..] = evaluations {
        for other in others {
            text.push_str(&against(first, other));
        }
    }
    text
}

/// Compares an evaluation with the first one, also over their common episodes.
fn against(first: &StoredEvaluation, other: &StoredEvaluation) -> String {
    let (a, b) = (&first.report, &other.report);
    if a.scene != b.scene {
        return format!(
            "{} against {}: not comparable, scene {} and scene {}\n",
            other.name, first.name, b.scene, a.scene
        );
    }
    let times = |a: f64, b: f64| match a > 0.0 {
        true => format!("{:.2} times", b / a),
        false => "-".to_owned(),
    };
    let mut text = format!(
        "{} against {}: collisions {}, reach {:+.1} points, mean speed {}",
        other.name,
        first.name,
        times(a.collision_rate, b.collision_rate),
        100.0 * (b.reach_rate - a.reach_rate),
        times(a.mean_speed, b.mean_speed),
    );
    // Episodes are paired by seed, number and scene.
    let outcomes: BTreeMap<_, _> = (first.rows.iter())
        .map(|row| (row.scene_key(), row.outcome))
        .collect();
    let pairs: Vec<_> = (other.rows.iter())
        .filter_map(|row| Some((*outcomes.get(&row.scene_key())?, row.outcome)))
        .collect();
    if a.seed == b.seed && !pairs.is_empty() {
        let count = |before: bool, after: bool| {
            let is = |outcome| outcome == Outcome::Collision;
            let hits = pairs
                .iter()
                .filter(|(a, b)| is(*a) == before && is(*b) == after);
            hits.count()
        };
        let _ = write!(
            text,
            "; of {} common episodes, {} no longer collide and {} collide only now",
            pairs.len(),
            count(true, false),
            count(false, true),
        );
    }
    text.push('\n');
    text
}
