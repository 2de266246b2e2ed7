//! The ray network learns, resumes and is the same without libtorch.

use std::sync::atomic::AtomicBool;

use nalgebra::UnitQuaternion;
use policies::{
    RaySpec,
    depth::{DepthSamples, Intrinsics, RayLearningConfig, RayNetwork, RayNetworkKind},
    train::{RayImages, RayLearner, RayLearningError},
};

const CAMERA: Intrinsics = Intrinsics {
    width_px: 40,
    height_px: 24,
    focal_px: [16.2; 2],
    centre_px: [19.5, 11.5],
};

/// Walls across the view, each at its own distance, whose lower third is floor.
fn images(network: RayNetworkKind, count: usize) -> RayImages {
    let rays = RaySpec::default();
    let turn = UnitQuaternion::identity();
    let mut images = RayImages::new(network, &CAMERA, &turn, &rays).unwrap();
    let mut samples = DepthSamples::new([40, 24], 11);
    for index in 0..count {
        let wall_m = 0.6 + 4.0 * ((index * 37) % 101) as f32 / 101.0;
        let depth_m: Vec<f32> = (0..24 * 40)
            .map(|pixel| if pixel / 40 < 16 { wall_m } else { 0.5 })
            .collect();
        let distance_m: Vec<f32> = (0..11)
            .map(|ray| (wall_m / rays.angle_rad(ray).cos()).min(6.0))
            .collect();
        samples.push(&depth_m, &distance_m, &[0; 11], index as u32, false);
    }
    images.push(&samples);
    images
}

fn config(epochs: usize) -> RayLearningConfig {
    RayLearningConfig {
        epochs,
        batch_size: 16,
        ..RayLearningConfig::default()
    }
}

fn run(learner: &mut RayLearner<'_>, stop_after: u64) {
    let stop = AtomicBool::new(false);
    while learner.steps() < stop_after {
        learner.step().unwrap();
    }
    if stop_after == 0 {
        learner
            .run::<RayLearningError>(None, &stop, |_, _| Ok(()))
            .unwrap();
    }
}

#[test]
fn distances_of_walls_are_learned_and_are_the_same_without_libtorch() {
    let images = images(RayNetworkKind::Panorama, 440);
    let mut learner = RayLearner::new(config(16), &images, 40, 1).unwrap();
    let before = learner.held_out_error();
    run(&mut learner, 0);
    let after = learner.held_out_error();
    assert!(after < 0.02 && after < 0.05 * before, "{before} {after}");

    let (convolutions, layers) = learner.layers().unwrap();
    let mut network = RayNetwork::new(&convolutions, &layers, &RaySpec::default()).unwrap();
    let input: Vec<f32> = (0..images.len_of_one())
        .map(|k| -0.5 - 0.5 * (0.37 * k as f32).sin())
        .collect();
    let expected = learner.predict(&input);
    for (a, b) in network.forward(&input).iter().zip(&expected) {
        assert!((a - b).abs() < 1e-3, "{a} {b}");
    }
}

#[test]
fn a_resumed_run_ends_with_the_same_bits_and_another_seed_does_not() {
    let images = images(RayNetworkKind::Panorama, 64);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rays.safetensors");
    let learner = |seed| RayLearner::new(config(2), &images, 0, seed).unwrap();
    let mut whole = learner(3);
    run(&mut whole, 6);
    let mut first = learner(3);
    run(&mut first, 3);
    first.save(&path).unwrap();
    let mut second = learner(3);
    second.load(&path).unwrap();
    assert_eq!(second.steps(), 3);
    run(&mut second, 6);
    assert!(whole.layers() == second.layers());
    let mut other = learner(4);
    run(&mut other, 6);
    assert!(whole.layers() != other.layers());

    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = learner(3).load(&path).unwrap_err().to_string();
    assert!(
        error.contains("rays.safetensors") && error.contains("not a whole checkpoint"),
        "{error}"
    );
}

#[test]
fn the_reference_network_takes_the_image_itself() {
    let images = images(RayNetworkKind::Resnet18, 8);
    assert_eq!(images.shape(), [24, 40]);
    let config = RayLearningConfig {
        network: RayNetworkKind::Resnet18,
        batch_size: 4,
        ..config(1)
    };
    let mut learner = RayLearner::new(config, &images, 0, 1).unwrap();
    assert!(learner.num_parameters() > 11_000_000);
    assert!(learner.step().unwrap().is_finite());
    assert!(learner.layers().is_none());
    assert_eq!(learner.predict(&vec![-0.5; 24 * 40]).len(), 11);
}
