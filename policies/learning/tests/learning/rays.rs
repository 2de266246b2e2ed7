//! The ray network learns, resumes and is the same without libtorch.

use std::sync::atomic::AtomicBool;

use learning::{RayLearner, RayView, Regression, RegressionError};
use nalgebra::{Isometry3, Vector3};
use policies::{
    RaySpec,
    depth::{DepthSamples, Intrinsics, RayLearningConfig, RayNetwork, RayNetworkKind},
};

const CAMERA: Intrinsics = Intrinsics {
    width_px: 40,
    height_px: 24,
    focal_px: [16.2; 2],
    centre_px: [19.5, 11.5],
};

fn view(network: RayNetworkKind) -> RayView {
    let camera_base = Isometry3::translation(0.0, 0.0, 0.27);
    RayView::new(network, &CAMERA, &camera_base, &RaySpec::default()).unwrap()
}

/// Walls across the view, each at its own distance, whose lower third is floor.
fn samples(count: usize) -> DepthSamples {
    let rays = RaySpec::default();
    let mut samples = DepthSamples::new([40, 24], 11);
    for index in 0..count {
        let wall_m = 0.6 + 4.0 * ((index * 37) % 101) as f32 / 101.0;
        let depth_m: Vec<f32> = (0..24 * 40)
            .map(|pixel| if pixel / 40 < 16 { wall_m } else { 0.5 })
            .collect();
        let distance_m: Vec<f32> = (0..11)
            .map(|ray| (wall_m / rays.angle_rad(ray).cos()).min(6.0))
            .collect();
        samples.push(
            &depth_m,
            &-Vector3::z(),
            &distance_m,
            &[0; 11],
            index as u32,
            false,
        );
    }
    samples
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
            .run::<RegressionError>(None, &stop, |_, _| Ok(()))
            .unwrap();
    }
}

#[test]
fn distances_of_walls_are_learned_and_are_the_same_without_libtorch() {
    let (mut view, samples) = (view(RayNetworkKind::Tsdf), samples(440));
    let mut learner = RayLearner::new(config(16), view.clone(), &samples, 40, 1).unwrap();
    let before = learner.held_out_error();
    run(&mut learner, 0);
    let after = learner.held_out_error();
    assert!(after < 0.02 && after < 0.05 * before, "{before} {after}");

    let (convolutions, layers) = learner.layers().unwrap();
    let mut network = RayNetwork::new(&convolutions, &layers, &RaySpec::default()).unwrap();
    let mut input = vec![0.0; view.input_len()];
    let tilted = Vector3::new(0.1, -0.2, -0.97);
    for sample in 0..40 {
        view.write(samples.image_mm(sample), &tilted, &mut input)
            .unwrap();
        let expected = learner.predict(&input);
        for (a, b) in network.forward(&input).iter().zip(&expected) {
            assert!((a - b).abs() < 1e-3, "{a} {b}");
        }
    }
}

#[test]
fn a_resumed_run_ends_with_the_same_bits_and_another_seed_does_not() {
    let samples = samples(64);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rays.safetensors");
    let view = view(RayNetworkKind::Tsdf);
    let learner = |seed| RayLearner::new(config(2), view.clone(), &samples, 0, seed).unwrap();
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
fn checkpoints_that_held_their_steps_as_a_tensor_are_still_read() {
    let samples = samples(64);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rays.safetensors");
    let view = view(RayNetworkKind::Tsdf);
    let mut first = RayLearner::new(config(2), view.clone(), &samples, 0, 3).unwrap();
    first.step().unwrap();
    first.save(&path).unwrap();
    let mut tensors = tch::Tensor::read_safetensors(&path).unwrap();
    tensors.push(("steps".to_owned(), tch::Tensor::from(1_i64)));
    tch::Tensor::write_safetensors(&tensors, &path).unwrap();
    let mut second = RayLearner::new(config(2), view, &samples, 0, 3).unwrap();
    second.load(&path).unwrap();
    assert_eq!(second.steps(), 1);
    assert!(first.layers() == second.layers());
}

#[test]
fn the_reference_network_takes_the_image_itself() {
    let (view, samples) = (view(RayNetworkKind::Resnet18), samples(8));
    assert_eq!(view.shape(), [24, 40, 1]);
    let config = RayLearningConfig {
        network: RayNetworkKind::Resnet18,
        batch_size: 4,
        ..config(1)
    };
    let mut learner = RayLearner::new(config, view, &samples, 0, 1).unwrap();
    assert!(learner.num_parameters() > 11_000_000);
    assert!(learner.step().unwrap().is_finite());
    assert!(learner.layers().is_none());
    assert_eq!(learner.predict(&vec![-0.5; 24 * 40]).len(), 11);
}
