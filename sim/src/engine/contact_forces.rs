//! Contact forces of one robot by class of body.

use nalgebra::Vector3;
use robots::{ContactClass, FootVec};
use serde::{Deserialize, Serialize};

use super::PhysicsState;

/// What a shape of the robot counts as.
#[derive(Clone, Copy)]
pub(super) struct ContactTag {
    pub class: ContactClass,
    pub leg: usize,
}

/// Contact forces of the last policy step.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct ContactForces {
    foot_force_world: FootVec<Vector3<f32>>,
    foot_horizontal_excess_n: f32,
    base_force_n: f32,
    thigh_force_n: FootVec<f32>,
    calf_force_n: FootVec<f32>,
}

impl ContactForces {
    pub fn none(num_legs: usize) -> Self {
        let zeros: FootVec<f32> = std::iter::repeat_n(0.0, num_legs).collect();
        Self {
            foot_force_world: std::iter::repeat_n(Vector3::zeros(), num_legs).collect(),
            foot_horizontal_excess_n: 0.0,
            base_force_n: 0.0,
            thigh_force_n: zeros.clone(),
            calf_force_n: zeros,
        }
    }

    pub fn begin_policy_step(&mut self) {
        self.foot_horizontal_excess_n = f32::NEG_INFINITY;
        self.base_force_n = 0.0;
        self.thigh_force_n.fill(0.0);
        self.calf_force_n.fill(0.0);
    }

    pub fn begin_physics_step(&mut self) {
        self.foot_force_world.fill(Vector3::zeros());
    }

    /// Counts the force of one pair of shapes, world frame, on the robot's shape.
    pub fn add(&mut self, tag: ContactTag, force_world: Vector3<f32>) {
        let largest = match tag.class {
            ContactClass::Base => &mut self.base_force_n,
            ContactClass::Thigh => &mut self.thigh_force_n[tag.leg],
            ContactClass::Calf => &mut self.calf_force_n[tag.leg],
            ContactClass::Foot => {
                self.foot_force_world[tag.leg] += force_world;
                return;
            }
        };
        *largest = largest.max(force_world.norm());
    }

    pub fn end_physics_step(&mut self) {
        for force in &self.foot_force_world {
            let excess_n = force.xy().norm() - 2.0 * force.z.abs();
            self.foot_horizontal_excess_n = self.foot_horizontal_excess_n.max(excess_n);
        }
    }

    pub fn read(&self, state: &mut PhysicsState) {
        state.foot_force_world.clone_from(&self.foot_force_world);
        state.foot_horizontal_excess_n = self.foot_horizontal_excess_n;
        state.base_force_n = self.base_force_n;
        state.thigh_force_n.clone_from(&self.thigh_force_n);
        state.calf_force_n.clone_from(&self.calf_force_n);
    }
}
