//! Panics of threads of the DDS library, which end the thread and nothing else.

use std::{
    sync::{
        Once,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

static DDS_PANICS: AtomicU64 = AtomicU64::new(0);
static DDS_PANICS_SEEN: AtomicU64 = AtomicU64::new(0);

/// Installs a panic hook that counts them.
pub fn watch_dds_threads() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let name = thread::current().name().map(str::to_owned);
            if name.is_some_and(|name| name.starts_with("RustDDS")) {
                DDS_PANICS.fetch_add(1, Ordering::AcqRel);
            }
            previous(info);
        }));
    });
}

pub fn dds_has_panicked() -> bool {
    DDS_PANICS.load(Ordering::Acquire) > DDS_PANICS_SEEN.load(Ordering::Acquire)
}

pub fn forget_dds_panics() {
    DDS_PANICS_SEEN.store(DDS_PANICS.load(Ordering::Acquire), Ordering::Release);
}
