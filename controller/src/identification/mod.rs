//! Identification of the motors of a robot on a stand, from the control cycles of a run with an
//! [`Excitation`](crate::deploy::Excitation).
//!
//! The model of a joint, with a trunk at rest and every other joint as it was measured:
//! `kp (target(t - delay) - q) - kd dq = links(q - bias, dq, ddq) + armature ddq + damping dq + friction sign(dq)`, where
//! `links` is the inverse dynamics of the leg from its URDF. Everything on the right but the links is linear in what is
//! sought, and so is a small change of the delay: least squares, with intervals by a bootstrap over segments.

mod fit;
mod least_squares;
mod recording;
mod signals;

pub use self::recording::Recording;

/// A value, and the interval that holds it with 95% confidence, as far as the model is right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The most likely value.
    pub value: f64,
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

impl Estimate {
    /// Whether a value lies in the interval.
    pub fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// What is known of a motor.
#[derive(Clone, Debug, PartialEq)]
pub struct JointEstimate {
    /// Index of the joint.
    pub joint: usize,
    /// From a command to its torque, as the measurements show it: what they are late counts too, s.
    pub delay_s: Estimate,
    /// Inertia besides that of the links, kg·m².
    pub armature_kgm2: Estimate,
    /// Viscous friction, N·m·s/rad.
    pub damping_nms: Estimate,
    /// Coulomb friction, N·m.
    pub friction_nm: Estimate,
    /// Measured minus true position, rad, where gravity shows it.
    pub bias_rad: Option<Estimate>,
    /// Torque at which the motor saturates, N·m, where it was reached.
    pub saturation_nm: Option<Estimate>,
    /// Largest torque that was asked for, N·m.
    pub asked_nm: f64,
    /// Torque that the motor says, as a multiple of what it was asked for; `None` where it says nothing.
    pub reported_torque: Option<f64>,
    /// Torque that the model does not explain, root of the mean square, N·m.
    pub unexplained_nm: f64,
}

/// Motors that were identified.
#[derive(Clone, Debug, PartialEq)]
pub struct Identification {
    /// One per joint that was driven to the end, in the order of the joints.
    pub joints: Vec<JointEstimate>,
    /// Joints that were to be driven, and were not to the end.
    pub missing: Vec<usize>,
}

/// Why a recording shows nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum IdentificationError {
    /// The joints were not driven.
    #[error("no joint is driven in it: record one with `abs deploy --identify --log FILE.mcap`")]
    NotDriven,
    /// Not long enough.
    #[error(
        "is too short: no joint is driven to the end; the longest chirp ends after {driven_s:.1} of {chirp_s:.1} s"
    )]
    TooShort {
        /// Length of the longest chirp, s.
        driven_s: f64,
        /// Length that it should have, s.
        chirp_s: f64,
    },
    /// The trunk is not held.
    #[error(
        "the trunk turns by {radps:.2} rad/s while {joint} is driven, must be at most {most_radps}: hang the robot on a rigid stand"
    )]
    TrunkMoves {
        /// The joint.
        joint: String,
        /// Root of the mean square of its angular velocity, rad/s.
        radps: f64,
        /// Most that is allowed, rad/s.
        most_radps: f64,
    },
    /// A foot touches something.
    #[error("foot {foot} touches something while {joint} is driven: the feet must hang free")]
    Contact {
        /// Leg.
        foot: String,
        /// The joint.
        joint: String,
    },
    /// A joint carries more than its leg.
    #[error(
        "{joint} carries {torque_nm:.1} N m at rest, more than the weight of its leg: the feet must hang free"
    )]
    Loaded {
        /// The joint.
        joint: String,
        /// Torque besides that of the leg, N·m.
        torque_nm: f64,
    },
    /// Too few states.
    #[error("states come at {rate_hz:.0} Hz while {joint} is driven, must be {least_hz} or more")]
    Rate {
        /// The joint.
        joint: String,
        /// Rate of the states, Hz.
        rate_hz: f64,
        /// Least rate, Hz.
        least_hz: f64,
    },
    /// The joint did not move as the model says.
    #[error("{joint} did not move as a driven joint does: {found}")]
    Motion {
        /// The joint.
        joint: String,
        /// What is seen instead.
        found: String,
    },
}
