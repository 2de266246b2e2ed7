//! What a sensor does not see now, from what it saw before.

use std::{
    f32::consts::{PI, TAU},
    ops::Range,
    time::Duration,
};

use arrayvec::ArrayVec;
use nalgebra::{Point2, Rotation2, Vector2};
use robots::RobotState;

use super::{MAX_RAYS, RayScan, RaySpec};

/// Hits are kept by direction: the nearest in each of so many sectors.
const SECTORS: usize = 120;
/// A hit that is not seen again is forgotten after so long.
const KEPT: Duration = Duration::from_secs(3);

/// Completes the scans of a sensor that sees only some rays of a fan: to its sides by what it saw before, which stays where it is in the world while
/// the robot moves. What has not been seen, or not for three seconds, is taken for free.
#[derive(Clone, Debug)]
pub struct RayMemory {
    fan: RaySpec,
    /// The rays of the fan that the sensor sees.
    seen: Range<usize>,
    hits: ArrayVec<Hit, { SECTORS + MAX_RAYS }>,
}

#[derive(Clone, Copy, Debug)]
struct Hit {
    position_world: Point2<f32>,
    /// When it was seen.
    time: Duration,
}

impl RayMemory {
    /// For a sensor that sees the rays `sensor` of `fan`; `None` if they are no part of it.
    pub fn new(fan: &RaySpec, sensor: &RaySpec) -> Option<Self> {
        Some(Self {
            seen: fan.range_of(sensor)?,
            fan: fan.clone(),
            hits: ArrayVec::new(),
        })
    }

    /// Number of rays that the sensor sees.
    pub fn num_seen(&self) -> usize {
        self.seen.len()
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.hits.clear();
    }

    /// Writes the whole fan as it is known with a new scan `seen` of the sensor, made at `time` by a robot at the pose of `state`. Times have any
    /// origin. Never allocates.
    ///
    /// # Panics
    /// When `seen` does not have the sensor's number of rays.
    pub fn complete(
        &mut self,
        time: Duration,
        state: &RobotState,
        seen: &RayScan,
        fan: &mut RayScan,
    ) {
        assert_eq!(seen.distance_m.len(), self.seen.len(), "rays of the sensor");
        let to_world = Rotation2::new(state.yaw_rad());
        let origin = self.fan.origin_world(state);
        self.forget(time, &origin, &to_world);

        fan.distance_m.clear();
        fan.distance_m
            .extend(std::iter::repeat_n(self.fan.max_m, self.fan.count));
        for hit in &self.hits {
            let (bearing_rad, distance_m) = polar(hit, &origin, &to_world);
            if let Some((ray, _)) = self.fan.nearest(bearing_rad) {
                let known = &mut fan.distance_m[ray];
                *known = known.min(distance_m.max(self.fan.min_m));
            }
        }
        fan.distance_m[self.seen.clone()].copy_from_slice(&seen.distance_m);

        for (ray, &distance_m) in self.seen.clone().zip(&seen.distance_m) {
            if distance_m < self.fan.max_m {
                let (sin, cos) = self.fan.angle_rad(ray).sin_cos();
                // There is a place for each ray beyond those for the sectors.
                self.hits.push(Hit {
                    position_world: origin + to_world * (distance_m * Vector2::new(cos, sin)),
                    time,
                });
            }
        }
    }

    /// Drops the hits that are old, far away, or in the sensor's view, which knows better; keeps the nearest of those in the same direction.
    fn forget(&mut self, now: Duration, origin: &Point2<f32>, to_world: &Rotation2<f32>) {
        let (first_rad, last_rad) = (
            self.fan.angle_rad(self.seen.start),
            self.fan.angle_rad(self.seen.end - 1),
        );
        let mut nearest: [Option<(f32, Hit)>; SECTORS] = [None; SECTORS];
        for hit in &self.hits {
            let (bearing_rad, distance_m) = polar(hit, origin, to_world);
            let is_seen = (first_rad..=last_rad).contains(&bearing_rad);
            let is_old = now.saturating_sub(hit.time) > KEPT;
            if is_seen || is_old || distance_m > self.fan.max_m {
                continue;
            }
            let sector = ((bearing_rad + PI) / TAU * SECTORS as f32) as usize;
            let place = &mut nearest[sector.min(SECTORS - 1)];
            if place.is_none_or(|(nearer_m, _)| distance_m < nearer_m) {
                *place = Some((distance_m, *hit));
            }
        }
        self.hits.clear();
        self.hits
            .extend(nearest.into_iter().flatten().map(|(_, hit)| hit));
    }
}

/// Bearing, in -pi..=pi, and distance of a hit in the yaw frame.
fn polar(hit: &Hit, origin: &Point2<f32>, to_world: &Rotation2<f32>) -> (f32, f32) {
    let offset = to_world.inverse_transform_vector(&(hit.position_world - origin));
    (offset.y.atan2(offset.x), offset.norm())
}

#[cfg(test)]
mod tests {
    use nalgebra::{Point3, UnitQuaternion};

    use super::*;

    fn fan() -> RaySpec {
        RaySpec {
            count: 27,
            first_rad: -117_f32.to_radians(),
            last_rad: 117_f32.to_radians(),
            ..RaySpec::default()
        }
    }

    fn state(x_m: f32, y_m: f32, yaw_rad: f32) -> RobotState {
        let mut state = RobotState::zero(12, 4);
        state.position_world = Point3::new(x_m, y_m, 0.3);
        state.orientation = UnitQuaternion::from_euler_angles(0.0, 0.0, yaw_rad);
        state
    }

    /// Time of a policy step.
    fn at(step: u64) -> Duration {
        Duration::from_millis(20 * step)
    }

    /// The distances of all rays of `spec` to a wall along the world's x axis at y = `wall_m`.
    fn along_a_wall(spec: &RaySpec, state: &RobotState, wall_m: f32) -> RayScan {
        let yaw_rad = state.yaw_rad();
        let y_m = state.position_world.y + spec.origin_x_m * yaw_rad.sin();
        let distance_m = |ray: usize| {
            let climb = (yaw_rad + spec.angle_rad(ray)).sin();
            let distance_m = (wall_m - y_m) / climb;
            if climb > 1e-3 && distance_m < spec.max_m {
                distance_m.max(spec.min_m)
            } else {
                spec.max_m
            }
        };
        RayScan {
            distance_m: (0..spec.count).map(distance_m).collect(),
        }
    }

    #[test]
    fn only_a_part_of_the_fan_is_completed() {
        let sensor = RaySpec::default();
        assert_eq!(fan().range_of(&sensor), Some(8..19));
        assert_eq!(sensor.range_of(&sensor), Some(0..11));
        // What a camera sees of the fan, and one that sees next to nothing.
        let seen = fan().within(51_f32.to_radians()).unwrap();
        assert_eq!(fan().range_of(&seen), Some(8..19));
        assert_eq!(fan().within(0.1), None);
        assert!(RayMemory::new(&sensor, &fan()).is_none());
        let wrong = [
            RaySpec {
                max_m: 5.0,
                ..sensor.clone()
            },
            RaySpec {
                origin_x_m: 0.1,
                ..sensor.clone()
            },
            RaySpec {
                height_m: [-0.1, 0.1],
                ..sensor.clone()
            },
            RaySpec {
                width_rad: 0.1,
                ..sensor.clone()
            },
            RaySpec {
                count: 12,
                ..sensor.clone()
            },
            RaySpec {
                last_rad: 1.0,
                ..sensor
            },
        ];
        for sensor in wrong {
            assert!(RayMemory::new(&fan(), &sensor).is_none(), "{sensor:?}");
        }
    }

    #[test]
    fn a_sensor_that_sees_the_whole_fan_needs_no_memory() {
        let mut memory = RayMemory::new(&fan(), &fan()).unwrap();
        let (seen, mut known) = (
            along_a_wall(&fan(), &state(0.0, 0.0, 0.3), 1.0),
            RayScan::default(),
        );
        for step in 0..3 {
            memory.complete(at(step), &state(0.0, 0.0, 0.3), &seen, &mut known);
            assert_eq!(known, seen);
        }
    }

    #[test]
    fn a_wall_that_is_passed_stays_known_at_the_side() {
        let sensor = RaySpec::default();
        let mut memory = RayMemory::new(&fan(), &sensor).unwrap();
        let mut known = RayScan::default();
        // 3 m along a wall at the left, 2 cm from scan to scan.
        for step in 0..150 {
            let state = state(0.02 * step as f32, 0.0, 0.0);
            let seen = along_a_wall(&sensor, &state, 0.8);
            memory.complete(at(step), &state, &seen, &mut known);
        }
        let expected = along_a_wall(&fan(), &state(0.02 * 149.0, 0.0, 0.0), 0.8);
        for ray in 0..27 {
            let (known, expected) = (known.distance_m[ray], expected.distance_m[ray]);
            // A remembered hit may be half a step beside its ray.
            assert!(
                (known / expected - 1.0).abs() < 0.1,
                "ray {ray}: {known} m, {expected} m"
            );
        }
        assert!(
            expected.distance_m[26] < 1.0,
            "the last ray looks back at the wall"
        );
    }

    #[test]
    fn what_turns_out_of_view_is_kept_for_a_while_and_what_is_seen_again_is_renewed() {
        let sensor = RaySpec::default();
        let mut memory = RayMemory::new(&fan(), &sensor).unwrap();
        let mut known = RayScan::default();
        let mut wall = RayScan::clear(&sensor);
        wall.distance_m.fill(2.0);
        memory.complete(at(0), &state(0.0, 0.0, 0.0), &wall, &mut known);
        // A quarter turn to the left: what was ahead is to the right.
        let clear = RayScan::clear(&sensor);
        let right = fan().range_of(&sensor).unwrap().start - 5;
        let turned = state(0.0, 0.0, 90_f32.to_radians());
        // Scans of a slow camera, too, are kept for three seconds.
        for step in (5..=150).step_by(5) {
            memory.complete(at(step), &turned, &clear, &mut known);
            assert!((known.distance_m[right] - 2.0).abs() < 0.2, "{known:?}");
        }
        memory.complete(at(155), &turned, &clear, &mut known);
        assert_eq!(known, RayScan::clear(&fan()));
        // Back again, and the wall is gone: nothing of it is left at the sides.
        memory.complete(at(156), &state(0.0, 0.0, 0.0), &wall, &mut known);
        memory.complete(at(157), &state(0.0, 0.0, 0.0), &clear, &mut known);
        memory.complete(at(158), &turned, &clear, &mut known);
        assert_eq!(known, RayScan::clear(&fan()));
    }
}
