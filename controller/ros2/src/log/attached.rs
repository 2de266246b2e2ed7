//! The bundle that is attached to a log, in a folder until it is read.

use std::{collections::BTreeMap, fs, path::Path};

use policies::Bundle;
use robots::Robot;
use tempfile::TempDir;

use super::{METADATA, cycle::CYCLE_LAYOUT, records::Record};
use crate::run::RunConfig;

/// Most bytes of the bundle's files in a log.
const MAX_BUNDLE_BYTES: u64 = 512 << 20;

/// What a log holds beside its cycles, as far as it has been read.
pub(super) struct AttachedRun {
    /// Files of the bundle.
    folder: TempDir,
    bundle_bytes: u64,
    metadata: Option<BTreeMap<String, String>>,
}

impl AttachedRun {
    pub fn new() -> Result<Self, String> {
        let folder = tempfile::tempdir();
        Ok(Self {
            folder: folder.map_err(|error| format!("no folder for the bundle: {error}"))?,
            bundle_bytes: 0,
            metadata: None,
        })
    }

    /// Takes a record that is no chunk; returns the records of one that is.
    pub fn take<'a>(&mut self, record: Record<'a>) -> Result<Option<&'a [u8]>, String> {
        match record {
            Record::Metadata { name, entries } => {
                if name == METADATA {
                    self.metadata = Some(entries);
                }
                Ok(None)
            }
            Record::Attachment { name, data } => self.keep(name, data).map(|()| None),
            Record::Chunk(chunk) => Ok(Some(chunk)),
        }
    }

    /// Keeps a file of the bundle.
    fn keep(&mut self, name: &str, data: &[u8]) -> Result<(), String> {
        let file = Path::new(name);
        if file.file_name() != Some(file.as_os_str()) {
            return Err(format!("attachment {name:?} is no file name"));
        }
        self.bundle_bytes += data.len() as u64;
        if self.bundle_bytes > MAX_BUNDLE_BYTES {
            return Err(format!(
                "more than {MAX_BUNDLE_BYTES} bytes of files are attached"
            ));
        }
        fs::write(self.folder.path().join(file), data)
            .map_err(|error| format!("no file for the bundle: {error}"))
    }

    /// The settings of the run.
    pub fn config(&self) -> Result<RunConfig, String> {
        let layout = self.entry("cycle_layout")?;
        if layout != CYCLE_LAYOUT {
            return Err(format!(
                "has cycles of layout {layout}, this program reads {CYCLE_LAYOUT}: replay it with version {}",
                self.entry("version")?
            ));
        }
        toml::from_str(self.entry("config")?)
            .map_err(|error| format!("its settings: {}", error.message()))
    }

    pub fn bundle(&self) -> Result<Bundle, String> {
        Bundle::load(self.folder.path()).map_err(|error| format!("its bundle: {error}"))
    }

    /// The robot of the run; that in the bundle, where it was taken from there.
    pub fn robot(&self, bundle: &Bundle) -> Result<Robot, String> {
        let name = self.entry("robot")?;
        let robot = match name == self.entry("bundle")? {
            true => bundle.robot(),
            false => Robot::load(name),
        };
        robot.map_err(|error| error.to_string())
    }

    fn entry(&self, key: &str) -> Result<&str, String> {
        let metadata = self.metadata.as_ref();
        let metadata = metadata.ok_or("is no log of a run: it has no metadata `abs`")?;
        let entry = metadata.get(key).map(String::as_str);
        entry.ok_or_else(|| format!("is no log of a run: its metadata lacks `{key}`"))
    }
}
