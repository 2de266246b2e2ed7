//! Single keys from the terminal.

use std::io;

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    stdio::stdin,
    termios::{LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcsetattr},
};

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Char(u8),
    Up,
    Down,
    Right,
    Left,
}

/// The terminal, which hands over each key at once and shows none of them, until this is dropped.
#[derive(Debug)]
pub struct Keyboard {
    before: Termios,
    decoder: Decoder,
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
        let decoder = Decoder::default();
        Some(Self { before, decoder })
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
    pub fn key(&mut self) -> Option<Key> {
        loop {
            let byte = Self::byte()?;
            if let Some(key) = self.decoder.key(byte) {
                return Some(key);
            }
        }
    }

    fn byte() -> Option<u8> {
        let mut fds = [PollFd::from_borrowed_fd(stdin(), PollFlags::IN)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        if poll(&mut fds, Some(&now)).ok()? == 0 {
            return None;
        }
        let mut byte = [0];
        match rustix::io::read(stdin(), &mut byte).map_err(io::Error::from) {
            Ok(1) => Some(byte[0]),
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

/// Makes keys of the bytes that a terminal sends: an arrow is an escape sequence (ECMA-48) of several.
#[derive(Debug, Default)]
enum Decoder {
    #[default]
    Ground,
    /// After an escape.
    Escape,
    /// Within a sequence.
    Sequence,
}

impl Decoder {
    /// The key that ends with this byte. No sequence swallows a space, the emergency stop.
    fn key(&mut self, byte: u8) -> Option<Key> {
        let (next, key) = match (&self, byte) {
            (_, 0x1b) => (Self::Escape, None),
            (Self::Escape, b'[' | b'O') => (Self::Sequence, None),
            // Parameters, as of an arrow with shift.
            (Self::Sequence, b'0'..=b'?') => (Self::Sequence, None),
            (Self::Sequence, b'A') => (Self::Ground, Some(Key::Up)),
            (Self::Sequence, b'B') => (Self::Ground, Some(Key::Down)),
            (Self::Sequence, b'C') => (Self::Ground, Some(Key::Right)),
            (Self::Sequence, b'D') => (Self::Ground, Some(Key::Left)),
            (Self::Sequence, b'@'..=b'~') => (Self::Ground, None),
            _ => (Self::Ground, Some(Key::Char(byte))),
        };
        *self = next;
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_are_one_key_and_a_space_is_never_swallowed() {
        let keys = |bytes: &[u8]| -> Vec<Key> {
            let mut decoder = Decoder::default();
            bytes.iter().filter_map(|&byte| decoder.key(byte)).collect()
        };
        let arrows = [Key::Up, Key::Down, Key::Right, Key::Left];
        assert_eq!(keys(b"\x1b[A\x1b[B\x1b[C\x1b[D"), arrows);
        assert_eq!(keys(b"\x1bOA\x1b[1;2D"), [Key::Up, Key::Left]);
        // Page up is no key of ours, and not its `~` either.
        assert_eq!(keys(b"\x1b[5~u"), [Key::Char(b'u')]);
        for before in [&b""[..], b"\x1b", b"\x1b[", b"\x1bO", b"\x1b[1;"] {
            let bytes = [before, b" "].concat();
            assert_eq!(keys(&bytes), [Key::Char(b' ')], "{before:?}");
        }
    }
}
