//! Ctrl-C: the first one asks to stop, the second one kills.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, Result};

/// Exit status of a program that was ended by Ctrl-C.
const INTERRUPTED: i32 = 130;

/// Set once the user asks to stop.
#[derive(Clone, Debug)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Handles Ctrl-C, SIGTERM and SIGHUP. `message` is printed at the first of them.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn listen(message: &'static str) -> Result<Self> {
        let requested = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&requested);
        ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::Relaxed) {
                std::process::exit(INTERRUPTED);
            }
            eprintln!("\n{message}");
        })
        .context("cannot handle Ctrl-C")?;
        Ok(Self(requested))
    }

    /// Becomes true at the first Ctrl-C.
    pub fn flag(&self) -> &AtomicBool {
        &self.0
    }
}
