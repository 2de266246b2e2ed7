//! Complete state of all scenes as bytes. A height field is shared by many scenes and far larger than the rest of one:
//! each is stored once, and the collider made from it is left out.

use std::sync::Arc;

use rapier3d::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    Models, RobotWorld,
    terrain::TerrainShapes,
    world::{Bodies, EpisodeState, World},
};
use crate::{
    engine::{Dynamics, EngineError, PhysicsConfig},
    scene::Terrain,
};

#[derive(Serialize)]
struct SavedScene<'a> {
    /// Index of the terrain.
    terrain: usize,
    dynamics: &'a Dynamics,
    bodies: &'a Bodies,
    colliders: ColliderSet,
    episode: &'a EpisodeState,
}

#[derive(Deserialize)]
struct LoadedScene {
    terrain: usize,
    dynamics: Dynamics,
    bodies: Bodies,
    colliders: ColliderSet,
    episode: EpisodeState,
}

/// A scene as it was saved.
pub struct RestoredScene {
    terrain: Arc<Terrain>,
    loaded: LoadedScene,
}

pub fn save(scenes: &[RobotWorld]) -> Vec<u8> {
    let mut terrains: Vec<&Arc<Terrain>> = Vec::new();
    let mut saved = Vec::with_capacity(scenes.len());
    for scene in scenes {
        let known = terrains
            .iter()
            .position(|terrain| Arc::ptr_eq(terrain, &scene.terrain));
        let terrain = known.unwrap_or_else(|| {
            terrains.push(&scene.terrain);
            terrains.len() - 1
        });
        let mut colliders = scene.world.colliders.clone();
        if matches!(*scene.terrain, Terrain::HeightField(_)) {
            let friction = colliders[scene.world.bodies.terrain].friction();
            let stand_in = ColliderBuilder::ball(1.0).friction(friction);
            replace(&mut colliders, scene.world.bodies.terrain, stand_in.build());
        }
        saved.push(SavedScene {
            terrain,
            dynamics: &scene.dynamics,
            bodies: &scene.world.bodies,
            colliders,
            episode: &scene.world.episode,
        });
    }
    let terrains: Vec<&Terrain> = terrains.into_iter().map(Arc::as_ref).collect();
    postcard::to_stdvec(&(terrains, saved))
        .unwrap_or_else(|error| unreachable!("serializing to memory: {error}"))
}

pub fn load(bytes: &[u8], num_robots: usize) -> Result<Vec<RestoredScene>, EngineError> {
    let (terrains, scenes): (Vec<Terrain>, Vec<LoadedScene>) =
        postcard::from_bytes(bytes).map_err(|error| EngineError::State(error.to_string()))?;
    if scenes.len() != num_robots {
        return Err(EngineError::State(format!(
            "it holds {} robots, the engine {num_robots}",
            scenes.len()
        )));
    }
    let terrains: Vec<Arc<Terrain>> = terrains.into_iter().map(Arc::new).collect();
    let restored = scenes.into_iter().map(|loaded| {
        let index = loaded.terrain;
        let terrain = terrains.get(index).map(Arc::clone);
        let terrain =
            terrain.ok_or_else(|| EngineError::State(format!("it has no terrain {index}")))?;
        Ok(RestoredScene { terrain, loaded })
    });
    restored.collect()
}

impl RestoredScene {
    pub fn restore(
        self,
        models: &Models,
        config: &PhysicsConfig,
        shapes: &mut TerrainShapes,
    ) -> Result<RobotWorld, EngineError> {
        let Self { terrain, loaded } = self;
        let LoadedScene {
            dynamics,
            bodies,
            mut colliders,
            episode,
            ..
        } = loaded;
        if matches!(*terrain, Terrain::HeightField(_)) {
            let friction = colliders[bodies.terrain].friction();
            let ground = known_to_rapier(shapes.collider(&terrain, friction));
            replace(&mut colliders, bodies.terrain, ground);
        }
        Ok(RobotWorld {
            terrain,
            model: models.of(&dynamics, config)?,
            dynamics,
            world: World::with_state(bodies, colliders, episode),
        })
    }
}

/// Puts another collider in the place of one, unseen by rapier.
fn replace(colliders: &mut ColliderSet, handle: ColliderHandle, by: Collider) {
    colliders[handle] = by;
    colliders.take_modified();
}

/// The collider as it is once a step has taken notice of it.
fn known_to_rapier(collider: ColliderBuilder) -> Collider {
    let mut world = PhysicsWorld::new();
    world.integration_parameters.dt = 0.0;
    let handle = world.insert_collider(collider, None);
    world.step();
    world.colliders[handle].clone()
}
