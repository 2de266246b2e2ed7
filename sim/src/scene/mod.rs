//! Where an episode takes place: ground, obstacles, start and goal.

mod object;
mod obstacle;
mod terrain;
mod testbed;

/// Half the width of a robot, m (docs/concepts/agile-policy.md).
const ROBOT_RADIUS_M: f32 = 0.314;
/// Free space that boxes, groups and moving obstacles leave around start and goal, m.
pub(crate) const CLEARANCE_M: f32 = 0.5;

/// Free space between a goal and the outline of an obstacle, where cylinders have this radius, m.
pub(crate) fn goal_clearance_m(radius_m: f32) -> f32 {
    0.1 * radius_m + ROBOT_RADIUS_M
}

pub use object::{Object, ObjectKind};
pub use obstacle::{CollisionMargin, Obstacle, ObstacleShape};
pub use terrain::{HeightField, Terrain, TerrainConfig, TerrainLibrary, Tile};
pub use testbed::{
    CYLINDERS, CylinderConfig, ObstacleGroup, Part, Passage, SceneError, TestScene, TestbedConfig,
    TestbedError,
};
