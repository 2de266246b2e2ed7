//! Lines for the user, printed by a thread of their own: a terminal that blocks holds up no other thread.

use std::{
    io::{self, Write as _},
    thread,
    time::Duration,
};

use crate::foreign_text;

use crossbeam::channel::{Receiver, Sender, bounded};

/// Lines that wait to be printed; more are dropped.
const LINES: usize = 256;
/// How long the end of a run waits for the last lines.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Prints a line to standard error. That nobody reads it any more, as after a terminal was closed, is no error.
pub fn print_line(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Hands lines to the printing thread.
#[derive(Clone, Debug)]
pub struct Printer {
    lines: Sender<String>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl Printer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system refuses it.
    pub fn start(mut print: impl FnMut(&str) + Send + 'static) -> io::Result<Self> {
        let (lines, queue) = bounded::<String>(LINES);
        let (end, ended) = bounded(0);
        thread::Builder::new()
            .name("printer".to_owned())
            .spawn(move || {
                let _end: Sender<()> = end;
                for line in queue {
                    print(&line);
                }
            })?;
        Ok(Self { lines, ended })
    }

    /// Prints a line soon, its control characters escaped. Never waits.
    pub fn print(&self, line: String) {
        let _ = self.lines.try_send(foreign_text::line(&line));
    }

    /// Waits until the lines are printed, but not for long. To be called on the last clone.
    pub fn finish(self) {
        drop(self.lines);
        let _ = self.ended.recv_timeout(LAST_LINES);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn lines_are_printed_in_order_before_the_end() {
        let (sender, printed) = bounded(8);
        let printer = Printer::start(move |line| sender.send(line.to_owned()).unwrap()).unwrap();
        printer.print("one".to_owned());
        printer.clone().print("two".to_owned());
        printer.finish();
        assert_eq!(printed.try_iter().collect::<Vec<_>>(), ["one", "two"]);
    }

    #[test]
    fn no_line_controls_the_terminal() {
        let (sender, printed) = bounded(8);
        let printer = Printer::start(move |line| sender.send(line.to_owned()).unwrap()).unwrap();
        printer.print("\u{1b}]0;title\u{7}\n".to_owned());
        printer.finish();
        let line = printed.recv().unwrap();
        assert!(!line.contains(char::is_control), "{line:?}");
    }

    #[test]
    fn a_terminal_that_blocks_or_panics_holds_up_nobody() {
        let start = Instant::now();
        let blocked = Printer::start(|_| thread::sleep(Duration::from_secs(60))).unwrap();
        let panicked = Printer::start(|_| panic!("on purpose")).unwrap();
        for _ in 0..10 * LINES {
            blocked.print("line".to_owned());
            panicked.print("line".to_owned());
        }
        blocked.finish();
        panicked.finish();
        assert!(start.elapsed() < 20 * LAST_LINES, "{:?}", start.elapsed());
    }
}
