//! Writes TensorBoard event files: scalars in TFRecord framing with hand-encoded protocol buffers.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

/// Appends scalars to one event file.
pub struct EventWriter {
    file: BufWriter<File>,
}

impl EventWriter {
    /// Creates a new event file in `folder`, which may already hold those of earlier runs.
    pub fn create(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let seconds = now_s() as u64;
        let mut attempt = 0;
        let file = loop {
            let path = folder.join(format!("events.out.tfevents.{seconds:010}.abs.{attempt}"));
            match File::create_new(&path) {
                Ok(file) => break file,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => attempt += 1,
                Err(e) => return Err(e),
            }
        };
        let mut writer = Self {
            file: BufWriter::new(file),
        };
        let mut event = wall_time();
        bytes_field(&mut event, 3, b"brain.Event:2");
        writer.record(&event)?;
        writer.flush()?;
        Ok(writer)
    }

    /// Appends all `scalars` at one step.
    pub fn scalars(
        &mut self,
        step: u64,
        scalars: impl IntoIterator<Item = (String, f64)>,
    ) -> io::Result<()> {
        let mut summary = Vec::new();
        for (name, value) in scalars {
            let mut entry = Vec::new();
            bytes_field(&mut entry, 1, name.as_bytes());
            entry.push(2 << 3 | FIXED32);
            entry.extend((value as f32).to_le_bytes());
            bytes_field(&mut summary, 1, &entry);
        }
        let mut event = wall_time();
        event.push(2 << 3);
        varint(&mut event, step);
        bytes_field(&mut event, 5, &summary);
        self.record(&event)
    }

    /// Names the settings of the run, for TensorBoard's HPARAMS page: numbers, booleans, and the rest as text.
    pub fn hyper_parameters<'a>(
        &mut self,
        settings: impl IntoIterator<Item = (&'a str, &'a toml::Value)>,
    ) -> io::Result<()> {
        // HParamsPluginData { session_start_info { hparams: map from name to google.protobuf.Value } }
        let mut session = Vec::new();
        for (name, setting) in settings {
            let mut value = Vec::new();
            match setting {
                toml::Value::Integer(number) => double_field(&mut value, 2, *number as f64),
                toml::Value::Float(number) => double_field(&mut value, 2, *number),
                toml::Value::Boolean(flag) => value.extend([4 << 3, u8::from(*flag)]),
                toml::Value::String(text) => bytes_field(&mut value, 3, text.as_bytes()),
                other => bytes_field(&mut value, 3, other.to_string().as_bytes()),
            }
            let mut entry = Vec::new();
            bytes_field(&mut entry, 1, name.as_bytes());
            bytes_field(&mut entry, 2, &value);
            bytes_field(&mut session, 1, &entry);
        }
        double_field(&mut session, 5, now_s());
        let mut content = Vec::new();
        bytes_field(&mut content, 3, &session);
        let mut plugin = Vec::new();
        bytes_field(&mut plugin, 1, b"hparams");
        bytes_field(&mut plugin, 2, &content);
        let mut metadata = Vec::new();
        bytes_field(&mut metadata, 1, &plugin);
        let mut value = Vec::new();
        bytes_field(&mut value, 1, b"_hparams_/session_start_info");
        bytes_field(&mut value, 9, &metadata);
        // TensorBoard skips values without a tensor: one float, 0.
        bytes_field(&mut value, 8, &[1 << 3, 1, 5 << 3 | FIXED32, 0, 0, 0, 0]);
        let mut summary = Vec::new();
        bytes_field(&mut summary, 1, &value);
        let mut event = wall_time();
        bytes_field(&mut event, 5, &summary);
        self.record(&event)
    }

    /// Hands everything to the operating system, so that TensorBoard sees it.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    fn record(&mut self, event: &[u8]) -> io::Result<()> {
        let len = (event.len() as u64).to_le_bytes();
        self.file.write_all(&len)?;
        self.file.write_all(&masked_crc32c(&len).to_le_bytes())?;
        self.file.write_all(event)?;
        self.file.write_all(&masked_crc32c(event).to_le_bytes())
    }
}

const FIXED64: u8 = 1;
const LENGTH_DELIMITED: u8 = 2;
const FIXED32: u8 = 5;

fn now_s() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |d| d.as_secs_f64())
}

/// The first field of every event.
fn wall_time() -> Vec<u8> {
    let mut event = vec![1 << 3 | FIXED64];
    event.extend(now_s().to_le_bytes());
    event
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn bytes_field(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | LENGTH_DELIMITED);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn double_field(out: &mut Vec<u8>, field: u8, value: f64) {
    out.push(field << 3 | FIXED64);
    out.extend(value.to_le_bytes());
}

/// CRC-32C (Castagnoli), rotated and offset as TFRecord wants it.
fn masked_crc32c(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::events;

    #[test]
    fn crc32c_gives_the_published_check_value() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn what_was_written_is_read_back_and_framed_with_its_checksums() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(folder.path()).unwrap();
        let scalars = [("reward/agile".to_string(), 1.5), ("kl".to_string(), -0.25)];
        writer.scalars(300, scalars).unwrap();
        writer.flush().unwrap();
        // A second writer in the same second does not overwrite the first.
        drop(EventWriter::create(folder.path()).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        let read = events::read(folder.path()).unwrap();
        assert_eq!(read["reward/agile"], [(300.0, 1.5)]);
        assert_eq!((&*read["kl"], read.len()), (&[(300.0, -0.25)][..], 2));

        let files = fs::read_dir(folder.path()).unwrap();
        let bytes = fs::read(files.map(|file| file.unwrap().path()).min().unwrap()).unwrap();
        let (mut rest, mut events) = (&bytes[..], 0);
        while !rest.is_empty() {
            let len = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(rest[8..12], masked_crc32c(&rest[..8]).to_le_bytes());
            let event = &rest[12..12 + len];
            assert_eq!(rest[12 + len..16 + len], masked_crc32c(event).to_le_bytes());
            // The version comes first, behind the time.
            assert!(events > 0 || event.ends_with(b"\x1a\x0dbrain.Event:2"));
            (rest, events) = (&rest[16 + len..], events + 1);
        }
        assert_eq!(events, 2);
    }

    #[test]
    fn settings_are_in_the_message_that_tensorboard_reads() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(folder.path()).unwrap();
        let number = toml::Value::Float(0.5);
        writer.hyper_parameters([("lr", &number)]).unwrap();
        writer.flush().unwrap();
        let path = fs::read_dir(folder.path()).unwrap().next().unwrap();
        let bytes = fs::read(path.unwrap().path()).unwrap();
        // Map entry: field 1, 15 bytes: "lr" in its field 1, a Value of 9 bytes in its field 2, a double in that one's field 2.
        let mut entry = vec![0x0a, 15, 0x0a, 2, b'l', b'r', 0x12, 9, 0x11];
        entry.extend(0.5_f64.to_le_bytes());
        assert!(bytes.windows(entry.len()).any(|part| part == entry));
        // No scalar: the curves are as they were.
        assert!(events::read(folder.path()).unwrap().is_empty());
    }
}
