//! The thread that writes a log.

use std::{
    collections::{BTreeMap, HashMap},
    io::{Seek, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use controller::deploy::CycleRecord;
use crossbeam::channel::{Receiver, RecvTimeoutError};
use mcap::{Writer, records::MessageHeader};

use super::{
    Entry, LogSummary,
    cycle::{self, CYCLE_TOPIC, Cycle, RECORD_FORMAT},
};
use crate::{clock::wall_ns, deliberate_panic::Panicking, messages::Message};

/// How often the control cycles are fetched.
const FETCH: Duration = Duration::from_millis(10);
/// How often all that there is goes to the file, as a chunk: what a killed program loses, and how soon a full disk is seen.
const FLUSH: Duration = Duration::from_millis(500);

pub(super) struct LogWriter<W: Write + Seek> {
    writer: Writer<W>,
    channels: HashMap<String, (u16, u32)>,
    entries: Receiver<Entry>,
    cycles: rtrb::Consumer<CycleRecord>,
    stop: Arc<AtomicBool>,
    lost: Arc<AtomicU64>,
}

impl<W: Write + Seek> LogWriter<W> {
    /// Goes on with a file that has its head.
    pub fn new(
        writer: Writer<W>,
        entries: Receiver<Entry>,
        cycles: rtrb::Consumer<CycleRecord>,
        stop: Arc<AtomicBool>,
        lost: Arc<AtomicU64>,
    ) -> Self {
        Self {
            writer,
            channels: HashMap::new(),
            entries,
            cycles,
            stop,
            lost,
        }
    }

    /// Writes until it is stopped, and the end of the file. Returns the output too, which may hold some of it back.
    ///
    /// # Errors
    /// Those of the file.
    pub fn run(mut self) -> Result<(LogSummary, W), Box<dyn std::error::Error + Send + Sync>> {
        let mut summary = LogSummary {
            cycles: 0,
            messages: 0,
            lost: 0,
        };
        let kind = (Cycle::PACKAGE, Cycle::NAME, Cycle::schema());
        let format = BTreeMap::from([("record".to_owned(), RECORD_FORMAT.to_owned())]);
        let cycle_channel = add_channel(&mut self.writer, CYCLE_TOPIC, kind, &format)?;
        let mut flushed = Instant::now();
        loop {
            // Asked before the queues are emptied, so that nothing that came before the stop is left.
            let last = self.stop.load(Ordering::Acquire);
            Panicking::Log.panic_if_due();
            let until = Instant::now() + FETCH;
            // No longer, however many messages there are: the queue of the cycles fills meanwhile.
            loop {
                let wait = until.saturating_duration_since(Instant::now());
                if wait.is_zero() && !last {
                    break;
                }
                match self
                    .entries
                    .recv_timeout(if last { Duration::ZERO } else { wait })
                {
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
                let bytes = cycle::encode(&record)?;
                let header = message_header(cycle_channel, record.input.cycle as u32, wall_ns());
                self.writer.write_to_known_channel(&header, &bytes)?;
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
        summary.lost = self.lost.load(Ordering::Relaxed);
        Ok((summary, self.writer.into_inner()))
    }

    fn write(&mut self, entry: &Entry) -> mcap::McapResult<()> {
        let (channel, sequence) = match self.channels.get_mut(&entry.topic) {
            Some(channel) => channel,
            None => {
                let kind = (entry.package, entry.name, (entry.schema)());
                let id = add_channel(&mut self.writer, &entry.topic, kind, &BTreeMap::new())?;
                self.channels.entry(entry.topic.clone()).or_insert((id, 0))
            }
        };
        let header = message_header(*channel, *sequence, entry.time_ns);
        *sequence = sequence.wrapping_add(1);
        self.writer.write_to_known_channel(&header, &entry.data)
    }
}

/// A channel of ROS 2 messages; `kind` is package, name and definition.
fn add_channel(
    writer: &mut Writer<impl Write + Seek>,
    topic: &str,
    (package, name, definition): (&str, &str, String),
    metadata: &BTreeMap<String, String>,
) -> mcap::McapResult<u16> {
    let name = format!("{package}/msg/{name}");
    let schema = writer.add_schema(&name, "ros2msg", definition.as_bytes())?;
    writer.add_channel(schema, topic, "cdr", metadata)
}

fn message_header(channel_id: u16, sequence: u32, time_ns: u64) -> MessageHeader {
    MessageHeader {
        channel_id,
        sequence,
        log_time: time_ns,
        publish_time: time_ns,
    }
}
