//! `abs import`: a policy that was trained elsewhere becomes a bundle.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use policies::{
    Activation,
    bundle::MANIFEST,
    file::{read_text, write_atomic},
    spec::role,
};
use serde::{
    Deserialize as _,
    de::{IntoDeserializer as _, value::Error},
};

use super::bundle::describe;
use crate::import::{Contract, Import, Numbers, carried_contract, template};

/// Make a bundle of a policy that was trained elsewhere
///
/// Reads a multilayer perceptron from an ONNX model or a safetensors file. A contract in TOML says what goes in and comes out: robot, order of
/// the joints, gains, action scale, observation terms. Joints are put into the order of the robot's folder, a normalization goes into the first
/// layer, and the bundle is compared with the file before it is written.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs import --write-contract contract.toml --robot go1 --role velocity       a contract to fill in, with all keys
  abs import policy.onnx --contract contract.toml --out out/policy            the bundle
  abs import policy.onnx --robot go2 --role velocity --out out/policy         a model that carries its contract (mjlab)
  abs import policy.safetensors --contract contract.toml --activation elu --out out/policy
  abs eval --method velocity --bundle out/policy                              how good is it?

docs/how-to/import.md says what is in a contract.")]
pub struct ImportCommand {
    /// The network: an ONNX model, or safetensors with tensors called as PyTorch does, e.g. actor.0.weight
    #[arg(value_name = "FILE", required_unless_present = "write_contract")]
    file: Option<PathBuf>,
    /// What the network means [default: what --write-contract would write: what an ONNX model of mjlab or legged_control says itself, else the
    /// observations of the recipe of the role]
    #[arg(long, value_name = "FILE.toml")]
    contract: Option<PathBuf>,
    /// Folder of the new bundle
    #[arg(long, value_name = "DIR", required_unless_present = "write_contract")]
    out: Option<PathBuf>,
    /// Write a contract to start from, with all keys and the values of FILE, if it carries one, or else of the robot; do nothing else
    #[arg(long, value_name = "FILE.toml", conflicts_with_all = ["contract", "out"])]
    write_contract: Option<PathBuf>,
    /// Name of the robot, or path of a robot folder, whatever the contract says
    #[arg(long, value_name = "NAME|DIR")]
    robot: Option<String>,
    /// What the network is in the bundle, e.g. recovery, velocity or agile, whatever the contract says
    #[arg(long)]
    role: Option<String>,
    /// Policy step in s, whatever the contract says
    #[arg(long, value_name = "S")]
    policy_step_s: Option<f32>,
    /// Stiffness of all joints in N·m/rad, whatever the contract says
    #[arg(long, value_name = "NM_RAD")]
    stiffness: Option<f32>,
    /// Damping of all joints in N·m·s/rad, whatever the contract says
    #[arg(long, value_name = "NMS_RAD")]
    damping: Option<f32>,
    /// Joint angle of one unit of action in rad, whatever the contract says
    #[arg(long, value_name = "RAD")]
    action_scale: Option<f32>,
    /// Activation between the layers: elu, relu, silu or tanh, whatever the contract says
    #[arg(long, value_parser = activation)]
    activation: Option<Activation>,
    /// Activation behind the last layer, whatever the contract says
    #[arg(long, value_parser = activation)]
    output_activation: Option<Activation>,
}

impl ImportCommand {
    /// Writes the bundle, or a contract to start from.
    ///
    /// # Errors
    /// One line if the file, the contract and the robot do not fit each other, or a file is in the way.
    pub fn run(&self) -> Result<()> {
        match (&self.write_contract, &self.file, &self.out) {
            (Some(path), ..) => self.write_contract(path),
            (None, Some(file), Some(out)) => self.import(file, out),
            _ => bail!("FILE and --out are missing"),
        }
    }

    fn write_contract(&self, path: &Path) -> Result<()> {
        ensure!(
            !path.exists(),
            "{} exists already; choose another name",
            path.display()
        );
        let text = template(&self.contract()?)?;
        write_atomic(path, text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
        let path = path.display();
        let file = self.file.as_deref().unwrap_or(Path::new("FILE"));
        writeln!(
            io::stdout(),
            "{path}\nnext: edit it, then abs import {} --contract {path} --out DIR",
            file.display()
        )?;
        Ok(())
    }

    fn import(&self, file: &Path, out: &Path) -> Result<()> {
        ensure!(
            !out.join(MANIFEST).exists(),
            "{} holds a bundle already; choose another --out",
            out.display()
        );
        let contract = self.contract()?;
        let named = match &self.contract {
            Some(path) => path.display().to_string(),
            None => "contract".to_owned(),
        };
        let Import {
            bundle,
            role,
            notes,
        } = Import::new(file, &contract, &named)?;
        bundle.save(out)?;
        let text = describe(&bundle);
        let (notes, out) = (notes.join("\n"), out.display());
        // The physics step of evaluations is 5 ms.
        let decimation = (bundle.spec.policy_step_s / 0.005).round().max(1.0);
        let settings = match decimation {
            4.0 => String::new(),
            other => format!(" --set physics.decimation={other}"),
        };
        writeln!(
            io::stdout(),
            "{notes}\n{out}\n{text}next: abs eval --method {role} --bundle {out}{settings}"
        )?;
        Ok(())
    }

    /// The contract with what flags say.
    fn contract(&self) -> Result<Contract> {
        let mut contract = match &self.contract {
            Some(path) => {
                let text = read_text(path).with_context(|| path.display().to_string())?;
                Contract::parse(path, &text)?
            }
            None => {
                let robot = self.robot.as_deref().unwrap_or("go1");
                let role = self.role.as_deref().unwrap_or(role::RECOVERY);
                let recipe = Contract::of_recipe(robot, role);
                let carried = match &self.file {
                    Some(file) => carried_contract(file)?,
                    None => None,
                };
                match carried {
                    Some(carried) => Contract {
                        robot: recipe.robot,
                        role: recipe.role,
                        ..carried
                    },
                    None => recipe,
                }
            }
        };
        let over = |own: &mut Option<Numbers>, flag: Option<f32>| {
            if let Some(number) = flag {
                *own = Some(Numbers::All(number));
            }
        };
        over(&mut contract.stiffness, self.stiffness);
        over(&mut contract.damping, self.damping);
        over(&mut contract.action_scale, self.action_scale);
        Ok(Contract {
            robot: self.robot.clone().or(contract.robot),
            role: self.role.clone().or(contract.role),
            policy_step_s: self.policy_step_s.or(contract.policy_step_s),
            activation: self.activation.or(contract.activation),
            output_activation: self.output_activation.or(contract.output_activation),
            ..contract
        })
    }
}

fn activation(name: &str) -> Result<Activation, Error> {
    Activation::deserialize(name.into_deserializer())
}
