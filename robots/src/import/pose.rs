//! Standing and default pose by inverse kinematics: every foot below its hip, at a part of the leg's length.

use nalgebra::{Matrix3, Point3, Vector3};

use super::{bodies::Bodies, foot::Ball, legs::Chain, report::Report};

/// Heights of the hip over the foot, as parts of the leg's length: the first that the limits allow.
const DEFAULT_HEIGHTS: &[f64] = &[0.73, 0.7, 0.77, 0.65, 0.82, 0.6, 0.87, 0.92];
const STANDING_HEIGHTS: &[f64] = &[0.62, 0.65, 0.59, 0.7, 0.55, 0.75, 0.8, 0.85, 0.92];
/// How near a foot gets to where it should be, m.
const NEAR_M: f64 = 1e-3;

/// Poses of a robot, one joint vector per leg, rad.
pub(super) struct Poses {
    pub default_rad: Vec<Vec<f64>>,
    pub standing_rad: Vec<Vec<f64>>,
    /// Of the hips over the feet in the default and the standing pose, as a share of the leg.
    pub heights: [f64; 2],
    /// Of thigh and calf together, the mean of the legs, m.
    pub leg_length_m: f64,
}

/// A leg with its foot.
pub(super) struct LegGeometry<'a> {
    pub bodies: &'a Bodies<'a>,
    pub chain: &'a Chain,
    pub foot: &'a Ball,
}

impl LegGeometry<'_> {
    fn foot(&self, position_rad: &[f64]) -> Point3<f64> {
        let poses = self.bodies.poses(&self.chain.bodies, position_rad);
        poses
            .last()
            .map_or(self.foot.centre, |pose| pose * self.foot.centre)
    }

    fn ranges(&self) -> Vec<[f64; 2]> {
        let bodies = self.chain.bodies.iter();
        let hinges = bodies.filter_map(|&body| self.bodies.all[body].hinge.as_ref());
        hinges
            .map(|hinge| {
                use std::f64::consts::PI;
                let [low, high] = hinge.joint.range_rad.unwrap_or([-PI, PI]);
                // Further turns bring nothing; a margin keeps the pose off the stops.
                let margin = 0.02 * (high - low).min(1.0);
                [low.max(-PI) + margin, high.min(PI) - margin]
            })
            .collect()
    }

    /// The joint in the hip that swings the leg fore and aft: the last but one.
    fn hip(&self) -> usize {
        self.chain.bodies.len().saturating_sub(2)
    }

    /// Length of thigh and calf in the plane in which they swing, m.
    pub(super) fn length_m(&self) -> f64 {
        let poses = self.bodies.poses(&self.chain.bodies, &[]);
        let hip = self.hip();
        let body = &self.bodies.all[self.chain.bodies[hip]];
        let axis = body
            .hinge
            .as_ref()
            .map_or(Vector3::y(), |h| poses[hip].rotation * h.axis.into_inner());
        let in_plane = |v: Vector3<f64>| (v - v.dot(&axis) * axis).norm();
        let knee = poses[poses.len() - 1].translation.vector;
        in_plane(knee - poses[hip].translation.vector) + in_plane(self.foot(&[]).coords - knee)
    }

    /// Where the hip and, with the first joints neutral, the plane of the leg are.
    fn below_hip(&self, height: f64, shift_x: f64) -> Point3<f64> {
        let neutral = self.neutral();
        let poses = self.bodies.poses(&self.chain.bodies, &neutral);
        let hip = poses[self.hip()].translation.vector;
        Point3::new(
            hip.x + shift_x,
            self.foot(&neutral).y,
            hip.z - height * self.length_m(),
        )
    }

    fn neutral(&self) -> Vec<f64> {
        let ranges = self.ranges();
        ranges
            .iter()
            .map(|[low, high]| 0f64.clamp(low.min(*high), high.max(*low)))
            .collect()
    }

    /// Joint positions that put the foot at a point, knees behind the hips where the limits allow it.
    fn solve(&self, target: &Point3<f64>) -> Option<Vec<f64>> {
        let ranges = self.ranges();
        let neutral = self.neutral();
        let mut best: Option<(f64, Vec<f64>)> = None;
        for seed in seeds(&ranges, &neutral) {
            let position = self.approach(seed, target, &ranges);
            if (self.foot(&position) - target).norm() > NEAR_M {
                continue;
            }
            let poses = self.bodies.poses(&self.chain.bodies, &position);
            let (hip, knee) = (&poses[self.hip()], &poses[poses.len() - 1]);
            let is_ahead = knee.translation.vector.x > hip.translation.vector.x;
            let is_above = knee.translation.vector.z > hip.translation.vector.z;
            let turned: f64 = position.iter().map(|q| q * q).sum();
            let sideways: f64 = (0..self.hip())
                .map(|i| (position[i] - neutral[i]).abs())
                .sum();
            let cost = 10.0 * f64::from(is_ahead)
                + 20.0 * f64::from(is_above)
                + 10.0 * sideways
                + 0.1 * turned;
            if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                best = Some((cost, position));
            }
        }
        best.map(|(_, position)| position)
    }

    /// Damped least squares within the limits.
    fn approach(
        &self,
        mut position: Vec<f64>,
        target: &Point3<f64>,
        ranges: &[[f64; 2]],
    ) -> Vec<f64> {
        for _ in 0..80 {
            let error = target - self.foot(&position);
            if error.norm() < 0.1 * NEAR_M {
                break;
            }
            let columns: Vec<Vector3<f64>> = (0..position.len())
                .map(|joint| {
                    let mut moved = position.clone();
                    moved[joint] += 1e-5;
                    (self.foot(&moved) - self.foot(&position)) / 1e-5
                })
                .collect();
            let damped: Matrix3<f64> = columns
                .iter()
                .map(|c| c * c.transpose())
                .sum::<Matrix3<f64>>()
                + 1e-6 * Matrix3::identity();
            let Some(inverse) = damped.try_inverse() else {
                break;
            };
            let step = inverse * error;
            for (joint, column) in columns.iter().enumerate() {
                let [low, high] = ranges[joint];
                position[joint] = (position[joint] + column.dot(&step).clamp(-0.3, 0.3))
                    .max(low)
                    .min(high);
            }
        }
        position
    }
}

/// Positions spread over the ranges; the first joint starts where it is neutral, too.
fn seeds(ranges: &[[f64; 2]], neutral: &[f64]) -> Vec<Vec<f64>> {
    let mut seeds = vec![Vec::new()];
    for (index, [low, high]) in ranges.iter().enumerate() {
        let is_swing = index + 2 >= ranges.len();
        let starts = match is_swing {
            true => [0.2, 0.4, 0.6, 0.8]
                .map(|part| low + part * (high - low))
                .to_vec(),
            false => vec![neutral[index]],
        };
        seeds = seeds
            .iter()
            .flat_map(|seed| {
                starts
                    .iter()
                    .map(move |start| [seed.as_slice(), &[*start]].concat())
            })
            .collect();
    }
    seeds
}

/// Length of thigh and calf together, the mean of the legs, m; `None` after an error, which is in the report.
pub(super) fn leg_length_m(legs: &[LegGeometry<'_>], report: &mut Report) -> Option<f64> {
    let leg_length_m =
        legs.iter().map(LegGeometry::length_m).sum::<f64>() / legs.len().max(1) as f64;
    if !(0.03..3.0).contains(&leg_length_m) {
        let unit = if leg_length_m >= 3.0 {
            "lengths seem to be in mm, and a URDF has metres"
        } else {
            "between 0.03 and 3 m are plausible"
        };
        report.error(format!(
            "thigh and calf together are {leg_length_m:.4} m long; {unit}"
        ));
        return None;
    }
    Some(leg_length_m)
}

/// Default and standing pose; `None` after an error, which is in the report.
pub(super) fn find(
    legs: &[LegGeometry<'_>],
    leg_length_m: f64,
    report: &mut Report,
) -> Option<Poses> {
    let centre = legs.first().map_or(0.0, |leg| centre_of_mass_x(leg.bodies));
    let hips: f64 = legs
        .iter()
        .map(|leg| leg.below_hip(0.7, 0.0).x)
        .sum::<f64>()
        / legs.len().max(1) as f64;
    // The robot stands over its centre of mass, which an arm or a head may bring off the middle.
    let shift_x = (centre - hips).clamp(-0.15 * leg_length_m, 0.15 * leg_length_m);
    let at = |height: f64| -> Option<Vec<Vec<f64>>> {
        let targets: Vec<_> = legs
            .iter()
            .map(|leg| leg.below_hip(height, shift_x))
            .collect();
        // All feet on one plane.
        let ground = legs
            .iter()
            .zip(&targets)
            .map(|(leg, at)| at.z - leg.foot.radius)
            .sum::<f64>()
            / legs.len() as f64;
        let solved = legs
            .iter()
            .zip(&targets)
            .map(|(leg, at)| leg.solve(&Point3::new(at.x, at.y, ground + leg.foot.radius)));
        solved.collect()
    };
    let mut first = |name: &str, heights: &[f64]| {
        let found = heights
            .iter()
            .find_map(|&height| Some((height, at(height)?)));
        if found.is_none() {
            report.error(format!("no {name} pose: within the limits of the joints no foot gets below its hip at 0.55 to 0.92 of the leg's {leg_length_m:.3} m; are limits and axes right?"));
        }
        found
    };
    let (default_height, default_rad) = first("default", DEFAULT_HEIGHTS)?;
    let (standing_height, standing_rad) = first("standing", STANDING_HEIGHTS)?;
    Some(Poses {
        default_rad,
        standing_rad,
        heights: [default_height, standing_height],
        leg_length_m,
    })
}

impl Poses {
    /// That they are guesses.
    pub(super) fn report(&self, report: &mut Report) {
        for (name, height) in ["default", "standing"].into_iter().zip(self.heights) {
            report.guessed(format!(
                "{name} pose: hips {:.3} m over the feet, {:.0}% of the leg's {:.3} m",
                height * self.leg_length_m,
                100.0 * height,
                self.leg_length_m
            ));
        }
    }
}

/// Along x, with all joints at zero, in the base frame.
fn centre_of_mass_x(bodies: &Bodies<'_>) -> f64 {
    let mut poses = vec![nalgebra::Isometry3::identity(); bodies.all.len()];
    let (mut moment, mut mass) = (0.0, 0.0);
    for (index, body) in bodies.all.iter().enumerate() {
        if let Some(hinge) = &body.hinge {
            poses[index] = poses[hinge.parent] * hinge.pose;
        }
        if let Some((own, com)) = body.mass.centre() {
            moment += own * (poses[index] * com).x;
            mass += own;
        }
    }
    if mass > 0.0 { moment / mass } else { 0.0 }
}
