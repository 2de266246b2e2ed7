//! Keeps the DDS process and the guardians running.

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
    guardian::{GUARDIANS, Guardian, GuardianProcess},
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
        self.io.guardians.finish();
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

/// Keeps the guardians running.
pub struct GuardianKeeper {
    processes: Vec<GuardianProcess>,
    realtime: RealtimeConfig,
    damping: Vec<u8>,
    /// To the thread that sends, each with its place.
    guardians: Sender<(usize, Guardian)>,
}

impl GuardianKeeper {
    /// Starts them and waits until they watch; they go to `guardians`.
    ///
    /// # Errors
    /// When the system refuses one, or it does not answer.
    pub fn start(
        realtime: RealtimeConfig,
        damping: Vec<u8>,
        guardians: Sender<(usize, Guardian)>,
    ) -> io::Result<Self> {
        let started: Vec<_> = (0..GUARDIANS)
            .map(|_| GuardianProcess::start(&realtime, &damping))
            .collect::<io::Result<_>>()?;
        let mut processes = Vec::new();
        for (place, (process, mut guardian)) in started.into_iter().enumerate() {
            guardian.wait_until_ready()?;
            let _ = guardians.try_send((place, guardian));
            processes.push(process);
        }
        Ok(Self {
            processes,
            realtime,
            damping,
            guardians,
        })
    }

    /// Starts another in the place of one that has ended or hangs. Says so.
    pub fn check(&mut self, shared: &Shared) -> Option<String> {
        let places = self.processes.iter_mut().zip(&shared.guardian_is_lost);
        let (place, process) = places.enumerate().find_map(|(place, (process, is_lost))| {
            let is_lost = is_lost.swap(false, Ordering::AcqRel);
            (is_lost || !process.is_running()).then_some((place, process))
        })?;
        process.kill();
        Some(
            match GuardianProcess::start(&self.realtime, &self.damping) {
                Ok((started, guardian)) => {
                    *process = started;
                    let _ = self.guardians.try_send((place, guardian));
                    "a guardian has ended: another is started".to_owned()
                }
                Err(error) => format!(
                    "a guardian has ended, and no other can be started: {error}; if this program and the other guardian end as well, the robot keeps its last command"
                ),
            },
        )
    }

    /// Waits for their end, after the thread that sends has ended.
    pub fn finish(self) {
        for process in self.processes {
            process.finish();
        }
    }
}
