//! The learner on tasks small enough to know the answer.
#![expect(clippy::unwrap_used, reason = "tests")]

mod checkpoints;
mod costs;
mod point_env;
mod ppo;
mod privileged;
mod rays;
mod value;
mod value_gradient;
