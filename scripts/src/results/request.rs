//! What an evaluation depends on, kept in its folder, so that one does not replace another unnoticed.

use std::{fs, io, path::Path};

use anyhow::{Context, Result, bail};
use controller::{ControllerConfig, Method};
use policies::{
    Twist,
    file::{read_text, write_atomic},
};
use serde::Serialize;
use sim::{engine::PhysicsConfig, eval::EvalConfig, reality::RealityConfig};

use crate::commands::{eval::METRICS, subject::Subject};

const REQUEST: &str = "request.toml";

/// Everything that the result of an evaluation depends on: `request.toml`.
#[derive(Serialize)]
struct Contents<'a> {
    /// Folder of the bundle, which the result does not depend on.
    bundle_path: String,
    /// CRC-32 of the manifest, which has the hashes of all networks.
    bundle: u32,
    /// CRC-32 of the robot.
    robot: u32,
    method: Method,
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    switch_threshold: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<Twist>,
    eval: &'a EvalConfig,
    physics: &'a PhysicsConfig,
    reality: &'a RealityConfig,
    controller: &'a ControllerConfig,
}

/// An evaluation, as its folder names it.
#[derive(Clone, Debug)]
pub struct Request(String);

impl PartialEq for Request {
    /// Whether both have the same result.
    fn eq(&self, other: &Self) -> bool {
        let rest = |text: &str| text.split_once('\n').map(|(_, rest)| rest.to_owned());
        rest(&self.0) == rest(&other.0)
    }
}

impl Request {
    /// The evaluation of `subject`, or of its recovery policy on one command.
    ///
    /// # Errors
    /// Only for settings that TOML cannot hold.
    pub fn new(subject: &Subject, command: Option<Twist>) -> Result<Self> {
        let config = &subject.config;
        let contents = Contents {
            bundle_path: subject.bundle_path.display().to_string(),
            bundle: crc32fast::hash(toml::to_string(&subject.bundle.spec)?.as_bytes()),
            robot: crc32fast::hash(format!("{:?}", subject.robot).as_bytes()),
            method: subject.method,
            seed: config.seed,
            switch_threshold: subject.threshold(),
            command,
            eval: &config.eval,
            physics: &config.physics,
            reality: &config.reality,
            controller: &config.controller,
        };
        let text = toml::to_string(&contents).context("the request does not fit into TOML")?;
        Ok(Self(text))
    }

    /// Whether `folder` holds the finished evaluation.
    pub fn is_done(&self, folder: &Path) -> bool {
        let found = read_text(&folder.join(REQUEST));
        found.is_ok_and(|text| Self(text) == *self) && folder.join(METRICS).is_file()
    }

    /// Fails if `folder` holds another evaluation. With `replace` that is only printed.
    ///
    /// # Errors
    /// One line that says how to go on.
    pub fn claim(&self, folder: &Path, replace: bool) -> Result<()> {
        if !folder.join(METRICS).exists() || self.is_done(folder) {
            return Ok(());
        }
        let of = read_text(&folder.join(REQUEST)).ok();
        let of = of.and_then(|text| text.parse::<toml::Table>().ok());
        let of = of
            .as_ref()
            .and_then(|table| table.get("bundle_path")?.as_str());
        let of = of.map_or(String::new(), |path| format!(" of {path}"));
        let folder = folder.display();
        if !replace {
            bail!(
                "{folder} holds another evaluation{of}; choose another folder with --out, or replace it with --force"
            );
        }
        eprintln!("replacing the evaluation{of} in {folder}");
        Ok(())
    }

    /// Before results are written: until they all are, `folder` holds no evaluation.
    ///
    /// # Errors
    /// When the folder cannot be changed.
    pub fn begin(folder: &Path) -> Result<()> {
        for name in [METRICS, REQUEST] {
            let path = folder.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error)
                        .with_context(|| format!("cannot replace {}", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Marks the evaluation in `folder` as finished.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(&self, folder: &Path) -> Result<()> {
        let path = folder.join(REQUEST);
        write_atomic(&path, self.0.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))
    }
}
