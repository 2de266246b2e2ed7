//! Speed of the depth camera and of the ray network.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use nalgebra::{Isometry3, Translation3, UnitQuaternion, Vector3};
use policies::{
    RayScan,
    depth::{Intrinsics, RayPredictor},
    spec::role,
};
use rayon::prelude::*;
use serde::Serialize;
use sim::{
    depth::{DepthScene, RecordingConfig},
    random::stream,
    scene::ObjectKind,
    sensors::DepthCamera,
};

use super::Percentiles;
use crate::{commands::subject::Subject, depth::data::camera_of};

/// Scenes and places that images are taken of.
const SCENES: usize = 64;
const PLACES: usize = 16;

/// Results of `abs bench depth`.
#[derive(Serialize)]
pub struct DepthReport {
    robot: String,
    image: String,
    /// Primitives per scene, mean.
    primitives: f64,
    threads: usize,
    images_per_second: f64,
    images_per_second_one_core: f64,
    /// Share of the time on one core that a scene without obstacles takes: rays against the ground.
    ground_share: f64,
    /// Multiplications of the ray network.
    #[serde(skip_serializing_if = "Option::is_none")]
    multiplications: Option<usize>,
    /// Image to rays on one core: signed distances and network.
    #[serde(skip_serializing_if = "Option::is_none")]
    predict_us: Option<Percentiles>,
}

/// Measures each speed for `duration`.
pub fn measure(subject: &Subject, duration: Duration) -> Result<DepthReport> {
    let Subject {
        robot,
        bundle,
        config,
        ..
    } = subject;
    let mount = camera_of(robot)?;
    let camera = DepthCamera::new(mount);
    let recording = RecordingConfig::default();
    let scenes: Vec<DepthScene> = (0..SCENES)
        .map(|index| {
            let mut stream = stream(config.seed, index as u64);
            DepthScene::draw(&ObjectKind::TRAINING, &recording, &mut stream)
        })
        .collect();
    let poses: Vec<Isometry3<f32>> = (0..PLACES)
        .map(|place| {
            let turn = place as f32 * 0.4;
            let base = Isometry3::from_parts(
                Translation3::new(0.5 * place as f32, (place as f32).sin(), 0.3),
                UnitQuaternion::from_axis_angle(&Vector3::z_axis(), turn),
            );
            base * camera.pose_base()
        })
        .collect();
    let render = |scene: &DepthScene, depth_m: &mut [f32]| {
        for pose in &poses {
            camera.render(pose, &scene.parts, 0.0, depth_m);
            black_box(&mut *depth_m);
        }
    };
    let mut depth_m = vec![0.0; camera.num_pixels()];
    let mut rate_of = |scenes: &[DepthScene]| {
        rate(duration, || {
            scenes.iter().for_each(|scene| render(scene, &mut depth_m));
            scenes.len() * PLACES
        })
    };
    let one = rate_of(&scenes);
    let ground = rate_of(&[DepthScene::new(Vec::new())]);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(config.num_threads())
        .build();
    let pool = pool.context("cannot start threads")?;
    let all = pool.install(|| {
        rate(duration, || {
            scenes.par_iter().for_each_init(
                || vec![0.0; camera.num_pixels()],
                |depth_m, scene| render(scene, depth_m),
            );
            SCENES * PLACES
        })
    });

    let network = bundle
        .has(role::RAYS)
        .then(|| bundle.ray_network())
        .transpose()?;
    let multiplications = network.as_ref().map(|network| network.multiplications());
    let predict_us = network
        .map(|network| -> Result<Percentiles> {
            let intrinsics = Intrinsics::of(mount);
            let mut predictor = RayPredictor::new(network, &intrinsics, &mount.pose_base)?;
            let level = -Vector3::z();
            let mut scan = RayScan::default();
            camera.render(&poses[0], &scenes[0].parts, 0.0, &mut depth_m);
            let mut samples_us = Vec::new();
            let begin = Instant::now();
            while begin.elapsed() < duration {
                let start = Instant::now();
                predictor.predict_depths(black_box(&depth_m), &level, &mut scan)?;
                samples_us.push(start.elapsed().as_secs_f64() * 1e6);
            }
            Ok(Percentiles::new(samples_us))
        })
        .transpose()?;
    let size = camera.intrinsics();
    Ok(DepthReport {
        robot: robot.name.clone(),
        image: format!("{} x {}", size.width_px, size.height_px),
        primitives: scenes.iter().map(|scene| scene.parts.len()).sum::<usize>() as f64
            / SCENES as f64,
        threads: config.num_threads(),
        images_per_second: all,
        images_per_second_one_core: one,
        ground_share: one / ground,
        multiplications,
        predict_us,
    })
}

/// Repeats `work` for `duration`; what it returns, per second.
fn rate(duration: Duration, mut work: impl FnMut() -> usize) -> f64 {
    work();
    let begin = Instant::now();
    let mut done = 0;
    while begin.elapsed() < duration {
        done += work();
    }
    done as f64 / begin.elapsed().as_secs_f64()
}
