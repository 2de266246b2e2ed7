//! Why training fails.

use policies::training::InvalidConfig;

use crate::checkpoint::CheckpointError;
use crate::distributed::LostWorker;

/// Why training cannot begin or continue.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The config is out of range.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// Environments that do not fit together.
    #[error("{0}")]
    Environments(String),
    /// A stage changes what has to stay.
    #[error("this cannot change during a run: {0}")]
    Reconfigured(String),
    /// A CUDA device is asked for and is not there.
    #[error("--device cuda: {0}")]
    NoCuda(&'static str),
    /// Losses or gradients stay NaN or infinite.
    #[error(
        "diverged: the last {skipped} minibatches up to iteration {iteration} had a loss or gradient that is not finite; \
         go back to an earlier checkpoint with a smaller learning_rate.max, or look for NaN in rewards and observations"
    )]
    Diverged {
        /// Where it stopped.
        iteration: u64,
        /// Minibatches skipped in a row.
        skipped: u32,
    },
    /// A worker thread panicked.
    #[error("worker {rank} panicked: {message}")]
    Panicked {
        /// Which one.
        rank: usize,
        /// What it said.
        message: String,
    },
    /// A worker of another process failed.
    #[error(transparent)]
    LostWorker(#[from] LostWorker),
    /// A checkpoint could not be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl TrainError {
    /// Whether this only follows from what another process reports.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        matches!(
            self,
            Self::LostWorker(_) | Self::Checkpoint(CheckpointError::Elsewhere { .. })
        )
    }
}
