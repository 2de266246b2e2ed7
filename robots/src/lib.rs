//! Robot models: a folder with a URDF of primitives and a `robot.toml` becomes a validated [`Robot`].
//!
//! Everything else in the workspace takes its numbers about a robot from here. Vectors over joints
//! are ordered leg by leg as in `robot.toml` (FL, FR, RL, RR; hip, thigh, calf for the quadrupeds shipped).

mod assemble;
mod description;
mod error;
mod kinematics;
mod load;
mod mass;
mod model;
mod state;

pub use error::{Problem, RobotError};
pub use model::{
    Base, CONTINUOUS_LIMIT_RAD, Camera, CollisionShape, ContactClass, Control, Foot, Joint, Leg,
    Link, Robot, Shape,
};
pub use state::{FootVec, JointTarget, JointVec, MAX_FEET, MAX_JOINTS, RobotState};
