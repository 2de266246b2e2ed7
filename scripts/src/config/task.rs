//! What can be trained, and the recipe of each.

use serde::{Deserialize, Serialize};

/// What can be learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Runs to a goal among obstacles
    Agile,
    /// Tracks a twist from a violent state
    Recovery,
    /// Tells whether the agile policy will reach its goal without a collision
    ReachAvoid,
    /// Predicts the rays from depth images
    Rays,
}

impl Task {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Agile, Self::Recovery, Self::ReachAvoid, Self::Rays];

    /// Name in run folders.
    pub fn name(self) -> &'static str {
        match self {
            Self::Agile => "agile",
            Self::Recovery => "recovery",
            Self::ReachAvoid => "reach-avoid",
            Self::Rays => "rays",
        }
    }

    /// How it is trained unless told otherwise, as TOML: what differs from the defaults.
    pub(super) fn recipe(self) -> &'static str {
        match self {
            Self::Agile => include_str!("../../recipes/agile.toml"),
            Self::Recovery => include_str!("../../recipes/recovery.toml"),
            Self::ReachAvoid => include_str!("../../recipes/reach-avoid.toml"),
            Self::Rays => "",
        }
    }
}
