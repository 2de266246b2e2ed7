//! An iteration of all workers, each on a thread of its own.

use std::time::Instant;

use policies::training::{Scalar, Times};
use serde::{Deserialize, Serialize};

use super::Worker;
use crate::distributed::{Communicator, LostWorker};
use crate::error::TrainError;
use crate::learner::{Iteration, Progress, Purpose, Update};

/// An iteration, as one worker knows it.
pub(super) struct Iterated {
    /// Over all environments, after the iteration.
    pub(super) policy_steps: u64,
    pub(super) update: Update,
    /// By each worker, over all processes.
    pub(super) measured: Vec<Measured>,
}

/// What one worker measured.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Measured {
    pub(super) times: Times,
    pub(super) log: Vec<Scalar>,
}

/// An iteration of all workers; what they came to is the same for all.
///
/// # Errors
/// When a worker panics, or one of another process fails.
pub(super) fn iterate(workers: &mut [Worker], before: Progress) -> Result<Iterated, TrainError> {
    let joined: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (workers.iter_mut())
            .map(|worker| scope.spawn(move || worker.iterate_or_abort(before)))
            .collect();
        threads
            .into_iter()
            .map(std::thread::ScopedJoinHandle::join)
            .collect()
    });
    let (mut iterated, mut lost) = (None, false);
    for (rank, result) in joined.into_iter().enumerate() {
        match result {
            Ok(Ok(worker)) => iterated = Some(worker),
            Ok(Err(LostWorker)) => lost = true,
            // This is why the others are lost.
            Err(panic) => {
                let message = (panic.downcast_ref::<String>().cloned())
                    .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
                    .unwrap_or_else(|| "no message".into());
                return Err(TrainError::Panicked { rank, message });
            }
        }
    }
    let iterated = iterated.filter(|_| !lost);
    iterated.ok_or(TrainError::LostWorker(LostWorker))
}

impl Worker {
    /// Collects one rollout and learns from it.
    fn iterate(&mut self, before: Progress) -> Result<Iterated, LostWorker> {
        let begin = Instant::now();
        let n = self.env.num_envs();
        let mut mean_envs = [n as f32];
        self.communicator.all_reduce_mean(&mut mean_envs)?;
        let all_envs = (f64::from(mean_envs[0]) * self.communicator.size() as f64).round() as u64;
        let iteration = Iteration {
            before,
            rank: self.communicator.rank(),
            weight: n as f32 / mean_envs[0],
            policy_steps_after: before.policy_steps + all_envs * self.steps_per_rollout,
        };
        let random = &mut iteration.random(Purpose::Actions);
        self.learner.collect(self.env.as_mut(), random);
        let log = self.env.take_log();
        let mut times = self.env.take_times();
        times.add("inference", begin.elapsed().as_secs_f64() - times.total_s());

        let begin = Instant::now();
        let update = self.learner.update(&iteration)?;
        times.add("update", begin.elapsed().as_secs_f64());
        Ok(Iterated {
            policy_steps: iteration.policy_steps_after,
            update,
            measured: self.gather(&Measured { times, log })?,
        })
    }

    fn gather(&self, own: &Measured) -> Result<Vec<Measured>, LostWorker> {
        // Plain data of this program: neither can fail.
        let bytes = postcard::to_stdvec(own).unwrap_or_default();
        let all = self.communicator.all_gather(&bytes)?;
        let read = |bytes: &Vec<u8>| postcard::from_bytes(bytes).unwrap_or_default();
        Ok(all.iter().map(read).collect())
    }

    /// Frees the other workers if this one fails.
    fn iterate_or_abort(&mut self, before: Progress) -> Result<Iterated, LostWorker> {
        tch::set_num_threads(1);
        let result = tch::no_grad(|| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.iterate(before)))
        });
        match result {
            Ok(Ok(iterated)) => Ok(iterated),
            Ok(Err(lost)) => {
                self.communicator.abort();
                Err(lost)
            }
            Err(panic) => {
                self.communicator.abort();
                std::panic::resume_unwind(panic)
            }
        }
    }
}
