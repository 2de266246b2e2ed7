//! What the run and its guardian tell each other, over a socket that keeps messages apart.

use std::{io, io::Read as _, io::Write as _};

use controller::deploy::RealtimeConfig;
use serde::{Deserialize, Serialize};
use socket2::Socket;

use crate::link::route::Route;

/// Longest message.
const MAX_BYTES: usize = 4096;

/// From the run to the guardian.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToGuardian {
    /// First of all.
    Start {
        /// The priority of the guardian.
        realtime: RealtimeConfig,
        /// A motor command that damps all joints: CDR with its encapsulation header.
        damping: Vec<u8>,
    },
    /// Where motor commands go from now on.
    Route(Route),
    /// Heartbeat of the thread that sends motor commands.
    Beat(Beat),
}

/// Heartbeat of the thread that sends motor commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// Sequence number of its last sample.
    pub sequence: i64,
    /// Whether it commands the motors.
    pub commands: bool,
    /// Whether its last command damps all joints.
    pub damps: bool,
}

/// From the guardian to the run: it has taken over, because the run was silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenOver {
    /// Sequence number of its last sample.
    pub sequence: i64,
}

/// Sends a message.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] when the other process does not read, where the socket does not wait.
pub fn send(mut to: &Socket, message: &impl Serialize) -> io::Result<()> {
    let bytes = postcard::to_stdvec(message).map_err(io::Error::other)?;
    to.write_all(&bytes)
}

/// Takes the next message.
///
/// # Errors
/// When there is none, it is none, or the other process has ended.
pub fn receive<M: for<'de> Deserialize<'de>>(mut from: &Socket) -> io::Result<M> {
    let mut bytes = [0; MAX_BYTES];
    match from.read(&mut bytes)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        read => postcard::from_bytes(&bytes[..read]).map_err(io::Error::other),
    }
}
