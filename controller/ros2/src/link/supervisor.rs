//! Keeps the DDS process and the guardian running.

use std::{
    io,
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use crossbeam::channel::Sender;

use controller::deploy::RealtimeConfig;

use super::{
    Shared,
    dds::DdsProcess,
    guardian::{Guardian, GuardianProcess},
    io_thread::IoThread,
    states::States,
};
use crate::{config::Ros2Config, network::NetworkError};

/// Time between two attempts to connect again.
const RETRY: Duration = Duration::from_millis(200);

/// The thread that connects, and connects again.
pub struct Supervisor {
    pub states: States,
    pub io: IoThread,
    pub config: Ros2Config,
    /// Of the DDS process.
    pub realtime: RealtimeConfig,
    pub notices: Sender<String>,
    pub shared: Arc<Shared>,
}

impl Supervisor {
    /// Runs until the link stops.
    pub fn run(mut self, connected: &Sender<Result<(), NetworkError>>) {
        self.connect(connected);
        self.io.guardian.finish();
    }

    fn connect(&mut self, connected: &Sender<Result<(), NetworkError>>) {
        let mut first = Some(connected);
        while !self.shared.stop.load(Ordering::Acquire) {
            self.shared.broken.store(false, Ordering::Release);
            match DdsProcess::start(&self.config, &self.realtime) {
                Ok(process) => {
                    if let Some(connected) = first.take() {
                        let _ = connected.send(Ok(()));
                    }
                    self.serve(process);
                }
                Err(error) => {
                    if let Some(connected) = first.take() {
                        let _ = connected.send(Err(error));
                        return;
                    }
                    let _ = self.notices.try_send(error.to_string());
                    thread::sleep(RETRY);
                }
            }
        }
    }

    /// Runs the threads of a connection until the stop, or until one of them fails.
    fn serve(&mut self, mut process: DdsProcess) {
        let Self {
            states,
            io,
            notices,
            shared,
            ..
        } = self;
        let shared: &Shared = shared;
        let DdsProcess {
            states: from_states,
            others,
            ..
        } = &mut process;
        thread::scope(|scope| {
            let receive = || guard(shared, || states.run(from_states, shared));
            let spawned = thread::Builder::new()
                .name("states".to_owned())
                .spawn_scoped(scope, receive);
            match spawned {
                Ok(_) => guard(shared, || io.run(others, notices, shared)),
                Err(_) => shared.broken.store(true, Ordering::Release),
            }
        });
        if shared.broken.load(Ordering::Acquire) {
            let _ = notices.try_send("the DDS process has failed: connecting anew".to_owned());
            process.kill();
        } else {
            process.finish();
        }
    }
}

/// Runs `body`; when it fails or panics, the connection is broken.
fn guard(shared: &Shared, body: impl FnOnce() -> io::Result<()>) {
    let result = std::panic::catch_unwind(AssertUnwindSafe(body));
    if !matches!(result, Ok(Ok(()))) {
        shared.broken.store(true, Ordering::Release);
    }
}

/// Keeps a guardian running.
pub struct GuardianKeeper {
    process: GuardianProcess,
    realtime: RealtimeConfig,
    damping: Vec<u8>,
    guardians: Sender<Guardian>,
}

impl GuardianKeeper {
    /// Starts the first one and waits until it watches; it goes to `guardians`.
    ///
    /// # Errors
    /// When the system refuses it, or it does not answer.
    pub fn start(
        realtime: RealtimeConfig,
        damping: Vec<u8>,
        guardians: Sender<Guardian>,
    ) -> io::Result<Self> {
        let (process, mut guardian) = GuardianProcess::start(&realtime, &damping)?;
        guardian.wait_until_ready()?;
        let _ = guardians.try_send(guardian);
        Ok(Self {
            process,
            realtime,
            damping,
            guardians,
        })
    }

    /// Starts another when the last one has ended or hangs. Says so.
    pub fn check(&mut self, shared: &Shared) -> Option<String> {
        let is_lost = shared.guardian_is_lost.swap(false, Ordering::AcqRel);
        if !is_lost && self.process.is_running() {
            return None;
        }
        self.process.kill();
        Some(
            match GuardianProcess::start(&self.realtime, &self.damping) {
                Ok((process, guardian)) => {
                    self.process = process;
                    let _ = self.guardians.try_send(guardian);
                    "the guardian has ended: another is started".to_owned()
                }
                Err(error) => format!(
                    "the guardian has ended, and no other can be started: {error}; if this program ends as well, the robot keeps its last command"
                ),
            },
        )
    }

    /// Waits for its end, after the thread that sends has ended.
    pub fn finish(self) {
        self.process.finish();
    }
}
