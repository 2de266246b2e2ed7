//! Training with libtorch: PPO on many workers, regression of the reach-avoid value and of the ray network, checkpoints.
//!
//! Each worker of a [`Runner`] is one thread with its own environments, its own replica of the networks and its own rollout. Workers collect without
//! waiting for each other and meet once per minibatch, where gradients are averaged through a [`Communicator`]; each then takes the same step, so that
//! all replicas keep the same bits. Torch itself runs single-threaded: two such workers are faster than torch's own threads on two cores.
//!
//! To follow an iteration: `runner/mod.rs` has the loop, `runner/threads.rs` one worker's part of it, `ppo/mod.rs` the algorithm and `ppo/losses.rs`
//! its formulas. Another algorithm is one that implements `Learner` (`learner.rs`); other hardware is one that implements `Backend`
//! (`backend/mod.rs`), behind which the backward pass, bfloat16, CUDA and the all-reduce are.
//!
//! # Example
//! A point on a line learns to stay near the origin.
//! ```
//! use learning::Runner;
//! use policies::training::{Done, PpoConfig, Scalar, StepOut, VecEnv};
//!
//! struct Points(Vec<f32>);
//!
//! impl VecEnv for Points {
//!     fn num_envs(&self) -> usize { self.0.len() }
//!     fn observation_dim(&self) -> usize { 1 }
//!     fn action_dim(&self) -> usize { 1 }
//!     fn observe(&mut self, observations: &mut [f32]) { observations.copy_from_slice(&self.0); }
//!     fn step(&mut self, actions: &[f32], out: StepOut<'_>) {
//!         for (index, (point, action)) in self.0.iter_mut().zip(actions).enumerate() {
//!             *point = (*point + action.clamp(-1.0, 1.0)).clamp(-3.0, 3.0);
//!             out.rewards[index] = -point.abs();
//!             out.done[index] = Done::No;
//!         }
//!         out.observations.copy_from_slice(&self.0);
//!     }
//!     fn take_log(&mut self) -> Vec<Scalar> { Vec::new() }
//!     fn save(&self) -> Vec<u8> { self.0.iter().flat_map(|point| point.to_le_bytes()).collect() }
//!     fn load(&mut self, _: &[u8]) -> Result<(), String> { Err("not needed here".into()) }
//! }
//!
//! let config = PpoConfig { hidden: vec![16], reward_scale: 1.0, ..PpoConfig::fast() };
//! // One worker with 64 environments; seed 1.
//! let mut runner = Runner::new(config, vec![Box::new(Points(vec![2.0; 64]))], 1)?;
//! let reports = (0..30).map(|_| runner.iterate()).collect::<Result<Vec<_>, _>>()?;
//! assert!(reports[29].learner("reward") > reports[0].learner("reward"));
//! let towards_origin = runner.mean_actions(&[2.0])[0];
//! assert!(towards_origin < 0.0);
//! # Ok::<(), learning::TrainError>(())
//! ```

mod backend;
pub mod checkpoint;
mod distributed;
mod error;
mod learner;
mod ppo;
mod regression;
mod report;
mod runner;

pub use backend::precision_of;
pub use distributed::{Communicator, JoinError, LostWorker, Processes, ThreadCommunicator};
pub use error::TrainError;
pub use learner::KnownInputs;
pub use regression::{
    RayLearner, RayView, Regression, RegressionError, RegressionProgress, ValueLearner,
};
pub use report::IterationReport;
pub use runner::{Resumed, Runner};
