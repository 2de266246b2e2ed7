//! Messages between the run and its DDS process: a header, then the body.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use crate::link::rtps::Guid;

/// Longest body.
pub const MAX_BYTES: usize = 32 << 20;
/// Kind, index, two bytes of zero, length of the body, publisher.
const HEADER_BYTES: usize = 8 + PUBLISHER_BYTES;
const PUBLISHER_BYTES: usize = 16;
/// Bytes read at once.
const CHUNK: usize = 64 << 10;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To the DDS process: its settings, as TOML.
    Start,
    /// The node is there.
    Opened,
    /// It is not: why, as text.
    Refused,
    /// A message: CDR with encapsulation header. The index is that of the endpoint.
    Sample,
    /// A line for the user.
    Notice,
    /// Where motor commands go.
    Route,
    /// A sign of life.
    Heartbeat,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Start,
        Self::Opened,
        Self::Refused,
        Self::Sample,
        Self::Notice,
        Self::Route,
        Self::Heartbeat,
    ];
}

/// One message.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub kind: Kind,
    pub index: u8,
    /// Of a sample that was received; else zeros.
    pub publisher: Guid,
    pub body: &'a [u8],
}

/// Writes a frame; one that is too long is left out.
pub fn write(to: &UnixStream, kind: Kind, index: u8, body: &[u8]) -> io::Result<()> {
    write_from(to, kind, index, [0; PUBLISHER_BYTES], body)
}

/// Writes a frame with a publisher; one that is too long is left out.
pub fn write_from(
    mut to: &UnixStream,
    kind: Kind,
    index: u8,
    publisher: Guid,
    body: &[u8],
) -> io::Result<()> {
    if body.len() > MAX_BYTES {
        return Ok(());
    }
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend([kind as u8, index, 0, 0]);
    bytes.extend((body.len() as u32).to_le_bytes());
    bytes.extend(publisher);
    bytes.extend(body);
    to.write_all(&bytes)
}

/// Reads frames.
#[derive(Debug)]
pub struct FrameReader {
    stream: UnixStream,
    buffer: Vec<u8>,
    start: usize,
}

impl FrameReader {
    pub fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            start: 0,
        }
    }

    /// The stream, to write to.
    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Waits for bytes and takes in some of them; nothing may have come in time.
    ///
    /// # Errors
    /// When the other process has ended.
    pub fn receive(&mut self, timeout: Duration) -> io::Result<()> {
        let mut fds = [PollFd::new(&self.stream, PollFlags::IN)];
        let timeout = Timespec {
            tv_sec: timeout.as_secs() as _,
            tv_nsec: timeout.subsec_nanos() as _,
        };
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => return Ok(()),
            result => result?,
        };
        self.buffer.drain(..self.start);
        self.start = 0;
        let filled = self.buffer.len();
        self.buffer.resize(filled + CHUNK, 0);
        let read = self.stream.read(&mut self.buffer[filled..]);
        self.buffer.truncate(filled + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// The next frame that has come as a whole.
    ///
    /// # Errors
    /// When the bytes are no frame.
    pub fn next(&mut self) -> io::Result<Option<Frame<'_>>> {
        let bytes = &self.buffer[self.start..];
        let Some((header, after)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let [kind, index, _, _, l0, l1, l2, l3, publisher @ ..] = *header;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let kind = Kind::ALL.get(usize::from(kind)).copied();
        let (Some(kind), true) = (kind, length <= MAX_BYTES) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let Some(body) = after.get(..length) else {
            return Ok(None);
        };
        self.start += HEADER_BYTES + length;
        Ok(Some(Frame {
            kind,
            index,
            publisher,
            body,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn frames_arrive_in_order_also_in_pieces() {
        let (to, from) = UnixStream::pair().unwrap();
        let mut reader = FrameReader::new(from);
        reader.receive(NOW).unwrap();
        assert_eq!(reader.next().unwrap(), None);
        let long: Vec<u8> = (0..200_000).map(|index| index as u8).collect();
        let sent = long.clone();
        let writer = std::thread::spawn(move || {
            write_from(&to, Kind::Sample, 3, [9; 16], &sent).unwrap();
            write(&to, Kind::Heartbeat, 0, &[]).unwrap();
        });
        let mut found = Vec::new();
        while found.len() < 2 {
            reader.receive(Duration::from_secs(1)).unwrap();
            while let Some(frame) = reader.next().unwrap() {
                let from = frame.publisher[15];
                found.push((frame.kind, frame.index, from, frame.body.to_vec()));
            }
        }
        writer.join().unwrap();
        assert_eq!(
            found,
            [(Kind::Sample, 3, 9, long), (Kind::Heartbeat, 0, 0, vec![])]
        );
        let end = reader.receive(NOW).unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn unknown_kinds_and_lengths_beyond_the_limit_are_refused_before_memory_is_taken() {
        for header in [[7, 0, 0, 0, 0, 0, 0, 0], [3, 0, 0, 0, 1, 0, 0, 2]] {
            let (mut to, from) = UnixStream::pair().unwrap();
            to.write_all(&header).unwrap();
            to.write_all(&[0; PUBLISHER_BYTES]).unwrap();
            let mut reader = FrameReader::new(from);
            reader.receive(NOW).unwrap();
            assert!(reader.next().is_err(), "{header:?}");
            assert!(reader.buffer.capacity() <= 2 * CHUNK);
        }
    }
}
