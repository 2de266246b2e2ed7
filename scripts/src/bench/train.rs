//! Speed of learning.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use policies::algorithm::Precision;
use robots::Robot;
use serde::Serialize;
use sim::engine::EngineKind;

use crate::{config::Config, train::learner};

/// The first iterations allocate, and resets come all at once.
const WARM_UP_ITERATIONS: usize = 2;

/// Results of `abs bench train`.
#[derive(Serialize)]
pub struct TrainReport {
    robot: String,
    engine: EngineKind,
    workers: usize,
    num_envs: usize,
    hidden: Vec<usize>,
    epochs: usize,
    precision: Precision,
    policy_steps_per_second: f64,
    collect_share: f64,
    update_share: f64,
}

/// Learns for `duration`, and at least one iteration.
pub fn measure(config: &Config, duration: Duration) -> Result<TrainReport> {
    let robot = Arc::new(Robot::load(&config.robot)?);
    let mut learner = learner(config, &robot)?;
    for _ in 0..WARM_UP_ITERATIONS {
        learner.iterate()?;
    }
    let (begin, first_step) = (Instant::now(), learner.policy_steps());
    let mut collect_s = 0.0;
    let mut iterations_s = 0.0;
    while iterations_s == 0.0 || begin.elapsed() < duration {
        let iteration = Instant::now();
        let report = learner.iterate()?;
        let iteration_s = iteration.elapsed().as_secs_f64();
        collect_s += report.collect_share * iteration_s;
        iterations_s += iteration_s;
    }
    let collect_share = collect_s / iterations_s;
    Ok(TrainReport {
        robot: robot.name.clone(),
        engine: config.env.engine,
        workers: config.threads,
        num_envs: config.env.num_envs,
        hidden: config.algorithm.hidden.clone(),
        epochs: config.algorithm.epochs,
        precision: learner.precision(),
        policy_steps_per_second: (learner.policy_steps() - first_step) as f64 / iterations_s,
        collect_share,
        update_share: 1.0 - collect_share,
    })
}
