//! An iteration of all workers, each on a thread of its own.

use std::any::Any;

use crate::communicator::{Communicator, LostWorker};
use crate::error::TrainError;
use crate::worker::{Plan, Worker, WorkerReport};

/// The workers' reports, by rank within the process.
///
/// # Errors
/// When a worker panics, or one of another process fails.
pub(super) fn iterate(workers: &mut [Worker], plan: Plan) -> Result<Vec<WorkerReport>, TrainError> {
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (workers.iter_mut())
            .map(|worker| scope.spawn(move || iterate_or_abort(worker, plan)))
            .collect();
        threads
            .into_iter()
            .map(std::thread::ScopedJoinHandle::join)
            .collect()
    });
    collect_reports(results)
}

/// Frees the other workers if this one fails.
fn iterate_or_abort(worker: &mut Worker, plan: Plan) -> Result<WorkerReport, LostWorker> {
    tch::set_num_threads(1);
    let result = tch::no_grad(|| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| worker.iterate(plan)))
    });
    match result {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(lost)) => {
            worker.communicator.abort();
            Err(lost)
        }
        Err(panic) => {
            worker.communicator.abort();
            std::panic::resume_unwind(panic)
        }
    }
}

type Joined = Result<Result<WorkerReport, LostWorker>, Box<dyn Any + Send>>;

/// The reports of all workers, or the failure that stopped the others.
fn collect_reports(results: Vec<Joined>) -> Result<Vec<WorkerReport>, TrainError> {
    let mut reports = Vec::new();
    let mut lost = None;
    for (rank, result) in results.into_iter().enumerate() {
        match result {
            Ok(Ok(report)) => reports.push(report),
            Ok(Err(error)) => lost = Some(error),
            Err(panic) => {
                let message = (panic.downcast_ref::<String>().cloned())
                    .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
                    .unwrap_or_else(|| "no message".into());
                return Err(TrainError::Panicked { rank, message });
            }
        }
    }
    lost.map_or(Ok(reports), |lost| Err(lost.into()))
}
