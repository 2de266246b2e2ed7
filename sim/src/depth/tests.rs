use std::path::Path;

use nalgebra::{Point3, UnitQuaternion};
use policies::{
    Bundle, RayScan,
    depth::{DepthSamples, RayErrors},
};
use robots::{Robot, RobotState};

use super::*;
use crate::{
    engine::{PhysicsConfig, PhysicsState},
    random::stream,
    scene::ObjectKind,
    sensors::{CameraConfig, DepthRays, RayCaster},
};

fn bundle() -> Bundle {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    Bundle::load(&root.join("../policies/bundles/go1")).unwrap()
}

fn config() -> RecordingConfig {
    RecordingConfig {
        duration_s: 3.0,
        realism_fraction: 0.5,
        ..RecordingConfig::default()
    }
}

#[test]
fn a_recording_depends_on_seed_split_and_scene_alone() {
    let (robot, bundle, config) = (Robot::load("go1").unwrap(), bundle(), config());
    let physics = PhysicsConfig::default();
    let recorder = DepthRecorder::new(&robot, &bundle, &config, &physics, 7).unwrap();
    let whole = recorder.record(Split::Test, 0..6).unwrap();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    let mut parts = pool.install(|| recorder.record(Split::Test, 0..2)).unwrap();
    parts.append(&recorder.record(Split::Test, 2..6).unwrap());
    assert!(
        whole == parts,
        "neither threads nor the file change a scene"
    );
    assert!(whole.len() > 12, "{} images", whole.len());
    let other = recorder.record(Split::Train, 0..6).unwrap();
    assert_ne!(whole.distance_m, other.distance_m);
    let corrupted = (0..whole.len())
        .filter(|sample| whole.realism[*sample] != 0)
        .count();
    assert!(corrupted > 0 && corrupted < whole.len());

    // Kinds kept for the test are in every second scene of the test, and nowhere else.
    let is_held_out = |code: u8| ObjectKind::HELD_OUT.iter().any(|kind| kind.code() == code);
    let seen = |samples: &DepthSamples, sample: usize| -> Vec<u8> {
        let hits = samples.hits(sample).iter().copied();
        hits.filter(|hit| *hit != DepthSamples::NOTHING).collect()
    };
    for sample in 0..whole.len() {
        let unseen_scene = whole.scene[sample] % 2 == 1;
        assert!(
            seen(&whole, sample)
                .into_iter()
                .all(|code| is_held_out(code) == unseen_scene)
        );
    }
    assert!((0..other.len()).all(|s| seen(&other, s).into_iter().all(|code| !is_held_out(code))));
}

#[test]
fn impossible_recordings_are_named() {
    let (mut robot, bundle) = (Robot::load("go1").unwrap(), bundle());
    let refuse = |robot: &Robot, config: RecordingConfig, part: &str| {
        let error = DepthRecorder::new(robot, &bundle, &config, &PhysicsConfig::default(), 1)
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains(part) && !error.contains('\n'), "{error}");
    };
    let reversed = RecordingConfig {
        interval_s: [1.0, 0.5],
        ..config()
    };
    refuse(&robot, reversed, "`depth.recording.interval_s` is [1, 0.5]");
    let mut noisy = config();
    noisy.realism.edge_dropout = 2.0;
    refuse(&robot, noisy, "`edge_dropout` is 2");
    robot.camera = None;
    refuse(&robot, config(), "has no camera");
}

#[test]
fn a_robot_that_tilts_sees_what_it_sees_level() {
    let (robot, bundle) = (Robot::load("go1").unwrap(), bundle());
    let camera = robot.camera.as_ref().unwrap();
    let network = bundle.ray_network().unwrap();
    let mut sensor = DepthRays::new(camera, network, &CameraConfig::default()).unwrap();
    let spec = bundle.camera_rays(camera).unwrap();
    let caster = RayCaster::new(&spec);
    let mut physics = PhysicsState::zero(&robot);
    let mut state = RobotState::zero(robot.joints().count(), robot.legs.len());
    let mut errors = [RayErrors::default(), RayErrors::default()];
    for number in 0..40 {
        let mut stream = stream(11, number);
        let kinds = [ObjectKind::Wall, ObjectKind::Cylinder, ObjectKind::Box];
        let scene = DepthScene::draw(&kinds, &config(), &mut stream);
        for (errors, tilt_rad) in errors.iter_mut().zip([0.0, 0.15]) {
            let sign = if number % 2 == 0 { 1.0 } else { -1.0 };
            physics.position_world = Point3::new(-1.6, 0.0, 0.3);
            physics.orientation = UnitQuaternion::from_euler_angles(
                tilt_rad * sign,
                if number % 4 < 2 { tilt_rad } else { -tilt_rad },
                0.1 * number as f32,
            );
            physics.write_robot_state(&mut state);
            let (mut exact, mut hit) = (RayScan::clear(&spec), Vec::new());
            scene.cast(&caster, &spec, &state, &mut exact, &mut hit);
            sensor.reset(number);
            let seen = sensor.observe(&physics, &scene.parts, 0.0).unwrap();
            let log2: Vec<f32> = seen.distance_m.iter().map(|ray| ray.log2()).collect();
            errors.add(&log2, &exact.distance_m, &hit, [spec.min_m, spec.max_m]);
        }
    }
    let [level, tilted] = errors.map(|errors| errors.all.mean());
    assert!(level < 0.04 && tilted < 0.06, "{level} {tilted}");
}
