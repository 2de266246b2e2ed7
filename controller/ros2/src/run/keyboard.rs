//! Single keys from the terminal.

use std::io;

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    stdio::stdin,
    termios::{LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcsetattr},
};

/// The terminal, which hands over each key at once and shows none of them, until this is dropped.
#[derive(Debug)]
pub struct Keyboard {
    before: Termios,
}

impl Keyboard {
    /// None where the input is no terminal.
    pub fn open() -> Option<Self> {
        if !isatty(stdin()) {
            return None;
        }
        let before = tcgetattr(stdin()).ok()?;
        let mut raw = before.clone();
        raw.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        tcsetattr(stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self { before })
    }

    /// Whether somebody can sit there: the terminal has not hung up.
    pub fn is_there(&self) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(stdin(), PollFlags::empty())];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // These are reported whether asked for or not.
        let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        poll(&mut fds, Some(&now)).is_ok() && !fds[0].revents().intersects(gone)
    }

    /// The next key, if one has been pressed.
    pub fn key(&self) -> Option<u8> {
        let mut fds = [PollFd::from_borrowed_fd(stdin(), PollFlags::IN)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        if poll(&mut fds, Some(&now)).ok()? == 0 {
            return None;
        }
        let mut key = [0];
        match rustix::io::read(stdin(), &mut key).map_err(io::Error::from) {
            Ok(1) => Some(key[0]),
            _ => None,
        }
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}
