//! Panics on purpose, so that a test can measure what follows: with `--panic THREAD` a thread panics once, when the operator
//! asks for it.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// A thread that can panic on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[repr(u8)]
pub enum Panicking {
    /// The control cycle, the policies included.
    Control = 1,
    /// Sends motor commands.
    Sender,
    /// Receives states.
    States,
    /// Receives and publishes everything else.
    Link,
    /// Writes the log.
    Log,
}

/// The request of the operator.
pub const REQUEST: &str = "panic";

/// The thread, 0 for none; and whether it is to panic now.
static ARMED: AtomicU8 = AtomicU8::new(0);
static IS_DUE: AtomicBool = AtomicBool::new(false);

/// Chooses the thread.
pub fn arm(thread: Panicking) {
    ARMED.store(thread as u8, Ordering::Release);
}

/// Lets it panic. False where none was chosen.
pub fn trip() -> bool {
    let armed = ARMED.load(Ordering::Acquire) != 0;
    IS_DUE.fetch_or(armed, Ordering::AcqRel);
    armed
}

impl Panicking {
    /// To be called by this thread now and then.
    pub fn panic_if_due(self) {
        if IS_DUE.load(Ordering::Relaxed)
            && ARMED.load(Ordering::Acquire) == self as u8
            && IS_DUE.swap(false, Ordering::AcqRel)
        {
            panic!("{self:?} panics on purpose");
        }
    }
}
