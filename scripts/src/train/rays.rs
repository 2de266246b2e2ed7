//! Learning of the rays from depth images: read, learn, test, report.
//!
//! ```text
//! runs/rays-go1-1-20260131-235959/
//!   data.txt        the folder of images
//!   bundle/         the bundle that was given, with the ray network in it
//!   metrics.json    errors on the test images, size, time per image
//!   examples.png, worst.png, errors.png
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use learning::{EventWriter, RayLearner, RayView, Regression, RegressionProgress};
use nalgebra::Vector3;
use policies::{
    Bundle,
    depth::{DepthSamples, Intrinsics, RayNetworkKind},
    file::write_atomic,
    spec::{NetworkSpec, Provenance, role},
};
use robots::Robot;
use sim::depth::Split;
use time::OffsetDateTime;

use crate::{
    config::Config,
    depth_data::{DepthData, camera_of},
    depth_report::{RayTest, write_report},
    interrupt::Interrupt,
    progress::{Progress, clock, short},
    run_folder::{RunFolder, git_revision},
};

/// Fraction of the images to learn from that are held out for the curve: the last ones, which are of scenes of their own.
const HELD_OUT_FRACTION: f64 = 0.02;
const DATA: &str = "data.txt";

/// Starts a new run for the bundle in the folder `bundle`, with the images in `data`.
pub fn begin(
    path: &Path,
    config: &Config,
    robot: &Robot,
    bundle: &Path,
    data: Option<&Path>,
    interrupt: &Interrupt,
) -> Result<()> {
    let bundle = Bundle::load(bundle)?;
    let folder = data.map_or_else(
        || PathBuf::from(format!("data/depth-{}-{}", robot.name, config.seed)),
        Path::to_owned,
    );
    // First, so that a mistake leaves no run folder behind.
    let data = DepthData::open(&folder)?;
    data.check(robot, &bundle)?;
    let run = RunFolder::create(path, config)?;
    bundle.save(&run.bundle())?;
    let absolute = fs::canonicalize(&folder).unwrap_or(folder);
    write_atomic(&path.join(DATA), absolute.display().to_string().as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))?;
    train(&run, config, robot, bundle, &data, interrupt, false)
}

/// Goes on with a run where it stopped.
pub fn resume(
    run: &RunFolder,
    config: &Config,
    robot: &Robot,
    interrupt: &Interrupt,
) -> Result<()> {
    let bundle = Bundle::load(&run.bundle())?;
    let path = run.path().join(DATA);
    let folder =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let data = DepthData::open(Path::new(folder.trim()))?;
    data.check(robot, &bundle)?;
    run.save_config(config)?;
    train(run, config, robot, bundle, &data, interrupt, true)
}

fn train(
    run: &RunFolder,
    config: &Config,
    robot: &Robot,
    mut bundle: Bundle,
    data: &DepthData,
    interrupt: &Interrupt,
    resuming: bool,
) -> Result<()> {
    let begin = Instant::now();
    let settings = &config.depth.learning;
    let camera = camera_of(robot)?;
    let intrinsics = Intrinsics::of(camera);
    let rays = data.manifest.rays.clone();
    eprintln!(
        "reading {}",
        short(data.manifest.images(Split::Train) as f64) + " images"
    );
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
    let folder = run.checkpoints();
    fs::create_dir_all(&folder).with_context(|| format!("cannot write to {}", folder.display()))?;
    let checkpoint = folder.join("rays.safetensors");
    if resuming && checkpoint.is_file() {
        learner.load(&checkpoint)?;
    }
    eprintln!(
        "learning {} parameters from {} images in {}; Ctrl-C saves and stops",
        short(learner.num_parameters() as f64),
        short(learner.num_images() as f64),
        run.path().display()
    );
    learn(run, &mut learner, &checkpoint, interrupt)?;

    let layers = learner.layers();
    if let Some((convolutions, layers)) = layers {
        let provenance = Provenance {
            git_revision: git_revision(),
            seed: config.seed,
            policy_steps: learner.num_images() as u64,
            date: Some(OffsetDateTime::now_utc().date().to_string()),
            config: toml::to_string(&config.depth)?,
        };
        let spec = NetworkSpec::rays(&rays, convolutions, provenance);
        bundle.insert(role::RAYS, spec, layers)?;
        bundle.save(&run.bundle())?;
    }
    let spent = clock(begin.elapsed().as_secs_f64());
    if learner.steps() < learner.total_steps() {
        eprintln!("stopped after {spent} of this session");
        eprintln!(
            "go on with   scripts/abs train --resume {}",
            run.path().display()
        );
        return Ok(());
    }
    let mut input = vec![0.0; view.len()];
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
    let parameters = learner.num_parameters();
    let test = RayTest::new(data, &rays, &mut predict)?;
    ensure!(
        test.images() > 0,
        "there are no test images to report on; record some"
    );
    write_report(
        run.path(),
        &robot.name,
        kind,
        parameters,
        &test,
        &rays,
        &intrinsics,
    )?;
    print!("{}", test.table());
    eprintln!(
        "done after {spent} of this session; figures and pictures are in {}",
        run.path().display()
    );
    Ok(())
}

/// Learns until the end or Ctrl-C.
fn learn(
    run: &RunFolder,
    learner: &mut RayLearner<'_>,
    checkpoint: &Path,
    interrupt: &Interrupt,
) -> Result<()> {
    let mut events = EventWriter::create(run.path())
        .with_context(|| format!("cannot write to {}", run.path().display()))?;
    let total = learner.total_steps();
    let mut progress = Progress::new(total, learner.steps());
    let mut last = (Instant::now(), learner.steps());
    let mut held_out = None;
    let observe = |learner: &mut RayLearner<'_>, now: RegressionProgress| -> Result<()> {
        let rate = (now.steps - last.1) as f64 / last.0.elapsed().as_secs_f64();
        last = (Instant::now(), now.steps);
        if now.steps == total || now.steps.is_multiple_of(total.div_ceil(1500) * 50) {
            let error = learner.held_out_error();
            events.scalars(now.steps, [("held_out/squared_error".to_owned(), error)])?;
            held_out = Some(error);
        }
        let mut scalars = vec![
            ("rays/squared_error".to_owned(), now.loss),
            ("rays/learning_rate".to_owned(), now.learning_rate.into()),
        ];
        events.scalars(now.steps, scalars.clone())?;
        scalars.extend(held_out.map(|error| ("held_out/squared_error".to_owned(), error)));
        progress.iteration(now.steps, rate, &scalars);
        Ok(events.flush()?)
    };
    let result = learner.run::<anyhow::Error>(Some(checkpoint), interrupt.flag(), observe);
    progress.finish();
    result
}
