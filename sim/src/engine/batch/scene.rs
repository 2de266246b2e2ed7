//! The surroundings of a block of robots: ground and obstacles, in coordinates local to each robot's start.

use std::sync::Arc;

use super::{geometry, lanes::Lanes, vector::*};
use crate::{
    engine::EngineError,
    scene::{Obstacle, ObstacleShape, Terrain},
};

/// Obstacles per robot that contacts are sought with: the nearest.
pub(super) const NEAREST: usize = 3;
/// Cylinders higher than this meet robots with their side only.
const TALL_M: f32 = 0.7;
/// Where obstacles stand that a lane does not have.
const NOWHERE_M: f32 = 1e5;

/// Ground and obstacles of one robot.
#[derive(Clone)]
pub(super) struct Scenery {
    pub terrain: Arc<Terrain>,
    pub obstacles: Vec<Obstacle>,
    /// World position of the local coordinates.
    pub origin_world: [f32; 3],
}

/// Ground and obstacles of a block of robots.
pub(super) struct BlockScene<L> {
    terrains: Vec<Arc<Terrain>>,
    ground: Ground<L>,
    /// All obstacles, as many as the richest lane has.
    obstacles: Vec<SceneObstacle<L>>,
    obstacle_count: Vec<usize>,
    nearest: [SceneObstacle<L>; NEAREST],
    /// Index of `nearest` in `obstacles`, one number per lane; -1 where none was copied yet.
    nearest_index: [L; NEAREST],
}

/// Ground parameters; a plane is a field of one cell of size zero.
struct Ground<L> {
    all_flat: bool,
    origin: [L; 2],
    inverse_cell: L,
    last: [L; 2],
    offset_z: L,
    /// Nothing of the ground is higher.
    ceiling: L,
}

/// An obstacle as it stood at the start of the episode.
#[derive(Clone, Copy)]
pub(super) struct SceneObstacle<L> {
    pub center: V3<L>,
    pub velocity: V3<L>,
    pub axes: Rotation<L>,
    /// Half sides of a box; radius, radius, half height of a cylinder.
    pub half: V3<L>,
    /// 1 for a box, 0 for a cylinder.
    pub is_box: L,
    /// 1 where edges and ends of the robot must be looked at, not only the sides: boxes and low cylinders.
    pub is_low: L,
}

impl<L: Lanes> SceneObstacle<L> {
    fn nowhere() -> Self {
        Self {
            center: splat3([NOWHERE_M, NOWHERE_M, 0.0]),
            velocity: zero3(),
            axes: [
                splat3([1.0, 0.0, 0.0]),
                splat3([0.0, 1.0, 0.0]),
                splat3([0.0, 0.0, 1.0]),
            ],
            half: splat3([0.1, 0.1, 0.1]),
            is_box: L::zero(),
            is_low: L::zero(),
        }
    }

    /// Position of the centre, `time_s` after the start.
    #[inline(always)]
    pub fn center_at(&self, time_s: L) -> V3<L> {
        add_scaled(self.center, time_s, self.velocity)
    }

    fn set_lane(&mut self, lane: usize, from: &Self, from_lane: usize) {
        let put = |to: &mut L, from: &L| to.as_mut_slice()[lane] = from.as_slice()[from_lane];
        for k in 0..3 {
            put(&mut self.center[k], &from.center[k]);
            put(&mut self.velocity[k], &from.velocity[k]);
            put(&mut self.half[k], &from.half[k]);
            for i in 0..3 {
                put(&mut self.axes[k][i], &from.axes[k][i]);
            }
        }
        put(&mut self.is_box, &from.is_box);
        put(&mut self.is_low, &from.is_low);
    }

    /// The obstacle in all lanes, as seen from `origin`.
    fn new(obstacle: &Obstacle, origin: [f32; 3]) -> Result<Self, EngineError> {
        let p = obstacle.position_world;
        let (half, is_box, is_low, axes) = match &obstacle.shape {
            ObstacleShape::Cylinder { radius_m, height_m } => (
                [*radius_m, *radius_m, 0.5 * height_m],
                false,
                *height_m < TALL_M,
                [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            ),
            ObstacleShape::Box { half_extents_m } => {
                let axes = obstacle.orientation.to_rotation_matrix();
                (
                    (*half_extents_m).into(),
                    true,
                    true,
                    (*axes.matrix()).into(),
                )
            }
            ObstacleShape::Ball { .. } | ObstacleShape::Cone { .. } => {
                return Err(EngineError::UnsupportedObstacle(format!(
                    "{:?}: the batch engine knows cylinders and boxes",
                    obstacle.shape
                )));
            }
        };
        let flag = |set: bool| L::splat(if set { 1.0 } else { 0.0 });
        Ok(Self {
            center: splat3([p.x - origin[0], p.y - origin[1], p.z - origin[2]]),
            velocity: splat3(obstacle.velocity_world.into()),
            axes: [splat3(axes[0]), splat3(axes[1]), splat3(axes[2])],
            half: splat3(half),
            is_box: flag(is_box),
            is_low: flag(is_low),
        })
    }
}

impl<L: Lanes> BlockScene<L> {
    /// Flat and empty.
    pub fn new() -> Self {
        let flat = Arc::new(Terrain::Flat);
        Self {
            terrains: vec![flat; L::LANES],
            ground: Ground {
                all_flat: true,
                origin: [L::zero(); 2],
                inverse_cell: L::zero(),
                last: [L::zero(); 2],
                offset_z: L::zero(),
                ceiling: L::zero(),
            },
            obstacles: Vec::new(),
            obstacle_count: vec![0; L::LANES],
            nearest: [SceneObstacle::nowhere(); NEAREST],
            nearest_index: [L::splat(-1.0); NEAREST],
        }
    }

    /// Replaces the scene of one lane.
    pub fn set_lane(&mut self, lane: usize, scenery: &Scenery) -> Result<(), EngineError> {
        let origin = scenery.origin_world;
        let obstacles: Vec<SceneObstacle<L>> = scenery
            .obstacles
            .iter()
            .map(|obstacle| SceneObstacle::new(obstacle, origin))
            .collect::<Result<_, _>>()?;
        self.obstacle_count[lane] = obstacles.len();
        let most = self.obstacle_count.iter().copied().max().unwrap_or(0);
        self.obstacles.resize(most, SceneObstacle::nowhere());
        let nowhere = SceneObstacle::nowhere();
        for (index, slot) in self.obstacles.iter_mut().enumerate() {
            slot.set_lane(lane, obstacles.get(index).unwrap_or(&nowhere), 0);
        }
        for index in &mut self.nearest_index {
            index.as_mut_slice()[lane] = -1.0;
        }

        let (field_origin, inverse_cell, last, highest) = match &*scenery.terrain {
            Terrain::Flat => ([0.0; 2], 0.0, [0.0; 2], 0.0),
            Terrain::HeightField(field) => (
                [field.origin_m[0] - origin[0], field.origin_m[1] - origin[1]],
                1.0 / field.cell_m,
                [(field.points_x - 1) as f32, (field.points_y - 1) as f32],
                field
                    .heights_m
                    .iter()
                    .copied()
                    .fold(f32::NEG_INFINITY, f32::max),
            ),
        };
        let ground = &mut self.ground;
        for axis in 0..2 {
            ground.origin[axis].as_mut_slice()[lane] = field_origin[axis];
            ground.last[axis].as_mut_slice()[lane] = last[axis];
        }
        ground.inverse_cell.as_mut_slice()[lane] = inverse_cell;
        ground.offset_z.as_mut_slice()[lane] = -origin[2];
        ground.ceiling.as_mut_slice()[lane] = highest - origin[2];
        self.terrains[lane] = Arc::clone(&scenery.terrain);
        self.ground.all_flat = self
            .terrains
            .iter()
            .all(|terrain| **terrain == Terrain::Flat);
        Ok(())
    }

    /// Finds the obstacles nearest to the base, `time_s` after the start. Once per policy step: robots are slow.
    #[inline(always)]
    pub fn find_nearest(&mut self, position: V3<L>, time_s: L) {
        let mut distance = [L::splat(NOWHERE_M); NEAREST];
        let mut index = [L::zero(); NEAREST];
        for k in 0..self.obstacles.len() {
            let obstacle = &self.obstacles[k];
            let mut d =
                geometry::distance_bound(obstacle, sub(position, obstacle.center_at(time_s)));
            let mut i = L::splat(k as f32);
            for slot in 0..NEAREST {
                let nearer = d.lt(distance[slot]);
                let (old_d, old_i) = (distance[slot], index[slot]);
                distance[slot] = L::select(nearer, d, old_d);
                index[slot] = L::select(nearer, i, old_i);
                d = L::select(nearer, old_d, d);
                i = L::select(nearer, old_i, i);
            }
        }
        let count = NEAREST.min(self.obstacles.len());
        for slot in 0..count {
            let changed = (index[slot] - self.nearest_index[slot]).abs();
            if !L::any(L::zero().lt(changed)) {
                continue;
            }
            for lane in 0..L::LANES {
                if changed.as_slice()[lane] != 0.0 {
                    let from = index[slot].as_slice()[lane] as usize;
                    self.nearest[slot].set_lane(lane, &self.obstacles[from], lane);
                }
            }
            self.nearest_index[slot] = index[slot];
        }
    }

    /// The `slot`-th nearest obstacle at the start of the policy step, if any lane has one.
    #[inline(always)]
    pub fn nearest(&self, slot: usize) -> Option<&SceneObstacle<L>> {
        (slot < self.obstacles.len()).then_some(&self.nearest[slot])
    }

    /// Whether all ground is the plane z = 0.
    pub fn is_flat(&self) -> bool {
        self.ground.all_flat
    }

    /// No ground is higher, local m.
    pub fn ceiling(&self) -> L {
        self.ground.ceiling
    }

    /// Height, local m, and upward normal of the ground under points.
    #[inline(always)]
    pub fn ground(&self, x: L, y: L) -> (L, V3<L>) {
        let ground = &self.ground;
        let (zero, one) = (L::zero(), L::splat(1.0));
        if ground.all_flat {
            return (ground.offset_z, [zero, zero, one]);
        }
        let raw_u = (x - ground.origin[0]) * ground.inverse_cell;
        let raw_v = (y - ground.origin[1]) * ground.inverse_cell;
        let u = raw_u.clamp(zero, ground.last[0]);
        let v = raw_v.clamp(zero, ground.last[1]);
        let (mut du, mut dv) = (zero, zero);
        let (mut h00, mut h10, mut h01, mut h11) = (zero, zero, zero, zero);
        for lane in 0..L::LANES {
            let Terrain::HeightField(field) = &*self.terrains[lane] else {
                continue;
            };
            let (u, v) = (u.as_slice()[lane], v.as_slice()[lane]);
            let ix = (u as usize).min(field.points_x - 2);
            let iy = (v as usize).min(field.points_y - 2);
            du.as_mut_slice()[lane] = u - ix as f32;
            dv.as_mut_slice()[lane] = v - iy as f32;
            let at = ix * field.points_y + iy;
            let (near, far) = (
                &field.heights_m[at..at + 2],
                &field.heights_m[at + field.points_y..][..2],
            );
            h00.as_mut_slice()[lane] = near[0];
            h01.as_mut_slice()[lane] = near[1];
            h10.as_mut_slice()[lane] = far[0];
            h11.as_mut_slice()[lane] = far[1];
        }
        // The cell is cut along its falling diagonal.
        let upper = one.lt(du + dv);
        let rise_u = L::select(upper, h11 - h01, h10 - h00);
        let rise_v = L::select(upper, h11 - h10, h01 - h00);
        let lower_height = h00 + du * rise_u + dv * rise_v;
        let upper_height = h11 - (one - du) * rise_u - (one - dv) * rise_v;
        let height = L::select(upper, upper_height, lower_height) + ground.offset_z;
        // Beyond the border the ground is level across it.
        let slope_u = L::select(
            (raw_u - u).abs().lt(L::splat(1e-6)),
            rise_u * ground.inverse_cell,
            zero,
        );
        let slope_v = L::select(
            (raw_v - v).abs().lt(L::splat(1e-6)),
            rise_v * ground.inverse_cell,
            zero,
        );
        let n = (one + slope_u * slope_u + slope_v * slope_v).sqrt().recip();
        (height, [-slope_u * n, -slope_v * n, n])
    }
}
