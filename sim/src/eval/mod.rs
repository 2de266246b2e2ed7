//! Evaluation on the paper's test (method section 10): the deployed controller, in simulation, over episodes that
//! depend on the seed and their number alone.

mod judge;
mod record;
mod runner;

pub(crate) use judge::touching_body;
pub use record::{Collision, EpisodeRecord, EvalReport, Outcome, TraceStep, wilson_ci95};
pub use runner::{EvalConfig, EvalError, Evaluation, Method};

#[cfg(test)]
mod tests;
