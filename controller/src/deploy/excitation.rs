//! The motion by which motors are identified: each joint in turn follows a chirp, the others hold the standing pose.

use std::f64::consts::TAU;

use robots::{JointTarget, JointVec, Robot};
use serde::{Deserialize, Serialize};

use super::StandUpConfig;
use crate::{SettingError, safety::check_ranges};

/// Targets keep so far from the position limits, rad.
const STOP_MARGIN_RAD: f32 = 0.05;
/// The chirp swells and fades over this time, s.
const FADE_S: f64 = 0.3;

/// How the motors are driven to be identified.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IdentifyConfig {
    /// Drive the joints by chirps instead of running to a goal. `abs deploy --identify` sets it.
    pub enabled: bool,
    /// Names of the joints that are driven; empty for all.
    pub joints: Vec<String>,
    /// Amplitude about the standing pose, rad, 0.02 to 1; less where a position limit is near.
    pub amplitude_rad: f32,
    /// Largest speed of a target, rad/s, 0.2 to 20: the amplitude falls where the frequency is high.
    pub speed_radps: f32,
    /// Frequency at the beginning of a chirp, Hz, 0.02 to 2.
    pub first_hz: f32,
    /// Frequency at its end, Hz, 2 to 25. In between it grows exponentially.
    pub last_hz: f32,
    /// Length of a chirp, s, 4 to 120.
    pub chirp_s: f32,
    /// Rest before each chirp, s, 0.3 to 10.
    pub rest_s: f32,
}

impl Default for IdentifyConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            joints: Vec::new(),
            amplitude_rad: 0.3,
            speed_radps: 6.0,
            first_hz: 0.1,
            last_hz: 12.0,
            chirp_s: 14.0,
            rest_s: 1.0,
        }
    }
}

impl IdentifyConfig {
    /// Checks every setting that does not depend on the robot.
    ///
    /// # Errors
    /// The first that is out of range.
    pub(super) fn validate(&self) -> Result<(), SettingError> {
        check_ranges(&[
            (
                "deploy.identify.amplitude_rad",
                self.amplitude_rad,
                0.02,
                1.0,
            ),
            ("deploy.identify.speed_radps", self.speed_radps, 0.2, 20.0),
            ("deploy.identify.first_hz", self.first_hz, 0.02, 2.0),
            ("deploy.identify.last_hz", self.last_hz, 2.0, 25.0),
            ("deploy.identify.chirp_s", self.chirp_s, 4.0, 120.0),
            ("deploy.identify.rest_s", self.rest_s, 0.3, 10.0),
        ])
    }
}

/// Why a robot cannot be driven so.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ExcitationError {
    /// A setting is out of range.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// No joint of that name.
    #[error("deploy.identify.joints: the robot has no joint `{name}`; it has {known}")]
    Joint {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The standing pose is at a position limit.
    #[error("joint `{joint}` stands {distance_rad:.3} rad from its limit, too near to be driven")]
    NoRange {
        /// The joint.
        joint: String,
        /// Distance of the standing pose from the nearer limit, rad.
        distance_rad: f32,
    },
}

/// One joint at a time: rest, then chirp.
#[derive(Clone, Debug)]
pub struct Excitation {
    config: IdentifyConfig,
    driven: Vec<Driven>,
    standing_rad: JointVec,
    hold_stiffness: f32,
    hold_damping: f32,
}

#[derive(Clone, Debug)]
struct Driven {
    joint: usize,
    amplitude_rad: f64,
    stiffness: f32,
    damping: f32,
}

/// What happens at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    /// The joint whose turn it is.
    pub joint: usize,
    /// Time since its chirp began, s; negative while it rests.
    pub chirp_s: f64,
}

impl Excitation {
    /// With the gains of the policies for the joint whose turn it is, and those of standing for the others.
    ///
    /// # Errors
    /// A setting that is out of range, or does not fit the robot.
    pub fn new(
        robot: &Robot,
        config: &IdentifyConfig,
        hold: &StandUpConfig,
    ) -> Result<Self, ExcitationError> {
        config.validate()?;
        let names = || robot.joints().map(|joint| joint.name.as_str());
        if let Some(name) = (config.joints.iter()).find(|name| names().all(|known| known != *name))
        {
            return Err(ExcitationError::Joint {
                name: name.clone(),
                known: names().collect::<Vec<_>>().join(", "),
            });
        }
        let control = &robot.control;
        let mut driven = Vec::new();
        for (index, joint) in robot.joints().enumerate() {
            if !config.joints.is_empty() && !config.joints.contains(&joint.name) {
                continue;
            }
            let standing_rad = control.standing_position_rad[index];
            let distance_rad = (standing_rad - joint.lower_rad).min(joint.upper_rad - standing_rad);
            let amplitude_rad = config.amplitude_rad.min(distance_rad - STOP_MARGIN_RAD);
            if amplitude_rad < STOP_MARGIN_RAD {
                return Err(ExcitationError::NoRange {
                    joint: joint.name.clone(),
                    distance_rad,
                });
            }
            driven.push(Driven {
                joint: index,
                amplitude_rad: amplitude_rad.into(),
                stiffness: control.stiffness[index],
                damping: control.damping[index],
            });
        }
        Ok(Self {
            config: config.clone(),
            driven,
            standing_rad: control.standing_position_rad.iter().copied().collect(),
            hold_stiffness: hold.stiffness,
            hold_damping: hold.damping,
        })
    }

    /// Joints that are driven, in their order.
    pub fn joints(&self) -> impl Iterator<Item = usize> {
        self.driven.iter().map(|driven| driven.joint)
    }

    /// Length of a chirp, s.
    pub fn chirp_s(&self) -> f64 {
        self.config.chirp_s.into()
    }

    /// Highest frequency, Hz.
    pub fn last_hz(&self) -> f64 {
        self.config.last_hz.into()
    }

    /// What is driven, how and for how long, in one line.
    pub fn summary(&self, robot: &Robot) -> String {
        let IdentifyConfig {
            first_hz,
            last_hz,
            chirp_s,
            ..
        } = self.config;
        let name = |driven: &Driven| {
            let joint = robot.joints().nth(driven.joint);
            let name = joint.map_or("", |joint| &joint.name);
            format!("{name} {:.2}", driven.amplitude_rad)
        };
        let joints: Vec<_> = self.driven.iter().map(name).collect();
        format!(
            "identify: on a stand, feet free; g drives each joint for {chirp_s} s from {first_hz} to {last_hz} Hz, {:.0} s in all, with amplitudes in rad: {}",
            self.duration_s(),
            joints.join(", ")
        )
    }

    fn turn_s(&self) -> f64 {
        f64::from(self.config.rest_s) + self.chirp_s()
    }

    /// How long all of it takes, s. It ends with a rest.
    pub fn duration_s(&self) -> f64 {
        self.driven.len() as f64 * self.turn_s() + f64::from(self.config.rest_s)
    }

    /// What happens so long after the beginning; `None` after the last chirp.
    pub fn slot(&self, elapsed_ns: u64) -> Option<Slot> {
        let (driven, chirp_s) = self.turn(elapsed_ns)?;
        Some(Slot {
            joint: driven.joint,
            chirp_s,
        })
    }

    fn turn(&self, elapsed_ns: u64) -> Option<(&Driven, f64)> {
        let elapsed_s = elapsed_ns as f64 * 1e-9;
        let turn = (elapsed_s / self.turn_s()) as usize;
        let in_turn_s = elapsed_s - turn as f64 * self.turn_s();
        let driven = self.driven.get(turn)?;
        Some((driven, in_turn_s - f64::from(self.config.rest_s)))
    }

    /// Writes the target so long after the beginning.
    pub(super) fn write(&self, elapsed_ns: u64, target: &mut JointTarget) {
        target.position_rad.clone_from(&self.standing_rad);
        target.stiffness.fill(self.hold_stiffness);
        target.damping.fill(self.hold_damping);
        if let Some((driven, chirp_s)) = self.turn(elapsed_ns) {
            let joint = driven.joint;
            target.stiffness[joint] = driven.stiffness;
            target.damping[joint] = driven.damping;
            target.position_rad[joint] += self.offset_rad(driven.amplitude_rad, chirp_s) as f32;
        }
    }

    fn offset_rad(&self, amplitude_rad: f64, chirp_s: f64) -> f64 {
        let length_s = self.chirp_s();
        let fade = (chirp_s.min(length_s - chirp_s) / FADE_S).clamp(0.0, 1.0);
        let first_hz = f64::from(self.config.first_hz);
        let growth = (self.last_hz() / first_hz).ln();
        let frequency_hz = first_hz * (growth * chirp_s / length_s).exp();
        let phase_rad = TAU * (frequency_hz - first_hz) * length_s / growth;
        let fastest_rad = f64::from(self.config.speed_radps) / (TAU * frequency_hz);
        fade * amplitude_rad.min(fastest_rad) * phase_rad.sin()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excitation(change: impl FnOnce(&mut IdentifyConfig)) -> Result<Excitation, ExcitationError> {
        let mut config = IdentifyConfig::default();
        change(&mut config);
        let robot = Robot::load("go2").unwrap();
        Excitation::new(&robot, &config, &StandUpConfig::default())
    }

    #[test]
    fn one_joint_moves_at_a_time_within_its_bounds() {
        let robot = Robot::load("go2").unwrap();
        let excitation = excitation(|_| {}).unwrap();
        let zeros: JointVec = std::iter::repeat_n(0.0, 12).collect();
        let mut target = JointTarget {
            position_rad: zeros.clone(),
            stiffness: zeros.clone(),
            damping: zeros.clone(),
        };
        let (mut before, mut fastest_radps, mut farthest_rad) = (None, 0.0_f32, 0.0_f32);
        let mut reversals = [0; 12];
        for cycle in 0..(excitation.duration_s() * 500.0) as u64 {
            let elapsed_ns = cycle * 2_000_000;
            excitation.write(elapsed_ns, &mut target);
            let slot = excitation.slot(elapsed_ns);
            for (index, joint) in robot.joints().enumerate() {
                let position_rad = target.position_rad[index];
                assert!((joint.lower_rad..joint.upper_rad).contains(&position_rad));
                let offset_rad = position_rad - robot.control.standing_position_rad[index];
                let moves = slot.is_some_and(|slot| slot.joint == index && slot.chirp_s > 0.0);
                assert!(moves || offset_rad == 0.0, "{} at {cycle}", joint.name);
                let gain = target.stiffness[index];
                let is_its_turn = slot.is_some_and(|slot| slot.joint == index);
                assert_eq!(gain, if is_its_turn { 30.0 } else { 60.0 });
                if let Some((last, last_index, last_sign)) = before
                    && last_index == index
                    && moves
                {
                    let step_rad: f32 = position_rad - last;
                    fastest_radps = fastest_radps.max(500.0 * step_rad.abs());
                    reversals[index] += i32::from(step_rad.signum() != last_sign);
                    before = Some((position_rad, index, step_rad.signum()));
                } else if moves {
                    before = Some((position_rad, index, 1.0));
                }
                farthest_rad = farthest_rad.max(offset_rad.abs());
            }
        }
        assert!((0.28..=0.3).contains(&farthest_rad), "{farthest_rad}");
        assert!((5.0..=7.5).contains(&fastest_radps), "{fastest_radps}");
        assert!(reversals.iter().all(|&count| count > 40), "{reversals:?}");
        assert_eq!(
            excitation.slot((excitation.duration_s() * 1e9) as u64),
            None
        );
    }

    #[test]
    fn what_does_not_fit_the_robot_is_refused() {
        let refused = |change: fn(&mut IdentifyConfig)| excitation(change).unwrap_err().to_string();
        assert!(
            refused(|config| config.joints = vec!["tail".into()]).starts_with(
                "deploy.identify.joints: the robot has no joint `tail`; it has FL_hip"
            )
        );
        assert_eq!(
            refused(|config| config.chirp_s = f32::NAN),
            "deploy.identify.chirp_s is NaN, must be from 4 to 120"
        );
        let one = excitation(|config| config.joints = vec!["RR_calf_joint".into()]).unwrap();
        assert_eq!(one.joints().collect::<Vec<_>>(), [11]);
    }
}
