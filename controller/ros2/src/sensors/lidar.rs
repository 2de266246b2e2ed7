//! Rays from laser scans and point clouds.

use std::{collections::VecDeque, f32::consts::TAU};

use nalgebra::{Isometry3, Point3, Translation3, UnitQuaternion, Vector3};
use policies::{RayScan, RaySpec};
use serde::{Deserialize, Serialize};

use crate::messages::{LaserScan, PointCloud2};

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
        }
    }
}

/// Why a message gives no rays.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LidarError {
    /// A lidar setting out of range.
    #[error("lidar.{key} is {value}, must be {expected}")]
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
        "{what} is in frame `{found}`, expected `{expected}`: set lidar.frame, and lidar.position_base_m and lidar.rpy_base_deg to where it sits"
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
        "scan covers {from_deg:.0} to {to_deg:.0} degrees of its frame and misses the ray at {ray_deg:.0} degrees of the robot: turn or widen it, or correct lidar.rpy_base_deg"
    )]
    FieldOfView {
        /// First angle of the scan, degrees.
        from_deg: f32,
        /// Last angle of the scan, degrees.
        to_deg: f32,
        /// Direction of the first ray that it misses, degrees.
        ray_deg: f32,
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
            config.merge_s >= 0.0,
            "0 or more",
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
        let sound = step_rad > 0.0 && (last_rad - scan.angle_max).abs() < 1.5 * step_rad;
        if !sound {
            return Err(LidarError::Malformed {
                what: "scan",
                problem: format!(
                    "{} ranges from {} to {} rad in steps of {step_rad} rad",
                    scan.ranges.len(),
                    scan.angle_min,
                    scan.angle_max
                ),
            });
        }
        self.check_field_of_view(&to_base.rotation, scan.angle_min, last_rad, step_rad)?;
        let points = scan
            .ranges
            .iter()
            .enumerate()
            .filter_map(|(index, &range_m)| {
                let is_hit = range_m >= scan.range_min && range_m <= scan.range_max;
                let (sin, cos) = (scan.angle_min + index as f32 * step_rad).sin_cos();
                is_hit.then(|| to_level * Point3::new(range_m * cos, range_m * sin, 0.0))
            });
        // Every ray gets at least one beam.
        Ok(self.rays(points, step_rad))
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
            Some((time_ns, _)) if now_ns.saturating_sub(*time_ns) > merge_ns => {
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
        let points = self.clouds.iter().flat_map(|(_, points)| points);
        // Clouds are sparse, so every point counts for the nearest ray.
        let half_width_rad = 0.5 * (self.spec.angle_rad(1) - self.spec.angle_rad(0));
        Ok(self.rays(points.map(|point| from_world * point), half_width_rad))
    }

    /// The nearest points, in a level frame with the heading and the origin of the base, within `half_width_rad` of each ray.
    fn rays(&self, points: impl Iterator<Item = Point3<f32>>, half_width_rad: f32) -> RayScan {
        let spec = &self.spec;
        let step_rad = spec.angle_rad(1) - spec.angle_rad(0);
        let [lower_m, upper_m] = self.config.height_m;
        let mut scan = RayScan::clear(spec);
        for point in points {
            if !(lower_m..=upper_m).contains(&point.z) {
                continue;
            }
            let ahead_m = point.x - spec.origin_x_m;
            let angle_rad = point.y.atan2(ahead_m);
            let place = ((angle_rad - spec.first_rad) / step_rad).round();
            let off_rad = (angle_rad - spec.first_rad - place * step_rad).abs();
            if place < 0.0 || off_rad > half_width_rad {
                continue;
            }
            if let Some(distance_m) = scan.distance_m.get_mut(place as usize) {
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
            found: found.to_owned(),
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
