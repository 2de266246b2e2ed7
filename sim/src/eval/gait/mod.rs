//! What a gait costs motors and floor (docs/concepts/evaluation.md#gait): measured after every physics step while the robot moves.

mod histogram;
mod sums;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use nalgebra::Vector3;
use robots::{FootVec, JointVec, Robot};

pub use self::sums::{GaitReport, GaitSums};

use crate::{
    engine::{CONTACT_FORCE_N, EpisodeStart, PhysicsConfig, PhysicsState},
    scene::Terrain,
};

/// Horizontal speed of the base above which the robot moves, m/s.
const MOVING_MPS: f32 = 0.5;
/// A foot that is shorter in the air bounces, s: one policy step.
const SHORTEST_SWING_S: f32 = 0.02;
/// A motor whose torque or speed is this fraction of its limit is at it.
const AT_LIMIT: f32 = 0.99;

/// Follows one robot through one episode.
#[derive(Clone, Debug)]
pub(super) struct GaitMeter<'a> {
    robot: &'a Robot,
    terrain: Arc<Terrain>,
    weight_n: f32,
    step_s: f32,
    moving_mps: f32,
    moves: bool,
    feet: FootVec<Swing>,
    /// Last joint targets, rad; empty before the first.
    target_rad: JointVec,
    /// Their last changes, rad; empty before the second.
    change_rad: JointVec,
    sums: GaitSums,
}

/// A foot between two contacts.
#[derive(Clone, Copy, Debug, Default)]
struct Swing {
    /// Physics steps in the air; 0 in contact.
    steps: u32,
    /// Largest height over the ground so far, m.
    peak_m: f32,
    /// Of its lowest point after the last physics step, m/s.
    velocity_world: Vector3<f32>,
}

impl<'a> GaitMeter<'a> {
    /// From the start of an episode.
    pub(super) fn new(robot: &'a Robot, start: &EpisodeStart, physics: &PhysicsConfig) -> Self {
        let mass_kg = robot.mass_kg() + start.dynamics.added_base_mass_kg;
        Self {
            robot,
            terrain: Arc::clone(&start.terrain),
            weight_n: mass_kg * physics.gravity_mps2.norm(),
            step_s: physics.step_s,
            moving_mps: MOVING_MPS,
            moves: false,
            feet: std::iter::repeat_n(Swing::default(), robot.num_feet()).collect(),
            target_rad: JointVec::new(),
            change_rad: JointVec::new(),
            sums: GaitSums::default(),
        }
    }

    /// Counts at any speed above this, m/s; below zero also at rest.
    #[cfg(test)]
    fn above(self, moving_mps: f32) -> Self {
        let moves = moving_mps < 0.0;
        Self {
            moving_mps,
            moves,
            ..self
        }
    }

    /// Takes the joint targets of a policy step.
    pub(super) fn command(&mut self, target_rad: &[f32]) {
        let changes = target_rad.iter().zip(&self.target_rad);
        let change_rad: JointVec = changes.map(|(now, before)| now - before).collect();
        if self.moves {
            for (now, before) in change_rad.iter().zip(&self.change_rad) {
                let product = now * before;
                self.sums.changes += u64::from(product != 0.0);
                self.sums.reversals += u64::from(product < 0.0);
            }
            for (leg, range) in self.robot.legs_with_joint_range() {
                let joints = leg.joints.iter().zip(&target_rad[range]);
                let beyond = joints
                    .map(|(joint, target)| !(joint.lower_rad..=joint.upper_rad).contains(target));
                let knee = leg.joints.len() - 1;
                for (joint, beyond) in beyond.enumerate() {
                    self.sums.targets += 1;
                    self.sums.targets_beyond += u64::from(beyond);
                    if joint == knee {
                        self.sums.knee_targets += 1;
                        self.sums.knee_targets_beyond += u64::from(beyond);
                    }
                }
            }
        }
        self.change_rad = change_rad;
        self.target_rad = target_rad.iter().copied().collect();
    }

    /// Takes the state after a physics step.
    pub(super) fn observe(&mut self, physics: &PhysicsState) {
        if !physics.is_finite() {
            return;
        }
        let speed_mps = physics.linear_velocity_world.xy().norm();
        self.moves = speed_mps > self.moving_mps;
        if self.moves {
            self.measure_joints(physics, speed_mps);
        }
        let legs = self.robot.legs_with_joint_range();
        let feet = self.feet.iter_mut().zip(&physics.foot_force_world);
        for ((leg, range), (swing, force)) in legs.zip(feet) {
            let (point, velocity) = physics.foot_sole_world(leg, range);
            if force.norm() <= CONTACT_FORCE_N {
                let ground_m = self.terrain.height_m(point.x, point.y);
                swing.peak_m = swing.peak_m.max(point.z - ground_m);
                swing.velocity_world = velocity;
                swing.steps += 1;
                continue;
            }
            let swing_s = swing.steps as f32 * self.step_s;
            // Whole steps of a time that is not, in f32.
            if self.moves && swing_s > SHORTEST_SWING_S - 0.5 * self.step_s {
                self.sums.touch_down(&swing.velocity_world, swing.peak_m);
            }
            *swing = Swing::default();
            if self.moves {
                self.sums.stance_steps += 1;
                self.sums.slip_mps += f64::from(velocity.xy().norm());
            }
        }
    }

    fn measure_joints(&mut self, physics: &PhysicsState, speed_mps: f32) {
        let sums = &mut self.sums;
        let mut power_w = 0.0;
        let states = (physics.joint_torque_nm.iter()).zip(&physics.joint_velocity_radps);
        for (joint, (torque_nm, velocity_radps)) in self.robot.joints().zip(states) {
            power_w += (torque_nm * velocity_radps).max(0.0);
            let at = |value: f32, limit: f32| u64::from(value.abs() >= AT_LIMIT * limit);
            sums.at_effort_limit += at(*torque_nm, joint.effort_limit_nm);
            sums.at_velocity_limit += at(*velocity_radps, joint.velocity_limit_radps);
            sums.joint_steps += 1;
        }
        let step_s = f64::from(self.step_s);
        sums.moving_s += step_s;
        sums.work_j += f64::from(power_w) * step_s;
        sums.weight_times_path_j += f64::from(self.weight_n * speed_mps) * step_s;
    }

    /// What was measured.
    pub(super) fn finish(self) -> GaitSums {
        self.sums
    }
}
