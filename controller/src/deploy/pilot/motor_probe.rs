//! Whether each motor answers as the one it should be, before the robot stands up.
//!
//! The lying robot is held as it lies. One motor after the other is led a little towards the middle of its range, farther
//! and farther until its joint has moved in that direction. So the torque is no larger than the weight on the joint asks for.

use robots::{JointTarget, JointVec, Robot};

use crate::deploy::CYCLE_NS;

/// Change of a target per cycle, rad: 1.5 rad/s.
const RAMP_RAD: f32 = 1.5e-9 * CYCLE_NS as f32;
/// Largest change of a target, rad.
const MOST_RAD: f32 = 0.3;
/// A joint that has moved by this has answered, rad.
const ANSWER_RAD: f32 = 0.03;
/// And at least by this fraction of what the joint has moved that has moved farthest.
const LEAST_FRACTION: f32 = 0.33;
/// At its largest change, a motor has so many cycles to answer.
const PATIENCE_CYCLES: u32 = 25;
/// Joints that stay within this are at rest, rad.
const REST_RAD: f32 = 0.01;
/// They have to rest for so many cycles; before the first motor, when the robot may still sink, for 0.3 s.
const REST_CYCLES: u32 = 8;
const FIRST_REST_CYCLES: u32 = 150;
/// Joints that never rest are waited for no longer, cycles.
const MOST_CYCLES: u32 = 1000;

/// The probe of all motors in turn.
#[derive(Clone, Debug)]
pub(super) struct MotorProbe {
    /// Middle of each range, rad.
    middle_rad: JointVec,
    /// Where the joints are held, rad.
    held_rad: JointVec,
    /// Where they rested before the motor was led away, rad.
    rested_rad: JointVec,
    joint: usize,
    phase: Phase,
    /// By how much the target of the motor is changed, rad.
    offset_rad: f32,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Until the joints rest: cycles at rest, and in all.
    Rest(u32, u32),
    /// Away, with cycles at the largest change.
    Away(u32),
    Back,
}

/// How far the probe is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probed {
    /// It goes on.
    Going,
    /// Each motor has answered as the one it should be.
    Passed,
    /// The motor of a joint was led away, and another joint moved, or this one the wrong way, or none.
    Failed {
        /// The joint.
        expected: u8,
        /// The joint that moved.
        moved: Option<u8>,
    },
}

impl MotorProbe {
    pub(super) fn new(robot: &Robot) -> Self {
        let middle = |joint: &robots::Joint| 0.5 * (joint.lower_rad + joint.upper_rad);
        let middle_rad: JointVec = robot.joints().map(middle).collect();
        Self {
            held_rad: middle_rad.clone(),
            rested_rad: middle_rad.clone(),
            middle_rad,
            joint: 0,
            phase: Phase::Rest(0, 0),
            offset_rad: 0.0,
        }
    }

    /// Begins with the first motor, from these positions.
    pub(super) fn start(&mut self, measured_rad: &JointVec) {
        self.held_rad.clone_from(measured_rad);
        self.rested_rad.clone_from(measured_rad);
        self.joint = 0;
        self.phase = Phase::Rest(0, 0);
        self.offset_rad = 0.0;
    }

    /// A cycle: overwrites the positions of `target`.
    pub(super) fn step(&mut self, measured_rad: &JointVec, target: &mut JointTarget) -> Probed {
        let probed = self.advance(measured_rad);
        target.position_rad.clone_from(&self.held_rad);
        if let Some(position_rad) = target.position_rad.get_mut(self.joint) {
            *position_rad += self.offset_rad;
        }
        probed
    }

    fn advance(&mut self, measured_rad: &JointVec) -> Probed {
        match self.phase {
            Phase::Rest(rested, waited) => {
                let moved = self.farthest(measured_rad).1.abs() > REST_RAD;
                if moved {
                    self.rested_rad.clone_from(measured_rad);
                }
                let rested = if moved { 0 } else { rested + 1 };
                let enough = match self.joint {
                    0 => FIRST_REST_CYCLES,
                    _ => REST_CYCLES,
                };
                self.phase = match rested >= enough || waited >= MOST_CYCLES {
                    true => Phase::Away(0),
                    false => Phase::Rest(rested, waited + 1),
                };
            }
            Phase::Away(waited) => {
                let towards = self.middle_rad[self.joint] - self.held_rad[self.joint];
                let (farthest, farthest_rad) = self.farthest(measured_rad);
                let moved_rad = measured_rad[self.joint] - self.rested_rad[self.joint];
                // On the ground one joint moves others a little.
                let answers = moved_rad.abs() >= ANSWER_RAD
                    && moved_rad.abs() >= LEAST_FRACTION * farthest_rad.abs();
                if answers && moved_rad * self.offset_rad > 0.0 {
                    self.phase = Phase::Back;
                } else if answers && farthest == self.joint {
                    return self.failed(Some(farthest));
                } else if self.offset_rad.abs() < MOST_RAD {
                    self.offset_rad += RAMP_RAD.copysign(towards);
                } else if waited < PATIENCE_CYCLES {
                    self.phase = Phase::Away(waited + 1);
                } else {
                    let moved = farthest_rad.abs() >= ANSWER_RAD && farthest != self.joint;
                    return self.failed(moved.then_some(farthest));
                }
            }
            Phase::Back => {
                self.offset_rad -= self.offset_rad.clamp(-RAMP_RAD, RAMP_RAD);
                if self.offset_rad == 0.0 {
                    self.joint += 1;
                    self.phase = Phase::Rest(0, 0);
                }
            }
        }
        match self.joint < self.held_rad.len() {
            true => Probed::Going,
            false => Probed::Passed,
        }
    }

    /// The joint that has moved farthest since they rested, and by how much, rad.
    fn farthest(&self, measured_rad: &JointVec) -> (usize, f32) {
        let moves = measured_rad.iter().zip(&self.rested_rad);
        moves
            .map(|(now_rad, before_rad)| now_rad - before_rad)
            .enumerate()
            .fold((0, 0.0_f32), |most, (joint, moved_rad)| {
                match moved_rad.abs() > most.1.abs() {
                    true => (joint, moved_rad),
                    false => most,
                }
            })
    }

    fn failed(&self, moved: Option<usize>) -> Probed {
        Probed::Failed {
            expected: self.joint as u8,
            moved: moved.map(|joint| joint as u8),
        }
    }
}
