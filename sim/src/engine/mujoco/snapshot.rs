//! Complete state of all worlds as bytes. A height field is shared by many and stored once; models are compiled again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    model::RobotModel,
    world::{EpisodeState, Scene, World},
};
use crate::{
    engine::{Dynamics, EngineError, PhysicsConfig},
    scene::{Obstacle, Terrain},
};

#[derive(Serialize)]
struct Saved<'a> {
    /// Index of the terrain.
    terrain: usize,
    obstacles: &'a [Obstacle],
    dynamics: &'a Dynamics,
    episode: &'a EpisodeState,
    state: Box<[f64]>,
}

#[derive(Deserialize)]
struct Loaded {
    terrain: usize,
    obstacles: Vec<Obstacle>,
    dynamics: Dynamics,
    episode: EpisodeState,
    state: Box<[f64]>,
}

pub fn save(worlds: &[World]) -> Vec<u8> {
    let mut terrains: Vec<&Arc<Terrain>> = Vec::new();
    let mut saved = Vec::with_capacity(worlds.len());
    for world in worlds {
        let scene = &world.scene;
        let mut known = terrains.iter();
        let known = known.position(|terrain| Arc::ptr_eq(terrain, &scene.terrain));
        saved.push(Saved {
            terrain: known.unwrap_or_else(|| {
                terrains.push(&scene.terrain);
                terrains.len() - 1
            }),
            obstacles: &scene.obstacles,
            dynamics: &scene.dynamics,
            episode: &world.episode,
            state: world.state(),
        });
    }
    let terrains: Vec<&Terrain> = terrains.into_iter().map(Arc::as_ref).collect();
    postcard::to_stdvec(&(terrains, saved))
        .unwrap_or_else(|error| unreachable!("serializing to memory: {error}"))
}

pub fn load(
    bytes: &[u8],
    num_robots: usize,
    model: &RobotModel,
    config: &PhysicsConfig,
) -> Result<Vec<World>, EngineError> {
    let (terrains, worlds): (Vec<Terrain>, Vec<Loaded>) =
        postcard::from_bytes(bytes).map_err(|error| EngineError::State(error.to_string()))?;
    if worlds.len() != num_robots {
        return Err(EngineError::State(format!(
            "it holds {} robots, the engine {num_robots}",
            worlds.len()
        )));
    }
    let terrains: Vec<Arc<Terrain>> = terrains.into_iter().map(Arc::new).collect();
    let restore = |loaded: Loaded| {
        let index = loaded.terrain;
        let terrain = terrains.get(index);
        let terrain =
            terrain.ok_or_else(|| EngineError::State(format!("it has no terrain {index}")))?;
        let scene = Scene {
            terrain: Arc::clone(terrain),
            obstacles: loaded.obstacles,
            dynamics: loaded.dynamics,
        };
        World::with_state(model, config, scene, loaded.episode, &loaded.state)
    };
    worlds.into_iter().map(restore).collect()
}
