//! Whether a robot can stand as its folder says, from its numbers alone.

#[cfg(test)]
mod tests;

use nalgebra::{DMatrix, DVector, Point3, Vector2, Vector3};

use crate::{
    error::RobotError,
    model::{ContactClass, Robot},
    state::JointVec,
};

/// Gravity, m/s².
const GRAVITY: f32 = 9.81;
/// Mass of a robot, kg.
const MASS_KG: std::ops::RangeInclusive<f32> = 0.1..=500.0;
/// Length of a leg from its second-last joint to the foot, m.
const LEG_M: std::ops::RangeInclusive<f32> = 0.03..=3.0;
/// A standing robot that yields more than this to its own weight does not hold its pose, rad.
const MOST_YIELD_RAD: f32 = 0.6;
/// Stiffness over weight times leg length: with more, a motor knows only full effort.
const STIFFEST: f32 = 30.0;
/// Heights of the feet in a pose, as a part of the leg's length.
const UNEVEN: f32 = 0.1;
/// How much left and right may differ, as a part.
const ASYMMETRY: f32 = 0.05;

/// What speaks against a robot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Soundness {
    /// Why it cannot stand; nothing should be trained or evaluated with it.
    pub reasons: Vec<String>,
    /// What looks wrong.
    pub doubts: Vec<String>,
}

/// A robot that stands still on level ground.
#[derive(Clone, Debug)]
pub struct StaticLoad {
    /// Centre of mass in the base frame.
    pub centre_of_mass_base: Point3<f32>,
    /// How far the centre of mass is inside the feet's polygon, m; negative outside.
    pub support_margin_m: f32,
    /// Torque of every joint, N·m.
    pub torque_nm: JointVec,
}

impl Robot {
    /// Length of a leg from its second-last joint to the centre of the foot, the largest of the legs, m.
    pub fn leg_length_m(&self) -> f32 {
        let lengths = self.legs.iter().map(|leg| {
            let last = leg.joints.iter().skip(1).next_back();
            let knee = last.map_or(0.0, |joint| joint.origin.translation.vector.norm());
            knee + leg.foot.position.coords.norm()
        });
        lengths.fold(0.0, f32::max)
    }

    /// Centre of mass in the base frame. `joint_position_rad` has one entry per joint of the robot.
    pub fn centre_of_mass_base(&self, joint_position_rad: &[f32]) -> Point3<f32> {
        let base = &self.base.link;
        let mut moment = base.mass_kg * base.com.coords;
        for (leg, range) in self.legs_with_joint_range() {
            let poses = leg.link_poses_base(&joint_position_rad[range]);
            for (joint, pose) in leg.joints.iter().zip(poses) {
                moment += joint.link.mass_kg * (pose * joint.link.com).coords;
            }
        }
        Point3::from(moment / self.mass_kg())
    }

    /// Loads of a robot that stands in a pose, the weight spread over its feet as evenly as its balance allows.
    pub fn static_load(&self, joint_position_rad: &[f32]) -> StaticLoad {
        let centre = self.centre_of_mass_base(joint_position_rad);
        let feet = self.foot_positions_base(joint_position_rad);
        let balance = DMatrix::from_fn(3, feet.len(), |row, foot| match row {
            0 => 1.0,
            row => feet[foot][row - 1] - centre[row - 1],
        });
        let weight = DVector::from_vec(vec![self.mass_kg() * GRAVITY, 0.0, 0.0]);
        let inverse = balance.pseudo_inverse(1e-4);
        let forces =
            inverse.map_or_else(|_| DVector::zeros(feet.len()), |inverse| inverse * weight);
        let mut torque_nm = JointVec::new();
        for ((leg, range), force) in self.legs_with_joint_range().zip(forces.iter()) {
            let columns = leg.foot_jacobian_base(&joint_position_rad[range]);
            torque_nm.extend(columns.iter().map(|column| -column.z * force));
        }
        StaticLoad {
            centre_of_mass_base: centre,
            support_margin_m: support_margin_m(&feet, &centre),
            torque_nm,
        }
    }

    /// Whether it can stand, as far as its numbers tell.
    pub fn soundness(&self) -> Soundness {
        let mut found = Soundness::default();
        self.check_size(&mut found);
        if found.reasons.is_empty() {
            self.check_pose(&mut found);
            self.check_stiffness(&mut found);
            self.check_symmetry(&mut found);
            self.check_inertias(&mut found);
        }
        for leg in &self.legs {
            let beyond = leg.calf_beyond_foot_m();
            if beyond > 0.0 {
                found.reasons.push(format!(
                    "calf of leg {} ends {:.0} mm too near the surface of its foot and touches the ground with it; shorten its shape",
                    leg.name,
                    1e3 * beyond
                ));
            }
        }
        found
    }

    /// Refuses a robot that cannot stand, before anything is trained or evaluated with it.
    ///
    /// # Errors
    /// One line with all reasons.
    pub fn require_sound(&self) -> Result<(), RobotError> {
        let Soundness { reasons, .. } = self.soundness();
        if reasons.is_empty() {
            return Ok(());
        }
        Err(RobotError::Unsound {
            name: self.name.clone(),
            reasons: reasons.join("; "),
        })
    }

    fn check_size(&self, found: &mut Soundness) {
        let reasons = &mut found.reasons;
        if self.name.trim().is_empty() {
            reasons.push("its name is empty; bundles are bound to the name".to_owned());
        }
        let mass = self.mass_kg();
        if !MASS_KG.contains(&mass) {
            reasons.push(format!(
                "its mass is {mass} kg; 0.1 to 500 kg are plausible"
            ));
        }
        let length = self.leg_length_m();
        if !LEG_M.contains(&length) {
            reasons.push(format!(
                "thigh and calf together are {length} m long; 0.03 to 3 m are plausible, and a URDF is in metres"
            ));
        }
    }

    fn check_pose(&self, found: &mut Soundness) {
        let length = self.leg_length_m();
        for (name, position) in [
            ("standing", &self.control.standing_position_rad),
            ("default", &self.control.default_position_rad),
        ] {
            let feet = self.foot_positions_base(position);
            let bottoms = feet
                .iter()
                .zip(&self.legs)
                .map(|(at, leg)| at.z - leg.foot.radius);
            let (low, high) = bottoms.fold((f32::MAX, f32::MIN), |(low, high), z| {
                (low.min(z), high.max(z))
            });
            let mut add = |text: String| match name {
                "standing" => found.reasons.push(text),
                _ => found.doubts.push(text),
            };
            if high - low > UNEVEN * length {
                add(format!(
                    "in the {name} pose the feet are not on one plane, but {:.0} mm apart in height",
                    1e3 * (high - low)
                ));
            }
            if let Some((link, depth)) = self.deepest(position, low) {
                add(format!(
                    "in the {name} pose `{link}` is {:.0} mm in the ground",
                    1e3 * depth
                ));
            }
            let load = self.static_load(position);
            if load.support_margin_m < 0.0 {
                add(format!(
                    "in the {name} pose its centre of mass is {:.0} mm outside its feet",
                    -1e3 * load.support_margin_m
                ));
            }
            for (joint, torque) in self.joints().zip(&load.torque_nm) {
                if torque.abs() > joint.effort_limit_nm {
                    add(format!(
                        "in the {name} pose joint `{}` needs {:.1} N·m, and its effort limit is {}",
                        joint.name,
                        torque.abs(),
                        joint.effort_limit_nm
                    ));
                }
            }
        }
    }

    /// The lowest shape other than a foot, if it reaches below the ground.
    fn deepest(&self, position_rad: &[f32], ground_z: f32) -> Option<(String, f32)> {
        let down = -Vector3::z();
        let base = self.base.link.shapes.iter();
        let mut lowest: Vec<(String, f32)> = base
            .map(|shape| (self.base.link.name.clone(), shape.reach_m(&down)))
            .collect();
        for (leg, range) in self.legs_with_joint_range() {
            let poses = leg.link_poses_base(&position_rad[range]);
            for (joint, pose) in leg.joints.iter().zip(poses) {
                let own = pose.rotation.inverse_transform_vector(&down);
                let shapes = joint.link.shapes.iter();
                let others = shapes.filter(|shape| shape.class != ContactClass::Foot);
                lowest.extend(others.map(|shape| {
                    (
                        joint.link.name.clone(),
                        shape.reach_m(&own) - pose.translation.vector.z,
                    )
                }));
            }
        }
        let lowest = lowest.into_iter().max_by(|a, b| a.1.total_cmp(&b.1));
        lowest
            .map(|(link, reach)| (link, reach + ground_z))
            .filter(|(_, depth)| *depth > 1e-3)
    }

    fn check_stiffness(&self, found: &mut Soundness) {
        let load = self.static_load(&self.control.standing_position_rad);
        let scale = self.mass_kg() * GRAVITY * self.leg_length_m();
        let joints = self
            .joints()
            .zip(&load.torque_nm)
            .zip(&self.control.stiffness);
        for ((joint, torque), &stiffness) in joints {
            if torque.abs() > MOST_YIELD_RAD * stiffness {
                found.reasons.push(format!(
                    "stiffness {stiffness} of joint `{}` does not hold the standing pose: {:.1} N·m would turn it by {:.1} rad",
                    joint.name,
                    torque.abs(),
                    torque.abs() / stiffness.max(1e-3)
                ));
            } else if stiffness > STIFFEST * scale {
                found.reasons.push(format!(
                    "stiffness {stiffness} of joint `{}` is far beyond what {:.1} kg on legs of {:.2} m need, about {:.0}",
                    joint.name,
                    self.mass_kg(),
                    self.leg_length_m(),
                    0.6 * scale
                ));
            }
        }
    }

    /// Legs come in pairs, left and right.
    fn check_symmetry(&self, found: &mut Soundness) {
        let feet = self.foot_positions_base(&self.control.standing_position_rad);
        for (first, at) in feet.iter().enumerate() {
            let mirrored = Point3::new(at.x, -at.y, at.z);
            let distance = |other: &Point3<f32>| (other - mirrored).norm();
            let twin = (0..feet.len())
                .filter(|&other| other != first)
                .min_by(|&a, &b| distance(&feet[a]).total_cmp(&distance(&feet[b])));
            let Some(twin) = twin.filter(|&twin| twin > first) else {
                continue;
            };
            let (left, right) = (&self.legs[first], &self.legs[twin]);
            let names = format!("legs {} and {}", left.name, right.name);
            if distance(&feet[twin]) > ASYMMETRY * self.leg_length_m() {
                found.doubts.push(format!(
                    "{names}: the feet of the standing pose are {:.0} mm from being mirrored",
                    1e3 * distance(&feet[twin])
                ));
            }
            let mass = |leg: &crate::Leg| {
                leg.joints
                    .iter()
                    .map(|joint| joint.link.mass_kg)
                    .sum::<f32>()
            };
            let (a, b) = (mass(left), mass(right));
            if (a - b).abs() > ASYMMETRY * a.max(b) {
                found
                    .doubts
                    .push(format!("{names} weigh {a:.2} and {b:.2} kg"));
            }
        }
    }

    fn check_inertias(&self, found: &mut Soundness) {
        let links = std::iter::once(&self.base.link).chain(self.joints().map(|joint| &joint.link));
        for link in links {
            let largest = link.inertia_kgm2.symmetric_eigenvalues().max();
            let gyration = (largest / link.mass_kg).sqrt();
            if gyration > 1.5 * self.leg_length_m() {
                found.doubts.push(format!(
                    "the inertia of `{}` is that of its mass at a distance of {gyration:.2} m",
                    link.name
                ));
            }
        }
    }
}

/// How far a point is inside the polygon of the feet seen from above, m.
fn support_margin_m(feet: &[Point3<f32>], centre: &Point3<f32>) -> f32 {
    let mean =
        feet.iter().map(|at| at.xy().coords).sum::<Vector2<f32>>() / feet.len().max(1) as f32;
    let mut around: Vec<Vector2<f32>> = feet.iter().map(|at| at.xy().coords).collect();
    let angle = |at: &Vector2<f32>| (at.y - mean.y).atan2(at.x - mean.x);
    around.sort_by(|a, b| angle(a).total_cmp(&angle(b)));
    let edges = around.iter().zip(around.iter().cycle().skip(1));
    edges
        .map(|(from, to)| {
            let edge = to - from;
            let inward = Vector2::new(-edge.y, edge.x) / edge.norm().max(1e-6);
            inward.dot(&(centre.xy().coords - from))
        })
        .fold(f32::INFINITY, f32::min)
}
