//! Learning of the reach-avoid value: record rollouts, learn, report.
//!
//! ```text
//! runs/reach-avoid-go1-1-20260131-235959/
//!   rollouts/       recorded episodes, until learning is done
//!   bundle/         the bundle that was given, with the value in it
//!   metrics.json    errors and calibration on episodes that were held out
//!   reliability.png, value.png
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::Instant,
};

use anyhow::{Context, Result};
use learning::{EventWriter, Regression, RegressionProgress, ValueLearner};
use policies::{
    Bundle, Layout,
    file::write_atomic,
    observation::terms,
    reach_avoid::{ReachAvoidValue, Rollouts, ValueReport},
    spec::{NetworkSpec, Provenance, SwitchSpec, role},
};
use robots::Robot;
use serde::Serialize;
use sim::reach_avoid::{RolloutConfig, RolloutRecorder};
use time::OffsetDateTime;

use crate::{
    config::Config,
    eval::METRICS,
    interrupt::Interrupt,
    pictures::{ValuePlane, reliability, value_planes},
    progress::{Progress, clock, short},
    run_folder::{RunFolder, git_revision},
};

/// Episodes in a file of rollouts, and between two looks for Ctrl-C.
const EPISODES_PER_FILE: usize = 1024;

/// Starts a new run with the agile policy of the bundle in the folder `bundle`.
pub fn begin(
    path: &Path,
    config: &Config,
    robot: &Robot,
    bundle: &Path,
    interrupt: &Interrupt,
) -> Result<()> {
    let mut bundle = Bundle::load(bundle)?;
    bundle.spec.networks.remove(role::REACH_AVOID);
    // First, so that a mistake leaves no run folder behind.
    recorder(robot, &bundle, config)?;
    let run = RunFolder::create(path, config)?;
    bundle.save(&run.bundle())?;
    Session::new(&run, config, robot, bundle, interrupt)?.train(false)
}

/// Goes on with a run where it stopped.
pub fn resume(
    run: &RunFolder,
    config: &Config,
    robot: &Robot,
    interrupt: &Interrupt,
) -> Result<()> {
    let bundle = Bundle::load(&run.bundle())?;
    run.save_config(config)?;
    Session::new(run, config, robot, bundle, interrupt)?.train(true)
}

/// Whether a run has learned all it was to learn.
pub fn is_done(run: &Path) -> bool {
    run.join(METRICS).is_file()
}

fn recorder<'a>(
    robot: &'a Robot,
    bundle: &'a Bundle,
    config: &'a Config,
) -> Result<RolloutRecorder<'a>> {
    let rollouts = &config.reach_avoid.rollouts;
    Ok(RolloutRecorder::new(
        robot,
        bundle,
        rollouts,
        &config.physics,
        config.seed,
    )?)
}

struct Session<'a> {
    run: &'a RunFolder,
    config: &'a Config,
    robot: &'a Robot,
    bundle: Bundle,
    /// SHA-256 of the agile policy.
    policy_hash: String,
    interrupt: &'a Interrupt,
    git_revision: String,
}

/// `metrics.json`.
#[derive(Serialize)]
struct Metrics<'a> {
    task: &'static str,
    robot: &'a str,
    seed: u64,
    /// Recorded for learning and report.
    recorded_episodes: usize,
    recorded_steps: usize,
    /// Of all recorded episodes.
    collision_rate: f64,
    #[serde(flatten)]
    held_out: ValueReport,
}

/// What a file of rollouts depends on.
#[derive(Serialize)]
struct Origin<'a> {
    policy: &'a str,
    seed: u64,
    first_episode: usize,
    config: &'a RolloutConfig,
}

impl<'a> Session<'a> {
    fn new(
        run: &'a RunFolder,
        config: &'a Config,
        robot: &'a Robot,
        bundle: Bundle,
        interrupt: &'a Interrupt,
    ) -> Result<Self> {
        config.start_thread_pool()?;
        let agile = bundle.spec.network(role::AGILE)?;
        Ok(Self {
            policy_hash: agile.sha256.clone(),
            interrupt,
            git_revision: git_revision(),
            run,
            config,
            robot,
            bundle,
        })
    }

    fn train(&self, resuming: bool) -> Result<()> {
        let begin = Instant::now();
        let run = self.run.path().display();
        eprintln!("learning the value in {run}; Ctrl-C saves and stops");
        let done = match self.record()? {
            Some(rollouts) => self.learn(rollouts, resuming)?,
            None => false,
        };
        let spent = clock(begin.elapsed().as_secs_f64());
        if done {
            if self.config.reach_avoid.rollout_folder.is_none() {
                let folder = self.rollout_folder();
                fs::remove_dir_all(&folder)
                    .with_context(|| format!("cannot remove {}", folder.display()))?;
            }
            eprintln!("done after {spent} of this session; figures and pictures are in {run}");
            eprintln!("evaluate     scripts/abs eval --method abs --bundle {run}/bundle");
        } else {
            eprintln!("stopped after {spent} of this session");
            eprintln!("go on with   scripts/abs train --resume {run}");
        }
        Ok(())
    }

    fn rollout_folder(&self) -> PathBuf {
        let given = self.config.reach_avoid.rollout_folder.clone();
        given.unwrap_or_else(|| self.run.path().join("rollouts"))
    }

    /// All episodes, read or recorded; none after Ctrl-C.
    fn record(&self) -> Result<Option<Rollouts>> {
        let recorder = recorder(self.robot, &self.bundle, self.config)?;
        let folder = self.rollout_folder();
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot write to {}", folder.display()))?;
        let dim = recorder.layout().dim();
        let total = self.config.reach_avoid.rollouts.episodes;
        let mut progress = Progress::counting("episodes", total as u64, 0);
        let mut all = Rollouts::new(dim);
        for first in (0..total).step_by(EPISODES_PER_FILE) {
            let episodes = first..(first + EPISODES_PER_FILE).min(total);
            let path = folder.join(format!("episodes-{first:06}.safetensors"));
            let origin = self.origin(first)?;
            if path.is_file() {
                let part = fs::read(&path)
                    .map_err(anyhow::Error::from)
                    .and_then(|b| Ok(Rollouts::decode(&b, &origin, dim)?));
                let part = part.with_context(|| path.display().to_string())?;
                // The last file of a shorter recording.
                if part.num_episodes() >= episodes.len() || episodes.end < total {
                    all.append(&part);
                    continue;
                }
            }
            if self.interrupt.flag().load(Ordering::Relaxed) {
                progress.finish();
                return Ok(None);
            }
            let begin = Instant::now();
            let part = recorder.record(episodes.start as u64..episodes.end as u64)?;
            let bytes = part.encode(&origin)?;
            write_atomic(&path, &bytes)
                .with_context(|| format!("cannot write {}", path.display()))?;
            let wall_s = begin.elapsed().as_secs_f64();
            all.append(&part);
            let scalars = [
                (
                    "rollout/steps_per_s".to_owned(),
                    part.num_rows() as f64 / wall_s,
                ),
                ("rollout/collision_rate".to_owned(), collision_rate(&all)),
            ];
            progress.iteration(
                episodes.end as u64,
                episodes.len() as f64 / wall_s,
                &scalars,
            );
        }
        progress.finish();
        Ok(Some(all))
    }

    /// Tells rollouts apart that are not the same.
    fn origin(&self, first_episode: usize) -> Result<String> {
        // How many episodes there are does not change them.
        let config = RolloutConfig {
            episodes: 0,
            ..self.config.reach_avoid.rollouts.clone()
        };
        Ok(serde_json::to_string(&Origin {
            policy: &self.policy_hash,
            seed: self.config.seed,
            first_episode,
            config: &config,
        })?)
    }

    /// Learns, reports and exports; false after Ctrl-C.
    fn learn(&self, rollouts: Rollouts, resuming: bool) -> Result<bool> {
        let settings = self.config.reach_avoid.learning.clone();
        let mut learner = ValueLearner::new(settings, &rollouts, self.config.seed)?;
        let folder = self.run.checkpoints();
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot write to {}", folder.display()))?;
        let checkpoint = folder.join("value.safetensors");
        if resuming && checkpoint.is_file() {
            learner.load(&checkpoint)?;
        }
        eprintln!(
            "learning from {} steps of {} episodes",
            short(learner.num_rows() as f64),
            learner.held_out_episodes().start
        );
        let held_out = learner.held_out_episodes();
        let mut events = EventWriter::create(self.run.path())
            .with_context(|| format!("cannot write to {}", self.run.path().display()))?;
        let total = learner.total_steps();
        let mut progress = Progress::new(total, learner.steps());
        let mut last = (Instant::now(), learner.steps());
        let mut observe = |learner: &mut ValueLearner<'_>, now: RegressionProgress| -> Result<()> {
            let scalars = [
                ("value/loss".to_owned(), now.loss),
                ("value/learning_rate".to_owned(), now.learning_rate.into()),
            ];
            events.scalars(now.steps, scalars.clone())?;
            let rate = (now.steps - last.1) as f64 / last.0.elapsed().as_secs_f64();
            last = (Instant::now(), now.steps);
            progress.iteration(now.steps, rate, &scalars);
            if now.steps.is_multiple_of(total.div_ceil(1000) * 100) {
                let some = held_out.start..held_out.end.min(held_out.start + 200);
                let report = self.report(learner, &rollouts, some)?;
                let rates = report.rates;
                events.scalars(
                    now.steps,
                    [
                        ("held_out/squared_error".into(), report.mean_squared_error),
                        ("held_out/false_safe_rate".into(), rates.false_safe_rate),
                        ("held_out/false_reach_rate".into(), rates.false_reach_rate),
                        ("held_out/false_alarm_rate".into(), rates.false_alarm_rate),
                    ],
                )?;
            }
            Ok(events.flush()?)
        };
        learner.run::<anyhow::Error>(Some(&checkpoint), self.interrupt.flag(), &mut observe)?;
        progress.finish();
        self.export_bundle(&learner, &rollouts)?;
        if learner.steps() < total {
            return Ok(false);
        }
        let report = self.report(&learner, &rollouts, learner.held_out_episodes())?;
        self.write_results(&learner, &rollouts, report)?;
        Ok(true)
    }

    fn report(
        &self,
        learner: &ValueLearner<'_>,
        rollouts: &Rollouts,
        episodes: std::ops::Range<usize>,
    ) -> Result<ValueReport> {
        let step_s = self.config.physics.policy_step_s();
        Ok(ValueReport::new(
            &learner.layers(),
            rollouts,
            episodes,
            self.config.reach_avoid.threshold,
            step_s,
        )?)
    }

    fn export_bundle(&self, learner: &ValueLearner<'_>, rollouts: &Rollouts) -> Result<()> {
        let provenance = Provenance {
            git_revision: self.git_revision.clone(),
            seed: self.config.seed,
            policy_steps: rollouts.num_rows() as u64,
            date: Some(OffsetDateTime::now_utc().date().to_string()),
            config: self.config.to_toml()?,
        };
        let mut bundle = self.bundle.clone();
        let terms = terms::reach_avoid(&bundle.spec.rays);
        let spec = NetworkSpec::value(terms, &self.policy_hash, provenance);
        bundle.insert(role::REACH_AVOID, spec, learner.layers())?;
        let settings = &self.config.reach_avoid;
        bundle.spec.switch = Some(SwitchSpec {
            threshold: settings.threshold,
            min_improvement: settings.min_improvement,
            ..SwitchSpec::default()
        });
        Ok(bundle.save(&self.run.bundle())?)
    }

    fn write_results(
        &self,
        learner: &ValueLearner<'_>,
        rollouts: &Rollouts,
        held_out: ValueReport,
    ) -> Result<()> {
        let folder = self.run.path();
        let title = format!(
            "{}: predicted value against what happened, {} held-out episodes",
            self.robot.name, held_out.episodes
        );
        reliability(&title, &held_out)?.save_png(&folder.join("reliability.png"))?;
        let mut planes = ValuePlane {
            value: ReachAvoidValue::new(learner.layers())?,
            layout: Layout::new(
                &terms::reach_avoid(&self.bundle.spec.rays),
                &self.bundle.spec.robot,
                &self.bundle.spec.rays,
            )?,
            robot: self.robot,
            rays: &self.bundle.spec.rays,
            threshold: self.config.reach_avoid.threshold,
        };
        let title = format!(
            "{}: reach-avoid value around three obstacles",
            self.robot.name
        );
        value_planes(&title, &mut planes)?.save_png(&folder.join("value.png"))?;
        let rates = held_out.rates;
        eprintln!(
            "held-out episodes: {:.1}% of the states before a collision look safe, {:.1}% half a second before; \
             {:.1}% of those that end short of the goal; {:.1}% of those that reach it do not look safe",
            100.0 * rates.false_safe_rate,
            100.0 * rates.false_safe_rate_half_second,
            100.0 * rates.false_reach_rate,
            100.0 * rates.false_alarm_rate,
        );
        let metrics = Metrics {
            task: self.config.task.name(),
            robot: &self.robot.name,
            seed: self.config.seed,
            recorded_episodes: rollouts.num_episodes(),
            recorded_steps: rollouts.num_rows(),
            collision_rate: collision_rate(rollouts),
            held_out,
        };
        let path = folder.join(METRICS);
        let text = serde_json::to_string_pretty(&metrics)? + "\n";
        write_atomic(&path, text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

fn collision_rate(rollouts: &Rollouts) -> f64 {
    let episodes = rollouts.num_episodes();
    let collisions = (0..episodes).filter(|e| rollouts.collided(*e)).count();
    collisions as f64 / episodes.max(1) as f64
}
