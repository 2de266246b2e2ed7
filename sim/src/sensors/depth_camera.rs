//! The depth camera: one ray per pixel against the ground and the obstacles.
//!
//! A pixel's ray is parametrized by its depth, the distance along the optical axis, which is what depth cameras report.
//! Each primitive is cast against the pixels that it can cover only, in closed form.

use nalgebra::{Isometry3, Point3, Translation3, Vector3};
use policies::depth::Intrinsics;
use robots::Camera;

use super::primitive::Primitive;
use crate::scene::Obstacle;

/// A pinhole depth camera that is mounted on a robot.
#[derive(Clone, Debug)]
pub struct DepthCamera {
    intrinsics: Intrinsics,
    pose_base: Isometry3<f32>,
    range_m: [f32; 2],
    /// Slope to the left of each column, and upwards of each row.
    left: Vec<f32>,
    up: Vec<f32>,
}

/// Columns and rows that something can cover, [first, end).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    columns: [usize; 2],
    rows: [usize; 2],
}

/// Nearer corners have no projection that bounds what is behind them, m.
const NEAR_M: f32 = 0.05;

impl DepthCamera {
    /// The camera of a robot.
    pub fn new(camera: &Camera) -> Self {
        let intrinsics = Intrinsics::of(camera);
        let Intrinsics {
            width_px,
            height_px,
            focal_px: [fx, fy],
            centre_px: [cx, cy],
        } = intrinsics;
        Self {
            left: (0..width_px).map(|u| (cx - u as f32) / fx).collect(),
            up: (0..height_px).map(|v| (cy - v as f32) / fy).collect(),
            intrinsics,
            pose_base: camera.pose_base,
            range_m: camera.range_m,
        }
    }

    /// Size, focal length and centre of its images.
    pub fn intrinsics(&self) -> &Intrinsics {
        &self.intrinsics
    }

    /// Pose in the base frame; it looks along its x axis.
    pub fn pose_base(&self) -> &Isometry3<f32> {
        &self.pose_base
    }

    /// Number of pixels.
    pub fn num_pixels(&self) -> usize {
        self.left.len() * self.up.len()
    }

    /// Writes depths [rows, columns], m, within the camera's range: what it sees from `pose_world` of obstacles that
    /// stand where they were `time_s` after the start of the episode, on the plane z = 0.
    ///
    /// # Panics
    /// When `depth_m` has another length than the image.
    pub fn render(
        &self,
        pose_world: &Isometry3<f32>,
        obstacles: &[Obstacle],
        time_s: f32,
        depth_m: &mut [f32],
    ) {
        assert_eq!(depth_m.len(), self.num_pixels(), "pixels of an image");
        let [near, far] = self.range_m;
        self.render_ground(pose_world, depth_m);
        for obstacle in obstacles {
            let position = obstacle.position_at(time_s);
            let offset = (position - pose_world.translation.vector).coords;
            let half = obstacle.local_half_extents_m();
            if offset.norm() > far * 1.7 + half.norm() {
                continue;
            }
            let primitive = Primitive::new(obstacle);
            let pose = Isometry3::from_parts(
                Translation3::from(position),
                primitive.orientation(obstacle),
            );
            let from_camera = pose_world.inv_mul(&pose);
            if let Some(window) = self.window(&from_camera, half, far) {
                self.render_primitive(&primitive, &from_camera, window, depth_m);
            }
        }
        for depth in depth_m {
            *depth = depth.clamp(near, far);
        }
    }

    fn render_ground(&self, pose_world: &Isometry3<f32>, depth_m: &mut [f32]) {
        let far = self.range_m[1];
        let height_m = pose_world.translation.z;
        // Third row of the rotation: how much each axis of the camera rises.
        let rotation = pose_world.rotation.to_rotation_matrix();
        let rise = rotation.matrix().row(2).into_owned();
        for (row, up) in depth_m.chunks_exact_mut(self.left.len()).zip(&self.up) {
            let middle = rise[0] + rise[2] * up;
            for (depth, left) in row.iter_mut().zip(&self.left) {
                let slope = middle + rise[1] * left;
                let at = -height_m / slope;
                *depth = if slope < 0.0 && at < far { at } else { far };
            }
        }
    }

    fn render_primitive(
        &self,
        primitive: &Primitive,
        from_camera: &Isometry3<f32>,
        window: Window,
        depth_m: &mut [f32],
    ) {
        let to_local = from_camera.inverse();
        let origin = Point3::from(to_local.translation.vector);
        let [ahead, left, up] =
            [Vector3::x(), Vector3::y(), Vector3::z()].map(|axis| to_local.rotation * axis);
        let width = self.left.len();
        for row in window.rows[0]..window.rows[1] {
            let middle = ahead + up * self.up[row];
            let [first, end] = window.columns;
            let pixels = &mut depth_m[row * width + first..row * width + end];
            let directions = self.left[first..end]
                .iter()
                .map(|slope| middle + left * *slope);
            primitive.cast_row(&origin, directions, pixels);
        }
    }

    /// Pixels that a box can cover, given its pose in the camera frame; none if it is out of sight.
    fn window(&self, from_camera: &Isometry3<f32>, half: Vector3<f32>, far: f32) -> Option<Window> {
        let [mut low, mut high] = [[f32::INFINITY; 2], [f32::NEG_INFINITY; 2]];
        let [mut nearest, mut farthest] = [f32::INFINITY, f32::NEG_INFINITY];
        for corner in 0..8 {
            let sign = |axis: u32| if corner >> axis & 1 == 0 { -1.0 } else { 1.0 };
            let local = half.component_mul(&Vector3::new(sign(0), sign(1), sign(2)));
            let at = from_camera * Point3::from(local);
            nearest = nearest.min(at.x);
            farthest = farthest.max(at.x);
            for (axis, slope) in [at.y / at.x, at.z / at.x].into_iter().enumerate() {
                low[axis] = low[axis].min(slope);
                high[axis] = high[axis].max(slope);
            }
        }
        if farthest < 0.0 || nearest > far {
            return None;
        }
        let (columns, rows) = (self.left.len(), self.up.len());
        let mut window = Window {
            columns: [0, columns],
            rows: [0, rows],
        };
        if nearest > NEAR_M {
            let Intrinsics {
                focal_px: focal,
                centre_px: middle,
                ..
            } = self.intrinsics;
            for (axis, (range, len)) in [(&mut window.columns, columns), (&mut window.rows, rows)]
                .into_iter()
                .enumerate()
            {
                let pixel = |slope: f32| middle[axis] - slope * focal[axis];
                // A cast beyond the int range saturates, which is what is wanted.
                *range = [
                    (pixel(high[axis]).ceil().max(0.0) as usize).min(len),
                    ((pixel(low[axis]).floor() + 1.0).max(0.0) as usize).min(len),
                ];
            }
        }
        let is_seen = window.columns[0] < window.columns[1] && window.rows[0] < window.rows[1];
        is_seen.then_some(window)
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::{Point2, UnitQuaternion};
    use rand::RngExt;
    use robots::Robot;

    use super::*;
    use crate::{
        engine::cast_ray,
        random::stream,
        scene::{ObjectKind, ObstacleShape},
    };

    fn camera() -> DepthCamera {
        DepthCamera::new(Robot::load("go1").unwrap().camera.as_ref().unwrap())
    }

    fn look(camera: &DepthCamera, base: Isometry3<f32>, obstacles: &[Obstacle]) -> Vec<f32> {
        let mut depth_m = vec![f32::NAN; camera.num_pixels()];
        camera.render(&(base * camera.pose_base()), obstacles, 0.0, &mut depth_m);
        depth_m
    }

    fn standing() -> Isometry3<f32> {
        Isometry3::translation(0.0, 0.0, 0.3)
    }

    #[test]
    fn every_pixel_agrees_with_rapier() {
        let camera = camera();
        let kinds: Vec<ObjectKind> = ObjectKind::all().collect();
        for draw in 0..60 {
            let mut stream = stream(3, draw);
            let mut number = |low: f32, high: f32| low + (high - low) * stream.random::<f32>();
            let base = Isometry3::from_parts(
                Translation3::new(number(-0.3, 0.3), number(-0.3, 0.3), number(0.2, 0.35)),
                UnitQuaternion::from_euler_angles(
                    number(-0.3, 0.3),
                    number(-0.3, 0.3),
                    number(-3.0, 3.0),
                ),
            );
            let place = Point2::new(number(-3.0, 3.0), number(-3.0, 3.0));
            let kind = kinds[draw as usize % kinds.len()];
            let mut parts = kind.draw(place, &mut stream).parts;
            // A leaning shape.
            parts.push(Obstacle {
                shape: ObstacleShape::Cone {
                    radius_m: 0.3,
                    height_m: 1.0,
                },
                position_world: Point3::new(place.y, -place.x, 0.4),
                orientation: UnitQuaternion::from_euler_angles(0.4, 0.2, 0.1),
                velocity_world: Vector3::zeros(),
            });
            let found = look(&camera, base, &parts);
            let pose = base * camera.pose_base();
            let origin = Point3::from(pose.translation.vector);
            let mut wrong = 0;
            for (pixel, found) in found.iter().enumerate() {
                let (row, column) = (pixel / 160, pixel % 160);
                let ray = Vector3::new(1.0, camera.left[column], camera.up[row]);
                let stretch = ray.norm();
                let direction = pose.rotation * ray / stretch;
                let mut expected = 6.0 * stretch;
                if direction.z < 0.0 {
                    expected = f32::min(expected, -origin.z / direction.z);
                }
                for part in &parts {
                    let hit = cast_ray(part, &part.position_world, &origin, &direction, expected);
                    expected = hit.unwrap_or(expected);
                }
                let expected = (expected / stretch).clamp(0.1, 6.0);
                // Rays that graze an edge may fall on either side of it.
                wrong += usize::from((found - expected).abs() > 2e-3 * expected);
            }
            // A vase of ten rings has many edges.
            assert!(wrong <= 40, "{kind:?} at {place}: {wrong} pixels differ");
        }
    }

    #[test]
    fn image_and_rays_see_the_same_cylinder() {
        let camera = camera();
        let depth_m = look(
            &camera,
            standing(),
            &[Obstacle::cylinder(2.0, 0.0, 0.4, 1.0)],
        );
        // The camera is over the base, the rays begin 0.05 m behind it and 0.27 m lower.
        let focal = camera.intrinsics().focal_px[1];
        assert!((focal - 80.0 / 51.0_f32.to_radians().tan()).abs() < 1e-3);
        let row = (44.5 + focal * 0.27 / 1.6).round() as usize;
        let [left, right] = [79, 80].map(|column| depth_m[row * 160 + column]);
        assert!((left - 1.6).abs() < 1e-3 && left == right, "{left} {right}");
        // Above the horizon, beside the cylinder: nothing. Lowest row: the ground.
        assert_eq!(depth_m[10 * 160 + 5], 6.0);
        let ground = 0.57 / (44.5 / focal);
        assert!(
            (depth_m[89 * 160 + 3] - ground).abs() < 1e-3,
            "{}",
            depth_m[89 * 160 + 3]
        );
    }

    #[test]
    fn left_is_left_and_a_nose_that_goes_down_sees_more_ground() {
        let camera = camera();
        let depth_m = look(
            &camera,
            standing(),
            &[Obstacle::cylinder(2.0, 1.0, 0.3, 1.0)],
        );
        let near =
            |columns: std::ops::Range<usize>| columns.clone().any(|c| depth_m[45 * 160 + c] < 3.0);
        assert!(near(0..80) && !near(80..160));
        let down = standing() * UnitQuaternion::from_euler_angles(0.0, 0.2, 0.0);
        let level = look(&camera, standing(), &[]);
        let tilted = look(&camera, down, &[]);
        let seen = |image: &[f32]| image.iter().filter(|depth| **depth < 6.0).count();
        assert!(
            seen(&tilted) > seen(&level) + 1000,
            "{} {}",
            seen(&tilted),
            seen(&level)
        );
    }

    #[test]
    fn obstacles_are_seen_where_they_have_moved_and_from_within_at_the_shortest_distance() {
        let camera = camera();
        let mut moving = Obstacle::cylinder(4.0, 0.0, 0.4, 1.0);
        moving.velocity_world = Vector3::new(-1.0, 0.0, 0.0);
        let mut depth_m = vec![0.0; camera.num_pixels()];
        let pose = standing() * camera.pose_base();
        camera.render(&pose, std::slice::from_ref(&moving), 2.0, &mut depth_m);
        assert!((depth_m[45 * 160 + 80] - 1.6).abs() < 1e-3);
        camera.render(&pose, std::slice::from_ref(&moving), 4.0, &mut depth_m);
        assert_eq!(depth_m[45 * 160 + 80], 0.1);
    }
}
