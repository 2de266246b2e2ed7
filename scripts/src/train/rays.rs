//! Learning of the rays from depth images: read, learn, test, report.
//!
//! ```text
//! runs/rays-go1-1-20260131-235959/
//!   data.txt        the folder of images
//!   bundle/         the bundle that it is for, with the ray network in it
//!   metrics.json    errors on the test images, size, time per image
//!   examples.png, worst.png, errors.png
//! ```

use std::{fs, path::PathBuf, time::Instant};

use anyhow::{Context, Result, ensure};
use learning::{RayLearner, RayView, Regression};
use nalgebra::Vector3;
use policies::{
    depth::{DepthSamples, Intrinsics, RayNetworkKind},
    file::{read_text, write_atomic},
    spec::{NetworkSpec, role},
};
use sim::depth::Split;

use super::{
    Callbacks, Event, Origin, Training,
    regression::{learn, note_end, open_run},
};
use crate::{
    depth::{
        data::{DepthData, camera_of},
        report::{RayTest, write_report},
    },
    run::progress::short,
};

/// Fraction of the images to learn from that are held out for the curve: the last ones, which are of scenes of their own.
const HELD_OUT_FRACTION: f64 = 0.02;
const DATA: &str = "data.txt";

/// Trains until all is learned or it is told to stop.
pub fn train(training: &Training, callbacks: &mut Callbacks<'_>) -> Result<()> {
    let begin = Instant::now();
    let Training { config, robot, .. } = training;
    let (run, mut bundle, data) = open_run(training, |bundle| {
        let data = DepthData::open(&data_folder(training)?)?;
        data.check(robot, bundle)?;
        Ok(data)
    })?;
    if !training.resuming {
        let (path, folder) = (run.path().join(DATA), data_folder(training)?);
        let absolute = fs::canonicalize(&folder).unwrap_or(folder);
        write_atomic(&path, absolute.display().to_string().as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }

    let settings = &config.depth.learning;
    let camera = camera_of(robot)?;
    let intrinsics = Intrinsics::of(camera);
    let rays = data.manifest.rays.clone();
    let images = short(data.manifest.images(Split::Train) as f64);
    callbacks.note(format!("reading {images} images"));
    let kind = settings.network;
    let mut view = RayView::new(kind, &intrinsics, &camera.pose_base, &rays)?;
    let mut images = DepthSamples::new([camera.width_px, camera.height_px], rays.count);
    for samples in data.files(Split::Train) {
        images.append(&samples?);
    }
    let held_out = (HELD_OUT_FRACTION * images.len() as f64) as usize;
    let mut learner = RayLearner::new(
        settings.clone(),
        view.clone(),
        &images,
        held_out,
        config.seed,
    )?;
    callbacks.note(format!(
        "learning {} parameters from {} images in {}; Ctrl-C saves and stops",
        short(learner.num_parameters() as f64),
        short(learner.num_images() as f64),
        run.path().display()
    ));
    let total = learner.total_steps();
    let measure = |learner: &mut RayLearner<'_>, steps: u64| {
        let is_due = steps == total || steps.is_multiple_of(total.div_ceil(1500) * 50);
        let measure = || vec![("squared_error".to_owned(), learner.held_out_error())];
        Ok(is_due.then(measure))
    };
    let names = ["rays", "squared_error"];
    let is_done = learn(training, &run, &mut learner, names, measure, callbacks)?;

    if let Some((convolutions, layers)) = learner.layers() {
        let origin = Origin::new(config, toml::to_string(&config.depth)?);
        let provenance = origin.provenance(learner.num_images() as u64);
        let spec = NetworkSpec::rays(&rays, convolutions, provenance);
        bundle.insert(role::RAYS, spec, layers)?;
        bundle.save(&run.bundle())?;
    }
    if is_done {
        let mut input = vec![0.0; view.input_len()];
        // What runs on a robot, where there is such a network.
        let mut network = match kind {
            RayNetworkKind::Tsdf => Some(bundle.ray_network()?),
            RayNetworkKind::Resnet18 => None,
        };
        let mut predict = |image: &[u16], gravity: &Vector3<f32>| -> Result<Vec<f32>> {
            view.write(image, gravity, &mut input)?;
            Ok(match &mut network {
                Some(network) => network.forward(&input).to_vec(),
                None => learner.predict(&input),
            })
        };
        let test = RayTest::new(&data, &rays, &mut predict)?;
        ensure!(
            test.images() > 0,
            "there are no test images to report on; record some"
        );
        write_report(
            run.path(),
            &robot.name,
            kind,
            learner.num_parameters(),
            &test,
            &rays,
            &intrinsics,
        )?;
        callbacks.tell(Event::Result(test.table()));
    }
    note_end(is_done, begin, &run, callbacks);
    Ok(())
}

/// The folder of images of the run.
fn data_folder(training: &Training) -> Result<PathBuf> {
    if training.resuming {
        let path = training.path.join(DATA);
        let folder = read_text(&path);
        let folder = folder.with_context(|| format!("cannot read {}", path.display()))?;
        return Ok(PathBuf::from(folder.trim()));
    }
    Ok(training.data.clone().unwrap_or_else(|| {
        let (robot, seed) = (&training.robot.name, training.config.seed);
        PathBuf::from(format!("data/depth-{robot}-{seed}"))
    }))
}
