//! Episodes of the agile task that take place in scenes like those of the test: halls, lanes, rooms.

use nalgebra::{Point2, Vector3};
use policies::Goal;
use rand::RngExt as _;
use serde::{Deserialize, Serialize};

use crate::{
    random::Stream,
    scene::{CollisionMargin, Obstacle, TestScene, TestbedConfig},
    tasks::ConfigError,
};

/// A kind of scene, and how often it comes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SceneShare {
    /// Name of a scene that is shipped, or a TOML file of one's own. Its start, goal and obstacles count; ground, friction and
    /// payload are those of `env`.
    pub scene: String,
    /// Fraction of the episodes.
    pub share: f32,
}

/// The scenes of a configuration.
#[derive(Debug)]
pub(super) struct Scenes(Vec<(f32, TestbedConfig)>);

/// Where an episode takes place.
pub(super) struct Place {
    pub start_world: Point2<f32>,
    /// `None` leaves it to the task.
    pub start_yaw_rad: Option<f32>,
    pub goal: Goal,
    pub obstacles: Vec<Obstacle>,
}

impl Scenes {
    /// Loads them.
    ///
    /// # Errors
    /// A scene that does not exist or is wrong, or shares that are no fractions of a whole.
    pub fn load(shares: &[SceneShare]) -> Result<Self, ConfigError> {
        let mut sum = 0.0;
        let scenes = shares.iter().map(|SceneShare { scene, share }| {
            ConfigError::unless_fractions(&[("scenes.share", *share)])?;
            sum += share;
            let config = TestbedConfig::load(scene);
            let config = config.map_err(|error| ConfigError::new("scenes", error.to_string()))?;
            Ok((*share, config))
        });
        let scenes = scenes.collect::<Result<_, ConfigError>>()?;
        ConfigError::unless_fractions(&[("scenes: the sum of all shares", sum)])?;
        Ok(Self(scenes))
    }

    /// Draws a scene for an episode, in half of the cases mirrored; none if it is to take place elsewhere. Obstacles are thicker by `margin`.
    pub fn draw(&self, margin: CollisionMargin, stream: &mut Stream) -> Option<Place> {
        if self.0.is_empty() {
            return None;
        }
        let mut left: f32 = stream.random();
        let config = self.0.iter().find_map(|(share, config)| {
            left -= share;
            (left < 0.0).then_some(config)
        })?;
        let (seed, is_mirrored) = (stream.random(), stream.random());
        // A crowded scene that finds no place for an obstacle is rare: the episode takes place elsewhere.
        let scene = TestScene::new(seed, 0, config).ok()?;
        let place = Place {
            start_world: scene.start_world,
            start_yaw_rad: Some(scene.start_yaw_rad),
            goal: scene.goal,
            obstacles: scene.obstacles,
        };
        let mut place = if is_mirrored { place.mirrored() } else { place };
        for obstacle in &mut place.obstacles {
            *obstacle = obstacle.clone().thicker(margin);
        }
        Some(place)
    }
}

impl Place {
    /// Right becomes left.
    fn mirrored(mut self) -> Self {
        self.start_world.y = -self.start_world.y;
        self.start_yaw_rad = self.start_yaw_rad.map(|yaw_rad| -yaw_rad);
        self.goal.position_world.y = -self.goal.position_world.y;
        self.goal.heading_rad = -self.goal.heading_rad;
        for obstacle in &mut self.obstacles {
            let mirror = |vector: &mut Vector3<f32>| vector.y = -vector.y;
            mirror(&mut obstacle.position_world.coords);
            mirror(&mut obstacle.velocity_world);
            // All shapes are symmetric: a mirrored rotation is one about the mirrored axis, the other way.
            let rotation = obstacle.orientation.scaled_axis();
            let rotation = Vector3::new(-rotation.x, rotation.y, -rotation.z);
            obstacle.orientation = nalgebra::UnitQuaternion::from_scaled_axis(rotation);
        }
        self
    }
}
