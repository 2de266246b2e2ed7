//! The threads between DDS and the control thread.
//!
//! - `sender` (real time) opens the connection, publishes every command, gives the sign of life, and starts the others;
//! - `states` (real time) receives the state of the robot;
//! - `companion` (behind the others) receives everything else, publishes what people watch, releases the sport mode, and
//!   says what is wrong.
//!
//! Threads of DDS inherit the scheduling of `sender`. A thread that panics ends the connection, and `sender` opens another.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, Once, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Sender, channel},
    },
    thread::{self, JoinHandle, Scope, Thread},
};

use policies::RaySpec;
use robots::Robot;
use ros2_client::dds::rustdds::{
    DomainParticipantStatusEvent, StatusEvented,
    mio1::{Events, Interest, Poll, Token},
};
use triple_buffer::{Input, Output};

use super::{
    LidarError, MotorMap, MotorMapError,
    config::{RaySource, Ros2Config},
    log::Recorder,
    messages::{LaserScan, LowCmd, LowState, Message, Odometry, PointCloud2, PoseStamped, Text},
    network::{Delivery, NetworkError, POLL, Ros},
    notices::Notices,
    sensors::{OPERATOR_TOPIC, Sensors, Sinks, Subscriptions, take},
    sport_mode::SportMode,
    watch::{Publishers, Watch, base_pose},
};
use crate::deploy::{
    GoalSample, JointCommand, LinkPort, MotorCommand, OdometrySample, Operator, Pulse, RobotSample,
    ScanSample, Status, now_ns,
};

/// Topic of the motor commands.
pub const COMMAND_TOPIC: &str = "lowcmd";
/// Topic of the robot's state.
pub const STATE_TOPIC: &str = "lowstate";

/// A command older than this is replaced by damping: the control thread is gone, ns.
const COMMAND_TIMEOUT_NS: u64 = 30_000_000;
/// Without a state for this long the user is told, ns.
const SILENT_NS: u64 = 3_000_000_000;
/// Time between two messages to the people who watch, ns.
const WATCH_PERIOD_NS: u64 = 40_000_000;
/// Priority of the companion, where threads have real-time priority at all.
const COMPANION_PRIORITY: u8 = 10;
/// Time between two attempts to connect again.
const RETRY: std::time::Duration = std::time::Duration::from_millis(200);

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No connection.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The robot has other motors.
    #[error(transparent)]
    Motors(#[from] MotorMapError),
    /// A setting of the lidar.
    #[error("ros2.{0}")]
    Lidar(#[from] LidarError),
    /// No thread.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

/// What the link needs to know.
pub struct LinkSettings<'a> {
    /// The robot.
    pub robot: &'a Robot,
    /// Rays of the bundle.
    pub rays: &'a RaySpec,
    /// Topics, frames, network.
    pub config: &'a Ros2Config,
    /// Damping of all joints when the control thread is gone, N·m·s/rad.
    pub damping_nms: f32,
    /// Called by the sender thread before it connects, to make itself real time.
    pub make_real_time: Box<dyn FnOnce() + Send>,
    /// The log, if there is one.
    pub recorder: Option<Recorder>,
    /// Told what is wrong, one line each.
    pub notice: Box<dyn FnMut(&str) + Send>,
}

/// The running link. It stops when it is dropped.
#[derive(Debug)]
pub struct Link {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// A thread of this connection has panicked.
    broken: AtomicBool,
    states_alive_ns: AtomicU64,
    received_ns: AtomicU64,
    /// No mode of the robot owns the joints.
    released: AtomicBool,
    /// What the robot is doing, for those who are not in a hurry.
    status: Mutex<Status>,
}

impl Shared {
    fn goes_on(&self) -> bool {
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
    /// When the robot, the settings or the network do not do.
    pub fn start(port: LinkPort, settings: LinkSettings<'_>) -> Result<Self, LinkError> {
        let LinkSettings {
            robot,
            rays,
            config,
            damping_nms,
            make_real_time,
            recorder,
            notice,
        } = settings;
        watch_dds_threads();
        let shared = Arc::new(Shared::default());
        shared
            .released
            .store(!config.release_sport_mode, Ordering::Release);
        let (notices_in, notices_out) = channel();
        let sender = LinkThread {
            states: States {
                map: MotorMap::new(robot)?,
                robot: port.robot,
                recorder: recorder.clone(),
            },
            companion: Companion {
                sensors: Sensors::new(rays, config)?,
                watch: Watch::new(robot, rays, config),
                scan: port.scan,
                odometry: port.odometry,
                goal: port.goal,
                operator: port.operator,
                status: port.status,
                notices: Notices::new(notices_out, notice),
                config: config.clone(),
                recorder: recorder.clone(),
            },
            map: MotorMap::new(robot)?,
            command: port.command,
            pulse: port.pulse,
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
        let (connected, answer) = channel();
        let thread = thread::Builder::new()
            .name("sender".to_owned())
            .spawn(move || {
                make_real_time();
                sender.run(&connected);
            })
            .map_err(LinkError::Thread)?;
        let link = Self {
            shared,
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

    /// What the robot is doing, a few hundredths of a second old.
    pub fn status(&self) -> Status {
        let status = self.shared.status.lock();
        status.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether commands are sent: no mode of the robot owns the joints.
    pub fn is_released(&self) -> bool {
        self.shared.released.load(Ordering::Acquire)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It has already told what was wrong.
            let _ = thread.join();
        }
    }
}

/// The `sender` thread, with what the others need.
struct LinkThread {
    states: States,
    companion: Companion,
    map: MotorMap,
    command: Output<MotorCommand>,
    pulse: Arc<Pulse>,
    config: Ros2Config,
    damping: MotorCommand,
    notices: Sender<String>,
    recorder: Option<Recorder>,
    shared: Arc<Shared>,
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

impl LinkThread {
    fn run(mut self, connected: &Sender<Result<(), NetworkError>>) {
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
                    let _ = self.notices.send(error.to_string());
                    thread::sleep(RETRY);
                }
            }
        }
    }

    /// Runs all threads of a connection until the stop, or until one of them panics.
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
            companion,
            map,
            command,
            pulse,
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
            let watch = || {
                lower_priority();
                companion.run(ros, subscriptions, &publishers, sport_mode, notices, shared);
            };
            spawn(scope, "companion", shared, watch);
            let send = || {
                send_commands(
                    &commands,
                    map,
                    command,
                    pulse,
                    damping,
                    recorder.as_ref(),
                    shared,
                )
            };
            guard(shared, send);
        });
        if shared.is_broken() {
            let _ = notices.send("a DDS thread has died: connecting anew".to_owned());
            // Its destructors would wait for the dead thread.
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

/// Puts the companion behind the other threads, but before ordinary programs: it shares locks of the DDS library with
/// threads that must not wait for it.
fn lower_priority() {
    use thread_priority::{
        RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
        set_thread_priority_and_policy, thread_native_id, thread_schedule_policy,
    };
    let fifo = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    // A thread that was ordinary before stays so.
    if thread_schedule_policy() == Ok(fifo)
        && let Ok(priority) = ThreadPriorityValue::try_from(COMPANION_PRIORITY)
    {
        let priority = ThreadPriority::Crossplatform(priority);
        // What was allowed once is allowed again.
        let _ = set_thread_priority_and_policy(thread_native_id(), priority, fifo);
    }
}

/// Publishes each command once, and damping when there is none any more.
fn send_commands(
    publisher: &ros2_client::Publisher<LowCmd>,
    map: &MotorMap,
    command: &mut Output<MotorCommand>,
    pulse: &Pulse,
    damping: &MotorCommand,
    recorder: Option<&Recorder>,
    shared: &Shared,
) {
    let mut sent_ns = 0;
    while shared.goes_on() {
        thread::park_timeout(POLL);
        let now_ns = now_ns();
        pulse.beat(shared.states_alive_ns.load(Ordering::Acquire).min(now_ns));
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
        // Best effort: nobody may be there yet.
        let _ = publisher.publish(message);
    }
}

struct States {
    map: MotorMap,
    robot: Input<RobotSample>,
    recorder: Option<Recorder>,
}

impl States {
    fn run(&mut self, mut states: ros2_client::Subscription<LowState>, shared: &Shared) {
        let Ok(mut poll) = Poll::new() else {
            shared.broken.store(true, Ordering::Release);
            return;
        };
        let mut events = Events::with_capacity(4);
        let registered = poll
            .registry()
            .register(&mut states, Token(0), Interest::READABLE);
        if registered.is_err() {
            shared.broken.store(true, Ordering::Release);
            return;
        }
        // A message that is none is dropped; the companion tells of foreign types.
        let mut ignore = |_: String| ();
        while shared.goes_on() {
            // Interrupted or not, the messages are looked for.
            let _ = poll.poll(&mut events, Some(POLL));
            shared.states_alive_ns.store(now_ns(), Ordering::Release);
            let Self {
                map,
                robot,
                recorder,
            } = self;
            take(
                &states,
                STATE_TOPIC,
                recorder.as_ref(),
                &mut ignore,
                |state, _| {
                    let now_ns = now_ns();
                    robot.write(map.sample(state, now_ns));
                    shared.received_ns.store(now_ns, Ordering::Release);
                },
            );
        }
    }
}

struct Companion {
    sensors: Sensors,
    watch: Watch,
    scan: Input<ScanSample>,
    odometry: Input<OdometrySample>,
    goal: Input<GoalSample>,
    operator: Arc<Operator>,
    status: Output<Status>,
    notices: Notices,
    config: Ros2Config,
    recorder: Option<Recorder>,
}

impl Companion {
    fn run(
        &mut self,
        ros: &Ros,
        mut subscriptions: Subscriptions,
        publishers: &Publishers,
        mut sport_mode: SportMode,
        notices: &Sender<String>,
        shared: &Shared,
    ) {
        let mut events = Events::with_capacity(16);
        let poll = Poll::new().and_then(|poll| {
            subscriptions.register(poll.registry())?;
            Ok(poll)
        });
        let Ok(mut poll) = poll else {
            shared.broken.store(true, Ordering::Release);
            return;
        };
        let mut notice = |text: String| {
            // The receiver is this thread itself.
            let _ = notices.send(text);
        };
        let participant = ros.participant();
        let discovery = participant.status_listener();
        let start_ns = now_ns();
        let mut watched_ns = 0;
        while shared.goes_on() {
            // Interrupted or not, the messages are looked for.
            let _ = poll.poll(&mut events, Some(POLL));
            let now_ns = now_ns();
            let base = base_pose(self.status.read());
            let mut sinks = Sinks {
                scan: &mut self.scan,
                odometry: &mut self.odometry,
                goal: &mut self.goal,
                operator: &self.operator,
                recorder: self.recorder.as_ref(),
            };
            self.sensors
                .receive(&subscriptions, &base, now_ns, &mut sinks, &mut notice);
            if now_ns.saturating_sub(watched_ns) < WATCH_PERIOD_NS {
                continue;
            }
            watched_ns = now_ns;
            while let Some(event) = discovery.try_recv_status() {
                if let Some(text) = foreign_type(&self.config, &event) {
                    notice(text);
                }
            }
            let silent_ns = now_ns - start_ns;
            if shared.received_ns.load(Ordering::Acquire) == 0 && silent_ns > SILENT_NS {
                notice(format!(
                    "no state of the robot: nothing came on rt/{STATE_TOPIC} in {}; is it on, is the cable in, are domain and interface right?",
                    self.config.network()
                ));
            }
            if !shared.released.load(Ordering::Acquire) && sport_mode.poll(now_ns, &mut notice) {
                shared.released.store(true, Ordering::Release);
            }
            self.notices.tell(now_ns);
            let status = self.status.output_buffer();
            shared
                .status
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone_from(status);
            self.watch.publish(
                publishers,
                status,
                self.notices.last(now_ns),
                self.recorder.as_ref(),
            );
        }
        self.notices.tell(now_ns());
    }
}

/// Whether a peer has one of our topics with another type.
fn foreign_type(config: &Ros2Config, event: &DomainParticipantStatusEvent) -> Option<String> {
    use DomainParticipantStatusEvent::{ReaderDetected, WriterDetected};
    let (ReaderDetected { reader: peer } | WriterDetected { writer: peer }) = event else {
        return None;
    };
    let (name, type_name) = (&peer.topic_name, &peer.type_name);
    let (rays_topic, rays_type) = match config.rays {
        RaySource::Scan => (&config.scan_topic, LaserScan::type_name()),
        RaySource::Cloud => (&config.cloud_topic, PointCloud2::type_name()),
    };
    let ours = [
        (STATE_TOPIC, LowState::type_name()),
        (COMMAND_TOPIC, LowCmd::type_name()),
        (rays_topic, rays_type),
        (&config.odometry_topic, Odometry::type_name()),
        (&config.goal_topic, PoseStamped::type_name()),
        (OPERATOR_TOPIC, Text::type_name()),
    ];
    let topic = name.strip_prefix("rt/")?;
    let (_, expected) = ours
        .into_iter()
        .find(|(ours, _)| ours.trim_start_matches('/') == topic)?;
    let expected = expected.dds_msg_type();
    (*type_name != expected).then(|| {
        format!("{name} is of the foreign type {type_name}, expected {expected}: its messages are not heard")
    })
}

static DDS_PANICS: AtomicU64 = AtomicU64::new(0);
static DDS_PANICS_SEEN: AtomicU64 = AtomicU64::new(0);

/// Notices when a thread of the DDS library panics, which ends the thread and nothing else.
fn watch_dds_threads() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let name = thread::current().name().map(str::to_owned);
            if name.is_some_and(|name| name.starts_with("RustDDS")) {
                DDS_PANICS.fetch_add(1, Ordering::AcqRel);
            }
            previous(info);
        }));
    });
}

fn dds_has_panicked() -> bool {
    DDS_PANICS.load(Ordering::Acquire) > DDS_PANICS_SEEN.load(Ordering::Acquire)
}

fn forget_dds_panics() {
    DDS_PANICS_SEEN.store(DDS_PANICS.load(Ordering::Acquire), Ordering::Release);
}
