//! Evaluation on the paper's test (docs/concepts/evaluation.md): the deployed controller, in simulation, over episodes that
//! depend on the seed and their number alone.
//!
//! `abs eval`, from the command to the network, in six files:
//! 1. `scripts/src/commands/eval.rs`: the command, and what it writes;
//! 2. `sim/src/eval/evaluation.rs`: which episodes, and what is kept of them;
//! 3. `sim/src/scene/testbed/mod.rs`: the scene of an episode;
//! 4. `sim/src/episode/runner.rs`: the loop over policy steps;
//! 5. `sim/src/episode/link.rs`: what the controller observes;
//! 6. `controller/src/controller.rs`: what it decides.

mod config;
mod evaluation;
mod gait;
mod outcome;
mod paper_rule;
mod record;
mod recovery;
mod trial;

pub use config::{EvalConfig, EvalError, RaySource};
pub use evaluation::Evaluation;
pub use gait::{GaitReport, GaitSums};
pub use outcome::{Arrival, Collision, Outcome};
pub use record::{EpisodeRecord, EvalReport, OutcomeRates, SwitchReport, TraceStep, wilson_ci95};
pub use recovery::{CaseReport, RecoveryEvaluation, RecoveryReport, RecoveryTestConfig};
pub use trial::Trial;

#[cfg(test)]
mod tests;
