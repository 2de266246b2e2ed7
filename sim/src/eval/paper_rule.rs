//! The collision rule of the paper's authors (docs/concepts/evaluation.md), beside ours.

use nalgebra::Vector3;
use robots::{FootVec, Robot};

use super::Outcome;
use crate::{
    engine::{CONTACT_FORCE_N, PhysicsState, is_pushed_sideways},
    scene::Obstacle,
};

/// A contact counts only where an obstacle is nearer than this to the base, from its outline seen from above, m: 0.95 m from
/// the centre of the paper's cylinders.
const NEAR_M: f32 = 0.95 - 0.4;
/// A contact counts only where the base is faster than this over the ground, m/s.
const FAST_MPS: f32 = 0.5;

/// Follows one episode by the authors' rule.
#[derive(Clone, Debug)]
pub(super) struct PaperRule {
    /// Whether each leg is in front.
    is_front: FootVec<bool>,
    /// A front foot was pushed sideways in this policy step.
    front_foot_pushed: bool,
    collided: bool,
    is_over: bool,
    distance_m: f32,
}

impl PaperRule {
    pub(super) fn new(robot: &Robot) -> Self {
        let hips = robot.legs.iter().map(|leg| leg.joints.first());
        Self {
            is_front: hips
                .map(|hip| hip.is_some_and(|hip| hip.origin.translation.x > 0.0))
                .collect(),
            front_foot_pushed: false,
            collided: false,
            is_over: false,
            distance_m: f32::INFINITY,
        }
    }

    /// Takes the forces of a physics step.
    pub(super) fn physics_stepped(&mut self, physics: &PhysicsState) {
        let mut feet = self.is_front.iter().zip(&physics.foot_force_world);
        self.front_foot_pushed |=
            feet.any(|(front, force): (_, &Vector3<f32>)| *front && is_pushed_sideways(force));
    }

    /// Takes the state after a policy step that ended at `time_s`, at this distance to the goal.
    pub(super) fn stepped(
        &mut self,
        physics: &PhysicsState,
        obstacles: &[Obstacle],
        time_s: f32,
        distance_m: f32,
    ) {
        let front_touches = |forces_n: &FootVec<f32>| {
            let mut legs = self.is_front.iter().zip(forces_n);
            legs.any(|(front, force_n)| *front && *force_n > CONTACT_FORCE_N)
        };
        let touches = physics.base_touches()
            || front_touches(&physics.thigh_force_n)
            || front_touches(&physics.calf_force_n)
            || self.front_foot_pushed;
        let is_near = |obstacle: &Obstacle| {
            // Where the obstacle was at the start, the base has moved the other way.
            let moved = obstacle.position_at(time_s) - obstacle.position_world;
            obstacle.footprint_distance_m(&(physics.position_world - moved).xy()) < NEAR_M
        };
        let is_fast = physics.linear_velocity_world.xy().norm() > FAST_MPS;
        self.front_foot_pushed = false;
        self.distance_m = distance_m;
        self.collided |= touches && is_fast && obstacles.iter().any(is_near);
        // A robot that lies on its trunk goes nowhere.
        self.is_over |= self.collided || physics.base_touches();
    }

    /// The simulation failed.
    pub(super) fn fail(&mut self) {
        self.collided = true;
        self.is_over = true;
    }

    /// Whether the episode has ended before its time.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// The outcome, if the episode ended now.
    pub(super) fn outcome(&self, reach_m: f32) -> Outcome {
        if self.collided {
            Outcome::Collision
        } else if self.distance_m < reach_m {
            Outcome::Reach
        } else {
            Outcome::Timeout
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At 1 m/s, `beside_m` beside the centre of a cylinder of the paper.
    fn running(robot: &Robot, beside_m: f32) -> (PhysicsState, Vec<Obstacle>) {
        let mut physics = PhysicsState::zero(robot);
        physics.linear_velocity_world.x = 1.0;
        (physics, vec![Obstacle::cylinder(0.0, beside_m, 0.4, 1.0)])
    }

    fn outcome(robot: &Robot, beside_m: f32, change: fn(&mut PhysicsState)) -> (Outcome, bool) {
        let (mut physics, obstacles) = running(robot, beside_m);
        change(&mut physics);
        let mut rule = PaperRule::new(robot);
        rule.physics_stepped(&physics);
        rule.stepped(&physics, &obstacles, 0.02, 3.0);
        (rule.outcome(0.65), rule.is_over())
    }

    #[test]
    fn front_legs_and_base_count_and_rear_legs_do_not() {
        let robot = Robot::load("go1").unwrap();
        let touched = (Outcome::Collision, true);
        let went_on = (Outcome::Timeout, false);
        let near = |change| outcome(&robot, 0.9, change);
        assert_eq!(near(|_| ()), went_on);
        assert_eq!(near(|p| p.base_force_n = 1.1), touched);
        assert_eq!(near(|p| p.thigh_force_n[1] = 1.1), touched);
        assert_eq!(near(|p| p.calf_force_n[0] = 1.1), touched);
        assert_eq!(near(|p| p.thigh_force_n[2] = 50.0), went_on);
        assert_eq!(near(|p| p.calf_force_n[3] = 50.0), went_on);
        assert_eq!(near(|p| p.foot_force_world[1].x = 11.0), touched);
        assert_eq!(near(|p| p.foot_force_world[2].x = 50.0), went_on);
    }

    #[test]
    fn contacts_count_near_an_obstacle_and_at_speed_only() {
        let robot = Robot::load("go1").unwrap();
        let calf = |p: &mut PhysicsState| p.calf_force_n[0] = 5.0;
        assert_eq!(outcome(&robot, 0.94, calf).0, Outcome::Collision);
        assert_eq!(outcome(&robot, 0.96, calf).0, Outcome::Timeout);
        let slow = |p: &mut PhysicsState| {
            p.calf_force_n[0] = 5.0;
            p.linear_velocity_world.x = 0.49;
        };
        assert_eq!(outcome(&robot, 0.9, slow), (Outcome::Timeout, false));
        // A robot that fell over far from obstacles has not collided, and goes nowhere.
        let fallen = |p: &mut PhysicsState| p.base_force_n = 5.0;
        assert_eq!(outcome(&robot, 2.0, fallen), (Outcome::Timeout, true));
    }

    #[test]
    fn a_moving_obstacle_is_near_where_it_is_then() {
        let robot = Robot::load("go1").unwrap();
        let (mut physics, mut obstacles) = running(&robot, 3.0);
        obstacles[0].velocity_world.y = -1.0;
        physics.calf_force_n[0] = 5.0;
        let mut rule = PaperRule::new(&robot);
        rule.stepped(&physics, &obstacles, 2.0, 3.0);
        assert_eq!(rule.outcome(0.65), Outcome::Timeout);
        rule.stepped(&physics, &obstacles, 2.1, 3.0);
        assert_eq!(rule.outcome(0.65), Outcome::Collision);
    }

    #[test]
    fn a_push_counts_in_any_physics_step_of_its_policy_step_alone() {
        let robot = Robot::load("go1").unwrap();
        let (calm, obstacles) = running(&robot, 0.9);
        let mut pushed = calm.clone();
        pushed.foot_force_world[0].y = -20.0;
        let mut rule = PaperRule::new(&robot);
        rule.physics_stepped(&pushed);
        rule.physics_stepped(&calm);
        let mut slow = calm.clone();
        slow.linear_velocity_world.x = 0.0;
        rule.stepped(&slow, &obstacles, 0.02, 0.5);
        rule.physics_stepped(&calm);
        rule.stepped(&calm, &obstacles, 0.04, 0.5);
        assert_eq!(rule.outcome(0.65), Outcome::Reach);
        rule.physics_stepped(&pushed);
        rule.physics_stepped(&calm);
        rule.stepped(&calm, &obstacles, 0.06, 0.5);
        assert_eq!(rule.outcome(0.65), Outcome::Collision);
    }
}
