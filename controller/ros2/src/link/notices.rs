use std::collections::HashMap;

use crossbeam::channel::Receiver;

/// The same line is repeated after this time, ns.
const REPEAT_NS: u64 = 30_000_000_000;
/// Different lines that are passed on within that time.
const MOST_TOLD: usize = 64;
/// A line is part of the diagnostics for this time, ns.
const SHOWN_NS: u64 = 5_000_000_000;

/// Notices for the user; the same line is repeated only after a while.
pub struct Notices {
    lines: Receiver<String>,
    told: HashMap<String, u64>,
    last: Option<(u64, String)>,
    tell: Box<dyn FnMut(&str) + Send>,
}

impl Notices {
    pub fn new(lines: Receiver<String>, tell: Box<dyn FnMut(&str) + Send>) -> Self {
        Self {
            lines,
            told: HashMap::new(),
            last: None,
            tell,
        }
    }

    /// Passes on the new lines.
    pub fn tell(&mut self, now_ns: u64) {
        self.told
            .retain(|_, told_ns| now_ns.saturating_sub(*told_ns) < REPEAT_NS);
        while let Ok(line) = self.lines.try_recv() {
            // So many different lines come from a flood; the diagnostics still show the last.
            if !self.told.contains_key(&line) && self.told.len() < MOST_TOLD {
                (self.tell)(&line);
                self.told.insert(line.clone(), now_ns);
            }
            self.last = Some((now_ns, line));
        }
    }

    /// The last line, for a few seconds.
    pub fn last(&self, now_ns: u64) -> Option<&str> {
        let (time_ns, line) = self.last.as_ref()?;
        (now_ns.saturating_sub(*time_ns) < SHOWN_NS).then_some(line)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use crossbeam::channel::bounded;

    use super::*;

    #[test]
    fn a_line_that_arrives_all_the_time_is_repeated_now_and_then() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let (lines, receiver) = bounded(8);
        let sink = Arc::clone(&told);
        let tell = move |line: &str| sink.lock().unwrap().push(line.to_owned());
        let mut notices = Notices::new(receiver, Box::new(tell));
        assert_eq!(notices.last(0), None);
        for second in 0..40 {
            lines.send("no cloud".to_owned()).unwrap();
            if second == 7 {
                lines.send("no state".to_owned()).unwrap();
            }
            notices.tell(second * 1_000_000_000);
        }
        assert_eq!(*told.lock().unwrap(), ["no cloud", "no state", "no cloud"]);
        assert_eq!(notices.last(40_000_000_000), Some("no cloud"));
        assert_eq!(notices.last(44_500_000_000), None);
    }

    #[test]
    fn a_flood_of_different_lines_is_passed_on_in_part() {
        let told = Arc::new(Mutex::new(0));
        let (lines, receiver) = bounded(8);
        let sink = Arc::clone(&told);
        let mut notices = Notices::new(receiver, Box::new(move |_| *sink.lock().unwrap() += 1));
        for number in 0..10_000_u64 {
            lines
                .send(format!("there is no request `{number}`"))
                .unwrap();
            notices.tell(1_000_000 * number);
        }
        assert_eq!(
            (*told.lock().unwrap(), notices.told.len()),
            (MOST_TOLD, MOST_TOLD)
        );
        assert_eq!(
            notices.last(10_000_000_000),
            Some("there is no request `9999`")
        );
    }
}
