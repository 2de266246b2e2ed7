//! Inverse dynamics: the torques that a motion needs.

use arrayvec::ArrayVec;
use nalgebra::{Matrix3, Rotation3, Vector3};

use crate::{model::Leg, state::MAX_JOINTS};

/// Motion of one joint.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct JointMotion {
    /// rad.
    pub position_rad: f64,
    /// rad/s.
    pub velocity_radps: f64,
    /// rad/s².
    pub acceleration_radps2: f64,
}

/// A link on its way through the recursion, in its own frame.
struct MovingLink {
    /// From its frame to that of its parent.
    to_parent: Rotation3<f64>,
    /// Its origin in the parent's frame, m.
    origin: Vector3<f64>,
    axis: Vector3<f64>,
    /// Force and moment about its origin that its own motion needs, N and N·m.
    force: Vector3<f64>,
    moment: Vector3<f64>,
}

impl Leg {
    /// Torques of the joints for a motion of the leg in the air, on a base at rest, N·m: those of the links alone, without
    /// armature and friction. `gravity_base` is in the base frame, m/s². By the recursive Newton-Euler algorithm.
    pub fn inverse_dynamics(
        &self,
        motion: &[JointMotion],
        gravity_base: &Vector3<f64>,
    ) -> ArrayVec<f64, MAX_JOINTS> {
        debug_assert_eq!(motion.len(), self.joints.len());
        let (mut spin, mut spin_rate) = (Vector3::zeros(), Vector3::zeros());
        let mut acceleration = -gravity_base;
        let mut links: ArrayVec<MovingLink, MAX_JOINTS> = ArrayVec::new();
        for (joint, motion) in self.joints.iter().zip(motion) {
            let axis: Vector3<f64> = joint.axis.into_inner().cast();
            let to_parent = joint.origin.rotation.cast().to_rotation_matrix()
                * Rotation3::new(motion.position_rad * axis);
            let from_parent = to_parent.inverse();
            let origin: Vector3<f64> = joint.origin.translation.vector.cast();
            acceleration = from_parent
                * (acceleration + spin_rate.cross(&origin) + spin.cross(&spin.cross(&origin)));
            let (turn, parent_spin) = (motion.velocity_radps * axis, from_parent * spin);
            spin_rate = from_parent * spin_rate
                + parent_spin.cross(&turn)
                + motion.acceleration_radps2 * axis;
            spin = parent_spin + turn;
            let com: Vector3<f64> = joint.link.com.coords.cast();
            let inertia: Matrix3<f64> = joint.link.inertia_kgm2.cast();
            let force = f64::from(joint.link.mass_kg)
                * (acceleration + spin_rate.cross(&com) + spin.cross(&spin.cross(&com)));
            let moment = inertia * spin_rate + spin.cross(&(inertia * spin)) + com.cross(&force);
            links.push(MovingLink {
                to_parent,
                origin,
                axis,
                force,
                moment,
            });
        }
        let mut torques_nm = ArrayVec::new();
        let (mut force, mut moment) = (Vector3::zeros(), Vector3::zeros());
        for link in links.iter().rev() {
            force += link.force;
            moment += link.moment;
            torques_nm.push(link.axis.dot(&moment));
            force = link.to_parent * force;
            moment = link.to_parent * moment + link.origin.cross(&force);
        }
        torques_nm.reverse();
        torques_nm
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Robot;

    const GRAVITY: Vector3<f64> = Vector3::new(0.0, 0.0, -9.81);

    fn leg() -> Leg {
        Robot::load("go1").unwrap().legs[1].clone()
    }

    /// Kinetic and potential energy of the leg, from the velocities of its points.
    fn energy(leg: &Leg, position_rad: &[f64], velocity_radps: &[f64]) -> f64 {
        const STEP_S: f64 = 1e-4;
        let poses = |time_s: f64| {
            let moved = position_rad.iter().zip(velocity_radps);
            let moved: Vec<f64> = moved.map(|(q, v)| q + time_s * v).collect();
            let mut pose = nalgebra::Isometry3::<f64>::identity();
            let link = |(joint, &q): (&crate::Joint, &f64)| {
                let axis: Vector3<f64> = joint.axis.into_inner().cast();
                let turn = nalgebra::UnitQuaternion::new(q * axis);
                pose *= joint.origin.cast::<f64>()
                    * nalgebra::Isometry3::from_parts(Default::default(), turn);
                pose
            };
            leg.joints.iter().zip(&moved).map(link).collect::<Vec<_>>()
        };
        let (before, now, after) = (poses(-STEP_S), poses(0.0), poses(STEP_S));
        let mut sum = 0.0;
        for (index, joint) in leg.joints.iter().enumerate() {
            let (mass, com) = (f64::from(joint.link.mass_kg), joint.link.com.cast::<f64>());
            let speed = (after[index] * com - before[index] * com) / (2.0 * STEP_S);
            let spin = (after[index].rotation * before[index].rotation.inverse()).scaled_axis()
                / (2.0 * STEP_S);
            let spin = now[index].rotation.inverse() * spin;
            let inertia: Matrix3<f64> = joint.link.inertia_kgm2.cast();
            sum += 0.5 * (mass * speed.norm_squared() + spin.dot(&(inertia * spin)));
            sum -= mass * GRAVITY.dot(&(now[index] * com).coords);
        }
        sum
    }

    #[test]
    fn the_power_of_the_torques_is_the_change_of_energy() {
        let leg = leg();
        let (q, v, a) = ([0.2, 0.9, -1.7], [3.0, -4.0, 6.0], [50.0, -80.0, 120.0]);
        let step_s = 1e-4;
        let at = |time_s: f64| {
            let q: Vec<f64> = (0..3)
                .map(|k| q[k] + time_s * v[k] + 0.5 * time_s * time_s * a[k])
                .collect();
            let v: Vec<f64> = (0..3).map(|k| v[k] + time_s * a[k]).collect();
            energy(&leg, &q, &v)
        };
        let change_w = (at(step_s) - at(-step_s)) / (2.0 * step_s);
        let motion: Vec<_> = (0..3)
            .map(|k| JointMotion {
                position_rad: q[k],
                velocity_radps: v[k],
                acceleration_radps2: a[k],
            })
            .collect();
        let torques = leg.inverse_dynamics(&motion, &GRAVITY);
        let power_w: f64 = torques.iter().zip(&v).map(|(torque, v)| torque * v).sum();
        assert!(
            (power_w / change_w - 1.0).abs() < 1e-3,
            "{power_w} {change_w}"
        );
    }

    #[test]
    fn at_rest_the_torques_are_the_slope_of_the_potential_energy() {
        let leg = leg();
        let q = [0.2, 0.9, -1.7];
        let motion = q.map(|position_rad| JointMotion {
            position_rad,
            ..JointMotion::default()
        });
        let torques = leg.inverse_dynamics(&motion, &GRAVITY);
        for joint in 0..3 {
            let at = |step: f64| {
                let mut q = q;
                q[joint] += step;
                energy(&leg, &q, &[0.0; 3])
            };
            let slope = (at(1e-4) - at(-1e-4)) / 2e-4;
            assert!(
                (torques[joint] - slope).abs() < 1e-4,
                "{joint}: {torques:?}"
            );
            assert!(slope.abs() > 0.02);
        }
    }
}
