//! The thread that opens the connection, publishes every command, gives the heartbeat, and starts the others.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
    thread::{self, Scope},
    time::Duration,
};

use crossbeam::channel::Sender;
use triple_buffer::Output;

use controller::deploy::{Heartbeat, MotorCommand, now_ns};

use super::{
    COMMAND_TOPIC, STATE_TOPIC, Shared, dds_panics::forget_dds_panics, io_thread::IoThread,
    sport_mode::SportMode, states::States,
};
use crate::{
    MotorMap,
    config::Ros2Config,
    log::Recorder,
    messages::{LowCmd, LowState},
    network::{Delivery, NetworkError, POLL, Ros},
    publish::Publishers,
    sensors::Subscriptions,
};

/// A command older than this is replaced by damping: the control thread has ended, ns.
const COMMAND_TIMEOUT_NS: u64 = 30_000_000;
/// Time between two attempts to connect again.
const RETRY: Duration = Duration::from_millis(200);

/// The `sender` thread, with what the others need.
pub struct CommandSender {
    pub states: States,
    pub io: IoThread,
    pub map: MotorMap,
    pub command: Output<MotorCommand>,
    pub heartbeat: Arc<Heartbeat>,
    pub config: Ros2Config,
    pub damping: MotorCommand,
    pub notices: Sender<String>,
    pub recorder: Option<Recorder>,
    pub shared: Arc<Shared>,
}

/// One connection.
struct Connection {
    ros: Ros,
    commands: ros2_client::Publisher<LowCmd>,
    states: ros2_client::Subscription<LowState>,
    subscriptions: Subscriptions,
    publishers: Publishers,
    sport_mode: SportMode,
}

impl Connection {
    fn open(config: &Ros2Config) -> Result<Self, NetworkError> {
        let mut ros = Ros::open(&config.network(), "abs")?;
        Ok(Self {
            commands: ros.publish(COMMAND_TOPIC, Delivery::Newest)?,
            states: ros.subscribe(STATE_TOPIC, Delivery::Newest)?,
            subscriptions: Subscriptions::new(&mut ros, config)?,
            publishers: Publishers::new(&mut ros)?,
            sport_mode: SportMode::new(&mut ros)?,
            ros,
        })
    }
}

impl CommandSender {
    pub fn run(mut self, connected: &Sender<Result<(), NetworkError>>) {
        let mut first = Some(connected);
        while !self.shared.stop.load(Ordering::Acquire) {
            forget_dds_panics();
            self.shared.broken.store(false, Ordering::Release);
            match Connection::open(&self.config) {
                Ok(connection) => {
                    if let Some(connected) = first.take() {
                        let _ = connected.send(Ok(()));
                    }
                    self.serve(connection);
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

    /// Runs all threads of a connection until the stop, or until one of them panics.
    ///
    /// They share spinning queues with the threads of the DDS library, so all inherit one priority from the sender: a
    /// real-time thread would spin forever while it keeps the other one from running.
    fn serve(&mut self, connection: Connection) {
        let Connection {
            ros,
            commands,
            states,
            subscriptions,
            publishers,
            sport_mode,
        } = connection;
        let Self {
            states: receiver,
            io,
            map,
            command,
            heartbeat,
            damping,
            recorder,
            shared,
            notices,
            ..
        } = self;
        let shared: &Shared = shared;
        thread::scope(|scope| {
            spawn(scope, "states", shared, || receiver.run(states, shared));
            let (ros, notices) = (&ros, &*notices);
            let io = || {
                io.run(ros, subscriptions, &publishers, sport_mode, notices, shared);
            };
            spawn(scope, "io", shared, io);
            let send = || {
                send_commands(
                    &commands,
                    map,
                    command,
                    heartbeat,
                    damping,
                    recorder.as_ref(),
                    shared,
                )
            };
            guard(shared, send);
        });
        if shared.is_broken() {
            let _ = notices.try_send("a DDS thread has died: connecting anew".to_owned());
            // Their destructors would wait for the dead thread.
            std::mem::forget((ros, commands));
        }
    }
}

/// Runs `body`; when it panics, the connection is broken.
fn guard(shared: &Shared, body: impl FnOnce()) {
    if std::panic::catch_unwind(AssertUnwindSafe(body)).is_err() {
        shared.broken.store(true, Ordering::Release);
    }
}

fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    shared: &'scope Shared,
    body: impl FnOnce() + Send + 'scope,
) {
    let builder = thread::Builder::new().name(name.to_owned());
    if builder
        .spawn_scoped(scope, move || guard(shared, body))
        .is_err()
    {
        shared.broken.store(true, Ordering::Release);
    }
}

/// Publishes each command once, and damping when no more commands arrive.
fn send_commands(
    publisher: &ros2_client::Publisher<LowCmd>,
    map: &MotorMap,
    command: &mut Output<MotorCommand>,
    heartbeat: &Heartbeat,
    damping: &MotorCommand,
    recorder: Option<&Recorder>,
    shared: &Shared,
) {
    let mut sent_ns = 0;
    while shared.is_running() {
        thread::park_timeout(POLL);
        let now_ns = now_ns();
        heartbeat.beat(shared.states_alive_ns.load(Ordering::Acquire).min(now_ns));
        let newest = command.read();
        if newest.time_ns == 0 || !shared.released.load(Ordering::Acquire) {
            continue;
        }
        let is_old = now_ns.saturating_sub(newest.time_ns) > COMMAND_TIMEOUT_NS;
        if newest.time_ns == sent_ns && !is_old {
            continue;
        }
        sent_ns = newest.time_ns;
        let message = map.command(if is_old { damping } else { newest });
        if let Some(recorder) = recorder {
            recorder.message(COMMAND_TOPIC, &message);
        }
        // Best effort: no subscriber may be matched yet.
        let _ = publisher.publish(message);
    }
}
