//! Where an episode takes place: ground, obstacles, start and goal.

mod object;
mod obstacle;
mod terrain;
mod testbed;

pub use object::{Object, ObjectKind};
pub use obstacle::{Obstacle, ObstacleShape};
pub use terrain::{HeightField, Terrain, TerrainConfig, TerrainLibrary};
pub use testbed::{
    CYLINDERS, ObstacleGroup, Part, Passage, SceneError, TestScene, TestbedConfig, TestbedError,
};
