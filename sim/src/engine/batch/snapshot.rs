//! Complete state of all robots as bytes, the same for every lane type.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{block::Block, lanes::Lanes, model::Model, scene::Scenery};
use crate::{
    engine::{EngineError, Variation},
    scene::{Obstacle, Terrain},
};

#[derive(Serialize, Deserialize)]
struct SavedRobot {
    /// Index of the terrain: robots share them.
    terrain: usize,
    obstacles: Vec<Obstacle>,
    origin_world: [f32; 3],
    noise_seed: u64,
    variation: Option<Box<Variation>>,
    numbers: Vec<f32>,
    /// Newest first.
    targets_rad: Vec<Vec<f32>>,
}

pub(super) fn save<L: Lanes, const N: usize>(
    blocks: &[Block<L, N>],
    num_robots: usize,
    decimation: usize,
) -> Vec<u8> {
    let mut terrains: Vec<&Arc<Terrain>> = Vec::new();
    let mut robots = Vec::with_capacity(num_robots);
    for index in 0..num_robots {
        let (block, lane) = (&blocks[index / L::LANES], index % L::LANES);
        let scenery = &block.scenery[lane];
        let known = terrains
            .iter()
            .position(|terrain| Arc::ptr_eq(terrain, &scenery.terrain));
        let terrain = known.unwrap_or_else(|| {
            terrains.push(&scenery.terrain);
            terrains.len() - 1
        });
        let mut state = block.state;
        let at = |number: &L| number.as_slice()[lane];
        let latest = (at(&state.delay_steps) + at(&state.delay_jitter_steps).round()) as usize;
        robots.push(SavedRobot {
            terrain,
            obstacles: scenery.obstacles.clone(),
            origin_world: scenery.origin_world,
            noise_seed: block.noise_seeds[lane],
            variation: block.variations[lane].clone(),
            numbers: state
                .numbers()
                .map(|number| at(number))
                .chain(block.sphere_impulse.iter().flatten().map(at))
                .collect(),
            // Not those that only a neighbour needs.
            targets_rad: block
                .targets
                .iter()
                .take(1 + latest.div_ceil(decimation))
                .map(|old| old.iter().flatten().map(at).collect())
                .collect(),
        });
    }
    let terrains: Vec<&Terrain> = terrains.into_iter().map(Arc::as_ref).collect();
    postcard::to_stdvec(&(terrains, robots))
        .unwrap_or_else(|error| unreachable!("serializing to memory: {error}"))
}

pub(super) fn load<L: Lanes, const N: usize>(
    bytes: &[u8],
    model: &Model<N>,
    blocks: &mut [Block<L, N>],
    num_robots: usize,
) -> Result<(), EngineError> {
    let unfit = |reason: String| EngineError::State(reason);
    let (terrains, robots): (Vec<Terrain>, Vec<SavedRobot>) =
        postcard::from_bytes(bytes).map_err(|error| unfit(error.to_string()))?;
    if robots.len() != num_robots {
        return Err(unfit(format!(
            "it holds {} robots, the engine {num_robots}",
            robots.len()
        )));
    }
    let terrains: Vec<Arc<Terrain>> = terrains.into_iter().map(Arc::new).collect();
    for (index, robot) in robots.into_iter().enumerate() {
        let (block, lane) = (&mut blocks[index / L::LANES], index % L::LANES);
        let terrain = terrains
            .get(robot.terrain)
            .ok_or_else(|| unfit(format!("it has no terrain {}", robot.terrain)))?;
        let (numbers, targets) = (
            block.numbers().count(),
            block.targets[0].iter().flatten().count(),
        );
        if robot.numbers.len() != numbers
            || robot.targets_rad.iter().any(|old| old.len() != targets)
        {
            return Err(unfit(
                "it is of another robot or another version".to_owned(),
            ));
        }
        block.set_scenery(
            lane,
            Scenery {
                terrain: Arc::clone(terrain),
                obstacles: robot.obstacles,
                origin_world: robot.origin_world,
            },
        )?;
        block.noise_seeds[lane] = robot.noise_seed;
        block.set_variation(model, lane, robot.variation);
        for (number, value) in block.numbers().zip(robot.numbers) {
            number.as_mut_slice()[lane] = value;
        }
        block.deepen_history(robot.targets_rad.len());
        for (targets, values) in block.targets.iter_mut().zip(&robot.targets_rad) {
            for (target, &value) in targets.iter_mut().flatten().zip(values) {
                target.as_mut_slice()[lane] = value;
            }
        }
        block.note_noise();
    }
    Ok(())
}
