//! Whether a lidar sees in all directions in which the policies have rays.

use std::f32::consts::TAU;

use nalgebra::Point3;

use super::{Lidar, LidarError};

/// Width of the sectors that clouds must have points in, rad.
const SECTOR_RAD: f32 = TAU / 12.0;

impl Lidar {
    /// Checks that the sector of every ray, half of the way to its neighbours, has beams, at least half of them valid. Each
    /// beam is a direction in a level frame and whether it is valid. Gives the half width of each ray, rad: its own or that of a beam,
    /// whichever is wider, or the whole sector where the beams nearest to the ray are not valid.
    pub(super) fn check_beams(
        &self,
        beams: impl Iterator<Item = (f32, bool)>,
        step_rad: f32,
    ) -> Result<Vec<f32>, LidarError> {
        let sector_rad = 0.5 * self.spec.step_rad();
        // Beams, valid ones, and valid ones next to the ray.
        let mut counts = vec![[0_u32; 3]; self.spec.count];
        for (angle_rad, is_valid) in beams {
            if let Some((ray, off_rad)) = self.spec.nearest(angle_rad) {
                let [beams, valid, near] = &mut counts[ray];
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
            let ray_rad = step_rad.max(0.5 * self.spec.width_rad);
            Ok(if near > 0 { ray_rad } else { sector_rad })
        };
        counts.into_iter().enumerate().map(width).collect()
    }

    /// Checks that there are points, of whatever height, in all directions in which the policies have rays.
    pub(super) fn check_sectors(
        &self,
        points: impl Iterator<Item = Point3<f32>>,
    ) -> Result<(), LidarError> {
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
}
