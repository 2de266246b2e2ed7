use std::time::SystemTime;

/// Time since the Unix epoch, for stamps that people read, ns.
pub fn wall_ns() -> u64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since_epoch.map_or(0, |duration| duration.as_nanos() as u64)
}
