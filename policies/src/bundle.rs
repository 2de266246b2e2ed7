//! Policy bundles: a folder with `bundle.toml` and one safetensors file per network. All that is needed to run them,
//! and where they come from.

mod error;
mod weights;

use std::{fs, path::Path};

use robots::Robot;
use serde::{Deserialize, Serialize};

pub use error::BundleError;

use crate::{
    action::ActionMap,
    file::write_atomic,
    mlp::{Activation, Linear, Mlp},
    observation::{Layout, Quantity},
    policy::Policy,
    rays::RaySpec,
};

/// Name of the manifest in a bundle folder.
pub const MANIFEST: &str = "bundle.toml";

/// Networks trained for one robot and one arrangement of rays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// Name of the robot.
    pub robot: String,
    /// The rays that the networks were trained with.
    pub ray_spec: RaySpec,
    /// The agile policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agile: Option<Member>,
}

/// One network of a bundle.
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
    /// and `layers.<i>.bias` [outputs].
    pub weights: String,
    /// Where it comes from.
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
}

impl Bundle {
    /// Reads a bundle folder. That the networks fit a robot is checked when they are asked for.
    ///
    /// # Errors
    /// When a file cannot be read, is cut off, or has keys or tensors that it should not have.
    pub fn load(dir: &Path) -> Result<Self, BundleError> {
        let path = dir.join(MANIFEST);
        let read = |path: &Path| {
            fs::read(path).map_err(|source| BundleError::Read {
                path: path.to_owned(),
                source,
            })
        };
        let text = String::from_utf8(read(&path)?).map_err(|_| BundleError::Manifest {
            path: path.clone(),
            line: 1,
            message: "not UTF-8 text".to_owned(),
        })?;
        let mut bundle: Self =
            toml::from_str(&text).map_err(|error| BundleError::manifest(&path, &text, &error))?;
        bundle
            .ray_spec
            .validate()
            .map_err(|source| BundleError::Rays {
                path: path.clone(),
                source,
            })?;
        if let Some(member) = &mut bundle.agile {
            if Path::new(&member.weights).file_name() != Some(member.weights.as_ref()) {
                return Err(BundleError::WeightsName {
                    path,
                    name: member.weights.clone(),
                });
            }
            let path = dir.join(&member.weights);
            member.layers = weights::read(&read(&path)?)
                .map_err(|message| BundleError::Weights { path, message })?;
        }
        Ok(bundle)
    }

    /// Writes a bundle folder, and makes it if there is none. Files appear whole, the manifest last.
    ///
    /// # Errors
    /// Those of the operating system, or when a number has no place in TOML.
    pub fn save(&self, dir: &Path) -> Result<(), BundleError> {
        let write = |path: &Path, bytes: &[u8]| {
            write_atomic(path, bytes).map_err(|source| BundleError::Write {
                path: path.to_owned(),
                source,
            })
        };
        let path = dir.join(MANIFEST);
        let manifest = toml::to_string_pretty(self).map_err(|error| BundleError::Encode {
            path: path.clone(),
            message: error.to_string(),
        })?;
        fs::create_dir_all(dir).map_err(|source| BundleError::Write {
            path: dir.to_owned(),
            source,
        })?;
        if let Some(member) = &self.agile {
            let path = dir.join(&member.weights);
            let bytes = weights::encode(&member.layers).map_err(|message| BundleError::Encode {
                path: path.clone(),
                message,
            })?;
            write(&path, &bytes)?;
        }
        write(&path, manifest.as_bytes())
    }

    /// The agile policy for this robot.
    ///
    /// # Errors
    /// When the bundle has none, or it was made for another robot, another observation layout or another number of
    /// joints, or its weights are no network or not finite.
    pub fn agile(&self, robot: &Robot) -> Result<Policy, BundleError> {
        let layout = Layout::agile(robot, &self.ray_spec);
        self.policy("agile", self.agile.as_ref(), layout, robot)
    }

    fn policy(
        &self,
        name: &'static str,
        member: Option<&Member>,
        layout: Layout,
        robot: &Robot,
    ) -> Result<Policy, BundleError> {
        let member = member.ok_or(BundleError::MissingMember(name))?;
        if self.robot != robot.name {
            return Err(BundleError::Robot {
                bundle: self.robot.clone(),
                robot: robot.name.clone(),
            });
        }
        check_layout(name, member, &layout)?;
        if !(member.action_scale.is_finite() && member.action_scale > 0.0) {
            return Err(BundleError::ActionScale {
                name,
                value: member.action_scale,
            });
        }
        let network = Mlp::new(&member.layers, member.activation, Activation::Identity).map_err(
            |source| BundleError::Network {
                file: member.weights.clone(),
                source,
            },
        )?;
        for (side, found, expected) in [
            ("inputs", network.input_dim(), layout.dim()),
            ("outputs", network.output_dim(), robot.num_joints()),
        ] {
            if found != expected {
                let file = member.weights.clone();
                return Err(BundleError::Width {
                    file,
                    side,
                    found,
                    expected,
                });
            }
        }
        Ok(Policy::new(
            layout,
            network,
            ActionMap::new(robot, member.action_scale),
        ))
    }
}

fn check_layout(name: &'static str, member: &Member, layout: &Layout) -> Result<(), BundleError> {
    if !layout.quantities().eq(member.layout.iter().copied()) {
        let names = |quantities: &mut dyn Iterator<Item = Quantity>| {
            let names: Vec<_> = quantities.map(|quantity| quantity.spec().name).collect();
            names.join(", ")
        };
        return Err(BundleError::Layout {
            name,
            found: names(&mut member.layout.iter().copied()),
            expected: names(&mut layout.quantities()),
        });
    }
    let expected = layout.hash();
    if member.layout_hash != expected {
        return Err(BundleError::LayoutHash {
            name,
            found: member.layout_hash.clone(),
            expected,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
