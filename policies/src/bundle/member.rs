//! What a bundle says about each of its networks.

use robots::Robot;
use serde::{Deserialize, Serialize};

use super::{BundleError, weights};
use crate::{
    action::ActionMap,
    depth::{Convolution, RayGrid, RayNetwork},
    mlp::{Activation, Linear, Mlp},
    observation::{Layout, Quantity},
    policy::Policy,
    ray_memory::RayMemory,
    rays::RaySpec,
    reach_avoid::{DEFAULT_MIN_GAIN, DEFAULT_THRESHOLD, ReachAvoidValue},
};

/// A policy of a bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// What it observes, in order.
    pub layout: Vec<Quantity>,
    /// [`Layout::hash`] at the time of training.
    pub layout_hash: String,
    /// Joint target = default joint position + this * action, rad.
    pub action_scale: f32,
    /// Activation of the hidden layers; the output is linear.
    pub activation: Activation,
    /// Name of the safetensors file in the bundle folder, with float32 tensors `layers.<i>.weight` [outputs, inputs]
    /// and `layers.<i>.bias` \[outputs\].
    pub weights: String,
    /// Where it comes from.
    pub provenance: Provenance,
    /// Contents of the weights file, first layer first.
    #[serde(skip)]
    pub layers: Vec<Linear>,
}

/// The reach-avoid value of a bundle: ReLU between the layers, tanh behind the last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReachAvoidMember {
    /// What it observes, in order.
    pub layout: Vec<Quantity>,
    /// [`Layout::hash`] at the time of training.
    pub layout_hash: String,
    /// [`Member::weights_hash`] of the agile policy whose future it tells; it knows nothing of any other.
    pub conditioned_on: String,
    /// Values below this are safe, in (-1, 1).
    #[serde(default = "default_threshold")]
    pub threshold: f32,
    /// The recovery policy acts only on a twist that lowers the value by this, in [-2, 2).
    #[serde(default = "default_min_gain")]
    pub min_gain: f32,
    /// Name of the safetensors file in the bundle folder, as for a policy.
    pub weights: String,
    /// Where it comes from.
    pub provenance: Provenance,
    /// Contents of the weights file, first layer first.
    #[serde(skip)]
    pub layers: Vec<Linear>,
}

/// The ray network of a bundle: convolutions with ReLU between them. It knows nothing of the policies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RayMember {
    /// The rays that it predicts: all that the policies see, or those in the middle.
    pub ray_spec: RaySpec,
    /// [`RayGrid::hash`] of what it sees.
    #[serde(default)]
    pub grid_hash: String,
    /// Name of the safetensors file in the bundle folder, as for a policy; a layer's inputs are vertical * horizontal *
    /// channels of its filters.
    pub weights: String,
    /// Shapes of the convolutions.
    pub convolutions: Vec<Convolution>,
    /// Where it comes from; its policy steps are images.
    pub provenance: Provenance,
    /// Contents of the weights file, first layer first.
    #[serde(skip)]
    pub layers: Vec<Linear>,
}

/// Where a network comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Revision of the source, with `-dirty` where the work tree differed.
    pub git_revision: String,
    /// Seed of the training run.
    pub seed: u64,
    /// Policy steps that it learned from.
    pub policy_steps: u64,
    /// Day of the export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// Resolved configuration of the training run, TOML.
    pub config: String,
}

fn default_threshold() -> f32 {
    DEFAULT_THRESHOLD
}

fn default_min_gain() -> f32 {
    DEFAULT_MIN_GAIN
}

impl Member {
    /// An agile policy to be stored as `agile.safetensors`.
    pub fn agile(
        layout: &Layout,
        action_scale: f32,
        activation: Activation,
        layers: Vec<Linear>,
        provenance: Provenance,
    ) -> Self {
        Self {
            layout: layout.quantities().collect(),
            layout_hash: layout.hash(),
            action_scale,
            activation,
            weights: "agile.safetensors".to_owned(),
            provenance,
            layers,
        }
    }

    /// A recovery policy to be stored as `recovery.safetensors`.
    pub fn recovery(
        layout: &Layout,
        action_scale: f32,
        activation: Activation,
        layers: Vec<Linear>,
        provenance: Provenance,
    ) -> Self {
        Self {
            weights: "recovery.safetensors".to_owned(),
            ..Self::agile(layout, action_scale, activation, layers, provenance)
        }
    }

    /// SHA-256 of the weights file, as [`save`](super::Bundle::save) writes it.
    ///
    /// # Errors
    /// When the layers cannot be written.
    pub fn weights_hash(&self) -> Result<String, BundleError> {
        weights::hash(&self.layers).map_err(|message| BundleError::Encode {
            path: self.weights.clone().into(),
            message,
        })
    }

    /// Checks what the manifest says of `name` and builds the policy.
    pub(super) fn policy(
        &self,
        name: &'static str,
        layout: Layout,
        robot: &Robot,
    ) -> Result<Policy, BundleError> {
        check_layout(name, &self.layout, &self.layout_hash, &layout)?;
        if !(self.action_scale.is_finite() && self.action_scale > 0.0) {
            return Err(BundleError::ActionScale {
                name,
                value: self.action_scale,
            });
        }
        let network =
            Mlp::new(&self.layers, self.activation, Activation::Identity).map_err(|source| {
                BundleError::Network {
                    file: self.weights.clone(),
                    source,
                }
            })?;
        check_width(&self.weights, "inputs", network.input_dim(), layout.dim())?;
        check_width(
            &self.weights,
            "outputs",
            network.output_dim(),
            robot.num_joints(),
        )?;
        let actions = ActionMap::new(robot, self.action_scale);
        Ok(Policy::new(layout, network, actions))
    }
}

impl ReachAvoidMember {
    /// A value of the agile policy with this [`Member::weights_hash`], to be stored as `reach_avoid.safetensors`.
    pub fn new(
        layout: &Layout,
        conditioned_on: String,
        layers: Vec<Linear>,
        provenance: Provenance,
    ) -> Self {
        Self {
            layout: layout.quantities().collect(),
            layout_hash: layout.hash(),
            conditioned_on,
            threshold: DEFAULT_THRESHOLD,
            min_gain: DEFAULT_MIN_GAIN,
            weights: "reach_avoid.safetensors".to_owned(),
            provenance,
            layers,
        }
    }

    /// Checks what the manifest says and builds the network.
    pub(super) fn value(&self, layout: &Layout) -> Result<ReachAvoidValue, BundleError> {
        check_layout("reach_avoid", &self.layout, &self.layout_hash, layout)?;
        // NaN is no threshold either.
        if !(self.threshold > -1.0 && self.threshold < 1.0) {
            return Err(BundleError::Threshold(self.threshold));
        }
        if !(-2.0..2.0).contains(&self.min_gain) {
            return Err(BundleError::MinGain(self.min_gain));
        }
        let value =
            ReachAvoidValue::new(self.layers.clone()).map_err(|source| BundleError::Network {
                file: self.weights.clone(),
                source,
            })?;
        check_width(&self.weights, "inputs", value.input_dim(), layout.dim())?;
        Ok(value)
    }
}

impl RayMember {
    /// A network to be stored as `rays.safetensors`.
    pub fn new(
        ray_spec: &RaySpec,
        convolutions: Vec<Convolution>,
        layers: Vec<Linear>,
        provenance: Provenance,
    ) -> Self {
        Self {
            ray_spec: ray_spec.clone(),
            grid_hash: RayGrid::new(ray_spec).hash(),
            weights: "rays.safetensors".to_owned(),
            convolutions,
            provenance,
            layers,
        }
    }

    /// What completes the predicted rays to all that the policies see.
    pub(super) fn memory(&self, rays: &RaySpec) -> Result<RayMemory, BundleError> {
        RayMemory::new(rays, &self.ray_spec).ok_or_else(|| BundleError::OtherRays {
            found: self.ray_spec.clone(),
            expected: rays.clone(),
        })
    }

    /// Checks what the manifest says and builds the network.
    pub(super) fn network(&self, rays: &RaySpec) -> Result<RayNetwork, BundleError> {
        self.memory(rays)?;
        let expected = RayGrid::new(&self.ray_spec).hash();
        if self.grid_hash != expected {
            return Err(BundleError::GridHash {
                found: self.grid_hash.clone(),
                expected,
            });
        }
        RayNetwork::new(&self.convolutions, &self.layers, &self.ray_spec).map_err(|source| {
            BundleError::RayNetwork {
                file: self.weights.clone(),
                source,
            }
        })
    }
}

fn check_layout(
    name: &'static str,
    quantities: &[Quantity],
    hash: &str,
    layout: &Layout,
) -> Result<(), BundleError> {
    if !layout.quantities().eq(quantities.iter().copied()) {
        let names = |quantities: &mut dyn Iterator<Item = Quantity>| {
            let names: Vec<_> = quantities.map(|quantity| quantity.spec().name).collect();
            names.join(", ")
        };
        return Err(BundleError::Layout {
            name,
            found: names(&mut quantities.iter().copied()),
            expected: names(&mut layout.quantities()),
        });
    }
    let expected = layout.hash();
    if hash != expected {
        return Err(BundleError::LayoutHash {
            name,
            found: hash.to_owned(),
            expected,
        });
    }
    Ok(())
}

fn check_width(
    file: &str,
    side: &'static str,
    found: usize,
    expected: usize,
) -> Result<(), BundleError> {
    if found == expected {
        return Ok(());
    }
    Err(BundleError::Width {
        file: file.to_owned(),
        side,
        found,
        expected,
    })
}
