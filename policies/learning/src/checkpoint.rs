//! Checkpoints: folders `checkpoint-<iteration>` from which training resumes exactly.
//!
//! `learner.toml` says how far learning is, with its own checksum in the first line; `learner.safetensors` holds weights and optimizer, `envs-<rank>.bin`
//! the environments of one worker. Without the `envs` files, it resumes with fresh episodes.

use std::borrow::Cow;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use policies::file::{MAX_DATA_BYTES, read_bytes, read_text};
use policies::training::PpoConfig;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, View};
use serde::{Deserialize, Serialize};

use crate::learner::{NamedTensor, Progress, State};

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

/// Environments that do not take what the checkpoint holds of them.
pub(crate) fn refused(checkpoint: &Path, rank: usize, what: String) -> CheckpointError {
    let remedy = "remove the envs-*.bin to resume with fresh episodes";
    invalid(
        &checkpoint.join(envs_name(rank)),
        format!("{what}; {remedy}"),
    )
}

/// Networks that do not take what the checkpoint holds of them.
pub(crate) fn misfit(checkpoint: &Path, what: String) -> CheckpointError {
    invalid(&weights_path(checkpoint), what)
}

fn weights_path(checkpoint: &Path) -> PathBuf {
    checkpoint.join("learner.safetensors")
}

/// `learner.toml` after its first line, the checksum.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LearnerFile {
    format: u32,
    iteration: u64,
    policy_steps: u64,
    learning_rate: f32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    multiplier: Option<f32>,
    optimizer_steps: u64,
    /// Text, since TOML has no unsigned 64-bit integers.
    seed: String,
    workers: usize,
    /// Of `learner.safetensors`.
    weights_crc32: u32,
    algorithm: PpoConfig,
}

/// The environments of one worker.
pub(crate) struct EnvState {
    /// What the learner begins its next rollout with.
    pub(crate) carried: Vec<f32>,
    pub(crate) env: Vec<u8>,
}

/// The checkpoint with the highest iteration in `folder`, if there is any.
///
/// # Errors
/// When the folder cannot be read.
pub fn latest(folder: &Path) -> Result<Option<PathBuf>, CheckpointError> {
    match folder.is_dir() {
        true => Ok(checkpoints(folder)?.pop().map(|(_, path)| path)),
        false => Ok(None),
    }
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
pub(crate) struct Writer {
    folder: PathBuf,
    temporary: PathBuf,
    target: PathBuf,
    result: Result<(), CheckpointError>,
}

impl Writer {
    pub(crate) fn new(folder: &Path, iteration: u64) -> Self {
        let name = format!("checkpoint-{iteration}");
        Self {
            folder: folder.into(),
            temporary: folder.join(format!(".{name}.partial")),
            target: folder.join(name),
            result: Ok(()),
        }
    }

    pub(crate) fn is_ok(&self) -> bool {
        self.result.is_ok()
    }

    fn attempt(&mut self, step: impl FnOnce(&Self) -> Result<(), CheckpointError>) {
        if self.result.is_ok() {
            self.result = step(self);
        }
    }

    /// Removes what an interrupted run left, and creates the temporary folder.
    pub(crate) fn begin(&mut self) {
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

    pub(crate) fn environments(&mut self, rank: usize, state: &EnvState) {
        self.attempt(|w| {
            let mut bytes = ENVS_MAGIC.to_vec();
            bytes.extend((state.carried.len() as u64).to_le_bytes());
            bytes.extend(state.carried.iter().flat_map(|c| c.to_le_bytes()));
            bytes.extend(&state.env);
            bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
            write(&w.temporary.join(envs_name(rank)), &bytes)
        });
    }

    pub(crate) fn learner(
        &mut self,
        algorithm: &PpoConfig,
        progress: Progress,
        workers: usize,
        state: &State,
    ) {
        self.attempt(|w| {
            let path = weights_path(&w.temporary);
            let tensors = state.tensors.iter().map(|tensor| (&tensor.name, tensor));
            let weights =
                safetensors::serialize(tensors, None).map_err(|e| invalid(&path, e.to_string()))?;
            write(&path, &weights)?;
            let path = w.temporary.join("learner.toml");
            let text = toml::to_string(&LearnerFile {
                format: FORMAT,
                iteration: progress.iteration,
                policy_steps: progress.policy_steps,
                learning_rate: state.learning_rate,
                multiplier: state.multiplier,
                optimizer_steps: state.optimizer_steps,
                seed: progress.seed.to_string(),
                workers,
                weights_crc32: crc32fast::hash(&weights),
                algorithm: algorithm.clone(),
            })
            .map_err(|e| invalid(&path, e.to_string()))?;
            write(&path, with_crc(&text).as_bytes())
        });
    }

    /// Gives the checkpoint its name, then removes the oldest beyond `keep`.
    pub(crate) fn publish(&mut self, keep: usize) {
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
    pub(crate) fn finish(self, everywhere: bool) -> Result<PathBuf, CheckpointError> {
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

impl View for &NamedTensor {
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

impl NamedTensor {
    /// A tensor of a file, if it is of finite float32.
    pub(crate) fn read(name: String, view: &TensorView<'_>) -> Result<Self, String> {
        if view.dtype() != Dtype::F32 {
            return Err(format!("{name} is {:?}, must be F32", view.dtype()));
        }
        let words = view.data().as_chunks::<4>().0.iter();
        let values: Vec<f32> = words.map(|word| f32::from_le_bytes(*word)).collect();
        if !values.iter().all(|value| value.is_finite()) {
            return Err(format!("{name} is not finite everywhere"));
        }
        let shape = view.shape().to_vec();
        Ok(Self {
            name,
            shape,
            values,
        })
    }
}

/// Policy steps that the run had done at a checkpoint.
///
/// # Errors
/// When its `learner.toml` cannot be read.
pub fn policy_steps(checkpoint: &Path) -> Result<u64, CheckpointError> {
    Ok(learner_file(&checkpoint.join("learner.toml"))?.policy_steps)
}

/// What the first line of `learner.toml` begins with: the CRC-32 of all that follows it.
const CRC: &str = "crc32 = ";

fn with_crc(text: &str) -> String {
    let crc = crc32fast::hash(text.as_bytes());
    format!("{CRC}{crc}\n{text}")
}

/// The text after the checksum, if that is right; a file of an earlier program has none.
fn without_crc(text: &str) -> Option<&str> {
    match text.strip_prefix(CRC).map(|rest| rest.split_once('\n')) {
        Some(Some((_, rest))) => (with_crc(rest) == text).then_some(rest),
        Some(None) => None,
        None => Some(text),
    }
}

fn learner_file(path: &Path) -> Result<LearnerFile, CheckpointError> {
    let text = read_text(path).map_err(at(path))?;
    let text =
        without_crc(&text).ok_or_else(|| invalid(path, "damaged: its CRC-32 does not match"))?;
    let file: LearnerFile =
        toml::from_str(text).map_err(|e| invalid(path, e.message().to_string()))?;
    if file.format != FORMAT {
        return Err(invalid(
            path,
            format!("format {}, this program reads {FORMAT}", file.format),
        ));
    }
    Ok(file)
}

/// All of a checkpoint but its environments, and by how many workers it was written.
pub(crate) fn load(checkpoint: &Path) -> Result<(Progress, usize, State), CheckpointError> {
    let path = checkpoint.join("learner.toml");
    let file = learner_file(&path)?;
    let seed = (file.seed.parse()).map_err(|_| {
        invalid(
            &path,
            format!("seed {:?}, must be a whole number", file.seed),
        )
    })?;
    for (name, value) in [
        ("learning_rate", Some(file.learning_rate)),
        ("multiplier", file.multiplier),
    ] {
        if value.is_some_and(|value| !value.is_finite()) {
            return Err(invalid(&path, format!("{name} is not finite")));
        }
    }

    let path = weights_path(checkpoint);
    let bytes = read_bytes(&path, MAX_DATA_BYTES).map_err(at(&path))?;
    if crc32fast::hash(&bytes) != file.weights_crc32 {
        return Err(invalid(
            &path,
            "damaged: its CRC-32 is not the one in learner.toml",
        ));
    }
    let tensors = SafeTensors::deserialize(&bytes)
        .map_err(|e| invalid(&path, format!("not a safetensors file: {e}")))?;
    let tensors = tensors.tensors().into_iter();
    let tensors = tensors.map(|(name, view)| NamedTensor::read(name, &view));
    let tensors: Result<_, String> = tensors.collect();
    let state = State {
        learning_rate: file.learning_rate,
        multiplier: file.multiplier,
        optimizer_steps: file.optimizer_steps,
        tensors: tensors.map_err(|what| invalid(&path, what))?,
    };
    let progress = Progress {
        seed,
        iteration: file.iteration,
        policy_steps: file.policy_steps,
    };
    Ok((progress, file.workers, state))
}

/// The environments of worker `rank`, which carries so many elements from one iteration to the next; `None` if the checkpoint holds none or those of another number of them.
pub(crate) fn load_environments(
    checkpoint: &Path,
    rank: usize,
    carried: usize,
) -> Result<Option<EnvState>, CheckpointError> {
    let path = checkpoint.join(envs_name(rank));
    let bytes = match read_bytes(&path, MAX_DATA_BYTES) {
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
