//! `abs eval`: the paper's test.

pub mod jobs;
mod recovery;
mod show;
mod step_log;

pub use step_log::steps_csv;

use std::{
    fmt::Write as _,
    fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use policies::{Twist, file::write_atomic};
use robots::ContactClass;
use serde::{Deserialize, Serialize};
use sim::{
    eval::{EpisodeRecord, EvalConfig, EvalReport, Evaluation, GaitReport, Outcome, RaySource},
    scene::CYLINDERS,
};

use super::{policy_args::PolicyArgs, subject::Subject};
use crate::{
    pictures::{Speeds, contact_sheet, outcome_bars, speed_histograms, top_view},
    results::{
        gait::{GAIT_COLUMNS, gait_cells, paper_rule_cells},
        request::Request,
    },
    view::ViewArgs,
};

/// Summary in an evaluation folder.
pub const METRICS: &str = "metrics.json";
/// One row per episode in an evaluation folder.
pub const EPISODES: &str = "episodes.csv";
/// One row per policy step of the episodes that are shown.
const STEPS: &str = "steps.csv";
/// Episodes on the contact sheet.
const SHEET: usize = 12;

/// Evaluate a bundle on the paper's test: table, metrics.json, episodes.csv, steps.csv, pictures
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs eval                                            the shipped policy of go1
  abs eval --bundle policies/bundles/go2              any bundle; it knows its robot
  abs eval --bundle runs/agile-go1-1-.../bundle --episodes 2000
  abs eval --scene people                             pedestrians; `abs scenes` lists all scenes
  abs eval --reality lab                              late motors, late rays, errors of sensors; or field
  abs eval --set reality.target_delay_ms=[20.0,20.0]  one of them alone
  abs eval --rays depth                               rays predicted from images of the robot's depth camera
  abs eval --method agile                             the agile policy without the switch
  abs eval --method recovery                          tracking of twists from a grid, and braking
  abs eval --method recovery --command 1.0,0,-0.5     one twist: v_x, v_y in m/s, w_z in rad/s
  abs eval --view                                     then some episodes of each outcome in 3-D
  abs eval --set controller.switch.threshold=-0.1
  abs eval --json --set eval.testbed.obstacles.count=0 | jq .reach_rate
  abs eval --set eval.every_step=true                 steps.csv holds every decision of every episode

An episode depends on the seed and its number alone; the same flags give the same result with any
number of threads.")]
pub struct EvalCommand {
    /// Number of episodes [default: 1000]
    #[arg(long)]
    episodes: Option<usize>,
    /// With a policy that tracks twists: track this one alone
    #[arg(long, value_name = "VX,VY,WZ", allow_hyphen_values = true, value_parser = recovery::parse_command)]
    command: Option<Twist>,
    /// Folder for the results, replaced if it holds others [default: out/eval-METHOD-BUNDLE-SEED, and -SCENE]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace another evaluation in the default folder
    #[arg(long)]
    force: bool,
    /// Print metrics.json to standard output, and nothing else
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    view: ViewArgs,
    #[command(flatten)]
    policy: PolicyArgs,
}

/// A row of `episodes.csv`. Units are in the names; positions are of the base in the world frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpisodeRow {
    episode: u64,
    /// How it ended.
    pub outcome: Outcome,
    duration_s: f32,
    final_distance_m: f32,
    /// Mean speed on the way to the goal.
    pub mean_speed_mps: f32,
    /// Largest speed on the way to the goal.
    pub peak_speed_mps: f32,
    /// When it first was at the goal; empty if it never was.
    #[serde(default)]
    pub time_to_goal_s: Option<f32>,
    /// Length of the path up to there over that of the straight line.
    #[serde(default)]
    pub path_ratio: Option<f32>,
    collision_body: Option<String>,
    collision_class: Option<ContactClass>,
    collision_x_m: Option<f32>,
    collision_y_m: Option<f32>,
    start_x_m: f32,
    start_y_m: f32,
    start_yaw_rad: f32,
    goal_x_m: f32,
    goal_y_m: f32,
    friction: f32,
    /// Mass on the trunk.
    #[serde(default)]
    payload_kg: f32,
    /// Share of the policy steps in which the recovery policy acted.
    recovery_fraction: f32,
    /// It collided although the agile policy was in control 0.5 s before.
    false_safe: bool,
    /// How it ended by the collision rule of the paper's authors.
    #[serde(default)]
    pub paper_outcome: Option<Outcome>,
    /// Time over which the gait was measured; the rest is empty where it is 0.
    #[serde(default)]
    moving_s: Option<f64>,
    /// Means and fractions, as in `metrics.json`.
    #[serde(default)]
    touchdown_speed_mps: Option<f64>,
    #[serde(default)]
    slip_mps: Option<f64>,
    #[serde(default)]
    target_reversal_fraction: Option<f64>,
    #[serde(default)]
    knee_target_beyond_limit_fraction: Option<f64>,
    #[serde(default)]
    effort_limit_fraction: Option<f64>,
    #[serde(default)]
    mechanical_power_w: Option<f64>,
    #[serde(default)]
    cost_of_transport: Option<f64>,
}

impl EpisodeRow {
    /// The same for two evaluations of the same episode.
    pub fn scene_key(&self) -> (u64, [u32; 5]) {
        let numbers = [
            self.start_x_m,
            self.start_y_m,
            self.start_yaw_rad,
            self.goal_x_m,
            self.goal_y_m,
        ];
        (self.episode, numbers.map(f32::to_bits))
    }
}

impl EvalCommand {
    /// Runs the episodes and writes the results.
    ///
    /// # Errors
    /// One line if a setting, bundle or folder is invalid.
    pub fn run(&self) -> Result<()> {
        let destination = self.view.destination()?;
        let subject = self.policy.load(|config| {
            config.eval.episodes = self.episodes.unwrap_or(config.eval.episodes);
        })?;
        let request = Request::new(&subject, self.command)?;
        let out = self.out.clone().unwrap_or_else(|| default_folder(&subject));
        // A folder that is named is meant to be replaced.
        let claim = || request.claim(&out, self.force || self.out.is_some());
        if subject.tracks_twists() {
            ensure!(
                self.episodes.is_none(),
                "--episodes is for the methods that run to a goal; set eval.recovery.trials"
            );
            ensure!(
                destination.is_none(),
                "--view is for the methods that run to a goal; the method is {}",
                subject.method
            );
            claim()?;
            return recovery::run(&subject, self.command, &request, &out, self.json);
        }
        ensure!(
            self.command.is_none(),
            "--command is for policies that track twists; the method is {}",
            subject.method
        );
        claim()?;
        let (report, records) = evaluate_episodes(&subject, &request, &out)?;
        let text = match self.json {
            true => to_json(&report)?,
            false => table(&report) + &format!("results in {}\n", out.display()),
        };
        io::stdout().write_all(text.as_bytes())?;
        match destination {
            Some(destination) => show::show(destination, &subject, &records),
            None => Ok(()),
        }
    }
}

/// `out/eval-METHOD-BUNDLE-SEED`, then what is not as by default: scene, reality, rays, engine.
fn default_folder(subject: &Subject) -> PathBuf {
    let (method, bundle, seed) = (subject.method, subject.bundle_name(), subject.config.seed);
    let mut name = format!("out/eval-{method}-{bundle}-{seed}");
    let eval = &subject.config.eval;
    if eval.testbed.name != CYLINDERS {
        name += &format!("-{}", eval.testbed.name);
    }
    let reality = &subject.config.reality;
    if !reality.is_ideal() {
        name += &format!("-{}", reality.label());
    }
    if eval.rays == RaySource::Depth {
        name += "-depth";
    }
    if eval.engine != EvalConfig::default().engine {
        name += &format!("-{}", eval.engine);
    }
    name.into()
}

/// Runs the episodes and writes the results into the folder `out`.
///
/// # Errors
/// One line if a setting, bundle or folder is invalid.
pub fn evaluate(subject: &Subject, request: &Request, out: &Path) -> Result<EvalReport> {
    Ok(evaluate_episodes(subject, request, out)?.0)
}

fn evaluate_episodes(
    subject: &Subject,
    request: &Request,
    out: &Path,
) -> Result<(EvalReport, Vec<EpisodeRecord>)> {
    let evaluation = subject.evaluation()?;
    make_folder(out)?;

    let bar = progress_bar(subject.config.eval.episodes, "episodes");
    let (report, records) = evaluation.report(&|| bar.inc(1))?;
    bar.finish_and_clear();

    Request::begin(out)?;
    let policy_step_s = subject.config.physics.policy_step_s();
    write(&out.join(EPISODES), &episodes_csv(&records, policy_step_s)?)?;
    write_pictures(out, subject, &evaluation, &report, &records)?;
    write(&out.join(METRICS), to_json(&report)?.as_bytes())?;
    request.finish(out)?;
    Ok((report, records))
}

fn to_json(report: &EvalReport) -> Result<String> {
    Ok(serde_json::to_string_pretty(report)? + "\n")
}

/// Before the work, so that none is lost.
fn make_folder(out: &Path) -> Result<()> {
    let unwritable = || format!("cannot write to {}", out.display());
    fs::create_dir_all(out).with_context(unwritable)?;
    tempfile::tempfile_in(out).with_context(unwritable)?;
    Ok(())
}

fn progress_bar(count: usize, what: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(count as u64);
    let template = format!("{{bar:40}} {{pos}}/{{len}} {what}, ETA {{eta}}");
    // The default style is shown if it should be wrong.
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomic(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

fn episodes_csv(records: &[EpisodeRecord], policy_step_s: f32) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for record in records {
        let scene = &record.scene;
        let collision = record.collision.as_ref();
        let gait = record.gait.report();
        writer.serialize(EpisodeRow {
            episode: scene.index,
            outcome: record.outcome,
            duration_s: record.steps as f32 * policy_step_s,
            final_distance_m: record.final_distance_m,
            mean_speed_mps: record.mean_speed_mps,
            peak_speed_mps: record.peak_speed_mps,
            time_to_goal_s: record.arrival.map(|arrival| arrival.time_s),
            path_ratio: record.arrival.map(|arrival| arrival.path_ratio),
            collision_body: collision.map(|c| c.body.clone()),
            collision_class: collision.map(|c| c.class),
            collision_x_m: collision.map(|c| c.position_world.x),
            collision_y_m: collision.map(|c| c.position_world.y),
            start_x_m: scene.start_world.x,
            start_y_m: scene.start_world.y,
            start_yaw_rad: scene.start_yaw_rad,
            goal_x_m: scene.goal.position_world.x,
            goal_y_m: scene.goal.position_world.y,
            friction: scene.friction,
            payload_kg: scene.payload_kg,
            recovery_fraction: record.recovery_steps as f32 / record.steps.max(1) as f32,
            false_safe: record.false_safe,
            paper_outcome: Some(record.paper_outcome),
            moving_s: Some(gait.map_or(0.0, |gait| gait.moving_s)),
            touchdown_speed_mps: gait.and_then(|gait| gait.touchdown_speed_mps),
            slip_mps: gait.and_then(|gait| gait.slip_mps),
            target_reversal_fraction: gait.map(|gait| gait.target_reversal_fraction),
            knee_target_beyond_limit_fraction: gait
                .map(|gait| gait.knee_target_beyond_limit_fraction),
            effort_limit_fraction: gait.map(|gait| gait.effort_limit_fraction),
            mechanical_power_w: gait.map(|gait| gait.mechanical_power_w),
            cost_of_transport: gait.map(|gait| gait.cost_of_transport),
        })?;
    }
    Ok(writer.into_inner()?)
}

/// Rates with their intervals, and speeds.
pub fn table(report: &EvalReport) -> String {
    let EvalReport {
        robot,
        method,
        engine,
        episodes,
        seed,
        rays,
        scene,
        reality,
        ..
    } = report;
    let eyes = match rays {
        RaySource::Exact => "",
        RaySource::Depth => ", rays from depth images",
    };
    let scene = match scene.as_str() {
        CYLINDERS => String::new(),
        scene => format!(", scene {scene}"),
    };
    let reality = match reality.is_ideal() {
        true => String::new(),
        false => format!(", reality {}", reality.label()),
    };
    let mut text = format!(
        "{robot}, {method}, {engine}{eyes}{scene}{reality}: {episodes} episodes, seed {seed}\n"
    );
    // Writing to a string cannot fail.
    for (name, rate, [low, high]) in [
        ("reach", report.reach_rate, report.reach_ci95),
        ("collision", report.collision_rate, report.collision_ci95),
        ("timeout", report.time_out_rate, report.time_out_ci95),
    ] {
        let [rate, low, high] = [rate, low, high].map(|share| 100.0 * share);
        let _ = writeln!(text, "  {name:<12} {rate:>5.1} %    [{low:.1}, {high:.1}]");
    }
    for (name, speed) in [
        ("mean speed", report.mean_speed),
        ("peak speed", report.peak_speed),
    ] {
        let _ = writeln!(text, "  {name:<12} {speed:>5.2} m/s  over reached episodes");
    }
    if let (Some(time_s), Some(ratio)) = (report.time_to_goal_s, report.path_ratio) {
        let _ = writeln!(
            text,
            "  {:<12} {time_s:>5.2} s    on {ratio:.2} times the straight line",
            "time to goal"
        );
    }
    if let Some(switch) = &report.switch {
        for (name, share, of) in [
            (
                "recovery",
                switch.recovery_fraction,
                "of the policy steps".to_owned(),
            ),
            (
                "safe",
                switch.recovery_episode_safe_rate,
                format!("of {} episodes with recovery", switch.recovery_episodes),
            ),
            (
                "false safe",
                switch.false_safe_rate,
                "of the episodes".to_owned(),
            ),
        ] {
            let _ = writeln!(text, "  {name:<12} {:>5.1} %    {of}", 100.0 * share);
        }
    }
    if let Some([reach, collision, timeout]) = paper_rule_cells(report) {
        let _ = writeln!(
            text,
            "  by the paper's collision rule: reach {reach}, collision {collision}, timeout {timeout} %"
        );
    }
    if let Some(gait) = &report.gait {
        text += &gait_table(gait);
    }
    let _ = writeln!(
        text,
        "  {:.0} policy steps per second",
        report.steps_per_second
    );
    text
}

/// Gait measures, one a line.
pub fn gait_table(gait: &GaitReport) -> String {
    let mut text = format!(
        "  gait above 0.5 m/s, over {:.0} s of all episodes\n",
        gait.moving_s
    );
    for (name, cell) in GAIT_COLUMNS.iter().zip(gait_cells(gait)) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "    {name:<38} {cell}");
    }
    text
}

fn write_pictures(
    out: &Path,
    subject: &Subject,
    evaluation: &Evaluation<'_>,
    report: &EvalReport,
    records: &[EpisodeRecord],
) -> Result<()> {
    let mut name = format!("{}, {}", report.robot, report.method);
    if report.scene != CYLINDERS {
        name += &format!(", {}", report.scene);
    }
    let title = format!("{name}: {} episodes", report.episodes);
    outcome_bars(&title, report)?.save(&out.join("outcomes.png"))?;
    let reached = records.iter().filter(|r| r.outcome == Outcome::Reach);
    let speeds = Speeds {
        name: name.clone(),
        mean_mps: reached.clone().map(|r| r.mean_speed_mps).collect(),
        peak_mps: reached.map(|r| r.peak_speed_mps).collect(),
    };
    let title = format!("{name}: speed on the way to the goal");
    speed_histograms(&title, &[speeds])?.save(&out.join("speeds.png"))?;

    // Paths are not kept while thousands of episodes run; the few that are shown run again.
    let reach_m = f64::from(subject.config.eval.reach_m);
    let first: Vec<u64> = records.iter().take(SHEET).map(|r| r.scene.index).collect();
    let sheet = evaluation.run(&first, true, &|| ())?;
    let title = format!(
        "{name}: the first {} episodes of seed {}",
        sheet.len(),
        report.seed
    );
    let logged = match subject.config.eval.every_step {
        true => records,
        false => &sheet,
    };
    write(&out.join(STEPS), &steps_csv(logged)?)?;
    contact_sheet(&title, &sheet, 3, reach_m)?.save(&out.join("episodes.png"))?;

    for outcome in [Outcome::Reach, Outcome::Collision, Outcome::Timeout] {
        let path = out.join(format!("episode-{outcome}.png"));
        let example = records.iter().find(|r| r.outcome == outcome);
        let Some(example) = example else {
            // One of an earlier evaluation would be misleading.
            if path.exists() {
                fs::remove_file(&path)?;
            }
            continue;
        };
        let index = example.scene.index;
        for record in evaluation.run(&[index], true, &|| ())? {
            let title = format!("{name}, episode {index} of seed {}: {outcome}", report.seed);
            top_view(&title, &record, reach_m)?.save(&path)?;
        }
    }
    Ok(())
}
