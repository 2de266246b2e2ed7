//! What a sensor that is slower than the policy shows between two of its scans.

use robots::RobotState;
use serde::{Deserialize, Serialize};

use super::{
    RayScan, RaySpec,
    placed::{Fan, PlacedScan},
};

/// The last scan, moved with the robot until the next one arrives: as it would look from where the robot is now, had nothing moved since. A scan that
/// is held as it is shows a surface at rest as moving with the robot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeldScan {
    fan: Fan,
    scan: PlacedScan,
    /// Whether it was placed in the current world frame.
    is_placed: bool,
}

impl HeldScan {
    /// Nothing in reach, until a scan arrives.
    pub fn new(rays: &RaySpec) -> Self {
        Self {
            fan: Fan::new(rays),
            scan: PlacedScan::clear(rays),
            is_placed: false,
        }
    }

    /// The world frame has changed: until the next scan arrives the last one is held as it is.
    pub fn enter_frame(&mut self) {
        self.is_placed = false;
    }

    /// Takes a scan that arrives at a robot in this state. Never allocates.
    ///
    /// # Panics
    /// When `scan` is not one of the rays that this was made for.
    pub fn take(&mut self, state: &RobotState, scan: &RayScan) {
        self.scan.place(self.fan.pose(state), scan);
        self.is_placed = true;
    }

    /// Writes the scan as a robot in this state sees it. Never allocates.
    pub fn seen_from(&self, state: &RobotState, seen: &mut RayScan) {
        let pose = self.fan.pose(state);
        match self.is_placed && self.scan.pose() != pose {
            true => self.scan.seen_from(&self.fan, pose, seen),
            false => self.scan.write(seen),
        }
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::Point3;

    use super::*;

    fn robot_at(x_m: f32) -> RobotState {
        let mut state = RobotState::zero(12, 4);
        state.position_world = Point3::new(x_m, 0.0, 0.3);
        state
    }

    /// A wall ahead, `wall_m` from the origin of the rays.
    fn wall(rays: &RaySpec, wall_m: f32) -> RayScan {
        RayScan {
            distance_m: rays.directions().map(|ray| wall_m / ray.x).collect(),
        }
    }

    #[test]
    fn a_wall_comes_nearer_between_two_scans() {
        let rays = RaySpec::default();
        let mut held = HeldScan::new(&rays);
        let mut seen = RayScan::default();
        held.seen_from(&robot_at(0.0), &mut seen);
        assert_eq!(seen, RayScan::clear(&rays));
        let arrived = wall(&rays, 2.0);
        held.take(&robot_at(0.0), &arrived);
        held.seen_from(&robot_at(0.0), &mut seen);
        assert_eq!(
            seen, arrived,
            "nothing is lost where the robot has not moved"
        );
        held.seen_from(&robot_at(0.25), &mut seen);
        let expected = wall(&rays, 1.75);
        // The outermost rays look past the end of what was seen.
        for ray in 1..rays.count - 1 {
            let [found_m, expected_m] = [&seen, &expected].map(|scan| scan.distance_m[ray]);
            assert!((found_m - expected_m).abs() < 1e-3, "ray {ray}: {seen:?}");
        }
    }

    #[test]
    fn in_another_frame_the_last_scan_is_held_as_it_is() {
        let rays = RaySpec::default();
        let mut held = HeldScan::new(&rays);
        let arrived = wall(&rays, 2.0);
        held.take(&robot_at(0.0), &arrived);
        held.enter_frame();
        let mut seen = RayScan::default();
        held.seen_from(&robot_at(40.0), &mut seen);
        assert_eq!(seen, arrived);
    }
}
