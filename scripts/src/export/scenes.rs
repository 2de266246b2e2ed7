//! `scenes.json`: scenes of the paper's test, to be run elsewhere.

use anyhow::Result;
use robots::Robot;
use serde::Serialize;
use sim::scene::{ObstacleShape, TestScene, TestbedConfig};

#[derive(Serialize)]
struct Scene {
    /// x, y and z of the base at the start, m, and its heading, rad.
    start_m: [f32; 3],
    start_yaw_rad: f32,
    goal_m: [f32; 2],
    goal_heading_rad: f32,
    /// Between the robot and the world.
    friction: f32,
    cylinders: Vec<Cylinder>,
}

/// Upright, on the ground.
#[derive(Serialize)]
struct Cylinder {
    x_m: f32,
    y_m: f32,
    radius_m: f32,
    height_m: f32,
}

/// The first `count` scenes of `abs eval --seed SEED`.
///
/// # Errors
/// When a scene cannot be drawn.
pub fn json(robot: &Robot, seed: u64, count: u64) -> Result<Vec<u8>> {
    let config = TestbedConfig::default();
    let scene = |index| -> Result<Scene> {
        let scene = TestScene::new(seed, index, &config)?;
        let start = scene.start(robot).position_world;
        let cylinders = scene.obstacles.iter().filter_map(|obstacle| {
            let ObstacleShape::Cylinder { radius_m, height_m } = obstacle.shape else {
                return None;
            };
            Some(Cylinder {
                x_m: obstacle.position_world.x,
                y_m: obstacle.position_world.y,
                radius_m,
                height_m,
            })
        });
        Ok(Scene {
            start_m: start.coords.into(),
            start_yaw_rad: scene.start_yaw_rad,
            goal_m: scene.goal.position_world.coords.into(),
            goal_heading_rad: scene.goal.heading_rad,
            friction: scene.friction,
            cylinders: cylinders.collect(),
        })
    };
    let scenes = (0..count).map(scene).collect::<Result<Vec<_>>>()?;
    Ok(serde_json::to_vec(&scenes)?)
}
