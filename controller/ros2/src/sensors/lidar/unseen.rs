//! Rays of the policies that a lidar does not see.

use std::time::Duration;

use nalgebra::{Isometry3, Point3};
use policies::{RayMemory, RayScan, RaySpec};
use robots::RobotState;

use super::{LidarConfig, LidarError};

/// Farther than a robot comes between two messages: the world frame is another one.
const JUMP_M: f32 = 1.0;

/// What was seen in directions that a lidar does not see now.
#[derive(Clone, Debug)]
pub struct Unseen {
    memory: RayMemory,
    /// Pose of the last message.
    state: RobotState,
    fan: RayScan,
}

impl LidarConfig {
    /// Those rays of `fan` that the lidar sees, and the memory for the others where there are some.
    ///
    /// # Errors
    /// When it sees fewer than two of them.
    pub fn seen_rays(&self, fan: &RaySpec) -> Result<(RaySpec, Option<Unseen>), LidarError> {
        let wrong = || LidarError::Setting {
            key: "view_deg",
            value: self.view_deg.to_string(),
            expected: "at most 360, and wide enough for two rays of the bundle",
        };
        if !(self.view_deg > 0.0 && self.view_deg <= 360.0) {
            return Err(wrong());
        }
        // A ray at the very edge is seen.
        let half_rad = 0.5 * self.view_deg.to_radians() + 1e-3;
        let seen = fan.within(half_rad).ok_or_else(wrong)?;
        if seen.count == fan.count {
            return Ok((fan.clone(), None));
        }
        let unseen = Unseen {
            memory: RayMemory::new(fan, &seen).ok_or_else(wrong)?,
            state: RobotState::zero(0, 0),
            fan: RayScan::clear(fan),
        };
        Ok((seen, Some(unseen)))
    }
}

impl Unseen {
    /// All rays, with those that a robot at `base` in the world frame sees at `now_ns`.
    pub fn complete(&mut self, now_ns: u64, base: &Isometry3<f32>, seen: &RayScan) -> RayScan {
        let position_world = Point3::from(base.translation.vector);
        if (position_world - self.state.position_world).norm() > JUMP_M {
            self.memory.reset();
        }
        self.state.position_world = position_world;
        self.state.orientation = base.rotation;
        let now = Duration::from_nanos(now_ns);
        self.memory.complete(now, &self.state, seen, &mut self.fan);
        self.fan.clone()
    }
}
