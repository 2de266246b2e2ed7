use std::{io, path::Path, path::PathBuf};

use crate::{
    depth::RayNetworkError,
    mlp::MlpError,
    rays::{RaySpec, RaySpecError},
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
    /// The rays are impossible.
    #[error("{path}: ray_spec: {source}", path = path.display())]
    Rays {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        source: RaySpecError,
    },
    /// The weights are to be read from another folder.
    #[error("{path}: weights is `{name}`, must be the name of a file in the bundle folder", path = path.display())]
    WeightsName {
        /// The manifest.
        path: PathBuf,
        /// What it says.
        name: String,
    },
    /// The weights file is cut off or holds other tensors than it should.
    #[error("{path}: {message}", path = path.display())]
    Weights {
        /// The weights file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The bundle lacks the network that was asked for.
    #[error("bundle has no [{0}] network; train one or use another bundle")]
    MissingMember(&'static str),
    /// The bundle was made for another robot.
    #[error("bundle is for robot `{bundle}`, but the robot is `{robot}`")]
    Robot {
        /// Robot of the bundle.
        bundle: String,
        /// Robot at hand.
        robot: String,
    },
    /// The network observes other quantities.
    #[error("[{name}] observes [{found}], but this version gives [{expected}]")]
    Layout {
        /// Member of the bundle.
        name: &'static str,
        /// Quantities in the bundle.
        found: String,
        /// Quantities of this version.
        expected: String,
    },
    /// The network observes the same quantities, but they meant something else.
    #[error(
        "[{name}] has layout hash {found}, must be {expected}: widths, units, scales, rays or default joint positions \
         differ from those it was trained with"
    )]
    LayoutHash {
        /// Member of the bundle.
        name: &'static str,
        /// Hash in the bundle.
        found: String,
        /// Hash of this version.
        expected: String,
    },
    /// The action scale is unusable.
    #[error("[{name}] has action_scale {value}, must be positive and finite")]
    ActionScale {
        /// Member of the bundle.
        name: &'static str,
        /// What it says.
        value: f32,
    },
    /// The two policies cannot take turns.
    #[error(
        "[recovery] has action_scale {recovery}, must be {agile} like [agile], whose actions it observes"
    )]
    OtherActionScale {
        /// Action scale of the recovery policy.
        recovery: f32,
        /// Action scale of the agile policy.
        agile: f32,
    },
    /// The reach-avoid value tells the future of another policy.
    #[error(
        "[reach_avoid] was trained with the agile policy {conditioned_on}, but [agile] is {found}; train the value again \
         with this agile policy"
    )]
    OtherAgilePolicy {
        /// Hash of the policy it was trained with.
        conditioned_on: String,
        /// Hash of the policy in the bundle.
        found: String,
    },
    /// Every value, or none, would be safe.
    #[error("[reach_avoid] has threshold {0}, must be between -1 and 1, like the value")]
    Threshold(f32),
    /// No twist, or a worse one than the worst, would do.
    #[error("[reach_avoid] has min_gain {0}, must be -2 or more and below 2")]
    MinGain(f32),
    /// The ray network predicts rays that are not among those the policies were trained with.
    #[error(
        "[rays] predicts {found:?}, which are not among the rays that the policies were trained with, {expected:?}"
    )]
    OtherRays {
        /// Rays of the network.
        found: RaySpec,
        /// Rays of the bundle.
        expected: RaySpec,
    },
    /// The ray network was trained on other points around the rays, or on something else.
    #[error(
        "[rays] has grid hash `{found}`, must be `{expected}`: it is of another version; train it anew with `abs train rays`"
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
    pub(super) fn manifest(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let start = error.span().map_or(0, |span| span.start);
        Self::Manifest {
            path: path.to_owned(),
            line: text[..start].matches('\n').count() + 1,
            message: error.message().replace('\n', " "),
        }
    }
}
