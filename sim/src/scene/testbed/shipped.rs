//! The scenes that are shipped, and those of one's own.

use std::{io, path::PathBuf};

use policies::file::read_text;
use robots::line_of;

use super::{TestbedConfig, TestbedError};

macro_rules! shipped {
    ($folder:literal: $($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../../scenes/", $folder, $name, ".toml")))),+]
    };
}

/// Name and file of each; the first is the default.
const SHIPPED: [(&str, &str); 10] = shipped!["":
    "cylinders",
    "boxes",
    "corridor",
    "slalom",
    "trap",
    "furniture",
    "people",
    "rough",
    "payload",
    "slippery",
];

/// Of the same kinds, for training: drawn from other ranges than those of the test. The furniture of `rooms` is of the same sizes.
const TRAINING: [(&str, &str); 6] =
    shipped!["training/": "halls", "lanes", "pockets", "crossings", "pedestrians", "rooms"];

/// Keys of older scene files, and what they are now.
const RENAMED: [(&str, &str); 4] = [
    ("radius_m", "obstacles.radius_m"),
    ("height_m", "obstacles.height_m"),
    ("obstacle_x_m", "obstacles.x_m"),
    ("obstacle_y_m", "obstacles.y_m"),
];

/// A scene that cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum SceneError {
    /// No such name.
    #[error("there is no scene `{name}`; there are {known}, and files that end in .toml")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A file that cannot be read.
    #[error("cannot read the scene {path}: {source}")]
    Read {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that is no scene.
    #[error("scene {name}, line {line}: {message}")]
    Parse {
        /// Name or path.
        name: String,
        /// Line of the file.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A scene that is impossible.
    #[error("scene {name}: {source}")]
    Testbed {
        /// Name or path.
        name: String,
        /// What is wrong.
        source: TestbedError,
    },
}

impl TestbedConfig {
    /// Name of each scene that is shipped, and what it is.
    pub fn shipped() -> impl Iterator<Item = (&'static str, &'static str)> {
        SHIPPED.iter().map(about)
    }

    /// Name of each scene that is shipped for training, and what it is.
    pub fn for_training() -> impl Iterator<Item = (&'static str, &'static str)> {
        TRAINING.iter().map(about)
    }

    /// A scene that is shipped, or a TOML file of one's own: what it does not say is as in the paper's test.
    ///
    /// # Errors
    /// One line for a name that nothing has, or the line or key of the file that is wrong.
    pub fn load(name_or_path: &str) -> Result<Self, SceneError> {
        let path = PathBuf::from(name_or_path);
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let text = read_text(&path).map_err(|source| SceneError::Read {
                path: path.clone(),
                source,
            })?;
            return Self::parse(&text, name_or_path, &stem);
        }
        let mut all = SHIPPED.iter().chain(&TRAINING);
        match all.find(|(name, _)| *name == name_or_path) {
            Some((name, text)) => Self::parse(text, name, name),
            None => Err(SceneError::Unknown {
                name: name_or_path.to_owned(),
                known: [&SHIPPED[..], &TRAINING]
                    .concat()
                    .iter()
                    .map(|(name, _)| *name)
                    .collect::<Vec<_>>()
                    .join(", "),
            }),
        }
    }

    pub(super) fn parse(text: &str, origin: &str, name: &str) -> Result<Self, SceneError> {
        let table: toml::Table = text.parse().unwrap_or_default();
        if let Some((old, new)) = RENAMED.iter().find(|(old, _)| table.contains_key(*old)) {
            let mut lines = text.lines();
            return Err(SceneError::Parse {
                name: origin.to_owned(),
                line: 1 + lines.position(|line| line.starts_with(old)).unwrap_or(0),
                message: format!("`{old}` was renamed to `{new}`"),
            });
        }
        let mut config: Self = toml::from_str(text).map_err(|error| SceneError::Parse {
            name: origin.to_owned(),
            line: line_of(text, &error),
            message: error.message().to_owned(),
        })?;
        name.clone_into(&mut config.name);
        config.validate().map_err(|source| SceneError::Testbed {
            name: origin.to_owned(),
            source,
        })?;
        Ok(config)
    }
}

/// The name of a scene and its first line.
fn about((name, text): &(&'static str, &'static str)) -> (&'static str, &'static str) {
    let first = text.lines().next().unwrap_or_default();
    (name, first.trim_start_matches(['#', ' ']))
}
