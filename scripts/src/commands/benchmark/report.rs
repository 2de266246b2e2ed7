//! The table of a benchmark with the paper's results, as Markdown and HTML.

use std::{fmt::Write as _, path::Path};

use anyhow::{Context, Result};
use policies::file::write_atomic;
use sim::{
    engine::EngineKind,
    eval::{EvalReport, Outcome, OutcomeRates},
};

use crate::{
    commands::eval::EpisodeRow,
    pictures::{PAPER, Speeds, outcome_intervals, speed_against_collision, speed_histograms},
    results::{evaluation::StoredEvaluation, figure, gait},
};

const PICTURES: [(&str, &str); 3] = [
    (
        "tradeoff.png",
        "Speed against collision, the paper's results as open marks",
    ),
    ("outcomes.png", "How the episodes ended, with 95% intervals"),
    ("speeds.png", "Speed on the way to the goal"),
];
const COLUMNS: [&str; 8] = [
    "",
    "reach %",
    "collision %",
    "timeout %",
    "mean m/s",
    "peak m/s",
    "to goal, s",
    "path ratio",
];

const GAIT_TITLE: &str = "By the paper's collision rule, all episodes of a row, and what the gait costs, in its first evaluation:";

/// Evaluations of one method: training seeds times evaluation seeds.
pub struct Row {
    pub name: String,
    pub evaluations: Vec<StoredEvaluation>,
}

/// A finished benchmark.
pub struct Summary<'a> {
    pub robot: &'a str,
    pub engine: EngineKind,
    pub episodes: usize,
    pub seeds: &'a [u64],
    pub rows: &'a [Row],
}

impl Row {
    fn mean_and_deviation(&self, of: impl Fn(&EvalReport) -> f64) -> [f64; 2] {
        mean_and_deviation(
            &self
                .evaluations
                .iter()
                .map(|e| of(&e.report))
                .collect::<Vec<_>>(),
        )
    }

    /// All episodes pooled into one evaluation.
    fn pooled(&self) -> EvalReport {
        let mut pooled = self.evaluations[0].report.clone();
        let rows = || self.evaluations.iter().flat_map(|e| &e.rows);
        let outcomes: Vec<Outcome> = rows().map(|row| row.outcome).collect();
        pooled.set_rates(&OutcomeRates::new(outcomes.into_iter()));
        let over_reached = |of: fn(&EpisodeRow) -> Option<f32>| {
            let reached = rows().filter(|row| row.outcome == Outcome::Reach);
            let values: Option<Vec<f64>> = reached.map(|row| of(row).map(f64::from)).collect();
            let values = values.filter(|values| !values.is_empty());
            values.map(|values| mean_and_deviation(&values)[0])
        };
        pooled.mean_speed = over_reached(|row| Some(row.mean_speed_mps)).unwrap_or(0.0);
        pooled.peak_speed = over_reached(|row| Some(row.peak_speed_mps)).unwrap_or(0.0);
        pooled.time_to_goal_s = over_reached(|row| row.time_to_goal_s);
        pooled.path_ratio = over_reached(|row| row.path_ratio);
        let outcomes: Option<Vec<Outcome>> = rows().map(|row| row.paper_outcome).collect();
        pooled.paper_rule = outcomes.map(|outcomes| OutcomeRates::new(outcomes.into_iter()));
        pooled
    }

    /// The cells of the table.
    fn cells(&self) -> [String; 8] {
        let pooled = self.pooled();
        let rate = |of: fn(&EvalReport) -> f64, [low, high]: [f64; 2]| {
            let [mean, deviation] = self.mean_and_deviation(of).map(|x| 100.0 * x);
            format!(
                "{mean:.1} ± {deviation:.1} [{:.1}, {:.1}]",
                100.0 * low,
                100.0 * high
            )
        };
        [
            self.name.clone(),
            rate(|report| report.reach_rate, pooled.reach_ci95),
            rate(|report| report.collision_rate, pooled.collision_ci95),
            rate(|report| report.time_out_rate, pooled.time_out_ci95),
            format!("{:.2}", pooled.mean_speed),
            format!("{:.2}", pooled.peak_speed),
            figure(pooled.time_to_goal_s),
            figure(pooled.path_ratio),
        ]
    }
}

/// Mean and sample standard deviation; 0 for a single value.
fn mean_and_deviation(values: &[f64]) -> [f64; 2] {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n.max(1.0);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    [mean, (squares / (n - 1.0).max(1.0)).sqrt()]
}

impl Summary<'_> {
    /// Writes report and pictures; returns the report as Markdown.
    pub fn write(&self, out: &Path) -> Result<String> {
        let pooled: Vec<_> = self
            .rows
            .iter()
            .map(|row| (row.name.clone(), row.pooled()))
            .collect();
        let speeds: Vec<_> = self.rows.iter().map(speeds).collect();
        for ((file, title), picture) in PICTURES.iter().zip([
            speed_against_collision("Speed against collision", &pooled, true)?,
            outcome_intervals("Outcomes", &pooled)?,
            speed_histograms("Speed on the way to the goal", &speeds)?,
        ]) {
            let path = out.join(file);
            picture
                .save(&path)
                .with_context(|| format!("{title}: {}", path.display()))?;
        }
        let markdown = self.markdown();
        for (file, text) in [("report.md", &markdown), ("report.html", &self.html())] {
            let path = out.join(file);
            write_atomic(&path, text.as_bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(markdown)
    }

    fn title(&self) -> String {
        format!("{} on the paper's test", self.robot)
    }

    fn about(&self) -> String {
        format!(
            "{} episodes for each of the evaluation seeds {:?}, {} engine. Mean ± standard deviation over the evaluations of a row, \
             and the 95% interval of all its episodes together. Speeds are means over the episodes that reached.",
            self.episodes, self.seeds, self.engine
        )
    }

    fn table(&self) -> Vec<[String; 8]> {
        let paper = PAPER.iter().map(|row| {
            let rate = |[mean, deviation]: [f64; 2]| format!("{mean:.1} ± {deviation:.1}");
            [
                format!("paper, {}", row.name),
                rate(row.reach),
                rate(row.collision),
                format!("{:.1}", row.time_out),
                format!("{:.2}", row.mean_mps),
                format!("{:.2}", row.peak_mps),
                figure(None),
                figure(None),
            ]
        });
        self.rows.iter().map(Row::cells).chain(paper).collect()
    }

    fn gait_table(&self) -> Vec<Vec<String>> {
        let pooled: Vec<_> = self.rows.iter().map(Row::pooled).collect();
        let named = self.rows.iter().map(|row| row.name.as_str()).zip(&pooled);
        gait::rows(named)
    }

    fn markdown(&self) -> String {
        let mut text = format!("# {}\n\n{}\n\n", self.title(), self.about());
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {} |\n|{}",
            COLUMNS.join(" | "),
            "---|".repeat(COLUMNS.len())
        );
        for cells in self.table() {
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        let _ = write!(
            text,
            "\n{GAIT_TITLE}\n\n{}",
            gait::markdown(&self.gait_table())
        );
        for (file, title) in PICTURES {
            let _ = write!(text, "\n![{title}]({file})\n");
        }
        text
    }

    fn html(&self) -> String {
        let title = escaped(&self.title());
        let mut text = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n\
             <style>body {{ font: 15px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em }}\n\
             table {{ border-collapse: collapse }} td, th {{ padding: .2em .8em; text-align: right; border-bottom: 1px solid #ddd }}\n\
             td:first-child {{ text-align: left }} img {{ max-width: 100% }}</style></head>\n\
             <body><h1>{title}</h1><p>{}</p>\n<table>\n<tr>",
            escaped(&self.about())
        );
        for column in COLUMNS {
            let _ = write!(text, "<th>{column}</th>");
        }
        text.push_str("</tr>\n");
        for cells in self.table() {
            let cells = cells.map(|cell| format!("<td>{}</td>", escaped(&cell)));
            let _ = writeln!(text, "<tr>{}</tr>", cells.concat());
        }
        let _ = writeln!(text, "</table>\n<p>{}</p>\n<table>", escaped(GAIT_TITLE));
        for cells in self.gait_table() {
            let cells = cells
                .iter()
                .map(|cell| format!("<td>{}</td>", escaped(cell)));
            let _ = writeln!(text, "<tr>{}</tr>", cells.collect::<String>());
        }
        text.push_str("</table>\n");
        for (file, title) in PICTURES {
            let _ = writeln!(text, "<p><img src=\"{file}\" alt=\"{title}\"></p>");
        }
        text + "</body></html>\n"
    }
}

fn speeds(row: &Row) -> Speeds {
    let all: Vec<Speeds> = row
        .evaluations
        .iter()
        .map(StoredEvaluation::speeds)
        .collect();
    Speeds {
        name: row.name.clone(),
        mean_mps: all
            .iter()
            .flat_map(|speeds| speeds.mean_mps.clone())
            .collect(),
        peak_mps: all
            .iter()
            .flat_map(|speeds| speeds.peak_mps.clone())
            .collect(),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_are_those_of_a_sample() {
        assert_eq!(mean_and_deviation(&[0.5]), [0.5, 0.0]);
        let [mean, deviation] = mean_and_deviation(&[1.0, 2.0, 4.0]);
        assert!((mean - 7.0 / 3.0).abs() < 1e-12);
        // Squares of -4/3, -1/3, 5/3 are 42/9 together; half of it, its root.
        assert!((deviation - (42.0_f64 / 18.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn what_means_something_in_html_is_escaped() {
        assert_eq!(escaped("a<b> & c"), "a&lt;b&gt; &amp; c");
    }
}
