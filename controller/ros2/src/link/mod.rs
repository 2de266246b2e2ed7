//! The link between the control thread and the robot, in four processes.
//!
//! - That of the run itself has the threads `sender`, which sends every motor command with a socket of its own and gives the
//!   heartbeat; `states`, which receives the state of the robot; and `link`, which handles everything else and keeps the other
//!   processes running.
//! - The DDS process ([`dds`]) announces the writer of the motor commands, receives, and publishes what is for display. When it
//!   fails it is started again.
//! - Two guardians ([`guardian`]) damp the robot when the run ends or falls silent.

mod command_writer;
mod commanders;
mod dds;
mod guardian;
mod io_thread;
mod notices;
mod route;
mod rtps;
mod sender;
mod sport_mode;
mod states;
mod supervisor;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle, Thread},
};

use crossbeam::channel::{Receiver, Sender, bounded};
use policies::{Bundle, BundleError};
use robots::Robot;

use controller::deploy::{
    GoalSample, JointCommand, LinkPort, MotorCommand, RealtimeConfig, Status, enter_realtime,
};

use self::{
    commanders::Commanders,
    dds::Topics,
    guardian::GUARDIANS,
    io_thread::IoThread,
    notices::Notices,
    sender::CommandSender,
    states::States,
    supervisor::{GuardianKeeper, Supervisor},
};
pub use self::{
    dds::{
        dds_process,
        endpoints::{Endpoints, Publisher, Subscription},
    },
    guardian::guardian_process,
    sport_mode::{REQUEST_TOPIC, RESPONSE_TOPIC},
};
use crate::{
    LidarError, MotorMap, MotorMapError, config::Ros2Config, log::Recorder, messages::Message as _,
    network::NetworkError, publish::StatusPublisher, sensors::Sensors, state_source::StateSource,
};

/// Topic of the motor commands.
pub const COMMAND_TOPIC: &str = "lowcmd";
/// Topic of the robot's state.
pub const STATE_TOPIC: &str = "lowstate";

/// Why the link does not start.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The network cannot be joined.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The robot has other motors than the vendor's interface.
    #[error(transparent)]
    Motors(#[from] MotorMapError),
    /// A lidar setting is out of range.
    #[error(transparent)]
    Lidar(#[from] LidarError),
    /// Depth images are chosen for a robot without a camera.
    #[error(
        "robot.toml of `{0}` has no [camera]: rays from depth images need to know where it looks"
    )]
    NoCamera(String),
    /// Depth images are chosen for a bundle without a ray network.
    #[error("ros2.rays is `depth`: {0}")]
    Bundle(#[from] BundleError),
    /// The system refuses a thread.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// The processes that damp the robot after the end of this one do not start.
    #[error("cannot start the guardians: {0}")]
    Guardians(io::Error),
}

/// Settings of a [`Link`].
pub struct LinkSettings<'a> {
    /// The robot.
    pub robot: &'a Robot,
    /// Its rays, and the ray network.
    pub bundle: &'a Bundle,
    /// Topics, frames, network.
    pub config: &'a Ros2Config,
    /// Damping of all joints when the control thread has ended, N·m·s/rad.
    pub damping_nms: f32,
    /// Of the control thread. The threads of the link and the DDS process come after it, the guardians with it.
    pub realtime: &'a RealtimeConfig,
    /// The robot's URDF, for displays.
    pub urdf: String,
    /// Send nothing to the motors.
    pub dry_run: bool,
    /// The log, if there is one.
    pub recorder: Option<Recorder>,
    /// Receives notices, one line each.
    pub notice: Box<dyn FnMut(&str) + Send>,
}

/// Notices that wait for the I/O thread; more are dropped.
const NOTICES: usize = 64;
/// Statuses that wait for the operator console; more are dropped.
const STATUSES: usize = 8;
/// Goals of the operator console that wait for the I/O thread; more are dropped.
const GOALS: usize = 4;

/// By how much the priority of the link's threads is below that of the control thread.
const PRIORITY_BELOW: u8 = 10;
/// The same for the DDS process: its threads, which may spin, hold up none that sends.
const DDS_PRIORITY_BELOW: u8 = 20;
/// Routes and guardians that wait for the sender.
const NEWS: usize = 16;

/// The running link. It stops when it is dropped.
#[derive(Debug)]
pub struct Link {
    shared: Arc<Shared>,
    statuses: Receiver<Status>,
    goals: Sender<GoalSample>,
    sender: Option<JoinHandle<()>>,
    supervisor: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// A thread of this connection, or its DDS process, has failed.
    broken: AtomicBool,
    states_alive_ns: AtomicU64,
    others_alive_ns: AtomicU64,
    received_ns: AtomicU64,
    /// The robot was silent and is back; its sport mode may own the joints again.
    returned: AtomicBool,
    /// No mode of the robot owns the joints, and no other program commands them: commands are sent.
    released: AtomicBool,
    guardian_is_lost: [AtomicBool; GUARDIANS],
}

impl Shared {
    fn is_running(&self) -> bool {
        !self.stop.load(Ordering::Acquire) && !self.broken.load(Ordering::Acquire)
    }
}

impl Link {
    /// Connects, and starts threads and processes.
    ///
    /// # Errors
    /// When the robot, the settings or the network do not fit.
    pub fn start(port: LinkPort, settings: LinkSettings<'_>) -> Result<Self, LinkError> {
        let LinkSettings {
            robot,
            bundle,
            config,
            damping_nms,
            realtime,
            urdf,
            dry_run,
            recorder,
            notice,
        } = settings;
        let shared = Arc::new(Shared::default());
        let map = MotorMap::new(robot)?;
        let damping = map.command(&damping_of(robot, damping_nms));
        let (notices_in, notices_out) = bounded(NOTICES);
        let (statuses_in, statuses) = bounded(STATUSES);
        let (goals, goals_out) = bounded(GOALS);
        let (routes_in, routes) = bounded(NEWS);
        let (guardians_in, guardians) = bounded(NEWS);
        let (endpoints, topics) = Topics::new(config);
        let realtime_below = |below| RealtimeConfig {
            priority: realtime.priority.saturating_sub(below),
            ..realtime.clone()
        };
        let below = realtime_below(PRIORITY_BELOW);
        let guardians_running =
            GuardianKeeper::start(realtime.clone(), damping.to_cdr(), guardians_in);
        let supervisor = Supervisor {
            states: States {
                map: map.clone(),
                robot: port.robot,
                source: StateSource::default(),
                operator: Arc::clone(&port.operator),
                recorder: recorder.clone(),
            },
            io: IoThread {
                sensors: Sensors::new(robot, bundle, config, port.scan)?,
                publisher: StatusPublisher::new(robot, &urdf, &bundle.spec.rays, config),
                endpoints,
                topics,
                routes: routes_in,
                guardians: guardians_running.map_err(LinkError::Guardians)?,
                odometry: port.odometry,
                goal: port.goal,
                goals: goals_out,
                operator: port.operator,
                status: port.status,
                statuses: statuses_in,
                notices: Notices::new(notices_out, notice),
                config: config.clone(),
                commanders: Commanders::new(port.second_commander),
                is_released: !config.release_sport_mode,
                dry_run,
                recorder: recorder.clone(),
            },
            config: config.clone(),
            realtime: realtime_below(DDS_PRIORITY_BELOW),
            notices: notices_in.clone(),
            shared: Arc::clone(&shared),
        };
        let sender = CommandSender {
            map,
            command: port.command,
            heartbeat: port.heartbeat,
            damping,
            routes,
            guardians,
            notices: notices_in,
            recorder,
            shared: Arc::clone(&shared),
            state: Default::default(),
        };
        let mut link = Self {
            shared,
            statuses,
            goals,
            sender: None,
            supervisor: None,
        };
        let (connected, answer) = bounded(1);
        link.supervisor = Some(spawn("link", &below, move || supervisor.run(&connected))?);
        if let Ok(Err(error)) = answer.recv() {
            // With its ends of the guardians, which then end as well.
            drop(sender);
            return Err(error.into());
        }
        link.sender = Some(spawn("sender", &below, move || sender.run())?);
        Ok(link)
    }

    /// The thread to wake after each command.
    pub fn sender(&self) -> Option<Thread> {
        self.sender.as_ref().map(|thread| thread.thread().clone())
    }

    /// Whether a state of the robot has come.
    pub fn has_state(&self) -> bool {
        self.shared.received_ns.load(Ordering::Acquire) > 0
    }

    /// The status of the control thread, 25 times a second.
    pub fn statuses(&self) -> &Receiver<Status> {
        &self.statuses
    }

    /// Lets the robot run to a goal, soon or never.
    pub fn run_to(&self, goal: GoalSample) {
        let _ = self.goals.try_send(goal);
    }

    /// Whether commands are sent: no mode of the robot owns the joints, and no other program commands them.
    pub fn is_released(&self) -> bool {
        self.shared.released.load(Ordering::Acquire)
    }
}

impl Drop for Link {
    /// Waits until the guardians have damped the robot for the last time.
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        for thread in [self.sender.take(), self.supervisor.take()]
            .into_iter()
            .flatten()
        {
            thread.thread().unpark();
            // It has given its notices.
            let _ = thread.join();
        }
    }
}

/// A command that damps all joints.
fn damping_of(robot: &Robot, damping_nms: f32) -> MotorCommand {
    let joint = JointCommand {
        mode: 1,
        damping: damping_nms,
        ..JointCommand::default()
    };
    MotorCommand {
        time_ns: 0,
        joints: robot.joints().map(|_| joint).collect(),
    }
}

/// Starts a thread with real-time priority.
fn spawn(
    name: &str,
    realtime: &RealtimeConfig,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, LinkError> {
    let realtime = realtime.clone();
    let body = move || {
        // The control thread gives the warning for all.
        let _ = enter_realtime(&realtime);
        body();
    };
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(LinkError::Thread)
}
