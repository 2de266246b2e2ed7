//! The depth image on a cylinder around the vertical axis of the camera: what the ray network sees.

use nalgebra::{UnitQuaternion, Vector3};

use super::image::{DepthError, DepthImage, Intrinsics, check, fill_holes};
use crate::rays::RaySpec;

/// Columns of the panorama from one ray to the next.
const COLUMNS_PER_RAY: usize = 12;
/// Columns beyond the first and the last ray.
const MARGIN: usize = 8;
/// Rows of the panorama.
const ROWS: usize = 48;
/// Slope of the highest row, and from one row to the next.
const TOP_SLOPE: f32 = 0.27;
const SLOPE_PER_ROW: f32 = 0.02;
/// One unit of the panorama, log2 of a distance.
pub(crate) const UNIT: f32 = 2.0;

/// Shape and meaning of the network's input for an arrangement of rays.
///
/// A column is a direction in the horizontal plane of the base, right to left like the rays; a row is a slope against that
/// plane, high to low. An element is log2(distance in the plane / longest ray), halved: 0 where nothing is in reach,
/// negative where something is.
#[derive(Clone, Debug, PartialEq)]
pub struct Panorama {
    first_rad: f32,
    step_rad: f32,
    columns: usize,
    range_m: [f32; 2],
}

impl Panorama {
    /// The panorama for these rays.
    pub fn new(rays: &RaySpec) -> Self {
        let step_rad = (rays.angle_rad(1) - rays.angle_rad(0)) / COLUMNS_PER_RAY as f32;
        Self {
            first_rad: rays.first_rad - MARGIN as f32 * step_rad,
            step_rad,
            columns: (rays.count - 1) * COLUMNS_PER_RAY + 1 + 2 * MARGIN,
            range_m: [rays.min_m, rays.max_m],
        }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        ROWS
    }

    /// Columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        ROWS * self.columns
    }

    /// Never: rays are at least two.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The smallest element, of the shortest distance.
    pub fn lowest(&self) -> f32 {
        (self.range_m[0] / self.range_m[1]).log2() / UNIT
    }
}

/// Turns the images of one camera into panoramas. Everything that does not depend on the image is computed once.
#[derive(Clone, Debug)]
pub struct InputMap {
    panorama: Panorama,
    intrinsics: Intrinsics,
    /// For every element of the panorama.
    samples: Vec<Sample>,
    depth_m: Vec<f32>,
    log_depth: Vec<f32>,
}

/// Bilinear interpolation between four pixels, and what to add for the distance in the plane.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Of the upper left pixel.
    index: u32,
    right: f32,
    down: f32,
    log_stretch: f32,
}

impl InputMap {
    /// For a camera that is turned by `orientation` against the base (without a turn it looks along x).
    ///
    /// # Errors
    /// When the camera has no projection.
    pub fn new(
        panorama: Panorama,
        intrinsics: &Intrinsics,
        orientation: &UnitQuaternion<f32>,
    ) -> Result<Self, DepthError> {
        intrinsics.validate()?;
        let Intrinsics {
            width_px,
            height_px,
            focal_px: [fx, fy],
            centre_px: [cx, cy],
        } = *intrinsics;
        let last = |len: usize| len.saturating_sub(2) as f32;
        let mut samples = Vec::with_capacity(panorama.len());
        for row in 0..panorama.rows() {
            for column in 0..panorama.columns() {
                let (sin, cos) = (panorama.first_rad + column as f32 * panorama.step_rad).sin_cos();
                let slope = TOP_SLOPE - row as f32 * SLOPE_PER_ROW;
                let direction =
                    orientation.inverse_transform_vector(&Vector3::new(cos, sin, slope));
                // Beyond the image its border goes on.
                let ahead = direction.x.max(1e-3);
                let at = |centre: f32, focal: f32, aside: f32, len: usize| {
                    (centre - focal * aside / ahead).clamp(0.0, (len - 1) as f32)
                };
                let (u, v) = (
                    at(cx, fx, direction.y, width_px),
                    at(cy, fy, direction.z, height_px),
                );
                let (left, top) = (
                    u.floor().min(last(width_px)),
                    v.floor().min(last(height_px)),
                );
                samples.push(Sample {
                    index: (top as usize * width_px + left as usize) as u32,
                    right: u - left,
                    down: v - top,
                    log_stretch: -ahead.log2(),
                });
            }
        }
        let num_pixels = width_px * height_px;
        Ok(Self {
            panorama,
            intrinsics: *intrinsics,
            samples,
            depth_m: Vec::with_capacity(num_pixels),
            log_depth: vec![0.0; num_pixels],
        })
    }

    /// What it writes.
    pub fn panorama(&self) -> &Panorama {
        &self.panorama
    }

    /// The camera that it is for.
    pub fn intrinsics(&self) -> &Intrinsics {
        &self.intrinsics
    }

    /// Writes the panorama \[rows * columns\] of an image. Never allocates.
    ///
    /// # Errors
    /// When the image is of another camera or tells nothing.
    ///
    /// # Panics
    /// When `panorama` has another length.
    pub fn write(
        &mut self,
        image: &DepthImage<'_>,
        panorama: &mut [f32],
    ) -> Result<(), DepthError> {
        let expected = [self.intrinsics.width_px, self.intrinsics.height_px];
        let found = [image.width_px, image.height_px];
        if found != expected && found.iter().all(|len| *len > 0) {
            return Err(DepthError::OtherSize { found, expected });
        }
        image.decode(&mut self.depth_m)?;
        self.sample(panorama);
        Ok(())
    }

    /// As [`write`](Self::write), of depths [rows, columns], m, where 0 is no depth.
    ///
    /// # Errors
    /// When the image is of another camera or tells nothing.
    ///
    /// # Panics
    /// When `panorama` has another length.
    pub fn write_depths(
        &mut self,
        depth_m: &[f32],
        panorama: &mut [f32],
    ) -> Result<(), DepthError> {
        let expected = self.log_depth.len();
        if depth_m.len() != expected {
            let bytes = |pixels: usize| 4 * pixels;
            return Err(DepthError::Size {
                found: bytes(depth_m.len()),
                expected: bytes(expected),
            });
        }
        check(depth_m)?;
        self.depth_m.clear();
        self.depth_m.extend_from_slice(depth_m);
        self.sample(panorama);
        Ok(())
    }

    fn sample(&mut self, panorama: &mut [f32]) {
        assert_eq!(panorama.len(), self.panorama.len(), "length of a panorama");
        let columns = self.intrinsics.width_px;
        fill_holes(&mut self.depth_m, columns);
        let [near, far] = self.panorama.range_m;
        for (log, depth) in self.log_depth.iter_mut().zip(&self.depth_m) {
            *log = fast_log2(depth.clamp(near, far));
        }
        // In images of one row or column the neighbour is the pixel itself.
        let right = usize::from(columns > 1);
        let down = if self.intrinsics.height_px > 1 {
            columns
        } else {
            0
        };
        let (highest, lowest) = (far.log2(), self.panorama.lowest());
        for (element, sample) in panorama.iter_mut().zip(&self.samples) {
            let pixel = |offset: usize| self.log_depth[sample.index as usize + offset];
            let mix = |a: f32, b: f32, share: f32| a + share * (b - a);
            let upper = mix(pixel(0), pixel(right), sample.right);
            let lower = mix(pixel(down), pixel(down + right), sample.right);
            let log = mix(upper, lower, sample.down) + sample.log_stretch;
            *element = ((log - highest) / UNIT).clamp(lowest, 0.0);
        }
    }
}

/// log2 of a positive normal number, to 1e-4: a hundredth of a percent of a distance.
#[inline(always)]
pub(crate) fn fast_log2(x: f32) -> f32 {
    let bits = x.to_bits();
    let exponent = (bits >> 23) as f32 - 127.0;
    let mantissa = f32::from_bits(bits & 0x007f_ffff | 0x3f80_0000);
    // log2(m) = 2 / ln(2) * artanh((m - 1) / (m + 1)), around the middle of the octave.
    const MIDDLE: f32 = std::f32::consts::SQRT_2;
    let z = (mantissa - MIDDLE) / (mantissa + MIDDLE);
    let z2 = z * z;
    let artanh = z * (1.0 + z2 * (1.0 / 3.0 + z2 * 0.2));
    exponent + 0.5 + 2.0 * std::f32::consts::LOG2_E * artanh
}

#[cfg(test)]
mod tests {
    use super::*;

    fn camera(width_px: usize, height_px: usize) -> Intrinsics {
        Intrinsics {
            width_px,
            height_px,
            focal_px: [width_px as f32 / (2.0 * 51.0_f32.to_radians().tan()); 2],
            centre_px: [
                0.5 * (width_px as f32 - 1.0),
                0.5 * (height_px as f32 - 1.0),
            ],
        }
    }

    fn map(intrinsics: &Intrinsics, pitch_rad: f32) -> InputMap {
        let panorama = Panorama::new(&RaySpec::default());
        let turn = UnitQuaternion::from_euler_angles(0.0, pitch_rad, 0.0);
        InputMap::new(panorama, intrinsics, &turn).unwrap()
    }

    #[test]
    fn logarithms_are_good_to_a_hundredth_of_a_percent() {
        for step in 0..6000 {
            let x = 0.1 + 0.001 * step as f32;
            assert!((fast_log2(x) - x.log2()).abs() < 1e-4, "{x}");
        }
    }

    #[test]
    fn a_wall_ahead_is_as_far_in_every_column_as_its_geometry_says_for_any_resolution() {
        for intrinsics in [camera(160, 90), camera(640, 360), camera(80, 45)] {
            let mut map = map(&intrinsics, 0.0);
            let mut depth_m = vec![2.0; intrinsics.width_px * intrinsics.height_px];
            depth_m[0] = 2.001;
            let mut panorama = vec![0.0; map.panorama().len()];
            map.write_depths(&depth_m, &mut panorama).unwrap();
            for column in 0..137 {
                let angle = (-51.0 + 0.75 * column as f32).to_radians();
                let expected = (2.0 / angle.cos() / 6.0).log2() / 2.0;
                let found = panorama[20 * 137 + column];
                assert!(
                    (found - expected).abs() < 2e-3,
                    "{column}: {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn the_ground_has_the_same_rows_in_all_columns_and_in_a_camera_that_looks_down() {
        // 0.57 m over the ground; rows below the horizon see it at 0.57 / slope.
        for pitch_rad in [0.0, 0.1_f32] {
            let intrinsics = camera(320, 180);
            let mut map = map(&intrinsics, pitch_rad);
            let Intrinsics {
                focal_px: [f, _],
                centre_px: [_, cy],
                ..
            } = intrinsics;
            let (sin, cos) = pitch_rad.sin_cos();
            let depth_m: Vec<f32> = (0..180)
                .flat_map(|v| {
                    let fall = (v as f32 - cy) / f * cos + sin;
                    let depth = if fall > 0.0 {
                        (0.57 / fall).min(20.0)
                    } else {
                        20.0
                    };
                    std::iter::repeat_n(depth, 320)
                })
                .collect();
            let mut panorama = vec![0.0; map.panorama().len()];
            map.write_depths(&depth_m, &mut panorama).unwrap();
            for row in [22, 28, 34] {
                let slope = row as f32 * 0.02 - 0.27;
                let expected = (0.57 / slope / 6.0).log2() / 2.0;
                for column in (8..137).step_by(12) {
                    let found = panorama[row * 137 + column];
                    assert!(
                        (found - expected).abs() < 0.01,
                        "{row} {column}: {found} {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn images_of_another_camera_are_refused() {
        let mut map = map(&camera(160, 90), 0.0);
        let mut panorama = vec![0.0; map.panorama().len()];
        let image = DepthImage {
            width_px: 80,
            height_px: 45,
            encoding: super::super::DepthEncoding::Millimetres16,
            is_big_endian: false,
            row_bytes: 160,
            data: &[1; 7200],
        };
        let error = map.write(&image, &mut panorama).unwrap_err().to_string();
        assert!(
            error.contains("[80, 45]") && error.contains("[160, 90]"),
            "{error}"
        );
    }
}
