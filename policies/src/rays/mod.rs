//! The rays: where they start, where they point, how far they see.

mod held;
mod memory;
mod placed;
mod previous;

pub use held::HeldScan;
pub use memory::RayMemory;
pub use previous::PreviousScans;

use std::{f32::consts::FRAC_PI_4, ops::Range};

use arrayvec::ArrayVec;
use nalgebra::{Point2, Rotation2, Vector2};
use rand::{Rng, RngExt as _};
use robots::RobotState;
use serde::{Deserialize, Serialize};

/// Most rays that a scan may have.
pub const MAX_RAYS: usize = 64;
/// Most policy steps between a scan and the previous one.
pub const MAX_PREVIOUS_STEPS: usize = 50;

/// Rays whose directions differ by less are the same.
const SAME_DIRECTION_RAD: f32 = 1e-3;

/// Horizontal rays in the yaw frame: a fan around the forward axis, from right to left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RaySpec {
    /// Number of rays.
    pub count: usize,
    /// Direction of the first ray, rad, positive to the left.
    pub first_rad: f32,
    /// Direction of the last ray, rad.
    pub last_rad: f32,
    /// Forward position of the common origin relative to the base centre, m.
    pub origin_x_m: f32,
    /// Shortest distance that is told apart, m.
    pub min_m: f32,
    /// Distance of a ray that hits nothing, m.
    pub max_m: f32,
    /// Lowest and highest surface that counts, relative to the base in a level frame, m; `[0.0, 0.0]` is the plane of the base.
    pub height_m: [f32; 2],
    /// Width of the sector whose nearest surface a ray measures, rad, at most the angle from one ray to the next; 0 is a line.
    pub width_rad: f32,
    /// Policy steps since the previous scan that is observed beside the present one, so that motion can be seen; 0 observes none.
    pub previous_steps: usize,
}

impl Default for RaySpec {
    /// The 11 rays of the paper.
    fn default() -> Self {
        Self {
            count: 11,
            first_rad: -FRAC_PI_4,
            last_rad: FRAC_PI_4,
            origin_x_m: -0.05,
            min_m: 0.1,
            max_m: 6.0,
            height_m: [0.0, 0.0],
            width_rad: 0.0,
            previous_steps: 0,
        }
    }
}

/// A [`RaySpec`] that no scan can have.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RaySpecError {
    /// Too few or too many rays.
    #[error("rays.count is {0}, must be 2 to {MAX_RAYS}")]
    Count(usize),
    /// The fan is empty, reversed or more than a full turn.
    #[error(
        "rays go from {first_rad} to {last_rad} rad, must be increasing and at most a full turn"
    )]
    Fan {
        /// Direction of the first ray, rad.
        first_rad: f32,
        /// Direction of the last ray, rad.
        last_rad: f32,
    },
    /// The distance range is empty or not positive.
    #[error("rays reach from {min_m} to {max_m} m, must be 0 < min_m < max_m")]
    Range {
        /// Shortest distance, m.
        min_m: f32,
        /// Longest distance, m.
        max_m: f32,
    },
    /// The plane of the base, from where the rays begin, is not among the heights.
    #[error("rays.height_m is {0:?}, must be [low, high] with 0 between them")]
    Height([f32; 2]),
    /// Neighbouring rays overlap.
    #[error(
        "rays.width_rad is {width_rad}, must be 0 to {step_rad}, the angle from one ray to the next"
    )]
    Width {
        /// Width of a ray, rad.
        width_rad: f32,
        /// Angle from one ray to the next, rad.
        step_rad: f32,
    },
    /// The previous scan is too old.
    #[error("rays.previous_steps is {0}, must be at most {MAX_PREVIOUS_STEPS}")]
    PreviousSteps(usize),
    /// The origin is not a number.
    #[error("rays.origin_x_m is {0}, must be finite")]
    Origin(f32),
}

impl RaySpec {
    /// Checks that the rays form a fan.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<(), RaySpecError> {
        if !(2..=MAX_RAYS).contains(&self.count) {
            return Err(RaySpecError::Count(self.count));
        }
        let fan_rad = self.last_rad - self.first_rad;
        if !(fan_rad > 0.0 && fan_rad <= std::f32::consts::TAU) {
            return Err(RaySpecError::Fan {
                first_rad: self.first_rad,
                last_rad: self.last_rad,
            });
        }
        if !(self.min_m > 0.0 && self.min_m < self.max_m && self.max_m.is_finite()) {
            return Err(RaySpecError::Range {
                min_m: self.min_m,
                max_m: self.max_m,
            });
        }
        let [low_m, high_m] = self.height_m;
        if !(low_m <= 0.0 && high_m >= 0.0 && (high_m - low_m).is_finite()) {
            return Err(RaySpecError::Height(self.height_m));
        }
        let (width_rad, step_rad) = (self.width_rad, self.step_rad());
        if !(0.0..step_rad + SAME_DIRECTION_RAD).contains(&width_rad) {
            return Err(RaySpecError::Width {
                width_rad,
                step_rad,
            });
        }
        if self.previous_steps > MAX_PREVIOUS_STEPS {
            return Err(RaySpecError::PreviousSteps(self.previous_steps));
        }
        if !self.origin_x_m.is_finite() {
            return Err(RaySpecError::Origin(self.origin_x_m));
        }
        Ok(())
    }

    /// Which rays of this fan those of `sensor` are, if they are the same ones.
    pub fn range_of(&self, sensor: &Self) -> Option<Range<usize>> {
        let start = (0..self.count).find(|&ray| self.points_to(ray, sensor.first_rad))?;
        let range = start..start + sensor.count;
        let is_part = range.end <= self.count
            && self.points_to(range.end - 1, sensor.last_rad)
            && self.measures_as(sensor);
        is_part.then_some(range)
    }

    /// Whether a ray of either fan would be the same distance.
    fn measures_as(&self, other: &Self) -> bool {
        let measure = |spec: &Self| (spec.origin_x_m, spec.min_m, spec.max_m, spec.height_m);
        measure(self) == measure(other)
            && (self.width_rad - other.width_rad).abs() < SAME_DIRECTION_RAD
    }

    /// What differs from `expected`, one `key found instead of expected` after the other.
    pub(crate) fn difference(&self, expected: &Self) -> String {
        let parts = |spec: &Self| {
            [
                ("count", spec.count.to_string()),
                ("first_rad", spec.first_rad.to_string()),
                ("last_rad", spec.last_rad.to_string()),
                ("origin_x_m", spec.origin_x_m.to_string()),
                ("min_m", spec.min_m.to_string()),
                ("max_m", spec.max_m.to_string()),
                ("height_m", format!("{:?}", spec.height_m)),
                ("width_rad", spec.width_rad.to_string()),
                ("previous_steps", spec.previous_steps.to_string()),
            ]
        };
        let pairs = parts(self).into_iter().zip(parts(expected));
        let differ = pairs.filter(|((_, found), (_, expected))| found != expected);
        differ
            .map(|((key, found), (_, expected))| format!("{key} {found} instead of {expected}"))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The rays of this fan that point less than `half_angle_rad` to either side.
    pub fn within(&self, half_angle_rad: f32) -> Option<Self> {
        let is_within = |ray: &usize| self.angle_rad(*ray).abs() < half_angle_rad;
        let first = (0..self.count).find(is_within)?;
        let last = (0..self.count).rfind(is_within)?;
        (last > first).then(|| Self {
            count: last - first + 1,
            first_rad: self.angle_rad(first),
            last_rad: self.angle_rad(last),
            ..self.clone()
        })
    }

    /// Whether ray `index` has this direction.
    pub fn points_to(&self, index: usize, angle_rad: f32) -> bool {
        (self.angle_rad(index) - angle_rad).abs() < SAME_DIRECTION_RAD
    }

    /// Direction of ray `index` in the yaw frame, rad, positive to the left.
    pub fn angle_rad(&self, index: usize) -> f32 {
        self.first_rad + index as f32 * self.step_rad()
    }

    /// The ray that points within half a step of a bearing in -pi..=pi, and by how much they differ, rad.
    pub fn nearest(&self, bearing_rad: f32) -> Option<(usize, f32)> {
        let place = ((bearing_rad - self.first_rad) / self.step_rad()).round();
        // A NaN is in no range.
        (0.0..self.count as f32).contains(&place).then(|| {
            let ray = place as usize;
            (ray, (bearing_rad - self.angle_rad(ray)).abs())
        })
    }

    /// Angle from one ray to the next, rad.
    pub fn step_rad(&self) -> f32 {
        (self.last_rad - self.first_rad) / (self.count - 1) as f32
    }

    /// Where the rays of a robot in this state begin, world frame.
    pub fn origin_world(&self, state: &RobotState) -> Point2<f32> {
        let ahead = Rotation2::new(state.yaw_rad()) * Vector2::new(self.origin_x_m, 0.0);
        state.position_world.xy() + ahead
    }

    /// Everything that gives a scan its meaning, for hashes.
    pub(crate) fn meaning(&self) -> String {
        let Self {
            count,
            first_rad,
            last_rad,
            origin_x_m,
            min_m,
            max_m,
            height_m,
            width_rad,
            // Not a property of a single scan.
            previous_steps: _,
        } = self;
        let line = format!("{count}|{first_rad:?}|{last_rad:?}|{origin_x_m:?}|{min_m:?}|{max_m:?}");
        if (*height_m, *width_rad) == ([0.0; 2], 0.0) {
            return line;
        }
        format!("{line}|{height_m:?}|{width_rad:?}")
    }

    /// Unit vectors of all rays in the yaw frame (x forward, y left).
    pub fn directions(&self) -> impl Iterator<Item = Vector2<f32>> + '_ {
        (0..self.count).map(|index| {
            let (sin, cos) = self.angle_rad(index).sin_cos();
            Vector2::new(cos, sin)
        })
    }
}

/// Distances seen by all rays at one instant, m, within `min_m..=max_m` of the [`RaySpec`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RayScan {
    /// One distance per ray, m, first ray first.
    pub distance_m: ArrayVec<f32, MAX_RAYS>,
}

impl RayScan {
    /// Nothing in reach.
    pub fn clear(spec: &RaySpec) -> Self {
        Self {
            distance_m: std::iter::repeat_n(spec.max_m, spec.count).collect(),
        }
    }

    /// Illusion (docs/concepts/rays.md#illusion): every ray longer than `bound_m` is drawn anew between that bound and its own length.
    /// Policies trained with it ignore walls behind the goal. They need it wherever they act: rays that end far beyond a near goal are
    /// outside their training distribution.
    pub fn apply_illusion(&mut self, bound_m: f32, stream: &mut impl Rng) {
        for distance in &mut self.distance_m {
            if *distance > bound_m {
                *distance = bound_m + (*distance - bound_m) * stream.random::<f32>();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearing_belongs_to_the_ray_within_half_a_step() {
        let spec = RaySpec::default();
        let degrees = |degrees: f32| spec.nearest(degrees.to_radians());
        let (ray, off_rad) = degrees(-45.0 + 2.0 * 9.0 + 4.0).expect("within the fan");
        assert_eq!(ray, 2);
        assert!((off_rad - 4_f32.to_radians()).abs() < 1e-5, "{off_rad}");
        assert_eq!(degrees(-49.0).map(|(ray, _)| ray), Some(0));
        assert_eq!(degrees(49.0).map(|(ray, _)| ray), Some(10));
        let outside = [-50.0, 50.0, 180.0, f32::NAN].map(degrees);
        assert_eq!(outside, [None; 4]);
    }

    #[test]
    fn rays_step_by_nine_degrees_from_right_to_left() {
        let spec = RaySpec::default();
        for index in 0..11 {
            let expected_deg = -45.0 + 9.0 * index as f32;
            assert!((spec.angle_rad(index).to_degrees() - expected_deg).abs() < 1e-4);
        }
        let directions: Vec<_> = spec.directions().collect();
        assert!(directions[0].y < 0.0, "the first ray looks to the right");
        assert!((directions[5] - Vector2::x()).norm() < 1e-6);
    }

    #[test]
    fn impossible_specs_are_named() {
        let ok = RaySpec::default();
        assert_eq!(ok.validate(), Ok(()));
        let check = |spec: RaySpec, expected: &str| {
            let error = spec.validate().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(
            RaySpec {
                count: 1,
                ..ok.clone()
            },
            "rays.count is 1",
        );
        check(
            RaySpec {
                count: 65,
                ..ok.clone()
            },
            "rays.count is 65",
        );
        check(
            RaySpec {
                previous_steps: 51,
                ..ok.clone()
            },
            "rays.previous_steps is 51",
        );
        check(
            RaySpec {
                last_rad: -2.0,
                ..ok.clone()
            },
            "increasing",
        );
        check(
            RaySpec {
                last_rad: f32::NAN,
                ..ok.clone()
            },
            "increasing",
        );
        check(
            RaySpec {
                min_m: 0.0,
                ..ok.clone()
            },
            "0 < min_m",
        );
        check(
            RaySpec {
                max_m: f32::INFINITY,
                ..ok.clone()
            },
            "0 < min_m",
        );
        for height_m in [
            [0.1, 0.3],
            [0.2, -0.2],
            [-0.1, f32::INFINITY],
            [f32::NAN, 0.0],
        ] {
            check(
                RaySpec {
                    height_m,
                    ..ok.clone()
                },
                "rays.height_m is",
            );
        }
        for width_rad in [-0.1, 0.2, f32::NAN] {
            check(
                RaySpec {
                    width_rad,
                    ..ok.clone()
                },
                "must be 0 to 0.157",
            );
        }
        check(
            RaySpec {
                origin_x_m: f32::NAN,
                ..ok
            },
            "origin_x_m",
        );
    }

    #[test]
    fn illusion_shortens_only_rays_behind_the_goal() {
        let mut stream = rand_pcg::Pcg64::new(3, 0);
        let mut drawn = Vec::new();
        for _ in 0..500 {
            let mut scan = RayScan {
                distance_m: [1.0, 2.0, 6.0].into_iter().collect(),
            };
            scan.apply_illusion(2.0, &mut stream);
            assert_eq!(scan.distance_m[..2], [1.0, 2.0]);
            drawn.push(scan.distance_m[2]);
        }
        assert!(drawn.iter().all(|d| (2.0..=6.0).contains(d)));
        let mean = drawn.iter().sum::<f32>() / 500.0;
        assert!((mean - 4.0).abs() < 0.2, "mean {mean}");
    }
}
