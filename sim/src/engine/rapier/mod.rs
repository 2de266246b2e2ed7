//! The reference engine: one rapier multibody in reduced coordinates per robot, each in a world of its own.

mod contacts;
mod convert;
mod model;
mod motor;
mod shapes;
mod snapshot;
mod terrain;
mod world;

use std::{ops::Range, sync::Arc};

use nalgebra::Vector3;
use robots::Robot;

pub(crate) use self::shapes::cast_ray;
use self::{model::RobotModel, terrain::TerrainShapes, world::World};
use crate::{
    engine::{
        Dynamics, Engine, EngineError, EpisodeStart, MotorEngine, MotorTarget, PhysicsConfig,
        PhysicsState,
    },
    scene::Terrain,
};

/// Robots simulated by rapier.
pub struct RapierEngine {
    config: PhysicsConfig,
    models: Models,
    terrain_shapes: TerrainShapes,
    scenes: Vec<RobotWorld>,
}

/// The robot as it is described, and as it differs.
struct Models {
    robot: Robot,
    described: Arc<RobotModel>,
    stop_gives_rad: f32,
}

impl Models {
    fn new(robot: &Robot, config: &PhysicsConfig) -> Result<Self, EngineError> {
        Ok(Self {
            robot: robot.clone(),
            described: Arc::new(RobotModel::new(robot, config, 0.0)?),
            stop_gives_rad: 0.0,
        })
    }

    fn build(
        &self,
        robot: &Robot,
        config: &PhysicsConfig,
        contact_softness_s: f32,
    ) -> Result<Arc<RobotModel>, EngineError> {
        let mut model = RobotModel::new(robot, config, contact_softness_s)?;
        for joint in &mut model.joints {
            joint.stop_gives_rad = self.stop_gives_rad;
        }
        Ok(Arc::new(model))
    }

    /// That of an episode.
    fn of(
        &self,
        dynamics: &Dynamics,
        config: &PhysicsConfig,
    ) -> Result<Arc<RobotModel>, EngineError> {
        let softness_s = dynamics.contact_softness_s;
        let varied = dynamics.varied(&self.robot);
        if varied.is_none() && softness_s == 0.0 {
            return Ok(Arc::clone(&self.described));
        }
        let robot = varied.as_ref().unwrap_or(&self.robot);
        self.build(robot, config, softness_s)
    }
}

/// A world, the terrain that its ground was made from, and its robot.
struct RobotWorld {
    terrain: Arc<Terrain>,
    dynamics: Dynamics,
    model: Arc<RobotModel>,
    world: World,
}

impl RapierEngine {
    /// `num_robots` worlds, in each of which the robot stands at the origin of a flat, empty scene.
    ///
    /// # Errors
    /// When the robot has no joint.
    pub fn new(
        robot: &Robot,
        config: &PhysicsConfig,
        num_robots: usize,
    ) -> Result<Self, EngineError> {
        let models = Models::new(robot, config)?;
        let mut terrain_shapes = TerrainShapes::default();
        let start = EpisodeStart::standing(robot);
        let scenes = (0..num_robots)
            .map(|_| RobotWorld::new(&models, config, &mut terrain_shapes, &start))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            config: config.clone(),
            models,
            terrain_shapes,
            scenes,
        })
    }
}

/// As the table of engines builds it; there are no lanes to choose.
pub(super) fn build(
    robot: &Robot,
    config: &PhysicsConfig,
    num_robots: usize,
    _lanes: usize,
) -> Result<Box<dyn Engine>, EngineError> {
    Ok(Box::new(RapierEngine::new(robot, config, num_robots)?))
}

impl MotorEngine for RapierEngine {
    fn soften_stops(&mut self, gives_rad: f32) -> Result<(), EngineError> {
        self.models.stop_gives_rad = gives_rad;
        let described = self.models.build(&self.models.robot, &self.config, 0.0)?;
        self.models.described = described;
        for scene in &mut self.scenes {
            scene.model = self.models.of(&scene.dynamics, &self.config)?;
        }
        Ok(())
    }

    fn step_motors(&mut self, index: usize, targets: &[MotorTarget]) {
        let RobotWorld { model, world, .. } = &mut self.scenes[index];
        debug_assert_eq!(targets.len(), model.joints.len());
        world.step_motors(model, &self.config, targets);
    }
}

impl RapierEngine {
    /// These physics steps of a policy step.
    fn advance(&mut self, joint_target_rad: &[f32], steps: Range<usize>) {
        let num_joints = self.models.described.joints.len();
        debug_assert_eq!(joint_target_rad.len(), self.scenes.len() * num_joints);
        let targets = joint_target_rad.chunks_exact(num_joints);
        for (scene, target_rad) in self.scenes.iter_mut().zip(targets) {
            let RobotWorld { model, world, .. } = scene;
            for step in steps.clone() {
                world.step(model, &self.config, target_rad, step);
            }
        }
    }
}

impl RobotWorld {
    fn new(
        models: &Models,
        config: &PhysicsConfig,
        shapes: &mut TerrainShapes,
        start: &EpisodeStart,
    ) -> Result<Self, EngineError> {
        let model = models.of(&start.dynamics, config)?;
        let ground = shapes.collider(&start.terrain, start.dynamics.friction);
        Ok(Self {
            terrain: Arc::clone(&start.terrain),
            dynamics: start.dynamics.clone(),
            world: World::new(&model, config, start, ground),
            model,
        })
    }
}

impl Engine for RapierEngine {
    fn num_robots(&self) -> usize {
        self.scenes.len()
    }

    fn reset(&mut self, index: usize, start: &EpisodeStart) -> Result<(), EngineError> {
        self.scenes[index] =
            RobotWorld::new(&self.models, &self.config, &mut self.terrain_shapes, start)?;
        Ok(())
    }

    fn step(&mut self, joint_target_rad: &[f32]) {
        self.advance(joint_target_rad, 0..self.config.decimation);
    }

    fn physics_step(&mut self, joint_target_rad: &[f32], index: usize) {
        self.advance(joint_target_rad, index..index + 1);
    }

    fn push(&mut self, index: usize, velocity_change_world: Vector3<f32>) {
        self.scenes[index].world.push(&velocity_change_world);
    }

    fn read(&self, index: usize, state: &mut PhysicsState) {
        let RobotWorld { model, world, .. } = &self.scenes[index];
        world.read(model, state);
    }

    fn save(&self) -> Vec<u8> {
        snapshot::save(&self.scenes)
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), EngineError> {
        let restored = snapshot::load(bytes, self.scenes.len())?;
        let scenes = restored
            .into_iter()
            .map(|saved| saved.restore(&self.models, &self.config, &mut self.terrain_shapes));
        self.scenes = scenes.collect::<Result<_, _>>()?;
        Ok(())
    }
}
