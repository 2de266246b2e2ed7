//! `abs robustness`: what is left of a policy when something changes: engine, scene, motors, sensors.
//!
//! ```text
//! out/robustness-BUNDLE/
//!   CHANGE-ENGINE/      an evaluation each; a finished one of the same request is not run again
//!   robustness.json, robustness.md, robustness.png
//! ```

mod changes;
mod matrix;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context, Result, ensure};
use controller::Method;
use policies::file::write_atomic;
use sim::engine::{EngineError, EngineKind};

use super::{
    eval::jobs::{EvalJob, run_all},
    subject::Subject,
};
use crate::{
    config::ConfigArgs,
    pictures::{HeatRow, heat_map},
    results::evaluation::StoredEvaluation,
};
use changes::{Change, changes};
use matrix::{Cell, Matrix};

/// Matrix in its folder.
const MATRIX: &str = "robustness.json";
/// Episodes of a cell with `--quick`.
const QUICK: usize = 100;
/// Reach rates below this have one colour.
const LOWEST_COLOR: f64 = 0.5;

/// Evaluate a bundle with one change at a time: late motors, late rays, slippery ground, other scenes, other engines
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs robustness                                        the shipped policy of go1, rapier and batch
  abs robustness --quick --engines batch                in minutes; shows large differences only
  abs robustness --bundle policies/bundles/go2 --method agile
  abs robustness --engines rapier,batch,mujoco,go1.xml  MuJoCo too, and a robot of somebody else in it
  abs robustness --bundle RUN/bundle --baseline out/robustness-go1    what a new bundle gained and lost

Every cell has the same episodes, so that a change is compared episode by episode (McNemar's test). `=` marks
what these episodes do not tell from the ideal robot. After an interruption the same command continues with the rest.")]
pub struct RobustnessCommand {
    /// Policy bundle, which knows its robot: its folder, or the name of a shipped one [default: the shipped bundle of the robot]
    #[arg(long, value_name = "DIR|NAME", value_parser = crate::repository::bundle_argument)]
    bundle: Option<PathBuf>,
    /// What controls the robot: abs, or a policy of the bundle that runs to a goal [default: abs if the bundle has all three networks]
    #[arg(long)]
    method: Option<Method>,
    /// Episodes of each cell
    #[arg(long, default_value_t = 500, conflicts_with = "quick")]
    episodes: usize,
    /// 100 episodes of each cell
    #[arg(long)]
    quick: bool,
    /// Physics engines, and MJCF files of the robot for MuJoCo
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "rapier,batch",
        value_name = "ENGINE|FILE.xml"
    )]
    engines: Vec<Column>,
    /// Folder of another matrix to compare with
    #[arg(long, value_name = "DIR")]
    baseline: Option<PathBuf>,
    /// Folder for evaluations and matrix [default: out/robustness-BUNDLE]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print robustness.json to standard output, and nothing else
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// An engine, or MuJoCo with a robot of somebody else.
#[derive(Clone, Debug, PartialEq)]
struct Column {
    name: String,
    engine: EngineKind,
    mjcf: Option<PathBuf>,
}

impl FromStr for Column {
    type Err = EngineError;

    fn from_str(text: &str) -> Result<Self, EngineError> {
        let path = Path::new(text);
        let stem = path.file_stem().map(|stem| stem.to_string_lossy());
        match (path.extension(), stem) {
            (Some(extension), Some(stem)) if extension == "xml" => Ok(Self {
                name: format!("{stem}.xml"),
                engine: EngineKind::Mujoco,
                mjcf: Some(path.to_owned()),
            }),
            _ => Ok(Self {
                name: text.to_owned(),
                engine: text.parse()?,
                mjcf: None,
            }),
        }
    }
}

/// A cell of the matrix to run.
struct Job {
    change: &'static str,
    column: Column,
    eval: EvalJob,
}

impl RobustnessCommand {
    /// Runs the evaluations that are not finished, then writes the matrix.
    ///
    /// # Errors
    /// One line if a setting, bundle or folder is invalid.
    pub fn run(&self) -> Result<()> {
        let baseline = match &self.baseline {
            Some(folder) => Some(Matrix::read(&folder.join(MATRIX))?),
            None => None,
        };
        let jobs = self.jobs()?;
        run_all(jobs.iter().map(|job| &job.eval))?;
        let matrix = matrix(&jobs)?;
        let out = self.folder(&jobs[0].eval.subject);
        let json = serde_json::to_string_pretty(&matrix)? + "\n";
        let table = matrix.table(baseline.as_ref());
        for (name, text) in [(MATRIX, &json), ("robustness.md", &table)] {
            let path = out.join(name);
            write_atomic(&path, text.as_bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        draw(&matrix)?.save(&out.join("robustness.png"))?;
        let text = match self.json {
            true => json,
            false => format!("{table}matrix in {}\n", out.display()),
        };
        io::stdout().write_all(text.as_bytes())?;
        Ok(())
    }

    fn folder(&self, subject: &Subject) -> PathBuf {
        let named = || format!("out/robustness-{}", subject.bundle_name()).into();
        self.out.clone().unwrap_or_else(named)
    }

    fn jobs(&self) -> Result<Vec<Job>> {
        let episodes = if self.quick { QUICK } else { self.episodes };
        ensure!(episodes > 0, "--episodes 0: must be at least 1");
        let mut jobs = Vec::new();
        for Change { name, args } in changes(&self.config)? {
            for column in &self.engines {
                let mut resolved = args.resolve_plain()?;
                resolved.config.eval.engine = column.engine;
                if column.mjcf.is_some() {
                    resolved.config.physics.mjcf.clone_from(&column.mjcf);
                }
                resolved.config.eval.episodes = episodes;
                if jobs.is_empty() {
                    resolved.config.start_thread_pool()?;
                }
                let subject = Subject::resolve(resolved, self.bundle.as_deref(), self.method)?;
                let folder = format!("{}-{}", name.replace(' ', "-"), column.name);
                let folder = self.folder(&subject).join(folder);
                jobs.push(Job {
                    change: name,
                    column: column.clone(),
                    eval: EvalJob::new(subject, folder)?,
                });
            }
        }
        Ok(jobs)
    }
}

/// The finished evaluations as a matrix; each change is compared with the first one in its engine.
fn matrix(jobs: &[Job]) -> Result<Matrix> {
    let stored = jobs
        .iter()
        .map(|job| StoredEvaluation::read(&job.eval.folder));
    let stored = stored.collect::<Result<Vec<_>>>()?;
    let mut cells: Vec<Cell> = Vec::new();
    for (job, evaluation) in jobs.iter().zip(&stored) {
        let first = jobs.iter().position(|other| other.column == job.column);
        let ideal = &stored[first.unwrap_or_default()];
        cells.push(Cell::new(job.change, &job.column.name, evaluation, ideal));
    }
    let report = &stored[0].report;
    Ok(Matrix {
        robot: report.robot.clone(),
        method: report.method,
        bundle: jobs[0].eval.subject.bundle_path.display().to_string(),
        episodes: report.episodes,
        seed: report.seed,
        cells,
    })
}

fn draw(matrix: &Matrix) -> Result<crate::pictures::Image> {
    let engines = matrix.engines();
    let columns: Vec<String> = engines.iter().map(ToString::to_string).collect();
    let rows: Vec<HeatRow> = matrix
        .changes()
        .map(|name| HeatRow {
            name: name.to_owned(),
            cells: (engines.iter())
                .filter_map(|engine| matrix.cell(name, engine))
                .map(|cell| (cell.reach_rate, cell.percent()))
                .collect(),
        })
        .collect();
    let title = format!("{}, {}: reach / collision, %", matrix.robot, matrix.method);
    heat_map(&title, None, &columns, &rows, LOWEST_COLOR)
}
