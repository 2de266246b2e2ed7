//! Rays from laser scans and point clouds.

use std::{collections::VecDeque, f32::consts::TAU};

use nalgebra::{Isometry3, Point3, Translation3, UnitQuaternion, Vector3};
use policies::{RayScan, RaySpec};
use serde::{Deserialize, Serialize};

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
    /// Lowest and highest point that counts, relative to the base in a level frame, m.
    pub height_m: [f32; 2],
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
            height_m: [-0.15, 0.3],
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
        "scan covers {from_deg:.0} to {to_deg:.0} degrees of its frame and misses the ray at {ray_deg:.0} degrees of the robot: turn or widen it, or correct ros2.lidar.rpy_base_deg"
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
        "{what} is blind at {ray_deg:.0} degrees of the robot: {found} of {expected} measurements there are valid; is the lidar covered or broken?"
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

/// Width of the sectors that clouds must have points in, rad.
const SECTOR_RAD: f32 = TAU / 12.0;
/// Beams of a scan, and points of a cloud. More are refused.
const MOST_BEAMS: usize = 100_000;
const MOST_POINTS: usize = 1_000_000;
/// Clouds that are merged.
const MOST_CLOUDS: usize = 64;

/// Turns lidar messages into rays.
#[derive(Clone, Debug)]
pub struct Lidar {
    spec: RaySpec,
    config: LidarConfig,
    sensor_to_base: Isometry3<f32>,
    /// Points in the world frame with their time of reception, ns; oldest first.
    clouds: VecDeque<(u64, Vec<Point3<f32>>)>,
}

impl Lidar {
    /// For the rays that a bundle was trained with.
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn new(spec: &RaySpec, config: &LidarConfig) -> Result<Self, LidarError> {
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
        Ok(Self {
            spec: spec.clone(),
            sensor_to_base: Isometry3::from_parts(
                Translation3::from(config.position_base_m),
                UnitQuaternion::from_euler_angles(roll, pitch, yaw),
            ),
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
        Ok(self.rays(points, |ray| half_width_rad[ray]))
    }

    /// Checks that the sector of every ray, half of the way to its neighbours, has beams, at least half of them valid. Each
    /// beam is a direction in a level frame and whether it is valid. Gives the half width of each ray, rad: that of a beam,
    /// or the whole sector where the beams nearest to the ray are not valid.
    fn check_beams(
        &self,
        beams: impl Iterator<Item = (f32, bool)>,
        step_rad: f32,
    ) -> Result<Vec<f32>, LidarError> {
        let sector_rad = 0.5 * (self.spec.angle_rad(1) - self.spec.angle_rad(0));
        // Beams, valid ones, and valid ones next to the ray.
        let mut counts = vec![[0_u32; 3]; self.spec.count];
        for (angle_rad, is_valid) in beams {
            let Some((ray, off_rad)) = self.ray_at(angle_rad) else {
                continue;
            };
            let Some([beams, valid, near]) = counts.get_mut(ray) else {
                continue;
            };
            if off_rad <= sector_rad {
                *beams += 1;
                *valid += u32::from(is_valid);
                *near += u32::from(is_valid && off_rad <= step_rad);
            }
        }
        let width = |(ray, [beams, valid, near]): (usize, [u32; 3])| {
            if valid == 0 || 2 * valid < beams {
                return Err(LidarError::Blind {
                    what: "scan",
                    ray_deg: self.spec.angle_rad(ray).to_degrees(),
                    found: valid,
                    expected: beams,
                });
            }
            Ok(if near > 0 { step_rad } else { sector_rad })
        };
        counts.into_iter().enumerate().map(width).collect()
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
        let to_world = base * self.sensor_to_base;
        let points = points_of(cloud)?.map(|point| to_world * point);
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
        let half_width_rad = 0.5 * (self.spec.angle_rad(1) - self.spec.angle_rad(0));
        Ok(self.rays(points(), |_| half_width_rad))
    }

    /// Checks that there are points, of whatever height, in all directions in which the policies have rays.
    fn check_sectors(&self, points: impl Iterator<Item = Point3<f32>>) -> Result<(), LidarError> {
        let (first_rad, range_rad) = (
            self.spec.first_rad,
            self.spec.last_rad - self.spec.first_rad,
        );
        let sectors = (range_rad / SECTOR_RAD).round().max(1.0);
        let mut counts = vec![0_u32; sectors as usize];
        for point in points {
            let angle_rad = point.y.atan2(point.x);
            let place = ((angle_rad - first_rad) / range_rad * sectors).floor();
            if place >= 0.0
                && let Some(count) = counts.get_mut(place as usize)
            {
                *count += 1;
            }
        }
        let expected = self.config.sector_points;
        match counts.iter().position(|count| *count < expected) {
            None => Ok(()),
            Some(sector) => Err(LidarError::Blind {
                what: "point cloud",
                ray_deg: (first_rad + (sector as f32 + 0.5) / sectors * range_rad).to_degrees(),
                found: counts[sector],
                expected,
            }),
        }
    }

    /// The ray nearest to a direction, and by how much they differ, rad. None before the first; after the last there is no
    /// ray of that number.
    fn ray_at(&self, angle_rad: f32) -> Option<(usize, f32)> {
        let spec = &self.spec;
        let step_rad = spec.angle_rad(1) - spec.angle_rad(0);
        let place = ((angle_rad - spec.first_rad) / step_rad).round();
        let off_rad = (angle_rad - spec.first_rad - place * step_rad).abs();
        (place >= 0.0).then_some((place as usize, off_rad))
    }

    /// The nearest points, in a level frame with the heading and the origin of the base, within half of a width of each ray,
    /// rad.
    fn rays(
        &self,
        points: impl Iterator<Item = Point3<f32>>,
        half_width_rad: impl Fn(usize) -> f32,
    ) -> RayScan {
        let spec = &self.spec;
        let [lower_m, upper_m] = self.config.height_m;
        let mut scan = RayScan::clear(spec);
        for point in points {
            if !(lower_m..=upper_m).contains(&point.z) {
                continue;
            }
            let ahead_m = point.x - spec.origin_x_m;
            let angle_rad = point.y.atan2(ahead_m);
            let Some((ray, off_rad)) = self.ray_at(angle_rad) else {
                continue;
            };
            if let Some(distance_m) = scan.distance_m.get_mut(ray)
                && off_rad <= half_width_rad(ray)
            {
                let range_m = ahead_m.hypot(point.y).max(spec.min_m);
                *distance_m = distance_m.min(range_m);
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

/// Number of the type of `float32` in a cloud.
const FLOAT32: u8 = 7;

fn points_of(cloud: &PointCloud2) -> Result<impl Iterator<Item = Point3<f32>> + '_, LidarError> {
    let malformed = |problem: String| LidarError::Malformed {
        what: "point cloud",
        problem,
    };
    let step = cloud.point_step as usize;
    let offset = |name: &str| {
        let field = cloud.fields.iter().find(|field| {
            field.name == name
                && field.datatype == FLOAT32
                && (field.offset as usize).saturating_add(4) <= step
        });
        field
            .map(|field| field.offset as usize)
            .ok_or_else(|| malformed(format!("it has no field `{name}` of float32")))
    };
    let offsets = [offset("x")?, offset("y")?, offset("z")?];
    let (width, row_step) = (cloud.width as usize, cloud.row_step as usize);
    let row_bytes = width.saturating_mul(step);
    let rows_bytes = (cloud.height as usize).saturating_mul(row_step);
    let num_points = (cloud.height as usize).saturating_mul(width);
    if num_points > MOST_POINTS {
        return Err(malformed(format!(
            "{num_points} points, at most {MOST_POINTS}"
        )));
    }
    if cloud.is_bigendian || row_step < row_bytes || cloud.data.len() < rows_bytes {
        return Err(malformed(format!(
            "{} bytes for {} rows of {row_step} bytes with {width} points of {step} bytes{}",
            cloud.data.len(),
            cloud.height,
            if cloud.is_bigendian {
                ", big-endian"
            } else {
                ""
            }
        )));
    }
    let number = |point: &[u8], offset: usize| {
        let bytes = point[offset..].first_chunk::<4>();
        bytes.map_or(f32::NAN, |bytes| f32::from_le_bytes(*bytes))
    };
    Ok(cloud
        .data
        .chunks_exact(row_step.max(1))
        .take(cloud.height as usize)
        .flat_map(move |row| row[..row_bytes].chunks_exact(step.max(1)))
        .map(move |point| Point3::from(offsets.map(|offset| number(point, offset))))
        .filter(|point| point.coords.iter().all(|value| value.is_finite())))
}

#[cfg(test)]
mod tests;
