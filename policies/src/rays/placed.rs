//! A scan with the pose that it was made from, so that it can be seen from another.

use nalgebra::{Point2, Rotation2, Vector2};
use robots::RobotState;
use serde::{Deserialize, Serialize};

use super::{RayScan, RaySpec};

/// Neighbouring hits are of one surface if they are nearer to each other than this, in units of their distance at right angles to the rays.
const SURFACE_SLANT: f32 = 2.0;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PlacedScan {
    origin: Point2<f32>,
    yaw_rad: f32,
    distance_m: Vec<f32>,
}

/// A hit as the robot would see it now.
#[derive(Clone, Copy)]
struct Hit {
    position: Vector2<f32>,
    /// Its bearing, as a place between the rays.
    place: f32,
    distance_m: f32,
}

impl PlacedScan {
    /// Nothing in reach.
    pub fn clear(rays: &RaySpec) -> Self {
        Self {
            origin: Point2::origin(),
            yaw_rad: 0.0,
            distance_m: vec![rays.max_m; rays.count],
        }
    }

    /// Takes a scan that was made from the pose of `state`.
    ///
    /// # Panics
    /// When `scan` does not have as many rays.
    pub fn place(&mut self, rays: &RaySpec, state: &RobotState, scan: &RayScan) {
        (self.origin, self.yaw_rad) = (rays.origin_world(state), state.yaw_rad());
        self.distance_m.copy_from_slice(&scan.distance_m);
    }

    /// Whether it was made from the pose of `state`.
    pub fn is_at(&self, rays: &RaySpec, state: &RobotState) -> bool {
        (self.origin, self.yaw_rad) == (rays.origin_world(state), state.yaw_rad())
    }

    /// Writes it as it was made.
    pub fn write(&self, scan: &mut RayScan) {
        scan.distance_m.clear();
        scan.distance_m.extend(self.distance_m.iter().copied());
    }

    /// Writes what the rays of a robot in this state would meet of the surfaces between the hits. What the scan did not see is free. Never allocates.
    pub fn seen_from(&self, rays: &RaySpec, state: &RobotState, seen: &mut RayScan) {
        let (origin, yaw_rad) = (rays.origin_world(state), state.yaw_rad());
        seen.distance_m.clear();
        seen.distance_m
            .extend(std::iter::repeat_n(rays.max_m, rays.count));
        let step_rad = rays.step_rad();
        let to_now = Rotation2::new(self.yaw_rad - yaw_rad);
        let moved = Rotation2::new(-yaw_rad) * (self.origin - origin);
        let mut before: Option<Hit> = None;
        for (direction, &distance_m) in rays.directions().zip(&self.distance_m) {
            // A NaN is none.
            let is_hit = distance_m < rays.max_m;
            if !is_hit {
                before = None;
                continue;
            }
            let position = moved + to_now * (distance_m * direction);
            let bearing_rad = position.y.atan2(position.x);
            let hit = Hit {
                position,
                place: (bearing_rad - rays.first_rad) / step_rad,
                distance_m,
            };
            shorten(rays, seen, hit.place.round(), position.norm());
            if let Some(before) = before {
                before.join(&hit, rays, step_rad, seen);
            }
            before = Some(hit);
        }
    }
}

impl Hit {
    /// Shortens the rays that meet the surface from this hit to the next of the scan, if there is one.
    fn join(&self, next: &Self, rays: &RaySpec, step_rad: f32, seen: &mut RayScan) {
        let along = next.position - self.position;
        let nearer_m = self.distance_m.min(next.distance_m);
        if along.norm() > SURFACE_SLANT * step_rad * nearer_m {
            return;
        }
        let (low, high) = (
            self.place.min(next.place).ceil(),
            self.place.max(next.place).floor(),
        );
        // Bearings that jump by a turn, behind the robot, belong to no surface.
        if high - low > 0.5 * rays.count as f32 {
            return;
        }
        let mut place = low.max(0.0);
        while place <= high && place < rays.count as f32 {
            let (sin, cos) = rays.angle_rad(place as usize).sin_cos();
            let ray = Vector2::new(cos, sin);
            let across = ray.perp(&along);
            if across.abs() > 1e-6 {
                shorten(rays, seen, place, self.position.perp(&along) / across);
            }
            place += 1.0;
        }
    }
}

/// Shortens the ray at a whole place, if there is one.
fn shorten(rays: &RaySpec, seen: &mut RayScan, place: f32, distance_m: f32) {
    if place >= 0.0 && place < rays.count as f32 {
        let known = &mut seen.distance_m[place as usize];
        *known = known.min(distance_m.max(rays.min_m));
    }
}
