//! The simulated rays: exact distances from the robot to the obstacles. The ground is not seen: its bumps are far below
//! the height of the rays.

use std::f32::consts::FRAC_PI_2;

use nalgebra::{Point3, Vector2, Vector3};
use policies::rays::{MAX_RAYS, RayScan, RaySpec};
use robots::RobotState;

use crate::{
    obstacle::{Obstacle, ObstacleShape},
    rapier_engine::cast_ray,
};

/// Casts the rays of one [`RaySpec`].
#[derive(Clone, Debug)]
pub struct RayCaster {
    count: usize,
    origin_x_m: f32,
    min_m: f32,
    max_m: f32,
    /// Cylinders look thinner by this.
    hidden_m: f32,
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
            hidden_m: 0.0,
            forward: [0.0; MAX_RAYS],
            left: [0.0; MAX_RAYS],
            looks_forward: spec.first_rad > -FRAC_PI_2 && spec.last_rad < FRAC_PI_2,
        };
        for (index, direction) in spec.directions().enumerate() {
            (caster.forward[index], caster.left[index]) = (direction.x, direction.y);
        }
        caster
    }

    /// Cylinders that are thicker than they look by `margin_m`: who learns among them keeps that distance.
    #[must_use]
    pub fn with_hidden_margin(self, margin_m: f32) -> Self {
        Self {
            hidden_m: margin_m,
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
        let heading = (state.orientation * Vector3::x()).xy();
        let heading = heading.try_normalize(1e-6).unwrap_or_else(Vector2::x);
        let base = state.position_world;
        let origin = Point3::new(
            base.x + self.origin_x_m * heading.x,
            base.y + self.origin_x_m * heading.y,
            base.z,
        );
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
                        self.cast_circle(ahead, aside, radius_m - self.hidden_m, distance_m);
                    }
                }
                ObstacleShape::Box { .. } | ObstacleShape::Rapier(_) => {
                    for (index, distance) in distance_m.iter_mut().enumerate() {
                        let (forward, left) = (self.forward[index], self.left[index]);
                        let direction = Vector3::new(
                            heading.x * forward - heading.y * left,
                            heading.y * forward + heading.x * left,
                            0.0,
                        );
                        if let Some(hit) =
                            cast_ray(obstacle, &position, &origin, &direction, *distance)
                        {
                            *distance = hit;
                        }
                    }
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
    use rapier3d::prelude::SharedShape;

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

    /// The same cylinder, cast by rapier.
    fn as_rapier_shape(cylinder: &Obstacle) -> Obstacle {
        let ObstacleShape::Cylinder { radius_m, height_m } = cylinder.shape else {
            panic!("a cylinder")
        };
        Obstacle {
            shape: ObstacleShape::Rapier(SharedShape::cylinder(0.5 * height_m, radius_m)),
            orientation: UnitQuaternion::from_euler_angles(FRAC_PI_2, 0.0, 0.0),
            ..cylinder.clone()
        }
    }

    #[test]
    fn a_hidden_margin_is_not_seen() {
        let thick = [Obstacle::cylinder(2.0, 0.3, 0.4, 1.0).thicker(0.05)];
        let thin = [Obstacle::cylinder(2.0, 0.3, 0.4, 1.0)];
        let (spec, state) = (RaySpec::default(), robot_at(0.0, 0.0, 0.0));
        let mut scan = RayScan::clear(&spec);
        let caster = RayCaster::new(&spec).with_hidden_margin(0.05);
        caster.cast(&state, &thick, 0.0, &mut scan);
        let seen = cast(&state, &thin, 0.0);
        let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5;
        assert!(scan.distance_m.iter().zip(&seen).all(close), "{scan:?}");
        assert_ne!(cast(&state, &thick, 0.0), seen);
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
            let cylinders: Vec<Obstacle> = (0..8)
                .map(|_| {
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
                    cylinder
                })
                .collect();
            let by_rapier: Vec<Obstacle> = cylinders.iter().map(as_rapier_shape).collect();
            let exact = cast(&state, &cylinders, 0.7);
            let queried = cast(&state, &by_rapier, 0.7);
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
