//! The simulated rays: exact distances from the robot to the obstacles. The ground is not seen: its bumps are far below
//! the height of the rays.

use std::f32::consts::FRAC_PI_2;

use nalgebra::{Point3, Vector2, Vector3};
use policies::rays::{MAX_RAYS, RayScan, RaySpec};
use robots::RobotState;

use crate::{
    engine::cast_ray,
    scene::{CollisionMargin, Obstacle, ObstacleShape},
};

/// Casts the rays of one [`RaySpec`].
#[derive(Clone, Debug)]
pub struct RayCaster {
    spec: RaySpec,
    /// Sine and cosine of half the width of a ray.
    half_width: [f32; 2],
    /// Cylinders and boxes look thinner by this.
    collision_margin: CollisionMargin,
    /// Ray directions in the yaw frame.
    forward: [f32; MAX_RAYS],
    left: [f32; MAX_RAYS],
    /// Whether all rays point forward, so that nothing behind the origin can be seen.
    looks_forward: bool,
}

impl RayCaster {
    /// Prepares the directions.
    pub fn new(spec: &RaySpec) -> Self {
        let half_width_rad = 0.5 * spec.width_rad;
        let [first_rad, last_rad] = [
            spec.first_rad - half_width_rad,
            spec.last_rad + half_width_rad,
        ];
        let mut caster = Self {
            spec: spec.clone(),
            half_width: half_width_rad.sin_cos().into(),
            collision_margin: CollisionMargin::default(),
            forward: [0.0; MAX_RAYS],
            left: [0.0; MAX_RAYS],
            looks_forward: first_rad > -FRAC_PI_2 && last_rad < FRAC_PI_2,
        };
        for (index, direction) in spec.directions().enumerate() {
            (caster.forward[index], caster.left[index]) = (direction.x, direction.y);
        }
        caster
    }

    /// Among cylinders and boxes that are thicker than the rays see.
    #[must_use]
    pub(crate) fn with_collision_margin(self, collision_margin: CollisionMargin) -> Self {
        Self {
            collision_margin,
            ..self
        }
    }

    /// Writes what the robot sees `time_s` after the start of the episode.
    ///
    /// A ray is the horizontal distance of the nearest surface in its sector. Of all heights that count, an obstacle is cut at the one nearest to
    /// its centre, where upright shapes are widest; a cone at the one nearest to its foot. From within an obstacle all rays have the shortest distance.
    pub fn cast(
        &self,
        state: &RobotState,
        obstacles: &[Obstacle],
        time_s: f32,
        scan: &mut RayScan,
    ) {
        let (base, heading) = self.base_and_heading(state);
        let mut distance_m = [self.spec.max_m; MAX_RAYS];
        let distance_m = &mut distance_m[..self.spec.count];
        for obstacle in obstacles {
            let position = obstacle.position_at(time_s);
            let origin = self.origin(&base, obstacle, &position);
            let offset = position - origin;
            let ahead = offset.xy().dot(&heading);
            let aside = heading.perp(&offset.xy());
            match obstacle.shape {
                ObstacleShape::Cylinder { radius_m, height_m } => {
                    if offset.z.abs() <= 0.5 * height_m {
                        let radius_m = radius_m - self.collision_margin.of(obstacle);
                        self.cast_circle(ahead, aside, radius_m, distance_m);
                    }
                }
                ObstacleShape::Box { half_extents_m } => {
                    let turn = obstacle.orientation.inverse().to_rotation_matrix();
                    let margin_m = self.collision_margin.of(obstacle);
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
                    let ray = |ray| {
                        let direction = self.towards(ray, ahead, aside);
                        let direction = Vector3::new(
                            heading.x * direction.x - heading.y * direction.y,
                            heading.y * direction.x + heading.x * direction.y,
                            0.0,
                        );
                        cast_ray(obstacle, &position, &origin, &direction, self.spec.max_m)
                    };
                    for (index, distance) in distance_m.iter_mut().enumerate() {
                        *distance = ray(index).map_or(*distance, |hit| distance.min(hit));
                    }
                }
            }
        }
        scan.distance_m.clear();
        scan.distance_m.extend(
            distance_m
                .iter()
                .map(|distance| distance.clamp(self.spec.min_m, self.spec.max_m)),
        );
    }

    /// Where the rays begin at the height of the base, and where the robot heads, world frame.
    fn base_and_heading(&self, state: &RobotState) -> (Point3<f32>, Vector2<f32>) {
        let heading = (state.orientation * Vector3::x()).xy();
        let heading = heading.try_normalize(1e-6).unwrap_or_else(Vector2::x);
        let base = state.position_world;
        let origin = Point3::new(
            base.x + self.spec.origin_x_m * heading.x,
            base.y + self.spec.origin_x_m * heading.y,
            base.z,
        );
        (origin, heading)
    }

    /// Where the rays to an obstacle begin: at the height, of those that count, at which it is widest.
    fn origin(
        &self,
        base: &Point3<f32>,
        obstacle: &Obstacle,
        position: &Point3<f32>,
    ) -> Point3<f32> {
        let widest_m = match obstacle.shape {
            // A ray in the very plane of its foot would miss it.
            ObstacleShape::Cone { height_m, .. } => position.z - 0.49 * height_m,
            _ => position.z,
        };
        let [low_m, high_m] = self.spec.height_m.map(|height_m| base.z + height_m);
        Point3::new(base.x, base.y, widest_m.clamp(low_m, high_m))
    }

    /// The direction, within the sector of a ray, that is nearest to that of a point `ahead` and `aside` (to the left) of the origin, yaw frame.
    fn towards(&self, ray: usize, ahead: f32, aside: f32) -> Vector2<f32> {
        let direction = Vector2::new(self.forward[ray], self.left[ray]);
        let to_point = Vector2::new(ahead, aside);
        let along = direction.dot(&to_point);
        let beside = direction.perp(&to_point);
        let [sin, cos] = self.half_width;
        if beside.abs() * cos < along * sin {
            return to_point.normalize();
        }
        turned(direction, [sin.copysign(beside), cos])
    }

    /// Shortens the rays that meet a box; origin and directions are in its frame.
    ///
    /// Within a sector the nearest point of something convex is at an edge of the sector, unless it is the nearest of all.
    fn cast_box(
        &self,
        origin: &Vector3<f32>,
        ahead: &Vector3<f32>,
        left: &Vector3<f32>,
        half_extents_m: &Vector3<f32>,
        distance_m: &mut [f32],
    ) {
        let reach = self.spec.max_m + half_extents_m.norm();
        if origin.norm_squared() > reach * reach {
            return;
        }
        let [sin, cos] = self.half_width;
        let edges = [[sin, cos], [-sin, cos]];
        let edges = if sin > 0.0 { &edges[..] } else { &edges[..1] };
        for ((distance, forward), aside) in distance_m.iter_mut().zip(&self.forward).zip(&self.left)
        {
            for edge in edges {
                let edge = turned(Vector2::new(*forward, *aside), *edge);
                let direction = ahead * edge.x + left * edge.y;
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
        if sin > 0.0 && origin.z.abs() <= half_extents_m.z {
            let half = half_extents_m.xy().map(|half| half.max(0.0));
            let nearest =
                origin.xy().zip_map(&half, |at, half| at.clamp(-half, half)) - origin.xy();
            let (ahead, aside) = (nearest.dot(&ahead.xy()), nearest.dot(&left.xy()));
            if let Some((ray, off_rad)) = self.spec.nearest(aside.atan2(ahead))
                && off_rad <= 0.5 * self.spec.width_rad
            {
                distance_m[ray] = distance_m[ray].min(nearest.norm());
            }
        }
    }

    /// Shortens the rays that meet a circle whose centre is `ahead` and `aside` (to the left) of the origin.
    fn cast_circle(&self, ahead: f32, aside: f32, radius_m: f32, distance_m: &mut [f32]) {
        let reach = self.spec.max_m + radius_m;
        let centre_squared = ahead * ahead + aside * aside;
        let radius_squared = radius_m * radius_m;
        if centre_squared > reach * reach || (self.looks_forward && ahead < -radius_m) {
            return;
        }
        if centre_squared <= radius_squared {
            distance_m.fill(0.0);
            return;
        }
        let centre_m = centre_squared.sqrt();
        let [sin, cos] = self.half_width;
        for ((distance, forward), left) in distance_m.iter_mut().zip(&self.forward).zip(&self.left)
        {
            let along = ahead * forward + aside * left;
            let beside = (aside * forward - ahead * left).abs();
            // As `towards`.
            let (along, beside) = if beside * cos < along * sin {
                (centre_m, 0.0)
            } else {
                (along * cos + beside * sin, beside * cos - along * sin)
            };
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

/// A direction turned to the left by an angle of which sine and cosine are known.
fn turned(direction: Vector2<f32>, [sin, cos]: [f32; 2]) -> Vector2<f32> {
    Vector2::new(
        direction.x * cos - direction.y * sin,
        direction.y * cos + direction.x * sin,
    )
}

#[cfg(test)]
mod tests;
