//! An evaluation, read back from its folder.

use std::path::Path;

use anyhow::{Context, Result};
use policies::file::{MAX_DATA_BYTES, read_bytes, read_text};
use sim::eval::{EvalReport, Outcome};

use crate::{
    commands::eval::{EPISODES, EpisodeRow, METRICS},
    pictures::Speeds,
};

/// The results of `abs eval`.
pub struct StoredEvaluation {
    /// Name of the folder.
    pub name: String,
    /// `metrics.json`.
    pub report: EvalReport,
    /// `episodes.csv`.
    pub rows: Vec<EpisodeRow>,
}

impl StoredEvaluation {
    /// Reads a folder.
    ///
    /// # Errors
    /// One line if a file is missing or is not of this kind.
    pub fn read(folder: &Path) -> Result<Self> {
        let metrics = folder.join(METRICS);
        let text =
            read_text(&metrics).with_context(|| format!("cannot read {}", metrics.display()))?;
        let report = serde_json::from_str(&text).with_context(|| metrics.display().to_string())?;
        let episodes = folder.join(EPISODES);
        let unreadable = || format!("cannot read {}", episodes.display());
        let bytes = read_bytes(&episodes, MAX_DATA_BYTES).with_context(unreadable)?;
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let rows: Result<_, csv::Error> = reader.deserialize().collect();
        let rows = rows.with_context(unreadable)?;
        Ok(Self {
            name: name_of(folder),
            report,
            rows,
        })
    }

    /// Name and report, as the pictures take them.
    pub fn named(&self) -> (String, EvalReport) {
        (self.name.clone(), self.report.clone())
    }

    /// Speeds of the episodes that reached.
    pub fn speeds(&self) -> Speeds {
        let reached = self.rows.iter().filter(|row| row.outcome == Outcome::Reach);
        Speeds {
            name: self.name.clone(),
            mean_mps: reached.clone().map(|row| row.mean_speed_mps).collect(),
            peak_mps: reached.map(|row| row.peak_speed_mps).collect(),
        }
    }
}

/// The last part of a path.
pub fn name_of(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or(folder.as_os_str());
    name.to_string_lossy().into_owned()
}
