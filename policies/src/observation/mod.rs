//! Observations: the quantities, the terms a network observes them by, and the layout of its input.
//!
//! Simulator, controller, bundles and documentation all read what a network observes, in which order, unit and scale, from here.

mod history;
mod layout;
mod quantity;
mod term;
pub mod terms;

pub use history::FrameHistory;
pub use layout::Layout;
pub use quantity::{MAX_EPISODE_S, Quantity, QuantitySpec, REALITY_DIM, Width};
pub use term::{MAX_HISTORY, ObservationTerm, TermError};

use robots::RobotState;

use crate::policy::{GoalYaw, Twist};

/// Everything that an observation is made of at one policy step. Slices have the lengths of the robot and rays that
/// the [`Layout`] was made for.
#[derive(Clone, Copy, Debug)]
pub struct ObservationInput<'a> {
    /// State of the robot; its `foot_contact` is not used, see below.
    pub state: &'a RobotState,
    /// Per foot: contact now or at the previous policy step. The caller forms the disjunction.
    pub foot_contact: &'a [bool],
    /// The goal in the yaw frame.
    pub goal: GoalYaw,
    /// Time left in the episode, s.
    pub time_left_s: f32,
    /// Twist command, for layouts that have one.
    pub twist: Twist,
    /// Clipped action of the previous policy step, zeros at the start.
    pub previous_action: &'a [f32],
    /// Ray distances, m; clipped to the range of the [`RaySpec`](crate::RaySpec) here.
    pub ray_distance_m: &'a [f32],
    /// Ray distances of the previous scan, m, for layouts that have one; clipped like the others.
    pub previous_ray_distance_m: &'a [f32],
    /// [`Quantity::Reality`], [`REALITY_DIM`] numbers; empty where nobody knows it.
    pub reality: &'a [f32],
}

#[cfg(test)]
mod tests;
