//! The matrix of changes by engines, and which differences its episodes can show.

use std::{fmt::Write as _, path::Path};

use anyhow::{Context, Result};
use controller::Method;
use policies::file::read_text;
use serde::{Deserialize, Serialize};
use sim::eval::{GaitReport, Outcome, OutcomeRates};

use super::changes::IDEAL;
use crate::results::evaluation::StoredEvaluation;

/// Differences that would be as large by chance more often than this are not shown as such.
const SIGNIFICANCE: f64 = 0.05;

/// `robustness.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Matrix {
    pub robot: String,
    pub method: Method,
    pub bundle: String,
    /// Of each cell.
    pub episodes: usize,
    pub seed: u64,
    pub cells: Vec<Cell>,
}

/// A change in an engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cell {
    pub change: String,
    /// Name of the engine, or of the file of its robot.
    pub engine: String,
    pub reach_rate: f64,
    pub reach_ci95: [f64; 2],
    pub collision_rate: f64,
    pub collision_ci95: [f64; 2],
    pub time_out_rate: f64,
    /// Over reached episodes, m/s.
    pub mean_speed: f64,
    /// Change of the reach rate from that of the first change in this engine.
    pub reach_difference: f64,
    /// Probability of a difference as large by chance, two-sided.
    pub p_value: f64,
    /// Rates by the collision rule of the paper's authors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paper_rule: Option<OutcomeRates>,
    /// What the gait costs motors and floor; nothing where the robot did not move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gait: Option<GaitReport>,
}

impl Cell {
    /// Compared with the first change in the same engine.
    pub fn new(
        change: &str,
        engine: &str,
        evaluation: &StoredEvaluation,
        ideal: &StoredEvaluation,
    ) -> Self {
        let (report, before) = (&evaluation.report, &ideal.report);
        let reached = |e: &StoredEvaluation| -> Vec<bool> {
            e.rows
                .iter()
                .map(|row| row.outcome == Outcome::Reach)
                .collect()
        };
        let (now, then) = (reached(evaluation), reached(ideal));
        let pairs = evaluation.rows.iter().zip(&ideal.rows);
        let are_same_scenes = now.len() == then.len()
            && pairs
                .clone()
                .all(|(now, then)| now.scene_key() == then.scene_key());
        let p_value = match are_same_scenes {
            true => {
                let both = || now.iter().zip(&then);
                let lost = both().filter(|(now, then)| !**now && **then).count();
                let gained = both().filter(|(now, then)| **now && !**then).count();
                mcnemar(lost, gained)
            }
            false => {
                let hits = |reached: &[bool]| reached.iter().filter(|reached| **reached).count();
                two_proportions([hits(&now), hits(&then)], [now.len(), then.len()])
            }
        };
        Self {
            change: change.to_owned(),
            engine: engine.to_owned(),
            reach_rate: report.reach_rate,
            reach_ci95: report.reach_ci95,
            collision_rate: report.collision_rate,
            collision_ci95: report.collision_ci95,
            time_out_rate: report.time_out_rate,
            mean_speed: report.mean_speed,
            reach_difference: report.reach_rate - before.reach_rate,
            p_value,
            paper_rule: report.paper_rule.clone(),
            gait: report.gait,
        }
    }

    /// Reach and collision.
    pub fn percent(&self) -> String {
        let same = match self.change != IDEAL && self.p_value > SIGNIFICANCE {
            true => " =",
            false => "",
        };
        let [reach, collision] = [self.reach_rate, self.collision_rate].map(|rate| 100.0 * rate);
        format!("{reach:.1} / {collision:.1}{same}")
    }
}

impl Matrix {
    /// Reads a matrix.
    ///
    /// # Errors
    /// One line that names the file.
    pub fn read(path: &Path) -> Result<Self> {
        let name = || format!("cannot read {}", path.display());
        let text = read_text(path).with_context(name)?;
        serde_json::from_str(&text).with_context(name)
    }

    /// The engines, in order.
    pub fn engines(&self) -> Vec<&str> {
        let mut engines = Vec::new();
        for cell in &self.cells {
            if !engines.contains(&cell.engine.as_str()) {
                engines.push(&cell.engine);
            }
        }
        engines
    }

    /// The changes, in order.
    pub fn changes(&self) -> impl Iterator<Item = &str> {
        let first = self.cells.first().map(|cell| &cell.engine);
        let cells = self
            .cells
            .iter()
            .filter(move |cell| Some(&cell.engine) == first);
        cells.map(|cell| cell.change.as_str())
    }

    /// The cell of a change in an engine.
    pub fn cell(&self, change: &str, engine: &str) -> Option<&Cell> {
        let mut cells = self.cells.iter();
        cells.find(|cell| cell.change == change && cell.engine == engine)
    }

    /// The matrix as Markdown, with the difference from another one of the same changes.
    pub fn table(&self, baseline: Option<&Self>) -> String {
        let Self {
            robot,
            method,
            episodes,
            seed,
            ..
        } = self;
        let engines = self.engines();
        let mut text = format!(
            "{robot}, {method}: reach / collision, %; {episodes} episodes a cell, seed {seed}; \
             `=`: no difference from `ideal` that these episodes show\n\n| |"
        );
        // Writing to a string cannot fail.
        for engine in &engines {
            let _ = write!(text, " {engine} |");
        }
        let _ = writeln!(text, "\n|---|{}", "---|".repeat(engines.len()));
        for change in self.changes() {
            let _ = write!(text, "| {change} |");
            for engine in &engines {
                let cell = self.cell(change, engine);
                let _ = write!(text, " {}", cell.map_or_else(String::new, Cell::percent));
                let before = baseline.and_then(|matrix| matrix.cell(change, engine));
                if let (Some(cell), Some(before)) = (cell, before) {
                    let points = 100.0 * (cell.reach_rate - before.reach_rate);
                    let _ = write!(text, " ({points:+.1})");
                }
                text += " |";
            }
            text += "\n";
        }
        text + "\n"
    }
}

/// McNemar's exact test of pairs: of `lost + gained` pairs that differ, half would be lost by chance. Two-sided.
fn mcnemar(lost: usize, gained: usize) -> f64 {
    let (fewer, all) = (lost.min(gained), lost + gained);
    // log of C(all, k) / 2^all, summed up from k = 0.
    let mut log_term = -(all as f64) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for k in 0..=fewer {
        tail += log_term.exp();
        log_term += ((all - k) as f64 / (k + 1) as f64).ln();
    }
    (2.0 * tail).min(1.0)
}

/// Test of two rates by the normal distribution, two-sided.
fn two_proportions(hits: [usize; 2], of: [usize; 2]) -> f64 {
    let [a, b] = [0, 1].map(|i| hits[i] as f64 / of[i].max(1) as f64);
    let pooled = (hits[0] + hits[1]) as f64 / (of[0] + of[1]).max(1) as f64;
    let inverse: f64 = of.iter().map(|&n| 1.0 / n.max(1) as f64).sum();
    let deviation = (pooled * (1.0 - pooled) * inverse).sqrt();
    if deviation == 0.0 {
        return 1.0;
    }
    two_sided((a - b).abs() / deviation)
}

/// Probability that a normal variable is this many standard deviations off.
fn two_sided(z: f64) -> f64 {
    libm::erfc(z / std::f64::consts::SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_near(value: f64, expected: f64) {
        assert!(
            (value - expected).abs() < 1e-4,
            "{value}, expected {expected}"
        );
    }

    #[test]
    fn probabilities_are_those_of_the_tables() {
        // 1 of 10 by chance: 2 * (1 + 10) / 1024.
        assert_near(mcnemar(1, 9), 22.0 / 1024.0);
        assert_near(mcnemar(9, 1), 22.0 / 1024.0);
        assert_near(mcnemar(0, 0), 1.0);
        assert_near(mcnemar(5, 5), 1.0);
        assert!(mcnemar(0, 2000) < 1e-300);
        assert_near(two_sided(1.959_964), 0.05);
        assert_near(two_sided(0.0), 1.0);
        // 90 and 80 of 100: z = 0.1 / sqrt(0.85 * 0.15 * 0.02) = 1.9803.
        assert_near(two_proportions([90, 80], [100, 100]), 0.047_67);
        assert_near(two_proportions([100, 100], [100, 100]), 1.0);
    }
}
