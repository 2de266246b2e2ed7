//! Import of policies that were trained elsewhere: a network and a contract that says what it means become a bundle.

mod check;
mod contract;
mod network;
mod observation;
#[cfg(feature = "onnx")]
mod onnx;
mod order;
mod robot;
mod safetensors;
mod template;

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use controller::Method;
use policies::{
    Activation, Bundle,
    bundle::sha256,
    file::read_bytes,
    policy::ACTION_CLIP,
    spec::{ImportedFile, NetworkSpec, Output, Provenance, role},
};

use check::{Normalized, Reference};
use contract::Vector;
use network::{Network, name};
use observation::Observation;
use robot::ImportedRobot;

pub use contract::{Contract, Numbers};
pub use template::template;

/// Largest file that is read, bytes: 16 million weights.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// What a file computes, by other means than the network that was read from it.
type Original = Box<dyn Fn(&[f32]) -> Result<Vec<f32>>>;

/// A network as it was read.
struct Source {
    network: Network,
    original: Original,
}

/// A bundle made of a network from elsewhere.
pub struct Import {
    /// The bundle.
    pub bundle: Bundle,
    /// Role of its network.
    pub role: String,
    /// What was read and done, in lines.
    pub notes: Vec<String>,
}

impl Import {
    /// Reads the network in `file`, to which `contract` gives a meaning; `named` is what messages call the contract.
    ///
    /// # Errors
    /// One line if the file is no multilayer perceptron, the contract does not fit it or the robot, or the bundle would compute something else.
    pub fn new(file: &Path, contract: &Contract, named: &str) -> Result<Self> {
        let of_contract = || named.to_owned();
        let of_file = || file.display().to_string();
        let role = role(contract).with_context(of_contract)?;
        let Some(robot) = &contract.robot else {
            bail!(
                "{named}: `robot` is missing: the name of a robot or its folder, also as --robot"
            );
        };
        let imported = ImportedRobot::new(robot, contract).with_context(of_contract)?;
        let is_onnx = is_onnx(file)?;
        let bytes = read_bytes(file, MAX_FILE_BYTES).with_context(of_file)?;
        let source = match is_onnx {
            true => read_onnx(&bytes, contract),
            false => read_safetensors(&bytes, contract),
        };
        let source = source.with_context(of_file)?;
        let joints = imported.robot.num_joints();
        ensure!(
            source.network.outputs() == joints,
            "{}: the network has {} outputs, must have {joints}, one per joint of {}",
            file.display(),
            source.network.outputs(),
            imported.robot.name
        );
        let provenance = Provenance {
            imported_from: Some(ImportedFile {
                name: file
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
                sha256: sha256(&bytes),
            }),
            date: Some(time::OffsetDateTime::now_utc().date().to_string()),
            ..Provenance::default()
        };
        let normalized = normalized(contract, &bytes, source.network.inputs());
        let normalized = normalized.with_context(of_contract)?;
        let import = Self::assemble(contract, source, normalized, provenance, role, &imported);
        let mut import = import.with_context(of_contract)?;
        import.notes[0].insert_str(0, &format!("{}: ", file.display()));
        Ok(import)
    }

    fn assemble(
        contract: &Contract,
        source: Source,
        normalized: Option<Normalized>,
        provenance: Provenance,
        role: &str,
        imported: &ImportedRobot,
    ) -> Result<Self> {
        let Source {
            mut network,
            original,
        } = source;
        let added = add_output(&mut network, contract)?;
        let clip = clip(&network, contract)?;
        let mut notes = vec![describe(&network)];

        let outputs = imported.outputs();
        let scale = imported.largest_action_scale();
        let factors: Vec<f64> = outputs.iter().map(|element| element.factor).collect();
        ensure!(
            network.output == Activation::Identity || factors.iter().all(|factor| *factor == 1.0),
            "`action_scale` differs between joints, which no bundle can have with {} behind the last layer",
            name(network.output)
        );
        let (robot, order) = (&imported.robot, &imported.order);
        let spec = contract.spec(robot);
        let observation = Observation::new(
            contract,
            robot,
            &spec.rays,
            order,
            &factors,
            network.inputs(),
        )?;
        if let Some(normalized) = &normalized {
            network.normalize(&normalized.mean, &normalized.deviation);
        }
        network.rearrange_inputs(&observation.elements);
        network.rearrange_outputs(&outputs);

        let mut bundle = Bundle::new(spec);
        bundle.robot_files.clone_from(&imported.files);
        let activation = network.output;
        let spec = NetworkSpec {
            activation: network.activation,
            output: Output::Actions {
                scale,
                clip,
                activation,
            },
            twist_range: contract.twist_range,
            ..NetworkSpec::policy(role, observation.terms, scale, provenance)
        };
        bundle.insert(role, spec, network.linear())?;
        bundle.spec.validate()?;
        bundle.check(robot)?;
        let reference = Reference {
            original,
            normalized,
            inputs: observation.elements,
            outputs,
            added,
            clip,
        };
        notes.push(reference.compare(&bundle, role)?);
        if !imported.changed.is_empty() {
            notes.push(format!(
                "{} not as {} has it: the bundle has a robot of its own, {} with these numbers",
                imported.changed.join(", "),
                contract.robot.as_deref().unwrap_or_default(),
                robot.name
            ));
        }
        Ok(Self {
            bundle,
            role: role.to_owned(),
            notes,
        })
    }
}

/// The contract that a file carries itself, if it does.
///
/// # Errors
/// When it cannot be read.
#[cfg(feature = "onnx")]
pub fn carried_contract(file: &Path) -> Result<Option<Contract>> {
    if !is_onnx(file)? {
        return Ok(None);
    }
    let contract = read_bytes(file, MAX_FILE_BYTES)
        .map_err(Into::into)
        .and_then(|bytes| onnx::contract(&bytes));
    contract.with_context(|| file.display().to_string())
}

/// Only an ONNX model carries one, and this program was built without.
#[cfg(not(feature = "onnx"))]
pub fn carried_contract(_file: &Path) -> Result<Option<Contract>> {
    Ok(None)
}

fn role(contract: &Contract) -> Result<&str> {
    let Some(role) = contract.role.as_deref() else {
        bail!(
            "`role` is missing: what the network is in the bundle, e.g. recovery or velocity, also as --role"
        );
    };
    let Method::Policy(_) = role.parse()? else {
        bail!(
            "`role` is abs, which is two policies and a value; import each policy, then combine them with abs bundle"
        );
    };
    ensure!(
        ![role::REACH_AVOID, role::RAYS].contains(&role),
        "`role` is {role}, but only policies can be imported, e.g. agile, recovery or velocity"
    );
    Ok(role)
}

/// Whether a file is ONNX or safetensors, by its name.
fn is_onnx(file: &Path) -> Result<bool> {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("onnx") => Ok(true),
        Some("safetensors") => Ok(false),
        _ => bail!(
            "{}: the name must end in .onnx or .safetensors; torch.onnx.export and safetensors.torch.save_file write such files of a PyTorch model",
            file.display()
        ),
    }
}

#[cfg(feature = "onnx")]
fn read_onnx(bytes: &[u8], contract: &Contract) -> Result<Source> {
    onnx::read(bytes, contract.output.as_deref())
}

/// Says how to get a program that reads them.
#[cfg(not(feature = "onnx"))]
fn read_onnx(_bytes: &[u8], _contract: &Contract) -> Result<Source> {
    bail!(
        "this program was built without ONNX; start it as scripts/abs import, which builds it with"
    )
}

fn read_safetensors(bytes: &[u8], contract: &Contract) -> Result<Source> {
    let Some(hidden) = contract.activation else {
        bail!(
            "`activation` is missing in the contract: what is between the layers, which no safetensors file tells: elu, relu, silu or tanh, also as --activation"
        );
    };
    let output = contract.output_activation.unwrap_or_default();
    let ignore = |_: &str| contract.normalization.is_some();
    let prefix = contract.layers.as_deref();
    let network = safetensors::read(bytes, prefix, [hidden, output], ignore)?;
    let original = network.clone();
    Ok(Source {
        network,
        original: Box::new(move |observation| Ok(original.evaluate(observation))),
    })
}

/// Puts the activation of the contract behind the last layer, unless it is there; what was added.
fn add_output(network: &mut Network, contract: &Contract) -> Result<Activation> {
    let found = network.activation;
    if let Some(activation) = contract.activation
        && network.widths().len() > 2
        && activation != found
    {
        bail!(
            "`activation` is {}, but the network has {} between its layers",
            name(activation),
            name(found)
        );
    }
    match contract.output_activation {
        Some(output) if output != network.output => {
            ensure!(
                network.output == Activation::Identity && network.clip.is_none(),
                "`output_activation` is {}, but the network has {} behind its last layer",
                name(output),
                match network.clip {
                    Some(_) => "a clip",
                    None => name(network.output),
                }
            );
            network.output = output;
            Ok(output)
        }
        _ => Ok(Activation::Identity),
    }
}

fn clip(network: &Network, contract: &Contract) -> Result<f32> {
    match (network.clip.map(|clip| clip as f32), contract.action_clip) {
        (Some(found), Some(clip)) if found != clip => {
            bail!("`action_clip` is {clip}, but the network clips its actions at {found}")
        }
        (found, clip) => Ok(found.or(clip).unwrap_or(ACTION_CLIP)),
    }
}

fn normalized(contract: &Contract, bytes: &[u8], inputs: usize) -> Result<Option<Normalized>> {
    let Some(normalization) = &contract.normalization else {
        return Ok(None);
    };
    let read = |key: &str, vector: &Vector| -> Result<Vec<f64>> {
        let numbers = match vector {
            Vector::Numbers(numbers) => numbers.clone(),
            Vector::Tensor(name) => {
                safetensors::vector(bytes, name).with_context(|| format!("normalization.{key}"))?
            }
        };
        ensure!(
            numbers.len() == inputs,
            "normalization.{key} has {} numbers, must have {inputs}, one per input of the network",
            numbers.len()
        );
        Ok(numbers)
    };
    let mean = read("mean", &normalization.mean)?;
    let mut deviation = read("std", &normalization.std)?;
    for deviation in &mut deviation {
        *deviation += normalization.epsilon;
        ensure!(
            *deviation > 0.0 && deviation.is_finite(),
            "normalization.std has {deviation} with epsilon, must be positive"
        );
    }
    Ok(Some(Normalized { mean, deviation }))
}

/// Widths and activations.
fn describe(network: &Network) -> String {
    let widths: Vec<String> = network.widths().iter().map(usize::to_string).collect();
    let mut text = widths.join("-");
    if widths.len() > 2 {
        text += &format!(", {} between the layers", name(network.activation));
    }
    if network.output != Activation::Identity {
        text += &format!(", {} behind the last", name(network.output));
    }
    text
}

#[cfg(test)]
mod tests;
