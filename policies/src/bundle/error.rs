use std::{io, path::Path, path::PathBuf};

use robots::{RobotError, line_of};

use crate::{
    depth::RayNetworkError,
    nn::MlpError,
    spec::{NetworkSpec, SpecError},
};

/// Why a bundle is refused: one line with the place, the fault and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {source}", path = path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The contents of a file cannot be expressed in its format.
    #[error("cannot write {path}: {message}", path = path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// The encoder's reason.
        message: String,
    },
    /// The manifest has a syntax error, a missing or unknown key, or a value of the wrong type.
    #[error("{path}:{line}: {message}", path = path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Line of the fault.
        line: usize,
        /// The parser's message.
        message: String,
    },
    /// A number of the contract is out of range.
    #[error("{path}: {source}", path = path.display())]
    Spec {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        source: SpecError,
    },
    /// The files of the robot in the bundle's folder.
    #[error(transparent)]
    Robot(#[from] RobotError),
    /// The contract does not fit what it is to be used for.
    #[error(transparent)]
    Contract(#[from] SpecError),
    /// The weights file is not the one that the manifest means.
    #[error("{path}: SHA-256 is {found}, but the manifest says `{expected}`", path = path.display())]
    Hash {
        /// The weights file.
        path: PathBuf,
        /// Hash of the file.
        found: String,
        /// Hash in the manifest.
        expected: String,
    },
    /// The weights file is cut off or holds other tensors than it should.
    #[error("{path}: {message}", path = path.display())]
    Weights {
        /// The weights file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A network is asked to do what its output does not mean.
    #[error("networks.{role} is not {expected}; its output is of another kind")]
    Kind {
        /// Role of the network.
        role: String,
        /// What it would have to be.
        expected: &'static str,
    },
    /// A value network has hidden layers of another kind.
    #[error("networks.{0}.activation must be relu")]
    Activation(String),
    /// A network of another robot, or of the same with other gains or joints.
    #[error(
        "network `{role}` is for robot `{found}`, which is not the bundle's `{expected}`, or has other joints, gains or limits"
    )]
    OtherRobot {
        /// Role of the network.
        role: String,
        /// Robot of the network.
        found: String,
        /// Robot of the bundle.
        expected: String,
    },
    /// The two policies cannot take turns.
    #[error(
        "networks.recovery.output.scale is {recovery}, must be {agile} like that of networks.agile, whose actions it observes"
    )]
    OtherActionScale {
        /// Action scale of the recovery policy.
        recovery: f32,
        /// Action scale of the agile policy.
        agile: f32,
    },
    /// The reach-avoid value tells the future of another policy.
    #[error(
        "networks.reach-avoid was trained with the agile policy {conditioned_on}, but networks.agile is {found}; train the value again \
         with this agile policy"
    )]
    OtherAgilePolicy {
        /// Hash of the policy it was trained with.
        conditioned_on: String,
        /// Hash of the policy in the bundle.
        found: String,
    },
    /// A network observes other rays than the rest.
    #[error("network `{role}` observes other rays than the bundle: {difference}")]
    NetworkRays {
        /// Role of the network.
        role: String,
        /// What differs.
        difference: String,
    },
    /// The ray network predicts rays that are not among those the policies were trained with.
    #[error("networks.rays predicts rays that are not among those of the policies: {difference}")]
    OtherRays {
        /// What differs; the number of rays, the first and the last may.
        difference: String,
    },
    /// The ray network was trained on other points around the rays, or on something else.
    #[error(
        "networks.rays has grid hash `{found}`, must be `{expected}`: it is of another version; train it anew with `abs train rays`"
    )]
    GridHash {
        /// Hash in the bundle.
        found: String,
        /// Hash of the points that are looked at.
        expected: String,
    },
    /// The convolutions do not make a ray network.
    #[error("{file}: {source}")]
    RayNetwork {
        /// Name of the weights file.
        file: String,
        /// What is wrong.
        source: RayNetworkError,
    },
    /// The layers do not make a network, or a weight is not finite.
    #[error("{file}: {source}")]
    Network {
        /// Name of the weights file.
        file: String,
        /// What is wrong.
        source: MlpError,
    },
    /// The network has the wrong number of inputs or outputs.
    #[error("{file}: network has {found} {side}, must have {expected}")]
    Width {
        /// Name of the weights file.
        file: String,
        /// `inputs` or `outputs`.
        side: &'static str,
        /// Number found.
        found: usize,
        /// Number that the robot and its rays need.
        expected: usize,
    },
}

impl BundleError {
    pub(super) fn kind(role: &str, expected: &'static str) -> Self {
        Self::Kind {
            role: role.to_owned(),
            expected,
        }
    }

    pub(super) fn network(spec: &NetworkSpec, source: MlpError) -> Self {
        Self::Network {
            file: spec.file.clone(),
            source,
        }
    }

    pub(super) fn manifest(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        Self::Manifest {
            path: path.to_owned(),
            line: line_of(text, error),
            message: error.message().replace('\n', " "),
        }
    }
}
