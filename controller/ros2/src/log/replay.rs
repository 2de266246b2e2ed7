//! Replay of a log.

use std::path::Path;

use controller::{
    Method,
    deploy::{CycleInput, CycleRecord, MotorCommand, Pilot, Status},
};
use policies::RaySpec;
use robots::Robot;

use super::{
    attached::AttachedRun,
    cycle::{CYCLE_TOPIC, decode_cycle},
    file::partial_path,
    records::{LogEnd, Messages, Record, Records, Stop},
};

/// Why a log cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct ReplayError {
    pub(super) path: String,
    pub(super) problem: String,
}

/// Result of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayReport {
    /// Replayed cycles.
    pub cycles: u64,
    /// Cycles with another command than in the log.
    pub different: u64,
    /// The first of them.
    pub first_different: Option<u64>,
    /// Where the log ends, and whether it should.
    pub end: LogEnd,
}

/// What is known of a run that is replayed.
#[derive(Clone, Debug)]
pub struct ReplayedRun {
    /// The robot.
    pub robot: Robot,
    /// Where its rays point.
    pub rays: RaySpec,
    /// Values below this are safe; none without a switch.
    pub threshold: Option<f32>,
}

/// Runs a pilot on the recorded inputs of every cycle in `path`, and compares the commands bit by bit. A log that is cut
/// off or damaged is replayed up to there: only what has the right checksum is.
///
/// # Errors
/// When the file cannot be read, is no log of a run, lacks cycles, or ends before the first.
pub fn replay(path: &Path) -> Result<ReplayReport, ReplayError> {
    replay_watched(path, |_, _| ())
}

/// As [`replay`]; `watch` gets the status of every cycle.
///
/// # Errors
/// As of [`replay`].
pub fn replay_watched(
    path: &Path,
    mut watch: impl FnMut(&ReplayedRun, &Status),
) -> Result<ReplayReport, ReplayError> {
    let failed = |problem: String| ReplayError {
        path: path.display().to_string(),
        problem,
    };
    let mut records = Records::open(path).map_err(|error| failed(unopened(path, &error)))?;
    let mut replay = Replay::new(&mut watch).map_err(failed)?;
    let end = loop {
        match records.next() {
            Ok(record) => replay.take(record).map_err(failed)?,
            Err(Stop::End(end)) => break end,
            Err(Stop::Unreadable(error)) => return Err(failed(format!("cannot be read: {error}"))),
        }
    };
    match (replay.cycles, &end) {
        (0, LogEnd::Whole) => Err(failed("holds no control cycle".to_owned())),
        (0, end) => Err(failed(format!("{end}, before its first control cycle"))),
        (cycles, _) => Ok(ReplayReport {
            cycles,
            different: replay.different,
            first_different: replay.first_different,
            end,
        }),
    }
}

pub(super) fn unopened(path: &Path, error: &std::io::Error) -> String {
    let partial = partial_path(path);
    match error.kind() {
        std::io::ErrorKind::InvalidData => error.to_string(),
        std::io::ErrorKind::NotFound if partial.is_file() => format!(
            "cannot be read: {error}; the run was cut short, its log is {}",
            partial.display()
        ),
        _ => format!("cannot be read: {error}"),
    }
}

/// A replay on its way.
struct Replay<'a> {
    watch: &'a mut dyn FnMut(&ReplayedRun, &Status),
    attached: AttachedRun,
    messages: Messages,
    pilot: Option<(Pilot, ReplayedRun)>,
    record: CycleRecord,
    cycles: u64,
    different: u64,
    first_different: Option<u64>,
}

impl<'a> Replay<'a> {
    fn new(watch: &'a mut dyn FnMut(&ReplayedRun, &Status)) -> Result<Self, String> {
        Ok(Self {
            watch,
            attached: AttachedRun::new()?,
            messages: Messages::of(CYCLE_TOPIC),
            pilot: None,
            record: CycleRecord::default(),
            cycles: 0,
            different: 0,
            first_different: None,
        })
    }

    fn take(&mut self, record: Record<'_>) -> Result<(), String> {
        if let Some(chunk) = self.attached.take(record)? {
            for message in self.messages.of_chunk(chunk)? {
                self.cycle(message)?;
            }
        }
        Ok(())
    }

    fn cycle(&mut self, message: &[u8]) -> Result<(), String> {
        let (pilot, run) = match &mut self.pilot {
            Some(pilot) => pilot,
            // Settings and bundle come before the cycles.
            none => none.insert(recorded_pilot(&self.attached)?),
        };
        let malformed = |what: &str| format!("cycle {} is malformed: {what}", self.cycles);
        let recorded = decode_cycle(message).map_err(|what| malformed(&what))?;
        if recorded.input.cycle != self.cycles {
            return Err(format!(
                "cycles {} to {} are missing, the controller cannot be followed beyond",
                self.cycles,
                recorded.input.cycle.saturating_sub(1)
            ));
        }
        if !fits(&recorded.input, &run.robot) {
            return Err(malformed("it is of a robot with other joints"));
        }
        self.record.input = recorded.input;
        pilot.cycle(&mut self.record);
        (self.watch)(run, &self.record.status);
        if bits(&self.record.command) != bits(&recorded.command) {
            self.different += 1;
            self.first_different.get_or_insert(self.cycles);
        }
        self.cycles += 1;
        Ok(())
    }
}

/// Whether what the pilot counts on is there: one entry per joint in each state that was received.
pub(super) fn fits(input: &CycleInput, robot: &Robot) -> bool {
    let state = &input.robot;
    let joints = robot.num_joints();
    let vectors = [
        &state.joint_position_rad,
        &state.joint_velocity_radps,
        &state.joint_torque_nm,
    ];
    state.received_ns == 0 || vectors.iter().all(|vector| vector.len() == joints)
}

/// The serialized command, to compare bits and not numbers.
fn bits(command: &MotorCommand) -> Vec<u8> {
    // Writing to memory cannot fail.
    postcard::to_stdvec(command).unwrap_or_default()
}

/// The pilot of the recorded run.
fn recorded_pilot(attached: &AttachedRun) -> Result<(Pilot, ReplayedRun), String> {
    let (config, bundle) = (attached.config()?, attached.bundle()?);
    let robot = attached.robot(&bundle)?;
    let pilot = Pilot::new(&robot, &bundle, &config.controller, &config.deploy)
        .map_err(|error| error.to_string())?;
    let switch = config.controller.switch.over(&bundle.switch());
    let run = ReplayedRun {
        robot,
        threshold: (config.deploy.method == Method::Abs).then_some(switch.threshold),
        rays: bundle.spec.rays,
    };
    Ok((pilot, run))
}
