//! What was recorded of each driven joint.

use arrayvec::ArrayVec;
use nalgebra::{Quaternion, UnitQuaternion, Vector3};
use robots::{JointVec, MAX_JOINTS, Robot};

use super::{Identification, IdentificationError, fit};
use crate::deploy::{CycleRecord, DeployConfig, Excitation, ExcitationError, JointCommand, State};

/// The trunk of a robot on a stand turns by no more than this, rad/s.
const MOST_TRUNK_RADPS: f64 = 0.15;
/// A foot that is free is in contact in no more than this fraction of the states.
const MOST_CONTACT: f64 = 0.1;
/// What a chirp may lack at its end, s.
const LACK_S: f64 = 0.1;
/// Cycles that a busy computer did not log may not last longer, s.
const MOST_GAP_S: f64 = 0.05;
/// States may come no slower, Hz.
const LEAST_RATE_HZ: f64 = 300.0;
/// The biases of a leg depend on each other: rounds until they agree.
const ROUNDS: usize = 3;

/// The control cycles in which joints are driven, joint by joint.
pub struct Recording {
    robot: Robot,
    excitation: Excitation,
    foot_sensor_threshold: f32,
    /// How long the joints had been driven in the last cycle, s.
    elapsed_s: f64,
    turns: Vec<Turn>,
}

/// One joint, from its rest to the end of its chirp.
pub(super) struct Turn {
    pub joint: usize,
    pub states: Vec<MeasuredState>,
    /// When each was given, ns.
    pub commands: Vec<(u64, JointCommand)>,
    /// When the chirp began, ns.
    pub chirp_ns: u64,
    /// How far it came, s.
    driven_s: f64,
    /// Longest time without a logged cycle, s.
    gap_s: f64,
}

/// A state of the robot, as far as it matters to a leg.
pub(super) struct MeasuredState {
    pub received_ns: u64,
    pub tick: u32,
    /// Those of the leg, rad.
    pub position_rad: ArrayVec<f32, MAX_JOINTS>,
    /// As the motor says, N·m.
    pub torque_nm: f32,
    gyroscope_radps: Vector3<f32>,
    pub gravity_base: Vector3<f64>,
    foot_force: f32,
}

impl Recording {
    /// An empty one, of a run with these settings.
    ///
    /// # Errors
    /// Where the settings do not fit the robot.
    pub fn new(robot: &Robot, config: &DeployConfig) -> Result<Self, ExcitationError> {
        Ok(Self {
            robot: robot.clone(),
            excitation: Excitation::new(robot, &config.identify, &config.stand_up)?,
            foot_sensor_threshold: config.estimator.foot_sensor_threshold,
            elapsed_s: f64::INFINITY,
            turns: Vec::new(),
        })
    }

    /// The robot.
    pub fn robot(&self) -> &Robot {
        &self.robot
    }

    /// Takes the next control cycle of the run.
    pub fn push(&mut self, record: &CycleRecord) {
        let now_ns = record.input.time_ns;
        if record.status.state != State::Run {
            return;
        }
        let left_s = f64::from(record.status.time_left_s);
        let elapsed_s = (self.excitation.duration_s() - left_s).max(0.0);
        let is_new = elapsed_s < self.elapsed_s;
        self.elapsed_s = elapsed_s;
        let Some(slot) = self.excitation.slot((elapsed_s * 1e9) as u64) else {
            return;
        };
        let joints = self.robot.legs_with_joint_range();
        let mut legs = joints.enumerate();
        let Some((leg, (_, range))) = legs.find(|(_, (_, range))| range.contains(&slot.joint))
        else {
            return;
        };
        let sample = &record.input.robot;
        let (Some(&command), Some(position_rad), Some(&torque_nm)) = (
            record.command.joints.get(slot.joint),
            sample.joint_position_rad.get(range),
            sample.joint_torque_nm.get(slot.joint),
        ) else {
            return;
        };
        let turn = match self.turns.last_mut() {
            Some(turn) if turn.joint == slot.joint && !is_new => turn,
            _ => {
                self.turns.push(Turn {
                    joint: slot.joint,
                    states: Vec::new(),
                    commands: Vec::new(),
                    chirp_ns: 0,
                    driven_s: 0.0,
                    gap_s: 0.0,
                });
                let last = self.turns.len() - 1;
                &mut self.turns[last]
            }
        };
        turn.driven_s = slot.chirp_s;
        let last_ns = turn.commands.last().map_or(now_ns, |command| command.0);
        let gap_s = now_ns.saturating_sub(last_ns) as f64 * 1e-9;
        turn.gap_s = turn.gap_s.max(gap_s);
        if turn.chirp_ns == 0 && slot.chirp_s >= 0.0 {
            turn.chirp_ns = now_ns;
        }
        turn.commands.push((now_ns, command));
        let newest = turn.states.last().map_or(0, |state| state.received_ns);
        if sample.crc_ok && sample.received_ns > newest {
            let [w, i, j, k] = sample.imu_orientation_wxyz;
            let orientation = UnitQuaternion::new_normalize(Quaternion::new(w, i, j, k));
            let down = orientation.inverse_transform_vector(&-Vector3::z());
            turn.states.push(MeasuredState {
                received_ns: sample.received_ns,
                tick: sample.tick,
                position_rad: position_rad.iter().copied().collect(),
                torque_nm,
                gyroscope_radps: sample.imu_gyroscope_radps,
                gravity_base: 9.81 * down.cast::<f64>(),
                foot_force: sample.foot_force.get(leg).copied().unwrap_or_default(),
            });
        }
    }

    /// What the motors are like.
    ///
    /// # Errors
    /// Where no joint was driven to the end, or the robot did not hang on a stand.
    pub fn identify(&self) -> Result<Identification, IdentificationError> {
        let turns = self.whole_turns()?;
        for turn in &turns {
            self.check(turn)?;
        }
        let mut bias_rad: JointVec = std::iter::repeat_n(0.0, self.robot.num_joints()).collect();
        let mut joints = Vec::new();
        for _ in 0..ROUNDS {
            joints.clear();
            for turn in &turns {
                let estimate = fit::joint(
                    &self.robot,
                    turn,
                    &bias_rad,
                    self.excitation.chirp_s(),
                    self.excitation.last_hz(),
                )?;
                let seen = estimate.bias_rad.map_or(0.0, |bias| bias.value);
                bias_rad[turn.joint] = seen as f32;
                joints.push(estimate);
            }
        }
        let driven = |joint: &usize| turns.iter().any(|turn| turn.joint == *joint);
        let missing = self.excitation.joints().filter(|joint| !driven(joint));
        Ok(Identification {
            joints,
            missing: missing.collect(),
        })
    }

    /// The last whole chirp of each joint.
    fn whole_turns(&self) -> Result<Vec<&Turn>, IdentificationError> {
        if self.turns.is_empty() {
            return Err(IdentificationError::NotDriven);
        }
        let chirp_s = self.excitation.chirp_s();
        let mut whole: Vec<&Turn> = Vec::new();
        for turn in &self.turns {
            let rests = (turn.commands.first()).is_some_and(|command| command.0 < turn.chirp_ns);
            if rests && turn.gap_s < MOST_GAP_S && turn.driven_s >= chirp_s - LACK_S {
                whole.retain(|earlier| earlier.joint != turn.joint);
                whole.push(turn);
            }
        }
        if whole.is_empty() {
            let longest_s = self.turns.iter().map(|turn| turn.driven_s);
            return Err(IdentificationError::TooShort {
                driven_s: longest_s.fold(0.0, f64::max),
                chirp_s,
            });
        }
        whole.sort_by_key(|turn| turn.joint);
        Ok(whole)
    }

    /// Whether the robot hangs on a stand, its feet free.
    fn check(&self, turn: &Turn) -> Result<(), IdentificationError> {
        let joint = || {
            let mut joints = self.robot.joints();
            (joints.nth(turn.joint)).map_or_else(String::new, |joint| joint.name.clone())
        };
        let count = turn.states.len().max(1) as f64;
        let length_s = (turn.states.first().zip(turn.states.last()))
            .map_or(0.0, |(a, b)| (b.received_ns - a.received_ns) as f64 * 1e-9);
        let rate_hz = (count - 1.0) / length_s.max(self.excitation.chirp_s());
        if rate_hz < LEAST_RATE_HZ {
            return Err(IdentificationError::Rate {
                joint: joint(),
                rate_hz,
                least_hz: LEAST_RATE_HZ,
            });
        }
        let gyroscope = || turn.states.iter().map(|state| state.gyroscope_radps);
        let mean = gyroscope().sum::<Vector3<f32>>() / count as f32;
        let square: f32 = gyroscope().map(|radps| (radps - mean).norm_squared()).sum();
        let radps = (f64::from(square) / count).sqrt();
        if radps > MOST_TRUNK_RADPS {
            return Err(IdentificationError::TrunkMoves {
                joint: joint(),
                radps,
                most_radps: MOST_TRUNK_RADPS,
            });
        }
        let states = turn.states.iter();
        let loaded = states.filter(|state| state.foot_force > self.foot_sensor_threshold);
        if loaded.count() as f64 > MOST_CONTACT * count {
            let mut legs = self.robot.legs_with_joint_range();
            let leg = legs.find(|(_, range)| range.contains(&turn.joint));
            return Err(IdentificationError::Contact {
                foot: leg.map_or_else(String::new, |(leg, _)| leg.name.clone()),
                joint: joint(),
            });
        }
        Ok(())
    }
}
