//! The simulation in which the policies learn and are evaluated.

pub mod depth;
pub mod engine;
pub mod env;
pub mod episode;
pub mod eval;
pub mod random;
pub mod reach_avoid;
pub mod scene;
pub mod sensors;
