//! Faults: what can go wrong on a robot, how each is detected ([`Monitor`]), and what the robot does about it.

mod monitor;
mod plausibility;
mod table;

use serde::{Deserialize, Serialize};

pub(super) use self::monitor::{Monitor, NewOdometry};
pub(super) use self::table::{FAULTS, FaultRow};
use super::State;

/// What can go wrong; the number is that of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Fault {
    /// No state of the robot has arrived since the start.
    NoState = 1,
    /// The newest state of the robot is too old, or states arrive that do not change.
    StaleState,
    /// The newest ray scan is too old.
    StaleRays,
    /// The newest odometry is too old.
    StaleOdometry,
    /// A number that was received, computed or commanded is not finite.
    NotFinite,
    /// States arrive with a wrong checksum.
    WrongCrc,
    /// The base is tilted too far.
    Tilt,
    /// A joint is beyond its position limit.
    JointLimit,
    /// A motor is too hot.
    MotorTemperature,
    /// The battery is nearly empty.
    LowBattery,
    /// Cycles were too late.
    MissedDeadlines,
    /// The heartbeat of the operator has stopped.
    LostOperator,
    /// The heartbeat of a thread that talks to the robot has stopped.
    LinkDead,
    /// The goal is too far away.
    GoalRange,
    /// The input does not fit the robot or the bundle.
    Shape,
    /// The clock stands still or goes back.
    Clock,
    /// The operator asked for an emergency stop.
    EmergencyStop,
    /// The bundle was made for another robot.
    OtherRobot,
    /// States arrive that no robot can be in.
    ImplausibleState,
    /// States of more than one publisher arrive.
    ForeignState,
    /// Another program or a mode of the robot commands the motors.
    SecondCommander,
    /// A joint stays beyond its position limit.
    JointStop,
    /// A joint does not follow its target.
    MotorDoesNotFollow,
    /// The odometry jumps, is faster than any robot, or is in unknown frames.
    ImplausibleOdometry,
    /// A motor does not answer as the one it should be.
    WrongMotor,
}

/// What the robot does about a fault, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Response {
    /// It brakes and stands.
    Stop,
    /// It brakes and lies down.
    LieDown,
    /// It damps all joints.
    Damp,
    /// Nothing is sent to it at all.
    NoStart,
}

/// The states in which a fault is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    /// All; while the joints are damped it only prevents standing up.
    Always,
    /// Standing and running; it prevents standing up.
    Standing,
    /// Running; it prevents a start.
    Running,
}

impl Fault {
    /// Its row of the table.
    pub(super) fn row(self) -> &'static FaultRow {
        &FAULTS[self as usize - 1]
    }

    /// Its number in messages and documents.
    pub(super) fn number(self) -> u8 {
        self as u8
    }
}

impl std::fmt::Display for Fault {
    /// E.g. `F02 stale state`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "F{:02} {}", self.number(), self.row().name)
    }
}

impl FaultRow {
    /// What the robot does about the fault in `state`.
    pub(super) fn response_in(&self, state: State) -> Option<Response> {
        use State as S;
        let matters = match self.scope {
            Scope::Always => state != S::Damping || self.id == Fault::EmergencyStop,
            Scope::Standing => matches!(state, S::StandUp | S::Ready | S::Run | S::Stop),
            Scope::Running => state == S::Run,
        };
        matters.then_some(self.response)
    }
}

/// A set of faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultSet(u32);

impl FaultSet {
    /// No fault.
    pub const NONE: Self = Self(0);

    /// Adds a fault.
    pub fn insert(&mut self, fault: Fault) {
        self.0 |= 1 << fault as u8;
    }

    /// Adds a fault if it is `present`.
    pub fn insert_if(&mut self, fault: Fault, present: bool) {
        self.0 |= u32::from(present) << fault as u8;
    }

    /// The set without these.
    pub(super) fn without(self, faults: &[Fault]) -> Self {
        let without = |set, &fault: &Fault| set & !(1 << fault as u8);
        Self(faults.iter().fold(self.0, without))
    }

    /// Faults of this set or of another.
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a fault is in the set.
    pub fn contains(self, fault: Fault) -> bool {
        self.0 & (1 << fault as u8) != 0
    }

    /// Whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Rows of the faults in the set.
    pub(super) fn rows(self) -> impl Iterator<Item = &'static FaultRow> {
        FAULTS.iter().filter(move |row| self.contains(row.id))
    }

    /// The faults that the robot responds to in `state`.
    pub(super) fn active_in(self, state: State) -> Self {
        let mut active = Self::NONE;
        for row in self.rows() {
            active.insert_if(row.id, row.response_in(state).is_some());
        }
        active
    }

    /// The strongest response in `state`.
    pub(super) fn response_in(self, state: State) -> Option<Response> {
        self.rows().filter_map(|row| row.response_in(state)).max()
    }

    /// Whether no fault of the set prevents standing up.
    pub(super) fn may_stand(self) -> bool {
        self.rows().all(|row| row.scope == Scope::Running)
    }
}

impl std::fmt::Display for FaultSet {
    /// E.g. `F02 stale state, F13 link dead`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, row) in self.rows().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{}", row.id)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_response_counts_and_only_where_the_fault_matters() {
        let set = |ids: &[Fault]| {
            let mut set = FaultSet::NONE;
            ids.iter().for_each(|&id| set.insert(id));
            set
        };
        let blind = set(&[Fault::StaleRays]);
        assert_eq!(blind.response_in(State::Run), Some(Response::LieDown));
        assert_eq!(blind.response_in(State::Ready), None);
        assert!(blind.may_stand());
        let both = set(&[Fault::StaleRays, Fault::Tilt]);
        assert_eq!(both.response_in(State::Run), Some(Response::Damp));
        assert_eq!(both.response_in(State::Damping), None);
        assert!(!both.may_stand());
        assert_eq!(
            set(&[Fault::EmergencyStop]).response_in(State::Damping),
            Some(Response::Damp)
        );
        assert_eq!(both.to_string(), "F03 stale rays, F07 tilt");
    }
}
