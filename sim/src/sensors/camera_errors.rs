//! What real depth cameras do to an image.

use nalgebra::{Isometry3, Translation3, UnitQuaternion, Vector3};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::random::{Stream, uniform};

/// Neighbouring pixels whose depths differ by more than this share lie on an edge.
const EDGE: f32 = 0.1;

/// Errors of a depth camera; none by default. A pixel without depth is 0, as in the images of real cameras.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RealismConfig {
    /// Standard deviation of the depth at 1 m, m; it grows with the square of the depth, as with stereo cameras.
    pub range_noise_m: f32,
    /// Share of the pixels at the edges of objects that have no depth.
    pub edge_dropout: f32,
    /// Mean number of holes in an image.
    pub holes: f32,
    /// Side lengths of holes, pixels.
    pub hole_px: [usize; 2],
    /// Age of an image when it is seen, in images.
    pub latency_frames: usize,
    /// The camera's position is off by up to this along each axis, m.
    pub mounting_m: f32,
    /// The camera is turned by up to this about each axis, rad.
    pub mounting_rad: f32,
}

/// A setting that no camera has.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{key}` is {value}, must be {expected}")]
pub struct RealismConfigError {
    key: &'static str,
    value: String,
    expected: &'static str,
}

impl RealismConfigError {
    pub(super) fn new(key: &'static str, value: impl ToString, expected: &'static str) -> Self {
        Self {
            key,
            value: value.to_string(),
            expected,
        }
    }
}

impl RealismConfig {
    /// A camera of ordinary quality, in good order.
    pub fn ordinary() -> Self {
        Self {
            range_noise_m: 0.004,
            edge_dropout: 0.3,
            holes: 1.5,
            hole_px: [3, 14],
            latency_frames: 0,
            mounting_m: 0.005,
            mounting_rad: 0.01,
        }
    }

    /// Checks all settings.
    ///
    /// # Errors
    /// The first that is out of range.
    pub fn validate(&self) -> Result<(), RealismConfigError> {
        for (key, value, most, expected) in [
            ("range_noise_m", self.range_noise_m, 0.1, "0 to 0.1"),
            ("edge_dropout", self.edge_dropout, 1.0, "0 to 1"),
            ("holes", self.holes, 100.0, "0 to 100"),
            ("mounting_m", self.mounting_m, 0.1, "0 to 0.1"),
            ("mounting_rad", self.mounting_rad, 0.2, "0 to 0.2"),
        ] {
            if !(0.0..=most).contains(&value) {
                return Err(RealismConfigError::new(key, value, expected));
            }
        }
        if self.hole_px[0] > self.hole_px[1] {
            let value = format!("{:?}", self.hole_px);
            return Err(RealismConfigError::new("hole_px", value, "[low, high]"));
        }
        Ok(())
    }

    /// How far off the camera is mounted, to be drawn once for a robot.
    pub(crate) fn draw_mounting(&self, stream: &mut Stream) -> Isometry3<f32> {
        let mut off = |half: f32| Vector3::from_fn(|_, _| uniform([-half, half], stream));
        let translation = Translation3::from(off(self.mounting_m));
        let turn = off(self.mounting_rad);
        Isometry3::from_parts(
            translation,
            UnitQuaternion::from_euler_angles(turn.x, turn.y, turn.z),
        )
    }

    /// Corrupts an image [rows, columns] of depths, m.
    pub(crate) fn corrupt(&self, depth_m: &mut [f32], columns: usize, stream: &mut Stream) {
        if self.edge_dropout > 0.0 {
            self.drop_edges(depth_m, columns, stream);
        }
        if self.range_noise_m > 0.0 {
            for depth in depth_m.iter_mut() {
                *depth += self.range_noise_m * *depth * *depth * nearly_normal(stream);
            }
        }
        let rows = depth_m.len() / columns;
        let holes = (self.holes * 2.0 * stream.random::<f32>()).round() as usize;
        for _ in 0..holes {
            let mut side = || {
                let [low, high] = self.hole_px;
                low + (stream.random::<f32>() * (high - low + 1) as f32) as usize
            };
            let (width, height) = (side().min(columns), side().min(rows));
            let mut place = |free: usize| (stream.random::<f32>() * (free + 1) as f32) as usize;
            let (left, top) = (place(columns - width), place(rows - height));
            for row in depth_m.chunks_exact_mut(columns).skip(top).take(height) {
                row[left..left + width].fill(0.0);
            }
        }
    }

    fn drop_edges(&self, depth_m: &mut [f32], columns: usize, stream: &mut Stream) {
        for row in depth_m.chunks_exact_mut(columns) {
            let mut previous = row[0];
            for pixel in row {
                let depth = *pixel;
                let is_edge = (depth - previous).abs() > EDGE * depth.min(previous);
                previous = depth;
                if is_edge && stream.random::<f32>() < self.edge_dropout {
                    *pixel = 0.0;
                }
            }
        }
    }
}

/// Mean 0, standard deviation 1: the sum of four uniform numbers.
fn nearly_normal(stream: &mut Stream) -> f32 {
    let bits = stream.next_u64();
    let sum: u64 = (0..4).map(|part| bits >> (16 * part) & 0xffff).sum();
    (sum as f32 / 65535.0 - 2.0) * 3.0_f32.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    #[test]
    fn noise_grows_with_the_square_of_the_depth() {
        let config = RealismConfig {
            range_noise_m: 0.01,
            ..RealismConfig::default()
        };
        let spread = |depth: f32| {
            let mut image = vec![depth; 40_000];
            config.corrupt(&mut image, 200, &mut stream(1, 0));
            let sum: f32 = image.iter().map(|d| (d - depth).powi(2)).sum();
            (sum / image.len() as f32).sqrt()
        };
        assert!((spread(1.0) - 0.01).abs() < 2e-4, "{}", spread(1.0));
        assert!((spread(3.0) - 0.09).abs() < 2e-3, "{}", spread(3.0));
    }

    #[test]
    fn edges_and_holes_lose_their_depth_and_nothing_else_changes() {
        let image: Vec<f32> = (0..60)
            .flat_map(|_| (0..80).map(|u| if u < 40 { 1.0 } else { 3.0 }))
            .collect();
        let edges = RealismConfig {
            edge_dropout: 0.5,
            ..RealismConfig::default()
        };
        let mut corrupted = image.clone();
        edges.corrupt(&mut corrupted, 80, &mut stream(2, 0));
        let lost: Vec<usize> = (0..image.len()).filter(|i| corrupted[*i] == 0.0).collect();
        assert!((15..45).contains(&lost.len()), "{}", lost.len());
        assert!(lost.iter().all(|index| index % 80 == 40));
        let holes = RealismConfig {
            holes: 3.0,
            hole_px: [5, 5],
            ..RealismConfig::default()
        };
        let mut most = 0;
        for seed in 0..20 {
            let mut corrupted = image.clone();
            holes.corrupt(&mut corrupted, 80, &mut stream(seed, 0));
            let lost = corrupted.iter().filter(|depth| **depth == 0.0).count();
            assert!(lost <= 6 * 25);
            most = most.max(lost);
        }
        assert!(most > 25, "more than one hole in some image");
    }
}
