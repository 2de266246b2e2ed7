//! Speed of learning.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use learning::Processes;
use policies::training::{Device, Precision, TimeShares};
use robots::Robot;
use serde::Serialize;
use sim::engine::EngineKind;

use super::with_threads;
use crate::{
    config::Config,
    run::progress::short,
    train::{goes_on, learner},
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
    time_shares: TimeShares,
}

impl TrainReport {
    /// What the bar of this report says, and its parts.
    pub fn bar(&self) -> (String, TimeShares) {
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
        (label, self.time_shares)
    }
}

/// Learns for `duration`, and at least one iteration. The first of several processes reports.
pub fn measure(config: &Config, duration: Duration) -> Result<Option<TrainReport>> {
    let processes = Processes::join()?;
    let config = &goes_on(&processes, with_threads(config.clone(), processes.size()))?;
    let robot = Arc::new(Robot::load(&config.robot)?);
    let mut learner = goes_on(&processes, learner(config, &robot, &processes))?;
    for _ in 0..WARM_UP_ITERATIONS {
        learner.iterate()?;
    }
    let (begin, first_step) = (Instant::now(), learner.policy_steps());
    let mut collect_s = 0.0;
    let mut shares_s = [0.0; 6];
    let mut iterations_s = 0.0;
    while learner.agree(iterations_s == 0.0 || begin.elapsed() < duration)? {
        let iteration = Instant::now();
        let report = learner.iterate()?;
        let iteration_s = iteration.elapsed().as_secs_f64();
        collect_s += report.collect_share * iteration_s;
        for (sum_s, (_, share)) in shares_s.iter_mut().zip(report.time_shares.named()) {
            *sum_s += share * iteration_s;
        }
        iterations_s += iteration_s;
    }
    let collect_share = collect_s / iterations_s;
    let [physics, rays, rewards, observations, inference, update] =
        shares_s.map(|share_s| share_s / iterations_s);
    let report = TrainReport {
        robot: robot.name.clone(),
        engine: config.env.engine,
        processes: processes.size(),
        workers: config.threads,
        num_envs: config.env.num_envs,
        hidden: config.algorithm.hidden.clone(),
        epochs: config.algorithm.epochs,
        precision: learner.precision(),
        device: config.algorithm.device,
        policy_steps_per_second: (learner.policy_steps() - first_step) as f64 / iterations_s,
        collect_share,
        update_share: 1.0 - collect_share,
        time_shares: TimeShares {
            physics,
            rays,
            rewards,
            observations,
            inference,
            update,
        },
    };
    Ok((processes.rank() == 0).then_some(report))
}
