//! Speed of learning.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use learning::{Processes, precision_of};
use policies::training::{Device, Precision, Times};
use robots::Robot;
use serde::Serialize;
use sim::engine::EngineKind;

use super::with_threads;
use crate::{
    config::Config,
    run::progress::short,
    train::{all_ok, runner},
};

/// The first iterations allocate, and resets come all at once.
const WARM_UP_ITERATIONS: usize = 2;

/// Results of `abs bench train`.
#[derive(Serialize)]
pub struct TrainReport {
    robot: String,
    engine: EngineKind,
    /// Processes that learn together, and the worker threads of each.
    processes: usize,
    workers: usize,
    num_envs: usize,
    hidden: Vec<usize>,
    epochs: usize,
    precision: Precision,
    device: Device,
    policy_steps_per_second: f64,
    collect_share: f64,
    update_share: f64,
    /// Where the time goes.
    #[serde(serialize_with = "super::fractions")]
    time_shares: Times,
}

impl TrainReport {
    /// What the bar of this report says, and its parts.
    pub fn bar(&self) -> (String, Times) {
        let label = format!(
            "{} on {}, {} x {} workers, {} epochs: {} policy steps/s",
            self.hidden
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("-"),
            self.engine,
            self.processes,
            self.workers,
            self.epochs,
            short(self.policy_steps_per_second)
        );
        (label, self.time_shares.clone())
    }
}

/// Learns for `duration`, and at least one iteration. The first of several processes reports.
pub fn measure(config: &Config, duration: Duration) -> Result<Option<TrainReport>> {
    let processes = Processes::join()?;
    let config = &all_ok(&processes, with_threads(config.clone(), processes.size()))?;
    let robot = Arc::new(Robot::load(&config.robot)?);
    let mut runner = all_ok(&processes, runner(config, &robot, &processes))?;
    for _ in 0..WARM_UP_ITERATIONS {
        runner.iterate()?;
    }
    let (begin, first_step) = (Instant::now(), runner.policy_steps());
    let (mut iterations_s, mut times) = (0.0, Times::default());
    while runner.agree(iterations_s == 0.0 || begin.elapsed() < duration)? {
        let iteration = Instant::now();
        times.add_all(&runner.iterate()?.times);
        iterations_s += iteration.elapsed().as_secs_f64();
    }
    let update_share = times.fraction("update");
    let report = TrainReport {
        robot: robot.name.clone(),
        engine: config.env.engine,
        processes: processes.size(),
        workers: config.threads,
        num_envs: config.env.num_envs,
        hidden: config.algorithm.hidden.clone(),
        epochs: config.algorithm.epochs,
        precision: precision_of(&config.algorithm),
        device: config.algorithm.device,
        policy_steps_per_second: (runner.policy_steps() - first_step) as f64 / iterations_s,
        collect_share: 1.0 - update_share,
        update_share,
        time_shares: times,
    };
    Ok((processes.rank() == 0).then_some(report))
}
