//! The contract of a bundle: everything that gives the numbers of its networks their meaning. The trainer writes it; simulation, evaluation,
//! deployment, replay and export read it, and nothing beside it.

mod error;
mod robot;
mod switch;

use std::collections::BTreeMap;

use robots::Robot;
use serde::{Deserialize, Serialize};

pub use error::SpecError;
pub use robot::RobotSpec;
pub use switch::{SwitchOverrides, SwitchSpec, TwistSearchOverrides, TwistSearchSpec};

use crate::{
    depth::{Convolution, RayGrid},
    nn::Activation,
    observation::{Layout, ObservationTerm, Quantity, TermError},
    policy::{ACTION_CLIP, TwistRange},
    rays::RaySpec,
};

/// The version of the manifest that this program reads and writes.
pub const SPEC_VERSION: u32 = 2;

/// Names of the networks that the controller knows how to use together. Any other policy runs under the name that its bundle gives it.
pub mod role {
    /// Runs to a goal among obstacles.
    pub const AGILE: &str = "agile";
    /// Tracks the twist of the search.
    pub const RECOVERY: &str = "recovery";
    /// Tells whether the agile policy will reach its goal without a collision.
    pub const REACH_AVOID: &str = "reach-avoid";
    /// Predicts the rays from depth images.
    pub const RAYS: &str = "rays";
}

/// What a bundle holds, for which robot, and what it means: the manifest `bundle.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySpec {
    /// Version of the manifest, [`SPEC_VERSION`].
    pub version: u32,
    /// Length of a policy step, s.
    pub policy_step_s: f32,
    /// Rays that end farther behind the goal than this are shortened as in training, m; none are where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub illusion_margin_m: Option<f32>,
    /// What the networks drive.
    pub robot: RobotSpec,
    /// The rays that they observe.
    #[serde(default)]
    pub rays: RaySpec,
    /// When the recovery policy takes over; read where there is a reach-avoid value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<SwitchSpec>,
    /// The networks by role.
    pub networks: BTreeMap<String, NetworkSpec>,
}

/// One network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// Name of its safetensors file in the bundle folder, with float32 tensors `layers.<i>.weight` [outputs, inputs] and `layers.<i>.bias`
    /// \[outputs\].
    pub file: String,
    /// SHA-256 of that file, hexadecimal.
    #[serde(default)]
    pub sha256: String,
    /// Activation of the hidden layers.
    pub activation: Activation,
    /// What its output means.
    pub output: Output,
    /// What it observes, in order. None for a network of images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observations: Vec<ObservationTerm>,
    /// The twists that it was trained to follow, where it follows any and they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub twist_range: Option<TwistRange>,
    /// Where it comes from.
    #[serde(default)]
    pub provenance: Provenance,
}

/// What the output of a network means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Output {
    /// One action per joint: joint target = default joint position + scale * clipped action.
    Actions {
        /// Joint angle of one unit of action, rad.
        scale: f32,
        /// Bound on the absolute action.
        clip: f32,
        /// Activation of the last layer.
        #[serde(default, skip_serializing_if = "Activation::is_identity")]
        activation: Activation,
    },
    /// One number behind a tanh: below the threshold of the switch it is safe to go on.
    Value {
        /// SHA-256 of the agile policy whose future it tells; it knows nothing of any other.
        policy_sha256: String,
    },
    /// Logarithms of ray distances, of a signed distance grid around the rays.
    Rays {
        /// The rays that it predicts: all that the policies observe, or those in the middle.
        rays: RaySpec,
        /// SHA-256 of the grid's points.
        grid_sha256: String,
        /// Shapes of the convolutions, whose filters are the first layers of the file (vertical * horizontal * channels inputs).
        convolutions: Vec<Convolution>,
    },
}

/// Where a network comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Provenance {
    /// Revision of the source, with `-dirty` where the work tree differed.
    pub git_revision: String,
    /// Seed of the training run.
    pub seed: u64,
    /// Policy steps, or images, that it learned from.
    pub policy_steps: u64,
    /// Day of the export.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// Resolved configuration of the training run, TOML.
    pub config: String,
    /// The file that it was imported from, where it was trained elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imported_from: Option<ImportedFile>,
}

/// A file of another program, from which a network was imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportedFile {
    /// Its name.
    pub name: String,
    /// Its SHA-256, hexadecimal.
    pub sha256: String,
}

impl NetworkSpec {
    /// A policy of this role with ELU between its layers.
    pub fn policy(
        role: &str,
        observations: Vec<ObservationTerm>,
        action_scale: f32,
        provenance: Provenance,
    ) -> Self {
        let output = Output::Actions {
            scale: action_scale,
            clip: ACTION_CLIP,
            activation: Activation::Identity,
        };
        Self {
            observations,
            ..Self::new(role, Activation::Elu, output, provenance)
        }
    }

    /// A reach-avoid value of the agile policy whose file has this hash.
    pub fn value(
        observations: Vec<ObservationTerm>,
        policy_sha256: &str,
        provenance: Provenance,
    ) -> Self {
        let policy_sha256 = policy_sha256.to_owned();
        let output = Output::Value { policy_sha256 };
        Self {
            observations,
            ..Self::new(role::REACH_AVOID, Activation::Relu, output, provenance)
        }
    }

    /// A network that predicts `rays` from depth images.
    pub fn rays(rays: &RaySpec, convolutions: Vec<Convolution>, provenance: Provenance) -> Self {
        let output = Output::Rays {
            rays: rays.clone(),
            grid_sha256: RayGrid::new(rays).hash(),
            convolutions,
        };
        Self::new(role::RAYS, Activation::Relu, output, provenance)
    }

    fn new(role: &str, activation: Activation, output: Output, provenance: Provenance) -> Self {
        Self {
            file: format!("{role}.safetensors"),
            sha256: String::new(),
            activation,
            output,
            observations: Vec::new(),
            twist_range: None,
            provenance,
        }
    }
}

impl PolicySpec {
    /// A contract without networks.
    pub fn new(robot: &Robot, rays: &RaySpec, policy_step_s: f32) -> Self {
        Self {
            version: SPEC_VERSION,
            policy_step_s,
            illusion_margin_m: None,
            robot: RobotSpec::from(robot),
            rays: rays.clone(),
            switch: None,
            networks: BTreeMap::new(),
        }
    }

    /// The network of this role.
    ///
    /// # Errors
    /// When there is none, with those that there are.
    pub fn network(&self, role: &str) -> Result<&NetworkSpec, SpecError> {
        self.networks.get(role).ok_or_else(|| {
            let roles: Vec<_> = self.networks.keys().map(String::as_str).collect();
            SpecError::NoNetwork {
                role: role.to_owned(),
                found: roles.join(", "),
            }
        })
    }

    /// The layout of the observations of this role.
    ///
    /// # Errors
    /// When there is no such network, or the first term that cannot be observed.
    pub fn layout(&self, role: &str) -> Result<Layout, SpecError> {
        let terms = &self.network(role)?.observations;
        let is_known = |term: &ObservationTerm| term.term != Quantity::Reality;
        let layout = match terms.iter().all(is_known) {
            true => Layout::new(terms, &self.robot, &self.rays),
            false => Err(TermError::OnlyCritics),
        };
        layout.map_err(|source| SpecError::Term {
            role: role.to_owned(),
            source,
        })
    }

    /// Whether the network of this role observes a quantity: a goal to run to, a twist to track.
    pub fn observes(&self, role: &str, quantity: Quantity) -> bool {
        let network = self.networks.get(role);
        network.is_some_and(|network| {
            let mut terms = network.observations.iter();
            terms.any(|term| term.term == quantity)
        })
    }

    /// Whether policies act at this period.
    ///
    /// # Errors
    /// Names both values.
    pub fn check_policy_step(&self, policy_step_s: f32) -> Result<(), SpecError> {
        if (self.policy_step_s - policy_step_s).abs() <= 1e-5 {
            return Ok(());
        }
        Err(SpecError::Differs {
            what: "policy_step_s".to_owned(),
            trained: self.policy_step_s.to_string(),
            found: policy_step_s.to_string(),
        })
    }

    /// Whether every number can be meant.
    ///
    /// # Errors
    /// The first that cannot.
    pub fn validate(&self) -> Result<(), SpecError> {
        let in_range = |what: &str, value: f32, ok: bool, right| match ok {
            true => Ok(()),
            false => Err(SpecError::Value {
                what: what.to_owned(),
                value,
                right,
            }),
        };
        if self.version != SPEC_VERSION {
            return Err(SpecError::Version(self.version));
        }
        let step_s = self.policy_step_s;
        let ok = (0.001..=1.0).contains(&step_s);
        in_range("policy_step_s", step_s, ok, "0.001 to 1 s")?;
        if let Some(margin_m) = self.illusion_margin_m {
            let ok = (0.0..=1000.0).contains(&margin_m);
            in_range("illusion_margin_m", margin_m, ok, "0 to 1000 m")?;
        }
        self.robot.validate()?;
        self.rays.validate().map_err(SpecError::Rays)?;
        if let Some(switch) = &self.switch {
            switch.validate()?;
        }
        for (role, network) in &self.networks {
            let is_name =
                std::path::Path::new(&network.file).file_name() == Some(network.file.as_ref());
            if !is_name {
                return Err(SpecError::FileName {
                    role: role.clone(),
                    file: network.file.clone(),
                });
            }
            if network.twist_range.is_some_and(|range| !range.is_valid()) {
                return Err(SpecError::TwistRange(role.clone()));
            }
            match &network.output {
                Output::Actions { scale, clip, .. } => {
                    for (what, value) in [("scale", *scale), ("clip", *clip)] {
                        let ok = value > 0.0 && value.is_finite();
                        let what = format!("networks.{role}.output.{what}");
                        in_range(&what, value, ok, "positive and finite")?;
                    }
                    self.layout(role)?;
                }
                Output::Value { .. } => {
                    let layout = self.layout(role)?;
                    let searched = [Quantity::LinearVelocityBase, Quantity::AngularVelocityBase];
                    let missing = searched.into_iter().find(|q| layout.range(*q).is_none());
                    if let Some(missing) = missing {
                        return Err(SpecError::ValueWithoutTwist {
                            role: role.clone(),
                            term: missing.spec().name,
                        });
                    }
                }
                Output::Rays { rays, .. } => rays.validate().map_err(SpecError::Rays)?,
            }
        }
        Ok(())
    }
}
