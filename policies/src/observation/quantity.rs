//! The one observation table: what can be observed, in which unit, frame and scale, and how noisy it is in training.

use serde::{Deserialize, Serialize};

/// Longest episode: the time left is observed as a fraction of it, s.
pub const MAX_EPISODE_S: f32 = 9.0;

/// A quantity that a network observes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// +1 for a foot with contact now or at the previous policy step, else -1.
    FootContact,
    /// Linear velocity of the base.
    LinearVelocityBase,
    /// Angular velocity of the base.
    AngularVelocityBase,
    /// Direction of gravity.
    ProjectedGravityBase,
    /// Goal position x, y.
    GoalPosition,
    /// Goal heading minus base heading.
    GoalHeading,
    /// Distance and bearing of the goal.
    GoalPolar,
    /// Time left in the episode.
    TimeLeft,
    /// Twist command v_x, v_y, w_z.
    TwistCommand,
    /// Joint positions minus default joint positions.
    JointPosition,
    /// Joint velocities.
    JointVelocity,
    /// The clipped action of the previous policy step.
    PreviousAction,
    /// Base-2 logarithm of the ray distances.
    LogRays,
    /// The same of a previous scan, compensated for the motion of the robot since then.
    PreviousLogRays,
    /// In what the robot of the episode differs from others: delays, rays, ground, mass, motors. For critics alone: no robot
    /// knows it.
    Reality,
}

/// Numbers of [`Quantity::Reality`].
pub const REALITY_DIM: usize = 10;

/// How many numbers a quantity has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// The same for every robot.
    Fixed(usize),
    /// One per foot.
    PerFoot,
    /// One per joint.
    PerJoint,
    /// One per ray.
    PerRay,
}

/// A row of the observation table: observed value = scale * quantity in `unit`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantitySpec {
    /// Name in bundles and in the documentation.
    pub name: &'static str,
    /// How many numbers.
    pub width: Width,
    /// Unit before scaling.
    pub unit: &'static str,
    /// Frame of reference, empty where there is none.
    pub frame: &'static str,
    /// Factor from `unit` to the observed value.
    pub scale: f32,
    /// Half-width of the uniform sensor noise in training, in `unit`.
    pub noise_half_width: f32,
}

impl Quantity {
    /// How the quantity is computed, for those who have only this text. Names in backticks are those of the contract.
    pub const fn how(self) -> &'static str {
        match self {
            Self::FootContact => {
                "per leg: +1 if the foot touches something (more than 1 N) now or did at the previous policy step, else -1"
            }
            Self::LinearVelocityBase => "velocity of the origin of the base",
            Self::AngularVelocityBase => "angular velocity of the base",
            Self::ProjectedGravityBase => {
                "the unit vector that points down, (0, 0, -1) in the world frame"
            }
            Self::GoalPosition => "x and y of the goal minus those of the base",
            Self::GoalHeading => {
                "heading of the goal minus heading of the base, within -pi and pi; headings are those of the x axis, from above"
            }
            Self::GoalPolar => "distance to the goal, and its bearing, positive to the left",
            Self::TimeLeft => "time after which the robot is to be at the goal",
            Self::TwistCommand => "v_x, v_y and w_z that the robot is to follow",
            Self::JointPosition => "position of each joint minus its `default_position_rad`",
            Self::JointVelocity => "velocity of each joint",
            Self::PreviousAction => {
                "`action` of the previous policy step, of whichever policy acted; zeros at the start"
            }
            Self::LogRays => {
                "log2 of the distance of each ray in m, clamped to `min_m` and `max_m` before"
            }
            Self::PreviousLogRays => {
                "log2 of the scan of `previous_steps` policy steps ago, as it would look from the present pose had nothing moved, clamped likewise: \
                 the points that it hit, seen from here, shorten the ray nearest to their bearing; so does the line between neighbouring hits that are nearer to each other than \
                 2 * (angle between rays) * (their distance); all other rays have `max_m`. At the start it is the present scan, then the earliest there is"
            }
            Self::Reality => "what only a simulation knows",
        }
    }

    /// The row of this quantity (values of ABS, arXiv 2401.17583).
    pub const fn spec(self) -> QuantitySpec {
        use Width::{Fixed, PerFoot, PerJoint, PerRay};
        let (name, width, unit, frame, scale, noise_half_width) = match self {
            Self::FootContact => ("foot-contact", PerFoot, "±1", "", 1.0, 0.0),
            Self::LinearVelocityBase => ("linear-velocity-base", Fixed(3), "m/s", "base", 1.0, 0.0),
            Self::AngularVelocityBase => {
                ("angular-velocity-base", Fixed(3), "rad/s", "base", 1.0, 0.2)
            }
            Self::ProjectedGravityBase => {
                ("projected-gravity-base", Fixed(3), "1", "base", 1.0, 0.05)
            }
            Self::GoalPosition => ("goal-position", Fixed(2), "m", "yaw", 1.0, 0.0),
            Self::GoalHeading => ("goal-heading", Fixed(1), "rad", "yaw", 1.0, 0.0),
            Self::GoalPolar => ("goal-polar", Fixed(2), "m, rad", "yaw", 1.0, 0.0),
            Self::TimeLeft => ("time-left", Fixed(1), "s", "", 1.0 / MAX_EPISODE_S, 0.0),
            Self::TwistCommand => ("twist-command", Fixed(3), "m/s, rad/s", "base", 1.0, 0.0),
            Self::JointPosition => ("joint-position", PerJoint, "rad", "joint", 1.0, 0.01),
            Self::JointVelocity => ("joint-velocity", PerJoint, "rad/s", "joint", 0.2, 1.5),
            Self::PreviousAction => ("previous-action", PerJoint, "1", "joint", 1.0, 0.0),
            Self::LogRays => ("log-rays", PerRay, "log2(m)", "yaw", 1.0, 0.2),
            Self::PreviousLogRays => ("previous-log-rays", PerRay, "log2(m)", "yaw", 1.0, 0.1),
            Self::Reality => ("reality", Fixed(REALITY_DIM), "1", "", 1.0, 0.0),
        };
        QuantitySpec {
            name,
            width,
            unit,
            frame,
            scale,
            noise_half_width,
        }
    }
}
