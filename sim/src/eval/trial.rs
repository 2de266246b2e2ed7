use robots::Robot;

use super::outcome::{Outcome, OutcomeTracker};
use crate::{engine::PhysicsState, scene::TestScene};

/// A test episode of a robot that something else controls, with the outcome that the evaluation would find. Its time begins
/// with [`observe`](Self::observe).
#[derive(Clone, Debug)]
pub struct Trial {
    outcome: OutcomeTracker,
    episode_s: f32,
    time_s: f32,
}

impl Trial {
    /// For an episode of this length; the goal counts as reached within `reach_m` of it.
    pub fn new(scene: &TestScene, episode_s: f32, reach_m: f32) -> Self {
        Self {
            outcome: OutcomeTracker::new(scene.start_world, scene.goal.position_world, reach_m),
            episode_s,
            time_s: 0.0,
        }
    }

    /// Takes the state `step_s` later than before. True when the episode is over.
    pub fn observe(&mut self, robot: &Robot, physics: &PhysicsState, step_s: f32) -> bool {
        self.time_s += step_s;
        self.outcome.observe(robot, physics, self.time_s);
        self.outcome.collision().is_some() || self.time_s >= self.episode_s
    }

    /// How it ended, if it ends now.
    pub fn outcome(&self) -> Outcome {
        self.outcome.outcome()
    }

    /// Time of the episode, s.
    pub fn time_s(&self) -> f32 {
        self.time_s
    }

    /// Distance to the goal, m.
    pub fn distance_m(&self) -> f32 {
        self.outcome.distance_m()
    }

    /// Body that collided.
    pub fn collided(&self) -> Option<&str> {
        let collision = self.outcome.collision();
        collision.map(|collision| collision.body.as_str())
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::Point3;

    use super::*;
    use crate::scene::TestbedConfig;

    #[test]
    fn an_episode_ends_with_its_time_or_with_a_collision() {
        let robot = Robot::load("go1").unwrap();
        let scene = TestScene::new(1, 0, &TestbedConfig::default()).unwrap();
        let goal = scene.goal.position_world;
        let mut physics = PhysicsState::zero(&robot);
        physics.position_world = Point3::new(goal.x + 0.5, goal.y, 0.3);

        let mut trial = Trial::new(&scene, 1.0, 0.65);
        assert!(!trial.observe(&robot, &physics, 0.5));
        assert!(trial.observe(&robot, &physics, 0.5));
        assert_eq!(trial.outcome(), Outcome::Reach);
        assert!((trial.distance_m() - 0.5).abs() < 1e-5);

        let mut trial = Trial::new(&scene, 1.0, 0.65);
        physics.base_force_n = 2.0;
        assert!(trial.observe(&robot, &physics, 0.1));
        assert_eq!(
            (trial.outcome(), trial.collided()),
            (Outcome::Collision, Some("base"))
        );
    }
}
