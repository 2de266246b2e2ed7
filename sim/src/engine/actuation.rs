//! What acts on the motors of one robot during an episode: joint targets with their delay, torque offset and noise.

use std::collections::VecDeque;

use robots::JointVec;
use serde::{Deserialize, Serialize};

use super::{EpisodeStart, MotorConfig, PhysicsConfig, delay_jitter, torque_noise};

/// Targets and disturbances of one robot.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Actuation {
    torque_offset_nm: JointVec,
    torque_noise_nm: JointVec,
    noise_seed: u64,
    actuation_delay_steps: usize,
    delay_jitter_steps: f32,
    /// Of the policy step that runs.
    delay_steps: usize,
    targets_kept: usize,
    motor: MotorConfig,
    physics_step: u32,
    /// Joint targets that the delay still needs, oldest first.
    targets_rad: VecDeque<JointVec>,
}

impl Actuation {
    pub fn new(start: &EpisodeStart, config: &PhysicsConfig) -> Self {
        let dynamics = &start.dynamics;
        let mut motor = config.motor.clone();
        if let Some(variation) = &dynamics.variation {
            motor.full_effort_until = motor.full_effort_until.min(variation.full_effort_until);
        }
        Self {
            torque_offset_nm: dynamics.torque_offset_nm.clone(),
            torque_noise_nm: dynamics.torque_noise_nm.clone(),
            noise_seed: dynamics.noise_seed,
            actuation_delay_steps: dynamics.actuation_delay_steps,
            delay_jitter_steps: dynamics.delay_jitter_steps,
            delay_steps: dynamics.actuation_delay_steps,
            targets_kept: 1 + dynamics.latest_target(config.decimation),
            motor,
            physics_step: 0,
            targets_rad: VecDeque::from([start.joint_position_rad.clone()]),
        }
    }

    /// Takes the target of the policy step that begins.
    pub fn begin_policy_step(&mut self, target_rad: &[f32]) {
        let jitter = delay_jitter(self.noise_seed, self.physics_step, self.delay_jitter_steps);
        self.delay_steps = self.actuation_delay_steps + jitter as usize;
        let targets = &mut self.targets_rad;
        let mut target = if targets.len() < self.targets_kept {
            JointVec::new()
        } else {
            targets.pop_front().unwrap_or_default()
        };
        target.clear();
        target.extend(target_rad.iter().copied());
        targets.push_back(target);
    }

    /// The target in force in a physics step of this policy step.
    pub fn target_rad(&self, step: usize, decimation: usize) -> &JointVec {
        let targets_back = self.delay_steps.saturating_sub(step).div_ceil(decimation);
        let newest = self.targets_rad.len() - 1;
        &self.targets_rad[newest.saturating_sub(targets_back)]
    }

    /// The motors of this robot.
    pub fn motor(&self) -> &MotorConfig {
        &self.motor
    }

    /// Torque on a joint besides the PD law, N·m.
    pub fn added_torque_nm(&self, joint: usize) -> f32 {
        let noise = torque_noise(self.noise_seed, self.physics_step, joint as u32);
        self.torque_offset_nm[joint] + noise * self.torque_noise_nm[joint]
    }

    pub fn end_physics_step(&mut self) {
        self.physics_step += 1;
    }
}
