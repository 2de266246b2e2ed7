//! Rays from laser scans and point clouds.

mod coverage;
mod points;
mod unseen;

use std::{collections::VecDeque, f32::consts::TAU};

use nalgebra::{Isometry3, Point3, Translation3, UnitQuaternion, Vector3};
use policies::{RayScan, RaySpec};
use robots::{BoxBase, Robot};
use serde::{Deserialize, Serialize};

use self::points::points_of;
pub use self::unseen::Unseen;
use crate::{
    foreign_text::shown,
    messages::{LaserScan, PointCloud2},
};

/// Mounting of the lidar, and which of its points count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LidarConfig {
    /// `frame_id` of its messages; may be empty, for lidars that send none.
    pub frame: String,
    /// `frame_id` of messages in a level frame with origin and heading of the base.
    pub level_frame: String,
    /// Origin of that frame in the base frame, m.
    pub position_base_m: [f32; 3],
    /// Roll, pitch and yaw of that frame in the base frame, degrees.
    pub rpy_base_deg: [f32; 3],
    /// Angle in which the lidar sees, half to either side of straight ahead, degrees. Rays of the bundle beyond it are remembered while the
    /// robot runs and turns, as those beyond the view of a depth camera.
    pub view_deg: f32,
    /// Lowest and highest point that counts, relative to the base in a level frame, m. Of clouds those of the bundle count
    /// (`rays.height_m`), where it has them.
    pub height_m: [f32; 2],
    /// Points of a cloud nearer than this to the robot itself do not count, m: to its trunk, its hips and where its thighs swing.
    /// -1 lets all of them count. Laser scans are taken as they are.
    pub own_margin_m: f32,
    /// Clouds of this time are merged, s. Laser scans are not merged.
    pub merge_s: f32,
    /// Merged clouds have at least so many points in every sector of 30 degrees in which the policies have rays, at any
    /// height: a lidar that sees sees the floor. At least 1.
    pub sector_points: u32,
}

impl Default for LidarConfig {
    fn default() -> Self {
        Self {
            frame: "base_link".to_owned(),
            level_frame: "base_stabilized".to_owned(),
            position_base_m: [0.0; 3],
            rpy_base_deg: [0.0; 3],
            view_deg: 360.0,
            height_m: [-0.15, 0.3],
            own_margin_m: 0.04,
            merge_s: 0.2,
            sector_points: 3,
        }
    }
}

/// Why a message gives no rays.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LidarError {
    /// A lidar setting out of range.
    #[error("ros2.lidar.{key} is {value}, must be {expected}")]
    Setting {
        /// Key.
        key: &'static str,
        /// Its value.
        value: String,
        /// The allowed values.
        expected: &'static str,
    },
    /// A message in an unknown frame.
    #[error(
        "{what} is in frame `{found}`, expected `{expected}`: set ros2.lidar.frame, and ros2.lidar.position_base_m and ros2.lidar.rpy_base_deg to where it sits"
    )]
    Frame {
        /// Kind of message.
        what: &'static str,
        /// Its frame.
        found: String,
        /// The configured frame.
        expected: String,
    },
    /// The scan does not cover the rays of the policy.
    #[error(
        "scan covers {from_deg:.0} to {to_deg:.0} degrees of its frame and misses the ray at {ray_deg:.0} degrees of the robot: turn or widen it, correct ros2.lidar.rpy_base_deg, or set ros2.lidar.view_deg to what it sees"
    )]
    FieldOfView {
        /// First angle of the scan, degrees.
        from_deg: f32,
        /// Last angle of the scan, degrees.
        to_deg: f32,
        /// Direction of the first ray that it misses, degrees.
        ray_deg: f32,
    },
    /// It sees nothing in a direction, not even that nothing is there.
    #[error(
        "{what} is blind at {ray_deg:.0} degrees of the robot: {found} of {expected} measurements there are valid; is the lidar covered or broken? If its place hides that direction, set ros2.lidar.view_deg"
    )]
    Blind {
        /// Kind of message.
        what: &'static str,
        /// Middle of the blind sector, degrees.
        ray_deg: f32,
        /// Valid beams or points in the sector.
        found: u32,
        /// Beams of the sector, or points that are needed.
        expected: u32,
    },
    /// An inconsistent message.
    #[error("{what} is malformed: {problem}")]
    Malformed {
        /// Kind of message.
        what: &'static str,
        /// What is wrong.
        problem: String,
    },
}

/// How far the legs swing to either side of the default posture while the robot runs.
const SWING_RAD: f32 = 0.5;
/// Beams of a scan. More are refused.
const MOST_BEAMS: usize = 100_000;
/// Clouds that are merged.
const MOST_CLOUDS: usize = 64;

/// Turns lidar messages into rays.
#[derive(Clone, Debug)]
pub struct Lidar {
    spec: RaySpec,
    config: LidarConfig,
    /// Where the robot itself is, margin included.
    own: Vec<BoxBase>,
    sensor_to_base: Isometry3<f32>,
    /// Points in the world frame with their time of reception, ns; oldest first.
    clouds: VecDeque<(u64, Vec<Point3<f32>>)>,
}

impl Lidar {
    /// For the rays that it sees ([`LidarConfig::seen_rays`]).
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn new(robot: &Robot, spec: &RaySpec, config: &LidarConfig) -> Result<Self, LidarError> {
        let check = |key, values: &[f32], ok: bool, expected| {
            if ok && values.iter().all(|value| value.is_finite()) {
                return Ok(());
            }
            Err(LidarError::Setting {
                key,
                value: format!("{values:?}"),
                expected,
            })
        };
        let [lower_m, upper_m] = config.height_m;
        check("position_base_m", &config.position_base_m, true, "finite")?;
        check("rpy_base_deg", &config.rpy_base_deg, true, "finite")?;
        check(
            "height_m",
            &config.height_m,
            lower_m < upper_m,
            "[low, high]",
        )?;
        check(
            "own_margin_m",
            &[config.own_margin_m],
            (-1.0..=0.5).contains(&config.own_margin_m),
            "from -1 to 0.5",
        )?;
        check(
            "merge_s",
            &[config.merge_s],
            (0.0..=2.0).contains(&config.merge_s),
            "from 0 to 2",
        )?;
        check(
            "sector_points",
            &[config.sector_points as f32],
            (1..=10_000).contains(&config.sector_points),
            "from 1 to 10000",
        )?;
        let [roll, pitch, yaw] = config.rpy_base_deg.map(f32::to_radians);
        let own = robot.boxes_base(SWING_RAD).into_iter();
        Ok(Self {
            spec: spec.clone(),
            sensor_to_base: Isometry3::from_parts(
                Translation3::from(config.position_base_m),
                UnitQuaternion::from_euler_angles(roll, pitch, yaw),
            ),
            own: own
                .map(|around| around.grown(config.own_margin_m))
                .collect(),
            config: config.clone(),
            clouds: VecDeque::new(),
        })
    }

    /// Rays from a scan of a robot at `base` in the world frame.
    ///
    /// # Errors
    /// A scan in another frame, that does not cover the rays, or that is inconsistent.
    pub fn rays_of_scan(
        &self,
        scan: &LaserScan,
        base: &Isometry3<f32>,
    ) -> Result<RayScan, LidarError> {
        let frame = &scan.header.frame_id;
        let (to_base, to_level) = if *frame == self.config.level_frame {
            (Isometry3::identity(), Isometry3::identity())
        } else {
            self.check_frame("scan", frame)?;
            (self.sensor_to_base, level(base) * self.sensor_to_base)
        };
        let step_rad = scan.angle_increment;
        let last_rad = scan.angle_min + step_rad * scan.ranges.len().saturating_sub(1) as f32;
        let sound = step_rad > 0.0
            && scan.ranges.len() <= MOST_BEAMS
            && scan.range_max > scan.range_min.max(0.0)
            && (last_rad - scan.angle_max).abs() < 1.5 * step_rad;
        if !sound {
            return Err(LidarError::Malformed {
                what: "scan",
                problem: format!(
                    "{} ranges from {} to {} rad in steps of {step_rad} rad, {} to {} m",
                    scan.ranges.len(),
                    scan.angle_min,
                    scan.angle_max,
                    scan.range_min,
                    scan.range_max
                ),
            });
        }
        self.check_field_of_view(&to_base.rotation, scan.angle_min, last_rad, step_rad)?;
        let near_m = if scan.range_min.is_finite() {
            scan.range_min.max(0.0)
        } else {
            0.0
        };
        let beams = || {
            let angle = |index: usize| (scan.angle_min + index as f32 * step_rad).sin_cos();
            let ranges = scan.ranges.iter().enumerate();
            ranges.map(move |(index, &range_m)| (angle(index), range_m))
        };
        let valid = beams().map(|((sin, cos), range_m)| {
            let direction = to_level.rotation * Vector3::new(cos, sin, 0.0);
            (direction.y.atan2(direction.x), !range_m.is_nan())
        });
        let half_width_rad = self.check_beams(valid, step_rad)?;
        let points = beams().filter_map(|((sin, cos), range_m)| {
            // REP 117: -inf, and all below the least range, is too near to be measured; +inf is nothing in sight.
            let range_m = if range_m < scan.range_min {
                near_m
            } else {
                range_m
            };
            let is_hit = range_m.is_finite() && range_m <= scan.range_max.max(near_m);
            is_hit.then(|| to_level * Point3::new(range_m * cos, range_m * sin, 0.0))
        });
        Ok(self.rays(points, self.config.height_m, |ray| half_width_rad[ray]))
    }

    /// Rays from a cloud received at `now_ns`, merged with those before it.
    ///
    /// # Errors
    /// A cloud in another frame, or an inconsistent one.
    pub fn rays_of_cloud(
        &mut self,
        cloud: &PointCloud2,
        base: &Isometry3<f32>,
        now_ns: u64,
    ) -> Result<RayScan, LidarError> {
        self.check_frame("point cloud", &cloud.header.frame_id)?;
        let points = points_of(cloud)?
            .map(|point| self.sensor_to_base * point)
            .filter(|point| !self.own.iter().any(|own| own.contains(point)))
            .map(|point| base * point);
        let merge_ns = (f64::from(self.config.merge_s) * 1e9) as u64;
        let mut newest = match self.clouds.front() {
            // Its allocation is reused.
            Some((time_ns, _))
                if now_ns.saturating_sub(*time_ns) > merge_ns
                    || self.clouds.len() >= MOST_CLOUDS =>
            {
                self.clouds.pop_front().map(|(_, points)| points)
            }
            _ => None,
        }
        .unwrap_or_default();
        newest.clear();
        newest.extend(points);
        self.clouds.push_back((now_ns, newest));
        self.clouds
            .retain(|(time_ns, _)| now_ns.saturating_sub(*time_ns) <= merge_ns);
        let from_world = level(base) * base.inverse();
        let points = || {
            let points = self.clouds.iter().flat_map(|(_, points)| points);
            points.map(|point| from_world * point)
        };
        self.check_sectors(points())?;
        // Clouds are sparse, so every point counts for the nearest ray.
        let half_width_rad = 0.5 * self.spec.step_rad();
        let height_m = match self.spec.height_m {
            [low_m, high_m] if low_m < high_m => self.spec.height_m,
            _ => self.config.height_m,
        };
        Ok(self.rays(points(), height_m, |_| half_width_rad))
    }

    /// The nearest points, in a level frame with the heading and the origin of the base, between two heights and within half of
    /// a width of each ray, rad.
    fn rays(
        &self,
        points: impl Iterator<Item = Point3<f32>>,
        [lower_m, upper_m]: [f32; 2],
        half_width_rad: impl Fn(usize) -> f32,
    ) -> RayScan {
        let spec = &self.spec;
        let mut scan = RayScan::clear(spec);
        for point in points {
            if !(lower_m..=upper_m).contains(&point.z) {
                continue;
            }
            let ahead_m = point.x - spec.origin_x_m;
            if let Some((ray, off_rad)) = spec.nearest(point.y.atan2(ahead_m))
                && off_rad <= half_width_rad(ray)
            {
                let range_m = ahead_m.hypot(point.y).max(spec.min_m);
                scan.distance_m[ray] = scan.distance_m[ray].min(range_m);
            }
        }
        scan
    }

    fn check_frame(&self, what: &'static str, found: &str) -> Result<(), LidarError> {
        let expected = &self.config.frame;
        if found == expected {
            return Ok(());
        }
        Err(LidarError::Frame {
            what,
            found: shown(found),
            expected: expected.clone(),
        })
    }

    fn check_field_of_view(
        &self,
        to_base: &UnitQuaternion<f32>,
        first_rad: f32,
        last_rad: f32,
        step_rad: f32,
    ) -> Result<(), LidarError> {
        for direction in self.spec.directions() {
            let in_base = Vector3::new(direction.x, direction.y, 0.0);
            let in_sensor = to_base.inverse() * in_base;
            let angle_rad = in_sensor.y.atan2(in_sensor.x);
            // As an angle from the first on, one step before it included.
            let after_first = (angle_rad - first_rad + step_rad).rem_euclid(TAU);
            if after_first > last_rad - first_rad + 2.0 * step_rad {
                return Err(LidarError::FieldOfView {
                    from_deg: first_rad.to_degrees(),
                    to_deg: last_rad.to_degrees(),
                    ray_deg: direction.y.atan2(direction.x).to_degrees(),
                });
            }
        }
        Ok(())
    }
}

/// From the base frame to a level frame with the same origin and heading.
fn level(base: &Isometry3<f32>) -> UnitQuaternion<f32> {
    let forward = base.rotation * Vector3::x();
    let yaw = UnitQuaternion::from_euler_angles(0.0, 0.0, forward.y.atan2(forward.x));
    yaw.inverse() * base.rotation
}

#[cfg(test)]
mod tests;
