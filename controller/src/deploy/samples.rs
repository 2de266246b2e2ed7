//! What the control thread and the threads that talk to the robot exchange.
//!
//! All times are nanoseconds of the monotonic clock of the receiving machine, 0 for never: stamps of other machines are
//! not comparable. No sample holds heap memory.

use arrayvec::ArrayVec;
use nalgebra::{Point3, Vector3};
use policies::{Goal, RayScan, Twist};
use robots::{FootVec, JointVec, MAX_JOINTS, RobotState};
use serde::{Deserialize, Serialize};

use super::{FaultSet, OperatorSource, Request, RequestSet, State};
use crate::{Limited, Mode};

/// A state message of the robot; legs and joints in the order of its description.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RobotSample {
    /// Time of reception, ns; 0 for never.
    pub received_ns: u64,
    /// Counter of the robot's own controller; always 0 where there is none.
    pub tick: u32,
    /// Whether the checksum is right; true where the robot sends none.
    pub crc_ok: bool,
    /// Number of its publisher, in the order in which they were first heard; 0 where there is only one.
    pub publisher: u8,
    /// Joint positions, rad.
    pub joint_position_rad: JointVec,
    /// Joint velocities, rad/s.
    pub joint_velocity_radps: JointVec,
    /// Joint torques estimated by the motors, N·m.
    pub joint_torque_nm: JointVec,
    /// Temperatures of the motors, °C; empty where unknown.
    pub motor_temperature_c: JointVec,
    /// Rotation from the base to a level frame, as (w, x, y, z). Only differences of its heading mean anything.
    pub imu_orientation_wxyz: [f32; 4],
    /// Angular velocity in the base frame, rad/s.
    pub imu_gyroscope_radps: Vector3<f32>,
    /// Specific force in the base frame, m/s²; (0, 0, 9.81) when at rest and level.
    pub imu_accelerometer_mps2: Vector3<f32>,
    /// Readings of the foot sensors in their own unit; empty or zero where there are none.
    pub foot_force: FootVec<f32>,
    /// State of charge of the battery, %; 0 where it is not reported.
    pub battery_percent: u8,
    /// Pressed buttons of the remote control, one bit each, in Unitree's order: R1, L1, start, select, R2, L2, F1, F2, A, B,
    /// X, Y, up, right, down, left.
    pub remote_buttons: u16,
}

/// A ray scan with the rays of the bundle.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScanSample {
    /// Time of reception of its newest point, ns; 0 for never.
    pub received_ns: u64,
    /// The distances.
    pub scan: RayScan,
}

/// Pose and velocity from an odometry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OdometrySample {
    /// Time of reception, ns; 0 for never.
    pub received_ns: u64,
    /// Base position in the world frame, m.
    pub position_world: Point3<f32>,
    /// Rotation from the base to the world frame, as (w, x, y, z).
    pub orientation_wxyz: [f32; 4],
    /// Linear velocity in the base frame, m/s.
    pub linear_velocity_base: Vector3<f32>,
    /// Whether it is in frames that are known; otherwise its numbers mean nothing.
    pub known_frames: bool,
}

impl Default for OdometrySample {
    fn default() -> Self {
        Self {
            received_ns: 0,
            position_world: Point3::origin(),
            orientation_wxyz: [1.0, 0.0, 0.0, 0.0],
            linear_velocity_base: Vector3::zeros(),
            known_frames: true,
        }
    }
}

/// A goal of the operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoalSample {
    /// Time of reception, ns; 0 for never. A new time is a new goal.
    pub received_ns: u64,
    /// The goal in the world frame: that of the odometry, or without one that of the estimate, whose origin is under the
    /// robot at the start.
    pub goal: Goal,
    /// Time to reach it, s.
    pub duration_s: f32,
}

impl Default for GoalSample {
    fn default() -> Self {
        Self {
            received_ns: 0,
            goal: Goal {
                position_world: nalgebra::Point2::origin(),
                heading_rad: 0.0,
            },
            duration_s: 0.0,
        }
    }
}

/// A twist of the operator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TwistSample {
    /// When it was commanded, ns; 0 for never.
    pub received_ns: u64,
    /// The twist.
    pub twist: Twist,
}

/// Everything that the control thread reads in one cycle.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CycleInput {
    /// Number of the cycle, from 0.
    pub cycle: u64,
    /// Time of the cycle, ns.
    pub time_ns: u64,
    /// Deadlines missed since the last cycle.
    pub missed: u32,
    /// Requests since the last cycle.
    pub requests: RequestSet,
    /// Last heartbeat of each [`OperatorSource`](super::OperatorSource), ns; 0 for never.
    pub operators_heard_ns: [u64; OperatorSource::COUNT],
    /// Last heartbeat of the threads that talk to the robot, ns; 0 for never.
    pub link_alive_ns: u64,
    /// Whether another program publishes motor commands, or a mode of the robot owns the joints.
    pub second_commander: bool,
    /// Newest state of the robot.
    pub robot: RobotSample,
    /// Newest ray scan.
    pub scan: ScanSample,
    /// Newest odometry.
    pub odometry: OdometrySample,
    /// Newest goal.
    pub goal: GoalSample,
    /// Newest twist.
    pub twist: TwistSample,
}

/// Command of one motor, which applies the torque `effort + stiffness * (position - q) + damping * (velocity - dq)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JointCommand {
    /// Mode of a Unitree motor: 1 for servo, 0 for off.
    pub mode: u8,
    /// rad.
    pub position_rad: f32,
    /// rad/s.
    pub velocity_radps: f32,
    /// N·m.
    pub effort_nm: f32,
    /// N·m/rad.
    pub stiffness: f32,
    /// N·m·s/rad.
    pub damping: f32,
}

/// Command of all motors, in the order of the joints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MotorCommand {
    /// Time of its cycle, ns; 0 before the first.
    pub time_ns: u64,
    /// One entry per joint.
    pub joints: ArrayVec<JointCommand, MAX_JOINTS>,
}

/// The outcome of a cycle, for display and log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Time of the cycle, ns.
    pub time_ns: u64,
    /// The state.
    pub state: State,
    /// Faults of this cycle.
    pub faults: FaultSet,
    /// Faults that the robot has responded to, until it stands up or the operator acknowledges them with a stop.
    pub latched_faults: FaultSet,
    /// The policy that acts, while one does.
    pub mode: Option<Mode>,
    /// Reach-avoid value, while running with the switch.
    pub value: Option<f32>,
    /// Twist that a policy follows, commanded by the operator or by the switch.
    pub twist: Option<Twist>,
    /// Goal in the world frame, while running.
    pub goal: Option<Goal>,
    /// Time left to get there, or to drive the joints, s.
    pub time_left_s: f32,
    /// Measured rays, without the illusion that the policy observes.
    pub rays: RayScan,
    /// The estimated state.
    pub estimate: RobotState,
    /// Limits that the command was cut by.
    pub limited: Limited,
    /// Deadlines missed since the start.
    pub overruns: u64,
    /// The last request that was refused, and why.
    pub refused: Option<(Request, Refusal)>,
    /// Requests refused since the start.
    pub refusals: u32,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// There is no goal to run to.
    NoGoal,
    /// A fault prevents it.
    Faults(FaultSet),
    /// It means nothing in the state that the robot is in.
    State(State),
    /// The motor of a joint does not answer as the one it should be (numbers of joints).
    Motor {
        /// The joint that was commanded.
        expected: u8,
        /// The joint that moved; where it is the same, it turned the wrong way.
        moved: Option<u8>,
    },
}

impl Default for Status {
    fn default() -> Self {
        Self {
            time_ns: 0,
            state: State::default(),
            faults: FaultSet::NONE,
            latched_faults: FaultSet::NONE,
            mode: None,
            value: None,
            twist: None,
            goal: None,
            time_left_s: 0.0,
            rays: RayScan::default(),
            estimate: RobotState::zero(0, 0),
            limited: Limited::default(),
            overruns: 0,
            refused: None,
            refusals: 0,
        }
    }
}

/// Input and outcome of a cycle.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CycleRecord {
    /// The input.
    pub input: CycleInput,
    /// The command.
    pub command: MotorCommand,
    /// The status.
    pub status: Status,
}
