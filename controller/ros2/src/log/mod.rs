//! The log of a run: an MCAP file with every ROS 2 message received and sent, and every control cycle for replay.

mod replay;

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use mcap::{
    Attachment, WriteOptions, Writer,
    records::{MessageHeader, Metadata},
};
use policies::Bundle;

use controller::deploy::CycleRecord;

pub use self::replay::{ReplayError, ReplayReport, replay};
use crate::{clock::wall_ns, messages::Message};

/// Channel of the control cycles.
pub const CYCLE_TOPIC: &str = "abs/cycle";
/// Encoding of its messages: a `deploy::CycleRecord` in postcard.
pub const CYCLE_ENCODING: &str = "postcard";
/// Name of the metadata record.
pub const METADATA: &str = "abs";
/// Version of the layout of cycle records and their settings.
pub const CYCLE_LAYOUT: &str = "3";

/// Messages that wait for the writer; more are dropped and counted.
const QUEUE: usize = 8192;
/// How often the control cycles are fetched.
const FETCH: Duration = Duration::from_millis(10);
/// How often the file is flushed.
const FLUSH: Duration = Duration::from_secs(1);

/// The parameters of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogHeader {
    /// Name of the robot, or path of its folder.
    pub robot: String,
    /// Folder of the bundle.
    pub bundle: String,
    /// Settings as TOML.
    pub config: String,
}

/// Why a log cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the log {path}: {reason}")]
pub struct LogError {
    path: String,
    reason: String,
}

/// Passes messages to the log, from any thread. Never waits.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: Sender<Entry>,
    lost: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Entry {
    topic: String,
    package: &'static str,
    name: &'static str,
    schema: fn() -> String,
    time_ns: u64,
    data: Vec<u8>,
}

impl Recorder {
    /// Logs a message on `topic`.
    pub fn message<M: Message>(&self, topic: &str, message: &M) {
        let entry = Entry {
            topic: format!("/{}", topic.trim_start_matches('/')),
            package: M::PACKAGE,
            name: M::NAME,
            schema: M::schema,
            time_ns: wall_ns(),
            data: message.to_cdr(),
        };
        if self.queue.try_send(entry).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Contents of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSummary {
    /// Control cycles.
    pub cycles: u64,
    /// ROS 2 messages.
    pub messages: u64,
    /// Messages that the writer was too slow for.
    pub lost: u64,
}

/// A log that is being written, by a thread of its own.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    recorder: Recorder,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<LogSummary, LogError>>,
}

impl Log {
    /// Starts a log. It is written to `path` with `.part` appended, and renamed when it is finished.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn start(
        path: &Path,
        header: &LogHeader,
        bundle: &Bundle,
        cycles: rtrb::Consumer<CycleRecord>,
    ) -> Result<Self, LogError> {
        let partial = partial_path(path);
        let failed = |reason: String| LogError {
            path: partial.display().to_string(),
            reason,
        };
        let file = File::create(&partial).map_err(|error| failed(error.to_string()))?;
        let mut writer = WriteOptions::new()
            .profile("ros2")
            .create(BufWriter::new(file))
            .map_err(|error| failed(error.to_string()))?;
        let entry = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let metadata = Metadata {
            name: METADATA.to_owned(),
            metadata: BTreeMap::from([
                entry("cycle_layout", CYCLE_LAYOUT),
                entry("version", env!("CARGO_PKG_VERSION")),
                entry("robot", &header.robot),
                entry("bundle", &header.bundle),
                entry("config", &header.config),
            ]),
        };
        writer
            .write_metadata(&metadata)
            .map_err(|error| failed(error.to_string()))?;
        attach(&mut writer, bundle).map_err(|error| failed(error.to_string()))?;
        let (queue, entries) = bounded(QUEUE);
        let recorder = Recorder {
            queue,
            lost: Arc::default(),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let log_writer = LogWriter {
            writer,
            channels: HashMap::new(),
            entries,
            cycles,
            stop: Arc::clone(&stop),
            lost: Arc::clone(&recorder.lost),
        };
        let finished = path.to_owned();
        let thread = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || {
                log_writer
                    .run()
                    .and_then(|summary| {
                        std::fs::rename(&partial, &finished)?;
                        Ok(summary)
                    })
                    .map_err(|error| LogError {
                        path: finished.display().to_string(),
                        reason: error.to_string(),
                    })
            })
            .map_err(|error| LogError {
                path: path.display().to_string(),
                reason: error.to_string(),
            })?;
        Ok(Self {
            path: path.to_owned(),
            recorder,
            stop,
            thread,
        })
    }

    /// A handle for a thread that logs messages.
    pub fn recorder(&self) -> Recorder {
        self.recorder.clone()
    }

    /// Writes the rest, and renames the file.
    ///
    /// # Errors
    /// When it could not be written, now or before.
    pub fn finish(self) -> Result<LogSummary, LogError> {
        self.stop.store(true, Ordering::Release);
        let result = self.thread.join();
        result.unwrap_or_else(|_| {
            Err(LogError {
                path: self.path.display().to_string(),
                reason: "its thread has panicked".to_owned(),
            })
        })
    }
}

/// Attaches the files of the bundle, so that the log can be replayed without them.
fn attach(
    writer: &mut Writer<BufWriter<File>>,
    bundle: &Bundle,
) -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    bundle.save(folder.path())?;
    for file in std::fs::read_dir(folder.path())? {
        let file = file?;
        writer.attach(&Attachment {
            log_time: wall_ns(),
            create_time: wall_ns(),
            name: file.file_name().to_string_lossy().into_owned(),
            media_type: "application/octet-stream".to_owned(),
            data: std::fs::read(file.path())?.into(),
        })?;
    }
    Ok(())
}

/// Path of an unfinished log.
pub fn partial_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

struct LogWriter {
    writer: Writer<BufWriter<File>>,
    channels: HashMap<String, (u16, u32)>,
    entries: Receiver<Entry>,
    cycles: rtrb::Consumer<CycleRecord>,
    stop: Arc<AtomicBool>,
    lost: Arc<AtomicU64>,
}

impl LogWriter {
    fn run(mut self) -> Result<LogSummary, Box<dyn std::error::Error + Send + Sync>> {
        let mut summary = LogSummary {
            cycles: 0,
            messages: 0,
            lost: 0,
        };
        let no_metadata = BTreeMap::new();
        let cycle_channel =
            self.writer
                .add_channel(0, CYCLE_TOPIC, CYCLE_ENCODING, &no_metadata)?;
        let mut bytes = Vec::new();
        let mut flushed = Instant::now();
        loop {
            // Asked before the queues are emptied, so that nothing that came before the stop is left.
            let last = self.stop.load(Ordering::Acquire);
            let until = Instant::now() + FETCH;
            loop {
                let wait = match last {
                    true => Duration::ZERO,
                    false => until.saturating_duration_since(Instant::now()),
                };
                match self.entries.recv_timeout(wait) {
                    Ok(entry) => {
                        self.write(&entry)?;
                        summary.messages += 1;
                    }
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => {
                        std::thread::sleep(wait);
                        break;
                    }
                }
            }
            while let Ok(record) = self.cycles.pop() {
                bytes = postcard::to_extend(&record, std::mem::take(&mut bytes))?;
                let header = message_header(cycle_channel, record.input.cycle as u32, wall_ns());
                self.writer.write_to_known_channel(&header, &bytes)?;
                bytes.clear();
                summary.cycles += 1;
            }
            if last {
                break;
            }
            if flushed.elapsed() >= FLUSH {
                self.writer.flush()?;
                flushed = Instant::now();
            }
        }
        self.writer.finish()?;
        self.writer.into_inner().into_inner()?.sync_all()?;
        summary.lost = self.lost.load(Ordering::Relaxed);
        Ok(summary)
    }

    fn write(&mut self, entry: &Entry) -> mcap::McapResult<()> {
        let (channel, sequence) = match self.channels.get_mut(&entry.topic) {
            Some(channel) => channel,
            None => {
                let name = format!("{}/msg/{}", entry.package, entry.name);
                let schema = (entry.schema)();
                let schema = self
                    .writer
                    .add_schema(&name, "ros2msg", schema.as_bytes())?;
                let no_metadata = BTreeMap::new();
                let id = self
                    .writer
                    .add_channel(schema, &entry.topic, "cdr", &no_metadata)?;
                self.channels.entry(entry.topic.clone()).or_insert((id, 0))
            }
        };
        let header = message_header(*channel, *sequence, entry.time_ns);
        *sequence = sequence.wrapping_add(1);
        self.writer.write_to_known_channel(&header, &entry.data)
    }
}

fn message_header(channel_id: u16, sequence: u32, time_ns: u64) -> MessageHeader {
    MessageHeader {
        channel_id,
        sequence,
        log_time: time_ns,
        publish_time: time_ns,
    }
}
