//! `abs benchmark`: the paper's table, for any number of bundles.
//!
//! ```text
//! out/benchmark/
//!   NAME-METHOD-SEED/   an evaluation each; one that is there, with the same request, is not run again
//!   report.md, report.html, outcomes.png, tradeoff.png, speeds.png
//! ```

mod report;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use controller::Method;
use policies::{Bundle, file::write_atomic, spec::role};
use robots::Robot;
use serde::Serialize;
use sim::eval::EvalConfig;

use crate::{
    commands::{
        eval::{self, METRICS},
        policy_args::Subject,
    },
    config::{Config, ConfigArgs},
    repository,
    results::evaluation::StoredEvaluation,
    run::progress::clock,
};
use report::{Row, Summary};

/// What an evaluation was asked for; written when it is done.
const REQUEST: &str = "request.toml";

/// Evaluate bundles with several seeds and put them beside the paper's table: report, figures
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs benchmark                                            all that is shipped of the paper's table: hours
  abs benchmark --engine batch --episodes 2000             in a minute or two
  abs benchmark n=policies/bundles/go1                     the nominal row alone
  abs benchmark n=runs/all-1/bundle n=runs/all-2/bundle a=runs/all-a/bundle lag-n=runs/lag/bundle
  abs benchmark --robot go2

Bundles of one name are training seeds of one row. Each is run with its agile policy alone and, where it has
all three networks, with the switch. Ended early, the same command goes on with what is not done.")]
pub struct BenchmarkCommand {
    /// Bundles, and what they are called in the table [default: those that are shipped for the robot as n, a, c, lag-n ...]
    #[arg(value_name = "NAME=BUNDLE", value_parser = parse_entry)]
    bundles: Vec<(String, PathBuf)>,
    /// Episodes of each evaluation
    #[arg(long, default_value_t = 10_000)]
    episodes: usize,
    /// Seeds of the episodes
    #[arg(long, value_delimiter = ',', default_value = "1,2,3")]
    seeds: Vec<u64>,
    /// Physics engine [default: rapier]
    #[arg(long, value_parser = ["rapier", "batch"])]
    engine: Option<String>,
    /// Folder for evaluations and report
    #[arg(long, value_name = "DIR", default_value = "out/benchmark")]
    out: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
}

/// An evaluation to be done.
struct Job {
    row: String,
    subject: Subject,
    folder: PathBuf,
    request: String,
}

/// All that the result of an evaluation depends on.
#[derive(Serialize)]
struct Request<'a> {
    /// CRC-32 of the files of the bundle.
    bundle: Vec<(String, u32)>,
    method: Method,
    seed: u64,
    switch_threshold: Option<f32>,
    eval: &'a EvalConfig,
    controller: &'a controller::ControllerConfig,
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
    /// Runs what is not done yet, then writes the report.
    ///
    /// # Errors
    /// One line for a setting, bundle or folder that does not do.
    pub fn run(&self) -> Result<()> {
        let jobs = self.jobs()?;
        let open: Vec<&Job> = jobs.iter().filter(|job| !job.is_done()).collect();
        let (begin, many) = (Instant::now(), open.len());
        eprintln!(
            "{} evaluations of {} episodes, {many} of them to be done",
            jobs.len(),
            self.episodes
        );
        for (done, job) in open.iter().enumerate() {
            job.run()?;
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
        args.set("eval.engine", self.engine.as_ref());
        args.set("eval.episodes", Some(self.episodes));
        let config = args.resolve()?;
        config.start_thread_pool()?;
        let mut bundles = self.bundles.clone();
        if bundles.is_empty() {
            bundles = repository::table(&config.robot);
        }
        let mut jobs = Vec::new();
        for (index, (name, folder)) in bundles.iter().enumerate() {
            let bundle = Bundle::load(folder)?;
            let robot = match self.config.robot.is_some() || self.bundles.is_empty() {
                true => Robot::load(&config.robot)?,
                false => Robot::load(&bundle.spec.robot.name)?,
            };
            let same_name = bundles[..index].iter().filter(|(n, _)| n == name).count();
            let complete = bundle.has(role::RECOVERY) && bundle.has(role::REACH_AVOID);
            let methods = [Method::agile(), Method::Abs];
            for method in &methods[..1 + usize::from(complete)] {
                for seed in &self.seeds {
                    let row = format!("{name} {method}");
                    let mut file = format!("{name}-{method}-{seed}");
                    if same_name > 0 {
                        file = format!("{name}.{}-{method}-{seed}", same_name + 1);
                    }
                    let subject = Subject {
                        robot: robot.clone(),
                        bundle: bundle.clone(),
                        method: *method,
                        config: Config {
                            seed: *seed,
                            ..config.clone()
                        },
                    };
                    // So that what does not fit is said before hours of work.
                    subject.evaluation()?;
                    let request = request(&subject, folder)?;
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

impl Job {
    fn is_done(&self) -> bool {
        let request = fs::read_to_string(self.folder.join(REQUEST));
        request.is_ok_and(|request| request == self.request) && self.folder.join(METRICS).is_file()
    }

    fn run(&self) -> Result<()> {
        let path = self.folder.join(REQUEST);
        // What is there is of another request; until the new one is done, there is none.
        if path.exists() {
            fs::remove_file(&path).with_context(|| format!("cannot replace {}", path.display()))?;
        }
        eval::evaluate(&self.subject, &self.folder)?;
        write_atomic(&path, self.request.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

fn request(subject: &Subject, bundle: &Path) -> Result<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(bundle)? {
        let path = entry?.path();
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        files.push((name.into_owned(), crc32fast::hash(&bytes)));
    }
    files.sort();
    let request = Request {
        bundle: files,
        method: subject.method,
        seed: subject.config.seed,
        switch_threshold: subject.threshold(),
        eval: &subject.config.eval,
        controller: &subject.config.controller,
    };
    toml::to_string(&request).context("the request does not fit into TOML")
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
