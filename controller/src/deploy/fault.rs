use serde::{Deserialize, Serialize};

/// What can go wrong on a robot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum FaultId {
    /// No state of the robot has come since the start.
    NoState = 1,
    /// The newest state of the robot is too old.
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
    /// A joint is faster than its velocity limit.
    JointSpeed,
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

    /// Whether a fault is in the set.
    pub fn contains(self, fault: FaultId) -> bool {
        self.0 & (1 << fault as u8) != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}
