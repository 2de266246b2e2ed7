//! Policy bundles: a folder with `bundle.toml` and one safetensors file per network. All that is needed to run them,
//! and where they come from.

mod error;
mod member;
mod weights;

use std::{fs, path::Path};

use robots::{Camera, Robot};
use serde::{Deserialize, Serialize};

pub use error::BundleError;
pub use member::{Member, Provenance, RayMember, ReachAvoidMember};

use crate::{
    depth::RayNetwork, file::write_atomic, mlp::Linear, observation::Layout, policy::Policy,
    ray_memory::RayMemory, rays::RaySpec, reach_avoid::ReachAvoidValue,
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
    /// The recovery policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Member>,
    /// The reach-avoid value of the agile policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reach_avoid: Option<ReachAvoidMember>,
    /// The ray network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rays: Option<RayMember>,
}

impl Bundle {
    /// A bundle without networks.
    pub fn new(robot: &Robot, ray_spec: &RaySpec) -> Self {
        Self {
            robot: robot.name.clone(),
            ray_spec: ray_spec.clone(),
            agile: None,
            recovery: None,
            reach_avoid: None,
            rays: None,
        }
    }

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
        for (name, layers) in bundle.networks_mut() {
            if Path::new(name).file_name() != Some(name.as_ref()) {
                return Err(BundleError::WeightsName {
                    path,
                    name: name.to_owned(),
                });
            }
            let path = dir.join(name);
            *layers = weights::read(&read(&path)?)
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
        for (name, layers) in self.networks() {
            let path = dir.join(name);
            let bytes = weights::encode(layers).map_err(|message| BundleError::Encode {
                path: path.clone(),
                message,
            })?;
            write(&path, &bytes)?;
        }
        write(&path, manifest.as_bytes())
    }

    /// Whether all networks that are there fit this robot and each other.
    ///
    /// # Errors
    /// Those of the methods below, but for networks that are missing.
    pub fn check(&self, robot: &Robot) -> Result<(), BundleError> {
        self.check_robot(robot)?;
        if self.agile.is_some() {
            self.agile(robot)?;
        }
        if self.recovery.is_some() {
            self.recovery(robot)?;
        }
        if self.reach_avoid.is_some() {
            self.reach_avoid(robot)?;
        }
        if self.rays.is_some() {
            self.ray_network()?;
        }
        Ok(())
    }

    /// The agile policy for this robot.
    ///
    /// # Errors
    /// When the bundle has none, or it was made for another robot, another observation layout or another number of
    /// joints, or its weights are no network or not finite.
    pub fn agile(&self, robot: &Robot) -> Result<Policy, BundleError> {
        let member = required(self.agile.as_ref(), "agile")?;
        self.check_robot(robot)?;
        member.policy("agile", Layout::agile(robot, &self.ray_spec), robot)
    }

    /// The recovery policy for this robot.
    ///
    /// # Errors
    /// Those of [`agile`](Self::agile), and when its action scale is not that of the agile policy: the two take turns
    /// and observe each other's last action.
    pub fn recovery(&self, robot: &Robot) -> Result<Policy, BundleError> {
        let member = required(self.recovery.as_ref(), "recovery")?;
        self.check_robot(robot)?;
        if let Some(agile) = &self.agile
            && agile.action_scale != member.action_scale
        {
            return Err(BundleError::OtherActionScale {
                recovery: member.action_scale,
                agile: agile.action_scale,
            });
        }
        member.policy("recovery", Layout::recovery(robot, &self.ray_spec), robot)
    }

    /// The reach-avoid value of the agile policy, with what the bundle says of its use.
    ///
    /// # Errors
    /// When the bundle has none, or it was made for another robot, other rays or another agile policy, its threshold
    /// is not in (-1, 1), or its weights are no network or not finite.
    pub fn reach_avoid(
        &self,
        robot: &Robot,
    ) -> Result<(ReachAvoidValue, &ReachAvoidMember), BundleError> {
        let member = required(self.reach_avoid.as_ref(), "reach_avoid")?;
        let agile = required(self.agile.as_ref(), "agile")?;
        self.check_robot(robot)?;
        let value = member.value(&Layout::reach_avoid(robot, &self.ray_spec))?;
        let found = agile.weights_hash()?;
        if member.conditioned_on != found {
            return Err(BundleError::OtherAgilePolicy {
                conditioned_on: member.conditioned_on.clone(),
                found,
            });
        }
        Ok((value, member))
    }

    /// The network that predicts the rays from depth images.
    ///
    /// # Errors
    /// When the bundle has none, or it predicts rays that the policies were not trained with, or its weights are no
    /// network or not finite.
    pub fn ray_network(&self) -> Result<RayNetwork, BundleError> {
        required(self.rays.as_ref(), "rays")?.network(&self.ray_spec)
    }

    /// What completes the rays of [`ray_network`](Self::ray_network) to all that the policies see.
    ///
    /// # Errors
    /// When the bundle has no such network, or it predicts rays that the policies were not trained with.
    pub fn ray_memory(&self) -> Result<RayMemory, BundleError> {
        required(self.rays.as_ref(), "rays")?.memory(&self.ray_spec)
    }

    /// The rays that the policies see and a camera sees too; `None` if there is hardly one.
    pub fn camera_rays(&self, camera: &Camera) -> Option<RaySpec> {
        self.ray_spec.within(0.5 * camera.horizontal_fov_rad)
    }

    fn check_robot(&self, robot: &Robot) -> Result<(), BundleError> {
        if self.robot == robot.name {
            return Ok(());
        }
        Err(BundleError::Robot {
            bundle: self.robot.clone(),
            robot: robot.name.clone(),
        })
    }

    /// Name of the weights file and layers of every network that is there.
    fn networks(&self) -> impl Iterator<Item = (&str, &[Linear])> {
        let policies = self.agile.iter().chain(&self.recovery);
        let policies = policies.map(|member| (member.weights.as_str(), member.layers.as_slice()));
        let value = self.reach_avoid.iter();
        let value = value.map(|member| (member.weights.as_str(), member.layers.as_slice()));
        let rays = self.rays.iter();
        let rays = rays.map(|member| (member.weights.as_str(), member.layers.as_slice()));
        policies.chain(value).chain(rays)
    }

    fn networks_mut(&mut self) -> impl Iterator<Item = (&str, &mut Vec<Linear>)> {
        let policies = self.agile.iter_mut().chain(&mut self.recovery);
        let policies = policies.map(|member| (member.weights.as_str(), &mut member.layers));
        let value = self.reach_avoid.iter_mut();
        let value = value.map(|member| (member.weights.as_str(), &mut member.layers));
        let rays = self.rays.iter_mut();
        let rays = rays.map(|member| (member.weights.as_str(), &mut member.layers));
        policies.chain(value).chain(rays)
    }
}

fn required<'a, T>(member: Option<&'a T>, name: &'static str) -> Result<&'a T, BundleError> {
    member.ok_or(BundleError::MissingMember(name))
}

#[cfg(test)]
mod tests;
