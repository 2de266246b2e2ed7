//! The ground.

use std::sync::Arc;

use nalgebra::{Vector2, Vector3};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::random::{Stream, stream};

/// Ground of a scene. Obstacles and robots are placed over it in the same world frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Terrain {
    /// The plane z = 0.
    Flat,
    /// A height field.
    HeightField(HeightField),
}

/// Heights on a regular grid, split into triangles; outside the grid the border value goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeightField {
    /// World x and y of grid point (0, 0), m.
    pub origin_m: [f32; 2],
    /// Distance of grid points, m.
    pub cell_m: f32,
    /// Grid points along x.
    pub points_x: usize,
    /// Grid points along y.
    pub points_y: usize,
    /// Height of grid point (ix, iy) at `ix * points_y + iy`, m.
    pub heights_m: Vec<f32>,
}

impl HeightField {
    /// Random heights from zero to `height_m`, up to `reach_m` from the origin along x and y; flat around the origin up to
    /// `flat_start_m`.
    pub fn rough(height_m: f32, reach_m: f32, flat_start_m: f32, stream: &mut Stream) -> Self {
        let mut field = Self::level(reach_m, ROUGH_CELL_M);
        for height in &mut field.heights_m {
            *height = height_m * stream.random::<f32>();
        }
        flatten_start_and_border(&mut field, flat_start_m);
        field
    }

    /// Flat, up to `reach_m` from the origin along x and y.
    fn level(reach_m: f32, cell_m: f32) -> Self {
        let half_points = (reach_m / cell_m).round() as usize;
        let points = 2 * half_points + 1;
        let origin_m = -(half_points as f32) * cell_m;
        Self {
            origin_m: [origin_m, origin_m],
            cell_m,
            points_x: points,
            points_y: points,
            heights_m: vec![0.0; points * points],
        }
    }

    /// Height at a point, m: linear on the two triangles of a cell, which is cut along the diagonal from
    /// (ix, iy + 1) to (ix + 1, iy).
    pub fn height_m(&self, x_m: f32, y_m: f32) -> f32 {
        self.height_and_slope(x_m, y_m).0
    }

    /// The unit normal at a point, upwards.
    pub fn normal(&self, x_m: f32, y_m: f32) -> Vector3<f32> {
        let (_, slope) = self.height_and_slope(x_m, y_m);
        Vector3::new(-slope.x, -slope.y, 1.0).normalize()
    }

    /// Height, m, and its derivatives along x and y.
    fn height_and_slope(&self, x_m: f32, y_m: f32) -> (f32, Vector2<f32>) {
        let u = ((x_m - self.origin_m[0]) / self.cell_m).clamp(0.0, (self.points_x - 1) as f32);
        let v = ((y_m - self.origin_m[1]) / self.cell_m).clamp(0.0, (self.points_y - 1) as f32);
        let (ix, iy) = (
            (u as usize).min(self.points_x - 2),
            (v as usize).min(self.points_y - 2),
        );
        let (du, dv) = (u - ix as f32, v - iy as f32);
        let at = |i: usize, j: usize| self.heights_m[i * self.points_y + j];
        let (height_m, rise_m) = if du + dv <= 1.0 {
            let corner = at(ix, iy);
            let rise_m = Vector2::new(at(ix + 1, iy) - corner, at(ix, iy + 1) - corner);
            (corner + du * rise_m.x + dv * rise_m.y, rise_m)
        } else {
            let corner = at(ix + 1, iy + 1);
            let fall_m = Vector2::new(at(ix, iy + 1) - corner, at(ix + 1, iy) - corner);
            let height_m = corner + (1.0 - du) * fall_m.x + (1.0 - dv) * fall_m.y;
            (height_m, -fall_m)
        };
        (height_m, rise_m / self.cell_m)
    }
}

impl Terrain {
    /// Height of the ground at a point, m.
    pub fn height_m(&self, x_m: f32, y_m: f32) -> f32 {
        match self {
            Self::Flat => 0.0,
            Self::HeightField(field) => field.height_m(x_m, y_m),
        }
    }
}

/// Settings of the generated ground (docs/concepts/randomization.md): flat, rough or with low blocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TerrainConfig {
    /// Shares of flat ground, rough ground and low blocks; they need not sum to one.
    pub shares: [f32; 3],
    /// Highest point of rough ground at the highest level, m.
    pub rough_m: f32,
    /// Highest block at the highest level, m.
    pub block_m: f32,
    /// Different tiles of each kind and level, shared by all environments.
    pub variants: usize,
    /// The ground is shaped up to this far from the origin along x and y, and flat beyond, m.
    pub reach_m: f32,
    /// Flat around the origin up to this distance, m.
    pub flat_start_m: f32,
}

impl Default for TerrainConfig {
    fn default() -> Self {
        Self {
            shares: [1.0, 1.0, 1.0],
            rough_m: 0.07,
            block_m: 0.06,
            variants: 3,
            reach_m: 9.0,
            flat_start_m: 1.0,
        }
    }
}

/// Distance of the random heights of rough ground, m.
const ROUGH_CELL_M: f32 = 0.2;
/// Grid of ground with blocks, whose walls rise over one cell, m.
const BLOCK_CELL_M: f32 = 0.1;
/// Side lengths of blocks, m.
const BLOCK_SIDE_M: [f32; 2] = [0.3, 1.0];
/// Blocks per square metre.
const BLOCK_DENSITY: f32 = 0.4;

/// Tiles of generated ground, made once and shared by all environments.
#[derive(Clone, Debug)]
pub struct TerrainLibrary {
    shares: [f32; 3],
    levels: usize,
    variants: usize,
    /// A flat tile, then the rough ones level by level, then those with blocks level by level.
    tiles: Vec<Arc<Terrain>>,
}

/// Index of a tile in its library.
pub type Tile = usize;

impl TerrainLibrary {
    /// Generates all tiles. Heights grow in proportion to the level, from nothing at level 0 to those of the config at
    /// the highest.
    pub fn new(config: &TerrainConfig, levels: usize, seed: u64) -> Self {
        let flat = Arc::new(Terrain::Flat);
        let mut tiles = vec![Arc::clone(&flat)];
        let mut add =
            |kind: u64, share: f32, generate: &dyn Fn(f32, &mut Stream) -> HeightField| {
                tiles.extend((0..levels * config.variants).map(|index| {
                    let level = index / config.variants;
                    if level == 0 || share <= 0.0 {
                        return Arc::clone(&flat);
                    }
                    let difficulty = level as f32 / (levels - 1) as f32;
                    // Environments take the low streams of a seed.
                    let mut stream = stream(seed, (kind << 32) + index as u64);
                    Arc::new(Terrain::HeightField(generate(difficulty, &mut stream)))
                }));
            };
        add(1, config.shares[1], &|difficulty, stream| {
            let height_m = config.rough_m * difficulty;
            HeightField::rough(height_m, config.reach_m, config.flat_start_m, stream)
        });
        add(2, config.shares[2], &|difficulty, stream| {
            blocks(config, difficulty, stream)
        });
        Self {
            shares: config.shares,
            levels,
            variants: config.variants,
            tiles,
        }
    }

    /// Draws a kind by the shares and then a tile of that kind and level.
    pub fn draw(&self, level: usize, stream: &mut Stream) -> Tile {
        let kind = stream.random::<f32>() * self.shares.iter().sum::<f32>();
        let variant = stream.random_range(0..self.variants);
        let [flat, rough, _] = self.shares;
        match kind {
            kind if kind < flat => 0,
            kind if kind < flat + rough => self.rough(level) + variant,
            _ => self.blocks(level) + variant,
        }
    }

    /// The ground of a tile.
    pub fn terrain(&self, tile: Tile) -> &Arc<Terrain> {
        &self.tiles[tile]
    }

    fn rough(&self, level: usize) -> Tile {
        1 + level * self.variants
    }

    fn blocks(&self, level: usize) -> Tile {
        self.rough(self.levels) + level * self.variants
    }
}

/// Rectangular blocks of random height on flat ground.
fn blocks(config: &TerrainConfig, difficulty: f32, stream: &mut Stream) -> HeightField {
    let mut field = HeightField::level(config.reach_m, BLOCK_CELL_M);
    let points = field.points_x;
    let side_m = 2.0 * config.reach_m;
    let count = (BLOCK_DENSITY * side_m * side_m) as usize;
    let [shortest, longest] = BLOCK_SIDE_M.map(|side| (side / BLOCK_CELL_M).round() as usize);
    for _ in 0..count {
        let height_m = config.block_m * difficulty * stream.random::<f32>();
        let mut span = || {
            let length = stream.random_range(shortest..=longest).min(points);
            let first = stream.random_range(0..=points - length);
            first..first + length
        };
        let (span_x, span_y) = (span(), span());
        for ix in span_x {
            field.heights_m[ix * points..][span_y.clone()].fill(height_m);
        }
    }
    flatten_start_and_border(&mut field, config.flat_start_m);
    field
}

fn flatten_start_and_border(field: &mut HeightField, flat_start_m: f32) {
    let (last_x, last_y) = (field.points_x - 1, field.points_y - 1);
    for ix in 0..=last_x {
        for iy in 0..=last_y {
            let x = field.origin_m[0] + ix as f32 * field.cell_m;
            let y = field.origin_m[1] + iy as f32 * field.cell_m;
            let at_border = ix == 0 || iy == 0 || ix == last_x || iy == last_y;
            if at_border || x.hypot(y) <= flat_start_m + 1.5 * field.cell_m {
                field.heights_m[ix * field.points_y + iy] = 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heights(terrain: &Terrain) -> &[f32] {
        match terrain {
            Terrain::Flat => &[],
            Terrain::HeightField(field) => &field.heights_m,
        }
    }

    fn max(values: &[f32]) -> f32 {
        values.iter().copied().fold(0.0, f32::max)
    }

    #[test]
    fn a_cell_is_cut_along_its_diagonal() {
        let field = HeightField {
            origin_m: [1.0, 2.0],
            cell_m: 0.5,
            points_x: 2,
            points_y: 2,
            // (0, 0), (0, 1), (1, 0), (1, 1)
            heights_m: vec![0.0, 0.1, 0.1, 1.0],
        };
        assert!((field.height_m(1.25, 2.25) - 0.1).abs() < 1e-6);
        assert!((field.height_m(1.125, 2.125) - 0.05).abs() < 1e-6);
        // 0.1 m along 0.5 m to both sides, and 0.9 m beyond the diagonal.
        for (x_m, y_m, slope) in [(1.125, 2.125, 0.2), (1.375, 2.375, 1.8)] {
            let normal = Vector3::new(-slope, -slope, 1.0).normalize();
            assert!((field.normal(x_m, y_m) - normal).norm() < 1e-5);
        }
        assert!((field.height_m(1.375, 2.375) - 0.55).abs() < 1e-6);
        // Beyond the grid the border goes on.
        assert!((field.height_m(9.0, 9.0) - 1.0).abs() < 1e-6);
        assert!(field.height_m(-9.0, -9.0).abs() < 1e-6);
    }

    #[test]
    fn heights_grow_with_the_level_up_to_the_configured_top() {
        let config = TerrainConfig::default();
        let library = TerrainLibrary::new(&config, 10, 1);
        let first_tiles: [fn(&TerrainLibrary, usize) -> Tile; 2] =
            [TerrainLibrary::rough, TerrainLibrary::blocks];
        for (first_tile, top_m) in first_tiles.into_iter().zip([0.07, 0.06]) {
            let terrain = |level| library.terrain(first_tile(&library, level));
            assert_eq!(**terrain(0), Terrain::Flat);
            for level in 1..10 {
                let top_m = top_m * level as f32 / 9.0;
                let highest_m = max(heights(terrain(level)));
                assert!(
                    highest_m <= top_m && highest_m > 0.9 * top_m,
                    "level {level}: {highest_m}"
                );
            }
        }
    }

    #[test]
    fn the_start_and_everything_beyond_the_tile_are_flat() {
        let library = TerrainLibrary::new(&TerrainConfig::default(), 10, 1);
        for terrain in &library.tiles {
            for k in 0..64 {
                let (sin, cos) = (k as f32 * 0.1).sin_cos();
                assert_eq!(terrain.height_m(0.99 * cos, 0.99 * sin), 0.0);
                assert_eq!(terrain.height_m(20.0 * cos, 20.0 * sin), 0.0);
            }
        }
    }

    #[test]
    fn kinds_are_drawn_by_their_shares_and_tiles_are_shared() {
        let config = TerrainConfig::default();
        let library = TerrainLibrary::new(&config, 10, 1);
        let mut stream = stream(5, 0);
        let mut counts = [0; 3];
        for _ in 0..3000 {
            let drawn = library.draw(7, &mut stream);
            // Three tiles of each of ten levels.
            let kind = [0..1, 22..25, 52..55]
                .iter()
                .position(|tiles| tiles.contains(&drawn));
            counts[kind.expect("a tile of level 7")] += 1;
        }
        assert!(
            counts.iter().all(|&count| (900..1100).contains(&count)),
            "{counts:?}"
        );

        let flat_only = TerrainConfig {
            shares: [1.0, 0.0, 0.0],
            ..config
        };
        let library = TerrainLibrary::new(&flat_only, 10, 1);
        assert!((0..100).all(|_| library.draw(9, &mut stream) == 0));
    }

    #[test]
    fn the_seed_decides_the_ground() {
        let config = TerrainConfig {
            variants: 1,
            ..TerrainConfig::default()
        };
        let rough = |seed| {
            let library = TerrainLibrary::new(&config, 2, seed);
            library.terrain(library.rough(1)).clone()
        };
        assert_eq!(*rough(1), *rough(1));
        assert_ne!(*rough(1), *rough(2));
    }
}
