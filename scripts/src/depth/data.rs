//! A folder of depth images: files with several scenes each, and a manifest.
//!
//! ```text
//! data/depth-go1-1/
//!   manifest.json               camera, rays, seed, settings, files
//!   train-000000.safetensors    images, rays, what each ray hits
//!   test-000000.safetensors
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use policies::{
    Bundle, RaySpec,
    depth::DepthSamples,
    file::{MAX_DATA_BYTES, read_bytes, read_text, write_atomic},
};
use robots::{Camera, Robot};
use serde::{Deserialize, Serialize};
use sim::{
    depth::{RecordingConfig, Split},
    reality::RealityConfig,
};

const MANIFEST: &str = "manifest.json";

/// The recording that all files of a folder belong to, and the files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub robot: String,
    pub seed: u64,
    /// Revision of the source at the recording.
    pub git_revision: String,
    pub camera: CameraRecord,
    pub rays: RaySpec,
    /// SHA-256 of the agile policy that ran.
    pub policy: String,
    pub recording: RecordingConfig,
    /// In what the robots differed from the simulation, if they did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reality: Option<RealityConfig>,
    pub files: Vec<FileRecord>,
}

/// The camera that took the images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CameraRecord {
    width_px: usize,
    height_px: usize,
    horizontal_fov_rad: f32,
    range_m: [f32; 2],
    position_base_m: [f32; 3],
    rpy_base_rad: [f32; 3],
}

/// A file of the folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRecord {
    pub name: String,
    pub split: Split,
    pub first_scene: usize,
    pub scenes: usize,
    pub images: usize,
}

impl CameraRecord {
    pub fn new(camera: &Camera) -> Self {
        let (roll, pitch, yaw) = camera.pose_base.rotation.euler_angles();
        Self {
            width_px: camera.width_px,
            height_px: camera.height_px,
            horizontal_fov_rad: camera.horizontal_fov_rad,
            range_m: camera.range_m,
            position_base_m: camera.pose_base.translation.vector.into(),
            rpy_base_rad: [roll, pitch, yaw],
        }
    }
}

impl Manifest {
    /// Number of images of a split.
    pub fn images(&self, split: Split) -> usize {
        let files = self.files.iter().filter(|file| file.split == split);
        files.map(|file| file.images).sum()
    }
}

/// The camera of a robot.
pub fn camera_of(robot: &Robot) -> Result<&Camera> {
    let camera = robot.camera.as_ref();
    camera.with_context(|| {
        format!(
            "robot `{}` has no camera; add [camera] to its robot.toml",
            robot.name
        )
    })
}

/// A folder of depth images.
pub struct DepthData {
    folder: PathBuf,
    pub manifest: Manifest,
}

impl DepthData {
    /// Opens a recorded folder.
    ///
    /// # Errors
    /// When it holds no depth images.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(MANIFEST);
        let text = read_text(&path).with_context(|| {
            format!(
                "{} holds no depth images: cannot read {MANIFEST}; record some with `abs collect-depth`",
                folder.display()
            )
        })?;
        let manifest = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        Ok(Self {
            folder: folder.to_owned(),
            manifest,
        })
    }

    /// A folder to record into; an unfinished folder of the same recording is continued.
    ///
    /// # Errors
    /// When it cannot be written, or is of another recording.
    pub fn begin(folder: &Path, manifest: Manifest) -> Result<Self> {
        if folder.join(MANIFEST).is_file() {
            let begun = Self::open(folder)?;
            let same = Manifest {
                files: begun.manifest.files.clone(),
                git_revision: begun.manifest.git_revision.clone(),
                ..manifest
            };
            ensure!(
                begun.manifest == same,
                "{} holds images of another camera, robot, policy, seed or configuration; choose another --out",
                folder.display()
            );
            return Ok(begun);
        }
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot write to {}", folder.display()))?;
        let data = Self {
            folder: folder.to_owned(),
            manifest,
        };
        data.save_manifest()?;
        Ok(data)
    }

    /// Whether the file of these scenes has been recorded.
    pub fn has(&self, split: Split, first_scene: usize) -> bool {
        let is_it = |file: &FileRecord| (file.split, file.first_scene) == (split, first_scene);
        let record = self.manifest.files.iter().find(|file| is_it(file));
        record.is_some_and(|file| self.folder.join(&file.name).is_file())
    }

    /// Writes a file, and then the manifest that names it.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn add(
        &mut self,
        split: Split,
        first_scene: usize,
        scenes: usize,
        samples: &DepthSamples,
    ) -> Result<()> {
        let name = format!("{}-{first_scene:06}.safetensors", split.name());
        let path = self.folder.join(&name);
        let bytes = samples.encode(&self.origin()?)?;
        write_atomic(&path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
        self.manifest.files.retain(|file| file.name != name);
        self.manifest.files.push(FileRecord {
            name,
            split,
            first_scene,
            scenes,
            images: samples.len(),
        });
        self.save_manifest()
    }

    /// Checks that the images are of the robot's camera and of the bundle's rays.
    ///
    /// # Errors
    /// One line that says what differs.
    pub fn check(&self, robot: &Robot, bundle: &Bundle) -> Result<()> {
        let camera = camera_of(robot)?;
        let expected = CameraRecord::new(camera);
        if self.manifest.camera != expected {
            bail!(
                "{} holds images of another camera ({:?}) than that of robot `{}` ({expected:?}); record again with `abs collect-depth`",
                self.folder.display(),
                self.manifest.camera,
                robot.name,
            );
        }
        let rays = bundle.camera_rays(camera);
        ensure!(
            (rays.as_ref())
                .is_some_and(|rays| rays.range_of(&self.manifest.rays) == Some(0..rays.count)),
            "{} holds other rays ({:?}) than the bundle's that the camera sees ({rays:?}); record again with `abs collect-depth`",
            self.folder.display(),
            self.manifest.rays,
        );
        Ok(())
    }

    /// Reads the files of a split one after the other.
    pub fn files(&self, split: Split) -> impl Iterator<Item = Result<DepthSamples>> + '_ {
        let files = self
            .manifest
            .files
            .iter()
            .filter(move |file| file.split == split);
        files.map(|file| self.read(file))
    }

    fn read(&self, file: &FileRecord) -> Result<DepthSamples> {
        let path = self.folder.join(&file.name);
        let bytes = read_bytes(&path, MAX_DATA_BYTES)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let samples = DepthSamples::decode(&bytes, Some(&self.origin()?))
            .with_context(|| path.display().to_string())?;
        ensure!(
            samples.len() == file.images,
            "{} holds {} images, the manifest says {}; remove it to record it again",
            path.display(),
            samples.len(),
            file.images
        );
        Ok(samples)
    }

    /// Everything that the images depend on except the numbers of their scenes.
    fn origin(&self) -> Result<String> {
        let common = Manifest {
            files: Vec::new(),
            git_revision: String::new(),
            ..self.manifest.clone()
        };
        Ok(serde_json::to_string(&common)?)
    }

    fn save_manifest(&self) -> Result<()> {
        let path = self.folder.join(MANIFEST);
        let text = serde_json::to_string_pretty(&self.manifest)? + "\n";
        write_atomic(&path, text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))
    }
}
