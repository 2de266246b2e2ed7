//! `abs plot`: learning curves of runs, and evaluations side by side.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use sim::eval::{EvalReport, Outcome};

use crate::{
    eval::{EPISODES, EpisodeRow, METRICS},
    events,
    pictures::{Curves, Speeds, learning_curves, outcome_bars, speed_histograms},
};

/// Draw the learning curves of runs, or evaluations side by side
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs plot runs/agile-go1-1-...                     curves.png in the run folder
  abs plot runs/seed-1 runs/seed-2                    both runs in each panel
  abs plot out/eval-agile-go1-1 out/other            evaluations side by side")]
pub struct PlotCommand {
    /// Folders of runs or evaluations
    #[arg(required = true, value_name = "RUN|EVAL")]
    folders: Vec<PathBuf>,
    /// Folder for the pictures [default: that of a single run or evaluation, else out/plots]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// An evaluation, read back from its folder.
struct Stored {
    report: EvalReport,
    rows: Vec<EpisodeRow>,
}

impl PlotCommand {
    /// Reads the folders and writes the pictures.
    ///
    /// # Errors
    /// One line for a folder that is neither run nor evaluation.
    pub fn run(&self) -> Result<()> {
        let out = match (&self.out, self.folders.as_slice()) {
            (Some(out), _) => out.clone(),
            (None, [folder]) => folder.clone(),
            (None, _) => PathBuf::from("out/plots"),
        };
        let (mut runs, mut evaluations) = (Vec::new(), Vec::new());
        for folder in &self.folders {
            let name = name_of(folder);
            if folder.join(EPISODES).is_file() {
                evaluations.push((name, read_evaluation(folder)?));
            } else {
                let scalars = events::read(folder)?;
                if scalars.is_empty() {
                    bail!(
                        "{} holds neither {EPISODES} nor TensorBoard events",
                        folder.display()
                    );
                }
                runs.push(Curves { name, scalars });
            }
        }
        let mut pictures = Vec::new();
        if !runs.is_empty() {
            let title = match runs.as_slice() {
                [run] => format!("Learning curves of {}", run.name),
                _ => "Learning curves".to_owned(),
            };
            pictures.push(("curves.png", learning_curves(&title, &runs)?));
        }
        if !evaluations.is_empty() {
            let bars: Vec<_> = (evaluations.iter())
                .map(|(name, stored)| (name.clone(), stored.report.clone()))
                .collect();
            pictures.push(("outcomes.png", outcome_bars("Outcomes", &bars)?));
            let speeds: Vec<_> = evaluations.iter().map(|(name, e)| e.speeds(name)).collect();
            let title = "Speed on the way to the goal";
            pictures.push(("speeds.png", speed_histograms(title, &speeds)?));
        }
        for (name, picture) in pictures {
            let path = out.join(name);
            picture.save_png(&path)?;
            println!("{}", path.display());
        }
        Ok(())
    }
}

impl Stored {
    fn speeds(&self, name: &str) -> Speeds {
        let reached = self.rows.iter().filter(|row| row.outcome == Outcome::Reach);
        Speeds {
            name: name.to_owned(),
            mean_mps: reached.clone().map(|row| row.mean_speed_mps).collect(),
            peak_mps: reached.map(|row| row.peak_speed_mps).collect(),
        }
    }
}

fn read_evaluation(folder: &Path) -> Result<Stored> {
    let metrics = folder.join(METRICS);
    let text = fs::read_to_string(&metrics)
        .with_context(|| format!("cannot read {}", metrics.display()))?;
    let report = serde_json::from_str(&text).with_context(|| metrics.display().to_string())?;
    let episodes = folder.join(EPISODES);
    let rows = csv::Reader::from_path(&episodes)
        .and_then(|mut reader| reader.deserialize().collect())
        .with_context(|| format!("cannot read {}", episodes.display()))?;
    Ok(Stored { report, rows })
}

fn name_of(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or(folder.as_os_str());
    name.to_string_lossy().into_owned()
}
