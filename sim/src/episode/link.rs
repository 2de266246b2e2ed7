//! The simulated robot behind the interface of a real one.

use std::convert::Infallible;

use controller::{ControlInput, RobotLink};
use policies::{Goal, GoalYaw, RayMemory, RayScan, RaySpec};
use robots::{JointTarget, JointVec, Robot};

use crate::{
    engine::PhysicsState,
    random::{Stream, stream},
    scene::Obstacle,
    sensors::{Eyes, RayCaster},
};

/// Force above which a foot sensor reports contact, N.
const FOOT_CONTACT_N: f32 = 1.0;

/// Rays from images.
#[derive(Clone, Debug)]
struct Sight {
    eyes: Eyes,
    memory: RayMemory,
    /// What the network predicts.
    seen: RayScan,
}

/// What a controller sees of one robot of an engine, without sensor noise, and what it commands. The engine is
/// stepped by the caller: [`sense`](Self::sense), a cycle of the controller, a step to
/// [`target_rad`](Self::target_rad), and again.
#[derive(Clone, Debug)]
pub struct SimLink {
    rays: RayCaster,
    /// Where rays are not exact but predicted from images.
    eyes: Option<Sight>,
    /// Rays that end farther behind the goal than this are replaced; none with an honest scan.
    illusion_margin_m: Option<f32>,
    obstacles: Vec<Obstacle>,
    goal: Goal,
    duration_s: f32,
    stream: Stream,
    time_s: f32,
    physics: PhysicsState,
    target_rad: JointVec,
}

impl SimLink {
    /// A link for one robot; `illusion_margin_m` is that of method section 3.
    pub fn new(robot: &Robot, rays: &RaySpec, illusion_margin_m: Option<f32>) -> Self {
        Self {
            rays: RayCaster::new(rays),
            eyes: None,
            illusion_margin_m,
            obstacles: Vec::new(),
            goal: Goal {
                position_world: nalgebra::Point2::origin(),
                heading_rad: 0.0,
            },
            duration_s: 0.0,
            stream: stream(0, 0),
            time_s: 0.0,
            physics: PhysicsState::zero(robot),
            target_rad: robot
                .control
                .standing_position_rad
                .iter()
                .copied()
                .collect(),
        }
    }

    /// Among cylinders that are thicker than rays see by `margin_m`.
    #[must_use]
    pub fn with_hidden_margin(mut self, margin_m: f32) -> Self {
        self.rays = self.rays.with_hidden_margin(margin_m);
        self
    }

    /// With rays that are predicted from images; of the others, what is remembered.
    #[must_use]
    pub fn with_eyes(mut self, eyes: Option<(Eyes, RayMemory)>) -> Self {
        self.eyes = eyes.map(|(eyes, memory)| Sight {
            eyes,
            memory,
            seen: RayScan::default(),
        });
        self
    }

    /// Starts an episode; `seed` is that of the illusion and of the camera's errors.
    pub fn reset(&mut self, obstacles: &[Obstacle], goal: Goal, duration_s: f32, seed: u64) {
        self.obstacles = obstacles.to_vec();
        self.goal = goal;
        self.duration_s = duration_s;
        self.stream = stream(seed, 0);
        if let Some(sight) = &mut self.eyes {
            sight.eyes.reset(seed);
            sight.memory.reset();
        }
    }

    /// Takes over the state of the engine at a time of the episode.
    pub fn sense(&mut self, physics: &PhysicsState, time_s: f32) {
        self.physics.clone_from(physics);
        self.time_s = time_s;
    }

    /// Time of the episode, s.
    pub fn time_s(&self) -> f32 {
        self.time_s
    }

    /// Joint positions last commanded, rad.
    pub fn target_rad(&self) -> &[f32] {
        &self.target_rad
    }
}

impl RobotLink for SimLink {
    type Error = Infallible;

    fn read(&mut self, input: &mut ControlInput) -> Result<(), Infallible> {
        self.physics
            .write_robot_state(FOOT_CONTACT_N, &mut input.state);
        let (obstacles, time_s) = (&self.obstacles, self.time_s);
        match &mut self.eyes {
            None => self
                .rays
                .cast(&input.state, obstacles, time_s, &mut input.rays),
            Some(Sight { eyes, memory, seen }) => {
                eyes.look(&self.physics, obstacles, time_s, seen);
                if !seen.distance_m.is_empty() {
                    memory.complete(&input.state, seen, &mut input.rays);
                }
            }
        }
        if let Some(margin_m) = self.illusion_margin_m {
            let bound_m = GoalYaw::new(&input.state, &self.goal).distance_m() + margin_m;
            input.rays.apply_illusion(bound_m, &mut self.stream);
        }
        input.goal = self.goal;
        input.time_left_s = self.duration_s - self.time_s;
        Ok(())
    }

    /// Engines hold the robot's own gains, so only the positions are taken.
    fn write(&mut self, target: &JointTarget) -> Result<(), Infallible> {
        self.target_rad.clone_from(&target.position_rad);
        Ok(())
    }
}
