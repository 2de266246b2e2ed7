//! Training with libtorch: PPO on many workers, the reach-avoid value, checkpoints, TensorBoard events.
//!
//! Each worker is one thread with its own environments, its own replica of the networks and its own rollout. Workers collect without waiting
//! for each other and meet once per minibatch, where gradients are averaged through a [`Communicator`]; each then takes the same step, so that
//! all replicas keep the same bits. Torch itself runs single-threaded: two such workers are faster than torch's own threads on two cores.

mod adam;
pub mod checkpoint;
mod communicator;
mod compute;
mod elementwise;
mod error;
mod event_writer;
mod host_tensor;
mod lagrangian;
mod learner;
mod loss;
mod model;
mod network;
mod processes;
mod random;
mod ray_model;
mod ray_view;
mod rays;
mod reach_avoid;
mod regression;
mod report;
mod rollout;
mod value_labels;
mod worker;

pub use adam::Adam;
pub use communicator::{Communicator, LostWorker, ThreadCommunicator};
pub use error::TrainError;
pub use event_writer::EventWriter;
pub use learner::{KnownInputs, Learner, Resumed};
pub use loss::{PolicyBatch, PolicyStatistics, ValueBatch, policy_loss, value_loss};
pub use processes::{JoinError, Processes};
pub use ray_view::RayView;
pub use rays::{RayLearner, RayLearningError};
pub use reach_avoid::{ValueError, ValueLearner};
pub use regression::{Batches, Regression, RegressionProgress};
pub use report::{CostReport, IterationReport};
pub use rollout::{Trajectories, estimate_advantages};
pub use worker::adapted_rate;
