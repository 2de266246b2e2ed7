//! The deployed controller in simulation, episode by episode.

mod link;

pub use link::SimLink;
