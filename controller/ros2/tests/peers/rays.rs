//! Scans, clouds and depth images become rays; what the robot sees is what it publishes on `abs/markers`.

use std::{
    thread,
    time::{Duration, Instant},
};

use policies::Bundle;
use ros2::{
    Delivery, Ros,
    messages::{
        CameraInfo, Header, Image, LaserScan, MarkerArray, PointCloud2, PointField,
        RegionOfInterest,
    },
};

use crate::{
    own_network::in_own_network,
    rig::{BUNDLE, NO_SPORT_MODE, PATIENCE, Peer, Robot, network},
};

fn header(frame: &str) -> Header {
    Header {
        frame_id: frame.to_owned(),
        ..Header::default()
    }
}

/// Publishes with `publish`, 50 times a second, until the rays that are shown satisfy `right`.
#[track_caller]
fn until_rays(
    ros: &mut Ros,
    robot: &Robot,
    mut publish: impl FnMut(),
    right: impl Fn(&[f64]) -> bool,
) {
    let markers = ros
        .subscribe::<MarkerArray>("abs/markers", Delivery::Reliable)
        .unwrap();
    let start = Instant::now();
    let mut rays = Vec::new();
    while !right(&rays) {
        assert!(start.elapsed() < PATIENCE, "{rays:?}\n{}", robot.said());
        publish();
        while let Ok(Some((shown, _))) = markers.take() {
            let ends = shown.markers[0].points.chunks_exact(2);
            let length = |ends: &[ros2::messages::Point]| {
                (ends[1].x - ends[0].x).hypot(ends[1].y - ends[0].y)
            };
            rays = ends.map(length).collect();
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whether all rays are as long as `expected_m`, by direction, within a relative tolerance.
fn are_near(rays: &[f64], tolerance: f64, expected_m: impl Fn(f64) -> f64) -> bool {
    let spec = Bundle::load(BUNDLE.as_ref()).unwrap().spec.rays;
    rays.len() == spec.count
        && rays.iter().enumerate().all(|(ray, &ray_m)| {
            let expected_m = expected_m(f64::from(spec.angle_rad(ray)));
            (ray_m / expected_m - 1.0).abs() < tolerance
        })
}

#[test]
fn a_point_cloud_becomes_rays() {
    in_own_network("rays::a_point_cloud_becomes_rays", || {
        let mut ros = Ros::open(&network(19), "peer").unwrap();
        let clouds = ros.publish("utlidar/cloud", Delivery::Newest).unwrap();
        let robot = Robot::start(19, NO_SPORT_MODE, &["--rays", "cloud"]);
        let field = |index: u32, name: &str| PointField {
            name: name.to_owned(),
            offset: 4 * index,
            datatype: 7,
            count: 1,
        };
        // One point ahead, and the floor around the robot.
        let floor = (0..120).map(|index| {
            let (sin, cos) = (f32::from(index as u8) * std::f32::consts::PI / 60.0).sin_cos();
            [cos, sin, -0.3]
        });
        let points: Vec<[f32; 3]> = [[1.95, 0.0, 0.1]].into_iter().chain(floor).collect();
        let cloud = PointCloud2 {
            header: header("base_link"),
            height: 1,
            width: points.len() as u32,
            fields: vec![field(0, "x"), field(1, "y"), field(2, "z")],
            is_bigendian: false,
            point_step: 12,
            row_step: 12 * points.len() as u32,
            data: points
                .as_flattened()
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
            is_dense: true,
        };
        until_rays(
            &mut ros,
            &robot,
            || clouds.publish(cloud.clone()).unwrap(),
            |rays| {
                are_near(
                    rays,
                    1e-3,
                    |angle_rad| if angle_rad.abs() < 0.01 { 2.0 } else { 6.0 },
                )
            },
        );
        robot.end();
    });
}

fn scan(half_width_rad: f32, range_m: f32) -> LaserScan {
    let beams = 2 * (half_width_rad / 0.01) as usize + 1;
    LaserScan {
        header: header("base_link"),
        angle_min: -half_width_rad,
        angle_max: half_width_rad,
        angle_increment: 0.01,
        time_increment: 0.0,
        scan_time: 0.1,
        range_min: 0.05,
        range_max: 20.0,
        ranges: vec![range_m; beams],
        intensities: Vec::new(),
    }
}

#[test]
fn a_scan_becomes_rays_and_one_that_is_too_narrow_does_not_let_it_run() {
    in_own_network(
        "rays::a_scan_becomes_rays_and_one_that_is_too_narrow_does_not_let_it_run",
        || {
            let mut peer = Peer::new(20);
            let scans = peer.ros.publish("scan", Delivery::Newest).unwrap();
            let robot = Robot::start(20, NO_SPORT_MODE, &["--goal", "3,0"]);
            // Only to the front: the rays to the sides are missed.
            let start = Instant::now();
            let (mut steps, mut asked_to_run) = (0, 0);
            while asked_to_run < 500 {
                assert!(start.elapsed() < 2 * PATIENCE, "{}", robot.said());
                peer.step();
                steps += 1;
                if steps % 10 == 0 {
                    scans.publish(scan(0.5, 3.0)).unwrap();
                }
                peer.lead_to("run");
                assert_ne!(peer.state, "run");
                asked_to_run += u32::from(peer.state == "ready");
            }
            let said = robot.said();
            let told =
                |line: &&str| line.starts_with("warning: scan: scan covers -29 to 29 degrees");
            assert_eq!(said.lines().filter(told).count(), 1, "{said}");
            // Around it, a wall at 3 m from the base; rays begin 5 cm behind it.
            until_rays(
                &mut peer.ros,
                &robot,
                || scans.publish(scan(3.0, 3.0)).unwrap(),
                |rays| are_near(rays, 0.02, |angle_rad| 3.0 + 0.05 * angle_rad.cos()),
            );
            robot.end();
        },
    );
}

/// A wall across the way and the floor before it, as a camera 0.57 m over the floor sees them.
fn wall(ahead_m: f32, width: u32, height: u32, in_metres: bool) -> (Image, CameraInfo) {
    let (focal, row) = (0.405 * width as f32, 0.5 * (height as f32 - 1.0));
    let depth = |v: u32| match (v as f32 - row) / focal {
        slope if slope > 0.0 => ahead_m.min(0.57 / slope),
        _ => ahead_m,
    };
    let rows = (0..height).flat_map(|v| std::iter::repeat_n(depth(v), width as usize));
    let (encoding, data): (_, Vec<u8>) = match in_metres {
        true => ("32FC1", rows.flat_map(f32::to_le_bytes).collect()),
        false => {
            let mm = |depth_m: f32| ((1000.0 * depth_m) as u16).to_le_bytes();
            ("16UC1", rows.flat_map(mm).collect())
        }
    };
    let image = Image {
        header: header("camera_depth_optical_frame"),
        height,
        width,
        encoding: encoding.to_owned(),
        is_bigendian: 0,
        step: data.len() as u32 / height,
        data,
    };
    let (f, cx, cy) = (
        f64::from(focal),
        0.5 * (f64::from(width) - 1.0),
        f64::from(row),
    );
    let info = CameraInfo {
        header: header("camera_depth_optical_frame"),
        height,
        width,
        distortion_model: "plumb_bob".to_owned(),
        d: vec![0.0; 5],
        k: [f, 0.0, cx, 0.0, f, cy, 0.0, 0.0, 1.0],
        r: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p: [f, 0.0, cx, 0.0, 0.0, f, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
        binning_x: 0,
        binning_y: 0,
        roi: RegionOfInterest::default(),
    };
    (image, info)
}

#[test]
fn depth_images_become_rays() {
    in_own_network("rays::depth_images_become_rays", || {
        let mut ros = Ros::open(&network(21), "peer").unwrap();
        let images = ros
            .publish::<Image>("camera/depth/image_rect_raw", Delivery::Newest)
            .unwrap();
        let infos = ros
            .publish::<CameraInfo>("camera/depth/camera_info", Delivery::Newest)
            .unwrap();
        let robot = Robot::start(21, NO_SPORT_MODE, &["--rays", "depth"]);
        let (image, info) = wall(2.0, 160, 90, false);
        let start = Instant::now();
        while !robot
            .said()
            .contains("but no camera info on camera/depth/camera_info")
        {
            assert!(start.elapsed() < PATIENCE, "{}", robot.said());
            images.publish(image.clone()).unwrap();
            thread::sleep(Duration::from_millis(20));
        }
        let mut see = |(image, info): (Image, CameraInfo), ahead_m: f64| {
            let publish = || {
                infos.publish(info.clone()).unwrap();
                images.publish(image.clone()).unwrap();
            };
            // The network errs by some percent. The camera sees 51 degrees to either side, and has seen nothing else.
            let right = |rays: &[f64]| {
                are_near(rays, 0.2, |angle_rad| match angle_rad.abs() < 0.89 {
                    true => ((ahead_m + 0.05) / angle_rad.cos()).min(6.0),
                    false => 6.0,
                })
            };
            until_rays(&mut ros, &robot, publish, right);
        };
        see((image, info), 2.0);
        // Another camera.
        see(wall(4.0, 320, 240, true), 4.0);
        let covered = Image {
            data: vec![0; 320 * 240 * 4],
            ..wall(4.0, 320, 240, true).0
        };
        while !robot
            .said()
            .contains("depth image has no pixel with a depth")
        {
            assert!(start.elapsed() < 2 * PATIENCE, "{}", robot.said());
            images.publish(covered.clone()).unwrap();
            thread::sleep(Duration::from_millis(20));
        }
        robot.end();
    });
}
