//! Identification of the motors from a log.

use std::path::Path;

use controller::identification::{Identification, Recording};
use robots::Robot;

use super::{
    CRC, METADATA,
    cycle::{CYCLE_TOPIC, decode_cycle},
    metadata_crc,
    records::{LogEnd, Messages, Record, Records, Stop, WRONG_CRC},
    replay::{ReplayError, fits, recorded_settings, unopened},
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
    let (mut recording, mut cycles) = (None, 0);
    let end = loop {
        match records.next() {
            Ok(Record::Metadata {
                name,
                entries,
                bytes,
            }) if name == METADATA => {
                if (entries.get(CRC)).is_some_and(|crc| *crc != metadata_crc(&entries)) {
                    let what = WRONG_CRC.to_owned();
                    break LogEnd::Damaged { bytes, what };
                }
                let (robot, config) = recorded_settings(Some(&entries)).map_err(failed)?;
                if !config.deploy.identify.enabled {
                    let problem = "no joint is driven in it: record one with `abs deploy --identify --log FILE.mcap`";
                    return Err(failed(problem.to_owned()));
                }
                let new = Recording::new(&robot, &config.deploy);
                recording = Some(new.map_err(|error| failed(error.to_string()))?);
            }
            Ok(Record::Metadata { .. } | Record::Attachment { .. }) => {}
            Ok(Record::Chunk(chunk)) => {
                let recording = recording.as_mut().ok_or_else(|| {
                    failed("is no log of a run: it has no metadata `abs`".to_owned())
                })?;
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
