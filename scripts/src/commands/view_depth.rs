//! `abs view-depth`: recorded depth images with true and predicted rays.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use policies::{
    Bundle, RayScan,
    depth::{Intrinsics, RayPredictor},
    spec::role,
};
use sim::depth::Split;

use crate::{
    depth::data::{DepthData, camera_of},
    pictures::{DepthPicture, depth_sheet},
    repository,
};

/// Draw recorded depth images with true rays, and predicted rays if the bundle has a ray network
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs view-depth data/depth-go1-1                      images spread over the test set
  abs view-depth data/depth-go1-1 --train --count 40 --first 1000")]
pub struct ViewDepthCommand {
    /// Folder of depth images
    #[arg(value_name = "DIR")]
    data: PathBuf,
    /// Images of the training set instead of the test set
    #[arg(long)]
    train: bool,
    /// Number of images
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
    count: u16,
    /// Consecutive images from this one on, instead of images spread over the set
    #[arg(long)]
    first: Option<usize>,
    /// Bundle with the ray network [default: the shipped bundle of the robot]
    #[arg(long, value_name = "DIR|NAME", value_parser = crate::repository::bundle_argument)]
    bundle: Option<PathBuf>,
    /// Where to write the picture
    #[arg(long, value_name = "FILE.png", default_value = "out/depth.png")]
    out: PathBuf,
}

impl ViewDepthCommand {
    /// Draws.
    ///
    /// # Errors
    /// One line if a folder or bundle is invalid.
    pub fn run(&self) -> Result<()> {
        let data = DepthData::open(&self.data)?;
        let bundle = match &self.bundle {
            Some(folder) => folder.clone(),
            None => repository::shipped_bundle(&data.manifest.robot)?,
        };
        let bundle = Bundle::load(&bundle)?;
        let robot = bundle.robot()?;
        let camera = camera_of(&robot)?;
        let intrinsics = Intrinsics::of(camera);
        data.check(&robot, &bundle)?;
        let network = bundle
            .has(role::RAYS)
            .then(|| bundle.ray_network())
            .transpose()?;
        let mut predictor = network
            .map(|network| RayPredictor::new(network, &intrinsics, &camera.pose_base))
            .transpose()?;

        let split = if self.train {
            Split::Train
        } else {
            Split::Test
        };
        let (total, count) = (data.manifest.images(split), usize::from(self.count));
        let first = self.first.unwrap_or(0);
        ensure!(
            first < total,
            "there are {total} images to {}, none from {first} on",
            if self.train { "learn from" } else { "test on" }
        );
        let step = match self.first {
            Some(_) => 1,
            None => (total / count).max(1),
        };
        let mut pictures = Vec::new();
        let mut begin = 0;
        for samples in data.files(split) {
            let samples = samples?;
            for sample in 0..samples.len() {
                let index = begin + sample;
                if index < first || !(index - first).is_multiple_of(step) || pictures.len() == count
                {
                    continue;
                }
                let image = samples.image_mm(sample);
                let depth_m: Vec<f32> = image.iter().map(|mm| 0.001 * f32::from(*mm)).collect();
                let mut scan = RayScan::default();
                let gravity = samples.gravity(sample);
                let predicted = predictor.as_mut().is_some_and(|predictor| {
                    let result = predictor.predict_depths(&depth_m, &gravity, &mut scan);
                    result.is_ok()
                });
                pictures.push(DepthPicture {
                    caption: format!("image {index}, scene {}", samples.scene[sample]),
                    size_px: samples.size_px,
                    depth_mm: image.to_vec(),
                    distance_m: samples.rays_m(sample).to_vec(),
                    predicted_m: predicted.then(|| scan.distance_m.to_vec()),
                });
            }
            begin += samples.len();
            if pictures.len() == count {
                break;
            }
        }
        let title = format!(
            "{}: {} images of {}",
            self.data.display(),
            split.name(),
            robot.name
        );
        depth_sheet(&title, &pictures, 4, &data.manifest.rays, &intrinsics)?.save(&self.out)?;
        println!("{}", self.out.display());
        Ok(())
    }
}
