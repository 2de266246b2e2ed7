//! The DDS process from within.

use std::{
    fs, io,
    os::unix::net::UnixStream,
    process::{abort, exit},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use ros2_client::{
    Publisher,
    dds::rustdds::{
        DomainParticipantStatusEvent, StatusEvented as _,
        mio1::{Events, Poll, Token},
    },
};
use rustix::process::{Resource, Rlimit, setrlimit};

use controller::deploy::enter_realtime;

use super::{
    LINGER, START, Start, Topics,
    announcement::Announcement,
    endpoints::{Endpoints, Opened, Source as _, TypedSource},
    frames::{self, FrameReader, Kind},
    threads::DdsThreads,
};
use crate::{
    config::{RaySource, Ros2Config},
    foreign_text::shown,
    helper::Helper,
    link::{COMMAND_TOPIC, STATE_TOPIC, route::Route},
    messages::{LowCmd, LowState, Message as _},
    network::{Delivery, NetworkError, POLL, Ros},
};

/// Memory that DDS may take, of which it needs about 12 MB from the start, bytes.
const MEMORY_BYTES: u64 = 72 << 20;
/// With clouds or images, of which the library keeps many.
const MEMORY_WITH_IMAGES_BYTES: u64 = 256 << 20;
/// Time between two looks at the readers of motor commands, and at what discovery has found.
const LOOK: Duration = Duration::from_millis(50);
/// Most lines for the user between two looks; more are dropped.
const LINES: u32 = 16;
/// Time between two signs of life.
const HEARTBEAT: Duration = Duration::from_millis(5);

/// What the DDS library has opened.
struct Node {
    ros: Ros,
    /// Never publishes: the writer of the motor commands, which other programs have to know.
    commands: Publisher<LowCmd>,
    states: TypedSource<LowState>,
    endpoints: Endpoints,
    opened: Vec<Opened>,
}

impl Node {
    fn open(config: &Ros2Config) -> Result<Self, NetworkError> {
        let mut ros = Ros::open(&config.network(), "abs")?;
        let (endpoints, _) = Topics::new(config);
        Ok(Self {
            commands: ros.publish(COMMAND_TOPIC, Delivery::Newest)?,
            states: TypedSource {
                topic: STATE_TOPIC.to_owned(),
                subscription: ros.subscribe(STATE_TOPIC, Delivery::Newest)?,
            },
            opened: endpoints.open(&mut ros)?,
            endpoints,
            ros,
        })
    }
}

/// Runs DDS until the run ends.
///
/// # Errors
/// When the run has not said what it wants, or the network cannot be joined.
pub fn dds_process() -> io::Result<()> {
    let [states, others] = Helper::Dds.enter()?.map(UnixStream::from);
    // The library goes on without the thread that has panicked.
    std::panic::set_hook(Box::new(|_| abort()));
    let mut run = FrameReader::new(others.try_clone()?);
    let Start { ros2, realtime } = start(&mut run)?;
    // Datagrams arrive as soon as the node is open.
    limit_memory(&ros2)?;
    // The threads of DDS inherit it; the run gives the warning.
    let _ = enter_realtime(&realtime);
    let (node, threads) = DdsThreads::of(|| Node::open(&ros2));
    let node = match node {
        Ok(node) => node,
        Err(error) => {
            return frames::write(&others, Kind::Refused, 0, error.to_string().as_bytes());
        }
    };
    frames::write(&others, Kind::Opened, 0, &[])?;
    serve(ros2.domain, node, &threads, &states, &mut run);
    Ok(())
}

/// The settings, which come first.
fn start(run: &mut FrameReader) -> io::Result<Start> {
    let begin = Instant::now();
    while begin.elapsed() < START {
        run.receive(POLL)?;
        if let Some(frame) = run.next()? {
            let text = std::str::from_utf8(frame.body).map_err(io::Error::other)?;
            return toml::from_str(text).map_err(io::Error::other);
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Ends the process when DDS takes more memory than it needs.
fn limit_memory(config: &Ros2Config) -> io::Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    let now_kib = (status.lines())
        .find_map(|line| line.strip_prefix("VmData:")?.trim().strip_suffix(" kB"))
        .and_then(|kib| kib.parse::<u64>().ok())
        .ok_or(io::ErrorKind::InvalidData)?;
    let more = match config.rays {
        RaySource::Scan => MEMORY_BYTES,
        RaySource::Cloud | RaySource::Depth => MEMORY_WITH_IMAGES_BYTES,
    };
    let limit = Some(1024 * now_kib + more);
    setrlimit(
        Resource::Data,
        Rlimit {
            current: limit,
            maximum: limit,
        },
    )?;
    Ok(())
}

/// Runs until the run has ended, and goes on to announce the writers for a moment.
fn serve(
    domain: u16,
    node: Node,
    threads: &DdsThreads,
    states: &UnixStream,
    run: &mut FrameReader,
) {
    let Node {
        ros,
        commands,
        states: source,
        endpoints,
        mut opened,
    } = node;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let body = || {
            let _ = relay_states(source, threads, states, &stop);
            stop.store(true, Ordering::Release);
        };
        let spawned = thread::Builder::new()
            .name("states".to_owned())
            .spawn_scoped(scope, body);
        if spawned.is_ok() {
            let _ = relay_others(domain, &ros, &commands, &endpoints, &mut opened, run, &stop);
        }
        stop.store(true, Ordering::Release);
        // A library that hangs does not keep the process alive.
        thread::spawn(|| {
            thread::sleep(LINGER + Duration::from_secs(1));
            exit(1);
        });
        thread::sleep(LINGER);
    });
}

/// Hands on the states of the robot, and gives signs of life as long as the threads of the library exist.
fn relay_states(
    mut source: TypedSource<LowState>,
    threads: &DdsThreads,
    to: &UnixStream,
    stop: &AtomicBool,
) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(4);
    source.register(poll.registry(), Token(0))?;
    let mut beaten = Instant::now();
    while !stop.load(Ordering::Acquire) {
        // A poll that was interrupted is followed by the next.
        let _ = poll.poll(&mut events, Some(POLL));
        let mut result = Ok(());
        // Malformed messages are dropped; a foreign type is told by discovery.
        source.take(&mut |sample| {
            if let Ok((publisher, sample)) = sample {
                let written = frames::write_from(to, Kind::Sample, 0, publisher, &sample);
                result = std::mem::replace(&mut result, Ok(())).and(written);
            }
        });
        result?;
        if beaten.elapsed() >= HEARTBEAT {
            beaten = Instant::now();
            if !threads.are_alive() {
                // Nothing of the library works without them, its end included.
                exit(1);
            }
            frames::write(to, Kind::Heartbeat, 0, &[])?;
        }
    }
    Ok(())
}

/// Hands on all other messages, both ways, and what is to be known about the network.
fn relay_others(
    domain: u16,
    ros: &Ros,
    commands: &Publisher<LowCmd>,
    endpoints: &Endpoints,
    opened: &mut [Opened],
    run: &mut FrameReader,
    stop: &AtomicBool,
) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(16);
    for (index, endpoint) in opened.iter_mut().enumerate() {
        if let Opened::Source(source) = endpoint {
            source.register(poll.registry(), Token(index))?;
        }
    }
    let to = run.stream().try_clone()?;
    let mut notices = NoticeWriter { to: &to, left: 0 };
    let participant = ros.participant();
    let discovery = participant.status_listener();
    let writer = commands.guid().to_bytes();
    let prefix = std::array::from_fn(|index| writer[index]);
    let mut announcement = Announcement::listen(domain, ros.source(), prefix);
    let mut route = None;
    let mut looked = Instant::now();
    while !stop.load(Ordering::Acquire) {
        let _ = poll.poll(&mut events, Some(POLL));
        let mut result = Ok(());
        for (index, endpoint) in opened.iter_mut().enumerate() {
            let Opened::Source(source) = endpoint else {
                continue;
            };
            source.take(&mut |sample| {
                let written = match sample {
                    Ok((publisher, sample)) => {
                        frames::write_from(&to, Kind::Sample, index as u8, publisher, &sample)
                    }
                    Err(text) => notices.write(&text),
                };
                result = std::mem::replace(&mut result, Ok(())).and(written);
            });
        }
        result?;
        run.receive(Duration::ZERO)?;
        while let Some(frame) = run.next()? {
            if let Some(Opened::Sink(sink)) = opened.get(usize::from(frame.index)) {
                sink.publish(frame.body);
            }
        }
        if looked.elapsed() < LOOK && route.is_some() {
            continue;
        }
        looked = Instant::now();
        notices.left = LINES;
        while let Some(event) = discovery.try_recv_status() {
            if let Some(text) = foreign_type(endpoints, &event) {
                notices.write(&text)?;
            }
        }
        let announcement = announcement.packet();
        let now = Route::discover(ros, writer, announcement, domain, route.as_ref());
        if route.as_ref() != Some(&now) {
            let bytes = postcard::to_stdvec(&now).map_err(io::Error::other)?;
            frames::write(&to, Kind::Route, 0, &bytes)?;
            route = Some(now);
        }
    }
    Ok(())
}

/// Writes lines for the user, but not too many.
struct NoticeWriter<'a> {
    to: &'a UnixStream,
    left: u32,
}

impl NoticeWriter<'_> {
    fn write(&mut self, text: &str) -> io::Result<()> {
        if self.left == 0 {
            return Ok(());
        }
        self.left -= 1;
        frames::write(self.to, Kind::Notice, 0, text.as_bytes())
    }
}

/// A notice when a peer has one of our topics with another type.
fn foreign_type(endpoints: &Endpoints, event: &DomainParticipantStatusEvent) -> Option<String> {
    use DomainParticipantStatusEvent::{ReaderDetected, WriterDetected};
    let (ReaderDetected { reader: peer } | WriterDetected { writer: peer }) = event else {
        return None;
    };
    let (name, type_name) = (&peer.topic_name, &peer.type_name);
    let topic = name.strip_prefix("rt/")?;
    let motors = [
        (STATE_TOPIC, LowState::type_name().dds_msg_type()),
        (COMMAND_TOPIC, LowCmd::type_name().dds_msg_type()),
    ];
    let (_, expected) = (motors.iter().map(|(topic, name)| (*topic, &**name)))
        .chain(endpoints.types())
        .find(|(ours, _)| *ours == topic)?;
    (type_name != expected).then(|| {
        format!(
            "{} is of the foreign type {}, expected {expected}: its messages are ignored",
            shown(name),
            shown(type_name)
        )
    })
}
