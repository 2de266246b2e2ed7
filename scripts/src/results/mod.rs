//! What commands leave in their folders, read back; curves are written here too.

pub mod evaluation;
pub mod events;
