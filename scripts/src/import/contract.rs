//! What a network from elsewhere means, as its owner writes it.

use std::path::Path;

use anyhow::{Result, anyhow};
use policies::{
    Activation, Quantity, RaySpec, TwistRange,
    observation::{ObservationTerm, terms},
    spec::{PolicySpec, role},
};
use robots::{Robot, line_of};
use serde::{
    Deserialize, Deserializer,
    de::{IntoDeserializer as _, value::StrDeserializer},
};

/// The contract of a network. What is not given is as in the robot's folder. Vectors over joints and feet are in the order of the network,
/// which `joints` and `legs` tell.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Contract {
    /// Name of a robot that is shipped, or path of a robot folder.
    pub robot: Option<String>,
    /// What the network is in the bundle.
    pub role: Option<String>,
    /// Length of a policy step, s.
    pub policy_step_s: Option<f32>,
    /// Names of the legs.
    pub legs: Option<Vec<String>>,
    /// Names of the joints; leg by leg where not given.
    pub joints: Option<Vec<String>>,
    /// Joint positions that action zero stands for, rad.
    pub default_position_rad: Option<Numbers>,
    /// Stiffness, N·m/rad.
    pub stiffness: Option<Numbers>,
    /// Damping, N·m·s/rad.
    pub damping: Option<Numbers>,
    /// Joint angle of one unit of action, rad.
    pub action_scale: Option<Numbers>,
    /// Bound on the absolute action.
    pub action_clip: Option<f32>,
    /// Activation between the layers; an ONNX model has it.
    pub activation: Option<Activation>,
    /// Activation behind the last layer; an ONNX model may have it.
    pub output_activation: Option<Activation>,
    /// Output of an ONNX model that is the action.
    pub output: Option<String>,
    /// What comes before the numbers in the names of a safetensors file.
    pub layers: Option<String>,
    /// What is done to the observation before the first layer, unless the network has it.
    pub normalization: Option<Normalization>,
    /// What the network observes, in order.
    pub observations: Option<Vec<Term>>,
    /// How several policy steps stand in the observation.
    pub stacking: Stacking,
    /// Which of several policy steps comes first.
    pub history_order: HistoryOrder,
    /// The rays that it observes.
    pub rays: Option<RaySpec>,
    /// The twists that it was trained to follow.
    pub twist_range: Option<TwistRange>,
    /// Rays that end farther behind the goal than this are shortened, m.
    pub illusion_margin_m: Option<f32>,
}

/// One number for all, or one for each.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged, expecting = "must be a number or a list of numbers")]
pub enum Numbers {
    /// The same for all.
    All(f32),
    /// In order.
    Each(Vec<f32>),
}

/// An observed quantity: observed value = clip(scale * quantity).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// What is observed.
    #[serde(deserialize_with = "quantity")]
    pub term: Quantity,
    /// Factor from the quantity's unit to the observed value, of the whole term or for each of its numbers.
    #[serde(default = "unscaled")]
    pub scale: Numbers,
    /// Bound on the absolute observed value.
    pub clip: Option<f32>,
    /// Policy steps that are observed.
    #[serde(default = "one")]
    pub history: usize,
    /// Per number: `false` observes zero in its place.
    #[serde(default)]
    pub mask: Vec<bool>,
}

/// Takes (observation - mean) / (std + epsilon).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    /// Mean of each number of the observation.
    pub mean: Vector,
    /// Standard deviation of each number.
    pub std: Vector,
    /// Added to the standard deviation.
    #[serde(default)]
    pub epsilon: f64,
}

/// Numbers of a contract or of a safetensors file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(
    untagged,
    expecting = "must be a list of numbers or the name of a tensor"
)]
pub enum Vector {
    /// As they are.
    Numbers(Vec<f64>),
    /// Name of a tensor.
    Tensor(String),
}

/// How several policy steps stand in an observation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stacking {
    /// All steps of the first term, then all of the second.
    #[default]
    Terms,
    /// All terms of one step, then all of the next.
    Frames,
}

/// Which of several policy steps comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HistoryOrder {
    /// The present one is the last.
    #[default]
    OldestFirst,
    /// The present one is the first.
    NewestFirst,
}

/// What the terms are called elsewhere: in Isaac Lab, mjlab, legged_gym and legged_control.
const OTHER_NAMES: [(&str, &str); 14] = [
    ("base_lin_vel", "linear-velocity-base"),
    ("base_ang_vel", "angular-velocity-base"),
    ("projected_gravity", "projected-gravity-base"),
    ("velocity_commands", "twist-command"),
    ("commands", "twist-command"),
    ("command", "twist-command"),
    ("joint_pos", "joint-position"),
    ("joint_positions", "joint-position"),
    ("dof_pos", "joint-position"),
    ("joint_vel", "joint-velocity"),
    ("joint_velocities", "joint-velocity"),
    ("dof_vel", "joint-velocity"),
    ("actions", "previous-action"),
    ("last_action", "previous-action"),
];

impl Contract {
    /// Reads a contract.
    ///
    /// # Errors
    /// File, line and fault.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| {
            let line = line_of(text, &error);
            let message = error.message().replace('\n', " ");
            anyhow!("{}:{line}: {message}", path.display())
        })
    }

    /// The contract that the recipe of this role would give a policy of this robot.
    pub fn of_recipe(robot: &str, role: &str) -> Self {
        let rays = RaySpec::default();
        let (observations, rays) = match role {
            role::AGILE => (terms::agile(&rays), Some(rays)),
            _ => (terms::recovery(), None),
        };
        Self {
            robot: Some(robot.to_owned()),
            role: Some(role.to_owned()),
            observations: Some(observations.into_iter().map(Term::from).collect()),
            rays,
            ..Self::default()
        }
    }

    /// The contract of a bundle's networks without networks: robot, rays and policy step.
    pub fn spec(&self, robot: &Robot) -> PolicySpec {
        let rays = self.rays.clone().unwrap_or_default();
        PolicySpec {
            illusion_margin_m: self.illusion_margin_m,
            ..PolicySpec::new(robot, &rays, self.policy_step_s.unwrap_or(POLICY_STEP_S))
        }
    }
}

impl Term {
    /// A quantity by its name here or elsewhere, without scale, clip and history.
    #[cfg(feature = "onnx")]
    pub fn named(name: &str) -> Result<Self> {
        let name: StrDeserializer<'_, serde::de::value::Error> = name.into_deserializer();
        Ok(Self {
            term: quantity(name)?,
            scale: unscaled(),
            clip: None,
            history: 1,
            mask: Vec::new(),
        })
    }
}

/// Policy step of a contract that does not say it, s.
pub const POLICY_STEP_S: f32 = 0.02;

impl From<ObservationTerm> for Term {
    fn from(term: ObservationTerm) -> Self {
        Self {
            scale: Numbers::All(term.scale.unwrap_or(term.term.spec().scale)),
            term: term.term,
            clip: term.clip,
            history: term.history,
            mask: term.mask,
        }
    }
}

/// A quantity by its name here or elsewhere.
fn quantity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Quantity, D::Error> {
    let name = String::deserialize(deserializer)?;
    let other = OTHER_NAMES.iter().find(|(other, _)| *other == name);
    let name = other.map_or(name.as_str(), |(_, own)| own);
    let name: StrDeserializer<'_, D::Error> = name.into_deserializer();
    Quantity::deserialize(name)
}

fn unscaled() -> Numbers {
    Numbers::All(1.0)
}

fn one() -> usize {
    1
}
