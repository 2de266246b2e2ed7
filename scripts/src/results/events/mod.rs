//! Reads scalars back from TensorBoard event files: TFRecord framing around protocol buffers.

#[cfg(any(feature = "train", test))]
mod writer;

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use policies::file::{MAX_DATA_BYTES, read_bytes};

#[cfg(any(feature = "train", test))]
pub use writer::EventWriter;

/// For each scalar, (step, value).
pub type Scalars = BTreeMap<String, Vec<(f64, f64)>>;

/// All scalars of a run folder. A resumed run has several files; each replaces the
/// points of earlier files from its first step on. A file that is being written may end within a record.
///
/// # Errors
/// When the folder or a file in it cannot be read.
pub fn read(folder: &Path) -> Result<Scalars> {
    let mut paths = Vec::new();
    let unreadable = || format!("cannot read {}", folder.display());
    for entry in fs::read_dir(folder).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        if name.is_some_and(|name| name.starts_with("events.out.tfevents.")) {
            paths.push(path);
        }
    }
    // Names hold the time.
    paths.sort();
    let mut scalars = Scalars::new();
    for path in paths {
        let bytes = read_bytes(&path, MAX_DATA_BYTES)
            .with_context(|| format!("cannot read {}", path.display()))?;
        for (name, points) in scalars_of(&bytes) {
            let all = scalars.entry(name).or_default();
            if let Some((first, _)) = points.first() {
                all.retain(|(step, _)| step < first);
            }
            all.extend(points);
        }
    }
    Ok(scalars)
}

fn scalars_of(mut bytes: &[u8]) -> Scalars {
    let mut scalars = Scalars::new();
    while let Some((event, rest)) = record(bytes) {
        bytes = rest;
        let (mut step, mut summary) = (0, &[][..]);
        for field in Fields(event) {
            match field {
                (2, Value::Number(number)) => step = number,
                (5, Value::Bytes(bytes)) => summary = bytes,
                _ => {}
            }
        }
        for field in Fields(summary) {
            let (1, Value::Bytes(entry)) = field else {
                continue;
            };
            let (mut name, mut value) = (None, None);
            for field in Fields(entry) {
                match field {
                    (1, Value::Bytes(bytes)) => name = Some(String::from_utf8_lossy(bytes)),
                    (2, Value::Fixed32(bits)) => value = Some(f32::from_bits(bits)),
                    _ => {}
                }
            }
            if let (Some(name), Some(value)) = (name, value) {
                let points = scalars.entry(name.into_owned()).or_default();
                points.push((step as f64, f64::from(value)));
            }
        }
    }
    scalars
}

/// The payload of the first record, and what follows it.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    // Length, its checksum, payload, its checksum.
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let rest = rest.get(4..)?;
    let payload = rest.get(..length)?;
    Some((payload, rest.get(length + 4..)?))
}

/// The fields of a protocol buffer message: number and value.
struct Fields<'a>(&'a [u8]);

enum Value<'a> {
    Number(u64),
    Fixed64,
    Fixed32(u32),
    Bytes(&'a [u8]),
}

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed64)?,
            2 => {
                let count = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(count)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            _ => return None,
        };
        Some((tag >> 3, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One event, framed: step in field 2, a summary with one scalar in field 5.
    fn event(step: u8, name: &str, value: f32) -> Vec<u8> {
        let mut entry = vec![1 << 3 | 2, name.len() as u8];
        entry.extend(name.as_bytes());
        entry.push(2 << 3 | 5);
        entry.extend(value.to_le_bytes());
        let mut summary = vec![1 << 3 | 2, entry.len() as u8];
        summary.extend(entry);
        // Wall-clock time, step.
        let mut event = vec![1 << 3 | 1, 0, 0, 0, 0, 0, 0, 0, 0, 2 << 3, step];
        event.extend([5 << 3 | 2, summary.len() as u8]);
        event.extend(summary);
        let mut framed = (event.len() as u64).to_le_bytes().to_vec();
        framed.extend([0; 4]);
        framed.extend(event);
        framed.extend([0; 4]);
        framed
    }

    #[test]
    fn a_resumed_run_is_one_curve_and_a_torn_end_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, events: &[Vec<u8>]| {
            let path = folder
                .path()
                .join(format!("events.out.tfevents.{name}.abs.0"));
            fs::write(path, events.concat()).unwrap();
        };
        let step = |step: u8, value| event(step, "reward/agile", value);
        file("0000000001", &[step(1, 0.5), step(2, 1.0), step(3, 1.5)]);
        let torn = step(4, 9.0)[..20].to_vec();
        file("0000000002", &[step(3, 2.0), event(3, "kl", 0.25), torn]);
        fs::write(folder.path().join("config.toml"), "").unwrap();
        let scalars = read(folder.path()).unwrap();
        assert_eq!(
            scalars["reward/agile"],
            [(1.0, 0.5), (2.0, 1.0), (3.0, 2.0)]
        );
        assert_eq!(scalars["kl"], [(3.0, 0.25)]);
        assert_eq!(scalars.len(), 2);
    }
}
