//! What the control thread and the threads that talk to the robot hand each other, and through what.
//!
//! All times are nanoseconds of one monotonic clock of the receiving machine, 0 for never: stamps of other machines are
//! not comparable. Payloads hold no heap memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    thread::Thread,
};

use arrayvec::ArrayVec;
use nalgebra::{Point3, Vector3};
use policies::{Goal, RayScan, Twist};
use robots::{FootVec, JointVec, MAX_JOINTS, RobotState};
use serde::{Deserialize, Serialize};
use triple_buffer::{Input, Output, TripleBuffer};

use super::{FaultSet, State};
use crate::{Limited, Mode};

/// A state message of the robot, in our order of legs and joints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RobotSample {
    /// When it was received, ns; 0 for never.
    pub received_ns: u64,
    /// Counter of the robot's own controller; stays 0 where there is none.
    pub tick: u32,
    /// Whether the checksum is right, or none is sent.
    pub crc_ok: bool,
    /// Joint positions, rad.
    pub joint_position_rad: JointVec,
    /// Joint velocities, rad/s.
    pub joint_velocity_radps: JointVec,
    /// Joint torques as the motors estimate them, N·m.
    pub joint_torque_nm: JointVec,
    /// Temperatures of the motors, °C; empty where unknown.
    pub motor_temperature_c: JointVec,
    /// Rotation from the base to a level frame, as (w, x, y, z); its heading is only good for differences.
    pub imu_orientation_wxyz: [f32; 4],
    /// Angular velocity in the base frame, rad/s.
    pub imu_gyroscope_radps: Vector3<f32>,
    /// Specific force in the base frame, m/s²; (0, 0, 9.81) when at rest and level.
    pub imu_accelerometer_mps2: Vector3<f32>,
    /// Readings of the foot sensors in the sensor's own unit; empty or all zero where there are none.
    pub foot_force: FootVec<f32>,
    /// State of charge of the battery, %; 0 where it is not reported.
    pub battery_percent: u8,
    /// Pressed buttons of the remote control, bit by bit as Unitree sends them: R1, L1, start, select, R2, L2, F1, F2,
    /// A, B, X, Y, up, right, down, left.
    pub remote_buttons: u16,
}

/// A ray scan, of the arrangement that the bundle was trained with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScanSample {
    /// When the newest point in it was received, ns; 0 for never.
    pub received_ns: u64,
    /// The distances.
    pub scan: RayScan,
}

/// A pose and velocity from an odometry of the robot's own or of another sensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OdometrySample {
    /// When it was received, ns; 0 for never.
    pub received_ns: u64,
    /// Base position in the world frame, m.
    pub position_world: Point3<f32>,
    /// Rotation from the base to the world frame, as (w, x, y, z).
    pub orientation_wxyz: [f32; 4],
    /// Linear velocity in the base frame, m/s.
    pub linear_velocity_base: Vector3<f32>,
}

impl Default for OdometrySample {
    fn default() -> Self {
        Self {
            received_ns: 0,
            position_world: Point3::origin(),
            orientation_wxyz: [1.0, 0.0, 0.0, 0.0],
            linear_velocity_base: Vector3::zeros(),
        }
    }
}

/// Where to go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoalSample {
    /// When it was received, ns; 0 for never. Another value is another goal.
    pub received_ns: u64,
    /// The goal, in the frame of the odometry where there is one, else in that of the estimate, which starts under the
    /// robot with its heading.
    pub goal: Goal,
    /// Time to get there, s.
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

/// What an operator can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Request {
    /// Damp all joints, at once and until a stop.
    EmergencyStop,
    /// Lie down, then damp.
    LieDown,
    /// While running: stand. In a fault that is over: back to damping.
    Stop,
    /// Stand up.
    Stand,
    /// Run to the goal.
    Start,
}

/// Number of different requests.
pub const MAX_REQUESTS: usize = 5;

impl Request {
    /// All requests, the most urgent first.
    pub const ALL: [Self; MAX_REQUESTS] = [
        Self::EmergencyStop,
        Self::LieDown,
        Self::Stop,
        Self::Stand,
        Self::Start,
    ];
}

/// Requests that came between two cycles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestSet(u32);

impl RequestSet {
    /// Adds a request.
    pub fn insert(&mut self, request: Request) {
        self.0 |= 1 << request as u8;
    }

    /// Whether a request is in the set.
    pub fn contains(self, request: Request) -> bool {
        self.0 & (1 << request as u8) != 0
    }

    /// Requests of this set or of another.
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The most urgent request.
    pub fn most_urgent(self) -> Option<Request> {
        Request::ALL
            .into_iter()
            .find(|&request| self.contains(request))
    }
}

/// Requests and heartbeats of the operator: any number of threads write them, the control thread takes them. No request is
/// lost, and no method waits.
#[derive(Debug, Default)]
pub struct Operator {
    requests: AtomicU32,
    heard_ns: AtomicU64,
}

impl Operator {
    /// Adds a request; counts as a heartbeat.
    pub fn request(&self, request: Request, now_ns: u64) {
        self.requests.fetch_or(1 << request as u8, Ordering::AcqRel);
        self.heartbeat(now_ns);
    }

    /// Records that the operator is present.
    pub fn heartbeat(&self, now_ns: u64) {
        self.heard_ns.fetch_max(now_ns, Ordering::AcqRel);
    }

    fn take(&self) -> (RequestSet, u64) {
        let requests = RequestSet(self.requests.swap(0, Ordering::AcqRel));
        (requests, self.heard_ns.load(Ordering::Acquire))
    }
}

/// Heartbeat of the threads that talk to the robot.
#[derive(Debug, Default)]
pub struct Heartbeat(AtomicU64);

impl Heartbeat {
    /// To be called by the slowest of these threads at least every few milliseconds, whether there are messages or not.
    pub fn beat(&self, now_ns: u64) {
        self.0.fetch_max(now_ns, Ordering::AcqRel);
    }
}

/// All that the control thread reads in one cycle.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CycleInput {
    /// Number of the cycle, from 0.
    pub cycle: u64,
    /// Time of the cycle, ns.
    pub time_ns: u64,
    /// Deadlines that were missed since the last cycle.
    pub missed: u32,
    /// Requests of the operator since the last cycle.
    pub requests: RequestSet,
    /// When the operator was last heard, ns; 0 for never.
    pub operator_heard_ns: u64,
    /// When the threads that talk to the robot last gave a sign of life, ns; 0 for never.
    pub link_alive_ns: u64,
    /// Newest state of the robot.
    pub robot: RobotSample,
    /// Newest ray scan.
    pub scan: ScanSample,
    /// Newest odometry.
    pub odometry: OdometrySample,
    /// Newest goal.
    pub goal: GoalSample,
}

/// Command for one motor, which follows `effort + stiffness * (position - q) + damping * (velocity - dq)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JointCommand {
    /// Mode of the motor as Unitree counts it: 1 for servo, 0 for off.
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

/// Command for all motors, in our order of joints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MotorCommand {
    /// Time of the cycle that made it, ns; 0 for never: then there is nothing to send yet.
    pub time_ns: u64,
    /// One entry per joint.
    pub joints: ArrayVec<JointCommand, MAX_JOINTS>,
}

/// For the people who watch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Time of the cycle, ns.
    pub time_ns: u64,
    /// What the robot is doing.
    pub state: State,
    /// Faults that are there now.
    pub faults: FaultSet,
    /// Faults that the robot has responded to, until it stands up again or the operator stops after a fault.
    pub latched_faults: FaultSet,
    /// Which policy acts, while running.
    pub mode: Option<Mode>,
    /// Reach-avoid value, while running.
    pub value: Option<f32>,
    /// Twist that the recovery policy follows.
    pub twist: Option<Twist>,
    /// Goal in the world frame, while there is one.
    pub goal: Option<Goal>,
    /// Time left to get there, s.
    pub time_left_s: f32,
    /// Rays as they were measured; the policy sees those behind the goal shortened.
    pub rays: RayScan,
    /// The estimated state.
    pub estimate: RobotState,
    /// Limits that the command ran into.
    pub limited: Limited,
    /// Deadlines missed since the start.
    pub overruns: u64,
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
        }
    }
}

/// All that went into a cycle and came out of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CycleRecord {
    /// What it read.
    pub input: CycleInput,
    /// What it sent.
    pub command: MotorCommand,
    /// What it showed.
    pub status: Status,
}

/// The end of the threads that talk to the robot. The parts are independent, for as many threads.
#[derive(Debug)]
pub struct LinkPort {
    /// For the newest state of the robot.
    pub robot: Input<RobotSample>,
    /// For the newest ray scan.
    pub scan: Input<ScanSample>,
    /// For the newest odometry.
    pub odometry: Input<OdometrySample>,
    /// For the newest goal.
    pub goal: Input<GoalSample>,
    /// For requests and heartbeats of the operator, from any thread.
    pub operator: Arc<Operator>,
    /// For the sign of life.
    pub heartbeat: Arc<Heartbeat>,
    /// The newest command.
    pub command: Output<MotorCommand>,
    /// What the robot is doing.
    pub status: Output<Status>,
    /// Every cycle, in order. Where the reader is too slow, cycles are left out, to be seen by their numbers.
    pub log: rtrb::Consumer<CycleRecord>,
}

/// The end of the control thread. None of its methods waits, locks or allocates.
#[derive(Debug)]
pub struct ControlPort {
    robot: Output<RobotSample>,
    scan: Output<ScanSample>,
    odometry: Output<OdometrySample>,
    goal: Output<GoalSample>,
    operator: Arc<Operator>,
    heartbeat: Arc<Heartbeat>,
    command: Input<MotorCommand>,
    status: Input<Status>,
    log: rtrb::Producer<CycleRecord>,
    /// Unparked after each command.
    sender: Option<Thread>,
    lost_records: u64,
}

/// Both ends. `log_records` cycles fit between the control thread and the reader of the log.
pub fn ports(log_records: usize) -> (LinkPort, ControlPort) {
    fn slot<T: Default + Clone + Send>() -> (Input<T>, Output<T>) {
        TripleBuffer::default().split()
    }
    let (robot_in, robot) = slot();
    let (scan_in, scan) = slot();
    let (odometry_in, odometry) = slot();
    let (goal_in, goal) = slot();
    let (command, command_out) = slot();
    let (status, status_out) = slot();
    let (log, log_out) = rtrb::RingBuffer::new(log_records);
    let operator = Arc::new(Operator::default());
    let heartbeat = Arc::new(Heartbeat::default());
    let link = LinkPort {
        robot: robot_in,
        scan: scan_in,
        odometry: odometry_in,
        goal: goal_in,
        operator: operator.clone(),
        heartbeat: heartbeat.clone(),
        command: command_out,
        status: status_out,
        log: log_out,
    };
    let control = ControlPort {
        robot,
        scan,
        odometry,
        goal,
        operator,
        heartbeat,
        command,
        status,
        log,
        sender: None,
        lost_records: 0,
    };
    (link, control)
}

impl ControlPort {
    /// Wakes `sender`, which waits in [`std::thread::park`], after each command.
    pub fn wake_after_command(&mut self, sender: Thread) {
        self.sender = Some(sender);
    }

    /// Writes the newest of everything over `input`. The caller fills in cycle, time and missed deadlines.
    pub fn read(&mut self, input: &mut CycleInput) {
        (input.requests, input.operator_heard_ns) = self.operator.take();
        input.link_alive_ns = self.heartbeat.0.load(Ordering::Acquire);
        input.robot.clone_from(self.robot.read());
        input.scan.clone_from(self.scan.read());
        input.odometry.clone_from(self.odometry.read());
        input.goal.clone_from(self.goal.read());
    }

    /// Hands over what came out of a cycle, first the command.
    pub fn write(&mut self, record: &CycleRecord) {
        self.command.input_buffer_mut().clone_from(&record.command);
        self.command.publish();
        if let Some(sender) = &self.sender {
            sender.unpark();
        }
        self.status.input_buffer_mut().clone_from(&record.status);
        self.status.publish();
        if self.log.push(record.clone()).is_err() {
            self.lost_records += 1;
        }
    }

    /// Records that the reader of the log was too slow for.
    pub fn lost_records(&self) -> u64 {
        self.lost_records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_everything_arrives_and_requests_are_taken_once() {
        let (mut link, mut control) = ports(2);
        let mut input = CycleInput::default();
        control.read(&mut input);
        assert_eq!(input, CycleInput::default());

        for tick in 1..=3 {
            link.robot.write(RobotSample {
                received_ns: 10 * u64::from(tick),
                tick,
                ..RobotSample::default()
            });
        }
        link.operator.request(Request::Start, 40);
        link.operator.request(Request::EmergencyStop, 35);
        link.heartbeat.beat(50);
        control.read(&mut input);
        assert_eq!((input.robot.tick, input.robot.received_ns), (3, 30));
        assert_eq!(input.requests.most_urgent(), Some(Request::EmergencyStop));
        assert!(input.requests.contains(Request::Start));
        assert_eq!((input.operator_heard_ns, input.link_alive_ns), (40, 50));

        control.read(&mut input);
        assert_eq!(input.requests, RequestSet::default());
        assert_eq!((input.robot.tick, input.operator_heard_ns), (3, 40));
    }

    #[test]
    fn commands_overwrite_each_other_and_records_queue_up_until_the_log_is_full() {
        let (mut link, mut control) = ports(2);
        assert_eq!(link.command.read().time_ns, 0);
        let mut record = CycleRecord::default();
        for cycle in 1..=3 {
            record.input.cycle = cycle;
            record.command.time_ns = 100 * cycle;
            control.write(&record);
        }
        assert_eq!(link.command.read().time_ns, 300);
        assert_eq!(control.lost_records(), 1);
        let cycles: Vec<u64> = std::iter::from_fn(|| link.log.pop().ok())
            .map(|record| record.input.cycle)
            .collect();
        assert_eq!(cycles, [1, 2]);
    }
}
