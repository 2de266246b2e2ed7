//! The observations of the paper's three networks.

use super::{ObservationTerm, Quantity};
use crate::rays::RaySpec;

/// Agile policy: 61 numbers for a quadruped with 12 joints and 11 rays (the paper's).
pub fn agile(rays: &RaySpec) -> Vec<ObservationTerm> {
    use Quantity::*;
    let own = [
        FootContact,
        AngularVelocityBase,
        ProjectedGravityBase,
        GoalPosition,
        GoalHeading,
        TimeLeft,
        JointPosition,
        JointVelocity,
        PreviousAction,
    ];
    own.into_iter().map(Into::into).chain(scans(rays)).collect()
}

/// Recovery policy: 49 numbers for a quadruped (the paper's).
pub fn recovery() -> Vec<ObservationTerm> {
    use Quantity::*;
    [
        FootContact,
        AngularVelocityBase,
        ProjectedGravityBase,
        TwistCommand,
        JointPosition,
        JointVelocity,
        PreviousAction,
    ]
    .map(Into::into)
    .to_vec()
}

/// Reach-avoid value: 19 numbers with 11 rays; of the twist it observes v_x, v_y and w_z alone (the paper's).
pub fn reach_avoid(rays: &RaySpec) -> Vec<ObservationTerm> {
    use Quantity::*;
    let twist = [
        ObservationTerm::from(LinearVelocityBase).with_mask(&[true, true, false]),
        ObservationTerm::from(AngularVelocityBase).with_mask(&[false, false, true]),
        GoalPosition.into(),
    ];
    twist.into_iter().chain(scans(rays)).collect()
}

/// The scan of this policy step, and the previous one where there is one.
fn scans(rays: &RaySpec) -> impl Iterator<Item = ObservationTerm> {
    let previous = (rays.previous_steps > 0).then_some(Quantity::PreviousLogRays);
    [Quantity::LogRays]
        .into_iter()
        .chain(previous)
        .map(Into::into)
}
