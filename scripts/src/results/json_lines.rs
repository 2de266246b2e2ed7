//! Scalars of a run as JSON lines, for programs that do not read TensorBoard's files.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use serde_json::{Map, Value};

/// In the run folder.
pub const FILE: &str = "scalars.jsonl";

/// Appends to the file of a run; a resumed run goes on in it.
pub struct JsonLines {
    file: File,
}

impl JsonLines {
    /// Opens the file, or makes it.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join(FILE);
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file })
    }

    /// Appends an iteration: `policy_steps`, then its scalars by name. JSON has no NaN: such a scalar is null.
    pub fn append(
        &mut self,
        policy_steps: u64,
        scalars: impl IntoIterator<Item = (String, f64)>,
    ) -> io::Result<()> {
        let mut line = Map::new();
        line.insert("policy_steps".to_owned(), policy_steps.into());
        let scalars = scalars.into_iter();
        line.extend(scalars.map(|(name, value)| (name, Value::from(value))));
        // In one piece, so that a crash leaves whole lines.
        let text = Value::Object(line).to_string() + "\n";
        self.file.write_all(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_run_goes_on_in_its_file() {
        let folder = tempfile::tempdir().unwrap();
        for (steps, value) in [(100, 0.5), (200, f64::NAN)] {
            let mut lines = JsonLines::open(folder.path()).unwrap();
            let scalars = [("reward/agile".to_owned(), value)];
            lines.append(steps, scalars).unwrap();
        }
        let text = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["policy_steps"], 100);
        assert_eq!(lines[0]["reward/agile"], 0.5);
        assert!(lines[1]["reward/agile"].is_null());
    }
}
