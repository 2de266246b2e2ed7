//! Export of bundles: ONNX models that any runtime runs, and the contract that says what goes in and comes out.

mod contract;
mod graph;
mod networks;
mod parity;
mod scenes;
mod twist_search;

use std::{fs, io, path::Path};

use anyhow::{Context as _, Result, ensure};
use policies::{
    Bundle,
    file::{folder_of, write_atomic},
    spec::{SpecError, role},
};
use prost::Message as _;
use robots::Robot;
use sim::engine::{PhysicsConfig, robot_mjcf};

use contract::Contract;
use parity::{OTHER_TWISTS, SEARCH_TOLERANCE};

use crate::parity::{INPUTS, TOLERANCE};

/// Name of the contract in an exported folder.
pub const CONTRACT_FILE: &str = "contract.json";
/// Name of the robot's MJCF.
pub const ROBOT_FILE: &str = "robot.xml";
/// Name of the test scenes.
pub const SCENES_FILE: &str = "scenes.json";
/// Name of the model of the twist search.
const TWIST_SEARCH_FILE: &str = "twist-search.onnx";
/// Key of the contract in the metadata of every model.
const CONTRACT_KEY: &str = "contract";

/// A bundle that cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// What there is to export is not in the bundle, or does not fit.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The twist search needs the goal.
    #[error(
        "networks.reach-avoid must observe `goal-position` with scale 1 and without clip: the twist search takes the goal from there"
    )]
    NoGoal,
    /// A network that observes images.
    #[error(
        "network `{0}` cannot be exported: it observes a grid of signed distances that is built from a depth image, not terms of an observation"
    )]
    Images(String),
    /// Nothing that can be exported.
    #[error("no network that can be exported: it has {0}")]
    Nothing(String),
}

/// A model of an exported folder.
pub struct Exported {
    /// File in the folder.
    pub file: String,
    /// Its size, bytes.
    pub bytes: usize,
    /// How it compares with what the bundle does.
    pub agreement: String,
}

/// Everything that is written, before it is.
pub struct Export {
    files: Vec<(String, Vec<u8>)>,
    /// The models.
    pub models: Vec<Exported>,
    /// Roles of networks that cannot be exported.
    pub skipped: Vec<String>,
}

impl Export {
    /// Makes models of these networks of a bundle, all that can be where none is named, and compares each with its network.
    ///
    /// # Errors
    /// One line if a network cannot be exported, or a model does not compute what its network does.
    pub fn new(bundle: &Bundle, robot: &Robot, roles: &[String]) -> Result<Self> {
        let (mut graphs, mut skipped) = (Vec::new(), Vec::new());
        let all = bundle.spec.networks.keys();
        let is_wanted = |role: &&String| roles.is_empty() || roles.contains(role);
        for role in roles {
            bundle.spec.network(role)?;
        }
        for role in all.filter(is_wanted) {
            match networks::graph(bundle, role)? {
                Some(graph) => graphs.push((role.as_str(), graph)),
                None if roles.is_empty() => skipped.push(role.clone()),
                None => return Err(ExportError::Images(role.clone()).into()),
            }
        }
        if graphs.is_empty() {
            let found = match skipped.is_empty() {
                true => "none at all".to_owned(),
                false => skipped.join(", "),
            };
            return Err(ExportError::Nothing(found).into());
        }
        let search = match graphs.iter().any(|(role, _)| *role == role::REACH_AVOID) {
            true => Some(twist_search::graph(bundle)?),
            false => None,
        };
        let file = |role: &str| format!("{role}.onnx");
        let names: Vec<_> = graphs.iter().map(|(role, _)| (*role, file(role))).collect();
        let search_file = search.is_some().then_some(TWIST_SEARCH_FILE);
        let contract = Contract::new(bundle, robot, &names, search_file)?;
        let contract = serde_json::to_string_pretty(&contract)?;
        let metadata = [(CONTRACT_KEY, contract.as_str())];

        let (mut files, mut models) = (Vec::new(), Vec::new());
        let mut add = |file: String, bytes: Vec<u8>, agreement: String| {
            models.push(Exported {
                file: file.clone(),
                bytes: bytes.len(),
                agreement,
            });
            files.push((file, bytes));
        };
        for (role, graph) in graphs {
            let bytes = graph.model(role, &metadata).encode_to_vec();
            let parity = parity::of_network(&bytes, bundle, role)?;
            ensure!(
                parity.beyond == 0,
                "the model of `{role}` differs from its network by {}, must be at most {TOLERANCE}",
                parity.largest
            );
            let agreement = format!("same as the bundle within {:.0e}", parity.largest);
            add(file(role), bytes, agreement);
        }
        if let Some(graph) = search {
            let bytes = graph.model("twist-search", &metadata).encode_to_vec();
            let [twists, values] = parity::of_twist_search(&bytes, bundle, robot)?;
            ensure!(
                values.largest <= SEARCH_TOLERANCE && twists.beyond <= OTHER_TWISTS,
                "the model of the twist search finds other twists than the controller in {} of {INPUTS} scenes, and values that differ by up to {}; \
                 must be at most {OTHER_TWISTS} and {SEARCH_TOLERANCE}",
                twists.beyond,
                values.largest
            );
            let agreement = format!(
                "same twist in {} of {INPUTS} scenes, same value within {:.0e}",
                INPUTS - twists.beyond,
                values.largest
            );
            add(TWIST_SEARCH_FILE.to_owned(), bytes, agreement);
        }
        files.push((CONTRACT_FILE.to_owned(), contract.into_bytes()));
        let mjcf = robot_mjcf(robot, &PhysicsConfig::default());
        files.push((ROBOT_FILE.to_owned(), mjcf.into_bytes()));
        Ok(Self {
            files,
            models,
            skipped,
        })
    }

    /// Adds the first scenes of the paper's test with this seed.
    ///
    /// # Errors
    /// When a scene cannot be drawn.
    pub fn add_scenes(&mut self, robot: &Robot, seed: u64, count: u64) -> Result<()> {
        let scenes = scenes::json(robot, seed, count)?;
        self.files.push((SCENES_FILE.to_owned(), scenes));
        Ok(())
    }

    /// Writes the folder, which must not exist; it appears whole.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let write = || -> io::Result<()> {
            let parent = folder_of(folder);
            fs::create_dir_all(parent)?;
            let mut builder = tempfile::Builder::new();
            // Temporary folders are private by default; what we leave is an ordinary folder.
            #[cfg(unix)]
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
            let temporary = builder.tempdir_in(parent)?;
            for (file, bytes) in &self.files {
                write_atomic(&temporary.path().join(file), bytes)?;
            }
            fs::rename(temporary.path(), folder)
        };
        write().with_context(|| format!("cannot write {}", folder.display()))
    }
}

#[cfg(test)]
mod tests;
