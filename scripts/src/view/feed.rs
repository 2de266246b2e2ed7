//! A view that is fed by a thread that must not wait.

use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow};
use crossbeam::channel::{Receiver, Sender, bounded};

/// What waits to be shown; more is dropped.
const QUEUE: usize = 64;

/// Feeds a thread that shows what it gets.
pub struct Feed<T> {
    queue: Sender<T>,
    thread: JoinHandle<Result<()>>,
}

impl<T: Send + 'static> Feed<T> {
    /// Calls `show` in another thread; what it receives ends when the feed is closed.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(show: impl FnOnce(Receiver<T>) -> Result<()> + Send + 'static) -> Result<Self> {
        let (queue, received) = bounded(QUEUE);
        let thread = thread::Builder::new()
            .name("view".to_owned())
            .spawn(move || show(received))
            .context("cannot start a thread")?;
        Ok(Self { queue, thread })
    }

    /// Shows it, soon. Never waits.
    pub fn show(&self, what: T) {
        // A view that is slow, or has failed, misses it.
        let _ = self.queue.try_send(what);
    }

    /// Shows the last of it, and closes the view.
    ///
    /// # Errors
    /// What went wrong meanwhile.
    pub fn close(self) -> Result<()> {
        drop(self.queue);
        let ended = self.thread.join();
        ended.unwrap_or_else(|_| Err(anyhow!("the view has panicked")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_fits_is_shown_and_what_went_wrong_is_told_at_the_end() {
        let (shown, order) = bounded(2 * QUEUE);
        let feed = Feed::start(move |numbers| {
            numbers
                .iter()
                .try_for_each(|number: usize| Ok(shown.send(number)?))
        });
        let feed = feed.unwrap();
        (0..QUEUE).for_each(|number| feed.show(number));
        feed.close().unwrap();
        assert!(order.iter().eq(0..QUEUE));

        let feed: Feed<usize> = Feed::start(|_| Err(anyhow!("no window"))).unwrap();
        (0..3 * QUEUE).for_each(|number| feed.show(number));
        assert_eq!(feed.close().unwrap_err().to_string(), "no window");
    }
}
