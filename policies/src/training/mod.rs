//! The contract of training: what a simulator gives a learner ([`VecEnv`]), and what a learner is told ([`PpoConfig`]). No libtorch here, so
//! that simulators and every program that reads a run's configuration do without it.

mod algorithm;
mod invalid_config;
mod times;
mod vec_env;

pub use algorithm::{
    Algorithm, Device, LagrangianConfig, LearningRate, PpoConfig, Precision, StdBound,
};
pub use invalid_config::InvalidConfig;
pub use times::Times;
pub use vec_env::{Done, Scalar, StepOut, VecEnv};
