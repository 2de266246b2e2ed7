//! Threads of the DDS library, which end without a word when they panic or a system call is interrupted.

use std::{collections::BTreeSet, fs, thread, time::Duration};

/// Threads of one participant: the event loop, and discovery.
const PER_PARTICIPANT: usize = 2;
/// They get their names while they start, within this time.
const START: Duration = Duration::from_millis(500);

/// The threads of one participant.
#[derive(Debug)]
pub struct DdsThreads(BTreeSet<u32>);

impl DdsThreads {
    /// Finds the threads that `open` starts.
    pub fn of<T>(open: impl FnOnce() -> T) -> (T, Self) {
        let before = all();
        let opened = open();
        let mut new = BTreeSet::new();
        for _ in 0..START.as_millis() {
            new = &all() - &before;
            if new.len() >= PER_PARTICIPANT {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        (opened, Self(new))
    }

    /// Whether all of them are running.
    pub fn are_alive(&self) -> bool {
        let exists = |thread: &u32| fs::exists(format!("/proc/self/task/{thread}"));
        self.0.len() >= PER_PARTICIPANT
            && self.0.iter().all(|thread| exists(thread).unwrap_or(true))
    }
}

/// All threads of the DDS library in this process.
fn all() -> BTreeSet<u32> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
    tasks
        .filter_map(|task| {
            let task = task.ok()?;
            // A thread may end while its folder is read.
            let name = fs::read_to_string(task.path().join("comm")).ok()?;
            let id = task.file_name().to_str()?.parse().ok()?;
            name.starts_with("RustDDS").then_some(id)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_end_are_noticed() {
        let (stop, stopped) = crossbeam::channel::bounded::<()>(0);
        let start = |name: &str| {
            let stopped = stopped.clone();
            let body = move || {
                let _ = stopped.recv();
            };
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(body)
                .unwrap()
        };
        let (threads, found) = DdsThreads::of(|| [start("RustDDS one"), start("RustDDS two")]);
        assert!(found.are_alive());
        drop(stop);
        for thread in threads {
            thread.join().unwrap();
        }
        // The system forgets a thread a moment after it has ended.
        let start = std::time::Instant::now();
        while found.are_alive() {
            assert!(start.elapsed() < Duration::from_secs(10));
        }
    }
}
