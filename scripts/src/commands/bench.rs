//! `abs bench`: how fast this machine simulates, learns and controls.

#[cfg(feature = "ros2")]
mod attack;
mod control;
mod depth;
mod engines;
mod sim;
mod switch;
#[cfg(feature = "train")]
mod train;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use ::sim::engine::EngineKind;
use anyhow::{Result, ensure};
use policies::{Bundle, RaySpec, training::Times};
use robots::Robot;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{engine_kind, subject::Subject};
use crate::{
    config::{Config, ConfigArgs},
    pictures::{cycle_times, time_bars},
};

/// Measure how fast this machine simulates, learns and controls
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs bench sim                      rapier and batch
  abs bench sim --engine rapier --threads 1 --json
  abs bench engines                  rapier, batch and MuJoCo beside each other, speed and error
  abs bench train --preset paper --picture out/bench.png
  abs bench switch --json
  abs bench depth --threads 1
  abs bench control --busy 2 --picture out/control.png
  abs bench control --soak 8
  abs bench attack --json")]
pub struct BenchCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Physics alone, and the whole environment step
    Sim(BenchArgs),
    /// The engines side by side, from standing still to random actions among obstacles: speed, and the error of the step
    Engines(EnginesArgs),
    /// Learning: simulation, inference and update together
    Train(TrainArgs),
    /// The depth camera, and the ray network of a bundle
    Depth(SwitchArgs),
    /// One control cycle through reach-avoid value, twist search and recovery policy, on one core
    Switch(SwitchArgs),
    /// The control thread of a robot at 500 Hz: compute time, wake-up lateness, allocations
    Control(ControlArgs),
    /// `abs deploy` under hostile datagrams, as root in a network of its own: time to damping as the robot sees it
    #[cfg(feature = "ros2")]
    Attack(AttackArgs),
}

#[cfg(feature = "ros2")]
#[derive(clap::Args)]
struct AttackArgs {
    /// Bundle for Unitree's motors [default: the shipped one of go1]
    #[arg(long, value_name = "DIR|NAME", value_parser = crate::repository::bundle_argument)]
    bundle: Option<PathBuf>,
    /// How many datagrams to send, over all kinds
    #[arg(long, default_value_t = 200_000)]
    datagrams: u64,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct ControlArgs {
    /// Bundle with the three networks [default: random networks of the paper's sizes]
    #[arg(long, value_name = "DIR|NAME", value_parser = crate::repository::bundle_argument)]
    bundle: Option<PathBuf>,
    /// How long to measure, s
    #[arg(long, default_value_t = 60.0, value_parser = positive_seconds)]
    seconds: f64,
    /// Busy threads next to the control thread
    #[arg(long, default_value_t = 0)]
    busy: usize,
    /// Instead, compute so many hours of the robot as fast as possible, with a log, and tell whether memory stays flat
    #[cfg(feature = "ros2")]
    #[arg(long, value_name = "HOURS", value_parser = positive_hours, conflicts_with_all = ["seconds", "busy", "picture"])]
    soak: Option<f64>,
    /// Draw the histograms of compute time and lateness
    #[arg(long, value_name = "FILE.png")]
    picture: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(clap::Args)]
struct EnginesArgs {
    /// How long to measure each cell in each of three rounds, s
    #[arg(long, default_value_t = 1.0, value_parser = positive_seconds)]
    seconds: f64,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(clap::Args)]
struct SwitchArgs {
    /// Bundle [default: for `switch`, random networks of the paper's sizes; else the shipped one]
    #[arg(long, value_name = "DIR|NAME", value_parser = crate::repository::bundle_argument)]
    bundle: Option<PathBuf>,
    /// How long to measure each number, s
    #[arg(long, default_value_t = 1.0, value_parser = positive_seconds)]
    seconds: f64,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(clap::Args)]
struct TrainArgs {
    /// What computes the networks [default: cpu]
    #[arg(long, value_parser = ["cpu", "cuda"])]
    device: Option<String>,
    #[command(flatten)]
    common: BenchArgs,
}

#[derive(Clone, clap::Args)]
struct BenchArgs {
    /// Physics engine [default: rapier and batch for `sim`, batch for `train`]
    #[arg(long, value_parser = engine_kind())]
    engine: Option<EngineKind>,
    /// Lanes of the batch engine: 4, 8 (AVX2) or 16 (AVX-512), 0 for the most there are [default: 0]
    #[arg(long)]
    lanes: Option<usize>,
    /// Number of environments, over all threads
    #[arg(long)]
    num_envs: Option<usize>,
    /// In what the robots differ from the simulation: ideal, lab, field, or a TOML file [default: ideal]
    #[arg(long, value_name = "NAME|FILE.toml")]
    reality: Option<String>,
    /// How long to measure each number, s
    #[arg(long, default_value_t = 3.0, value_parser = positive_seconds)]
    seconds: f64,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Draw how the time is spent
    #[arg(long, value_name = "FILE.png")]
    picture: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// The number of worker threads in each of `processes`, decided.
fn with_threads(mut config: Config, processes: usize) -> Result<Config> {
    config.resolve_threads(processes);
    let (threads, envs) = (config.threads * processes, config.env.num_envs);
    ensure!(
        threads <= envs,
        "{threads} threads cannot share {envs} environments; raise --num-envs or lower --threads"
    );
    Ok(config)
}

fn positive_seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=3600.0).contains(&seconds) && seconds > 0.0 => Ok(seconds),
        _ => Err("must be a number of seconds above 0".to_owned()),
    }
}

#[cfg(feature = "ros2")]
fn positive_hours(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(hours) if (0.0..=1000.0).contains(&hours) && hours > 0.0 => Ok(hours),
        _ => Err("must be a number of hours above 0, at most 1000".to_owned()),
    }
}

impl BenchCommand {
    /// Measures and prints.
    ///
    /// # Errors
    /// One line if the configuration is invalid.
    pub fn run(&self) -> Result<()> {
        match &self.what {
            What::Sim(args) => {
                let engines = match args.engine {
                    Some(engine) => vec![engine],
                    None => vec![EngineKind::Rapier, EngineKind::Batch],
                };
                let reports = engines
                    .into_iter()
                    .map(|engine| {
                        sim::measure(&with_threads(args.config(engine)?, 1)?, args.duration())
                    })
                    .collect::<Result<Vec<_>>>()?;
                args.draw(&reports.iter().map(sim::SimReport::bar).collect::<Vec<_>>())?;
                print(&reports, args.json)
            }
            What::Engines(args) => {
                let config = with_threads(args.config.resolve_plain()?.config, 1)?;
                let report = engines::measure(&config, Duration::from_secs_f64(args.seconds))?;
                match args.json {
                    true => print(&[report], true),
                    false => Ok(write!(io::stdout(), "{}", report.table())?),
                }
            }
            What::Train(TrainArgs { device, common }) => {
                let mut args = common.clone();
                args.config.set("algorithm.device", device.as_ref());
                let config = args.config(args.engine.unwrap_or(EngineKind::Batch))?;
                match measure_training(&config, args.duration())? {
                    Some(report) => {
                        args.draw(&[report.bar()])?;
                        print(&[report], args.json)
                    }
                    None => Ok(()),
                }
            }
            What::Depth(args) => {
                let resolved = args.config.resolve_plain()?;
                let subject = Subject::resolve(resolved, args.bundle.as_deref(), None)?;
                let duration = Duration::from_secs_f64(args.seconds);
                print(&[depth::measure(&subject, duration)?], args.json)
            }
            What::Switch(args) => {
                let networks = Networks::new(&args.config, args.bundle.as_deref())?;
                let duration = Duration::from_secs_f64(args.seconds);
                print(&[switch::measure(&networks, duration)?], args.json)
            }
            What::Control(args) => {
                let networks = Networks::new(&args.config, args.bundle.as_deref())?;
                #[cfg(feature = "ros2")]
                if let Some(hours) = args.soak {
                    let report = control::soak::measure(&networks, hours)?;
                    print(&[&report], args.json)?;
                    return report.check();
                }
                let duration = Duration::from_secs_f64(args.seconds);
                let (report, times) = control::measure(&networks, duration, args.busy)?;
                if let Some(path) = &args.picture {
                    let title = format!("Control thread at 500 Hz, {} busy threads", args.busy);
                    cycle_times(&title, &times)?.save(path)?;
                }
                print(&[report], args.json)
            }
            #[cfg(feature = "ros2")]
            What::Attack(args) => {
                let report = attack::measure(args.bundle.as_deref(), args.datagrams)?;
                // None in the process that has only started the one inside the network.
                let Some(report) = report else { return Ok(()) };
                match args.json {
                    true => print(&[&report], true)?,
                    false => writeln!(io::stdout(), "{}", report.table())?,
                }
                report.check()
            }
        }
    }
}

/// The networks of a control cycle that is measured.
struct Networks {
    config: Config,
    robot: Robot,
    bundle: Bundle,
    /// Where they come from.
    origin: &'static str,
}

impl Networks {
    /// Those of a bundle, or random ones of the paper's sizes: the time does not depend on what they have learned.
    fn new(args: &ConfigArgs, bundle: Option<&Path>) -> Result<Self> {
        let resolved = args.resolve_plain()?;
        if bundle.is_some() {
            let subject = Subject::resolve(resolved, bundle, None)?;
            return Ok(Self {
                config: subject.config,
                robot: subject.robot,
                bundle: subject.bundle,
                origin: "of the bundle",
            });
        }
        let robot = Robot::load(&resolved.config.robot)?;
        Ok(Self {
            bundle: switch::random_bundle(&robot, &RaySpec::default())?,
            config: resolved.config,
            robot,
            origin: "random",
        })
    }
}

#[cfg(feature = "train")]
use train::measure as measure_training;

#[cfg(not(feature = "train"))]
fn measure_training(_config: &Config, _duration: Duration) -> Result<Option<sim::SimReport>> {
    anyhow::bail!(
        "this program was built without libtorch; start it as scripts/abs bench train, which fetches it"
    )
}

impl BenchArgs {
    fn config(&self, engine: EngineKind) -> Result<Config> {
        let mut args = ConfigArgs {
            reality: self.reality.clone(),
            ..self.config.clone()
        };
        args.set("env.num_envs", self.num_envs);
        args.set("env.engine", Some(engine));
        let mut config = args.resolve()?;
        config.env.lanes = self.lanes.unwrap_or(0);
        config.env.validate()?;
        config.algorithm.validate()?;
        Ok(config)
    }

    fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    fn draw(&self, bars: &[(String, Times)]) -> Result<()> {
        match &self.picture {
            Some(path) => time_bars("Time per policy step", bars)?.save(path),
            None => Ok(()),
        }
    }
}

#[derive(Serialize)]
struct Percentiles {
    p50: f64,
    p99: f64,
}

impl Percentiles {
    fn new(mut samples_us: Vec<f64>) -> Self {
        samples_us.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let index = (share * samples_us.len() as f64) as usize;
            samples_us.get(index.min(samples_us.len().saturating_sub(1)))
        };
        let [p50, p99] = [0.5, 0.99].map(|share| at(share).copied().unwrap_or(f64::NAN));
        Self { p50, p99 }
    }
}

/// Times as fractions of their sum, by name.
fn fractions<S: Serializer>(times: &Times, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(times.fractions())
}

/// One JSON object, or an array of them if there are several; or a line per field.
fn print<T: Serialize>(reports: &[T], json: bool) -> Result<()> {
    let values = reports
        .iter()
        .map(serde_json::to_value)
        .collect::<Result<Vec<_>, _>>()?;
    let text = if json {
        match values.as_slice() {
            [value] => serde_json::to_string_pretty(value)?,
            values => serde_json::to_string_pretty(values)?,
        }
    } else {
        values.iter().map(table).collect::<Vec<_>>().join("\n\n")
    };
    Ok(writeln!(io::stdout(), "{text}")?)
}

fn table(report: &Value) -> String {
    let Some(fields) = report.as_object() else {
        return report.to_string();
    };
    let width = fields.keys().map(String::len).max().unwrap_or(0);
    fields
        .iter()
        .map(|(key, value)| {
            let value = shown(value);
            format!("{:<width$}  {value}", key.replace('_', " "))
        })
        .collect::<Vec<_>>()
        .join("\n")
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number
            .as_f64()
            .filter(|_| number.is_f64())
            .map_or_else(|| number.to_string(), three_digits),
        Value::Object(fields) => {
            let parts = fields
                .iter()
                .map(|(key, value)| format!("{key} {}", shown(value)));
            parts.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

fn three_digits(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{:.2} million", value / 1e6),
        size if size >= 1e3 => format!("{:.1} thousand", value / 1e3),
        _ => format!("{value:.3}"),
    }
}
