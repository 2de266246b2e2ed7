//! The folder of a training run.
//!
//! ```text
//! runs/agile-go1-1-20260131-235959/
//!   config.toml     every setting, as resolved at the start
//!   revision.txt    git revision of the source
//!   robot/          copy of the robot's files
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
use policies::{
    file::write_atomic,
    settings::{self, Difference},
};
use robots::{Robot, RobotFiles};
use time::OffsetDateTime;

use crate::{config::Config, repository};

const CONFIG: &str = "config.toml";
const ROBOT: &str = "robot";

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
        let robot = RobotFiles::read(&config.robot)?;
        robot.robot()?.require_sound()?;
        robot.write(&run.file(ROBOT)).with_context(unwritable)?;
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

    /// The robot of the run: its own copy, or that of the configuration if the run is older than such copies.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn robot(&self, config: &Config) -> Result<Robot> {
        Ok(match RobotFiles::in_folder(&self.file(ROBOT))? {
            Some(copy) => copy.robot()?,
            None => Robot::load(&config.robot)?,
        })
    }

    /// What has changed in the robot's own folder since the run kept its copy, in one line.
    pub fn robot_change(&self, config: &Config) -> Option<String> {
        let copy = RobotFiles::in_folder(&self.file(ROBOT)).ok()??;
        let now = RobotFiles::read(&config.robot).ok()?;
        if now == copy {
            return None;
        }
        let [was, is] = [&copy, &now].map(|files| files.description().parse().unwrap_or_default());
        let what = match settings::first_difference(&was, &is) {
            Some(Difference {
                key,
                values: [was, is],
            }) => format!("{key} is {is}, was {was}"),
            None => "other URDF or comments".to_owned(),
        };
        Some(format!(
            "robot {} has changed since this run began ({what}); the run keeps its copy in {}",
            config.robot,
            self.file(ROBOT).display()
        ))
    }

    /// The files of the robot for a bundle of this run; `None` if a shipped robot has the same.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn bundled_robot(&self) -> Result<Option<RobotFiles>> {
        let Some(copy) = RobotFiles::in_folder(&self.file(ROBOT))? else {
            return Ok(None);
        };
        let shipped = RobotFiles::read(&copy.robot()?.name);
        Ok((!shipped.is_ok_and(|shipped| shipped == copy)).then_some(copy))
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
    fn a_run_keeps_its_robot_and_tells_what_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("own");
        let shipped = RobotFiles::read("go1").unwrap();
        shipped.write(&own).unwrap();
        let config = Config {
            robot: own.to_str().unwrap().to_owned(),
            ..Config::default()
        };
        let run = RunFolder::create(&folder.path().join("run"), &config).unwrap();
        assert_eq!(run.robot_change(&config), None);
        assert_eq!(run.bundled_robot().unwrap(), None);

        let edited = shipped
            .description()
            .replacen("stiffness = [30.0", "stiffness = [31.0", 1);
        fs::write(own.join("robot.toml"), edited).unwrap();
        let change = run.robot_change(&config).unwrap();
        for part in ["control.stiffness is [31.0", "was [30.0", "run/robot"] {
            assert!(change.contains(part), "{change}");
        }
        assert_eq!(run.robot(&config).unwrap(), Robot::load("go1").unwrap());
        // Another run with the edited robot puts it into its bundles.
        let other = RunFolder::create(&folder.path().join("other"), &config).unwrap();
        assert!(other.bundled_robot().unwrap().is_some());
        // The folder may be gone.
        fs::remove_dir_all(&own).unwrap();
        assert_eq!(run.robot_change(&config), None);
        assert_eq!(run.robot(&config).unwrap(), Robot::load("go1").unwrap());
    }

    #[test]
    fn a_folder_without_config_is_no_run() {
        let folder = tempfile::tempdir().unwrap();
        let error = RunFolder::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains("is not a run"), "{error}");
    }
}
