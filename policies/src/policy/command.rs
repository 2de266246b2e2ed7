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

impl Twist {
    /// Whether all of it are numbers.
    pub fn is_finite(&self) -> bool {
        let Self {
            vx_mps,
            vy_mps,
            yaw_rate_radps,
        } = self;
        [vx_mps, vy_mps, yaw_rate_radps]
            .into_iter()
            .all(|part| part.is_finite())
    }
}

/// The twists that a policy was trained to follow, each [low, high] with rest in between.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwistRange {
    /// Forward velocity, m/s.
    pub vx_mps: [f32; 2],
    /// Velocity to the left, m/s.
    pub vy_mps: [f32; 2],
    /// Turning rate to the left, rad/s.
    pub yaw_rate_radps: [f32; 2],
}

impl Default for TwistRange {
    /// Slow enough for any policy, where a bundle does not tell.
    fn default() -> Self {
        Self::symmetric(Twist {
            vx_mps: 0.5,
            vy_mps: 0.3,
            yaw_rate_radps: 1.0,
        })
    }
}

impl TwistRange {
    /// Up to `limit` in both directions.
    pub fn symmetric(limit: Twist) -> Self {
        let both = |limit: f32| [-limit, limit];
        Self {
            vx_mps: both(limit.vx_mps),
            vy_mps: both(limit.vy_mps),
            yaw_rate_radps: both(limit.yaw_rate_radps),
        }
    }

    /// Whether rest is within the range, and nothing in it is faster than 100 m/s or rad/s.
    pub fn is_valid(&self) -> bool {
        [self.vx_mps, self.vy_mps, self.yaw_rate_radps]
            .iter()
            .all(|[low, high]| (-100.0..=0.0).contains(low) && (0.0..=100.0).contains(high))
    }

    /// The part of this range that is in another, too.
    #[must_use]
    pub fn within(&self, other: &Self) -> Self {
        self.zip(other, |[low, high], [other_low, other_high]| {
            [low.max(other_low), high.min(other_high)]
        })
    }

    /// The nearest twist of the range.
    pub fn clamp(&self, twist: Twist) -> Twist {
        let clamp = |value: f32, [low, high]: [f32; 2]| value.max(low).min(high);
        Twist {
            vx_mps: clamp(twist.vx_mps, self.vx_mps),
            vy_mps: clamp(twist.vy_mps, self.vy_mps),
            yaw_rate_radps: clamp(twist.yaw_rate_radps, self.yaw_rate_radps),
        }
    }

    /// The twist at these fractions of the range, each in [-1, 1]: 0 is rest, 1 the highest, -1 the lowest.
    pub fn at(&self, [vx, vy, yaw_rate]: [f32; 3]) -> Twist {
        let at = |fraction: f32, [low, high]: [f32; 2]| match fraction < 0.0 {
            true => -fraction * low,
            false => fraction * high,
        };
        Twist {
            vx_mps: at(vx, self.vx_mps),
            vy_mps: at(vy, self.vy_mps),
            yaw_rate_radps: at(yaw_rate, self.yaw_rate_radps),
        }
    }

    fn zip(&self, other: &Self, with: impl Fn([f32; 2], [f32; 2]) -> [f32; 2]) -> Self {
        Self {
            vx_mps: with(self.vx_mps, other.vx_mps),
            vy_mps: with(self.vy_mps, other.vy_mps),
            yaw_rate_radps: with(self.yaw_rate_radps, other.yaw_rate_radps),
        }
    }
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
    fn a_range_of_twists_reaches_to_its_ends_and_not_beyond() {
        let range = TwistRange {
            vx_mps: [-1.0, 2.0],
            vy_mps: [-0.8, 0.8],
            yaw_rate_radps: [-2.0, 2.0],
        };
        let twist = |vx_mps, vy_mps, yaw_rate_radps| Twist {
            vx_mps,
            vy_mps,
            yaw_rate_radps,
        };
        assert_eq!(range.at([1.0, -1.0, 0.5]), twist(2.0, -0.8, 1.0));
        assert_eq!(range.at([-1.0, 0.0, 0.0]), twist(-1.0, 0.0, 0.0));
        assert_eq!(range.clamp(twist(9.0, -9.0, 0.3)), twist(2.0, -0.8, 0.3));
        let slow = range.within(&TwistRange::symmetric(twist(0.5, 1.0, 1.0)));
        assert_eq!(slow.vx_mps, [-0.5, 0.5]);
        assert_eq!(slow.vy_mps, [-0.8, 0.8]);
        assert!(slow.is_valid() && TwistRange::default().is_valid());
        for vx_mps in [[0.1, 1.0], [-1.0, f32::NAN], [f32::NEG_INFINITY, 0.0]] {
            assert!(!TwistRange { vx_mps, ..range }.is_valid(), "{vx_mps:?}");
        }
        assert!(!twist(0.0, f32::NAN, 0.0).is_finite());
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
