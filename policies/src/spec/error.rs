use super::SPEC_VERSION;
use crate::{observation::TermError, rays::RaySpecError};

/// Why a contract cannot be kept: one line with the place, the fault and what would be right.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SpecError {
    /// Written by another version of the program.
    #[error("version is {0}, this program reads {SPEC_VERSION}; export the bundle again")]
    Version(u32),
    /// The robot, or what runs it, is not the one that the networks were trained with.
    #[error("{what} is {found}, but the bundle was trained with {trained}")]
    Differs {
        /// What differs.
        what: String,
        /// In the bundle.
        trained: String,
        /// At hand.
        found: String,
    },
    /// A vector over joints has too few or too many entries.
    #[error("robot.{what} has {found} entries, must have {expected}, one per joint")]
    Length {
        /// The vector.
        what: &'static str,
        /// Its entries.
        found: usize,
        /// Joints.
        expected: usize,
    },
    /// A number is out of range.
    #[error("{what} is {value}, must be {right}")]
    Value {
        /// The number's key.
        what: String,
        /// What it is.
        value: f32,
        /// What would be right.
        right: &'static str,
    },
    /// Too few or too many legs or joints.
    #[error(
        "robot has {legs} legs and {joints} joints, must have 1 to {max_legs} and 1 to {max_joints}",
        max_legs = robots::MAX_FEET, max_joints = robots::MAX_JOINTS
    )]
    Size {
        /// Legs.
        legs: usize,
        /// Joints.
        joints: usize,
    },
    /// The rays are impossible.
    #[error(transparent)]
    Rays(RaySpecError),
    /// A term cannot be observed.
    #[error("networks.{role}.observations: {source}")]
    Term {
        /// Role of the network.
        role: String,
        /// What is wrong.
        source: TermError,
    },
    /// A range of twists without rest, or without bounds.
    #[error(
        "networks.{0}.twist_range must have [low, high] in each direction, low from -100 to 0, high from 0 to 100"
    )]
    TwistRange(String),
    /// No safe twist could be searched with this value.
    #[error("networks.{role} does not observe `{term}`, which the twist search changes")]
    ValueWithoutTwist {
        /// Role of the network.
        role: String,
        /// What is not observed.
        term: &'static str,
    },
    /// The bundle lacks the network that was asked for.
    #[error("bundle has no network `{role}`, it has {found}; train one or use another bundle")]
    NoNetwork {
        /// Role that was asked for.
        role: String,
        /// Roles that there are.
        found: String,
    },
    /// The weights would be read from another folder.
    #[error("networks.{role}.file is `{file}`, must be the name of a file in the bundle folder")]
    FileName {
        /// Role of the network.
        role: String,
        /// What the manifest says.
        file: String,
    },
}
