//! `abs benchmark`: the paper's table, for any number of bundles.
//!
//! ```text
//! out/benchmark/
//!   NAME-METHOD-SEED/   an evaluation each; a finished one of the same request is not run again
//!   report.md, report.html, outcomes.png, tradeoff.png, speeds.png
//! ```

mod report;

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Instant,
};

use anyhow::{Result, ensure};
use controller::Method;
use robots::Robot;
use sim::engine::EngineKind;

use super::{engine_kind, eval, subject::Subject};
use crate::{
    config::ConfigArgs,
    repository,
    results::{evaluation::StoredEvaluation, request::Request},
    run::progress::clock,
};
use report::{Row, Summary};

/// Evaluate bundles with several seeds and compare them with the paper's table: report, figures
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs benchmark                                            go1 and go1-paper beside the paper's table: hours
  abs benchmark --engine batch --episodes 2000             in a minute or two
  abs benchmark go1=policies/bundles/go1                   one row alone
  abs benchmark n=runs/all-1/bundle n=runs/all-2/bundle a=runs/all-a/bundle
  abs benchmark --robot go2

Bundles of the same name are training seeds of one row. Each is evaluated with its agile policy alone and, if it has
all three networks, with the switch. After an interruption the same command continues with the rest.")]
pub struct BenchmarkCommand {
    /// Bundles and their names in the table [default: the shipped bundle of the robot, and the one with the paper's rays]
    #[arg(value_name = "NAME=BUNDLE", value_parser = parse_entry)]
    bundles: Vec<(String, PathBuf)>,
    /// Episodes of each evaluation
    #[arg(long, default_value_t = 10_000)]
    episodes: usize,
    /// Seeds of the episodes
    #[arg(long, value_delimiter = ',', default_value = "1,2,3")]
    seeds: Vec<u64>,
    /// Physics engine [default: rapier]
    #[arg(long, value_parser = engine_kind())]
    engine: Option<EngineKind>,
    /// Folder for evaluations and report
    #[arg(long, value_name = "DIR", default_value = "out/benchmark")]
    out: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
}

/// An evaluation to run.
struct Job {
    row: String,
    subject: Subject,
    folder: PathBuf,
    request: Request,
}

fn parse_entry(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path))
            if !name.is_empty() && !path.is_empty() && !name.contains(['/', '\\']) =>
        {
            Ok((name.to_owned(), path.into()))
        }
        _ => Err("expected NAME=BUNDLE, e.g. n=runs/all-go1-1/bundle".into()),
    }
}

impl BenchmarkCommand {
    /// Runs the evaluations that are not finished, then writes the report.
    ///
    /// # Errors
    /// One line if a setting, bundle or folder is invalid.
    pub fn run(&self) -> Result<()> {
        let jobs = self.jobs()?;
        let open: Vec<&Job> =
            (jobs.iter().filter(|job| !job.request.is_done(&job.folder))).collect();
        let (begin, many) = (Instant::now(), open.len());
        eprintln!(
            "{} evaluations of {} episodes, {many} of them to run",
            jobs.len(),
            self.episodes
        );
        for (done, job) in open.iter().enumerate() {
            eval::evaluate(&job.subject, &job.request, &job.folder)?;
            let (spent_s, done) = (begin.elapsed().as_secs_f64(), done + 1);
            let left_s = spent_s / done as f64 * (many - done) as f64;
            eprintln!(
                "{done} of {many} done: {}; ETA {}",
                job.folder.display(),
                clock(left_s)
            );
        }
        let rows = rows(&jobs)?;
        let summary = Summary {
            robot: &jobs[0].subject.robot.name,
            engine: jobs[0].subject.config.eval.engine,
            episodes: self.episodes,
            seeds: &self.seeds,
            rows: &rows,
        };
        let text = summary.write(&self.out)?;
        io::stdout().write_all(text.as_bytes())?;
        Ok(())
    }

    fn jobs(&self) -> Result<Vec<Job>> {
        ensure!(self.episodes > 0, "--episodes 0: must be at least 1");
        let mut args = self.config.clone();
        args.set("eval.engine", self.engine);
        args.set("eval.episodes", Some(self.episodes));
        let resolved = args.resolve_plain()?;
        resolved.config.start_thread_pool()?;
        let mut bundles = self.bundles.clone();
        if bundles.is_empty() {
            bundles = repository::table(&Robot::load(&resolved.config.robot)?.name);
        }
        let mut jobs = Vec::new();
        for (index, (name, folder)) in bundles.iter().enumerate() {
            let subject = Subject::resolve(resolved.clone(), Some(folder), None)?;
            let same_name = bundles[..index].iter().filter(|(n, _)| n == name).count();
            let methods = [Method::agile(), Method::Abs];
            let count = 1 + usize::from(subject.method == Method::Abs);
            for method in &methods[..count] {
                for seed in &self.seeds {
                    let row = format!("{name} {method}");
                    let mut file = format!("{name}-{method}-{seed}");
                    if same_name > 0 {
                        file = format!("{name}.{}-{method}-{seed}", same_name + 1);
                    }
                    let mut subject = subject.clone();
                    subject.method = *method;
                    subject.config.seed = *seed;
                    // Whatever does not fit is refused before hours of work.
                    subject.evaluation()?;
                    let request = Request::new(&subject, None)?;
                    jobs.push(Job {
                        row,
                        folder: self.out.join(file),
                        subject,
                        request,
                    });
                }
            }
        }
        Ok(jobs)
    }
}

/// The evaluations of each row, in the order of the jobs.
fn rows(jobs: &[Job]) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    for job in jobs {
        let evaluation = StoredEvaluation::read(&job.folder)?;
        match rows.iter_mut().find(|row| row.name == job.row) {
            Some(row) => row.evaluations.push(evaluation),
            None => rows.push(Row {
                name: job.row.clone(),
                evaluations: vec![evaluation],
            }),
        }
    }
    Ok(rows)
}
