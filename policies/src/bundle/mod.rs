//! Policy bundles: a folder with the contract `bundle.toml` ([`PolicySpec`]), one safetensors file per network, and the files of the robot
//! unless it is a shipped one.

mod error;
mod weights;

use std::{collections::BTreeMap, fs, path::Path};

use robots::{Camera, Robot, RobotError, RobotFiles};

pub use error::BundleError;
pub use weights::sha256;

use crate::{
    depth::{RayGrid, RayNetwork},
    file::{MAX_DATA_BYTES, MAX_TEXT_BYTES, read_bytes, write_atomic},
    nn::{Activation, Linear, Mlp},
    observation::{Layout, Quantity},
    policy::{ActionMap, Policy},
    rays::{RayMemory, RaySpec},
    reach_avoid::ReachAvoidValue,
    spec::{NetworkSpec, Output, PolicySpec, SPEC_VERSION, SwitchSpec, role},
};

/// Name of the manifest in a bundle folder.
pub const MANIFEST: &str = "bundle.toml";

/// Networks trained for one robot, and their contract.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// What the networks mean.
    pub spec: PolicySpec,
    /// Files of the robot, unless it is a shipped one; in the same folder.
    pub robot_files: Option<RobotFiles>,
    /// Layers of every network of the contract, by role.
    layers: BTreeMap<String, Vec<Linear>>,
}

impl Bundle {
    /// A bundle without networks; those of `spec` are dropped.
    pub fn new(spec: PolicySpec) -> Self {
        let networks = BTreeMap::new();
        Self {
            spec: PolicySpec { networks, ..spec },
            robot_files: None,
            layers: BTreeMap::new(),
        }
    }

    /// Reads a bundle folder. That it fits a robot is checked when a network is asked for.
    ///
    /// # Errors
    /// When a file cannot be read, is cut off or is not the one that the manifest means, or a number is out of range.
    pub fn load(dir: &Path) -> Result<Self, BundleError> {
        let path = dir.join(MANIFEST);
        let unread = |path: &Path| {
            let path = path.to_owned();
            move |source| BundleError::Read { path, source }
        };
        let wrong = |line, message| BundleError::Manifest {
            path: path.clone(),
            line,
            message,
        };
        let bytes = read_bytes(&path, MAX_TEXT_BYTES).map_err(unread(&path))?;
        let text = String::from_utf8(bytes).map_err(|_| wrong(1, "not UTF-8 text".to_owned()))?;
        let is_old = text
            .parse::<toml::Table>()
            .is_ok_and(|table| !table.contains_key("version"));
        if is_old {
            let message = format!(
                "no `version`: a bundle of an earlier program, or not a bundle; this program reads version {SPEC_VERSION}"
            );
            return Err(wrong(1, message));
        }
        let spec: PolicySpec =
            toml::from_str(&text).map_err(|error| BundleError::manifest(&path, &text, &error))?;
        spec.validate().map_err(|source| BundleError::Spec {
            path: path.clone(),
            source,
        })?;
        let mut layers = BTreeMap::new();
        for (role, network) in &spec.networks {
            let path = dir.join(&network.file);
            let bytes = read_bytes(&path, MAX_DATA_BYTES).map_err(unread(&path))?;
            let found = weights::sha256(&bytes);
            if network.sha256 != found {
                return Err(BundleError::Hash {
                    path,
                    found,
                    expected: network.sha256.clone(),
                });
            }
            let read = weights::read(&bytes);
            let read = read.map_err(|message| BundleError::Weights { path, message })?;
            layers.insert(role.clone(), read);
        }
        Ok(Self {
            spec,
            robot_files: RobotFiles::in_folder(dir)?,
            layers,
        })
    }

    /// The robot that the bundle is for: that in its folder, else the shipped one of its name.
    ///
    /// # Errors
    /// When there is neither.
    pub fn robot(&self) -> Result<Robot, RobotError> {
        match &self.robot_files {
            Some(files) => files.robot(),
            None => Robot::load(&self.spec.robot.name),
        }
    }

    /// The same, of the bundle in the folder `dir`, with the name or folder that loads it again.
    ///
    /// # Errors
    /// When there is neither.
    pub fn robot_and_place(&self, dir: &Path) -> Result<(Robot, String), RobotError> {
        let place = match self.robot_files {
            Some(_) => dir.display().to_string(),
            None => self.spec.robot.name.clone(),
        };
        Ok((self.robot()?, place))
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
        let manifest = toml::to_string_pretty(&self.spec).map_err(|error| BundleError::Encode {
            path: path.clone(),
            message: error.to_string(),
        })?;
        fs::create_dir_all(dir).map_err(|source| BundleError::Write {
            path: dir.to_owned(),
            source,
        })?;
        for (role, network) in &self.spec.networks {
            let path = dir.join(&network.file);
            write(&path, &encode(&path, self.layers(role))?)?;
        }
        if let Some(files) = &self.robot_files {
            files.write(dir).map_err(|source| BundleError::Write {
                path: dir.to_owned(),
                source,
            })?;
        }
        write(&path, manifest.as_bytes())
    }

    /// Puts a network in, in the place of the one of this role; its hash is computed here.
    ///
    /// # Errors
    /// When the layers cannot be written.
    pub fn insert(
        &mut self,
        role: &str,
        network: NetworkSpec,
        layers: Vec<Linear>,
    ) -> Result<(), BundleError> {
        let sha256 = weights::sha256(&encode(network.file.as_ref(), &layers)?);
        let network = NetworkSpec { sha256, ..network };
        self.spec.networks.insert(role.to_owned(), network);
        self.layers.insert(role.to_owned(), layers);
        Ok(())
    }

    /// Takes over a network of another bundle. A ray network may be of another robot with the same camera at the same place.
    ///
    /// # Errors
    /// When that one has none of this role, or is for another robot, policy step or rays.
    pub fn insert_from(&mut self, role: &str, other: &Self) -> Result<(), BundleError> {
        let network = other.spec.network(role)?.clone();
        let (own, theirs) = (&self.spec, &other.spec);
        let fits = own.robot == theirs.robot || role == role::RAYS && self.has_camera_of(other);
        if !fits {
            return Err(BundleError::OtherRobot {
                role: role.to_owned(),
                found: theirs.robot.name.clone(),
                expected: own.robot.name.clone(),
            });
        }
        own.check_policy_step(theirs.policy_step_s)?;
        let observes_rays = [Quantity::LogRays, Quantity::PreviousLogRays]
            .into_iter()
            .any(|quantity| theirs.observes(role, quantity));
        if observes_rays && own.rays != theirs.rays {
            return Err(BundleError::NetworkRays {
                role: role.to_owned(),
                difference: theirs.rays.difference(&own.rays),
            });
        }
        self.spec.networks.insert(role.to_owned(), network);
        self.layers
            .insert(role.to_owned(), other.layers(role).to_vec());
        Ok(())
    }

    fn has_camera_of(&self, other: &Self) -> bool {
        let camera = |bundle: &Self| bundle.robot().ok()?.camera;
        camera(self).is_some() && camera(self) == camera(other)
    }

    /// Layers of the network of this role, first layer first; none without the network.
    pub fn layers(&self, role: &str) -> &[Linear] {
        self.layers.get(role).map_or(&[], Vec::as_slice)
    }

    /// Whether there is a network of this role.
    pub fn has(&self, role: &str) -> bool {
        self.spec.networks.contains_key(role)
    }

    /// Whether all networks that are there fit this robot and each other.
    ///
    /// # Errors
    /// Those of the methods below, but for networks that are missing.
    pub fn check(&self, robot: &Robot) -> Result<(), BundleError> {
        self.spec.robot.check(robot)?;
        for (role, network) in &self.spec.networks {
            match &network.output {
                Output::Actions { .. } => drop(self.policy(role, robot)?),
                Output::Value { .. } => drop(self.reach_avoid(robot)?),
                Output::Rays { .. } => drop(self.ray_network()?),
            }
        }
        Ok(())
    }

    /// A policy for this robot.
    ///
    /// # Errors
    /// When the bundle has none of this role, or it was made for another robot, or its weights are no network, not finite or too few or many.
    pub fn policy(&self, role: &str, robot: &Robot) -> Result<Policy, BundleError> {
        let spec = self.spec.network(role)?;
        self.spec.robot.check(robot)?;
        let &Output::Actions {
            scale,
            clip,
            activation,
        } = &spec.output
        else {
            return Err(BundleError::kind(role, "a policy"));
        };
        self.check_taking_turns(role, scale)?;
        let layout = self.spec.layout(role)?;
        let network = Mlp::new(self.layers(role), spec.activation, activation);
        let network = network.map_err(|source| BundleError::network(spec, source))?;
        check_width(spec, "inputs", network.input_dim(), layout.dim())?;
        check_width(spec, "outputs", network.output_dim(), robot.num_joints())?;
        let default_rad = &self.spec.robot.default_position_rad;
        let actions = ActionMap::new(default_rad, scale, clip);
        Ok(Policy::new(layout, network, actions))
    }

    /// The recovery and the agile policy take turns, and observe each other's last action.
    fn check_taking_turns(&self, role: &str, scale: f32) -> Result<(), BundleError> {
        let agile = self.spec.networks.get(role::AGILE);
        match agile.map(|agile| &agile.output) {
            Some(&Output::Actions { scale: agile, .. })
                if role == role::RECOVERY && agile != scale =>
            {
                Err(BundleError::OtherActionScale {
                    recovery: scale,
                    agile,
                })
            }
            _ => Ok(()),
        }
    }

    /// The reach-avoid value of the agile policy, and what it observes.
    ///
    /// # Errors
    /// When the bundle has none, or it was made for another robot or another agile policy, or its weights are no network or not finite.
    pub fn reach_avoid(&self, robot: &Robot) -> Result<(ReachAvoidValue, Layout), BundleError> {
        let spec = self.spec.network(role::REACH_AVOID)?;
        let agile = self.spec.network(role::AGILE)?;
        self.spec.robot.check(robot)?;
        let Output::Value { policy_sha256 } = &spec.output else {
            return Err(BundleError::kind(role::REACH_AVOID, "a value"));
        };
        if *policy_sha256 != agile.sha256 {
            return Err(BundleError::OtherAgilePolicy {
                conditioned_on: policy_sha256.clone(),
                found: agile.sha256.clone(),
            });
        }
        if spec.activation != Activation::Relu {
            return Err(BundleError::Activation(role::REACH_AVOID.to_owned()));
        }
        let layout = self.spec.layout(role::REACH_AVOID)?;
        let value = ReachAvoidValue::new(self.layers(role::REACH_AVOID).to_vec());
        let value = value.map_err(|source| BundleError::network(spec, source))?;
        check_width(spec, "inputs", value.input_dim(), layout.dim())?;
        Ok((value, layout))
    }

    /// When the recovery policy takes over, by what the bundle says or by default.
    pub fn switch(&self) -> SwitchSpec {
        self.spec.switch.clone().unwrap_or_default()
    }

    /// The network that predicts the rays from depth images.
    ///
    /// # Errors
    /// When the bundle has none, or it predicts rays that the policies were not trained with, or its weights are no
    /// network or not finite.
    pub fn ray_network(&self) -> Result<RayNetwork, BundleError> {
        self.ray_memory()?;
        let spec = self.spec.network(role::RAYS)?;
        let Output::Rays {
            rays,
            grid_sha256,
            convolutions,
        } = &spec.output
        else {
            return Err(BundleError::kind(role::RAYS, "a ray network"));
        };
        let expected = RayGrid::new(rays).hash();
        if *grid_sha256 != expected {
            return Err(BundleError::GridHash {
                found: grid_sha256.clone(),
                expected,
            });
        }
        RayNetwork::new(convolutions, self.layers(role::RAYS), rays).map_err(|source| {
            BundleError::RayNetwork {
                file: spec.file.clone(),
                source,
            }
        })
    }

    /// What completes the rays of [`ray_network`](Self::ray_network) to all that the policies observe.
    ///
    /// # Errors
    /// When the bundle has no such network, or it predicts rays that the policies were not trained with.
    pub fn ray_memory(&self) -> Result<RayMemory, BundleError> {
        let Output::Rays { rays, .. } = &self.spec.network(role::RAYS)?.output else {
            return Err(BundleError::kind(role::RAYS, "a ray network"));
        };
        RayMemory::new(&self.spec.rays, rays).ok_or_else(|| BundleError::OtherRays {
            difference: rays.difference(&self.spec.rays),
        })
    }

    /// The rays that both the policies and a camera see; `None` where there is hardly one.
    pub fn camera_rays(&self, camera: &Camera) -> Option<RaySpec> {
        self.spec.rays.within(0.5 * camera.horizontal_fov_rad)
    }
}

fn encode(path: &Path, layers: &[Linear]) -> Result<Vec<u8>, BundleError> {
    weights::encode(layers).map_err(|message| BundleError::Encode {
        path: path.to_owned(),
        message,
    })
}

fn check_width(
    spec: &NetworkSpec,
    side: &'static str,
    found: usize,
    expected: usize,
) -> Result<(), BundleError> {
    if found == expected {
        return Ok(());
    }
    Err(BundleError::Width {
        file: spec.file.clone(),
        side,
        found,
        expected,
    })
}

#[cfg(test)]
mod tests;
