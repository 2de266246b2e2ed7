//! The threads between DDS and the control thread.
//!
//! - `sender` opens the connection, publishes every command, gives the heartbeat, and starts the others;
//! - `states` receives the state of the robot;
//! - `io` receives everything else, publishes status and visualization, releases the sport mode, and reports problems.
//!
//! They and the threads of the DDS library inherit the real-time priority of `sender`. When one of them panics, `sender`
//! opens another connection.

mod commanders;
mod dds_panics;
mod io_thread;
mod notices;
mod sender;
mod sport_mode;
mod states;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle, Thread},
};

use crossbeam::channel::{Receiver, bounded};
use policies::{Bundle, BundleError};
use robots::Robot;

use controller::deploy::{JointCommand, LinkPort, MotorCommand, Status};

pub use self::sport_mode::{REQUEST_TOPIC, RESPONSE_TOPIC};
use self::{
    commanders::Commanders,
    dds_panics::{dds_has_panicked, watch_dds_threads},
    io_thread::IoThread,
    notices::Notices,
    sender::CommandSender,
    states::States,
};
use crate::{
    LidarError, MotorMap, MotorMapError, config::Ros2Config, log::Recorder, network::NetworkError,
    publish::StatusPublisher, sensors::Sensors, state_source::StateSource,
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
    Thread(std::io::Error),
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
    /// Called by the sender thread before it connects, to make itself real time.
    pub make_real_time: Box<dyn FnOnce() + Send>,
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

/// The running link. It stops when it is dropped.
#[derive(Debug)]
pub struct Link {
    shared: Arc<Shared>,
    statuses: Receiver<Status>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// A thread of this connection has panicked.
    broken: AtomicBool,
    states_alive_ns: AtomicU64,
    received_ns: AtomicU64,
    /// The robot was silent and is back; its sport mode may own the joints again.
    returned: AtomicBool,
    /// No mode of the robot owns the joints, and no other program commands them: commands are sent.
    released: AtomicBool,
}

impl Shared {
    fn is_running(&self) -> bool {
        !self.stop.load(Ordering::Acquire) && !self.is_broken()
    }

    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire) || dds_has_panicked()
    }
}

impl Link {
    /// Connects, and starts the threads.
    ///
    /// # Errors
    /// When the robot, the settings or the network do not fit.
    pub fn start(port: LinkPort, settings: LinkSettings<'_>) -> Result<Self, LinkError> {
        let LinkSettings {
            robot,
            bundle,
            config,
            damping_nms,
            make_real_time,
            urdf,
            dry_run,
            recorder,
            notice,
        } = settings;
        watch_dds_threads();
        let shared = Arc::new(Shared::default());
        let (notices_in, notices_out) = bounded(NOTICES);
        let (statuses_in, statuses) = bounded(STATUSES);
        let sender = CommandSender {
            states: States {
                map: MotorMap::new(robot)?,
                robot: port.robot,
                source: StateSource::default(),
                operator: Arc::clone(&port.operator),
                recorder: recorder.clone(),
            },
            io: IoThread {
                sensors: Sensors::new(robot, bundle, config, port.scan)?,
                publisher: StatusPublisher::new(robot, &urdf, &bundle.spec.rays, config),
                odometry: port.odometry,
                goal: port.goal,
                operator: port.operator,
                status: port.status,
                statuses: statuses_in,
                notices: Notices::new(notices_out, notice),
                config: config.clone(),
                commanders: Commanders::new(port.second_commander),
                dry_run,
                recorder: recorder.clone(),
            },
            map: MotorMap::new(robot)?,
            command: port.command,
            heartbeat: port.heartbeat,
            config: config.clone(),
            damping: MotorCommand {
                time_ns: 0,
                joints: robot
                    .joints()
                    .map(|_| JointCommand {
                        mode: 1,
                        damping: damping_nms,
                        ..JointCommand::default()
                    })
                    .collect(),
            },
            notices: notices_in,
            recorder,
            shared: Arc::clone(&shared),
        };
        let (connected, answer) = bounded(1);
        let thread = thread::Builder::new()
            .name("sender".to_owned())
            .spawn(move || {
                make_real_time();
                sender.run(&connected);
            })
            .map_err(LinkError::Thread)?;
        let link = Self {
            shared,
            statuses,
            thread: Some(thread),
        };
        match answer.recv() {
            Ok(Err(error)) => Err(error.into()),
            _ => Ok(link),
        }
    }

    /// The thread to wake after each command.
    pub fn sender(&self) -> Option<Thread> {
        self.thread.as_ref().map(|thread| thread.thread().clone())
    }

    /// Whether a state of the robot has come.
    pub fn has_state(&self) -> bool {
        self.shared.received_ns.load(Ordering::Acquire) > 0
    }

    /// The status of the control thread, 25 times a second.
    pub fn statuses(&self) -> &Receiver<Status> {
        &self.statuses
    }

    /// Whether commands are sent: no mode of the robot owns the joints, and no other program commands them.
    pub fn is_released(&self) -> bool {
        self.shared.released.load(Ordering::Acquire)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It has given its notices.
            let _ = thread.join();
        }
    }
}
