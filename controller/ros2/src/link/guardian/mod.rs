//! A process of its own that damps the robot when the run ends or falls silent, whatever the reason.
//!
//! There are [`GUARDIANS`] of them, so that one that fails together with the run is not missed. Both damp, with the same
//! sequence numbers or nearly: a reader takes what comes first.
//!
//! It does nothing else, so hardly anything can happen to it: no DDS, no files, no terminal, no locks. It is told in
//! advance all that it needs, a command that damps and where to send it, and hears a heartbeat with every command. When
//! none comes for [`SILENT_TICKS`], or the connection to the run closes, it damps.
//!
//! A run that was silent and lives again may hold commands from before. So the guardian goes on until the run itself
//! damps, which it does because of fault F13: a robot that was taken over is damped until its operator says otherwise.

pub mod messages;
mod process;
mod watch;

use std::{
    io,
    os::fd::OwnedFd,
    process::Child,
    thread,
    time::{Duration, Instant},
};

use controller::deploy::RealtimeConfig;
use socket2::{Domain, Socket, Type};

pub use self::process::guardian_process;
use self::{
    messages::{Beat, TakenOver, ToGuardian, receive, send},
    watch::SEQUENCE_MARGIN,
};
use super::{command_writer::CommandWriter, route::Route};
use crate::{helper::Helper, network::POLL};

/// Guardians of a run.
pub const GUARDIANS: usize = 2;
/// Time between two looks of the guardian at a silent run, and between two of its commands.
const TICK: Duration = Duration::from_millis(5);
/// After this many looks in a row without a heartbeat it takes over. A guardian that was held up itself is not misled.
const SILENT_TICKS: u32 = 5;
/// Announcements of the writer that commands come from, while DDS may be silent as well: without them a reader forgets it,
/// of RustDDS after 41 s.
const ANNOUNCE: Duration = Duration::from_secs(2);
/// It damps for this long after the run has ended.
const LAST_DAMPING: Duration = Duration::from_millis(1200);
/// It damps for this long while the run is there but silent.
const MAX_DAMPING: Duration = Duration::from_secs(60);
/// The run waits this long for the end of its guardian.
const LAST_WAIT: Duration = Duration::from_secs(2);
/// It answers after this time, or another is started.
const START: Duration = Duration::from_secs(10);
/// Heartbeats in a row that it does not read before it counts as hung: its queue holds about 200 before.
const MAX_UNREAD: u32 = 200;

/// The guardian's process.
#[derive(Debug)]
pub struct GuardianProcess(Child);

impl GuardianProcess {
    /// Starts it. The other end is for the thread that sends motor commands.
    ///
    /// # Errors
    /// When the system refuses it.
    pub fn start(realtime: &RealtimeConfig, damping: &[u8]) -> io::Result<(Self, Guardian)> {
        let (socket, theirs) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None)?;
        let child = Helper::Guardian.start(OwnedFd::from(theirs), None)?;
        let start = ToGuardian::Start {
            realtime: realtime.clone(),
            damping: damping.to_vec(),
        };
        socket.set_nonblocking(true)?;
        send(&socket, &start)?;
        let guardian = Guardian {
            socket,
            unsent: None,
            num_unread: 0,
            has_ended: false,
            is_ready: false,
            started: Instant::now(),
        };
        Ok((Self(child), guardian))
    }

    /// Whether it is running.
    pub fn is_running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Waits until it has ended, after its [`Guardian`] was dropped.
    pub fn finish(mut self) {
        let start = Instant::now();
        while self.is_running() && start.elapsed() < LAST_WAIT {
            thread::sleep(POLL);
        }
        self.kill();
    }
}

/// The guardian, as the thread that sends motor commands sees it. Nothing here waits.
#[derive(Debug)]
pub struct Guardian {
    socket: Socket,
    /// A route that is still to be told: the guardian did not read fast enough.
    unsent: Option<Route>,
    num_unread: u32,
    has_ended: bool,
    /// It has answered: until then it starts, which takes a moment on a busy computer.
    is_ready: bool,
    started: Instant,
}

impl Guardian {
    /// Before the first command, while there is time.
    ///
    /// # Errors
    /// When it ends, or does not answer for [`START`].
    pub fn wait_until_ready(&mut self) -> io::Result<()> {
        while !self.is_ready {
            match receive::<TakenOver>(&self.socket) {
                Ok(_) => self.is_ready = true,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Err(_) if self.started.elapsed() > START => {
                    let seconds = START.as_secs();
                    let message = format!("it does not answer within {seconds} s");
                    return Err(io::Error::new(io::ErrorKind::TimedOut, message));
                }
                Err(_) => thread::sleep(POLL),
            }
        }
        Ok(())
    }

    pub fn set_route(&mut self, route: &Route) {
        self.unsent = Some(route.clone());
        self.tell_route();
    }

    pub fn beat(&mut self, beat: Beat) {
        self.tell_route();
        self.send(&ToGuardian::Beat(beat));
    }

    fn tell_route(&mut self) {
        if let Some(route) = self.unsent.take()
            && !self.send(&ToGuardian::Route(route.clone()))
        {
            self.unsent = Some(route);
        }
    }

    /// Whether the message is on its way.
    fn send(&mut self, message: &ToGuardian) -> bool {
        let sent = send(&self.socket, message);
        match &sent {
            Ok(()) => self.num_unread = 0,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.num_unread += 1,
            Err(_) => self.has_ended = true,
        }
        sent.is_ok()
    }

    /// Whether it has taken over since the last call. The next sample of `writer` then comes after its own.
    pub fn has_taken_over(&mut self, writer: &mut CommandWriter) -> bool {
        let mut has = false;
        // It tells several times.
        while let Ok(TakenOver { sequence }) = receive(&self.socket) {
            self.is_ready = true;
            if sequence > writer.sequence() {
                has = true;
                writer.continue_above(sequence + SEQUENCE_MARGIN);
            }
        }
        has
    }

    /// Whether it has ended or hangs: another is needed.
    pub fn is_lost(&self) -> bool {
        let hangs = match self.is_ready {
            true => self.num_unread > MAX_UNREAD,
            false => self.started.elapsed() > START,
        };
        self.has_ended || hangs
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4};

    use super::*;

    #[test]
    fn a_route_is_told_again_to_a_guardian_that_did_not_read() {
        let (socket, theirs) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut guardian = Guardian {
            socket,
            unsent: None,
            num_unread: 0,
            has_ended: false,
            is_ready: false,
            started: Instant::now(),
        };
        let beat = Beat {
            sequence: 1,
            commands: true,
            damps: false,
        };
        let mut beats = 0;
        while guardian.num_unread == 0 {
            guardian.beat(beat);
            beats += 1;
        }
        let route = Route {
            writer: [7; 16],
            source: Ipv4Addr::LOCALHOST,
            addresses: Vec::new(),
            announced_to: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7400),
            announcement: vec![1; 600],
        };
        guardian.set_route(&route);
        for _ in 1..beats {
            assert_eq!(
                receive::<ToGuardian>(&theirs).unwrap(),
                ToGuardian::Beat(beat)
            );
        }
        guardian.beat(beat);
        assert_eq!(
            receive::<ToGuardian>(&theirs).unwrap(),
            ToGuardian::Route(route)
        );
        assert_eq!(
            receive::<ToGuardian>(&theirs).unwrap(),
            ToGuardian::Beat(beat)
        );
    }
}
