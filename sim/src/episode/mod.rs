//! Episodes of a deployed controller in simulation. There is one loop, the [`Runner`]'s; a [`Plan`] says which episodes it
//! runs, and an [`Observer`] keeps what is wanted of each.
//!
//! A policy step, in every environment slot: [`Plan::command`], a cycle of the controller, [`Observer::controlled`]; the
//! physics of all robots of the engine, with [`Observer::physics_stepped`] where wanted; then again in every slot [`Observer::stepped`], [`Plan::next`], and
//! [`Observer::finish`] where the episode ends.

mod link;
mod runner;

use controller::{Controller, FallbackReason};
use policies::{Goal, Twist};

pub use link::SimLink;
pub use runner::{Runner, Slot};

use crate::engine::{EngineError, EpisodeStart, PhysicsState};

/// Length of an episode, s (docs/concepts/evaluation.md#outcome).
pub const EPISODE_S: f32 = 9.0;

/// Which episodes there are: how each begins, what is commanded, and when it ends. An episode depends on its number alone.
pub trait Plan: Sync {
    /// What the plan remembers of an episode.
    type Episode;
    /// Why an episode cannot be run.
    type Error: From<EpisodeError> + Send;

    /// Draws episode `number`.
    ///
    /// # Errors
    /// A scene that cannot be drawn.
    fn begin(&self, number: u64) -> Result<(Self::Episode, SlotStart), Self::Error>;

    /// What controls the robot; it is reset at the start.
    fn controller(&self, episode: &Self::Episode) -> &Controller;

    /// The twist that the recovery policy is to follow in the next policy step.
    fn command(&self, _episode: &Self::Episode) -> Option<Twist> {
        None
    }

    /// Time after so many policy steps of this length, s.
    fn time_s(&self, steps: usize, policy_step_s: f32) -> f32 {
        steps as f32 * policy_step_s
    }

    /// How the episode goes on after a policy step.
    fn next(&self, episode: &mut Self::Episode, step: &Step<'_>) -> Next;
}

/// What is kept of one episode of the plan `P`.
pub trait Observer<P: Plan> {
    /// What is left at the end.
    type Record: Send;
    /// Whether [`physics_stepped`](Self::physics_stepped) is called.
    const EVERY_PHYSICS_STEP: bool = false;

    /// After a cycle of the controller, before the physics: `slot` holds what it observed and what it decided.
    fn controlled(&mut self, _episode: &mut P::Episode, _slot: &Slot) {}

    /// After each physics step of a policy step, with the state then; not finite if the simulation failed.
    fn physics_stepped(&mut self, _episode: &mut P::Episode, _physics: &PhysicsState) {}

    /// After the physics, before [`Plan::next`].
    fn stepped(&mut self, _episode: &mut P::Episode, _step: &Step<'_>, _slot: &Slot) {}

    /// After the last step; the slot's link still senses the state after it.
    fn finish(self, episode: P::Episode, step: &Step<'_>, slot: &mut Slot) -> Self::Record;
}

/// How a slot starts: the physics, and what the controller is told.
#[derive(Clone, Debug)]
pub struct SlotStart {
    /// Physics.
    pub physics: EpisodeStart,
    /// Where the robot is to go.
    pub goal: Goal,
    /// Time to get there, s.
    pub duration_s: f32,
    /// Seed of the illusion and of the camera's errors.
    pub noise_seed: u64,
    /// The policies have the scans of the time before the start, during which moving obstacles moved; else their first scan
    /// stands for those.
    pub scanned_before: bool,
}

/// A policy step after its physics.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// State after it; not finite if the simulation failed.
    pub physics: &'a PhysicsState,
    /// Policy steps since the slot started, or since the goal changed.
    pub steps: usize,
    /// Their time, s.
    pub time_s: f32,
    /// A position or velocity is not finite: no result may come from this step.
    pub failed: bool,
    /// A body is in a collision. False where the simulation failed.
    pub collided: bool,
}

/// How an episode goes on.
pub enum Next {
    /// As it is.
    Continue,
    /// With another goal and seed, in the same scene.
    Goal(Goal, u64),
    /// In another scene.
    Start {
        /// How.
        start: Box<SlotStart>,
        /// Forget previous actions and contacts, as at the start of an episode.
        reset_controller: bool,
    },
    /// It is over.
    End,
}

/// Why an episode cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum EpisodeError {
    /// The engine cannot hold the robot or a scene.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The policy cannot be run.
    #[error("episode {episode} at {time_s:.2} s: {fault}")]
    Fault {
        /// Number of the episode.
        episode: u64,
        /// Time in the episode, s.
        time_s: f32,
        /// What the controller said.
        fault: FallbackReason,
    },
}
