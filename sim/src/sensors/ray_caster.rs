//! The simulated rays: exact distances from the robot to the obstacles. The ground is not seen: its bumps are far below
//! the height of the rays.

use std::f32::consts::FRAC_PI_2;

use nalgebra::{Point3, Vector2, Vector3};
use policies::rays::{MAX_RAYS, RayScan, RaySpec};
use robots::RobotState;

use crate::{
    engine::cast_ray,
    scene::{Obstacle, ObstacleShape},
};

/// Casts the rays of one [`RaySpec`].
#[derive(Clone, Debug)]
pub struct RayCaster {
    count: usize,
    origin_x_m: f32,
    min_m: f32,
    max_m: f32,
    /// Cylinders and boxes look thinner by this.
    collision_margin_m: f32,
    /// Ray directions in the yaw frame.
    forward: [f32; MAX_RAYS],
    left: [f32; MAX_RAYS],
    /// Whether all rays point forward, so that nothing behind the origin can be seen.
    looks_forward: bool,
}

impl RayCaster {
    /// Prepares the directions.
    pub fn new(spec: &RaySpec) -> Self {
        let mut caster = Self {
            count: spec.count,
            origin_x_m: spec.origin_x_m,
            min_m: spec.min_m,
            max_m: spec.max_m,
            collision_margin_m: 0.0,
            forward: [0.0; MAX_RAYS],
            left: [0.0; MAX_RAYS],
            looks_forward: spec.first_rad > -FRAC_PI_2 && spec.last_rad < FRAC_PI_2,
        };
        for (index, direction) in spec.directions().enumerate() {
            (caster.forward[index], caster.left[index]) = (direction.x, direction.y);
        }
        caster
    }

    /// Among cylinders and boxes that are thicker than the rays see by `margin_m`, so that policies learn to keep that distance.
    #[must_use]
    pub(crate) fn with_collision_margin(self, margin_m: f32) -> Self {
        Self {
            collision_margin_m: margin_m,
            ..self
        }
    }

    /// Writes what the robot sees `time_s` after the start of the episode.
    ///
    /// The rays are horizontal, at the height of the base. From within an obstacle all rays have the shortest distance.
    pub fn cast(
        &self,
        state: &RobotState,
        obstacles: &[Obstacle],
        time_s: f32,
        scan: &mut RayScan,
    ) {
        let (origin, heading) = self.origin_and_heading(state);
        let mut distance_m = [self.max_m; MAX_RAYS];
        let distance_m = &mut distance_m[..self.count];
        for obstacle in obstacles {
            let position = obstacle.position_at(time_s);
            let offset = position - origin;
            match obstacle.shape {
                ObstacleShape::Cylinder { radius_m, height_m } => {
                    if offset.z.abs() <= 0.5 * height_m {
                        let ahead = offset.xy().dot(&heading);
                        let aside = heading.perp(&offset.xy());
                        self.cast_circle(
                            ahead,
                            aside,
                            radius_m - self.collision_margin_m,
                            distance_m,
                        );
                    }
                }
                ObstacleShape::Box { half_extents_m } => {
                    let turn = obstacle.orientation.inverse().to_rotation_matrix();
                    let margin_m = self.collision_margin_m;
                    let margin = Vector3::new(margin_m, margin_m, 0.0);
                    self.cast_box(
                        &(turn * -offset),
                        &(turn * Vector3::new(heading.x, heading.y, 0.0)),
                        &(turn * Vector3::new(-heading.y, heading.x, 0.0)),
                        &(half_extents_m - margin),
                        distance_m,
                    );
                }
                ObstacleShape::Ball { .. } | ObstacleShape::Cone { .. } => {
                    self.cast_by_rapier(obstacle, &position, &origin, &heading, distance_m);
                }
            }
        }
        scan.distance_m.clear();
        scan.distance_m.extend(
            distance_m
                .iter()
                .map(|distance| distance.clamp(self.min_m, self.max_m)),
        );
    }

    /// Where the rays begin, and where the robot heads, world frame.
    fn origin_and_heading(&self, state: &RobotState) -> (Point3<f32>, Vector2<f32>) {
        let heading = (state.orientation * Vector3::x()).xy();
        let heading = heading.try_normalize(1e-6).unwrap_or_else(Vector2::x);
        let base = state.position_world;
        let origin = Point3::new(
            base.x + self.origin_x_m * heading.x,
            base.y + self.origin_x_m * heading.y,
            base.z,
        );
        (origin, heading)
    }

    /// Shortens the rays that meet an obstacle of any shape.
    fn cast_by_rapier(
        &self,
        obstacle: &Obstacle,
        position: &Point3<f32>,
        origin: &Point3<f32>,
        heading: &Vector2<f32>,
        distance_m: &mut [f32],
    ) {
        for (index, distance) in distance_m.iter_mut().enumerate() {
            let (forward, left) = (self.forward[index], self.left[index]);
            let direction = Vector3::new(
                heading.x * forward - heading.y * left,
                heading.y * forward + heading.x * left,
                0.0,
            );
            if let Some(hit) = cast_ray(obstacle, position, origin, &direction, *distance) {
                *distance = hit;
            }
        }
    }

    /// Shortens the rays that meet a box; origin and directions are in its frame.
    fn cast_box(
        &self,
        origin: &Vector3<f32>,
        ahead: &Vector3<f32>,
        left: &Vector3<f32>,
        half_extents_m: &Vector3<f32>,
        distance_m: &mut [f32],
    ) {
        let reach = self.max_m + half_extents_m.norm();
        if origin.norm_squared() > reach * reach {
            return;
        }
        for ((distance, forward), aside) in distance_m.iter_mut().zip(&self.forward).zip(&self.left)
        {
            let direction = ahead * *forward + left * *aside;
            let (mut enter, mut leave) = (0.0_f32, f32::INFINITY);
            for axis in 0..3 {
                // Parallel to a side of the box the division gives infinities, which compare as they should; a ray in
                // the plane of a side would be NaN, and those `min` and `max` leave out.
                let to_low = (-half_extents_m[axis] - origin[axis]) / direction[axis];
                let to_high = (half_extents_m[axis] - origin[axis]) / direction[axis];
                enter = enter.max(to_low.min(to_high));
                leave = leave.min(to_low.max(to_high));
            }
            if enter <= leave {
                *distance = distance.min(enter);
            }
        }
    }

    /// Shortens the rays that meet a circle whose centre is `ahead` and `aside` (to the left) of the origin.
    fn cast_circle(&self, ahead: f32, aside: f32, radius_m: f32, distance_m: &mut [f32]) {
        let reach = self.max_m + radius_m;
        let centre_squared = ahead * ahead + aside * aside;
        let radius_squared = radius_m * radius_m;
        if centre_squared > reach * reach || (self.looks_forward && ahead < -radius_m) {
            return;
        }
        if centre_squared <= radius_squared {
            distance_m.fill(0.0);
            return;
        }
        for ((distance, forward), left) in distance_m.iter_mut().zip(&self.forward).zip(&self.left)
        {
            let along = ahead * forward + aside * left;
            let beside = aside * forward - ahead * left;
            let half_chord_squared = radius_squared - beside * beside;
            let near = along - half_chord_squared.max(0.0).sqrt();
            let is_hit = half_chord_squared >= 0.0 && along > 0.0;
            *distance = if is_hit {
                distance.min(near)
            } else {
                *distance
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::UnitQuaternion;
    use rand::RngExt;

    use super::*;
    use crate::random::stream;

    fn cast(state: &RobotState, obstacles: &[Obstacle], time_s: f32) -> Vec<f32> {
        let spec = RaySpec::default();
        let mut scan = RayScan::clear(&spec);
        RayCaster::new(&spec).cast(state, obstacles, time_s, &mut scan);
        scan.distance_m.to_vec()
    }

    fn robot_at(x: f32, y: f32, yaw: f32) -> RobotState {
        let mut state = RobotState::zero(12, 4);
        state.position_world = Point3::new(x, y, 0.3);
        state.orientation = UnitQuaternion::from_euler_angles(0.0, 0.0, yaw);
        state
    }

    /// The same by rapier.
    fn cast_by_rapier(state: &RobotState, obstacles: &[Obstacle], time_s: f32) -> Vec<f32> {
        let spec = RaySpec::default();
        let caster = RayCaster::new(&spec);
        let (origin, heading) = caster.origin_and_heading(state);
        let mut distance_m = vec![spec.max_m; spec.count];
        for obstacle in obstacles {
            let position = obstacle.position_at(time_s);
            caster.cast_by_rapier(obstacle, &position, &origin, &heading, &mut distance_m);
        }
        let clamped = distance_m
            .iter()
            .map(|ray| ray.clamp(spec.min_m, spec.max_m));
        clamped.collect()
    }

    #[test]
    fn a_collision_margin_is_not_seen() {
        let thin = [
            Obstacle::cylinder(2.0, 0.3, 0.4, 1.0),
            Obstacle {
                shape: ObstacleShape::Box {
                    half_extents_m: Vector3::new(0.1, 0.6, 0.5),
                },
                orientation: UnitQuaternion::from_euler_angles(0.0, 0.0, 0.4),
                ..Obstacle::cylinder(1.5, -0.6, 0.4, 1.0)
            },
        ];
        let thick = thin.clone().map(|obstacle| obstacle.thicker(0.05));
        let (spec, state) = (RaySpec::default(), robot_at(0.0, 0.0, 0.0));
        let mut scan = RayScan::clear(&spec);
        let caster = RayCaster::new(&spec).with_collision_margin(0.05);
        caster.cast(&state, &thick, 0.0, &mut scan);
        let seen = cast(&state, &thin, 0.0);
        let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5;
        assert!(scan.distance_m.iter().zip(&seen).all(close), "{scan:?}");
        for (obstacle, thicker) in thin.into_iter().zip(thick) {
            assert_ne!(
                cast(&state, &[thicker], 0.0),
                cast(&state, &[obstacle], 0.0)
            );
        }
    }

    #[test]
    fn a_cylinder_ahead_is_seen_from_behind_the_base() {
        let obstacles = [Obstacle::cylinder(2.0, 0.0, 0.4, 1.0)];
        let distances = cast(&robot_at(0.0, 0.0, 0.0), &obstacles, 0.0);
        assert!((distances[5] - 1.65).abs() < 1e-5, "{distances:?}");
        assert_eq!(distances[0], 6.0);
        assert_eq!(distances[4], distances[6]);
    }

    #[test]
    fn the_first_ray_looks_to_the_right() {
        let obstacles = [Obstacle::cylinder(1.95, -2.0, 0.4, 1.0)];
        let distances = cast(&robot_at(0.0, 0.0, 0.0), &obstacles, 0.0);
        let expected = 8.0_f32.sqrt() - 0.4;
        assert!((distances[0] - expected).abs() < 1e-5, "{distances:?}");
        assert_eq!(distances[10], 6.0);
    }

    #[test]
    fn the_closed_form_agrees_with_rapier() {
        let mut stream = stream(7, 0);
        for _ in 0..200 {
            let mut draw = |low: f32, high: f32| low + (high - low) * stream.random::<f32>();
            let state = {
                let mut state = robot_at(draw(-1.0, 1.0), draw(-1.0, 1.0), draw(-3.2, 3.2));
                let tilt = UnitQuaternion::from_euler_angles(draw(-0.4, 0.4), draw(-0.4, 0.4), 0.0);
                state.orientation *= tilt;
                state
            };
            let obstacles: Vec<Obstacle> = (0..8)
                .map(|index| {
                    // Some below the rays, none with its top at their very height.
                    let height =
                        [draw(0.1, 0.29), draw(0.31, 1.0)][usize::from(draw(0.0, 1.0) > 0.2)];
                    let mut cylinder = Obstacle::cylinder(
                        draw(-4.0, 4.0),
                        draw(-4.0, 4.0),
                        draw(0.05, 0.6),
                        height,
                    );
                    cylinder.velocity_world = Vector3::new(draw(-1.0, 1.0), draw(-1.0, 1.0), 0.0);
                    if index % 2 == 0 {
                        return cylinder;
                    }
                    Obstacle {
                        shape: ObstacleShape::Box {
                            half_extents_m: Vector3::new(
                                draw(0.05, 1.0),
                                draw(0.05, 0.5),
                                0.5 * height,
                            ),
                        },
                        orientation: UnitQuaternion::from_euler_angles(0.0, 0.0, draw(-3.2, 3.2)),
                        ..cylinder
                    }
                })
                .collect();
            let exact = cast(&state, &obstacles, 0.7);
            let queried = cast_by_rapier(&state, &obstacles, 0.7);
            for (a, b) in exact.iter().zip(&queried) {
                // Rays that graze a cylinder have a distance of infinite slope.
                assert!(
                    (a - b).abs() < 5e-3,
                    "closed form {exact:?}, rapier {queried:?}"
                );
            }
        }
    }

    #[test]
    fn a_box_is_seen_where_it_is_after_it_has_moved() {
        let wall = Obstacle {
            shape: ObstacleShape::Box {
                half_extents_m: Vector3::new(0.1, 5.0, 1.0),
            },
            position_world: Point3::new(3.0, 0.0, 0.5),
            orientation: UnitQuaternion::identity(),
            velocity_world: Vector3::new(-1.0, 0.0, 0.0),
        };
        let distances = cast(&robot_at(0.0, 0.0, 0.0), &[wall], 1.0);
        assert!((distances[5] - 1.95).abs() < 1e-5, "{distances:?}");
        assert!((distances[0] - 1.95 * 2.0_f32.sqrt()).abs() < 1e-4);
    }

    #[test]
    fn rays_pass_over_low_and_under_high_obstacles_and_ignore_what_is_behind() {
        let mut high = Obstacle::cylinder(2.0, 0.0, 0.4, 1.0);
        high.position_world.z = 1.0;
        let obstacles = [
            Obstacle::cylinder(2.0, 0.0, 0.4, 0.2),
            Obstacle::cylinder(-2.0, 0.0, 0.4, 1.0),
            high,
        ];
        let distances = cast(&robot_at(0.0, 0.0, 0.0), &obstacles, 0.0);
        assert_eq!(distances, vec![6.0; 11]);
    }

    #[test]
    fn distances_are_clipped() {
        let near = [Obstacle::cylinder(0.44, 0.0, 0.4, 1.0)];
        let within = [Obstacle::cylinder(0.1, 0.0, 0.4, 1.0)];
        let far = [Obstacle::cylinder(7.0, 0.0, 0.4, 1.0)];
        let state = robot_at(0.0, 0.0, 0.0);
        assert_eq!(cast(&state, &near, 0.0)[5], 0.1);
        assert_eq!(cast(&state, &within, 0.0), vec![0.1; 11]);
        assert_eq!(cast(&state, &far, 0.0), vec![6.0; 11]);
    }
}
