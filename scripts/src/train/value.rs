//! Learning of the reach-avoid value: record rollouts, learn, report.
//!
//! ```text
//! runs/reach-avoid-go1-1-20260131-235959/
//!   rollouts/       recorded episodes, until learning is done
//!   bundle/         the bundle that it is for, with the value in it
//!   metrics.json    errors and calibration on episodes that were held out
//!   reliability.png, value.png
//! ```

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::Instant,
};

use anyhow::{Context, Result};
use learning::{Regression, ValueLearner};
use policies::{
    Bundle, Layout,
    file::{MAX_DATA_BYTES, read_bytes, write_atomic},
    observation::terms,
    reach_avoid::{ReachAvoidValue, Rollouts, ValueReport},
    spec::{NetworkSpec, SwitchSpec, role},
};
use serde::Serialize;
use sim::{
    engine::PhysicsConfig,
    reach_avoid::{RolloutConfig, RolloutRecorder},
    reality::RealityConfig,
};

use super::{
    Callbacks, Event, Origin, Training,
    regression::{learn, note_end, open_run},
};
use crate::{
    commands::eval::METRICS,
    pictures::{ValuePlane, reliability, value_planes},
    run::{folder::RunFolder, progress::short},
};

/// Episodes in a file of rollouts, and between two looks at whether to stop.
const EPISODES_PER_FILE: usize = 1024;

/// Trains until all is learned or it is told to stop.
pub fn train(training: &Training, callbacks: &mut Callbacks<'_>) -> Result<()> {
    let begin = Instant::now();
    let (run, bundle, ()) = open_run(training, |bundle| {
        if !training.resuming {
            bundle.spec.networks.remove(role::REACH_AVOID);
        }
        recorder(training, bundle).map(|_| ())
    })?;
    let session = Session {
        origin: Origin::new(&training.config, training.config.to_toml()?),
        training,
        run: &run,
        bundle,
    };
    let path = run.path().display();
    callbacks.note(format!(
        "learning the value in {path}; Ctrl-C saves and stops"
    ));
    let is_done = match session.record(callbacks)? {
        Some(rollouts) => session.learn(&rollouts, callbacks)?,
        None => false,
    };
    if is_done && training.config.reach_avoid.rollout_folder.is_none() {
        let folder = session.rollout_folder();
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    note_end(is_done, begin, &run, callbacks);
    if is_done {
        callbacks.note(format!(
            "evaluate     scripts/abs eval --method abs --bundle {path}/bundle"
        ));
    }
    Ok(())
}

/// Whether a run has learned all it was to learn.
pub fn is_done(run: &Path) -> bool {
    run.join(METRICS).is_file()
}

fn recorder<'a>(training: &'a Training, bundle: &'a Bundle) -> Result<RolloutRecorder<'a>> {
    let (config, robot) = (&training.config, &training.robot);
    let rollouts = &config.reach_avoid.rollouts;
    let physics = &config.physics;
    let recorder = RolloutRecorder::new(robot, bundle, rollouts, physics, config.seed)?;
    Ok(recorder.with_reality(&config.reality)?)
}

struct Session<'a> {
    training: &'a Training,
    run: &'a RunFolder,
    bundle: Bundle,
    origin: Origin,
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
struct RolloutOrigin<'a> {
    /// SHA-256 of the policies.
    agile: &'a str,
    recovery: Option<&'a str>,
    /// CRC-32 of what is known of the robot.
    robot: u32,
    seed: u64,
    first_episode: usize,
    config: &'a RolloutConfig,
    physics: &'a PhysicsConfig,
    reality: &'a RealityConfig,
}

impl Session<'_> {
    fn rollout_folder(&self) -> PathBuf {
        let configured = self.training.config.reach_avoid.rollout_folder.clone();
        configured.unwrap_or_else(|| self.run.path().join("rollouts"))
    }

    /// All episodes, read or recorded; none if told to stop.
    fn record(&self, callbacks: &mut Callbacks<'_>) -> Result<Option<Rollouts>> {
        let config = &self.training.config;
        let threads = config.num_threads();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.with_context(|| format!("cannot start {threads} threads"))?;
        let recorder = recorder(self.training, &self.bundle)?;
        let folder = self.rollout_folder();
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot write to {}", folder.display()))?;
        let dim = recorder.layout().dim();
        let total = config.reach_avoid.rollouts.episodes;
        let mut all = Rollouts::new(dim);
        for first in (0..total).step_by(EPISODES_PER_FILE) {
            let episodes = first..(first + EPISODES_PER_FILE).min(total);
            // A shorter recording ends with a file of fewer episodes.
            let name = format!("episodes-{first:06}-{:06}.safetensors", episodes.end);
            let path = folder.join(name);
            let origin = self.rollout_origin(first)?;
            if path.is_file() {
                let part = read_bytes(&path, MAX_DATA_BYTES)
                    .map_err(anyhow::Error::from)
                    .and_then(|b| Ok(Rollouts::decode(&b, &origin, dim)?));
                all.append(&part.with_context(|| path.display().to_string())?);
                continue;
            }
            if callbacks.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let begin = Instant::now();
            let part =
                pool.install(|| recorder.record(episodes.start as u64..episodes.end as u64))?;
            let bytes = part.encode(&origin)?;
            write_atomic(&path, &bytes)
                .with_context(|| format!("cannot write {}", path.display()))?;
            let wall_s = begin.elapsed().as_secs_f64();
            all.append(&part);
            let steps_per_s = part.num_rows() as f64 / wall_s;
            callbacks.tell(Event::Progress {
                unit: "episodes",
                done: episodes.end as u64,
                total: total as u64,
                per_s: episodes.len() as f64 / wall_s,
                scalars: &[
                    ("rollout/steps_per_s".to_owned(), steps_per_s),
                    ("rollout/collision_rate".to_owned(), collision_rate(&all)),
                ],
            });
        }
        Ok(Some(all))
    }

    /// Tells rollouts apart that are not the same.
    fn rollout_origin(&self, first_episode: usize) -> Result<String> {
        let config = &self.training.config;
        // How many episodes there are does not change them.
        let rollouts = RolloutConfig {
            episodes: 0,
            ..config.reach_avoid.rollouts.clone()
        };
        let networks = &self.bundle.spec.networks;
        let hash = |role| networks.get(role).map(|network| network.sha256.as_str());
        Ok(serde_json::to_string(&RolloutOrigin {
            agile: &self.bundle.spec.network(role::AGILE)?.sha256,
            recovery: hash(role::RECOVERY),
            robot: crc32fast::hash(format!("{:?}", self.training.robot).as_bytes()),
            seed: config.seed,
            first_episode,
            config: &rollouts,
            physics: &config.physics,
            reality: &config.reality,
        })?)
    }

    /// Learns, reports and exports; false if told to stop.
    fn learn(&self, rollouts: &Rollouts, callbacks: &mut Callbacks<'_>) -> Result<bool> {
        let config = &self.training.config;
        let settings = config.reach_avoid.learning.clone();
        let mut learner = ValueLearner::new(settings, rollouts, config.seed)?;
        let held_out = learner.held_out_episodes();
        callbacks.note(format!(
            "learning from {} steps of {} episodes",
            short(learner.num_rows() as f64),
            held_out.start
        ));
        let total = learner.total_steps();
        let some = held_out.start..held_out.end.min(held_out.start + 200);
        let measure = |learner: &mut ValueLearner<'_>, steps: u64| {
            if !steps.is_multiple_of(total.div_ceil(1000) * 100) {
                return Ok(None);
            }
            let report = self.report(learner, rollouts, some.clone())?;
            let rates = report.rates;
            Ok(Some(vec![
                ("squared_error".into(), report.mean_squared_error),
                ("false_safe_rate".into(), rates.false_safe_rate),
                ("false_reach_rate".into(), rates.false_reach_rate),
                ("false_alarm_rate".into(), rates.false_alarm_rate),
            ]))
        };
        let (training, names) = (self.training, ["value", "loss"]);
        let is_done = learn(training, self.run, &mut learner, names, measure, callbacks)?;
        self.export_bundle(&learner, rollouts)?;
        if is_done {
            let report = self.report(&learner, rollouts, held_out)?;
            self.write_results(&learner, rollouts, report, callbacks)?;
        }
        Ok(is_done)
    }

    fn report(
        &self,
        learner: &ValueLearner<'_>,
        rollouts: &Rollouts,
        episodes: Range<usize>,
    ) -> Result<ValueReport> {
        let step_s = self.training.config.physics.policy_step_s();
        Ok(ValueReport::new(
            &learner.layers(),
            rollouts,
            episodes,
            self.training.config.reach_avoid.threshold,
            step_s,
        )?)
    }

    fn export_bundle(&self, learner: &ValueLearner<'_>, rollouts: &Rollouts) -> Result<()> {
        let provenance = self.origin.provenance(rollouts.num_rows() as u64);
        let mut bundle = self.bundle.clone();
        let terms = terms::reach_avoid(&bundle.spec.rays);
        let agile = bundle.spec.network(role::AGILE)?;
        let spec = NetworkSpec::value(terms, &agile.sha256, provenance);
        bundle.insert(role::REACH_AVOID, spec, learner.layers())?;
        let settings = &self.training.config.reach_avoid;
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
        callbacks: &mut Callbacks<'_>,
    ) -> Result<()> {
        let folder = self.run.path();
        let title = format!(
            "{}: predicted value against what happened, {} held-out episodes",
            self.training.robot.name, held_out.episodes
        );
        reliability(&title, &held_out)?.save(&folder.join("reliability.png"))?;
        let mut planes = ValuePlane {
            value: ReachAvoidValue::new(learner.layers())?,
            layout: Layout::new(
                &terms::reach_avoid(&self.bundle.spec.rays),
                &self.bundle.spec.robot,
                &self.bundle.spec.rays,
            )?,
            robot: &self.training.robot,
            rays: &self.bundle.spec.rays,
            threshold: self.training.config.reach_avoid.threshold,
        };
        let title = format!(
            "{}: reach-avoid value around three obstacles",
            self.training.robot.name
        );
        value_planes(&title, &mut planes)?.save(&folder.join("value.png"))?;
        let rates = held_out.rates;
        callbacks.note(format!(
            "held-out episodes: {:.1}% of the states before a collision look safe, {:.1}% half a second before; \
             {:.1}% of those that end short of the goal; {:.1}% of those that reach it do not look safe",
            100.0 * rates.false_safe_rate,
            100.0 * rates.false_safe_rate_half_second,
            100.0 * rates.false_reach_rate,
            100.0 * rates.false_alarm_rate,
        ));
        let metrics = Metrics {
            task: self.training.config.task.name(),
            robot: &self.training.robot.name,
            seed: self.training.config.seed,
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
