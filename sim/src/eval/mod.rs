//! Evaluation on the paper's test (method section 10): the deployed controller, in simulation, over episodes that
//! depend on the seed and their number alone.

mod judge;
mod record;
mod recovery;
mod runner;
mod trial;

pub use controller::{Method, Mode};
pub(crate) use judge::{Judge, touching_body};
pub use record::{
    Collision, EpisodeRecord, EvalReport, Outcome, SwitchReport, TraceStep, wilson_ci95,
};
pub use recovery::{CaseReport, RecoveryEvaluation, RecoveryReport, RecoveryTestConfig};
pub use runner::{EvalConfig, EvalError, Evaluation, RaySource};
pub use trial::Trial;

#[cfg(test)]
mod tests;
