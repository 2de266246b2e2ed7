//! A view that was written to a file, read back.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails like the test")]

use std::{
    collections::BTreeMap,
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use controller::{ControllerConfig, Method, deploy::Status};
use nalgebra::{Isometry3, Point2, Quaternion, Translation3, UnitQuaternion};
use policies::Bundle;
use re_log_encoding::DecoderApp;
use re_sdk::{
    StoreKind, TimelineName,
    log::{Chunk, LogMsg},
};
use re_sdk_types::{
    archetypes::{Asset3D, Cylinders3D, LineStrips3D, Scalars, StateChange, TextLog, Transform3D},
    blueprint::archetypes::{EntityBehavior, EyeControls3D},
    components::{Blob, LineStrip3D, RotationQuat, Scalar, Text, Translation3D, Visible},
};
use robots::{Robot, RobotFiles};
use sim::{
    engine::PhysicsConfig,
    eval::{EpisodeRecord, EvalConfig, Evaluation},
};

use super::{recording::TIMELINE, *};
use crate::repository;

const THRESHOLD: f32 = -0.05;

/// The first episodes of the test with the shipped policies.
struct Run {
    robot: Robot,
    bundle: Bundle,
    episodes: Vec<EpisodeRecord>,
}

static RUN: LazyLock<Run> = LazyLock::new(|| {
    let robot = Robot::load("go1").unwrap();
    let bundle = Bundle::load(&repository::shipped_bundle("go1").unwrap()).unwrap();
    let (eval, physics) = (EvalConfig::default(), PhysicsConfig::default());
    let controller = ControllerConfig::default();
    let evaluation = Evaluation::new(
        &robot,
        &bundle,
        Method::Abs,
        &eval,
        &physics,
        &controller,
        1,
    );
    let episodes = evaluation.unwrap().run(&[0, 1], true, &|| ()).unwrap();
    Run {
        robot,
        bundle,
        episodes,
    }
});

/// Shows episodes in a file.
fn written(folder: &Path, episodes: &[EpisodeRecord]) -> PathBuf {
    let path = folder.join("new").join("episodes.rrd");
    let destination = Destination::File(path.clone());
    destination.check().unwrap();
    let subject = Subject {
        title: "a test".to_owned(),
        robot: &RUN.robot,
        rays: &RUN.bundle.spec.rays,
        threshold: Some(THRESHOLD),
        camera: RUN.robot.camera.as_ref(),
        pace: Pace::Recorded,
    };
    let mut view = View::open(&destination, &subject).unwrap();
    for record in episodes {
        view.show_episode(record, 0.65, &format!("episode {}", record.scene.index))
            .unwrap();
    }
    assert!(!path.exists(), "half a file is seen");
    view.finish().unwrap();
    path
}

/// All chunks of a kind of store, by entity.
fn read(path: &Path, kind: StoreKind) -> BTreeMap<String, Vec<Chunk>> {
    let mut chunks: BTreeMap<String, Vec<Chunk>> = BTreeMap::new();
    let file = BufReader::new(File::open(path).unwrap());
    for message in DecoderApp::decode_eager(file).unwrap() {
        if let LogMsg::ArrowMsg(store, message) = message.unwrap()
            && store.kind() == kind
        {
            let chunk = Chunk::from_arrow_msg(&message).unwrap();
            chunks
                .entry(chunk.entity_path().to_string())
                .or_default()
                .push(chunk);
        }
    }
    chunks
}

/// Every value of a component with its time, s, in order.
fn values<C: re_sdk::Component + Clone>(
    chunks: &[Chunk],
    component: re_sdk::ComponentIdentifier,
) -> Vec<(f64, Vec<C>)> {
    let mut values: Vec<(f64, Vec<C>)> = Vec::new();
    for chunk in chunks {
        let times = chunk.iter_component_indices(TimelineName::from(TIMELINE), component);
        let times = times.map(|(time, _)| time.as_i64() as f64 * 1e-9);
        let batches = chunk.iter_component::<C>(component);
        values.extend(times.zip(batches.map(|batch| batch.as_slice().to_vec())));
    }
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    values
}

fn poses(chunks: &[Chunk]) -> Vec<Isometry3<f32>> {
    let at = values::<Translation3D>(chunks, Transform3D::descriptor_translation().component);
    let turns = values::<RotationQuat>(chunks, Transform3D::descriptor_quaternion().component);
    assert_eq!(at.len(), turns.len());
    let turns = turns.iter().map(|(_, turn)| {
        let [x, y, z, w] = turn[0].0.0;
        UnitQuaternion::new_normalize(Quaternion::new(w, x, y, z))
    });
    let at = at.iter().map(|(_, at)| Translation3::from(at[0].0.0));
    at.zip(turns)
        .map(|(at, turn)| Isometry3::from_parts(at, turn))
        .collect()
}

fn is_same(a: &Isometry3<f32>, b: &Isometry3<f32>) -> bool {
    (a.translation.vector - b.translation.vector).norm() < 1e-5
        && a.rotation.angle_to(&b.rotation) < 1e-3
}

#[test]
fn a_file_holds_the_robot_at_every_step_of_an_episode() {
    let folder = tempfile::tempdir().unwrap();
    let record = &RUN.episodes[0];
    let chunks = read(
        &written(folder.path(), &RUN.episodes[..1]),
        StoreKind::Recording,
    );

    let base = poses(&chunks["/world/robot"]);
    assert_eq!(base.len(), record.trace.len());
    let mut links = 0;
    for (leg, range) in RUN.robot.legs_with_joint_range() {
        for (index, joint) in leg.joints.iter().enumerate() {
            let shown = poses(&chunks[&format!("/world/robot/{}", joint.link.name)]);
            assert_eq!(shown.len(), record.trace.len(), "{}", joint.link.name);
            for step in [0, 57, record.trace.len() - 1] {
                let joints_rad = &record.trace[step].state.joint_position_rad[range.clone()];
                let pose = leg.link_poses_base(joints_rad).nth(index).unwrap();
                assert!(
                    is_same(&shown[step], &pose),
                    "{} at step {step}",
                    joint.link.name
                );
            }
            links += 1;
        }
    }
    assert_eq!(links, 12);
    let end = &record.trace[record.trace.len() - 1].state;
    let expected = Isometry3::from_parts(end.position_world.into(), end.orientation);
    assert!(is_same(&base[base.len() - 1], &expected));

    // Shapes are there once, and for all times.
    let calf = &RUN.robot.legs[0].joints[2].link.name;
    let shapes = &chunks[&format!("/world/robot/{calf}/spheres")];
    assert!(shapes.iter().all(Chunk::is_static) && shapes.len() == 1);
}

#[test]
fn the_meshes_of_a_robot_folder_are_shown_in_place_of_its_shapes() {
    let folder = tempfile::tempdir().unwrap();
    let files = RobotFiles::read("go1").unwrap();
    files.write(folder.path()).unwrap();
    let link = "<link name=\"trunk\">";
    assert!(files.urdf().contains(link));
    let mesh = "<visual><geometry><mesh filename=\"meshes/trunk.stl\"/></geometry></visual>";
    let urdf = files.urdf().replace(link, &format!("{link}{mesh}"));
    std::fs::write(folder.path().join("go1.urdf"), urdf).unwrap();
    let robot = Robot::load(folder.path().to_str().unwrap()).unwrap();
    let shown = |name: &str| {
        let path = folder.path().join(name);
        let subject = Subject {
            title: "a test".to_owned(),
            robot: &robot,
            rays: &RUN.bundle.spec.rays,
            threshold: None,
            camera: None,
            pace: Pace::Recorded,
        };
        let view = View::open(&Destination::File(path.clone()), &subject).unwrap();
        view.finish().unwrap();
        [StoreKind::Recording, StoreKind::Blueprint].map(|kind| read(&path, kind))
    };
    // As from a bundle, which has the URDF and no meshes.
    let [recording, blueprint] = shown("without.rrd");
    let hides = |blueprint: &BTreeMap<String, Vec<Chunk>>| -> Vec<String> {
        let paths = blueprint.keys().filter(|path| path.contains("/overrides/"));
        paths.cloned().collect()
    };
    assert!(!recording.keys().any(|path| path.contains("meshes")));
    assert!(hides(&blueprint).is_empty());

    std::fs::create_dir(folder.path().join("meshes")).unwrap();
    let stl = [[b' '; 80].as_slice(), &[0; 4]].concat();
    std::fs::write(folder.path().join("meshes/trunk.stl"), &stl).unwrap();
    let [recording, blueprint] = shown("with.rrd");
    let chunks = &recording["/world/robot/trunk/meshes/0"];
    let bytes = chunks.iter().flat_map(|chunk| {
        let blobs = chunk.iter_component::<Blob>(Asset3D::descriptor_blob().component);
        blobs
            .map(|blob| blob.as_slice()[0].0.to_vec())
            .collect::<Vec<_>>()
    });
    assert_eq!(bytes.collect::<Vec<_>>(), [stl]);
    assert!(recording.contains_key("/world/robot/trunk/boxes"));
    let hidden = hides(&blueprint);
    assert_eq!(hidden.len(), 3, "{hidden:?}");
    let boxes = hidden
        .iter()
        .find(|path| path.ends_with("/overrides/world/robot/trunk/boxes"));
    let visible = EntityBehavior::descriptor_visible().component;
    let chunk = &blueprint[boxes.unwrap()][0];
    let visible: Vec<bool> = chunk
        .iter_component::<Visible>(visible)
        .map(|visible| visible.as_slice()[0].0.0)
        .collect();
    assert_eq!(visible, [false]);
}

#[test]
fn rays_end_on_obstacles_and_numbers_are_those_of_the_episode() {
    let folder = tempfile::tempdir().unwrap();
    let record = &RUN.episodes[0];
    let chunks = read(
        &written(folder.path(), &RUN.episodes[..1]),
        StoreKind::Recording,
    );

    let strips = LineStrips3D::descriptor_strips().component;
    let scans = values::<LineStrip3D>(&chunks["/world/rays"], strips);
    assert_eq!(scans.len(), record.trace.len());
    let rays = &RUN.bundle.spec.rays;
    // What is nearest within a ray's width is at most this far from its middle, for each metre of distance.
    let aside = 2.0 * (0.25 * rays.width_rad).sin();
    let max_m = rays.max_m;
    let mut hits = 0;
    for ((_, rays), step) in scans.iter().zip(&record.trace) {
        assert_eq!(rays.len(), step.ray_distance_m.len());
        for (ray, distance_m) in rays.iter().zip(&step.ray_distance_m) {
            let [[from_x, from_y, _], [x, y, _]] = [ray.0[0].0, ray.0[1].0];
            let length_m = (x - from_x).hypot(y - from_y);
            assert!((length_m - distance_m).abs() < 1e-3);
            // Farther away the illusion may have shortened a ray.
            if *distance_m < 0.5 * step.goal_distance_m.min(max_m) {
                let end = Point2::new(x, y);
                let gaps_m =
                    (record.scene.obstacles.iter()).map(|o| o.footprint_distance_m(&end).abs());
                let gap_m = gaps_m.fold(f32::INFINITY, f32::min);
                let most_m = 2e-3 + aside * distance_m;
                assert!(gap_m < most_m, "a ray ends {gap_m} m from all obstacles");
                hits += 1;
            }
        }
    }
    assert!(hits > 100, "{hits} rays hit an obstacle");

    let numbers = Scalars::descriptor_scalars().component;
    let switch = values::<Scalar>(&chunks["/plots/value"], numbers);
    let decided: Vec<f32> = record.trace.iter().filter_map(|step| step.value).collect();
    assert_eq!(switch.len(), decided.len());
    for ((_, shown), value) in switch.iter().zip(&decided) {
        assert_eq!(
            [shown[0].0.0, shown[1].0.0],
            [f64::from(*value), f64::from(THRESHOLD)]
        );
    }
    let torques = values::<Scalar>(&chunks["/plots/torque"], numbers);
    let knee = 2;
    let limit_nm = RUN.robot.joints().nth(knee).unwrap().effort_limit_nm;
    for ((time_s, shown), step) in torques.iter().zip(&record.trace) {
        assert!((time_s - f64::from(step.time_s)).abs() < 1e-6);
        let share = step.state.joint_torque_nm[knee] / limit_nm;
        assert!((shown[knee].0.0 - f64::from(share)).abs() < 1e-6 && share.abs() <= 1.0 + 1e-3);
    }
    // Every other step has an image of the camera.
    let images = &chunks["/camera/depth"];
    let frames: usize = images.iter().map(Chunk::num_rows).sum();
    assert_eq!(frames, record.trace.len().div_ceil(2));
    // States are there when they change.
    let states = StateChange::descriptor_state().component;
    let modes = values::<Text>(&chunks["/states/mode"], states);
    let changes = record
        .trace
        .windows(2)
        .filter(|pair| pair[0].mode != pair[1].mode)
        .count();
    assert_eq!(modes.len(), 1 + changes);
    let leg = &RUN.robot.legs[1].name;
    let contacts = values::<Text>(&chunks[&format!("/states/{leg}")], states);
    assert!(
        contacts.len() > 20,
        "{} changes of a foot's contact",
        contacts.len()
    );
    assert_ne!(contacts[3].1, contacts[4].1);
}

#[test]
fn episodes_follow_each_other_and_each_has_its_own_obstacles() {
    let folder = tempfile::tempdir().unwrap();
    let chunks = read(&written(folder.path(), &RUN.episodes), StoreKind::Recording);
    let [first, second] = [&RUN.episodes[0], &RUN.episodes[1]];

    let end_s = f64::from(first.trace[first.trace.len() - 1].time_s);
    let component = Cylinders3D::descriptor_centers().component;
    let obstacles = values::<Translation3D>(&chunks["/world/obstacles/cylinders"], component);
    assert_eq!(obstacles.len(), 2);
    for ((time_s, shown), (start_s, record)) in
        obstacles.iter().zip([(0.0, first), (end_s + 1.0, second)])
    {
        assert!((time_s - start_s).abs() < 1e-6, "{time_s} s");
        assert_eq!(shown.len(), record.scene.obstacles.len());
        for (shown, obstacle) in shown.iter().zip(&record.scene.obstacles) {
            assert_eq!(shown.0.0, point_of(obstacle));
        }
    }
    let captions = values::<Text>(&chunks["/log"], TextLog::descriptor_text().component);
    let captions: Vec<&str> = captions.iter().map(|(_, text)| text[0].as_str()).collect();
    assert_eq!(captions, ["episode 0", "episode 1"]);
}

#[test]
fn a_deployed_robot_is_shown_from_its_first_state_on_fifty_times_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deploy.rrd");
    let subject = Subject {
        title: "a test".to_owned(),
        robot: &RUN.robot,
        rays: &RUN.bundle.spec.rays,
        threshold: None,
        camera: None,
        pace: Pace::Live,
    };
    let mut view = StatusView::open(&Destination::File(path.clone()), &subject, 0.65).unwrap();
    let mut status = Status::default();
    view.show(&status).unwrap();
    status.estimate = RobotState::zero(12, 4);
    // At 500 Hz, for a second.
    for cycle in 0..=500 {
        status.time_ns = 7_000_000_000 + cycle * 2_000_000;
        view.show(&status).unwrap();
    }
    view.close().unwrap();
    let chunks = read(&path, StoreKind::Recording);
    let component = Transform3D::descriptor_translation().component;
    let shown = values::<Translation3D>(&chunks["/world/robot"], component);
    assert_eq!(shown.len(), 51);
    assert!(shown[0].0.abs() < 1e-6 && (shown[50].0 - 1.0).abs() < 1e-6);
    let modes = values::<Text>(
        &chunks["/states/mode"],
        StateChange::descriptor_state().component,
    );
    assert_eq!(modes[0].1[0].as_str(), "damping");
}

fn point_of(obstacle: &Obstacle) -> [f32; 3] {
    obstacle.position_world.coords.into()
}

#[test]
fn the_eye_follows_the_robot() {
    let folder = tempfile::tempdir().unwrap();
    let chunks = read(&written(folder.path(), &[]), StoreKind::Blueprint);
    let eye = chunks
        .keys()
        .find(|path| path.ends_with("/EyeControls3D"))
        .unwrap();
    let view = eye.strip_suffix("/EyeControls3D").unwrap();
    assert!(
        chunks.contains_key(view),
        "the eye is of no view: {:?}",
        chunks.keys()
    );
    let component = EyeControls3D::descriptor_tracking_entity().component;
    let tracked = chunks[eye][0].iter_component::<re_sdk_types::components::EntityPath>(component);
    let tracked: Vec<_> = tracked
        .flat_map(|paths| paths.as_slice().to_vec())
        .collect();
    assert_eq!(tracked[0].as_str(), "world/robot");
}
