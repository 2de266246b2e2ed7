//! The ground.

use serde::{Deserialize, Serialize};

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
    /// Height at a point, m: linear on the two triangles of a cell, which is cut along the diagonal from
    /// (ix, iy + 1) to (ix + 1, iy).
    pub fn height_m(&self, x_m: f32, y_m: f32) -> f32 {
        let u = ((x_m - self.origin_m[0]) / self.cell_m).clamp(0.0, (self.points_x - 1) as f32);
        let v = ((y_m - self.origin_m[1]) / self.cell_m).clamp(0.0, (self.points_y - 1) as f32);
        let (ix, iy) = (
            (u as usize).min(self.points_x - 2),
            (v as usize).min(self.points_y - 2),
        );
        let (du, dv) = (u - ix as f32, v - iy as f32);
        let at = |i: usize, j: usize| self.heights_m[i * self.points_y + j];
        if du + dv <= 1.0 {
            at(ix, iy) + du * (at(ix + 1, iy) - at(ix, iy)) + dv * (at(ix, iy + 1) - at(ix, iy))
        } else {
            let corner = at(ix + 1, iy + 1);
            corner + (1.0 - du) * (at(ix, iy + 1) - corner) + (1.0 - dv) * (at(ix + 1, iy) - corner)
        }
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
