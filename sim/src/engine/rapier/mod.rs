//! The reference engine: one rapier multibody in reduced coordinates per robot, each in a world of its own.

mod contacts;
mod convert;
mod model;
mod motor;
mod shapes;
mod snapshot;
mod terrain;
mod world;

use std::sync::Arc;

use robots::Robot;

pub use self::motor::MotorTarget;
pub(crate) use self::shapes::cast_ray;
use self::{model::RobotModel, terrain::TerrainShapes, world::World};
use crate::{
    engine::{Engine, EngineError, EpisodeStart, PhysicsConfig, PhysicsState},
    scene::Terrain,
};

/// Robots simulated by rapier.
pub struct RapierEngine {
    config: PhysicsConfig,
    model: RobotModel,
    terrain_shapes: TerrainShapes,
    scenes: Vec<RobotWorld>,
}

/// A world and the terrain that its ground was made from.
struct RobotWorld {
    terrain: Arc<Terrain>,
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
        let model = RobotModel::new(robot, config)?;
        let mut terrain_shapes = TerrainShapes::default();
        let start = EpisodeStart::standing(robot);
        let scenes = (0..num_robots)
            .map(|_| RobotWorld::new(&model, config, &mut terrain_shapes, &start))
            .collect();
        Ok(Self {
            config: config.clone(),
            model,
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

impl RapierEngine {
    /// Lets the stops of all joints give way, by this angle under the effort limit, rad.
    pub(crate) fn soften_stops(&mut self, gives_rad: f32) {
        for joint in &mut self.model.joints {
            joint.stop_gives_rad = gives_rad;
        }
    }

    /// Advances robot `index` by one physics step with one target per joint, as a motor controller takes them.
    pub(crate) fn step_motors(&mut self, index: usize, targets: &[MotorTarget]) {
        debug_assert_eq!(targets.len(), self.model.joints.len());
        let world = &mut self.scenes[index].world;
        world.step_motors(&self.model, &self.config, targets);
    }
}

impl RobotWorld {
    fn new(
        model: &RobotModel,
        config: &PhysicsConfig,
        shapes: &mut TerrainShapes,
        start: &EpisodeStart,
    ) -> Self {
        let ground = shapes.collider(&start.terrain, start.dynamics.friction);
        Self {
            terrain: Arc::clone(&start.terrain),
            world: World::new(model, config, start, ground),
        }
    }
}

impl Engine for RapierEngine {
    fn num_robots(&self) -> usize {
        self.scenes.len()
    }

    fn reset(&mut self, index: usize, start: &EpisodeStart) -> Result<(), EngineError> {
        self.scenes[index] =
            RobotWorld::new(&self.model, &self.config, &mut self.terrain_shapes, start);
        Ok(())
    }

    fn step(&mut self, joint_target_rad: &[f32]) {
        let num_joints = self.model.joints.len();
        debug_assert_eq!(joint_target_rad.len(), self.scenes.len() * num_joints);
        for (scene, target) in self
            .scenes
            .iter_mut()
            .zip(joint_target_rad.chunks_exact(num_joints))
        {
            scene.world.step(&self.model, &self.config, target);
        }
    }

    fn read(&self, index: usize, state: &mut PhysicsState) {
        self.scenes[index].world.read(&self.model, state);
    }

    fn save(&self) -> Vec<u8> {
        snapshot::save(&self.scenes)
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), EngineError> {
        let num_robots = self.scenes.len();
        self.scenes = snapshot::load(bytes, num_robots, &mut self.terrain_shapes)?;
        Ok(())
    }
}
