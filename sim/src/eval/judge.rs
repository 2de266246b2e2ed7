//! What counts as collision, and what is measured on the way (method section 10).

use nalgebra::Point2;
use robots::{ContactClass, Robot};

use super::record::{Collision, Outcome};
use crate::engine::PhysicsState;

/// Force on base, thigh or calf that counts as collision, N.
pub(super) const CONTACT_N: f32 = 1.0;
/// Horizontal force on a foot beyond twice the vertical one that counts as collision, N.
const FOOT_EXCESS_N: f32 = 10.0;

/// Follows one episode.
#[derive(Clone, Debug)]
pub(crate) struct Judge {
    goal: Point2<f32>,
    reach_m: f32,
    /// Sum and number of the speeds while on the way.
    speed_sum_mps: f64,
    on_the_way: usize,
    pub(super) peak_speed_mps: f32,
    pub(crate) distance_m: f32,
    pub(crate) collision: Option<Collision>,
}

impl Judge {
    pub(crate) fn new(goal: Point2<f32>, reach_m: f32) -> Self {
        Self {
            goal,
            reach_m,
            speed_sum_mps: 0.0,
            on_the_way: 0,
            peak_speed_mps: 0.0,
            distance_m: f32::INFINITY,
            collision: None,
        }
    }

    /// Looks at the state after a policy step that ended at `time_s`. The first collision is final.
    pub(crate) fn see(&mut self, robot: &Robot, physics: &PhysicsState, time_s: f32) {
        self.distance_m = (physics.position_world.xy() - self.goal).norm();
        let speed_mps = physics.linear_velocity_world.xy().norm();
        if self.distance_m > self.reach_m {
            self.speed_sum_mps += f64::from(speed_mps);
            self.on_the_way += 1;
            self.peak_speed_mps = self.peak_speed_mps.max(speed_mps);
        }
        if self.collision.is_none()
            && let Some((class, body)) = touching_body(robot, physics)
        {
            self.collision = Some(Collision {
                time_s,
                class,
                body,
                position_world: physics.position_world,
            });
        }
    }

    pub(super) fn mean_speed_mps(&self) -> f32 {
        (self.speed_sum_mps / self.on_the_way.max(1) as f64) as f32
    }

    /// The outcome, if the episode ended now.
    pub(crate) fn outcome(&self) -> Outcome {
        if self.collision.is_some() {
            Outcome::Collision
        } else if self.distance_m < self.reach_m {
            Outcome::Reach
        } else {
            Outcome::TimeOut
        }
    }
}

/// The first body that touched something other than the ground under its feet; every leg counts.
pub(crate) fn touching_body(
    robot: &Robot,
    physics: &PhysicsState,
) -> Option<(ContactClass, String)> {
    if physics.base_force_n > CONTACT_N {
        return Some((ContactClass::Base, "base".to_owned()));
    }
    for (class, name, forces) in [
        (ContactClass::Thigh, "thigh", &physics.thigh_force_n),
        (ContactClass::Calf, "calf", &physics.calf_force_n),
    ] {
        let mut legs = robot.legs.iter().zip(forces);
        if let Some((leg, _)) = legs.find(|(_, force)| **force > CONTACT_N) {
            return Some((class, format!("{} {name}", leg.name)));
        }
    }
    (physics.foot_horizontal_excess_n > FOOT_EXCESS_N)
        .then(|| (ContactClass::Foot, "foot".to_owned()))
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

    fn judge() -> Judge {
        Judge::new(Point2::new(7.0, 0.0), 0.65)
    }

    #[test]
    fn being_near_the_goal_at_the_end_is_reach_and_passing_it_is_not() {
        let robot = Robot::load("go1").unwrap();
        let mut judge = judge();
        judge.see(&robot, &state(&robot, 6.36, 1.0), 0.02);
        assert_eq!(judge.outcome(), Outcome::Reach);
        judge.see(&robot, &state(&robot, 7.66, 1.0), 0.04);
        assert_eq!(judge.outcome(), Outcome::TimeOut);
        assert_eq!(judge.collision, None);
    }

    #[test]
    fn speeds_are_horizontal_and_counted_on_the_way_only() {
        let robot = Robot::load("go1").unwrap();
        let mut judge = judge();
        for (x_m, speed_mps) in [(0.0, 1.0), (3.0, 4.0), (5.0, 2.5), (6.9, 9.0)] {
            judge.see(&robot, &state(&robot, x_m, speed_mps), 0.0);
        }
        assert!((judge.mean_speed_mps() - 2.5).abs() < 1e-6);
        assert!((judge.peak_speed_mps - 4.0).abs() < 1e-6);
    }

    #[test]
    fn every_body_counts_above_its_force_and_the_first_collision_is_final() {
        let robot = Robot::load("go1").unwrap();
        let touch = |change: fn(&mut PhysicsState)| {
            let mut physics = state(&robot, 6.9, 0.0);
            change(&mut physics);
            let mut judge = judge();
            judge.see(&robot, &physics, 1.0);
            judge.see(&robot, &state(&robot, 6.9, 0.0), 2.0);
            judge.collision.map(|c| (c.class, c.body, c.time_s))
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
        let mut judge = judge();
        let mut physics = state(&robot, 6.9, 0.0);
        physics.calf_force_n[0] = 2.0;
        judge.see(&robot, &physics, 0.02);
        judge.see(&robot, &state(&robot, 6.9, 0.0), 0.04);
        assert_eq!(judge.outcome(), Outcome::Collision);
    }
}
