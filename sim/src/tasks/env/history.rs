//! The last second of every environment, written to a file when its state stops being finite.

use std::{fmt::Write as _, path::Path};

use crate::engine::PhysicsState;

const STEPS: usize = 50;
const HEADER: &str = "x_m,y_m,z_m,qx,qy,qz,qw,vx_mps,vy_mps,vz_mps,wx_radps,wy_radps,wz_radps";

/// A ring buffer of states and actions per environment.
pub(super) struct History {
    joints: usize,
    width: usize,
    rows: Vec<f32>,
    pushed: Vec<usize>,
}

impl History {
    pub(super) fn new(num_envs: usize, joints: usize) -> Self {
        let width = 13 + 3 * joints;
        Self {
            joints,
            width,
            rows: vec![0.0; num_envs * STEPS * width],
            pushed: vec![0; num_envs],
        }
    }

    pub(super) fn clear(&mut self, index: usize) {
        self.pushed[index] = 0;
    }

    pub(super) fn push(&mut self, index: usize, physics: &PhysicsState, action: &[f32]) {
        let slot = index * STEPS + self.pushed[index] % STEPS;
        self.pushed[index] += 1;
        let row = &mut self.rows[slot * self.width..(slot + 1) * self.width];
        let parts: [&[f32]; 7] = [
            physics.position_world.coords.as_slice(),
            physics.orientation.coords.as_slice(),
            physics.linear_velocity_world.as_slice(),
            physics.angular_velocity_world.as_slice(),
            &physics.joint_position_rad,
            &physics.joint_velocity_radps,
            action,
        ];
        let mut at = 0;
        for part in parts {
            row[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
    }

    /// Writes `not-finite-<name>.csv`, oldest step first. A file that cannot be written must not stop the training.
    pub(super) fn dump(&self, dir: Option<&Path>, index: usize, name: usize) {
        let Some(dir) = dir else { return };
        let mut text = String::from(HEADER);
        for kind in ["q_rad", "dq_radps", "action"] {
            for joint in 0..self.joints {
                let _ = write!(text, ",{kind}{joint}");
            }
        }
        let pushed = self.pushed[index];
        for step in pushed.saturating_sub(STEPS)..pushed {
            let slot = index * STEPS + step % STEPS;
            let row = &self.rows[slot * self.width..(slot + 1) * self.width];
            for (column, value) in row.iter().enumerate() {
                let _ = write!(text, "{}{value}", if column == 0 { '\n' } else { ',' });
            }
        }
        text.push('\n');
        let _ = std::fs::create_dir_all(dir);
        let _ = std::fs::write(dir.join(format!("not-finite-{name}.csv")), text);
    }
}
