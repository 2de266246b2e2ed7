//! Checkpoints: folders `checkpoint-<iteration>` from which learning goes on exactly.
//!
//! `learner.toml` says how far learning is, `learner.safetensors` holds weights and optimizer, `envs-<rank>.bin` the environments of one worker.
//! Without the `envs` files, learning goes on with fresh episodes.

use std::borrow::Cow;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, View};
use serde::{Deserialize, Serialize};

use super::adam::Adam;
use super::model::ParameterLayout;
use super::worker::Plan;
use policies::training::{Algorithm, PpoConfig};

const FORMAT: u32 = 1;
const ENVS_MAGIC: &[u8; 8] = b"vecenv01";

/// A checkpoint that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process could not write its part.
    #[error("{}: not written, since another process failed to write its part", path.display())]
    Elsewhere {
        /// The checkpoint.
        path: PathBuf,
    },
    /// What is there is not such a checkpoint.
    #[error("{}: {what}", path.display())]
    Invalid {
        /// File.
        path: PathBuf,
        /// What is wrong, and what would be right.
        what: String,
    },
}

fn invalid(path: &Path, what: impl Into<String>) -> CheckpointError {
    CheckpointError::Invalid {
        path: path.into(),
        what: what.into(),
    }
}

pub(super) fn refused(checkpoint: &Path, rank: usize, what: String) -> CheckpointError {
    invalid(&checkpoint.join(envs_name(rank)), what)
}

/// `learner.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    format: u32,
    /// Iterations done.
    pub iteration: u64,
    /// Policy steps done over all environments.
    pub policy_steps: u64,
    /// Present learning rate.
    pub learning_rate: f32,
    /// Present multiplier of the costs, if they are bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multiplier: Option<f32>,
    /// Steps of the optimizer.
    pub optimizer_steps: u64,
    /// The run's seed; text, since TOML has no unsigned 64-bit integers.
    seed: String,
    /// Workers, over all processes.
    pub workers: usize,
    /// CRC-32 of `learner.safetensors`.
    weights_crc32: u32,
    /// The algorithm as it was.
    pub algorithm: PpoConfig,
}

impl Progress {
    pub(super) fn new(
        config: &PpoConfig,
        next: Plan,
        learning_rate: f32,
        multiplier: Option<f32>,
        workers: usize,
        adam: &Adam,
    ) -> Self {
        Self {
            format: FORMAT,
            iteration: next.iteration,
            policy_steps: next.policy_steps,
            learning_rate,
            multiplier,
            optimizer_steps: adam.steps,
            seed: next.seed.to_string(),
            workers,
            weights_crc32: 0,
            algorithm: config.clone(),
        }
    }
}

/// Everything of a checkpoint but the environments.
pub(super) struct Loaded {
    pub(super) progress: Progress,
    pub(super) seed: u64,
    pub(super) parameters: Vec<f32>,
    pub(super) adam: Adam,
}

/// The environments of one worker.
pub(super) struct EnvState {
    /// What the worker begins its next iteration with.
    pub(super) carried: Vec<f32>,
    pub(super) env: Vec<u8>,
}

/// The checkpoint with the highest iteration in `folder`.
///
/// # Errors
/// When the folder cannot be read.
pub fn latest(folder: &Path) -> Result<Option<PathBuf>, CheckpointError> {
    Ok(checkpoints(folder)?.pop().map(|(_, path)| path))
}

/// Whole checkpoints, oldest first.
fn checkpoints(folder: &Path) -> Result<Vec<(u64, PathBuf)>, CheckpointError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        let iteration = (path.file_name().and_then(|n| n.to_str()))
            .and_then(|name| name.strip_prefix("checkpoint-"))
            .and_then(|number| number.parse().ok());
        if let Some(iteration) = iteration
            && path.join("learner.toml").is_file()
        {
            found.push((iteration, path));
        }
    }
    found.sort();
    Ok(found)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> CheckpointError + use<> {
    let path = path.to_path_buf();
    move |source| CheckpointError::Io { path, source }
}

fn envs_name(rank: usize) -> String {
    format!("envs-{rank}.bin")
}

/// Writes a checkpoint under a temporary name and renames it when it is whole. After a failure the remaining steps do nothing.
pub(super) struct Writer {
    folder: PathBuf,
    temporary: PathBuf,
    target: PathBuf,
    result: Result<(), CheckpointError>,
}

impl Writer {
    pub(super) fn new(folder: &Path, iteration: u64) -> Self {
        let name = format!("checkpoint-{iteration}");
        Self {
            folder: folder.into(),
            temporary: folder.join(format!(".{name}.partial")),
            target: folder.join(name),
            result: Ok(()),
        }
    }

    pub(super) fn is_ok(&self) -> bool {
        self.result.is_ok()
    }

    fn attempt(&mut self, step: impl FnOnce(&Self) -> Result<(), CheckpointError>) {
        if self.result.is_ok() {
            self.result = step(self);
        }
    }

    /// Removes what an interrupted run left, and creates the temporary folder.
    pub(super) fn begin(&mut self) {
        self.attempt(|w| {
            fs::create_dir_all(&w.folder).map_err(at(&w.folder))?;
            for entry in fs::read_dir(&w.folder).map_err(at(&w.folder))? {
                let path = entry.map_err(at(&w.folder))?.path();
                let name = path
                    .file_name()
                    .and_then(|n| n.to_str())
                    .unwrap_or_default();
                if name.starts_with(".checkpoint-") && name.ends_with(".partial") {
                    fs::remove_dir_all(&path).map_err(at(&path))?;
                }
            }
            fs::create_dir(&w.temporary).map_err(at(&w.temporary))
        });
    }

    pub(super) fn environments(&mut self, rank: usize, carried: &[f32], env: &[u8]) {
        self.attempt(|w| {
            let mut bytes = ENVS_MAGIC.to_vec();
            bytes.extend((carried.len() as u64).to_le_bytes());
            bytes.extend(carried.iter().flat_map(|c| c.to_le_bytes()));
            bytes.extend(env);
            bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
            write(&w.temporary.join(envs_name(rank)), &bytes)
        });
    }

    pub(super) fn learner(
        &mut self,
        mut progress: Progress,
        layout: &ParameterLayout,
        parameters: &[f32],
        adam: &Adam,
    ) {
        self.attempt(|w| {
            let path = w.temporary.join("learner.safetensors");
            let weights = safetensors::serialize(named_tensors(layout, parameters, adam), None)
                .map_err(|e| invalid(&path, e.to_string()))?;
            write(&path, &weights)?;
            progress.weights_crc32 = crc32fast::hash(&weights);
            let path = w.temporary.join("learner.toml");
            let text = toml::to_string(&progress).map_err(|e| invalid(&path, e.to_string()))?;
            write(&path, text.as_bytes())
        });
    }

    /// Gives the checkpoint its name, then removes the oldest beyond `keep`.
    pub(super) fn publish(&mut self, keep: usize) {
        self.attempt(|w| {
            if w.target.exists() {
                fs::remove_dir_all(&w.target).map_err(at(&w.target))?;
            }
            fs::rename(&w.temporary, &w.target).map_err(at(&w.target))?;
            let existing = checkpoints(&w.folder)?;
            for (_, path) in &existing[..existing.len().saturating_sub(keep)] {
                fs::remove_dir_all(path).map_err(at(path))?;
            }
            Ok(())
        });
    }

    /// The checkpoint's path, if all processes wrote their parts.
    pub(super) fn finish(self, everywhere: bool) -> Result<PathBuf, CheckpointError> {
        if self.result.is_err() {
            // Best effort: the next save removes it too.
            let _ = fs::remove_dir_all(&self.temporary);
        }
        self.result?;
        if !everywhere {
            return Err(CheckpointError::Elsewhere { path: self.target });
        }
        Ok(self.target)
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    let write = || {
        let mut file = fs::File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(at(path))
}

/// float32 values with a shape, for safetensors.
struct Plain {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl View for Plain {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    fn data_len(&self) -> usize {
        self.values.len() * 4
    }
}

const PREFIXES: [&str; 3] = ["", "adam.first_moment.", "adam.second_moment."];

fn named_tensors(
    layout: &ParameterLayout,
    parameters: &[f32],
    adam: &Adam,
) -> Vec<(String, Plain)> {
    let mut named = Vec::new();
    for (prefix, flat) in PREFIXES
        .iter()
        .zip([parameters, &adam.first_moment, &adam.second_moment])
    {
        for tensor in layout.tensors() {
            let values = tensor.gather(flat);
            named.push((
                format!("{prefix}{}", tensor.name),
                Plain {
                    shape: tensor.shape,
                    values,
                },
            ));
        }
    }
    named
}

/// Policy steps that the run had done at a checkpoint.
///
/// # Errors
/// When its `learner.toml` cannot be read.
pub fn policy_steps(checkpoint: &Path) -> Result<u64, CheckpointError> {
    Ok(progress(&checkpoint.join("learner.toml"))?.policy_steps)
}

/// Whether the checkpoint holds a critic of costs.
pub(super) fn had_costs(checkpoint: &Path) -> Result<bool, CheckpointError> {
    let progress = progress(&checkpoint.join("learner.toml"))?;
    Ok(progress.algorithm.name == Algorithm::PpoLagrangian)
}

fn progress(path: &Path) -> Result<Progress, CheckpointError> {
    let text = fs::read_to_string(path).map_err(at(path))?;
    let progress: Progress =
        toml::from_str(&text).map_err(|e| invalid(path, e.message().to_string()))?;
    if progress.format != FORMAT {
        return Err(invalid(
            path,
            format!("format {}, this program reads {FORMAT}", progress.format),
        ));
    }
    Ok(progress)
}

pub(super) fn load(checkpoint: &Path, layout: &ParameterLayout) -> Result<Loaded, CheckpointError> {
    let path = checkpoint.join("learner.toml");
    let progress = progress(&path)?;
    let seed = (progress.seed.parse()).map_err(|_| {
        invalid(
            &path,
            format!("seed {:?}, must be a whole number", progress.seed),
        )
    })?;
    for (name, value) in [
        ("learning_rate", Some(progress.learning_rate)),
        ("multiplier", progress.multiplier),
    ] {
        if value.is_some_and(|value| !value.is_finite()) {
            return Err(invalid(&path, format!("{name} is not finite")));
        }
    }

    let path = checkpoint.join("learner.safetensors");
    let bytes = fs::read(&path).map_err(at(&path))?;
    if crc32fast::hash(&bytes) != progress.weights_crc32 {
        return Err(invalid(
            &path,
            "damaged: its CRC-32 is not the one in learner.toml",
        ));
    }
    let tensors = SafeTensors::deserialize(&bytes)
        .map_err(|e| invalid(&path, format!("not a safetensors file: {e}")))?;
    let mut flats = [const { Vec::new() }; 3];
    for (prefix, flat) in PREFIXES.iter().zip(&mut flats) {
        flat.resize(layout.len(), 0.0);
        for tensor in layout.tensors() {
            let name = format!("{prefix}{}", tensor.name);
            let view = tensors
                .tensor(&name)
                .map_err(|_| invalid(&path, format!("has no tensor {name}")))?;
            if view.dtype() != Dtype::F32 || view.shape() != tensor.shape {
                return Err(invalid(
                    &path,
                    format!(
                        "{name} is {:?} {:?}, must be F32 {:?} for this config and robot",
                        view.dtype(),
                        view.shape(),
                        tensor.shape
                    ),
                ));
            }
            let values: Vec<f32> = (view.data().as_chunks::<4>().0.iter())
                .map(|b| f32::from_le_bytes(*b))
                .collect();
            if values.iter().any(|v| !v.is_finite()) {
                return Err(invalid(&path, format!("{name} is not finite everywhere")));
            }
            tensor.scatter(&values, flat);
        }
    }
    if tensors.len() != PREFIXES.len() * layout.tensors().len() {
        return Err(invalid(&path, "has more layers than this config"));
    }
    let [parameters, first_moment, second_moment] = flats;
    let adam = Adam {
        steps: progress.optimizer_steps,
        first_moment,
        second_moment,
    };
    Ok(Loaded {
        progress,
        seed,
        parameters,
        adam,
    })
}

/// The environments of worker `rank`, which carries so many elements from one iteration to the next; `None` if the checkpoint holds none or those of another number of them.
pub(super) fn load_environments(
    checkpoint: &Path,
    rank: usize,
    carried: usize,
) -> Result<Option<EnvState>, CheckpointError> {
    let path = checkpoint.join(envs_name(rank));
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(at(&path)(e)),
    };
    let (body, crc) = bytes.split_last_chunk::<4>().unwrap_or((&[], &[0; 4]));
    let rest = (body.strip_prefix(ENVS_MAGIC))
        .ok_or_else(|| invalid(&path, "not a file of saved environments"))?;
    if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
        return Err(invalid(&path, "damaged: its CRC-32 does not match"));
    }
    let Some((len, rest)) = rest.split_first_chunk::<8>() else {
        return Err(invalid(&path, "ends before its observations"));
    };
    if u64::from_le_bytes(*len) != carried as u64 {
        return Ok(None);
    }
    let Some((head, env)) = rest.split_at_checked(4 * carried) else {
        return Err(invalid(&path, "ends within its observations"));
    };
    let carried = (head.as_chunks::<4>().0.iter())
        .map(|b| f32::from_le_bytes(*b))
        .collect();
    Ok(Some(EnvState {
        carried,
        env: env.to_vec(),
    }))
}
