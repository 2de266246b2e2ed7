//! Where the files of a robot come from.

use std::{fs, io, path::PathBuf};

use crate::{
    assemble::assemble,
    description::Description,
    error::{Problem, RobotError},
    model::Robot,
};

const DESCRIPTION_FILE: &str = "robot.toml";

/// Name and contents of a file.
type Embedded = (&'static str, &'static str);

/// Robot folders beside this crate's manifest, embedded by the build script: name and files, in order of name.
static BUILT_IN: &[(&str, &[Embedded])] = include!(concat!(env!("OUT_DIR"), "/built_in.rs"));

enum Folder {
    BuiltIn {
        name: &'static str,
        files: &'static [Embedded],
    },
    Path(PathBuf),
}

impl Robot {
    /// Names of the built-in robots.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// Loads a built-in robot by its name, or a robot from the folder that holds its `robot.toml`. A built-in name
    /// wins over a folder of that name; `./go1` means the folder.
    ///
    /// # Errors
    /// One line with file, fault and remedy when there is no such robot or its files do not describe one.
    pub fn load(name_or_path: &str) -> Result<Self, RobotError> {
        let folder = Folder::find(name_or_path)?;
        let description = Description::parse(
            &folder.place(DESCRIPTION_FILE),
            &folder.read(DESCRIPTION_FILE)?,
        )?;
        let urdf = folder
            .read(&description.urdf)
            .map_err(|error| match error {
                RobotError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                    Problem::NoSuchFile(description.urdf.clone())
                        .in_file(&folder.place(DESCRIPTION_FILE))
                }
                error => error,
            })?;
        let urdf_file = folder.place(&description.urdf);
        let urdf = urdf_rs::read_from_string(&urdf).map_err(|error| RobotError::Syntax {
            place: urdf_file.clone(),
            message: error.to_string().replace('\n', " "),
        })?;
        assemble(
            &description,
            &urdf,
            &folder.place(DESCRIPTION_FILE),
            &urdf_file,
        )
    }
}

impl Folder {
    fn find(name_or_path: &str) -> Result<Self, RobotError> {
        if let Some((name, files)) = BUILT_IN.iter().find(|(name, _)| *name == name_or_path) {
            return Ok(Self::BuiltIn { name, files });
        }
        let path = PathBuf::from(name_or_path);
        if path.join(DESCRIPTION_FILE).is_file() {
            return Ok(Self::Path(path));
        }
        Err(RobotError::NotFound {
            name: name_or_path.to_owned(),
            built_in: Robot::names().collect::<Vec<_>>().join(", "),
        })
    }

    /// A file's name for messages.
    fn place(&self, file: &str) -> String {
        match self {
            Self::BuiltIn { name, .. } => format!("{name}/{file}"),
            Self::Path(path) => path.join(file).display().to_string(),
        }
    }

    fn read(&self, file: &str) -> Result<String, RobotError> {
        let text = match self {
            Self::BuiltIn { files, .. } => files
                .iter()
                .find(|(name, _)| *name == file)
                .map(|(_, text)| (*text).to_owned())
                .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)),
            Self::Path(path) => fs::read_to_string(path.join(file)),
        };
        text.map_err(|source| RobotError::Read {
            path: self.place(file).into(),
            source,
        })
    }
}
