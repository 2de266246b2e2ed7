//! What earlier commands left in their folders, read back.

pub mod evaluation;
pub mod events;
