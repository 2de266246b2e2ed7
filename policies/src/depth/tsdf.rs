//! Where the depth image says there is free space around each ray: what the ray network sees.

use nalgebra::{Isometry3, Point3, UnitQuaternion, Vector3};
use sha2::{Digest as _, Sha256};

use super::image::{DepthError, DepthImage, Intrinsics, check, fill_holes};
use crate::rays::RaySpec;

/// Distances along a ray, and the shortest of them, m; the longest is that of the rays. Their logarithms are evenly spaced.
const DISTANCES: usize = 40;
const NEAREST_M: f32 = 0.15;
/// Directions beside a line, degrees: finer than a pixel about the line itself, so that thin things are not missed.
const BESIDE_LINE_DEG: [f32; 7] = [-2.0, -0.5, -0.25, 0.0, 0.25, 0.5, 2.0];
/// Directions within a ray that has a width, evenly spaced: over 9 degrees one and a half pixels apart.
const WITHIN_WIDTH: usize = 11;
/// Heights over the plane of the rays, m. Near the camera only the upper ones are in the image.
const HEIGHTS_M: [f32; 6] = [-0.15, 0.0, 0.05, 0.1, 0.17, 0.24];
/// Signed distances are truncated here, log2.
pub(crate) const TRUNCATION: [f32; 2] = [-1.0, 0.5];

/// A grid of points around the rays, and what is known of each: the truncated signed distance (Curless and Levoy, 1996),
/// projective as depth cameras give it.
///
/// Points are [distances, rays, heights * directions], in the level frame that has the heading of the base, as the
/// rays themselves. An element is log2(depth in the image / depth of the point) where the camera sees the point or
/// what hides it: positive in free space, 0 on a surface, negative behind it. It is the lower bound where a point is out
/// of sight.
#[derive(Clone, Debug, PartialEq)]
pub struct RayGrid {
    rays: RaySpec,
    /// Directions beside the middle of a ray, degrees, right to left.
    aside_deg: Vec<f32>,
}

impl RayGrid {
    /// The grid for these rays.
    pub fn new(rays: &RaySpec) -> Self {
        let width_deg = rays.width_rad.to_degrees();
        let within = (0..WITHIN_WIDTH)
            .map(|index| width_deg * (index as f32 / (WITHIN_WIDTH - 1) as f32 - 0.5));
        Self {
            rays: rays.clone(),
            aside_deg: match width_deg > 0.0 {
                true => within.collect(),
                false => BESIDE_LINE_DEG.to_vec(),
            },
        }
    }

    /// Rows: distances, near to far.
    pub fn rows(&self) -> usize {
        DISTANCES
    }

    /// Columns: rays.
    pub fn columns(&self) -> usize {
        self.rays.count
    }

    /// Points of a ray at one distance.
    pub fn channels(&self) -> usize {
        HEIGHTS_M.len() * self.aside_deg.len()
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.rows() * self.columns() * self.channels()
    }

    /// Never: rays are at least two.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// SHA-256 of all that gives the numbers their meaning: the points, and where distances are truncated.
    pub fn hash(&self) -> String {
        let text = format!(
            "{DISTANCES}|{NEAREST_M}|{:?}|{HEIGHTS_M:?}|{TRUNCATION:?}\n{}",
            self.aside_deg,
            self.rays.meaning()
        );
        let digest = Sha256::digest(text.as_bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Mirrors the signed distances of an image, as its mirror image has them.
    ///
    /// # Panics
    /// When `signed_log2` has another length.
    pub fn mirror(&self, signed_log2: &mut [f32]) {
        assert_eq!(signed_log2.len(), self.len(), "points of a grid");
        let channels = self.channels();
        for row in signed_log2.chunks_exact_mut(self.columns() * channels) {
            for ray in 0..self.columns() / 2 {
                let (left, right) = row.split_at_mut((self.columns() - 1 - ray) * channels);
                left[ray * channels..][..channels].swap_with_slice(&mut right[..channels]);
            }
        }
        for directions in signed_log2.chunks_exact_mut(self.aside_deg.len()) {
            directions.reverse();
        }
    }

    /// All points, relative to the centre of the base.
    fn points(&self) -> impl Iterator<Item = Point3<f32>> + '_ {
        let step = (self.rays.max_m / NEAREST_M).ln() / (DISTANCES - 1) as f32;
        let distances = (0..DISTANCES).map(move |k| NEAREST_M * (k as f32 * step).exp());
        distances.flat_map(move |distance_m| {
            (0..self.rays.count).flat_map(move |ray| {
                HEIGHTS_M.into_iter().flat_map(move |height_m| {
                    self.aside_deg.iter().map(move |aside| {
                        let (sin, cos) = (self.rays.angle_rad(ray) + aside.to_radians()).sin_cos();
                        let ahead_m = self.rays.origin_x_m + distance_m * cos;
                        Point3::new(ahead_m, distance_m * sin, height_m)
                    })
                })
            })
        })
    }
}

/// Turns the images of one camera into signed distances. Everything that does not depend on the image is computed once.
#[derive(Clone, Debug)]
pub struct InputMap {
    grid: RayGrid,
    intrinsics: Intrinsics,
    camera_base: Isometry3<f32>,
    points: Vec<Point3<f32>>,
    depth_m: Vec<f32>,
    log_depth: Vec<f32>,
}

impl InputMap {
    /// For a camera at `camera_base` in the base frame, which looks along its x axis.
    ///
    /// # Errors
    /// When the camera has no projection.
    pub fn new(
        grid: RayGrid,
        intrinsics: &Intrinsics,
        camera_base: &Isometry3<f32>,
    ) -> Result<Self, DepthError> {
        intrinsics.validate()?;
        let num_pixels = intrinsics.width_px * intrinsics.height_px;
        Ok(Self {
            points: grid.points().collect(),
            grid,
            intrinsics: *intrinsics,
            camera_base: *camera_base,
            depth_m: Vec::with_capacity(num_pixels),
            log_depth: vec![0.0; num_pixels],
        })
    }

    /// Where it looks.
    pub fn grid(&self) -> &RayGrid {
        &self.grid
    }

    /// The camera that it is for.
    pub fn intrinsics(&self) -> &Intrinsics {
        &self.intrinsics
    }

    /// Writes the signed distances of an image, log2, as [`RayGrid`] orders them. `projected_gravity` is the direction of
    /// gravity in the base frame when the image was taken. Never allocates.
    ///
    /// # Errors
    /// When the image is of another camera or tells nothing.
    ///
    /// # Panics
    /// When `signed_log2` has another length.
    pub fn write(
        &mut self,
        image: &DepthImage<'_>,
        projected_gravity: &Vector3<f32>,
        signed_log2: &mut [f32],
    ) -> Result<(), DepthError> {
        let expected = [self.intrinsics.width_px, self.intrinsics.height_px];
        let found = [image.width_px, image.height_px];
        if found != expected && found.iter().all(|len| *len > 0) {
            return Err(DepthError::OtherSize { found, expected });
        }
        image.decode(&mut self.depth_m)?;
        self.look_up(projected_gravity, signed_log2);
        Ok(())
    }

    /// As [`write`](Self::write), of depths [rows, columns], m, where 0 is no depth.
    ///
    /// # Errors
    /// When the image is of another camera or tells nothing.
    ///
    /// # Panics
    /// When `signed_log2` has another length.
    pub fn write_depths(
        &mut self,
        depth_m: &[f32],
        projected_gravity: &Vector3<f32>,
        signed_log2: &mut [f32],
    ) -> Result<(), DepthError> {
        let expected = self.log_depth.len();
        if depth_m.len() != expected {
            let bytes = |pixels: usize| 4 * pixels;
            return Err(DepthError::Size {
                found: bytes(depth_m.len()),
                expected: bytes(expected),
            });
        }
        check(depth_m.iter().copied())?;
        self.depth_m.clear();
        self.depth_m.extend_from_slice(depth_m);
        self.look_up(projected_gravity, signed_log2);
        Ok(())
    }

    fn look_up(&mut self, projected_gravity: &Vector3<f32>, signed_log2: &mut [f32]) {
        assert_eq!(signed_log2.len(), self.grid.len(), "points of a grid");
        let Intrinsics {
            width_px,
            height_px,
            focal_px: [fx, fy],
            centre_px: [cx, cy],
        } = self.intrinsics;
        fill_holes(&mut self.depth_m, width_px);
        let (near_m, far_m) = (self.grid.rays.min_m, self.grid.rays.max_m);
        for (log, depth) in self.log_depth.iter_mut().zip(&self.depth_m) {
            *log = fast_log2(depth.clamp(near_m, far_m));
        }
        let to_camera = self.camera_base.inverse() * level(projected_gravity).inverse();
        let turn = to_camera.rotation.to_rotation_matrix();
        let [low, high] = TRUNCATION;
        for (signed, point) in signed_log2.iter_mut().zip(&self.points) {
            let at = turn * point.coords + to_camera.translation.vector;
            let stretch = 1.0 / at.x;
            // The nearest pixel, not a mean of several: there is nothing between a thing and what is behind it.
            let column = cx - fx * at.y * stretch + 0.5;
            let row = cy - fy * at.z * stretch + 0.5;
            let is_seen = at.x > 0.0
                && column >= 0.0
                && row >= 0.0
                && column < width_px as f32
                && row < height_px as f32;
            *signed = match is_seen {
                true => {
                    let log_depth = self.log_depth[row as usize * width_px + column as usize];
                    (log_depth - fast_log2(at.x)).clamp(low, high)
                }
                false => low,
            };
        }
    }
}

/// From the base frame to the level frame with the same heading.
fn level(projected_gravity: &Vector3<f32>) -> UnitQuaternion<f32> {
    let down = projected_gravity;
    let roll_rad = (-down.y).atan2(-down.z);
    let pitch_rad = down.x.atan2(down.y.hypot(down.z));
    UnitQuaternion::from_euler_angles(roll_rad, pitch_rad, 0.0)
}

/// log2 of a positive normal number, to 1e-4: a hundredth of a percent of a distance.
#[inline(always)]
pub fn fast_log2(x: f32) -> f32 {
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

    fn map(intrinsics: &Intrinsics, camera_base: &Isometry3<f32>) -> InputMap {
        InputMap::new(RayGrid::new(&RaySpec::default()), intrinsics, camera_base).unwrap()
    }

    /// Depths of a wall across the view that is `wall_m` before the base centre along the heading, over the ground
    /// 0.3 m below it.
    fn render(
        intrinsics: &Intrinsics,
        camera_base: &Isometry3<f32>,
        tilt: &UnitQuaternion<f32>,
        wall_m: f32,
    ) -> Vec<f32> {
        let pose = Isometry3::from_parts(Default::default(), *tilt) * camera_base;
        let Intrinsics {
            width_px,
            height_px,
            focal_px: [fx, fy],
            centre_px: [cx, cy],
        } = *intrinsics;
        let pixels = (0..height_px).flat_map(|v| (0..width_px).map(move |u| (u, v)));
        let depth = |(u, v): (usize, usize)| {
            let direction =
                pose.rotation * Vector3::new(1.0, (cx - u as f32) / fx, (cy - v as f32) / fy);
            let wall = (wall_m - pose.translation.x) / direction.x;
            let ground = (-0.3 - pose.translation.z) / direction.z;
            [wall, ground]
                .into_iter()
                .filter(|depth| *depth > 0.0)
                .fold(6.0, f32::min)
        };
        pixels.map(depth).collect()
    }

    /// Distance at which the signed distance of each ray changes its sign, in the plane of the rays.
    fn surfaces(map: &InputMap, signed_log2: &[f32]) -> Vec<f32> {
        let grid = map.grid();
        let plane = grid.aside_deg.len() + grid.aside_deg.len() / 2;
        let at = |row: usize, ray: usize| (row * grid.columns() + ray) * grid.channels() + plane;
        let behind = |ray: usize| {
            (1..grid.rows())
                .find(|row| signed_log2[at(*row, ray)] < 0.0 && signed_log2[at(row - 1, ray)] > 0.0)
        };
        let surface = |ray: usize| {
            let row = behind(ray).unwrap();
            let ahead_m = map.points[at(row, ray)].x + 0.05;
            let distance_m = ahead_m / grid.rays.angle_rad(ray).cos();
            // The camera is over the base, so that distances from it to the point and to the surface are in this ratio.
            (distance_m - 0.05) * signed_log2[at(row, ray)].exp2() + 0.05
        };
        (0..grid.columns()).map(surface).collect()
    }

    #[test]
    fn logarithms_are_good_to_a_hundredth_of_a_percent() {
        for step in 0..6000 {
            let x = 0.1 + 0.001 * step as f32;
            assert!((fast_log2(x) - x.log2()).abs() < 1e-4, "{x}");
        }
    }

    #[test]
    fn a_wall_is_where_it_is_for_any_resolution_mounting_and_tilt() {
        let mountings = [
            Isometry3::translation(0.0, 0.0, 0.27),
            Isometry3::from_parts(
                nalgebra::Translation3::new(0.1, 0.02, 0.2),
                UnitQuaternion::from_euler_angles(0.0, 0.1, 0.0),
            ),
        ];
        for camera_base in mountings {
            for intrinsics in [camera(160, 90), camera(640, 360)] {
                let mut map = map(&intrinsics, &camera_base);
                let mut signed = vec![0.0; map.grid().len()];
                for (roll, pitch) in [(0.0, 0.0), (0.15, -0.1), (-0.1, 0.12)] {
                    let tilt = UnitQuaternion::from_euler_angles(roll, pitch, 0.0);
                    let gravity = tilt.inverse_transform_vector(&-Vector3::z());
                    let depth_m = render(&intrinsics, &camera_base, &tilt, 2.0);
                    map.write_depths(&depth_m, &gravity, &mut signed).unwrap();
                    for (ray, found) in surfaces(&map, &signed).into_iter().enumerate() {
                        let expected = 2.05 / map.grid.rays.angle_rad(ray).cos();
                        assert!(
                            (found - expected).abs() < 0.03 * expected,
                            "{roll} {pitch} {ray}: {found} {expected}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_is_known_out_of_sight() {
        let intrinsics = camera(160, 90);
        let camera_base = Isometry3::translation(0.0, 0.0, 0.27);
        let mut map = map(&intrinsics, &camera_base);
        let mut signed = vec![0.0; map.grid().len()];
        let level = UnitQuaternion::identity();
        let depth_m = render(&intrinsics, &camera_base, &level, 9.0);
        map.write_depths(&depth_m, &-Vector3::z(), &mut signed)
            .unwrap();
        let [low, high] = TRUNCATION;
        for (signed, point) in signed.iter().zip(&map.points) {
            let aside = (point.y / point.x).abs();
            let fall = (0.27 - point.z) / point.x;
            // The image ends 80 pixels aside and 45 pixels down, of 64.8.
            if point.x < 0.0 || aside > 1.25 || fall > 0.71 {
                assert_eq!(*signed, low, "{point}");
            } else if aside < 1.22 && fall < 0.68 && point.x < 5.0 {
                assert!(*signed > 0.0 && *signed <= high, "{point}: {signed}");
            }
        }
    }

    #[test]
    fn a_mirrored_world_has_mirrored_distances() {
        let intrinsics = camera(160, 90);
        let camera_base = Isometry3::translation(0.0, 0.0, 0.27);
        let mut map = map(&intrinsics, &camera_base);
        let tilt = UnitQuaternion::from_euler_angles(0.1, 0.05, 0.0);
        let gravity = tilt.inverse_transform_vector(&-Vector3::z());
        let mut depth_m = render(&intrinsics, &camera_base, &tilt, 3.0);
        // Something to the left.
        for row in depth_m.chunks_exact_mut(160) {
            row[20..47].fill(1.0);
        }
        let mut signed = vec![0.0; map.grid().len()];
        map.write_depths(&depth_m, &gravity, &mut signed).unwrap();
        depth_m.chunks_exact_mut(160).for_each(<[f32]>::reverse);
        let gravity = gravity.component_mul(&Vector3::new(1.0, -1.0, 1.0));
        let mut mirrored = vec![0.0; map.grid().len()];
        map.write_depths(&depth_m, &gravity, &mut mirrored).unwrap();
        let differ = |a: &[f32], b: &[f32]| {
            let pairs = a.iter().zip(b);
            pairs.filter(|(a, b)| (*a - *b).abs() > 0.02).count()
        };
        assert!(differ(&signed, &mirrored) > signed.len() / 10);
        map.grid().clone().mirror(&mut mirrored);
        // Points halfway between two pixels may fall to either.
        let wrong = differ(&signed, &mirrored);
        assert!(wrong < signed.len() / 200, "{wrong} points differ");
    }

    #[test]
    fn images_of_another_camera_are_refused() {
        let mut map = map(&camera(160, 90), &Isometry3::identity());
        let mut signed = vec![0.0; map.grid().len()];
        let image = DepthImage {
            width_px: 80,
            height_px: 45,
            encoding: super::super::DepthEncoding::Millimetres16,
            is_big_endian: false,
            row_bytes: 160,
            data: &[1; 7200],
        };
        let error = map
            .write(&image, &-Vector3::z(), &mut signed)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("[80, 45]") && error.contains("[160, 90]"),
            "{error}"
        );
    }
}
