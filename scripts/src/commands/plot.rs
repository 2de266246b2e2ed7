//! `abs plot`: learning curves of runs, and evaluations side by side.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::{
    commands::eval::METRICS,
    pictures::{
        Curves, Style, files_of, learning_curves, outcome_bars, outcome_intervals,
        speed_against_collision, speed_histograms,
    },
    results::{
        evaluation::{StoredEvaluation, name_of},
        events,
    },
};

/// Draw the learning curves of runs, or evaluations side by side
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs plot runs/agile-go1-1-...                     curves.png in the run folder
  abs plot runs/seed-1 runs/seed-2                    both runs in each panel
  abs plot out/eval-agile-go1-1 out/other            evaluations side by side
  abs plot out/* --paper --style paper.toml          with the paper's results, as SVG or in other colours: docs/how-to/pictures.md")]
pub struct PlotCommand {
    /// Folders of runs or evaluations
    #[arg(required = true, value_name = "RUN|EVAL")]
    folders: Vec<PathBuf>,
    /// Folder for the pictures [default: that of a single run or evaluation, else out/plots]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Show the paper's results beside several evaluations
    #[arg(long)]
    paper: bool,
    /// How the pictures look: a TOML file, see docs/how-to/pictures.md
    #[arg(long, value_name = "FILE")]
    style: Option<PathBuf>,
}

impl PlotCommand {
    /// Reads the folders and writes the pictures.
    ///
    /// # Errors
    /// One line if a folder is neither run nor evaluation.
    pub fn run(&self) -> Result<()> {
        if let Some(style) = &self.style {
            Style::read(style)?.apply()?;
        }
        let out = match (&self.out, self.folders.as_slice()) {
            (Some(out), _) => out.clone(),
            (None, [folder]) => folder.clone(),
            (None, _) => PathBuf::from("out/plots"),
        };
        let (mut runs, mut evaluations) = (Vec::new(), Vec::new());
        for folder in &self.folders {
            let scalars = events::read(folder)?;
            if !scalars.is_empty() {
                runs.push(Curves {
                    name: name_of(folder),
                    scalars,
                });
            } else if folder.join(METRICS).is_file() {
                evaluations.push(StoredEvaluation::read(folder)?);
            } else {
                bail!(
                    "{} holds neither {METRICS} nor TensorBoard events",
                    folder.display()
                );
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
            let named: Vec<_> = evaluations.iter().map(StoredEvaluation::named).collect();
            let outcomes = match named.as_slice() {
                [(_, report)] => outcome_bars("Outcomes", report)?,
                _ => outcome_intervals("Outcomes", &named)?,
            };
            pictures.push(("outcomes.png", outcomes));
            if named.len() > 1 || self.paper {
                let title = "Speed against collision";
                let picture = speed_against_collision(title, &named, self.paper)?;
                pictures.push(("tradeoff.png", picture));
            }
            let speeds: Vec<_> = evaluations.iter().map(StoredEvaluation::speeds).collect();
            let title = "Speed on the way to the goal";
            pictures.push(("speeds.png", speed_histograms(title, &speeds)?));
        }
        for (name, picture) in pictures {
            let path = out.join(name);
            picture.save(&path)?;
            for file in files_of(&path) {
                println!("{}", file.display());
            }
        }
        Ok(())
    }
}
