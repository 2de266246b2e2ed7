//! Identification of the motors from a log.

use std::path::Path;

use controller::identification::{Identification, Recording};
use robots::Robot;

use super::{
    attached::AttachedRun,
    cycle::{CYCLE_TOPIC, decode_cycle},
    records::{LogEnd, Messages, Records, Stop},
    replay::{ReplayError, fits, unopened},
};

/// What a log shows of the motors.
#[derive(Clone, Debug)]
pub struct IdentifiedLog {
    /// The robot.
    pub robot: Robot,
    /// Its motors.
    pub motors: Identification,
    /// Control cycles that were read.
    pub cycles: u64,
    /// Where the log ends, and whether it should.
    pub end: LogEnd,
}

/// Identifies the motors from the log of `abs deploy --identify`. One that is cut off or damaged shows the joints that were
/// driven before.
///
/// # Errors
/// When the file cannot be read, is no log of a run, or does not show joints that are driven on a stand.
pub fn identify(path: &Path) -> Result<IdentifiedLog, ReplayError> {
    let failed = |problem: String| ReplayError {
        path: path.display().to_string(),
        problem,
    };
    let mut records = Records::open(path).map_err(|error| failed(unopened(path, &error)))?;
    let mut messages = Messages::of(CYCLE_TOPIC);
    let mut attached = AttachedRun::new().map_err(failed)?;
    let (mut recording, mut cycles) = (None, 0);
    let end = loop {
        match records.next() {
            Ok(record) => {
                let Some(chunk) = attached.take(record).map_err(failed)? else {
                    continue;
                };
                let recording = match &mut recording {
                    Some(recording) => recording,
                    none => none.insert(recording_of(&attached).map_err(failed)?),
                };
                for message in messages.of_chunk(chunk).map_err(failed)? {
                    let malformed =
                        |what: &str| failed(format!("cycle {cycles} is malformed: {what}"));
                    let cycle = decode_cycle(message).map_err(|what| malformed(&what))?;
                    if !fits(&cycle.input, recording.robot()) {
                        return Err(malformed("it is of a robot with other joints"));
                    }
                    recording.push(&cycle);
                    cycles += 1;
                }
            }
            Err(Stop::End(end)) => break end,
            Err(Stop::Unreadable(error)) => return Err(failed(format!("cannot be read: {error}"))),
        }
    };
    let Some(recording) = recording else {
        let problem = match &end {
            LogEnd::Whole => "is no log of a run: it has no metadata `abs`".to_owned(),
            end => format!("{end}, before its first control cycle"),
        };
        return Err(failed(problem));
    };
    let motors = recording.identify().map_err(|error| {
        let cut = match &end {
            LogEnd::Whole => String::new(),
            end => format!("; the log {end}"),
        };
        failed(format!("{error}{cut}"))
    })?;
    Ok(IdentifiedLog {
        robot: recording.robot().clone(),
        motors,
        cycles,
        end,
    })
}

/// A recording without cycles, of the robot that was identified.
fn recording_of(attached: &AttachedRun) -> Result<Recording, String> {
    let config = attached.config()?;
    if !config.deploy.identify.enabled {
        let problem =
            "no joint is driven in it: record one with `abs deploy --identify --log FILE.mcap`";
        return Err(problem.to_owned());
    }
    let robot = attached.robot(&attached.bundle()?)?;
    Recording::new(&robot, &config.deploy).map_err(|error| error.to_string())
}
