use serde::{Deserialize, Serialize};

/// What the robot is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// All joints are damped: the robot lies, or sinks down. The state at the start.
    #[default]
    Damping,
    /// Moves to the standing pose.
    StandUp,
    /// Holds the standing pose.
    Ready,
    /// The controller runs to the goal.
    Run,
    /// Moves down to the ground, then damps.
    LieDown,
    /// All joints are damped because of a fault, until the operator stops.
    Fault,
}
