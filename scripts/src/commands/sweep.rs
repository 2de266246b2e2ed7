//! `abs sweep`: what becomes of a policy when two quantities change together.
//!
//! ```text
//! out/sweep-NAME-BUNDLE/
//!   x-X-y-Y/      an evaluation each; a finished one of the same request is not run again
//!   sweep.json, sweep.md, reach.png, collision.png
//! ```

mod grid;

use std::{
    fmt::Write as _,
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use controller::Method;
use policies::file::write_atomic;
use serde::Serialize;
use sim::engine::EngineKind;

use super::{
    engine_kind,
    eval::jobs::{EvalJob, run_all},
    subject::Subject,
};
use crate::{
    config::ConfigArgs,
    pictures::{HeatRow, heat_map},
    results::evaluation::StoredEvaluation,
};
use grid::Grid;

/// Evaluate a bundle while two quantities change together: tables and heat maps of reach and collision
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs sweep                                     speed of pedestrians by width of a corridor, shipped policy of go1
  abs sweep pedestrians --bundle policies/bundles/go1 --episodes 100
  abs sweep switch --scene people --engine batch --seed 41      threshold by least improvement
  abs sweep my.toml --reality lab --engine mujoco

A sweep is a TOML file with the axes `x` and `y` (`name`, `values`) and `settings`, a text in which {x} and {y} stand
for their values: see scripts/sweeps/pedestrians.toml. After an interruption the same command continues with the rest.")]
pub struct SweepCommand {
    /// Name of a shipped sweep, or a TOML file
    #[arg(default_value = "pedestrians", value_name = "NAME|FILE.toml")]
    sweep: String,
    /// Policy bundle, which knows its robot: its folder, or the name of a shipped one [default: the shipped bundle of the robot]
    #[arg(long, value_name = "DIR|NAME", value_parser = crate::repository::bundle_argument)]
    bundle: Option<PathBuf>,
    /// What controls the robot: abs, or a policy of the bundle that runs to a goal [default: abs if the bundle has all three networks]
    #[arg(long)]
    method: Option<Method>,
    /// Episodes of each cell
    #[arg(long, default_value_t = 200)]
    episodes: usize,
    /// Physics engine [default: rapier]
    #[arg(long, value_parser = engine_kind())]
    engine: Option<EngineKind>,
    /// Scene, for a sweep that has none of its own: one that `abs scenes` lists, or a TOML file [default: cylinders]
    #[arg(long, value_name = "NAME|FILE.toml")]
    scene: Option<String>,
    /// A level of reality, or a TOML file [default: ideal]
    #[arg(long, value_name = "NAME|FILE.toml")]
    reality: Option<String>,
    /// Folder for evaluations and tables [default: out/sweep-NAME-BUNDLE, with the scene if one is named]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print sweep.json to standard output, and nothing else
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// `sweep.json`.
#[derive(Serialize)]
struct Sweep {
    sweep: String,
    robot: String,
    method: Method,
    bundle: String,
    engine: EngineKind,
    scene: String,
    reality: String,
    /// Of each cell.
    episodes: usize,
    seed: u64,
    x: String,
    y: String,
    cells: Vec<Cell>,
}

/// An evaluation of the grid.
#[derive(Serialize)]
struct Cell {
    x: f64,
    y: f64,
    reach_rate: f64,
    reach_ci95: [f64; 2],
    collision_rate: f64,
    collision_ci95: [f64; 2],
    time_out_rate: f64,
    /// Over reached episodes, m/s.
    mean_speed: f64,
}

impl SweepCommand {
    /// Runs the evaluations that are not finished, then writes table and pictures.
    ///
    /// # Errors
    /// One line if the file, a setting, bundle or folder is invalid.
    pub fn run(&self) -> Result<()> {
        ensure!(self.episodes > 0, "--episodes 0: must be at least 1");
        let grid = Grid::load(&self.sweep)?;
        let jobs = self.jobs(&grid)?;
        run_all(jobs.iter().map(|(_, job)| job))?;

        let first = &jobs[0].1.subject;
        let out = self.folder(&grid, first);
        let sweep = sweep(&grid, &jobs)?;
        let json = serde_json::to_string_pretty(&sweep)? + "\n";
        let table = sweep.table(&grid);
        for (name, text) in [("sweep.json", &json), ("sweep.md", &table)] {
            let path = out.join(name);
            write_atomic(&path, text.as_bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        sweep.draw(&grid, &out)?;
        let text = match self.json {
            true => json,
            false => format!("{table}heat maps in {}\n", out.display()),
        };
        io::stdout().write_all(text.as_bytes())?;
        Ok(())
    }

    fn folder(&self, grid: &Grid, subject: &Subject) -> PathBuf {
        let named = || {
            let scene = match &self.scene {
                Some(_) => format!("-{}", subject.config.eval.testbed.name),
                None => String::new(),
            };
            format!("out/sweep-{}{scene}-{}", grid.name, subject.bundle_name()).into()
        };
        self.out.clone().unwrap_or_else(named)
    }

    /// The cells row by row, each with its values.
    fn jobs(&self, grid: &Grid) -> Result<Vec<([f64; 2], EvalJob)>> {
        let mut jobs = Vec::new();
        for &y in &grid.y.values {
            for &x in &grid.x.values {
                let settings = grid.settings(x, y)?;
                let has_scene = settings
                    .get("eval")
                    .is_some_and(|eval| eval.get("testbed").is_some());
                ensure!(
                    self.scene.is_none() || !has_scene,
                    "--scene: the sweep {} has a scene of its own",
                    grid.name
                );
                let args = ConfigArgs {
                    settings: Some((grid.name.clone(), settings)),
                    scene: self.scene.clone(),
                    reality: self.reality.clone(),
                    ..self.config.clone()
                };
                let mut resolved = args.resolve_plain()?;
                let eval = &mut resolved.config.eval;
                eval.episodes = self.episodes;
                eval.engine = self.engine.unwrap_or(eval.engine);
                if jobs.is_empty() {
                    resolved.config.start_thread_pool()?;
                }
                let subject = Subject::resolve(resolved, self.bundle.as_deref(), self.method)?;
                let folder = self.folder(grid, &subject).join(format!("x-{x}-y-{y}"));
                let job = EvalJob::new(subject, folder)
                    .with_context(|| format!("{}, x {x}, y {y}", grid.name))?;
                jobs.push(([x, y], job));
            }
        }
        Ok(jobs)
    }
}

/// The finished evaluations.
fn sweep(grid: &Grid, jobs: &[([f64; 2], EvalJob)]) -> Result<Sweep> {
    let cell = |([x, y], job): &([f64; 2], EvalJob)| -> Result<Cell> {
        let report = StoredEvaluation::read(&job.folder)?.report;
        Ok(Cell {
            x: *x,
            y: *y,
            reach_rate: report.reach_rate,
            reach_ci95: report.reach_ci95,
            collision_rate: report.collision_rate,
            collision_ci95: report.collision_ci95,
            time_out_rate: report.time_out_rate,
            mean_speed: report.mean_speed,
        })
    };
    let cells = jobs.iter().map(cell).collect::<Result<Vec<_>>>()?;
    let subject = &jobs[0].1.subject;
    Ok(Sweep {
        sweep: grid.name.clone(),
        robot: subject.robot.name.clone(),
        method: subject.method,
        bundle: subject.bundle_path.display().to_string(),
        engine: subject.config.eval.engine,
        scene: subject.config.eval.testbed.name.clone(),
        reality: subject.config.reality.label().to_owned(),
        episodes: subject.config.eval.episodes,
        seed: subject.config.seed,
        x: grid.x.name.clone(),
        y: grid.y.name.clone(),
        cells,
    })
}

impl Sweep {
    /// The cells of the rows, in order.
    fn rows<'a>(&'a self, grid: &'a Grid) -> impl Iterator<Item = (f64, &'a [Cell])> {
        let rows = self.cells.chunks(grid.x.values.len());
        grid.y.values.iter().copied().zip(rows)
    }

    fn subject(&self) -> String {
        let reality = match self.reality.as_str() {
            "ideal" => String::new(),
            level => format!(", {level}"),
        };
        let Self {
            robot,
            method,
            engine,
            scene,
            ..
        } = self;
        format!("{robot}, {method}, {engine}, {scene}{reality}")
    }

    /// Reach and collision in percent, as Markdown.
    fn table(&self, grid: &Grid) -> String {
        let mut text = format!(
            "{}: reach / collision, %, {} episodes each. Columns: {}. Rows: {}.\n\n| ",
            self.subject(),
            self.episodes,
            self.x,
            self.y
        );
        for x in &grid.x.values {
            let _ = write!(text, "| {x} ");
        }
        text += &format!("|\n{}|\n", "|---".repeat(grid.x.values.len() + 1));
        for (y, cells) in self.rows(grid) {
            let _ = write!(text, "| {y}");
            for cell in cells {
                let [reach, collision] =
                    [cell.reach_rate, cell.collision_rate].map(|rate| 100.0 * rate);
                let _ = write!(text, " | {reach:.0} / {collision:.0}");
            }
            text += " |\n";
        }
        if let Some(best) = self.best() {
            let [reach, collision] =
                [best.reach_rate, best.collision_rate].map(|rate| 100.0 * rate);
            let _ = writeln!(
                text,
                "\nThe most reach, {reach:.1} / {collision:.1}: {} {}, {} {}.",
                self.x, best.x, self.y, best.y
            );
        }
        text
    }

    /// The cell with the most reach; of equal ones that with the fewest collisions.
    fn best(&self) -> Option<&Cell> {
        let rates = |cell: &Cell| (cell.reach_rate, -cell.collision_rate);
        self.cells.iter().max_by(|a, b| {
            let (a, b) = (rates(a), rates(b));
            a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
        })
    }

    /// One heat map for each outcome.
    fn draw(&self, grid: &Grid, out: &Path) -> Result<()> {
        let columns: Vec<String> = grid.x.values.iter().map(ToString::to_string).collect();
        type Rate = fn(&Cell) -> f64;
        let maps: [(&str, Rate, Rate); 2] = [
            ("reach", |cell| cell.reach_rate, |cell| cell.reach_rate),
            // Few collisions have the colour of a high reach rate.
            (
                "collision",
                |cell| 1.0 - cell.collision_rate,
                |cell| cell.collision_rate,
            ),
        ];
        for (name, color, rate) in maps {
            let rows: Vec<HeatRow> = self
                .rows(grid)
                .map(|(y, cells)| HeatRow {
                    name: y.to_string(),
                    cells: (cells.iter())
                        .map(|cell| (color(cell), format!("{:.0}", 100.0 * rate(cell))))
                        .collect(),
                })
                .collect();
            let title = format!("{}: {name}, %", self.subject());
            let axes = [self.x.as_str(), self.y.as_str()];
            heat_map(&title, Some(axes), &columns, &rows, 0.0)?
                .save(&out.join(format!("{name}.png")))?;
        }
        Ok(())
    }
}
