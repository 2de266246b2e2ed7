//! The guardian's process from within.

use std::{
    io,
    time::{Duration, Instant},
};

use controller::deploy::enter_realtime;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::Socket;

use super::{
    ANNOUNCE, LAST_DAMPING, TICK,
    messages::{TakenOver, ToGuardian, receive, send},
    watch::{Action, Watch},
};
use crate::{helper::Helper, link::command_writer::CommandWriter};

/// Watches the run until it ends.
///
/// # Errors
/// When it is not started by a run.
pub fn guardian_process() -> io::Result<()> {
    let [socket, _] = Helper::Guardian.enter()?;
    let socket = Socket::from(socket);
    // What it tells, a run that is stopped does not read.
    socket.set_nonblocking(true)?;
    let mut guardian = Process {
        socket,
        writer: CommandWriter::default(),
        damping: Vec::new(),
        announced: Instant::now(),
    };
    guardian.watch();
    Ok(())
}

struct Process {
    socket: Socket,
    writer: CommandWriter,
    damping: Vec<u8>,
    announced: Instant,
}

impl Process {
    fn watch(&mut self) {
        let mut watch = Watch::default();
        let mut ticked = Instant::now();
        loop {
            let heard = is_readable(&self.socket, TICK);
            if heard {
                match receive(&self.socket) {
                    Ok(message) => self.handle(message, &mut watch),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => break,
                }
            }
            // Heartbeats that are not followed do not hold up the damping.
            if !heard || ticked.elapsed() >= TICK {
                ticked = Instant::now();
                self.act(watch.tick(TICK));
            }
        }
        let start = Instant::now();
        let mut action = watch.end();
        while let Some(act) = action
            && start.elapsed() < LAST_DAMPING
        {
            self.act(act);
            action = Some(Action::Damp);
            std::thread::sleep(TICK);
        }
    }

    fn handle(&mut self, message: ToGuardian, watch: &mut Watch) {
        match message {
            ToGuardian::Start { realtime, damping } => {
                // The run gives the warning.
                let _ = enter_realtime(&realtime);
                self.damping = damping;
                // Number 0 was sent by nobody: it is there.
                let _ = send(&self.socket, &TakenOver { sequence: 0 });
            }
            ToGuardian::Route(route) => self.writer.set_route(route),
            ToGuardian::Beat(beat) => watch.heard(beat, self.writer.sequence()),
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Watch => return,
            Action::TakeOver(sequence) => self.writer.continue_above(sequence),
            Action::Damp => {}
        }
        // Nothing else can be tried when the network is gone, and the next tick sends again.
        let _ = self.writer.send(&self.damping);
        if self.announced.elapsed() >= ANNOUNCE {
            self.announced = Instant::now();
            let _ = self.writer.announce();
        }
        let sequence = self.writer.sequence();
        let _ = send(&self.socket, &TakenOver { sequence });
    }
}

/// Whether there is something to read, or the run has ended, before `timeout`.
fn is_readable(socket: &Socket, timeout: Duration) -> bool {
    let mut fds = [PollFd::new(socket, PollFlags::IN)];
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: timeout.subsec_nanos() as _,
    };
    // An interrupted poll is followed by another.
    poll(&mut fds, Some(&timeout)).is_ok_and(|ready| ready > 0)
}
