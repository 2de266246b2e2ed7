use nalgebra::Point2;
use policies::{Goal, RayScan, RaySpec};
use robots::{JointTarget, Robot, RobotState};
use serde::{Deserialize, Serialize};

/// All that the controller knows in one policy step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControlInput {
    /// State of the robot.
    pub state: RobotState,
    /// Rays, of the arrangement that the bundle was trained with.
    pub rays: RayScan,
    /// Where to go.
    pub goal: Goal,
    /// Time left to get there, s.
    pub time_left_s: f32,
}

impl ControlInput {
    /// An input for a link to write over: at rest at the origin, the goal reached, nothing in sight, no time left.
    pub fn new(robot: &Robot, rays: &RaySpec) -> Self {
        Self {
            state: RobotState::zero(robot.num_joints(), robot.num_feet()),
            rays: RayScan::clear(rays),
            goal: Goal {
                position_world: Point2::origin(),
                heading_rad: 0.0,
            },
            time_left_s: 0.0,
        }
    }
}

/// The way to a robot: simulated, recorded or real.
///
/// Both methods are called once per policy step on the control thread. They must not wait, and on a robot not
/// allocate; a link hands over the newest message that it has.
pub trait RobotLink {
    /// Why the robot cannot be reached.
    type Error: std::error::Error;

    /// Writes what is known now over `input`.
    ///
    /// # Errors
    /// When there is nothing that a command could be based on.
    fn read(&mut self, input: &mut ControlInput) -> Result<(), Self::Error>;

    /// Sends a joint target, to be held until the next.
    ///
    /// # Errors
    /// When it cannot be sent.
    fn write(&mut self, target: &JointTarget) -> Result<(), Self::Error>;
}
