//! Reads the records of an MCAP file one after the other and checks them, with bounded memory: a log may be cut off
//! anywhere, damaged, or no log. (The `mcap` crate panics on some damaged files, and does not say where they are.)

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use mcap::{MAGIC, records::op};
use robots::bounded_file;

use super::{CRC, metadata_crc};

/// Longest record; those of a log are about 1 MB, and the files of the bundle.
const MAX_RECORD_BYTES: u64 = bounded_file::MAX_DATA_BYTES;
/// Of a record that is damaged.
const WRONG_CRC: &str = "the checksum is wrong";
/// Opcode and length.
const RECORD_HEAD: u64 = 9;

/// How a log ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogEnd {
    /// As it was finished, all checksums right.
    Whole,
    /// Cut off: the last whole record ends at `whole_bytes` of `bytes`.
    Cut {
        /// Where the last whole record ends.
        whole_bytes: u64,
        /// Length of the file.
        bytes: u64,
    },
    /// Damaged between these bytes; nothing beyond was read.
    Damaged {
        /// First and last byte of what is damaged.
        bytes: [u64; 2],
        /// What is wrong.
        what: String,
    },
}

impl std::fmt::Display for LogEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole => write!(f, "is whole"),
            Self::Cut { whole_bytes, bytes } => write!(
                f,
                "is cut off: its last whole record ends at byte {whole_bytes} of {bytes}"
            ),
            Self::Damaged {
                bytes: [first, last],
                what,
            } => write!(f, "is damaged between bytes {first} and {last}: {what}"),
        }
    }
}

/// A record that a replay needs.
#[derive(Debug)]
pub(super) enum Record<'a> {
    Metadata {
        name: String,
        entries: BTreeMap<String, String>,
    },
    Attachment {
        name: &'a str,
        data: &'a [u8],
    },
    /// Records within.
    Chunk(&'a [u8]),
}

/// Why no record follows.
#[derive(Debug)]
pub(super) enum Stop {
    End(LogEnd),
    Unreadable(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

/// The records of a file.
pub(super) struct Records {
    file: BufReader<File>,
    /// Bytes read.
    at: u64,
    len: u64,
    ends_as_mcap: bool,
    /// Of the data, or of the summary that follows it.
    crc: crc32fast::Hasher,
    /// Where that begins.
    section: u64,
    body: Vec<u8>,
    finished: bool,
}

impl Records {
    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be read, or does not begin as MCAP files do.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = bounded_file::open(path)?;
        let len = file.metadata()?.len();
        let mut magic = [0; MAGIC.len()];
        let mut is_magic = |from: u64| -> io::Result<bool> {
            file.seek(SeekFrom::Start(from))?;
            Ok(file.read_exact(&mut magic).is_ok() && magic == MAGIC)
        };
        let magic_len = MAGIC.len() as u64;
        let ends_as_mcap = len > magic_len && is_magic(len - magic_len)?;
        if !is_magic(0)? {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "is no MCAP file",
            ));
        }
        let mut crc = crc32fast::Hasher::new();
        crc.update(MAGIC);
        Ok(Self {
            file: BufReader::new(file),
            at: magic_len,
            len,
            ends_as_mcap,
            crc,
            section: 0,
            body: Vec::new(),
            finished: false,
        })
    }

    /// The next record that a replay needs, whole and with the right checksum.
    ///
    /// # Errors
    /// When none follows: how the log ends, or why it cannot be read.
    pub fn next(&mut self) -> Result<Record<'_>, Stop> {
        let (opcode, start) = loop {
            let start = self.at;
            match self.read_record()? {
                opcode @ (op::METADATA | op::ATTACHMENT | op::CHUNK) => break (opcode, start),
                opcode @ (op::DATA_END | op::FOOTER) => self.end_section(opcode)?,
                _ => {}
            }
        };
        let bytes = [start, self.at - 1];
        let damaged = |what: &str| {
            let what = what.to_owned();
            Stop::End(LogEnd::Damaged { bytes, what })
        };
        let malformed = || damaged("a record is malformed");
        match opcode {
            op::METADATA => {
                let (name, entries) = metadata(&self.body).ok_or_else(malformed)?;
                if (entries.get(CRC)).is_some_and(|crc| *crc != metadata_crc(&entries)) {
                    return Err(damaged(WRONG_CRC));
                }
                Ok(Record::Metadata { name, entries })
            }
            op::ATTACHMENT => {
                let attachment = Attachment::parse(&self.body).ok_or_else(malformed)?;
                if !attachment.is_whole {
                    return Err(damaged(WRONG_CRC));
                }
                let Attachment { name, data, .. } = attachment;
                Ok(Record::Attachment { name, data })
            }
            _ => {
                let chunk = Chunk::parse(&self.body).ok_or_else(malformed)?;
                if !chunk.compression.is_empty() {
                    return Err(damaged(
                        "a chunk is compressed, as this program writes none",
                    ));
                }
                if !is_right(chunk.crc, crc32fast::hash(chunk.records)) {
                    return Err(damaged(WRONG_CRC));
                }
                Ok(Record::Chunk(chunk.records))
            }
        }
    }

    /// Reads a record into `body`, and returns its opcode.
    fn read_record(&mut self) -> Result<u8, Stop> {
        let (start, left) = (self.at, self.len - self.at);
        let damaged = |last: u64, what: String| {
            let bytes = [start, last];
            Err(Stop::End(LogEnd::Damaged { bytes, what }))
        };
        if self.finished {
            return match (left == MAGIC.len() as u64, self.ends_as_mcap) {
                (true, true) => Err(Stop::End(LogEnd::Whole)),
                _ if left < MAGIC.len() as u64 => Err(self.cut()),
                _ => damaged(self.len - 1, "it does not end as an MCAP file".to_owned()),
            };
        }
        if left < RECORD_HEAD {
            return Err(self.cut());
        }
        let mut head = [0; RECORD_HEAD as usize];
        self.file.read_exact(&mut head)?;
        let [opcode, length @ ..] = head;
        let length = u64::from_le_bytes(length);
        if !(op::HEADER..=op::DATA_END).contains(&opcode) && opcode < 0x80 {
            return damaged(start, format!("no record begins with {opcode:#04x}"));
        }
        if length > left - RECORD_HEAD {
            return Err(self.cut());
        }
        if length > MAX_RECORD_BYTES {
            let what = format!("a record of {length} bytes; at most {MAX_RECORD_BYTES} are read");
            return damaged(start + RECORD_HEAD - 1, what);
        }
        self.body.clear();
        let read = (&mut self.file).take(length).read_to_end(&mut self.body)?;
        if read as u64 != length {
            return Err(self.cut());
        }
        self.at += RECORD_HEAD + length;
        match opcode {
            // Its own bytes belong to no section.
            op::DATA_END => {}
            op::FOOTER => {
                self.crc.update(&head);
                self.crc
                    .update(&self.body[..self.body.len().saturating_sub(4)]);
                self.finished = true;
            }
            _ => {
                self.crc.update(&head);
                self.crc.update(&self.body);
            }
        }
        Ok(opcode)
    }

    /// Compares the checksum at the end of the data or of the summary, and begins the next one.
    fn end_section(&mut self, opcode: u8) -> Result<(), Stop> {
        let bytes = [self.section, self.at - 1];
        self.section = self.at;
        let saved = match (opcode, self.body.split_last_chunk::<4>()) {
            (op::DATA_END, Some(([], saved))) => Some(saved),
            (op::FOOTER, Some((head, saved))) if head.len() == 16 => Some(saved),
            _ => None,
        };
        let found = std::mem::take(&mut self.crc).finalize();
        let what = match saved {
            Some(saved) if is_right(u32::from_le_bytes(*saved), found) => return Ok(()),
            Some(_) => "the checksum over all of them is wrong",
            None => "a record is malformed",
        };
        let what = what.to_owned();
        Err(Stop::End(LogEnd::Damaged { bytes, what }))
    }

    /// No whole record follows.
    fn cut(&self) -> Stop {
        Stop::End(match self.ends_as_mcap {
            // The end is there, so the length of this record is wrong.
            true => LogEnd::Damaged {
                bytes: [self.at, self.len - 1],
                what: "a record reaches beyond the end of the file".to_owned(),
            },
            false => LogEnd::Cut {
                whole_bytes: self.at,
                bytes: self.len,
            },
        })
    }
}

/// 0 stands for no checksum.
fn is_right(saved: u32, found: u32) -> bool {
    saved == 0 || saved == found
}

/// Fields of a record, little endian.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, len: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len.try_into().ok()?)?;
        self.0 = rest;
        Some(bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.bytes(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.bytes(8)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<&'a str> {
        let len = self.u32()?;
        str::from_utf8(self.bytes(len.into())?).ok()
    }
}

fn metadata(body: &[u8]) -> Option<(String, BTreeMap<String, String>)> {
    let mut fields = Fields(body);
    let name = fields.text()?.to_owned();
    let len = fields.u32()?;
    let mut map = Fields(fields.bytes(len.into())?);
    let mut entries = BTreeMap::new();
    while !map.0.is_empty() {
        entries.insert(map.text()?.to_owned(), map.text()?.to_owned());
    }
    Some((name, entries))
}

struct Attachment<'a> {
    name: &'a str,
    data: &'a [u8],
    is_whole: bool,
}

impl<'a> Attachment<'a> {
    fn parse(body: &'a [u8]) -> Option<Self> {
        let (checked, crc) = body.split_last_chunk::<4>()?;
        let mut fields = Fields(checked);
        // When it was logged and created.
        fields.bytes(16)?;
        let name = fields.text()?;
        let _media_type = fields.text()?;
        let len = fields.u64()?;
        Some(Self {
            name,
            data: fields.bytes(len)?,
            is_whole: fields.0.is_empty()
                && is_right(u32::from_le_bytes(*crc), crc32fast::hash(checked)),
        })
    }
}

struct Chunk<'a> {
    crc: u32,
    compression: &'a str,
    records: &'a [u8],
}

impl<'a> Chunk<'a> {
    fn parse(body: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(body);
        // First and last time, and length.
        fields.bytes(24)?;
        let crc = fields.u32()?;
        let compression = fields.text()?;
        let len = fields.u64()?;
        let records = fields.bytes(len)?;
        Some(Self {
            crc,
            compression,
            records,
        })
    }
}

/// The messages of one topic in chunks.
pub(super) struct Messages {
    topic: &'static str,
    channel: Option<u16>,
}

impl Messages {
    /// None yet.
    pub fn of(topic: &'static str) -> Self {
        let channel = None;
        Self { topic, channel }
    }

    /// Those of the next chunk, each as its bytes.
    ///
    /// # Errors
    /// When its records do not fit into it.
    pub fn of_chunk<'a>(&mut self, mut chunk: &'a [u8]) -> Result<Vec<&'a [u8]>, String> {
        let mut messages = Vec::new();
        while !chunk.is_empty() {
            let message = self.record(&mut chunk);
            messages.extend(message.ok_or("a record in a chunk is malformed")?);
        }
        Ok(messages)
    }

    /// Takes a record off `chunk`; its bytes where it is a message of the topic.
    fn record<'a>(&mut self, chunk: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
        let mut fields = Fields(chunk);
        let [opcode] = fields.bytes(1)? else {
            return None;
        };
        let len = fields.u64()?;
        let mut body = Fields(fields.bytes(len)?);
        *chunk = fields.0;
        match *opcode {
            op::CHANNEL => {
                let (id, _schema) = (body.u16()?, body.u16()?);
                if body.text()? == self.topic {
                    self.channel = Some(id);
                }
                Some(None)
            }
            op::MESSAGE => {
                let id = body.u16()?;
                // Sequence number, and two times.
                body.bytes(20)?;
                Some((self.channel == Some(id)).then_some(body.0))
            }
            _ => Some(None),
        }
    }
}
