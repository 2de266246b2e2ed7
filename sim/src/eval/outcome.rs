//! How an episode ends, and what is measured on the way (docs/concepts/evaluation.md).

use std::fmt;

use nalgebra::{Point2, Point3};
use robots::{ContactClass, Robot};
use serde::{Deserialize, Serialize};

use crate::engine::PhysicsState;

/// How an episode ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// At the goal at the end of the episode, and no collision.
    Reach,
    /// A body touched what it must not touch, or the robot fell.
    Collision,
    /// Neither.
    #[serde(rename = "time-out")] // As in the files so far; words: allow.
    Timeout,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reach => "reach",
            Self::Collision => "collision",
            Self::Timeout => "timeout",
        })
    }
}

/// The first collision of an episode.
#[derive(Clone, Debug, PartialEq)]
pub struct Collision {
    /// End of the policy step in which it happened, s.
    pub time_s: f32,
    /// Class of the body that touched.
    pub class: ContactClass,
    /// The body, e.g. `base`, `FL thigh`.
    pub body: String,
    /// Position of the base, m.
    pub position_world: Point3<f32>,
}

/// The way to where the robot first was at the goal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrival {
    /// Since the start of the episode, s.
    pub time_s: f32,
    /// Length of the path over that of the straight line, both up to the reach distance.
    pub path_ratio: f32,
}

/// Follows one episode.
#[derive(Clone, Debug)]
pub(super) struct OutcomeTracker {
    goal: Point2<f32>,
    reach_m: f32,
    /// Length of the straight line from the start, up to the reach distance.
    straight_m: f32,
    position_world: Point2<f32>,
    path_m: f32,
    arrival: Option<Arrival>,
    /// Sum and number of the speeds while on the way.
    speed_sum_mps: f64,
    steps_on_the_way: usize,
    peak_speed_mps: f32,
    distance_m: f32,
    collision: Option<Collision>,
}

impl OutcomeTracker {
    pub(super) fn new(start: Point2<f32>, goal: Point2<f32>, reach_m: f32) -> Self {
        Self {
            goal,
            reach_m,
            straight_m: (goal - start).norm() - reach_m,
            position_world: start,
            path_m: 0.0,
            arrival: None,
            speed_sum_mps: 0.0,
            steps_on_the_way: 0,
            peak_speed_mps: 0.0,
            distance_m: f32::INFINITY,
            collision: None,
        }
    }

    /// Takes the state after a policy step that ended at `time_s`. The first collision is final.
    pub(super) fn observe(&mut self, robot: &Robot, physics: &PhysicsState, time_s: f32) {
        let position_world = physics.position_world.xy();
        self.distance_m = (position_world - self.goal).norm();
        self.path_m += (position_world - self.position_world).norm();
        self.position_world = position_world;
        if self.distance_m < self.reach_m && self.straight_m > 0.0 {
            self.arrival.get_or_insert(Arrival {
                time_s,
                path_ratio: self.path_m / self.straight_m,
            });
        }
        let speed_mps = physics.linear_velocity_world.xy().norm();
        if self.distance_m > self.reach_m {
            self.speed_sum_mps += f64::from(speed_mps);
            self.steps_on_the_way += 1;
            self.peak_speed_mps = self.peak_speed_mps.max(speed_mps);
        }
        if self.collision.is_none()
            && let Some(body) = physics.collision()
        {
            self.collision = Some(Collision {
                time_s,
                class: body.class,
                body: body.name(robot),
                position_world: physics.position_world,
            });
        }
    }

    /// The simulation failed, of which no better result may come than a collision.
    pub(super) fn fail(&mut self, position_world: Point3<f32>, time_s: f32) {
        self.collision = Some(Collision {
            time_s,
            class: ContactClass::Base,
            body: "simulation failed".to_owned(),
            position_world,
        });
    }

    /// Mean horizontal speed while farther from the goal than the reach distance, m/s.
    pub(super) fn mean_speed_mps(&self) -> f32 {
        (self.speed_sum_mps / self.steps_on_the_way.max(1) as f64) as f32
    }

    /// Largest such speed, m/s.
    pub(super) fn peak_speed_mps(&self) -> f32 {
        self.peak_speed_mps
    }

    /// Nothing if it never arrived, or started there.
    pub(super) fn arrival(&self) -> Option<Arrival> {
        self.arrival
    }

    /// Distance to the goal, m.
    pub(super) fn distance_m(&self) -> f32 {
        self.distance_m
    }

    pub(super) fn collision(&self) -> Option<&Collision> {
        self.collision.as_ref()
    }

    pub(super) fn into_collision(self) -> Option<Collision> {
        self.collision
    }

    /// The outcome, if the episode ended now.
    pub(super) fn outcome(&self) -> Outcome {
        if self.collision.is_some() {
            Outcome::Collision
        } else if self.distance_m < self.reach_m {
            Outcome::Reach
        } else {
            Outcome::Timeout
        }
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::{Point3, Vector3};

    use super::*;

    fn state(robot: &Robot, x_m: f32, speed_mps: f32) -> PhysicsState {
        let mut physics = PhysicsState::zero(robot);
        physics.position_world = Point3::new(x_m, 0.0, 0.3);
        // Upward speed does not count.
        physics.linear_velocity_world = Vector3::new(0.6 * speed_mps, -0.8 * speed_mps, 5.0);
        physics
    }

    fn tracker() -> OutcomeTracker {
        OutcomeTracker::new(Point2::origin(), Point2::new(7.0, 0.0), 0.65)
    }

    #[test]
    fn being_near_the_goal_at_the_end_is_reach_and_passing_it_is_not() {
        let robot = Robot::load("go1").unwrap();
        let mut tracker = tracker();
        tracker.observe(&robot, &state(&robot, 6.36, 1.0), 0.02);
        assert_eq!(tracker.outcome(), Outcome::Reach);
        tracker.observe(&robot, &state(&robot, 7.66, 1.0), 0.04);
        assert_eq!(tracker.outcome(), Outcome::Timeout);
        assert_eq!(tracker.collision(), None);
    }

    #[test]
    fn speeds_are_horizontal_and_counted_on_the_way_only() {
        let robot = Robot::load("go1").unwrap();
        let mut tracker = tracker();
        for (x_m, speed_mps) in [(0.0, 1.0), (3.0, 4.0), (5.0, 2.5), (6.9, 9.0)] {
            tracker.observe(&robot, &state(&robot, x_m, speed_mps), 0.0);
        }
        assert!((tracker.mean_speed_mps() - 2.5).abs() < 1e-6);
        assert!((tracker.peak_speed_mps() - 4.0).abs() < 1e-6);
    }

    #[test]
    fn the_path_counts_up_to_the_first_arrival() {
        let robot = Robot::load("go1").unwrap();
        let mut tracker = tracker();
        for (time_s, [x_m, y_m]) in [
            (1.0, [3.0, 4.0]),
            (2.0, [6.0, 0.0]),
            (2.2, [6.4, 0.0]),
            (3.0, [8.0, 0.0]),
            (4.0, [7.0, 0.0]),
        ] {
            assert_eq!(tracker.arrival().is_some(), time_s > 2.2);
            let mut physics = state(&robot, x_m, 1.0);
            physics.position_world.y = y_m;
            tracker.observe(&robot, &physics, time_s);
        }
        let arrival = tracker.arrival().unwrap();
        assert!((arrival.time_s - 2.2).abs() < 1e-6);
        // 5 m, 5 m and 0.4 m instead of the 6.35 m of the straight line.
        assert!((arrival.path_ratio - 10.4 / 6.35).abs() < 1e-5);
        // Who starts at the goal has no way.
        let mut there = OutcomeTracker::new(Point2::origin(), Point2::new(0.5, 0.0), 0.65);
        there.observe(&robot, &state(&robot, 0.1, 0.0), 0.02);
        assert_eq!(there.arrival(), None);
    }

    #[test]
    fn every_body_counts_above_its_force_and_the_first_collision_is_final() {
        let robot = Robot::load("go1").unwrap();
        let touch = |change: fn(&mut PhysicsState)| {
            let mut physics = state(&robot, 6.9, 0.0);
            change(&mut physics);
            let mut tracker = tracker();
            tracker.observe(&robot, &physics, 1.0);
            tracker.observe(&robot, &state(&robot, 6.9, 0.0), 2.0);
            tracker
                .collision()
                .map(|c| (c.class, c.body.clone(), c.time_s))
        };
        let found = |class, body: &str| Some((class, body.to_owned(), 1.0));
        assert_eq!(
            touch(|p| p.base_force_n = 1.1),
            found(ContactClass::Base, "base")
        );
        assert_eq!(touch(|p| p.base_force_n = 0.9), None);
        assert_eq!(
            touch(|p| p.thigh_force_n[3] = 1.1),
            found(ContactClass::Thigh, "RR thigh")
        );
        assert_eq!(
            touch(|p| p.calf_force_n[2] = 1.1),
            found(ContactClass::Calf, "RL calf")
        );
        assert_eq!(
            touch(|p| p.foot_horizontal_excess_n = 10.1),
            found(ContactClass::Foot, "foot")
        );
        assert_eq!(touch(|p| p.foot_horizontal_excess_n = 9.9), None);
    }

    #[test]
    fn a_collision_is_not_undone_by_reaching_the_goal() {
        let robot = Robot::load("go1").unwrap();
        let mut tracker = tracker();
        let mut physics = state(&robot, 6.9, 0.0);
        physics.calf_force_n[0] = 2.0;
        tracker.observe(&robot, &physics, 0.02);
        tracker.observe(&robot, &state(&robot, 6.9, 0.0), 0.04);
        assert_eq!(tracker.outcome(), Outcome::Collision);
    }
}
