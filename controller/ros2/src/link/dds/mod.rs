//! DDS, in a process of its own.
//!
//! The DDS library can be brought to take any amount of memory, to panic, and to end its threads without a word. So it runs
//! where it owns nothing else, with a limit on its memory, and is stopped and started again when it fails. It receives, it
//! publishes what is for display, and it announces the writer of the motor commands, which leave by another way.

pub mod announcement;
pub mod endpoints;
pub mod frames;
mod process;
mod threads;

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::Child,
    time::{Duration, Instant},
};

use controller::deploy::RealtimeConfig;
use serde::{Deserialize, Serialize};

pub use self::process::dds_process;
use self::{
    endpoints::{Endpoints, Subscription},
    frames::{FrameReader, Kind},
};
use crate::{
    config::Ros2Config,
    helper::Helper,
    messages::LowCmd,
    network::{Delivery, NetworkError, POLL},
    publish::Publishers,
    sensors::Subscriptions,
};

use super::{COMMAND_TOPIC, sport_mode::SportMode};

/// The node is there after this time, or DDS is started again.
const START: Duration = Duration::from_secs(10);
/// How long the process goes on to announce the writer of motor commands after the run has ended, while the guardian uses it.
const LINGER: Duration = Duration::from_millis(1500);
/// The run waits this long for its end.
const LAST_WAIT: Duration = Duration::from_secs(3);

/// Settings of the process.
#[derive(Serialize, Deserialize)]
struct Start {
    ros2: Ros2Config,
    realtime: RealtimeConfig,
}

/// What the run receives and publishes, apart from motor commands and states.
pub struct Topics {
    pub subscriptions: Subscriptions,
    pub publishers: Publishers,
    pub sport_mode: SportMode,
    /// Motor commands of others.
    pub commands: Subscription<LowCmd>,
}

impl Topics {
    /// The same in both processes.
    pub fn new(config: &Ros2Config) -> (Endpoints, Self) {
        let mut endpoints = Endpoints::new();
        let topics = Self {
            subscriptions: Subscriptions::new(&mut endpoints, config),
            publishers: Publishers::new(&mut endpoints),
            sport_mode: SportMode::new(&mut endpoints),
            commands: endpoints.subscribe(COMMAND_TOPIC, Delivery::Newest),
        };
        (endpoints, topics)
    }
}

/// The DDS process, as the run sees it.
#[derive(Debug)]
pub struct DdsProcess {
    child: Child,
    /// Brings the states of the robot.
    pub states: FrameReader,
    /// Brings all other messages, and takes those to publish.
    pub others: FrameReader,
}

impl DdsProcess {
    /// Starts it, and waits until its node is there.
    ///
    /// # Errors
    /// When the network cannot be joined, or the system refuses the process.
    pub fn start(ros2: &Ros2Config, realtime: &RealtimeConfig) -> Result<Self, NetworkError> {
        ros2.network().check()?;
        let start = Start {
            ros2: ros2.clone(),
            realtime: realtime.clone(),
        };
        let start = toml::to_string(&start).map_err(NetworkError::process)?;
        let mut process = Self::spawn().map_err(NetworkError::process)?;
        match process.open(start.as_bytes()) {
            Ok(()) => Ok(process),
            Err(error) => {
                process.kill();
                Err(error)
            }
        }
    }

    fn spawn() -> io::Result<Self> {
        let (states, states_out) = UnixStream::pair()?;
        let (others, others_out) = UnixStream::pair()?;
        let output = Some(OwnedFd::from(others_out));
        let child = Helper::Dds.start(states_out.into(), output)?;
        // A process that reads nothing more is started again.
        others.set_write_timeout(Some(Duration::from_millis(100)))?;
        Ok(Self {
            child,
            states: FrameReader::new(states),
            others: FrameReader::new(others),
        })
    }

    fn open(&mut self, start: &[u8]) -> Result<(), NetworkError> {
        let others = &mut self.others;
        frames::write(others.stream(), Kind::Start, 0, start).map_err(NetworkError::process)?;
        let begin = Instant::now();
        while begin.elapsed() < START {
            others.receive(POLL).map_err(NetworkError::process)?;
            while let Some(frame) = others.next().map_err(NetworkError::process)? {
                match frame.kind {
                    Kind::Opened => return Ok(()),
                    Kind::Refused => {
                        let text = String::from_utf8_lossy(frame.body).into_owned();
                        return Err(NetworkError::Process(text));
                    }
                    _ => {}
                }
            }
        }
        Err(NetworkError::process(io::Error::from(
            io::ErrorKind::TimedOut,
        )))
    }

    /// Ends it at once.
    pub fn kill(mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Lets it end, as it does when its streams are closed, and waits for that.
    pub fn finish(self) {
        let Self {
            mut child,
            states,
            others,
        } = self;
        drop((states, others));
        let start = Instant::now();
        while let Ok(None) = child.try_wait() {
            if start.elapsed() > LAST_WAIT {
                let _ = child.kill();
                let _ = child.wait();
            }
            std::thread::sleep(POLL);
        }
    }
}
