//! The table of faults: what each is called, what is required, and what the robot does.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::State;

/// What can go wrong on a robot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum FaultId {
    /// No state of the robot has come since the start.
    NoState = 1,
    /// The newest state of the robot is too old, or states come that do not change.
    StaleState,
    /// The newest ray scan is too old.
    StaleRays,
    /// The newest odometry is too old.
    StaleOdometry,
    /// A number that came in, was computed or would go out is not finite.
    NotFinite,
    /// States come with a wrong checksum.
    WrongCrc,
    /// The base is tilted too far.
    Tilt,
    /// A joint is beyond its position limit.
    JointLimit,
    /// A motor is too hot.
    MotorTemperature,
    /// The battery is nearly empty.
    LowBattery,
    /// Cycles came too late.
    MissedDeadlines,
    /// The operator is not heard any more.
    LostOperator,
    /// A thread that talks to the robot is dead.
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
}

/// What the robot does about a fault; the later, the stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Response {
    /// It brakes and stands.
    Stop,
    /// It brakes and lies down.
    LieDown,
    /// It damps all joints.
    Damp,
    /// Nothing is sent to it at all.
    NoStart,
}

/// In which states a fault matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Always; while all joints are damped it only forbids to stand up.
    Always,
    /// While it stands or runs; it forbids to stand up.
    Standing,
    /// While it runs; it forbids to start.
    Running,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct FaultRow {
    /// The fault.
    pub id: FaultId,
    /// Short name.
    pub name: &'static str,
    /// What is required.
    pub requirement: &'static str,
    /// Key of the setting that bounds it, under `deploy`.
    pub setting: Option<&'static str>,
    /// What the robot does.
    pub response: Response,
    /// When it does so.
    pub scope: Scope,
}

const fn row(
    id: FaultId,
    name: &'static str,
    requirement: &'static str,
    setting: Option<&'static str>,
    response: Response,
    scope: Scope,
) -> FaultRow {
    FaultRow {
        id,
        name,
        requirement,
        setting,
        response,
        scope,
    }
}

/// All faults, in the order of their numbers.
pub const FAULTS: [FaultRow; 18] = {
    use FaultId as Id;
    use Response::{Damp, LieDown, NoStart, Stop};
    use Scope::{Always, Running, Standing};
    [
        row(
            Id::NoState,
            "no state",
            "Without any state of the robot all joints are damped and standing up is refused.",
            None,
            Damp,
            Always,
        ),
        row(
            Id::StaleState,
            "stale state",
            "A state that is too old is not acted on, nor are states that come without changing.",
            Some("faults.state_timeout_s"),
            Damp,
            Always,
        ),
        row(
            Id::StaleRays,
            "stale rays",
            "The robot does not run blind.",
            Some("faults.rays_timeout_s"),
            LieDown,
            Running,
        ),
        row(
            Id::StaleOdometry,
            "stale odometry",
            "The robot does not run on an odometry that has stopped; one that never came is not missed.",
            Some("faults.odometry_timeout_s"),
            LieDown,
            Running,
        ),
        row(
            Id::NotFinite,
            "not finite",
            "No number that is not finite is acted on or sent.",
            None,
            Damp,
            Always,
        ),
        row(
            Id::WrongCrc,
            "wrong checksum",
            "A state with a wrong checksum is not used; when only such come, all joints are damped.",
            Some("faults.state_timeout_s"),
            Damp,
            Always,
        ),
        row(
            Id::Tilt,
            "tilt",
            "A robot that tips over does not kick.",
            Some("faults.max_tilt_rad"),
            Damp,
            Always,
        ),
        row(
            Id::JointLimit,
            "joint limit",
            "No joint is driven while one is beyond its position limit by more than the margin.",
            Some("faults.joint_margin_rad"),
            Damp,
            Always,
        ),
        row(
            Id::MotorTemperature,
            "motor temperature",
            "Hot motors are relieved.",
            Some("faults.max_motor_temperature_c"),
            LieDown,
            Standing,
        ),
        row(
            Id::LowBattery,
            "low battery",
            "The robot lies down before the battery is empty.",
            Some("faults.min_battery_percent"),
            LieDown,
            Standing,
        ),
        row(
            Id::MissedDeadlines,
            "missed deadlines",
            "The robot stands and runs only while the control cycle is on time.",
            Some("faults.max_missed_cycles"),
            LieDown,
            Standing,
        ),
        row(
            Id::LostOperator,
            "lost operator",
            "An operator who was heard must stay in hearing.",
            Some("faults.operator_timeout_s"),
            LieDown,
            Standing,
        ),
        row(
            Id::LinkDead,
            "link dead",
            "When a thread that talks to the robot gives no sign of life, all joints are damped.",
            Some("faults.link_timeout_s"),
            Damp,
            Always,
        ),
        row(
            Id::GoalRange,
            "goal out of range",
            "A goal that is too far away, or no place at all, is not run to.",
            Some("faults.max_goal_m"),
            Stop,
            Running,
        ),
        row(
            Id::Shape,
            "foreign input",
            "An input with another number of joints or rays than the bundle's is not acted on.",
            None,
            Damp,
            Always,
        ),
        row(
            Id::Clock,
            "clock",
            "When the clock stands still or goes back, all joints are damped.",
            None,
            Damp,
            Always,
        ),
        row(
            Id::EmergencyStop,
            "emergency stop",
            "An emergency stop damps all joints in the next cycle, in every state.",
            None,
            Damp,
            Always,
        ),
        row(
            Id::OtherRobot,
            "bundle of another robot",
            "A bundle that was made for another robot is refused before the first command.",
            None,
            NoStart,
            Always,
        ),
    ]
};

impl FaultId {
    /// Its row of the table.
    pub fn row(self) -> &'static FaultRow {
        &FAULTS[self as usize - 1]
    }

    /// Its id in messages and documents, e.g. `F01`.
    pub fn code(self) -> FaultCode {
        FaultCode(self)
    }
}

/// Shows a fault as `F01`.
#[derive(Clone, Copy, Debug)]
pub struct FaultCode(FaultId);

impl std::fmt::Display for FaultCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "F{:02}", self.0 as u8)
    }
}

impl std::fmt::Display for FaultId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.code(), self.row().name)
    }
}

impl FaultRow {
    /// What the robot does about the fault in `state`.
    pub fn response_in(&self, state: State) -> Option<Response> {
        use State as S;
        let matters = match self.scope {
            Scope::Always => state != S::Damping || self.id == FaultId::EmergencyStop,
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
    pub fn insert(&mut self, fault: FaultId) {
        self.0 |= 1 << fault as u8;
    }

    /// Adds a fault if `there`.
    pub fn insert_if(&mut self, fault: FaultId, there: bool) {
        self.0 |= u32::from(there) << fault as u8;
    }

    /// Faults of this set or of another.
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a fault is in the set.
    pub fn contains(self, fault: FaultId) -> bool {
        self.0 & (1 << fault as u8) != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Rows of the faults in the set.
    pub fn rows(self) -> impl Iterator<Item = &'static FaultRow> {
        FAULTS.iter().filter(move |row| self.contains(row.id))
    }

    /// Those that the robot responds to in `state`.
    pub fn felt_in(self, state: State) -> Self {
        let mut felt = Self::NONE;
        for row in self.rows() {
            felt.insert_if(row.id, row.response_in(state).is_some());
        }
        felt
    }

    /// The strongest response in `state`.
    pub fn response_in(self, state: State) -> Option<Response> {
        self.rows().filter_map(|row| row.response_in(state)).max()
    }

    /// Whether none of the faults forbids to stand up.
    pub fn may_stand(self) -> bool {
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

/// The table as Markdown, for `docs/faults.md`.
pub fn fault_table() -> String {
    let mut table = String::from(
        "| id | fault | requirement | bound (`deploy.`) | matters | the robot |\n|---|---|---|---|---|---|\n",
    );
    for row in &FAULTS {
        let setting = row
            .setting
            .map_or_else(String::new, |key| format!("`{key}`"));
        let scope = match row.scope {
            Scope::Always => "always",
            Scope::Standing => "standing, running",
            Scope::Running => "running",
        };
        let response = match row.response {
            Response::Stop => "brakes and stands",
            Response::LieDown => "brakes, lies down, damps",
            Response::Damp => "damps all joints",
            Response::NoStart => "is sent nothing",
        };
        let _ = writeln!(
            table,
            "| {} | {} | {} | {setting} | {scope} | {response} |",
            row.id.code(),
            row.name,
            row.requirement
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_where_their_number_says() {
        for (index, row) in FAULTS.iter().enumerate() {
            assert_eq!(row.id as usize, index + 1, "{}", row.name);
            assert_eq!(row.id.row().name, row.name);
        }
        assert_eq!(FaultId::StaleState.to_string(), "F02 stale state");
    }

    #[test]
    fn the_strongest_response_counts_and_only_where_the_fault_matters() {
        let set = |ids: &[FaultId]| {
            let mut set = FaultSet::NONE;
            ids.iter().for_each(|&id| set.insert(id));
            set
        };
        let blind = set(&[FaultId::StaleRays]);
        assert_eq!(blind.response_in(State::Run), Some(Response::LieDown));
        assert_eq!(blind.response_in(State::Ready), None);
        assert!(blind.may_stand());
        let both = set(&[FaultId::StaleRays, FaultId::Tilt]);
        assert_eq!(both.response_in(State::Run), Some(Response::Damp));
        assert_eq!(both.response_in(State::Damping), None);
        assert!(!both.may_stand());
        assert_eq!(
            set(&[FaultId::EmergencyStop]).response_in(State::Damping),
            Some(Response::Damp)
        );
        assert_eq!(both.to_string(), "F03 stale rays, F07 tilt");
    }

    #[test]
    fn the_documented_table_is_this_one() {
        let document = include_str!("../../../docs/faults.md");
        assert!(
            document.contains(&fault_table()),
            "docs/faults.md must contain:\n{}",
            fault_table()
        );
    }
}
