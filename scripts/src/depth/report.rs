//! Errors of the predicted rays on the test images: figures and pictures.

use std::{collections::BTreeMap, fmt::Write as _, path::Path, time::Instant};

use anyhow::{Context, Result};
use nalgebra::Vector3;
use policies::{
    RaySpec,
    depth::{Intrinsics, MeanError, RayErrors, RayNetworkKind},
    file::write_atomic,
};
use serde::Serialize;
use sim::{depth::Split, scene::ObjectKind};

use crate::{
    commands::eval::METRICS,
    depth::data::DepthData,
    pictures::{DepthPicture, depth_sheet, ray_errors},
};

/// Images on the sheets of the worst images and of examples.
const SHEET: usize = 20;

/// Log2 distances predicted for an image, mm, and the direction of gravity in the base frame.
pub type Predict<'a> = dyn FnMut(&[u16], &Vector3<f32>) -> Result<Vec<f32>> + 'a;

/// Errors on the test images.
pub struct RayTest {
    all: RayErrors,
    groups: BTreeMap<Group, RayErrors>,
    images: usize,
    /// Time that the predictions took, s.
    predict_s: f64,
    /// Images without usable depth, which a robot rejects, too.
    refused: usize,
    /// Worst first, by mean squared error.
    worst: Vec<(f64, DepthPicture)>,
    examples: Vec<DepthPicture>,
}

/// Test images are grouped by their objects and by the camera model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    unseen_kinds: bool,
    realism: bool,
}

impl Group {
    fn name(self) -> &'static str {
        match (self.unseen_kinds, self.realism) {
            (false, false) => "known kinds, exact camera",
            (false, true) => "known kinds, camera with errors",
            (true, false) => "unseen kinds, exact camera",
            (true, true) => "unseen kinds, camera with errors",
        }
    }
}

/// `metrics.json` of a ray network.
#[derive(Serialize)]
struct Metrics<'a> {
    task: &'static str,
    robot: &'a str,
    network: RayNetworkKind,
    parameters: usize,
    test_images: usize,
    refused_images: usize,
    /// From image to rays on one core, mean.
    predict_us: f64,
    #[serde(flatten)]
    errors: &'a RayErrors,
    groups: BTreeMap<&'static str, MeanError>,
    by_kind: BTreeMap<&'static str, MeanError>,
}

impl RayTest {
    /// Predicts all test images.
    ///
    /// # Errors
    /// When a file of images cannot be read.
    pub fn new(data: &DepthData, rays: &RaySpec, predict: &mut Predict<'_>) -> Result<Self> {
        let mut test = Self {
            all: RayErrors::default(),
            groups: BTreeMap::new(),
            images: 0,
            predict_s: 0.0,
            refused: 0,
            worst: Vec::new(),
            examples: Vec::new(),
        };
        let range_m = [rays.min_m, rays.max_m];
        let every = (data.manifest.images(Split::Test) / SHEET).max(1);
        for samples in data.files(Split::Test) {
            let samples = samples?;
            for sample in 0..samples.len() {
                let image = samples.image_mm(sample);
                let begin = Instant::now();
                let predicted = predict(image, &samples.gravity(sample));
                test.predict_s += begin.elapsed().as_secs_f64();
                let Ok(predicted) = predicted else {
                    test.refused += 1;
                    continue;
                };
                let (distances, hits) = (samples.rays_m(sample), samples.hits(sample));
                let scene = samples.scene[sample];
                let group = Group {
                    unseen_kinds: scene % 2 == 1,
                    realism: samples.realism[sample] != 0,
                };
                let errors = test.groups.entry(group).or_default();
                errors.add(&predicted, distances, hits, range_m);
                let error = test.all.add(&predicted, distances, hits, range_m);
                let is_example = test.images.is_multiple_of(every) && test.examples.len() < SHEET;
                let is_bad = test.worst.len() < SHEET || test.worst.iter().any(|w| w.0 < error);
                test.images += 1;
                if !is_example && !is_bad {
                    continue;
                }
                let picture = DepthPicture {
                    caption: format!("scene {scene}: error {error:.3}"),
                    size_px: samples.size_px,
                    depth_mm: image.to_vec(),
                    distance_m: distances.to_vec(),
                    predicted_m: Some(
                        predicted
                            .iter()
                            .map(|p| p.exp2().clamp(range_m[0], range_m[1]))
                            .collect(),
                    ),
                };
                if is_example {
                    test.examples.push(picture.clone());
                }
                if is_bad {
                    let place = test.worst.partition_point(|w| w.0 >= error);
                    test.worst.insert(place, (error, picture));
                    test.worst.truncate(SHEET);
                }
            }
        }
        Ok(test)
    }

    /// Images that were predicted.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Mean squared errors, in lines.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, error: &MeanError| {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "  {name:<34} {:.4}   {} rays",
                error.mean(),
                error.rays
            );
        };
        line("mean squared error, log2", &self.all.all);
        for (group, errors) in &self.groups {
            line(group.name(), &errors.all);
        }
        text
    }

    fn by_kind(&self) -> BTreeMap<&'static str, MeanError> {
        let error = |kind: ObjectKind| self.all.by_kind[usize::from(kind.code())];
        ObjectKind::all()
            .map(|kind| (kind.name(), error(kind)))
            .filter(|(_, e)| e.rays > 0)
            .collect()
    }
}

/// Writes `metrics.json` and the pictures into a folder.
///
/// # Errors
/// When it cannot be written.
pub fn write_report(
    folder: &Path,
    robot: &str,
    network: RayNetworkKind,
    parameters: usize,
    test: &RayTest,
    rays: &RaySpec,
    intrinsics: &Intrinsics,
) -> Result<()> {
    let metrics = Metrics {
        task: "rays",
        robot,
        network,
        parameters,
        test_images: test.images,
        refused_images: test.refused,
        predict_us: 1e6 * test.predict_s / test.images as f64,
        errors: &test.all,
        groups: test
            .groups
            .iter()
            .map(|(group, errors)| (group.name(), errors.all))
            .collect(),
        by_kind: test.by_kind(),
    };
    let path = folder.join(METRICS);
    let text = serde_json::to_string_pretty(&metrics)? + "\n";
    write_atomic(&path, text.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))?;
    let sheet = |title: &str, pictures: &[DepthPicture], name: &str| -> Result<()> {
        depth_sheet(title, pictures, 4, rays, intrinsics)?.save(&folder.join(name))
    };
    sheet(
        &format!("{robot}: test images with true and predicted rays"),
        &test.examples,
        "examples.png",
    )?;
    let worst: Vec<_> = test
        .worst
        .iter()
        .map(|(_, picture)| picture.clone())
        .collect();
    sheet(
        &format!(
            "{robot}: the worst {} of {} test images",
            worst.len(),
            test.images
        ),
        &worst,
        "worst.png",
    )?;
    let title = format!(
        "{robot}: mean squared error of predicted rays, {} test images",
        test.images
    );
    ray_errors(&title, &test.all, &test.by_kind())?.save(&folder.join("errors.png"))
}
