//! The control thread of a robot as it runs in `abs deploy`, with an invented robot at the other end of its slots.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use controller::{
    ControllerConfig, Method,
    deploy::{
        CYCLE_NS, Clock, CycleRecord, DeployConfig, GoalSample, Histogram, LinkPort, LoopReport,
        MonotonicClock, MotorCommand, OperatorSource, Pilot, Request, RobotSample, ScanSample,
        State, enter_realtime, ports, run_cycles,
    },
};
use nalgebra::{Point2, Vector3};
use policies::{Goal, RayScan, RaySpec};
use robots::Robot;
use serde::Serialize;

#[cfg(feature = "ros2")]
pub mod soak;

use super::Networks;
use crate::{allocations, config::Config};

/// Cycles before the measurement: the robot stands up, and caches fill.
const WARM_UP: u64 = 1500;

/// Results of `abs bench control`.
#[derive(Serialize)]
pub struct ControlReport {
    robot: String,
    /// `random` where no bundle with the three networks was given.
    networks: &'static str,
    /// Busy threads beside the control thread.
    busy: usize,
    /// What was asked of the system; `refused` says what it did not give.
    fifo_priority: u8,
    lock_memory: bool,
    refused: Option<String>,
    cycles: u64,
    /// Cycles in which the policy ran to a goal.
    running_cycles: u64,
    overruns: u64,
    /// Allocations of the control thread.
    allocations: u64,
    /// From waking up to the command's being handed over.
    compute_us: Times,
    /// From the deadline to waking up.
    lateness_us: Times,
}

/// A distribution of durations, us.
#[derive(Serialize)]
pub struct Times {
    p50: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

impl Times {
    pub fn of(histogram: &Histogram) -> Self {
        let at = |share| histogram.quantile_ns(share) as f64 * 1e-3;
        Self {
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max_ns() as f64 * 1e-3,
        }
    }
}

/// Settings with which the invented robot runs the longest way through a cycle.
fn settings_of(config: &Config) -> (ControllerConfig, DeployConfig) {
    let mut settings = config.controller.clone();
    // So low that recovery always acts.
    settings.switch.threshold = Some(-0.999_999);
    let mut deploy = config.deploy.clone();
    deploy.method = Method::Abs;
    deploy.faults.max_missed_cycles = 1e6;
    // Its joints swing all the time.
    deploy.stand_up.probe_motors = false;
    (settings, deploy)
}

/// Runs the control thread for `duration` beside `busy` threads that never sleep.
pub fn measure(
    networks: &Networks,
    duration: Duration,
    busy: usize,
) -> Result<(ControlReport, LoopReport)> {
    let Networks {
        config,
        robot,
        bundle,
        origin,
    } = networks;
    let (settings, deploy) = settings_of(config);
    let mut pilot = Pilot::new(robot, bundle, &settings, &deploy)?;
    let cycles = (duration.as_nanos() as u64 / CYCLE_NS).max(1);

    let stop = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for _ in 0..busy {
        let stop = Arc::clone(&stop);
        threads.push(thread::spawn(move || {
            let mut number = 0u64;
            while !stop.load(Ordering::Relaxed) {
                number = black_box(number.wrapping_mul(6_364_136_223_846_793_005) + 1);
            }
        }));
    }
    let (mut link, mut port) = ports(64);
    let mut command = std::mem::replace(&mut link.command, ports(1).0.command);
    let sender_stop = Arc::clone(&stop);
    let sender = thread::spawn(move || {
        while !sender_stop.load(Ordering::Relaxed) {
            thread::park_timeout(Duration::from_millis(100));
            black_box(command.read().time_ns);
        }
    });
    port.wake_after_command(sender.thread().clone());
    threads.push(sender);

    let realtime = deploy.realtime.clone();
    let mut invented = Invented::new(robot, &bundle.spec.rays, link);
    let control = thread::Builder::new().name("control".to_owned());
    let control = control.spawn(move || {
        let refused = enter_realtime(&realtime).err();
        let go_on = AtomicBool::new(false);
        run_cycles(&mut invented, &mut pilot, &mut port, &go_on, WARM_UP);
        let (running, allocations) = (invented.running, invented.allocations);
        let report = run_cycles(&mut invented, &mut pilot, &mut port, &go_on, cycles);
        let running = invented.running - running;
        (report, running, invented.allocations - allocations, refused)
    });
    let control = control.context("cannot start the control thread")?.join();
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread
            .join()
            .map_err(|_| anyhow!("a thread beside the control thread panicked"))?;
    }
    let (report, running_cycles, allocations, refused) =
        control.map_err(|_| anyhow!("the control thread panicked"))?;
    ensure!(
        running_cycles > 0,
        "the invented robot did not run; the configuration refuses it"
    );
    let summary = ControlReport {
        robot: robot.name.clone(),
        networks: origin,
        busy,
        fifo_priority: deploy.realtime.priority,
        lock_memory: deploy.realtime.lock_memory,
        refused,
        cycles: report.cycles,
        running_cycles,
        overruns: report.overruns,
        allocations,
        compute_us: Times::of(&report.compute),
        lateness_us: Times::of(&report.lateness),
    };
    Ok((summary, report))
}

/// The machine's clock; while the control thread sleeps, the threads at the other end of its slots have their turn.
struct Invented {
    clock: MonotonicClock,
    link: LinkPort,
    sample: RobotSample,
    scan: ScanSample,
    goal: GoalSample,
    default_position_rad: Vec<f32>,
    /// Where the joints are, without their swing, rad.
    at_rad: Vec<f32>,
    /// The last command, as the log has it.
    commanded: MotorCommand,
    /// Cycles so far, and those in which the robot ran.
    cycle: u64,
    running: u64,
    /// Allocations within cycles.
    allocations: u64,
    before: Option<u64>,
    /// For a log of the cycles, which are waited for.
    log: Option<rtrb::Producer<CycleRecord>>,
}

impl Invented {
    fn new(robot: &Robot, rays: &RaySpec, link: LinkPort) -> Self {
        let zeros = || std::iter::repeat_n(0.0, robot.num_joints()).collect();
        Self {
            clock: MonotonicClock,
            link,
            sample: RobotSample {
                crc_ok: true,
                joint_position_rad: zeros(),
                joint_velocity_radps: zeros(),
                joint_torque_nm: zeros(),
                imu_orientation_wxyz: [1.0, 0.0, 0.0, 0.0],
                imu_accelerometer_mps2: Vector3::new(0.0, 0.0, 9.81),
                foot_force: std::iter::repeat_n(30.0, robot.num_feet()).collect(),
                ..RobotSample::default()
            },
            scan: ScanSample {
                received_ns: 0,
                scan: RayScan::clear(rays),
            },
            goal: GoalSample {
                received_ns: 0,
                goal: Goal {
                    position_world: Point2::new(5.0, 1.0),
                    heading_rad: 0.0,
                },
                duration_s: 9.0,
            },
            default_position_rad: robot.control.default_position_rad.clone(),
            at_rad: robot.control.default_position_rad.clone(),
            commanded: MotorCommand::default(),
            cycle: 0,
            running: 0,
            allocations: 0,
            before: None,
            log: None,
        }
    }

    /// What comes in for the cycle at `deadline_ns`: a state, a scan at 25 Hz, another goal every 4 s. All of it is
    /// stamped in the future, so that no delay makes it a fault: the machine is measured, and it shall run.
    fn feed(&mut self, deadline_ns: u64) {
        let time_ns = deadline_ns + 10_000_000_000;
        let phase = 0.05 * self.cycle as f32;
        let sample = &mut self.sample;
        sample.received_ns = time_ns;
        sample.tick = self.cycle as u32 + 1;
        let runs = self.link.status.read().state == State::Run;
        let commanded = &self.commanded.joints;
        for (joint, at_rad) in self.at_rad.iter_mut().enumerate() {
            // It stands up as it is commanded, and runs as it pleases.
            let to_rad = match commanded.get(joint) {
                Some(command) if !runs && command.stiffness > 0.0 => command.position_rad,
                _ => self.default_position_rad[joint],
            };
            *at_rad += (to_rad - *at_rad).clamp(-0.05, 0.05);
            let swing = phase + joint as f32;
            sample.joint_position_rad[joint] = *at_rad + 0.05 * swing.sin();
            sample.joint_velocity_radps[joint] = 1.25 * swing.cos();
        }
        sample.imu_gyroscope_radps.z = 0.5 * phase.sin();
        self.link.robot.write(sample.clone());
        if self.cycle.is_multiple_of(20) {
            self.scan.received_ns = time_ns;
            for (ray, distance_m) in self.scan.scan.distance_m.iter_mut().enumerate() {
                *distance_m = 2.0 + (phase + ray as f32).sin();
            }
            self.link.scan.write(self.scan.clone());
        }
        if self.cycle.is_multiple_of(2000) {
            self.goal.received_ns = time_ns;
            self.link.goal.write(self.goal.clone());
        }
        match self.link.status.read().state {
            State::Damping => self.link.operator.request(Request::Stand),
            State::Ready => self.link.operator.request(Request::Start),
            State::Fault => self.link.operator.request(Request::Stop),
            State::Run => self.running += 1,
            _ => {}
        }
        self.link
            .operator
            .heartbeat(OperatorSource::Remote, time_ns);
        self.link.heartbeat.beat(time_ns);
        while let Ok(mut record) = self.link.log.pop() {
            self.commanded.clone_from(&record.command);
            while let Some(log) = &mut self.log
                && let Err(rtrb::PushError::Full(back)) = log.push(record)
            {
                record = back;
                thread::sleep(Duration::from_millis(1));
            }
        }
        self.cycle += 1;
    }

    /// Goes on with other slots, and another log.
    #[cfg(feature = "ros2")]
    fn connect(&mut self, link: LinkPort, log: rtrb::Producer<CycleRecord>) {
        self.link = link;
        self.log = Some(log);
        self.link.goal.write(self.goal.clone());
        self.before = None;
    }

    /// Counts the allocations of the cycle that has ended.
    fn count_allocations(&mut self) {
        if let Some(before) = self.before.take() {
            self.allocations += allocations::of_this_thread() - before;
        }
    }
}

impl Clock for Invented {
    fn now_ns(&mut self) -> u64 {
        self.clock.now_ns()
    }

    fn sleep_until(&mut self, time_ns: u64) {
        self.count_allocations();
        // Late, so that what comes in is fresh, but not on the time of the cycle.
        self.clock.sleep_until(time_ns.saturating_sub(CYCLE_NS / 2));
        self.feed(time_ns);
        self.clock.sleep_until(time_ns);
        self.before = Some(allocations::of_this_thread());
    }
}
