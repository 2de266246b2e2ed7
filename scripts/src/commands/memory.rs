//! Memory of other programs.

use std::fs;

/// Resident memory of a process, MB; none if it has ended.
pub fn resident_mb(process: u32) -> Option<f64> {
    of_status(process, "VmRSS:")
}

/// The most resident memory that a process has had, MB; none if it has ended.
pub fn peak_mb(process: u32) -> Option<f64> {
    of_status(process, "VmHWM:")
}

/// The processes that a process has started.
pub fn children(process: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{process}/task"));
    let lists = (tasks.into_iter().flatten())
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    let lists: String = lists.collect();
    let numbers = lists.split_whitespace();
    numbers.filter_map(|number| number.parse().ok()).collect()
}

fn of_status(process: u32, key: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let mut lines = status.lines();
    let value = lines.find_map(|line| line.strip_prefix(key))?;
    let kilobytes: f64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024e-6)
}
