//! The log of a run: an MCAP file with every ROS 2 message received and sent, and every control cycle for replay. What is
//! written is on its way to the disk within a second, so that it outlives the program and the computer.

mod attached;
mod cycle;
mod file;
mod identify;
mod records;
mod replay;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Seek, Write},
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use controller::deploy::CycleRecord;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use mcap::{Attachment, WriteOptions, Writer, records::Metadata};
use policies::Bundle;

use self::{cycle::CYCLE_LAYOUT, writer::LogWriter};
pub use self::{
    cycle::decode_cycle,
    identify::{IdentifiedLog, identify},
    records::LogEnd,
    replay::{ReplayError, ReplayReport, ReplayedRun, replay, replay_watched},
};
use crate::{clock::wall_ns, messages::Message};

/// Name of the metadata record.
pub const METADATA: &str = "abs";

/// Messages that wait for the writer; more are dropped and counted.
const QUEUE: usize = 8192;
/// How often the operating system is asked to have the file on the disk.
const SYNC: Duration = Duration::from_secs(1);

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
#[derive(Clone, Debug, thiserror::Error)]
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
    failure: Arc<OnceLock<String>>,
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

    /// Why the log is no longer written, once it is not.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }
}

/// Tells at once that the log cannot be written.
struct Alarm {
    failure: Arc<OnceLock<String>>,
    notice: Box<dyn Fn(String) + Send + Sync>,
}

impl Alarm {
    fn raise(&self, error: &LogError) {
        let line =
            format!("{error}; the run goes on without a log, and what is written can be replayed");
        if self.failure.set(error.to_string()).is_ok() {
            (self.notice)(line);
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
    overwrite: bool,
    recorder: Recorder,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<LogSummary, LogError>>>,
}

impl Log {
    /// Starts a log. It is written to `path` with `.part` appended, and renamed when it is finished. What fails meanwhile
    /// is told through `notice` at once, from another thread.
    ///
    /// # Errors
    /// When the file cannot be created, or another one has its name and is not to be overwritten.
    pub fn start(
        path: &Path,
        overwrite: bool,
        header: &LogHeader,
        bundle: &Bundle,
        cycles: rtrb::Consumer<CycleRecord>,
        notice: impl Fn(String) + Send + Sync + 'static,
    ) -> Result<Self, LogError> {
        let place = path.to_owned();
        let failed = move |error: Box<dyn std::error::Error + Send + Sync>| LogError {
            path: place.display().to_string(),
            reason: reason(error.as_ref()),
        };
        let open = || -> Result<_, Box<dyn std::error::Error + Send + Sync>> {
            let file = file::create(path, overwrite)?;
            let on_disk = file.try_clone()?;
            Ok((begin(BufWriter::new(file), header, bundle)?, on_disk))
        };
        let (writer, on_disk) = open().map_err(&failed)?;
        let (queue, entries) = bounded(QUEUE);
        let recorder = Recorder {
            queue,
            lost: Arc::default(),
            failure: Arc::default(),
        };
        let alarm = Arc::new(Alarm {
            failure: Arc::clone(&recorder.failure),
            notice: Box::new(notice),
        });
        let stop = Arc::new(AtomicBool::new(false));
        let (lost, asked) = (Arc::clone(&recorder.lost), Arc::clone(&stop));
        let log_writer = LogWriter::new(writer, entries, cycles, asked, lost);
        let (ended, writing) = bounded(0);
        let start = |name: &str| thread::Builder::new().name(name.to_owned());
        let (syncing, alarmed) = (Arc::clone(&alarm), failed.clone());
        start("log sync")
            .spawn(move || {
                if let Err(error) = keep_on_disk(&on_disk, &writing) {
                    syncing.raise(&alarmed(error.into()));
                }
            })
            .map_err(|error| failed(error.into()))?;
        let alarmed = failed.clone();
        let thread = start("log")
            .spawn(move || {
                let _ended: Sender<()> = ended;
                let write = || {
                    let (summary, file) = log_writer.run()?;
                    file.into_inner()?.sync_all()?;
                    Ok(summary)
                };
                std::panic::catch_unwind(AssertUnwindSafe(write))
                    .unwrap_or_else(|_| Err("its thread has panicked".into()))
                    .map_err(alarmed)
                    .inspect_err(|error| alarm.raise(error))
            })
            .map_err(|error| failed(error.into()))?;
        Ok(Self {
            path: path.to_owned(),
            overwrite,
            recorder,
            stop,
            thread: Some(thread),
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
    pub fn finish(mut self) -> Result<LogSummary, LogError> {
        let summary = self.end()?;
        file::publish(&self.path, self.overwrite)
            .map_err(|error| self.failed(error.to_string()))?;
        Ok(summary)
    }

    /// Ends the thread.
    fn end(&mut self) -> Result<LogSummary, LogError> {
        self.stop.store(true, Ordering::Release);
        let result = self.thread.take().map(JoinHandle::join);
        let panicked = || Err(self.failed("its thread has panicked".to_owned()));
        result.and_then(Result::ok).unwrap_or_else(panicked)
    }

    fn failed(&self, reason: String) -> LogError {
        let path = self.path.display().to_string();
        LogError { path, reason }
    }
}

impl Drop for Log {
    /// A run that did not begin leaves no log that would be in the way of the next.
    fn drop(&mut self) {
        if self.thread.is_some() && self.end().is_ok_and(|summary| summary.cycles == 0) {
            let _ = std::fs::remove_file(file::partial_path(&self.path));
        }
    }
}

/// What the operating system says, where the writer only says that it does.
fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    error.source().unwrap_or(error).to_string()
}

/// Has the file on the disk every second, so that it outlives a power cut, until nobody writes it.
fn keep_on_disk(file: &File, writing: &Receiver<()>) -> std::io::Result<()> {
    while let Err(RecvTimeoutError::Timeout) = writing.recv_timeout(SYNC) {
        file.sync_data()?;
    }
    Ok(())
}

/// Begins a file with all that the run depends on.
fn begin<W: Write + Seek>(
    output: W,
    header: &LogHeader,
    bundle: &Bundle,
) -> Result<Writer<W>, Box<dyn std::error::Error + Send + Sync>> {
    // Without seeking, chunks are written whole: an unfinished log ends with a whole one, or in the middle of one.
    let options = WriteOptions::new().profile("ros2").disable_seeking(true);
    let mut writer = options.create(output)?;
    let entry = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let mut metadata = BTreeMap::from([
        entry("cycle_layout", CYCLE_LAYOUT),
        entry("version", env!("CARGO_PKG_VERSION")),
        entry("robot", &header.robot),
        entry("bundle", &header.bundle),
        entry("config", &header.config),
    ]);
    metadata.insert(CRC.to_owned(), metadata_crc(&metadata));
    writer.write_metadata(&Metadata {
        name: METADATA.to_owned(),
        metadata,
    })?;
    attach(&mut writer, bundle)?;
    writer.flush()?;
    Ok(writer)
}

/// Key of the checksum of the metadata, which MCAP has none for.
const CRC: &str = "crc32";

/// CRC-32 of all keys and values but its own, each ended by a line feed.
fn metadata_crc(metadata: &BTreeMap<String, String>) -> String {
    let mut crc = crc32fast::Hasher::new();
    for text in (metadata.iter())
        .filter(|(key, _)| *key != CRC)
        .flat_map(|(key, value)| [key, value])
    {
        crc.update(text.as_bytes());
        crc.update(b"\n");
    }
    format!("{:08x}", crc.finalize())
}

/// Attaches the files of the bundle, so that the log can be replayed without them.
fn attach(
    writer: &mut Writer<impl Write + Seek>,
    bundle: &Bundle,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
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
