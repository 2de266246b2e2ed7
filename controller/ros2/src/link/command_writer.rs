//! Sends motor commands with a socket of its own, whatever happens to DDS.

use std::{
    io,
    net::{Ipv4Addr, UdpSocket},
};

use socket2::SockRef;

use super::{route::Route, rtps::write_sample};
use crate::clock::wall_ns;

/// The writer of the motor commands that DDS announces. Never waits.
#[derive(Debug, Default)]
pub struct CommandWriter {
    route: Option<Route>,
    socket: Option<UdpSocket>,
    packet: Vec<u8>,
    /// Of the last sample.
    sequence: i64,
}

impl CommandWriter {
    pub fn set_route(&mut self, route: Route) {
        let same_source = (self.route.as_ref()).is_some_and(|before| before.source == route.source);
        if !same_source {
            self.socket = None;
        }
        self.route = Some(route);
    }

    /// The sequence number of the last sample.
    pub fn sequence(&self) -> i64 {
        self.sequence
    }

    /// Goes on above `sequence`: samples up to there were sent by somebody else, or may have been.
    pub fn continue_above(&mut self, sequence: i64) {
        self.sequence = self.sequence.max(sequence);
    }

    /// Repeats the announcement of the program that the writer is of, so that readers remember it.
    ///
    /// # Errors
    /// When it does not leave this computer.
    pub fn announce(&mut self) -> io::Result<()> {
        match &self.route {
            Some(route) if !route.announcement.is_empty() => {
                let socket = opened(&mut self.socket, route.source)?;
                let sent = socket.send_to(&route.announcement, route.announced_to);
                sent.map(|_| ())
            }
            _ => Ok(()),
        }
    }

    /// Sends a sample, CDR with its encapsulation header, to all readers. Without readers nothing happens.
    ///
    /// # Errors
    /// When it could be sent to none of them.
    pub fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        let Some(route) = &self.route else {
            return Ok(());
        };
        self.sequence += 1;
        write_sample(
            &mut self.packet,
            &route.writer,
            self.sequence,
            wall_ns(),
            payload,
        );
        let socket = opened(&mut self.socket, route.source)?;
        let mut failed = None;
        let mut num_reached = 0;
        for address in &route.addresses {
            match socket.send_to(&self.packet, address) {
                Ok(_) => num_reached += 1,
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if num_reached == 0 => Err(error),
            _ => Ok(()),
        }
    }
}

/// The socket, opened when it is not yet.
fn opened(socket: &mut Option<UdpSocket>, source: Ipv4Addr) -> io::Result<&UdpSocket> {
    Ok(match socket {
        Some(socket) => socket,
        none => none.insert(open(source)?),
    })
}

fn open(source: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((source, 0))?;
    socket.set_nonblocking(true)?;
    if !source.is_unspecified() {
        SockRef::from(&socket).set_multicast_if_v4(&source)?;
    }
    Ok(socket)
}
