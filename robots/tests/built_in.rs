//! The robots that are shipped, against the published numbers.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;

use nalgebra::{Matrix3, Point3, Vector3};
use robots::{ContactClass, Leg, Link, Robot, RobotFiles, Shape};

fn shipped() -> impl Iterator<Item = Robot> {
    ["go1", "go2"]
        .map(|name| Robot::load(name).unwrap())
        .into_iter()
}

#[test]
fn every_built_in_robot_loads_under_its_own_name() {
    assert!(Robot::names().any(|name| name == "go1"));
    assert!(Robot::names().any(|name| name == "go2"));
    for name in Robot::names() {
        assert_eq!(Robot::load(name).unwrap().name, name);
    }
}

#[test]
fn a_folder_gives_the_same_robot_as_its_built_in_copy() {
    for name in Robot::names() {
        let folder = format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
        assert_eq!(Robot::load(&folder).unwrap(), Robot::load(name).unwrap());
    }
}

#[test]
fn total_masses() {
    // Trunk and four times hip, thigh, calf with foot.
    let go1 = 5.204 + 4.0 * (0.591 + 0.92 + 0.191);
    let go2 = 6.921 + 4.0 * (0.678 + 1.152 + 0.241);
    assert!((Robot::load("go1").unwrap().mass_kg() - go1).abs() < 1e-5);
    assert!((Robot::load("go2").unwrap().mass_kg() - go2).abs() < 1e-5);
}

#[test]
fn merging_massless_links_keeps_the_published_inertia() {
    let go2 = Robot::load("go2").unwrap();
    let trunk = &go2.base.link;
    assert!((trunk.com - Point3::new(0.0211, 0.0, -0.0054)).norm() < 1e-6);
    let inertia = Matrix3::from_diagonal(&Vector3::new(0.0245, 0.0981, 0.107));
    assert!((trunk.inertia_kgm2 - inertia).norm() < 1e-7);
    let calf = &go2.legs[0].joints[2].link;
    assert!((calf.com - Point3::new(0.0063, -0.0006, -0.1414)).norm() < 1e-7);
    let inertia = Matrix3::from_diagonal(&Vector3::new(0.00146, 0.00149, 0.00005));
    assert!((calf.inertia_kgm2 - inertia).norm() < 1e-8);
    // The thigh motor sits inboard and high: the product of inertia is positive on the left.
    assert!((go2.legs[0].joints[1].link.inertia_kgm2[(1, 2)] - 0.00081).abs() < 1e-8);
    assert!((go2.legs[1].joints[1].link.inertia_kgm2[(1, 2)] + 0.00081).abs() < 1e-8);
}

#[test]
fn legs_and_joints_are_in_the_order_of_the_method() {
    for robot in shipped() {
        let legs: Vec<_> = robot.legs.iter().map(|leg| leg.name.as_str()).collect();
        assert_eq!(legs, ["FL", "FR", "RL", "RR"]);
        for leg in &robot.legs {
            let suffixes = ["hip_joint", "thigh_joint", "calf_joint"];
            for (joint, suffix) in leg.joints.iter().zip(suffixes) {
                assert_eq!(joint.name, format!("{}_{suffix}", leg.name));
            }
        }
        assert_eq!((robot.num_joints(), robot.num_feet()), (12, 4));
        let default = [0.0, 0.8, -1.5].repeat(4);
        assert_eq!(robot.control.default_position_rad, default);
    }
}

#[test]
fn limits_and_motors() {
    let go1 = Robot::load("go1").unwrap();
    let go2 = Robot::load("go2").unwrap();
    let efforts = |leg: &Leg| -> Vec<_> { leg.joints.iter().map(|j| j.effort_limit_nm).collect() };
    assert_eq!(efforts(&go1.legs[3]), [23.7, 23.7, 35.55]);
    assert_eq!(efforts(&go2.legs[3]), [23.7, 23.7, 45.43]);
    // Only the Go2's rear thighs swing further back than the front ones.
    let degrees = |leg: usize| {
        let thigh = &go2.legs[leg].joints[1];
        [thigh.lower_rad, thigh.upper_rad].map(|angle| angle.to_degrees().round())
    };
    assert_eq!((degrees(0), degrees(2)), ([-90.0, 200.0], [-30.0, 260.0]));
    assert!(go1.joints().all(|joint| joint.armature_kgm2 == 0.005));
    assert!(go2.joints().all(|joint| joint.armature_kgm2 == 0.01));
}

#[test]
fn left_and_right_mirror_each_other() {
    let mirror = Matrix3::from_diagonal(&Vector3::new(1.0, -1.0, 1.0));
    let same = |left: &Link, right: &Link| {
        assert_eq!(left.mass_kg, right.mass_kg);
        assert_eq!(mirror * left.com, right.com, "{}", left.name);
        let inertia = mirror * left.inertia_kgm2 * mirror;
        assert!(
            (inertia - right.inertia_kgm2).norm() < 1e-9,
            "{}",
            left.name
        );
    };
    for robot in shipped() {
        for (left, right) in [(0, 1), (2, 3)] {
            let (left, right) = (&robot.legs[left], &robot.legs[right]);
            for (l, r) in left.joints.iter().zip(&right.joints) {
                same(&l.link, &r.link);
            }
            let foot = left.foot_position_base(&[0.3, 0.7, -1.4]);
            let mirrored = right.foot_position_base(&[-0.3, 0.7, -1.4]);
            assert!((mirror * foot - mirrored).norm() < 1e-6);
        }
    }
}

#[test]
fn standing_height_is_that_of_two_links_and_a_foot() {
    // Thigh at 1.0 rad, calf at 1.0 - 1.8 = -0.8 rad from the vertical.
    let links = 0.213 * (1.0_f32.cos() + 0.8_f32.cos());
    let go1 = Robot::load("go1").unwrap();
    assert!((go1.control.standing_height_m - (links + 0.02)).abs() < 1e-6);
    // The foot of the Go2 lies 2 mm behind the calf's axis, and so lower by 2 mm * sin(0.8).
    let go2 = Robot::load("go2").unwrap();
    let expected = links + 0.002 * 0.8_f32.sin() + 0.022;
    assert!((go2.control.standing_height_m - expected).abs() < 1e-6);
}

#[test]
fn shapes_count_for_the_right_body() {
    for robot in shipped() {
        let base = &robot.base.link.shapes;
        assert!(base.iter().all(|shape| shape.class == ContactClass::Base));
        for leg in &robot.legs {
            let classes: Vec<Vec<_>> = leg
                .joints
                .iter()
                .map(|joint| joint.link.shapes.iter().map(|s| s.class).collect())
                .collect();
            use ContactClass::{Calf, Foot, Thigh};
            assert_eq!(classes, [vec![], vec![Thigh], vec![Calf, Foot]]);
        }
    }
}

/// With the foot on flat ground the calf must not touch it, or every run would count as a collision.
#[test]
fn the_calf_stays_off_the_ground_that_the_foot_stands_on() {
    for robot in shipped() {
        let leg = &robot.legs[0];
        let calf = &leg.joints[2];
        let capsule = &calf.link.shapes[0];
        let Shape::Capsule {
            half_length,
            radius,
        } = capsule.shape
        else {
            panic!("the calf is a capsule")
        };
        let end = capsule.origin * Point3::new(0.0, 0.0, -half_length);
        let mut checked = 0;
        for step in 0..=100 {
            for thigh in [-0.4_f32, 0.0, 0.4, 0.8, 1.2, 1.6, 2.0] {
                let share = step as f32 / 100.0;
                let knee = calf.lower_rad + share * (calf.upper_rad - calf.lower_rad);
                let q = [0.0, thigh, knee];
                let pose = leg.link_poses_base(&q).last().unwrap();
                let foot = leg.foot_position_base(&q);
                if pose.translation.z - foot.z < 0.05 {
                    continue; // Lying on its side.
                }
                let clearance = (pose * end).z - radius - (foot.z - leg.foot.radius);
                assert!(clearance > 0.008, "{}: {clearance} at {q:?}", robot.name);
                checked += 1;
            }
        }
        assert!(checked > 300);
    }
}

#[test]
fn the_camera_is_the_papers() {
    for robot in shipped() {
        let camera = robot.camera.unwrap();
        assert_eq!((camera.width_px, camera.height_px), (160, 90));
        assert!((camera.horizontal_fov_rad.to_degrees() - 102.0).abs() < 1e-4);
        assert_eq!(camera.range_m, [0.1, 6.0]);
        assert_eq!(
            camera.pose_base * Point3::origin(),
            Point3::new(0.0, 0.0, 0.27)
        );
    }
}

#[test]
fn a_copy_of_the_files_is_the_same_robot_and_an_edited_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let files = RobotFiles::read("go1").unwrap();
    files.write(folder.path()).unwrap();
    let path = folder.path().to_str().unwrap();
    let copy = RobotFiles::in_folder(folder.path()).unwrap().unwrap();
    assert_eq!(copy, files);
    let nothing = tempfile::tempdir().unwrap();
    assert_eq!(RobotFiles::in_folder(nothing.path()).unwrap(), None);
    assert_eq!(copy.robot().unwrap(), Robot::load("go1").unwrap());
    let edited = files.description().replacen("30.0", "31.0", 1);
    assert_ne!(edited, files.description());
    fs::write(folder.path().join("robot.toml"), edited).unwrap();
    assert_ne!(RobotFiles::read(path).unwrap(), files);
}

#[test]
fn a_urdf_outside_of_the_folder_is_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    let files = RobotFiles::read("go1").unwrap();
    let inner = folder.path().join("inner");
    files.write(&inner).unwrap();
    fs::rename(inner.join("go1.urdf"), folder.path().join("go1.urdf")).unwrap();
    let edited = files
        .description()
        .replace("\"go1.urdf\"", "\"../go1.urdf\"");
    fs::write(inner.join("robot.toml"), edited).unwrap();
    let files = RobotFiles::read(inner.to_str().unwrap()).unwrap();
    let error = files.write(&folder.path().join("copy")).unwrap_err();
    assert!(error.to_string().contains("move it there"), "{error}");
}
