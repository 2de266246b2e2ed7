//! The folder of a training run.
//!
//! ```text
//! runs/agile-go1-1-20260131-235959/
//!   config.toml     every setting, as resolved at the start
//!   revision.txt    git revision of the source
//!   checkpoints/    the newest ones, to resume from
//!   bundle/         the policy, at the end of training
//!   events...       TensorBoard
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use policies::file::write_atomic;
use time::OffsetDateTime;

use crate::{config::Config, repository};

const CONFIG: &str = "config.toml";

/// A folder that belongs to one run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Default folder of a run: `runs/<task>-<robot>-<seed>-<time in UTC>`.
    pub fn default_path(task: &str, robot: &str, seed: u64, now: OffsetDateTime) -> PathBuf {
        let (date, time) = (now.date(), now.time());
        PathBuf::from(format!(
            "runs/{task}-{robot}-{seed}-{:04}{:02}{:02}-{:02}{:02}{:02}",
            date.year(),
            u8::from(date.month()),
            date.day(),
            time.hour(),
            time.minute(),
            time.second(),
        ))
    }

    /// Makes a new run folder with the configuration, the git revision and a copy of the robot.
    ///
    /// # Errors
    /// When the folder holds a run already, or cannot be written.
    pub fn create(path: &Path, config: &Config) -> Result<Self> {
        if path.join(CONFIG).exists() {
            bail!(
                "{} holds a run already; resume it with --resume, or choose another --out",
                path.display()
            );
        }
        let run = Self {
            path: path.to_owned(),
        };
        let unwritable = || format!("cannot write the run folder {}", path.display());
        fs::create_dir_all(path).with_context(unwritable)?;
        write_atomic(&run.file("revision.txt"), git_revision().as_bytes())
            .with_context(unwritable)?;
        run.save_config(config)?;
        Ok(run)
    }

    /// Opens the folder of a run.
    ///
    /// # Errors
    /// When it is not one.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.join(CONFIG).is_file() {
            bail!("{} is not a run: it holds no {CONFIG}", path.display());
        }
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The configuration of the run.
    ///
    /// # Errors
    /// When it cannot be read, or is of another version of this program.
    pub fn config(&self) -> Result<Config> {
        Config::read(&self.file(CONFIG))
    }

    /// Replaces the configuration of the run.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save_config(&self, config: &Config) -> Result<()> {
        let path = self.file(CONFIG);
        write_atomic(&path, config.to_toml()?.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Where checkpoints go.
    pub fn checkpoints(&self) -> PathBuf {
        self.file("checkpoints")
    }

    /// Where the policy goes.
    pub fn bundle(&self) -> PathBuf {
        self.file("bundle")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Revision of the source that this program was built from, as far as git knows it, with `-dirty` where the work tree
/// differs.
pub fn git_revision() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .arg("-C")
            .arg(repository::root())
            .args(arguments)
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    };
    match (git(&["rev-parse", "HEAD"]), git(&["status", "--porcelain"])) {
        (Some(revision), Some(changes)) if changes.is_empty() => revision,
        (Some(revision), _) => format!("{revision}-dirty"),
        (None, _) => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_path_names_task_robot_seed_and_time() {
        let now = OffsetDateTime::from_unix_timestamp(1_769_903_999).unwrap();
        assert_eq!(
            RunFolder::default_path("agile", "go1", 3, now),
            Path::new("runs/agile-go1-3-20260131-235959")
        );
    }

    #[test]
    fn a_run_keeps_its_config_and_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let config = Config {
            seed: 9,
            ..Config::default()
        };
        let run = RunFolder::create(&path, &config).unwrap();
        assert_eq!(run.config().unwrap(), config);
        let error = RunFolder::create(&path, &config).unwrap_err();
        assert!(error.to_string().contains("holds a run already"), "{error}");
        RunFolder::open(&path).unwrap();
    }

    #[test]
    fn a_folder_without_config_is_no_run() {
        let folder = tempfile::tempdir().unwrap();
        let error = RunFolder::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains("is not a run"), "{error}");
    }
}
