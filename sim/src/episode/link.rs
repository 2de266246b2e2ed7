use std::{convert::Infallible, time::Duration};

use controller::{ControlInput, RobotLink};
use nalgebra::Vector3;
use policies::{Goal, GoalYaw, RayMemory, RayScan, RaySpec, rays::HeldScan};
use robots::{JointTarget, JointVec, Robot};

use crate::{
    engine::PhysicsState,
    random::{Stream, stream},
    reality::{RealityConfig, RobotReality},
    scene::{CollisionMargin, Obstacle},
    sensors::{DepthRays, RayCaster},
};

/// Rays that are predicted from depth images.
#[derive(Clone, Debug)]
struct PredictedRays {
    sensor: DepthRays,
    memory: RayMemory,
    spec: RaySpec,
    whole: RayScan,
    held: HeldScan,
}

/// The simulated robot behind the interface of a real one: what a controller observes of one robot of an engine, exactly or
/// [as a robot measures it](RealityConfig), and what it commands. The engine is stepped by the caller: [`sense`](Self::sense), a cycle of the
/// controller, a step to [`target_rad`](Self::target_rad), and again.
#[derive(Clone, Debug)]
pub struct SimLink {
    rays: RayCaster,
    /// Where rays are not exact but predicted from images.
    predicted_rays: Option<PredictedRays>,
    /// Where the robot differs from the simulation.
    reality: Option<RobotReality>,
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
    /// A link for one robot; `illusion_margin_m` as in docs/concepts/rays.md#illusion.
    pub fn new(robot: &Robot, rays: &RaySpec, illusion_margin_m: Option<f32>) -> Self {
        Self {
            rays: RayCaster::new(rays),
            predicted_rays: None,
            reality: None,
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

    /// Among obstacles that are thicker than the rays see.
    #[must_use]
    pub fn with_collision_margin(mut self, margin: CollisionMargin) -> Self {
        self.rays = self.rays.with_collision_margin(margin);
        self
    }

    /// With rays that are predicted from images; those outside of the image come from the memory.
    #[must_use]
    pub fn with_predicted_rays(
        mut self,
        sensor: DepthRays,
        memory: RayMemory,
        rays: &RaySpec,
    ) -> Self {
        self.predicted_rays = Some(PredictedRays {
            sensor,
            memory,
            spec: rays.clone(),
            whole: RayScan::default(),
            held: HeldScan::new(rays),
        });
        self
    }

    /// With what a robot meets; an ideal one meets nothing.
    #[must_use]
    pub fn with_reality(mut self, reality: &RealityConfig, robot: &Robot, rays: &RaySpec) -> Self {
        self.reality = (!reality.is_ideal()).then(|| RobotReality::new(reality, robot, rays));
        self
    }

    /// Starts an episode; `seed` is that of the illusion and of the camera's errors.
    pub fn reset(&mut self, obstacles: &[Obstacle], goal: Goal, duration_s: f32, seed: u64) {
        self.obstacles = obstacles.to_vec();
        self.duration_s = duration_s;
        self.set_goal(goal, seed);
    }

    /// Another goal among the same obstacles, with as much time.
    pub fn set_goal(&mut self, goal: Goal, seed: u64) {
        self.goal = goal;
        self.stream = stream(seed, 0);
        if let Some(reality) = &mut self.reality {
            reality.reset(seed);
        }
        if let Some(rays) = &mut self.predicted_rays {
            rays.sensor.reset(seed);
            rays.memory.reset();
            rays.held = HeldScan::new(&rays.spec);
        }
    }

    /// Takes over the state of the engine at a time of the episode.
    pub fn sense(&mut self, physics: &PhysicsState, time_s: f32) {
        self.physics.clone_from(physics);
        self.time_s = time_s;
    }

    /// The blow that falls now, once per policy step: a change of velocity, world frame, m/s.
    pub(crate) fn push(&mut self) -> Option<Vector3<f32>> {
        self.reality.as_mut()?.push(self.time_s)
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
        self.physics.write_robot_state(&mut input.state);
        let (obstacles, time_s) = (&self.obstacles, self.time_s);
        match &mut self.predicted_rays {
            None => self
                .rays
                .cast(&input.state, obstacles, time_s, &mut input.rays),
            Some(rays) => {
                let state = &input.state;
                if let Some(predicted) = rays.sensor.observe(&self.physics, obstacles, time_s) {
                    let time = Duration::from_secs_f32(time_s);
                    rays.memory
                        .complete(time, state, &predicted, &mut rays.whole);
                    rays.held.take(state, &rays.whole);
                }
                rays.held.seen_from(state, &mut input.rays);
            }
        }
        if let Some(reality) = &mut self.reality {
            reality.measure(time_s, &mut input.state);
            reality.scan(time_s, &input.state, &mut input.rays);
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
        if let Some(reality) = &self.reality {
            reality.command(&mut self.target_rad);
        }
        Ok(())
    }
}
