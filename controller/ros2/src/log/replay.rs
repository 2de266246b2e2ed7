//! Replay of a log.

use std::{fs, path::Path};

use mcap::{
    MessageStream,
    read::{self, LinearReader},
    records::Record,
};
use policies::Bundle;
use robots::Robot;

use controller::deploy::{CycleRecord, MotorCommand, Pilot};

use super::{CYCLE_LAYOUT, CYCLE_TOPIC, METADATA};
use crate::run::RunConfig;

/// Why a log cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct ReplayError {
    path: String,
    problem: String,
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
}

/// Runs a pilot on the recorded inputs of every cycle in `path`, and compares the commands bit by bit.
///
/// # Errors
/// When the file cannot be read, is truncated or is no log of a run, or lacks cycles.
pub fn replay(path: &Path) -> Result<ReplayReport, ReplayError> {
    let failed = |problem: String| ReplayError {
        path: path.display().to_string(),
        problem,
    };
    let bytes = fs::read(path).map_err(|error| failed(format!("cannot be read: {error}")))?;
    let mut pilot = recorded_pilot(&bytes).map_err(failed)?;
    let messages = MessageStream::new(&bytes).map_err(|error| failed(unreadable(&error)))?;
    let mut report = ReplayReport {
        cycles: 0,
        different: 0,
        first_different: None,
    };
    let mut record = CycleRecord::default();
    for message in messages {
        let message = message.map_err(|error| failed(unreadable(&error)))?;
        if message.channel.topic != CYCLE_TOPIC {
            continue;
        }
        let recorded: CycleRecord = postcard::from_bytes(&message.data)
            .map_err(|error| failed(format!("cycle {} is malformed: {error}", report.cycles)))?;
        if recorded.input.cycle != report.cycles {
            return Err(failed(format!(
                "cycles {} to {} are missing, the controller cannot be followed beyond",
                report.cycles,
                recorded.input.cycle.saturating_sub(1)
            )));
        }
        record.input = recorded.input;
        pilot.cycle(&mut record);
        if bits(&record.command) != bits(&recorded.command) {
            report.different += 1;
            report.first_different.get_or_insert(report.cycles);
        }
        report.cycles += 1;
    }
    if report.cycles == 0 {
        return Err(failed("holds no control cycle".to_owned()));
    }
    Ok(report)
}

/// The serialized command, to compare bits and not numbers.
fn bits(command: &MotorCommand) -> Vec<u8> {
    // Writing to memory cannot fail.
    postcard::to_stdvec(command).unwrap_or_default()
}

fn unreadable(error: &mcap::McapError) -> String {
    use mcap::McapError as E;
    match error {
        E::UnexpectedEof | E::UnexpectedEoc | E::BadMagic | E::BadFooter => {
            format!("is no MCAP file, or cut off ({error})")
        }
        error => format!("cannot be read as MCAP: {error}"),
    }
}

/// The pilot of the recorded run.
fn recorded_pilot(bytes: &[u8]) -> Result<Pilot, String> {
    // A truncated file has no footer.
    read::footer(bytes).map_err(|error| unreadable(&error))?;
    let records = LinearReader::new(bytes).map_err(|error| unreadable(&error))?;
    let folder =
        tempfile::tempdir().map_err(|error| format!("no folder for the bundle: {error}"))?;
    let mut metadata = None;
    for record in records {
        match record.map_err(|error| unreadable(&error))? {
            Record::Metadata(found) if found.name == METADATA => metadata = Some(found.metadata),
            Record::Attachment { header, data, .. } => {
                let name = Path::new(&header.name);
                if name.file_name() != Some(name.as_os_str()) {
                    return Err(format!("attachment `{}` is no file name", header.name));
                }
                fs::write(folder.path().join(name), data)
                    .map_err(|error| format!("no file for the bundle: {error}"))?;
            }
            // The cycles come after both.
            Record::Chunk { .. } | Record::DataEnd(_) if metadata.is_some() => break,
            _ => {}
        }
    }
    let metadata = metadata.ok_or("is no log of a run: it has no metadata `abs`")?;
    let value = |key: &str| {
        let value = metadata.get(key);
        value.ok_or_else(|| format!("is no log of a run: its metadata lacks `{key}`"))
    };
    let layout = value("cycle_layout")?;
    if layout != CYCLE_LAYOUT {
        return Err(format!(
            "has cycles of layout {layout}, this program reads {CYCLE_LAYOUT}: replay it with version {}",
            value("version")?
        ));
    }
    let config: RunConfig = toml::from_str(value("config")?)
        .map_err(|error| format!("its settings: {}", error.message()))?;
    let robot = Robot::load(value("robot")?).map_err(|error| error.to_string())?;
    let bundle = Bundle::load(folder.path()).map_err(|error| format!("its bundle: {error}"))?;
    Pilot::new(&robot, &bundle, &config.controller, &config.deploy)
        .map_err(|error| error.to_string())
}
