//! Where the files of a robot come from.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use quick_xml::{Reader, events::Event};

use crate::{
    assemble::assemble,
    atomic_file::write_atomic,
    bounded_file,
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
        RobotFiles::read(name_or_path)?.robot()
    }
}

/// The files that describe a robot, so that what was made for it can keep a copy.
#[derive(Clone, Debug)]
pub struct RobotFiles {
    /// Where `robot.toml` and the URDF were read, for messages.
    places: [String; 2],
    description: String,
    urdf_name: String,
    urdf: String,
    /// That of the URDF, if it is on disk.
    folder: Option<PathBuf>,
    /// Visual meshes that are to be written, by their paths in the folder; what is read has none.
    meshes: Vec<(String, Vec<u8>)>,
}

impl PartialEq for RobotFiles {
    /// Whether they say the same, wherever they are.
    fn eq(&self, other: &Self) -> bool {
        (&self.description, &self.urdf) == (&other.description, &other.urdf)
    }
}

impl RobotFiles {
    /// Reads the files of the robot that [`Robot::load`] loads.
    ///
    /// # Errors
    /// One line with file, fault and remedy when there is no such robot or a file cannot be read.
    pub fn read(name_or_path: &str) -> Result<Self, RobotError> {
        Self::of(&Folder::find(name_or_path)?)
    }

    /// Reads the files of the robot in a folder; `None` if it holds no `robot.toml`.
    ///
    /// # Errors
    /// One line with file, fault and remedy when a file cannot be read.
    pub fn in_folder(folder: &Path) -> Result<Option<Self>, RobotError> {
        let is_robot = folder.join(DESCRIPTION_FILE).is_file();
        is_robot
            .then(|| Self::of(&Folder::Path(folder.to_owned())))
            .transpose()
    }

    /// Files that are not on disk yet; the URDF is called as the robot, meshes have their paths in the folder.
    #[cfg(feature = "import")]
    pub(crate) fn new(
        name: &str,
        description: String,
        urdf: String,
        meshes: Vec<(String, Vec<u8>)>,
    ) -> Self {
        let urdf_name = format!("{name}.urdf");
        Self {
            places: [DESCRIPTION_FILE.to_owned(), urdf_name.clone()],
            description,
            urdf_name,
            urdf,
            folder: None,
            meshes,
        }
    }

    /// The same with another `robot.toml`.
    #[cfg(feature = "import")]
    pub(crate) fn with_description(&self, description: String) -> Self {
        Self {
            description,
            ..self.clone()
        }
    }

    /// Where `robot.toml` was read.
    #[cfg(feature = "import")]
    pub(crate) fn description_place(&self) -> &str {
        &self.places[0]
    }

    fn of(folder: &Folder) -> Result<Self, RobotError> {
        let place = folder.place(DESCRIPTION_FILE);
        let text = folder.read(DESCRIPTION_FILE)?;
        let urdf_name = Description::parse(&place, &text)?.urdf;
        let urdf = folder.read(&urdf_name).map_err(|error| match error {
            RobotError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Problem::NoSuchFile(urdf_name.clone()).in_file(&place)
            }
            error => error,
        })?;
        let on_disk = match folder {
            Folder::BuiltIn { .. } => None,
            Folder::Path(path) => path.join(&urdf_name).parent().map(Path::to_owned),
        };
        Ok(Self {
            places: [place, folder.place(&urdf_name)],
            description: text,
            urdf_name,
            urdf,
            folder: on_disk,
            meshes: Vec::new(),
        })
    }

    /// `robot.toml`.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The URDF.
    pub fn urdf(&self) -> &str {
        &self.urdf
    }

    /// The robot that they describe.
    ///
    /// # Errors
    /// One line with file, fault and remedy.
    pub fn robot(&self) -> Result<Robot, RobotError> {
        let [place, urdf_place] = &self.places;
        let description = Description::parse(place, &self.description)?;
        let syntax = |message: String| RobotError::Syntax {
            place: urdf_place.clone(),
            message: message.replace('\n', " "),
        };
        check_depth(&self.urdf).map_err(syntax)?;
        let urdf = urdf_rs::read_from_string(&self.urdf).map_err(|e| syntax(e.to_string()))?;
        let folder = self.folder.as_deref();
        assemble(&description, &urdf, folder, place, urdf_place)
    }

    /// Writes them into `folder`, which is made if there is none. Files appear whole.
    ///
    /// # Errors
    /// Those of the operating system, or when the URDF is not in the robot's folder itself.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        if Path::new(&self.urdf_name).file_name() != Some(self.urdf_name.as_ref()) {
            let [place, _] = &self.places;
            let name = &self.urdf_name;
            return Err(io::Error::other(format!(
                "{place}: urdf = {name:?} is not beside robot.toml, where a copy can be kept; move it there"
            )));
        }
        fs::create_dir_all(folder)?;
        write_atomic(&folder.join(DESCRIPTION_FILE), self.description.as_bytes())?;
        write_atomic(&folder.join(&self.urdf_name), self.urdf.as_bytes())?;
        for (file, bytes) in &self.meshes {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap_or(folder))?;
            write_atomic(&path, bytes)?;
        }
        Ok(())
    }
}

/// Elements within each other; a URDF needs six.
const MAX_DEPTH: usize = 50;

/// The parser of URDFs follows elements within each other to the end of its stack.
pub(crate) fn check_depth(xml: &str) -> Result<(), String> {
    let mut reader = Reader::from_str(xml);
    let mut depth: usize = 0;
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(_) if depth == MAX_DEPTH => {
                return Err(format!("more than {MAX_DEPTH} elements within each other"));
            }
            Event::Start(_) => depth += 1,
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::Eof => return Ok(()),
            _ => {}
        }
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
            Self::Path(path) => bounded_file::read_text(&path.join(file)),
        };
        text.map_err(|source| RobotError::Read {
            path: self.place(file).into(),
            source,
        })
    }
}
