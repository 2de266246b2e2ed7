//! What the robot is asked to do: reach a goal, or follow a twist.

use std::f32::consts::TAU;

use nalgebra::Point2;
use robots::RobotState;
use serde::{Deserialize, Serialize};

/// Where to be at the end of the episode.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// Position on the ground in the world frame, m.
    pub position_world: Point2<f32>,
    /// Heading in the world frame, rad.
    pub heading_rad: f32,
}

/// A [`Goal`] as seen from the robot, in the yaw frame: origin at the base, x along the heading of the base, z up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GoalYaw {
    /// Forward distance, m.
    pub x_m: f32,
    /// Distance to the left, m.
    pub y_m: f32,
    /// Goal heading minus heading of the base, rad, in [-pi, pi].
    pub heading_error_rad: f32,
}

impl GoalYaw {
    /// Expresses a goal in the yaw frame of a robot.
    pub fn new(state: &RobotState, goal: &Goal) -> Self {
        let yaw_rad = state.yaw_rad();
        let (sin, cos) = yaw_rad.sin_cos();
        let dx_m = goal.position_world.x - state.position_world.x;
        let dy_m = goal.position_world.y - state.position_world.y;
        let error_rad = goal.heading_rad - yaw_rad;
        Self {
            x_m: cos * dx_m + sin * dy_m,
            y_m: cos * dy_m - sin * dx_m,
            heading_error_rad: error_rad - TAU * (error_rad / TAU).round(),
        }
    }

    /// Horizontal distance to the goal, m.
    pub fn distance_m(&self) -> f32 {
        self.x_m.hypot(self.y_m)
    }
}

/// Velocity command in the base frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Twist {
    /// Forward velocity, m/s.
    pub vx_mps: f32,
    /// Velocity to the left, m/s.
    pub vy_mps: f32,
    /// Turning rate to the left, rad/s.
    pub yaw_rate_radps: f32,
}

#[cfg(test)]
mod tests {
    use std::f32::consts::{FRAC_PI_2, PI};

    use nalgebra::{Point3, UnitQuaternion};

    use super::*;

    fn at(x_m: f32, y_m: f32, yaw_rad: f32) -> RobotState {
        RobotState {
            position_world: Point3::new(x_m, y_m, 0.3),
            orientation: UnitQuaternion::from_euler_angles(0.0, 0.0, yaw_rad),
            ..RobotState::zero(12, 4)
        }
    }

    fn goal(x_m: f32, y_m: f32, heading_rad: f32) -> Goal {
        Goal {
            position_world: Point2::new(x_m, y_m),
            heading_rad,
        }
    }

    #[track_caller]
    fn assert_goal(actual: GoalYaw, x_m: f32, y_m: f32, heading_error_rad: f32) {
        let close = |a: f32, b: f32| (a - b).abs() < 1e-5;
        assert!(
            close(actual.x_m, x_m)
                && close(actual.y_m, y_m)
                && close(actual.heading_error_rad, heading_error_rad),
            "{actual:?}"
        );
    }

    #[test]
    fn a_goal_along_world_y_is_ahead_of_a_robot_that_faces_y() {
        assert_goal(
            GoalYaw::new(&at(1.0, 2.0, FRAC_PI_2), &goal(1.0, 5.0, FRAC_PI_2)),
            3.0,
            0.0,
            0.0,
        );
        // A goal along world x is then on the right.
        assert_goal(
            GoalYaw::new(&at(1.0, 2.0, FRAC_PI_2), &goal(3.0, 2.0, 0.0)),
            0.0,
            -2.0,
            -FRAC_PI_2,
        );
    }

    #[test]
    fn heading_error_takes_the_short_way_round() {
        assert_goal(
            GoalYaw::new(&at(0.0, 0.0, 3.0), &goal(0.0, 0.0, -3.0)),
            0.0,
            0.0,
            2.0 * PI - 6.0,
        );
        assert_goal(
            GoalYaw::new(&at(0.0, 0.0, -3.0), &goal(0.0, 0.0, 3.0)),
            0.0,
            0.0,
            6.0 - 2.0 * PI,
        );
    }

    #[test]
    fn pitch_and_roll_do_not_move_the_goal() {
        let tilted = RobotState {
            orientation: UnitQuaternion::from_euler_angles(0.4, -0.3, 1.0),
            ..at(0.0, 0.0, 0.0)
        };
        let level = GoalYaw::new(&at(0.0, 0.0, 1.0), &goal(2.0, 1.0, 0.5));
        assert_goal(
            GoalYaw::new(&tilted, &goal(2.0, 1.0, 0.5)),
            level.x_m,
            level.y_m,
            level.heading_error_rad,
        );
        assert!((level.distance_m() - 5f32.sqrt()).abs() < 1e-6);
    }
}
