//! The two clocks: one for ages, one for stamps that people read.

use std::time::SystemTime;

use rustix::time::{ClockId, clock_gettime};

/// Time of the machine's monotonic clock, ns.
pub fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Time since the Unix epoch, ns.
pub fn wall_ns() -> u64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since_epoch.map_or(0, |duration| duration.as_nanos() as u64)
}
