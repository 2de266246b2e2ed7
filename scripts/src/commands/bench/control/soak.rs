//! `abs bench control --soak`: hours of a robot as fast as this machine computes them, with its log, and their memory.

use std::{path::Path, sync::atomic::AtomicBool, time::Instant};

use anyhow::{Context, Result, ensure};
use controller::deploy::{CYCLE_NS, Clock, CycleRecord, Pilot, ports, run_cycles};
use ros2::{Log, LogHeader, RunConfig};
use serde::Serialize;

use super::{Invented, Networks, settings_of};
use crate::{allocations, commands::memory::resident_mb};

/// Robot time of a log file, s; after it the next one replaces it.
const LOG_S: f64 = 600.0;
/// Capacity of the queues of cycles, as on a robot.
const LOG_RECORDS: usize = 2048;
/// Memory may grow by this after the first quarter, in which the allocator takes what the logs need, MB.
const GROWTH_MB: f64 = 4.0;

/// Results of `abs bench control --soak`.
#[derive(Serialize)]
pub struct SoakReport {
    robot: String,
    networks: &'static str,
    robot_hours: f64,
    wall_s: f64,
    cycles: u64,
    /// Cycles in which the policy ran to a goal.
    running_cycles: u64,
    /// Allocations of the control thread after the first log.
    allocations: u64,
    log_files: u64,
    log_cycles: u64,
    /// Resident memory after the first quarter, at most from then on, and at the end, MB.
    memory_start_mb: f64,
    memory_max_mb: f64,
    memory_end_mb: f64,
}

/// Runs the control cycle for `hours` of the robot.
///
/// # Errors
/// When a setting does not fit, or a log cannot be written.
pub fn measure(networks: &Networks, hours: f64) -> Result<SoakReport> {
    let Networks {
        config,
        robot,
        bundle,
        origin,
    } = networks;
    let (settings, deploy) = settings_of(config);
    let mut pilot = Pilot::new(robot, bundle, &settings, &deploy)?;
    let run_config = RunConfig {
        controller: settings,
        deploy,
        ros2: config.ros2.clone(),
    };
    let header = LogHeader {
        robot: robot.name.clone(),
        bundle: "soak".to_owned(),
        config: toml::to_string(&run_config)?,
    };
    let folder = tempfile::tempdir().context("cannot write a log")?;
    let path = folder.path().join("soak.mcap");
    let cycles_per_log = (LOG_S * 1e9) as u64 / CYCLE_NS;
    let cycles = ((hours * 3600e9) as u64 / CYCLE_NS).max(2);
    let start = Instant::now();
    let mut clock = Compressed {
        invented: Invented::new(robot, &bundle.spec.rays, ports(1).0),
        now_ns: 1_000_000_000,
    };
    let mut report = SoakReport {
        robot: robot.name.clone(),
        networks: origin,
        robot_hours: cycles as f64 * CYCLE_NS as f64 / 3600e9,
        wall_s: 0.0,
        cycles,
        running_cycles: 0,
        allocations: 0,
        log_files: 0,
        log_cycles: 0,
        memory_start_mb: 0.0,
        memory_max_mb: 0.0,
        memory_end_mb: 0.0,
    };
    let mut done = 0;
    while done < cycles {
        // At least two, so that there is a start and an end.
        let part = cycles_per_log.min(cycles - done).min(cycles.div_ceil(2));
        report.log_cycles += write_log(&mut clock, &mut pilot, &path, part, |cycles| {
            Ok(Log::start(&path, true, &header, bundle, cycles, |line| {
                eprintln!("warning: {line}");
            })?)
        })?;
        done += part;
        report.log_files += 1;
        let memory_mb = memory_mb()?;
        if report.log_files == 1 {
            clock.invented.allocations = 0;
        }
        if report.log_files == 1 || 4 * done <= cycles {
            report.memory_start_mb = memory_mb;
            report.memory_max_mb = memory_mb;
        }
        report.memory_max_mb = report.memory_max_mb.max(memory_mb);
        report.memory_end_mb = memory_mb;
    }
    report.wall_s = start.elapsed().as_secs_f64();
    report.running_cycles = clock.invented.running;
    report.allocations = clock.invented.allocations;
    Ok(report)
}

/// Runs so many cycles with a log of their own. Gives how many are in it.
fn write_log(
    clock: &mut Compressed,
    pilot: &mut Pilot,
    path: &Path,
    cycles: u64,
    start: impl FnOnce(rtrb::Consumer<CycleRecord>) -> Result<Log>,
) -> Result<u64> {
    let (link, mut port) = ports(LOG_RECORDS);
    let (records, log) = rtrb::RingBuffer::new(LOG_RECORDS);
    let log = start(log)?;
    clock.invented.connect(link, records);
    let go_on = AtomicBool::new(false);
    let report = run_cycles(clock, pilot, &mut port, &go_on, cycles);
    clock.invented.count_allocations();
    // The last cycle.
    clock.invented.feed(clock.now_ns + CYCLE_NS);
    let summary = log.finish()?;
    ensure!(
        report.cycles == cycles && report.lost_records == 0,
        "{} of {cycles} cycles, {} lost for the log {}",
        report.cycles,
        report.lost_records,
        path.display()
    );
    Ok(summary.cycles)
}

impl SoakReport {
    /// # Errors
    /// When memory has grown, the control thread has allocated, or the robot did not run.
    pub fn check(&self) -> Result<()> {
        let growth_mb = self.memory_max_mb - self.memory_start_mb;
        ensure!(
            growth_mb <= GROWTH_MB,
            "memory has grown by {growth_mb:.1} MB, expected {GROWTH_MB} MB at most"
        );
        ensure!(
            self.allocations == 0,
            "the control thread has allocated {} times",
            self.allocations
        );
        ensure!(
            self.log_cycles == self.cycles && 2 * self.running_cycles > self.cycles,
            "of {} cycles {} are in the logs, and the robot ran in {}",
            self.cycles,
            self.log_cycles,
            self.running_cycles
        );
        Ok(())
    }
}

fn memory_mb() -> Result<f64> {
    resident_mb(std::process::id()).context("the system does not tell the memory of programs")
}

/// A clock that does not wait.
struct Compressed {
    invented: Invented,
    now_ns: u64,
}

impl Clock for Compressed {
    fn now_ns(&mut self) -> u64 {
        self.now_ns
    }

    fn sleep_until(&mut self, time_ns: u64) {
        self.invented.count_allocations();
        self.invented.feed(time_ns);
        self.now_ns = time_ns;
        self.invented.before = Some(allocations::of_this_thread());
    }
}
