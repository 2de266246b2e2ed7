//! The control thread: cycles at a fixed rate, on absolute deadlines.

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::{
    mm::{MlockAllFlags, mlockall},
    thread::clock_nanosleep_absolute,
    time::{ClockId, Timespec, clock_gettime},
};
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

use super::{CYCLE_NS, ControlPort, CycleRecord, Histogram, Pilot, RealtimeConfig};

const NS_PER_S: u64 = 1_000_000_000;

/// The clock of the control thread.
pub trait Clock {
    /// Nanoseconds since an arbitrary time; never 0.
    fn now_ns(&mut self) -> u64;
    /// Sleeps until this time, ns.
    fn sleep_until(&mut self, time_ns: u64);
}

/// The machine's monotonic clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct MonotonicClock;

impl Clock for MonotonicClock {
    fn now_ns(&mut self) -> u64 {
        now_ns()
    }

    fn sleep_until(&mut self, time_ns: u64) {
        let time = Timespec {
            tv_sec: (time_ns / NS_PER_S) as _,
            tv_nsec: (time_ns % NS_PER_S) as _,
        };
        // A signal interrupts the sleep.
        while clock_nanosleep_absolute(ClockId::Monotonic, &time).is_err() {}
    }
}

/// The monotonic clock, to which all times of a [`CycleInput`](super::CycleInput) refer, ns.
pub fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * NS_PER_S + time.tv_nsec as u64
}

/// Gives the calling thread, and the threads that it starts from now on, real-time priority, and locks the memory of the
/// program, as `config` says. Without either the program works, with more jitter.
///
/// # Errors
/// One line with what the system refused, and what would help.
pub fn enter_realtime(config: &RealtimeConfig) -> Result<(), String> {
    let mut refused = Vec::new();
    if config.lock_memory && mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE).is_err() {
        refused.push("memory is not locked (`ulimit -l unlimited` or CAP_IPC_LOCK allows it)");
    }
    if config.priority > 0 && set_fifo(config.priority).is_err() {
        refused.push(
            "the control thread has no real-time priority (`ulimit -r 99` or CAP_SYS_NICE allows it)",
        );
    }
    if refused.is_empty() {
        Ok(())
    } else {
        Err(refused.join("; "))
    }
}

fn set_fifo(priority: u8) -> Result<(), thread_priority::Error> {
    let priority = ThreadPriorityValue::try_from(priority.min(99))
        .map_err(|_| thread_priority::Error::PriorityNotInRange(0..=99))?;
    set_thread_priority_and_policy(
        thread_native_id(),
        ThreadPriority::Crossplatform(priority),
        ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo),
    )
}

/// Timing of the control thread.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoopReport {
    /// Cycles.
    pub cycles: u64,
    /// Missed deadlines.
    pub overruns: u64,
    /// From waking up to the published command.
    pub compute: Histogram,
    /// From the deadline to waking up.
    pub lateness: Histogram,
    /// Cycles missing in the log because its reader was too slow.
    pub lost_records: u64,
}

/// Runs a cycle every [`CYCLE_NS`] until `stop`, or for `max_cycles`. Real-time safe: the calling thread does not allocate,
/// lock, log, or wait for anything but its deadline.
///
/// A cycle that is late by a period or more counts the deadlines that it missed, and the next one keeps to their grid.
pub fn run_cycles(
    clock: &mut impl Clock,
    pilot: &mut Pilot,
    port: &mut ControlPort,
    stop: &AtomicBool,
    max_cycles: u64,
) -> LoopReport {
    let mut report = LoopReport::default();
    let mut record = CycleRecord::default();
    let mut deadline_ns = clock.now_ns() + CYCLE_NS;
    while report.cycles < max_cycles && !stop.load(Ordering::Relaxed) {
        clock.sleep_until(deadline_ns);
        let woken_ns = clock.now_ns();
        let late_ns = woken_ns.saturating_sub(deadline_ns);
        let missed = late_ns / CYCLE_NS;
        record.input.cycle = report.cycles;
        record.input.time_ns = woken_ns;
        record.input.missed = u32::try_from(missed).unwrap_or(u32::MAX);
        port.read(&mut record.input);
        pilot.cycle(&mut record);
        port.write(&record);

        report.lateness.record(late_ns);
        report
            .compute
            .record(clock.now_ns().saturating_sub(woken_ns));
        report.cycles += 1;
        report.overruns += missed;
        deadline_ns += (1 + missed) * CYCLE_NS;
    }
    report.lost_records = port.lost_records();
    report
}

#[cfg(test)]
mod tests;
