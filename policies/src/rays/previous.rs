//! The previous scan, compensated for the motion of the robot: where it differs from the present one, an obstacle moves.

use robots::RobotState;
use serde::{Deserialize, Serialize};

use super::{
    RayScan, RaySpec,
    placed::{Fan, PlacedScan},
};

/// The scans of the last [`RaySpec::previous_steps`] policy steps, each with the pose that it was made from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PreviousScans {
    fan: Fan,
    past: Vec<PlacedScan>,
    /// Where the next scan is written: over the earliest.
    next: usize,
    /// Scans since the start, at most all.
    known: usize,
}

impl PreviousScans {
    /// Empty, for scans of these rays.
    pub fn new(rays: &RaySpec) -> Self {
        Self {
            fan: Fan::new(rays),
            past: vec![PlacedScan::clear(rays); rays.previous_steps],
            next: 0,
            known: 0,
        }
    }

    /// Forgets all scans: the robot is somewhere else.
    pub fn reset(&mut self) {
        self.known = 0;
    }

    /// Takes the scan of this policy step, made from the pose of `state`, and writes the one of [`RaySpec::previous_steps`] steps ago as it would
    /// look from here, had nothing moved. What it did not see is free; at first the scan itself is written, then the earliest there is. Never allocates.
    ///
    /// # Panics
    /// When `scan` is not one of the rays that the history was made for.
    pub fn push(&mut self, state: &RobotState, scan: &RayScan, previous: &mut RayScan) {
        if self.past.is_empty() {
            return;
        }
        let earliest = match self.known {
            0 => None,
            known if known < self.past.len() => Some(&self.past[0]),
            _ => Some(&self.past[self.next]),
        };
        let pose = self.fan.pose(state);
        match earliest {
            None => previous.clone_from(scan),
            Some(past) => past.seen_from(&self.fan, pose, previous),
        }
        if self.known == 0 {
            self.next = 0;
        }
        self.past[self.next].place(pose, scan);
        self.next = (self.next + 1) % self.past.len();
        self.known = (self.known + 1).min(self.past.len());
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::{Point2, Point3, Rotation2, UnitQuaternion, Vector2};

    use super::*;

    const STEPS: usize = 20;

    fn fan() -> RaySpec {
        RaySpec {
            count: 27,
            first_rad: -117_f32.to_radians(),
            last_rad: 117_f32.to_radians(),
            previous_steps: STEPS,
            ..RaySpec::default()
        }
    }

    fn state(x_m: f32, y_m: f32, yaw_rad: f32) -> RobotState {
        let mut state = RobotState::zero(12, 4);
        state.position_world = Point3::new(x_m, y_m, 0.3);
        state.orientation = UnitQuaternion::from_euler_angles(0.0, 0.0, yaw_rad);
        state
    }

    /// The rays of a robot to a cylinder of 0.4 m radius.
    fn to_a_cylinder(state: &RobotState, centre: Point2<f32>) -> RayScan {
        let spec = fan();
        let turn = Rotation2::new(state.yaw_rad());
        let origin = state.position_world.xy() + turn * Vector2::new(spec.origin_x_m, 0.0);
        let offset = turn.inverse() * (centre - origin);
        let distance_m = |direction: Vector2<f32>| {
            let (along, beside) = (direction.dot(&offset), direction.perp(&offset));
            let half_chord_squared = 0.16 - beside * beside;
            if along > 0.0 && half_chord_squared > 0.0 {
                (along - half_chord_squared.sqrt()).clamp(spec.min_m, spec.max_m)
            } else {
                spec.max_m
            }
        };
        RayScan {
            distance_m: spec.directions().map(distance_m).collect(),
        }
    }

    /// Where the hits of a scan lie on average, in the robot's frame.
    fn middle(scan: &RayScan) -> Vector2<f32> {
        let spec = fan();
        let hits: Vec<_> = (spec.directions().zip(&scan.distance_m))
            .filter(|(_, distance_m)| **distance_m < spec.max_m)
            .map(|(direction, distance_m)| *distance_m * direction)
            .collect();
        assert!(!hits.is_empty(), "{scan:?}");
        hits.iter().sum::<Vector2<f32>>() / hits.len() as f32
    }

    #[test]
    fn a_world_at_rest_looks_as_it_did_whatever_the_robot_does() {
        let centre = Point2::new(2.5, 0.6);
        let mut history = PreviousScans::new(&fan());
        let mut previous = RayScan::default();
        // It runs at 2 m/s and turns left by half a radian per second, up to half a metre before the cylinder.
        for step in 0..45 {
            let time_s = 0.02 * step as f32;
            let state = state(2.0 * time_s, 0.0, 0.5 * time_s);
            let scan = to_a_cylinder(&state, centre);
            history.push(&state, &scan, &mut previous);
            // Except at its edges, which rays miss from farther away, it is where it is; chords
            // between hits 0.35 m apart run 4 cm within the cylinder, three times that along a slanted ray.
            let is_hit = |scan: &RayScan, ray: usize| scan.distance_m[ray] < 6.0;
            for ray in 2..25 {
                let inside = (ray - 2..=ray + 2).all(|ray| is_hit(&scan, ray));
                let outside = (ray - 1..=ray + 1).all(|ray| !is_hit(&scan, ray));
                let (now_m, before_m) = (scan.distance_m[ray], previous.distance_m[ray]);
                assert!(
                    !inside || (before_m - now_m).abs() < 0.12,
                    "{time_s} s, ray {ray}: {before_m} m, {now_m} m"
                );
                assert!(!outside || before_m == 6.0, "{time_s} s, ray {ray}");
            }
        }
    }

    #[test]
    fn what_walks_is_where_it_was_before() {
        let mut history = PreviousScans::new(&fan());
        let mut previous = RayScan::default();
        // From right to left at 1 m/s, 2 m ahead of a robot that comes nearer at 1 m/s.
        let mut apart = Vector2::zeros();
        for step in 0..=STEPS {
            let time_s = 0.02 * step as f32;
            let state = state(time_s, 0.0, 0.0);
            let scan = to_a_cylinder(&state, Point2::new(2.4, -0.2 + time_s));
            history.push(&state, &scan, &mut previous);
            apart = middle(&scan) - middle(&previous);
        }
        let expected = Vector2::new(0.0, 0.4);
        assert!((apart - expected).norm() < 0.15, "{apart}");
    }

    #[test]
    fn the_first_scan_is_taken_for_the_previous_one_and_a_reset_begins_anew() {
        let mut history = PreviousScans::new(&fan());
        let mut previous = RayScan::default();
        let near = to_a_cylinder(&state(0.0, 0.0, 0.0), Point2::new(1.0, 0.0));
        history.push(&state(0.0, 0.0, 0.0), &near, &mut previous);
        assert_eq!(previous, near);
        let clear = RayScan::clear(&fan());
        for _ in 0..STEPS {
            history.push(&state(0.0, 0.0, 0.0), &clear, &mut previous);
            assert!(middle(&previous).x > 0.5, "still there");
        }
        history.push(&state(0.0, 0.0, 0.0), &clear, &mut previous);
        assert_eq!(previous, clear);
        history.reset();
        history.push(&state(9.0, 9.0, 2.0), &near, &mut previous);
        assert_eq!(previous, near);
    }

    #[test]
    fn a_wall_that_comes_nearer_has_no_gaps() {
        let wall_m = |state: &RobotState| 3.0 - state.position_world.x + 0.05;
        let scan = |state: &RobotState| RayScan {
            distance_m: (fan().directions())
                .map(|d| {
                    let distance_m = wall_m(state) / d.x;
                    if d.x > 0.1 && distance_m < 6.0 {
                        distance_m
                    } else {
                        6.0
                    }
                })
                .collect(),
        };
        let mut history = PreviousScans::new(&fan());
        let mut previous = RayScan::default();
        for step in 0..=STEPS {
            let state = state(0.06 * step as f32, 0.0, 0.0);
            history.push(&state, &scan(&state), &mut previous);
        }
        let now = scan(&state(1.2, 0.0, 0.0));
        for ray in 9..18 {
            let (now, before) = (now.distance_m[ray], previous.distance_m[ray]);
            assert!(
                (before / now - 1.0).abs() < 0.05,
                "{ray}: {before} m, {now} m"
            );
        }
    }
}
