//! A scan with the pose that it was made from, so that it can be seen from another.

use nalgebra::{Point2, Rotation2, Vector2};
use robots::RobotState;
use serde::{Deserialize, Serialize};

use super::{RayScan, RaySpec};

/// Neighbouring hits are of one surface if they are nearer to each other than this, in units of their distance at right angles to the rays.
const SURFACE_SLANT: f32 = 2.0;

/// The rays of a [`RaySpec`] with their directions, which are needed in every policy step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Fan {
    rays: RaySpec,
    directions: Vec<Vector2<f32>>,
}

/// Where the rays of a scan begin and where they point, world frame.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Pose {
    origin: Point2<f32>,
    yaw_rad: f32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PlacedScan {
    pose: Pose,
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

impl Fan {
    pub fn new(rays: &RaySpec) -> Self {
        Self {
            directions: rays.directions().collect(),
            rays: rays.clone(),
        }
    }

    /// That of a robot in this state.
    pub fn pose(&self, state: &RobotState) -> Pose {
        Pose {
            origin: self.rays.origin_world(state),
            yaw_rad: state.yaw_rad(),
        }
    }

    /// Shortens the ray at a whole place, if there is one.
    fn shorten(&self, seen: &mut RayScan, place: f32, distance_m: f32) {
        if place >= 0.0 && place < self.directions.len() as f32 {
            let known = &mut seen.distance_m[place as usize];
            *known = known.min(distance_m.max(self.rays.min_m));
        }
    }
}

impl PlacedScan {
    /// Nothing in reach.
    pub fn clear(rays: &RaySpec) -> Self {
        Self {
            pose: Pose {
                origin: Point2::origin(),
                yaw_rad: 0.0,
            },
            distance_m: vec![rays.max_m; rays.count],
        }
    }

    /// Takes a scan that was made from a pose.
    ///
    /// # Panics
    /// When `scan` does not have as many rays.
    pub fn place(&mut self, pose: Pose, scan: &RayScan) {
        self.pose = pose;
        self.distance_m.copy_from_slice(&scan.distance_m);
    }

    /// Where it was made.
    pub fn pose(&self) -> Pose {
        self.pose
    }

    /// Writes it as it was made.
    pub fn write(&self, scan: &mut RayScan) {
        scan.distance_m.clear();
        scan.distance_m.extend(self.distance_m.iter().copied());
    }

    /// Writes what the rays from another pose would meet of the surfaces between the hits. What the scan did not see is free. Never allocates.
    pub fn seen_from(&self, fan: &Fan, pose: Pose, seen: &mut RayScan) {
        let RaySpec { max_m, count, .. } = fan.rays;
        let step_rad = fan.rays.step_rad();
        seen.distance_m.clear();
        seen.distance_m.extend(std::iter::repeat_n(max_m, count));
        let to_now = Rotation2::new(self.pose.yaw_rad - pose.yaw_rad);
        let moved = Rotation2::new(-pose.yaw_rad) * (self.pose.origin - pose.origin);
        let mut before: Option<Hit> = None;
        for (direction, &distance_m) in fan.directions.iter().zip(&self.distance_m) {
            // A NaN is none.
            let is_hit = distance_m < max_m;
            if !is_hit {
                before = None;
                continue;
            }
            let position = moved + to_now * (distance_m * direction);
            let bearing_rad = position.y.atan2(position.x);
            let hit = Hit {
                position,
                place: (bearing_rad - fan.rays.first_rad) / step_rad,
                distance_m,
            };
            fan.shorten(seen, hit.place.round(), position.norm());
            if let Some(before) = before {
                before.join(&hit, fan, seen);
            }
            before = Some(hit);
        }
    }
}

impl Hit {
    /// Shortens the rays that meet the surface from this hit to the next of the scan, if there is one.
    fn join(&self, next: &Self, fan: &Fan, seen: &mut RayScan) {
        let along = next.position - self.position;
        let nearer_m = self.distance_m.min(next.distance_m);
        if along.norm() > SURFACE_SLANT * fan.rays.step_rad() * nearer_m {
            return;
        }
        let (low, high) = (
            self.place.min(next.place).ceil(),
            self.place.max(next.place).floor(),
        );
        // Bearings that jump by a turn, behind the robot, belong to no surface.
        let count = fan.directions.len() as f32;
        if high - low > 0.5 * count {
            return;
        }
        let mut place = low.max(0.0);
        while place <= high && place < count {
            let across = fan.directions[place as usize].perp(&along);
            if across.abs() > 1e-6 {
                fan.shorten(seen, place, self.position.perp(&along) / across);
            }
            place += 1.0;
        }
    }
}
