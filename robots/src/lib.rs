//! Robot models: a folder with a URDF of primitives and a `robot.toml` becomes a validated [`Robot`].
//!
//! Everything else in the workspace takes its numbers about a robot from here. Vectors over joints
//! are ordered leg by leg as in `robot.toml` (FL, FR, RL, RR; hip, thigh, calf for the quadrupeds shipped).
//!
//! To add a robot, put its folder beside this crate's manifest, or pass the folder's path to [`Robot::load`].
//! In the URDF, links that move need mass and inertia, collision shapes are boxes, spheres, capsules (`length` between the
//! centres of the end spheres) or cylinders (read as capsules of the same total length), and each leg is a serial chain of
//! revolute or continuous joints with a spherical foot fixed to its last link. `robot.toml` of `go1` shows every key but
//! two: `motor.effort_limit_nm` and `motor.velocity_limit_radps` replace the URDF's limits. `[camera]` may be left out.
//!
//! ```
//! use robots::Robot;
//!
//! let go1 = Robot::load("go1")?;
//! assert_eq!((go1.num_joints(), go1.num_feet()), (12, 4));
//! // Forward kinematics of the standing pose: the feet carry the base at this height.
//! let standing_rad = &go1.control.standing_position_rad;
//! assert!((0.2..0.4).contains(&go1.height_over_feet_m(standing_rad)));
//! # Ok::<(), robots::RobotError>(())
//! ```

mod assemble;
pub mod atomic_file;
pub mod bounded_file;
#[cfg(feature = "import")]
mod control_edit;
mod description;
mod dynamics;
mod error;
mod extent;
#[cfg(feature = "import")]
pub mod import;
mod kinematics;
mod load;
mod mass;
mod model;
mod soundness;
mod state;
mod tree;

pub use description::line_of;
pub use dynamics::JointMotion;
pub use error::{Problem, RobotError};
pub use extent::BoxBase;
pub use load::RobotFiles;
pub use model::{
    Base, CONTINUOUS_LIMIT_RAD, Camera, CollisionShape, ContactClass, Control, Foot, Joint, Leg,
    Link, Robot, Shape, VisualMesh,
};
pub use soundness::{Soundness, StaticLoad};
pub use state::{FootVec, JointTarget, JointVec, MAX_FEET, MAX_JOINTS, RobotState};
