//! In what one robot differs from its description.

use nalgebra::{Matrix3, Vector3};
use robots::{JointVec, Robot};
use serde::{Deserialize, Serialize};

/// Differences between the robot of an episode and its description. Per-joint numbers are in the order of the joints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variation {
    /// Factor on all that a motor gives: gains and effort limit.
    pub strength: JointVec,
    /// Factor on the stiffness of the PD law.
    pub stiffness: JointVec,
    /// Factor on the damping of the PD law.
    pub damping: JointVec,
    /// Factor on the rotor inertia.
    pub armature: JointVec,
    /// Dry friction besides that of the description, N·m.
    pub added_friction_nm: JointVec,
    /// Viscous damping besides that of the description, N·m·s/rad.
    pub added_damping_nms: JointVec,
    /// Factor on mass and inertia of the link behind each joint.
    pub link_mass: JointVec,
    /// Where the centre of mass of the base lies from where it should, base frame, m.
    pub base_com_offset_m: Vector3<f32>,
    /// Where the mass added to the base sits from the base's centre of mass, base frame, m. What is taken away is taken from
    /// everywhere.
    pub added_mass_offset_m: Vector3<f32>,
    /// Fraction of the velocity limit up to which motors give their whole torque, as
    /// [`MotorConfig::full_effort_until`](super::MotorConfig::full_effort_until); the lower of the two counts.
    pub full_effort_until: f32,
}

impl Variation {
    /// No difference.
    pub fn none(robot: &Robot) -> Self {
        let all = |value| -> JointVec { std::iter::repeat_n(value, robot.num_joints()).collect() };
        Self {
            strength: all(1.0),
            stiffness: all(1.0),
            damping: all(1.0),
            armature: all(1.0),
            added_friction_nm: all(0.0),
            added_damping_nms: all(0.0),
            link_mass: all(1.0),
            base_com_offset_m: Vector3::zeros(),
            added_mass_offset_m: Vector3::zeros(),
            full_effort_until: 1.0,
        }
    }

    /// The robot with these differences and a mass added to its base.
    pub(super) fn apply(&self, robot: &Robot, added_base_mass_kg: f32) -> Robot {
        let mut robot = robot.clone();
        let link = &mut robot.base.link;
        let described = BaseMass {
            mass_kg: link.mass_kg,
            com: link.com.coords,
            inertia_kgm2: link.inertia_kgm2,
        };
        let base = self.base(&described, added_base_mass_kg);
        link.mass_kg = base.mass_kg;
        link.com = base.com.into();
        link.inertia_kgm2 = base.inertia_kgm2;
        let joints = robot.legs.iter_mut().flat_map(|leg| &mut leg.joints);
        for (index, joint) in joints.enumerate() {
            joint.effort_limit_nm *= self.strength[index];
            joint.armature_kgm2 *= self.armature[index];
            joint.friction_nm += self.added_friction_nm[index];
            joint.damping_nms += self.added_damping_nms[index];
            joint.link.mass_kg *= self.link_mass[index];
            joint.link.inertia_kgm2 *= self.link_mass[index];
            robot.control.stiffness[index] *= self.strength[index] * self.stiffness[index];
            robot.control.damping[index] *= self.strength[index] * self.damping[index];
        }
        robot
    }

    /// The base with an added mass.
    pub(super) fn base(&self, described: &BaseMass, added_kg: f32) -> BaseMass {
        let offset_m = match added_kg > 0.0 {
            true => self.added_mass_offset_m,
            false => Vector3::zeros(),
        };
        let mut base = described.with(added_kg, &offset_m);
        base.com += self.base_com_offset_m;
        base
    }
}

/// Mass, centre of mass and inertia about it of a base.
pub(super) struct BaseMass {
    pub mass_kg: f32,
    pub com: Vector3<f32>,
    pub inertia_kgm2: Matrix3<f32>,
}

impl BaseMass {
    /// With a mass at `offset_m` from the centre of mass. Where it sits there, the inertia grows with the mass, as if the
    /// whole base were heavier.
    pub fn with(&self, added_kg: f32, offset_m: &Vector3<f32>) -> Self {
        let mass_kg = self.mass_kg + added_kg;
        // Of two point masses about their common centre.
        let reduced_kg = self.mass_kg * added_kg / mass_kg;
        let spread =
            Matrix3::identity() * offset_m.norm_squared() - offset_m * offset_m.transpose();
        Self {
            mass_kg,
            com: self.com + offset_m * (added_kg / mass_kg),
            inertia_kgm2: self.inertia_kgm2 * (mass_kg / self.mass_kg) + spread * reduced_kg,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{engine::Dynamics, reality::RealityConfig};

    /// Principal moments of a body are positive, and no two of them are less than the third.
    #[test]
    fn every_robot_of_the_field_has_an_inertia_that_a_body_can_have() {
        let field = RealityConfig::load("field").unwrap();
        for name in ["go1", "go2"] {
            let robot = Robot::load(name).unwrap();
            for seed in 0..500 {
                let mut dynamics = Dynamics::nominal(&robot);
                field.change_dynamics(&robot, &mut dynamics, 0.005, seed);
                let varied = dynamics.varied(&robot).unwrap();
                let moments = varied.base.link.inertia_kgm2.symmetric_eigenvalues();
                let (least, sum) = (moments.min(), moments.sum());
                assert!(least > 0.0, "{name}, seed {seed}: {moments}");
                assert!(
                    sum >= 1.999 * moments.max(),
                    "{name}, seed {seed}: {moments}"
                );
            }
        }
    }
}
