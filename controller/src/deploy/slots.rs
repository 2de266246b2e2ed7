//! Slots between the control thread and the threads that talk to the robot: the newest sample of each kind, a set of
//! requests, heartbeats, and a queue of records for the log. No method of either end waits, locks or allocates.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    thread::Thread,
};

use triple_buffer::{Input, Output, TripleBuffer};

use super::{
    CycleInput, CycleRecord, GoalSample, MotorCommand, OdometrySample, Request, RequestSet,
    RobotSample, ScanSample, Status, TwistSample,
};

/// Where an operator sits. Each that has been heard must stay in hearing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OperatorSource {
    /// The keyboard of this program.
    Terminal,
    /// Another program.
    Remote,
    /// The gamepad of this program.
    Gamepad,
}

impl OperatorSource {
    /// How many there are.
    pub const COUNT: usize = 3;
}

/// Requests and heartbeats of the operators, from any number of threads. No request is lost.
#[derive(Debug, Default)]
pub struct Operator {
    requests: AtomicU32,
    heard_ns: [AtomicU64; OperatorSource::COUNT],
}

impl Operator {
    /// Adds a request. No heartbeat: a program may make requests of its own.
    pub fn request(&self, request: Request) {
        self.requests.fetch_or(1 << request as u8, Ordering::AcqRel);
    }

    /// Records that an operator is present.
    pub fn heartbeat(&self, source: OperatorSource, now_ns: u64) {
        self.heard_ns[source as usize].fetch_max(now_ns, Ordering::AcqRel);
    }

    fn take(&self) -> (RequestSet, [u64; OperatorSource::COUNT]) {
        let requests = RequestSet::from_bits(self.requests.swap(0, Ordering::AcqRel));
        let heard = |heard_ns: &AtomicU64| heard_ns.load(Ordering::Acquire);
        (requests, self.heard_ns.each_ref().map(heard))
    }
}

/// Heartbeat of the threads that talk to the robot.
#[derive(Debug, Default)]
pub struct Heartbeat(AtomicU64);

impl Heartbeat {
    /// To be called by the slowest of these threads every few milliseconds, with or without messages.
    pub fn beat(&self, now_ns: u64) {
        self.0.fetch_max(now_ns, Ordering::AcqRel);
    }
}

/// The end of the threads that talk to the robot. Each part can be moved to a thread of its own.
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
    /// For the newest twist.
    pub twist: Input<TwistSample>,
    /// For requests and heartbeats of the operator, from any thread.
    pub operator: Arc<Operator>,
    /// For the heartbeat of these threads.
    pub heartbeat: Arc<Heartbeat>,
    /// Set while another program publishes motor commands, or a mode of the robot owns the joints.
    pub second_commander: Arc<AtomicBool>,
    /// The newest command.
    pub command: Output<MotorCommand>,
    /// The newest status.
    pub status: Output<Status>,
    /// Every cycle, in order. Cycles that the reader is too slow for are missing; their numbers tell.
    pub log: rtrb::Consumer<CycleRecord>,
}

/// The end of the control thread.
#[derive(Debug)]
pub struct ControlPort {
    robot: Output<RobotSample>,
    scan: Output<ScanSample>,
    odometry: Output<OdometrySample>,
    goal: Output<GoalSample>,
    twist: Output<TwistSample>,
    operator: Arc<Operator>,
    heartbeat: Arc<Heartbeat>,
    second_commander: Arc<AtomicBool>,
    command: Input<MotorCommand>,
    status: Input<Status>,
    log: rtrb::Producer<CycleRecord>,
    /// Woken after each command.
    sender: Option<Thread>,
    lost_records: u64,
}

/// Makes both ends. `log_records` is the capacity of the queue for the log, in cycles.
pub fn ports(log_records: usize) -> (LinkPort, ControlPort) {
    fn slot<T: Default + Clone + Send>() -> (Input<T>, Output<T>) {
        TripleBuffer::default().split()
    }
    let (robot_in, robot) = slot();
    let (scan_in, scan) = slot();
    let (odometry_in, odometry) = slot();
    let (goal_in, goal) = slot();
    let (twist_in, twist) = slot();
    let (command, command_out) = slot();
    let (status, status_out) = slot();
    let (log, log_out) = rtrb::RingBuffer::new(log_records);
    let operator = Arc::new(Operator::default());
    let heartbeat = Arc::new(Heartbeat::default());
    let second_commander = Arc::new(AtomicBool::new(false));
    let link = LinkPort {
        robot: robot_in,
        scan: scan_in,
        odometry: odometry_in,
        goal: goal_in,
        twist: twist_in,
        operator: operator.clone(),
        heartbeat: heartbeat.clone(),
        second_commander: second_commander.clone(),
        command: command_out,
        status: status_out,
        log: log_out,
    };
    let control = ControlPort {
        robot,
        scan,
        odometry,
        goal,
        twist,
        operator,
        heartbeat,
        second_commander,
        command,
        status,
        log,
        sender: None,
        lost_records: 0,
    };
    (link, control)
}

impl ControlPort {
    /// Unparks `sender` after each command.
    pub fn wake_after_command(&mut self, sender: Thread) {
        self.sender = Some(sender);
    }

    /// Overwrites `input` with the newest samples. Cycle, time and missed deadlines are left to the caller.
    pub fn read(&mut self, input: &mut CycleInput) {
        (input.requests, input.operators_heard_ns) = self.operator.take();
        input.link_alive_ns = self.heartbeat.0.load(Ordering::Acquire);
        input.second_commander = self.second_commander.load(Ordering::Acquire);
        input.robot.clone_from(self.robot.read());
        input.scan.clone_from(self.scan.read());
        input.odometry.clone_from(self.odometry.read());
        input.goal.clone_from(self.goal.read());
        input.twist.clone_from(self.twist.read());
    }

    /// Publishes the outcome of a cycle, the command first.
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

    /// Number of records that the reader of the log was too slow for.
    pub fn lost_records(&self) -> u64 {
        self.lost_records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_samples_arrive_and_requests_are_taken_once() {
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
        link.operator.request(Request::Start);
        link.operator.request(Request::EmergencyStop);
        link.operator.heartbeat(OperatorSource::Remote, 40);
        link.operator.heartbeat(OperatorSource::Remote, 35);
        link.second_commander.store(true, Ordering::Release);
        link.heartbeat.beat(50);
        control.read(&mut input);
        assert_eq!((input.robot.tick, input.robot.received_ns), (3, 30));
        assert_eq!(input.requests.most_urgent(), Some(Request::EmergencyStop));
        assert!(input.requests.contains(Request::Start));
        assert_eq!(
            (input.operators_heard_ns, input.link_alive_ns),
            ([0, 40, 0], 50)
        );
        assert!(input.second_commander);

        control.read(&mut input);
        assert_eq!(input.requests, RequestSet::default());
        let heard_ns = input.operators_heard_ns;
        assert_eq!((input.robot.tick, heard_ns), (3, [0, 40, 0]));
    }

    #[test]
    fn the_newest_command_wins_and_records_queue_until_the_log_is_full() {
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
