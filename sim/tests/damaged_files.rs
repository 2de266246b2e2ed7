//! Files that are damaged, each in hundreds of ways: every kind that is read from a disk gives a line or what it says, soon,
//! without a panic, with less than 1 GB. `DAMAGED_FILES=10000` sets how many of each kind. (Robots and logs: in their crates.)

#![expect(clippy::unwrap_used, reason = "a test")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use controller::{
    ControllerConfig, Method,
    deploy::{DeployConfig, Pilot},
};
use nalgebra::Vector3;
use policies::{
    Bundle, PolicySpec,
    depth::DepthSamples,
    file::{MAX_DATA_BYTES, read_bytes},
    settings,
    spec::role,
};
use robots::Robot;
use serde::{Deserialize, Serialize};
use sim::{
    engine::{self, EngineKind, PhysicsConfig},
    eval::EvalConfig,
    scene::{TestScene, TestbedConfig},
};
use tempfile::TempDir;

use self::damage::survive;

#[path = "../../tests/damage.rs"]
mod damage;

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A copy of a folder of files.
fn copy(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    copy
}

fn line(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Loads a bundle, and all that is made of it.
/// The agile policy of go1 in a bundle of its own.
fn agile_alone() -> Bundle {
    let go1 = Bundle::load(&shipped("policies/bundles/go1")).unwrap();
    let mut bundle = Bundle::new(PolicySpec {
        networks: BTreeMap::new(),
        switch: None,
        ..go1.spec.clone()
    });
    bundle.insert_from(role::AGILE, &go1).unwrap();
    bundle
}

fn load_bundle(folder: &Path) -> Result<(), String> {
    let bundle = Bundle::load(folder).map_err(line)?;
    let robot = bundle.robot().map_err(line)?;
    bundle.check(&robot).map_err(line)
}

#[test]
fn manifests() {
    let folder = copy(&shipped("policies/bundles/go1"));
    survive(&folder.path().join("bundle.toml"), move |_| {
        load_bundle(folder.path())
    });
}

#[test]
fn weights() {
    let folder = tempfile::tempdir().unwrap();
    agile_alone().save(folder.path()).unwrap();
    let manifest = folder.path().join("bundle.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    let hash = Bundle::load(folder.path()).unwrap().spec.networks["agile"]
        .sha256
        .clone();
    survive(&folder.path().join("agile.safetensors"), move |bytes| {
        // As if the manifest meant them: what is then wrong is up to the reader of the weights.
        let refusal = Bundle::load(folder.path()).err().map(line);
        if let Some(found) = refusal.as_deref().and_then(|line| sha256_in(line, &hash)) {
            fs::write(&manifest, text.replace(&hash, found)).unwrap();
        }
        let result = load_bundle(folder.path());
        fs::write(&manifest, &text).unwrap();
        assert!(!bytes.is_empty() || result.is_err());
        result
    });
}

/// The hash in a line that is not the expected one.
fn sha256_in<'a>(line: &'a str, expected: &str) -> Option<&'a str> {
    let mut words = line.split(|letter: char| !letter.is_ascii_hexdigit());
    words.find(|word| word.len() == 64 && *word != expected)
}

/// The settings of a program that runs and tests policies.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    controller: ControllerConfig,
    deploy: DeployConfig,
    eval: EvalConfig,
    physics: PhysicsConfig,
}

#[test]
fn settings_of_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let mut defaults = Settings::default();
    defaults.deploy.method = Method::agile();
    fs::write(&path, toml::to_string(&defaults).unwrap()).unwrap();
    let robot = Robot::load("go1").unwrap();
    let bundle = agile_alone();
    survive(&path.clone(), move |_| {
        let settings = settings::with_file(&Settings::default(), &path).map_err(line)?;
        settings.eval.validate(&settings.physics).map_err(line)?;
        let Settings {
            controller, deploy, ..
        } = settings;
        Pilot::new(&robot, &bundle, &controller, &deploy)
            .map(drop)
            .map_err(line)
    });
}

#[test]
fn scenes() {
    let folders = ["sim/scenes", "sim/scenes/training"].map(|name| fs::read_dir(shipped(name)));
    let entries = folders.into_iter().flat_map(Result::unwrap);
    for scene in entries.map(Result::unwrap) {
        if scene.path().is_dir() {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(scene.file_name());
        fs::copy(scene.path(), &path).unwrap();
        let robot = Robot::load("go1").unwrap();
        survive(&path.clone(), move |_| {
            let _keep = &folder;
            let config = TestbedConfig::load(path.to_str().unwrap()).map_err(line)?;
            for kind in [EngineKind::Batch, EngineKind::Rapier] {
                let scene = TestScene::new(1, 0, &config).map_err(line)?;
                let physics = PhysicsConfig::default();
                let mut engine = engine::build(kind, &robot, &physics, 1).map_err(line)?;
                engine.reset(0, &scene.start(&robot)).map_err(line)?;
                engine.step(&robot.control.standing_position_rad);
            }
            Ok(())
        });
    }
}

#[test]
fn depth_images() {
    let mut samples = DepthSamples::new([8, 6], 5);
    for scene in 0..20 {
        let tilt = Vector3::new(0.1, 0.0, -1.0);
        samples.push(
            &[1.5; 48],
            &tilt,
            &[2.0; 5],
            &[DepthSamples::NOTHING; 5],
            scene,
            false,
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("train-000000.safetensors");
    fs::write(&path, samples.encode("origin").unwrap()).unwrap();
    survive(&path.clone(), move |_| {
        let _keep = &folder;
        let bytes = read_bytes(&path, MAX_DATA_BYTES).map_err(line)?;
        let samples = DepthSamples::decode(&bytes, None).map_err(line)?;
        for sample in 0..samples.len() {
            assert_eq!(samples.image_mm(sample).len(), samples.num_pixels());
            assert_eq!(samples.rays_m(sample).len(), samples.hits(sample).len());
        }
        Ok(())
    });
}
