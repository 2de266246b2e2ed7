use std::f32::consts::PI;

use super::{points::FLOAT32, *};
use crate::messages::{Header, PointField};

fn of_go2(spec: &RaySpec, config: &LidarConfig) -> Result<Lidar, LidarError> {
    Lidar::new(&Robot::load("go2").unwrap(), spec, config)
}

fn lidar(config: LidarConfig) -> Lidar {
    of_go2(&RaySpec::default(), &config).unwrap()
}

fn at(x_m: f32, y_m: f32, yaw_rad: f32) -> Isometry3<f32> {
    Isometry3::from_parts(
        Translation3::new(x_m, y_m, 0.3),
        UnitQuaternion::from_euler_angles(0.0, 0.0, yaw_rad),
    )
}

fn header(frame: &str) -> Header {
    Header {
        frame_id: frame.to_owned(),
        ..Header::default()
    }
}

/// A full turn in steps of one degree, from the origin of the base; nothing in sight but `hits`, in degrees and m.
fn scan(hits: &[(i32, f32)]) -> LaserScan {
    let mut ranges = vec![f32::INFINITY; 360];
    for &(angle_deg, range_m) in hits {
        ranges[(angle_deg + 180) as usize] = range_m;
    }
    LaserScan {
        header: header("base_link"),
        angle_min: -PI,
        angle_max: PI - 1_f32.to_radians(),
        angle_increment: 1_f32.to_radians(),
        time_increment: 0.0,
        scan_time: 0.1,
        range_min: 0.05,
        range_max: 30.0,
        ranges,
        intensities: Vec::new(),
    }
}

fn cloud(points: &[[f32; 3]]) -> PointCloud2 {
    let field = |index: u32, name: &str| PointField {
        name: name.to_owned(),
        offset: 4 * index,
        datatype: FLOAT32,
        count: 1,
    };
    // Sixteen bytes each: a float for the intensity at the end.
    let bytes = |[x, y, z]: &[f32; 3]| [*x, *y, *z, 0.0].map(f32::to_le_bytes).concat();
    PointCloud2 {
        header: header("base_link"),
        height: 1,
        width: points.len() as u32,
        fields: vec![field(0, "x"), field(1, "y"), field(2, "z")],
        is_bigendian: false,
        point_step: 16,
        row_step: 16 * points.len() as u32,
        data: points.iter().flat_map(bytes).collect(),
        is_dense: true,
    }
}

/// As [`cloud`], with the floor around the robot.
fn seen(points: &[[f32; 3]]) -> PointCloud2 {
    let floor = (0..120).map(|index| {
        let (sin, cos) = (index as f32 * PI / 60.0).sin_cos();
        [0.3 * cos, 0.3 * sin, -0.29]
    });
    cloud(&points.iter().copied().chain(floor).collect::<Vec<_>>())
}

#[track_caller]
fn assert_rays(scan: &RayScan, hits: &[(usize, f32)]) {
    for (index, &distance_m) in scan.distance_m.iter().enumerate() {
        let hit = hits.iter().find(|(ray, _)| *ray == index);
        let expected_m = hit.map_or(6.0, |(_, distance_m)| *distance_m);
        assert!(
            (distance_m - expected_m).abs() < 2e-3,
            "ray {index} of {scan:?}"
        );
    }
}

#[test]
fn beams_ahead_and_on_both_sides_fall_into_their_rays() {
    let lidar = lidar(LidarConfig::default());
    // The rays start 5 cm behind the base. A point 2 m off at 45 degrees is then at atan2(1.4142, 1.4642) = 44.005
    // degrees and 2.0357 m; a step of a degree is just wide enough.
    let rays = lidar.rays_of_scan(&scan(&[(0, 2.0), (45, 2.0), (90, 1.0)]), &at(3.0, 1.0, 2.0));
    assert_rays(&rays.unwrap(), &[(5, 2.05), (10, 2.0357)]);
    // The first ray looks to the right.
    let rays = lidar.rays_of_scan(&scan(&[(-46, 2.0)]), &at(0.0, 0.0, 0.0));
    // atan2(-1.43868, 1.38932 + 0.05) = -44.988 degrees.
    assert_rays(&rays.unwrap(), &[(0, 2.03504)]);
}

#[test]
fn rays_with_a_width_and_a_height_see_what_is_between_and_above_lines() {
    let spec = RaySpec {
        height_m: [-0.1, 0.2],
        width_rad: 9_f32.to_radians(),
        ..RaySpec::default()
    };
    let at_rest = at(0.0, 0.0, 0.0);
    let mut lidar = of_go2(&spec, &LidarConfig::default()).unwrap();
    // 4 degrees off: 2 m away from the base it is 3.9 degrees beside the ray that starts behind it.
    let beside = scan(&[(4, 2.0)]);
    let rays = lidar.rays_of_scan(&beside, &at_rest).unwrap();
    assert_rays(&rays, &[(5, 2.0499)]);
    let lines = of_go2(&RaySpec::default(), &LidarConfig::default()).unwrap();
    assert_rays(&lines.rays_of_scan(&beside, &at_rest).unwrap(), &[]);
    // The heights of a cloud are those of the bundle: 0.25 m over the base is over them, 0.12 m under it below.
    let heights = seen(&[[1.0, 0.0, 0.25], [1.5, 0.0, -0.12], [2.0, 0.0, 0.15]]);
    let rays = lidar.rays_of_cloud(&heights, &at_rest, 0).unwrap();
    assert_rays(&rays, &[(5, 2.05)]);
}

#[test]
fn the_nearest_hit_counts_and_what_is_nearer_than_a_ray_can_be_is_cut() {
    let lidar = lidar(LidarConfig::default());
    let mut near = scan(&[(0, 4.0), (1, 3.0)]);
    let rays = lidar.rays_of_scan(&near, &at(0.0, 0.0, 0.0)).unwrap();
    assert_rays(&rays, &[(5, 3.05)]);
    near.ranges[180] = 0.05;
    let rays = lidar.rays_of_scan(&near, &at(0.0, 0.0, 0.0)).unwrap();
    assert_rays(&rays, &[(5, 0.1)]);
    near.ranges[180] = f32::NAN;
    let rays = lidar.rays_of_scan(&near, &at(0.0, 0.0, 0.0)).unwrap();
    assert_rays(&rays, &[(5, 3.05)]);
}

#[test]
fn a_lidar_that_sits_turned_and_ahead_sees_the_same() {
    let turned = lidar(LidarConfig {
        frame: "laser".to_owned(),
        position_base_m: [0.3, 0.0, 0.1],
        rpy_base_deg: [180.0, 0.0, 90.0],
        ..LidarConfig::default()
    });
    // Upside down, with its x axis to the left of the robot: ahead is then at +90 degrees.
    let mut message = scan(&[(90, 1.0)]);
    message.header = header("laser");
    let rays = turned.rays_of_scan(&message, &at(0.0, 0.0, 0.0)).unwrap();
    assert_rays(&rays, &[(5, 1.35)]);
}

#[test]
fn a_level_scan_does_not_tilt_with_the_base() {
    let lidar = lidar(LidarConfig {
        rpy_base_deg: [0.0, 0.0, 30.0],
        ..LidarConfig::default()
    });
    let mut message = scan(&[(0, 5.0)]);
    message.header = header("base_stabilized");
    let pitched = Isometry3::from_parts(
        Translation3::new(0.0, 0.0, 0.3),
        UnitQuaternion::from_euler_angles(0.0, 0.3, 0.0),
    );
    let rays = lidar.rays_of_scan(&message, &pitched).unwrap();
    assert_rays(&rays, &[(5, 5.05)]);
}

#[test]
fn a_scan_that_does_not_look_where_the_policy_looks_is_refused() {
    let lidar = lidar(LidarConfig::default());
    let mut narrow = scan(&[]);
    narrow.ranges.truncate(90);
    narrow.angle_min = -40_f32.to_radians();
    narrow.angle_max = 49_f32.to_radians();
    let error = lidar.rays_of_scan(&narrow, &at(0.0, 0.0, 0.0)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "scan covers -40 to 49 degrees of its frame and misses the ray at -45 degrees of the robot: turn or widen it, correct ros2.lidar.rpy_base_deg, or set ros2.lidar.view_deg to what it sees"
    );
    narrow.angle_min = -45_f32.to_radians();
    narrow.angle_max = 44_f32.to_radians();
    assert!(lidar.rays_of_scan(&narrow, &at(0.0, 0.0, 0.0)).is_ok());
}

#[test]
fn a_scan_of_an_unknown_frame_or_that_contradicts_itself_is_refused() {
    let lidar = lidar(LidarConfig::default());
    let mut message = scan(&[]);
    message.header.frame_id.clear();
    let error = lidar
        .rays_of_scan(&message, &at(0.0, 0.0, 0.0))
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("scan is in frame ``, expected `base_link`: set ros2.lidar.frame"),
        "{text}"
    );
    for change in [
        |scan: &mut LaserScan| scan.angle_increment = 0.0,
        |scan: &mut LaserScan| scan.angle_increment = f32::NAN,
        |scan: &mut LaserScan| scan.ranges.truncate(100),
        |scan: &mut LaserScan| scan.angle_max = 0.0,
        |scan: &mut LaserScan| scan.range_max = 0.0,
        |scan: &mut LaserScan| scan.range_max = f32::NAN,
    ] {
        let mut message = scan(&[]);
        change(&mut message);
        let error = lidar
            .rays_of_scan(&message, &at(0.0, 0.0, 0.0))
            .unwrap_err();
        assert!(matches!(error, LidarError::Malformed { .. }), "{error}");
    }
}

#[test]
fn floor_and_ceiling_are_no_obstacles_even_when_the_robot_pitches() {
    let mut lidar = lidar(LidarConfig::default());
    let floor_and_wall = seen(&[[1.0, 0.0, -0.29], [3.0, 0.0, 0.2], [2.0, 0.0, 0.5]]);
    let rays = lidar
        .rays_of_cloud(&floor_and_wall, &at(0.0, 0.0, 0.0), 0)
        .unwrap();
    assert_rays(&rays, &[(5, 3.05)]);
    // Pitched down by 0.15 rad, a floor point 1 m ahead and 0.3 m below is 0.153 m below in the base frame.
    let pitched = Isometry3::from_parts(
        Translation3::new(0.0, 0.0, 0.3),
        UnitQuaternion::from_euler_angles(0.0, 0.15, 0.0),
    );
    let floor = pitched.inverse() * Point3::new(1.0, 0.0, 0.0);
    assert!(floor.z > -0.16, "{floor}");
    let rays = lidar.rays_of_cloud(&seen(&[floor.coords.into()]), &pitched, u64::MAX);
    assert_rays(&rays.unwrap(), &[]);
}

#[test]
fn points_on_the_robot_itself_do_not_count() {
    // All around: ray 0 looks to -171 degrees, ray 11 to 27, ray 18 to 153.
    let spec = RaySpec {
        count: 20,
        first_rad: -171_f32.to_radians(),
        last_rad: 171_f32.to_radians(),
        ..RaySpec::default()
    };
    let config = LidarConfig {
        position_base_m: [0.28, 0.0, 0.0],
        ..LidarConfig::default()
    };
    // As a lidar on the head sees them: trunk, the knee of RL, and at its bearing a wall, 1.3 m behind the base.
    let own = [[-0.3, 0.02, 0.05], [-0.62, 0.14, -0.1]];
    let wall = [-1.58, 0.61, 0.0];
    let on_a_wide_floor = |points: &[[f32; 3]]| {
        let floor = (0..120).map(|index| {
            let (sin, cos) = (index as f32 * PI / 60.0).sin_cos();
            [2.0 * cos, 2.0 * sin, -0.29]
        });
        cloud(&points.iter().copied().chain(floor).collect::<Vec<_>>())
    };
    let message = on_a_wide_floor(&[own[0], own[1], wall]);
    let at_rest = at(0.0, 0.0, 0.0);
    let mut lidar = of_go2(&spec, &config).unwrap();
    let rays = lidar.rays_of_cloud(&message, &at_rest, 0).unwrap();
    // hypot(-1.58 + 0.28 + 0.05, 0.61)
    assert_rays(&rays, &[(18, 1.39090)]);
    // Nor do they stay where they were while the robot runs on: 0.5 m later the wall is 1.8 m behind.
    let rays = lidar.rays_of_cloud(&on_a_wide_floor(&[]), &at(0.5, 0.0, 0.0), 100_000_000);
    assert_rays(&rays.unwrap(), &[(18, 1.85329)]);
    let all = LidarConfig {
        own_margin_m: -1.0,
        ..config.clone()
    };
    let mut lidar = of_go2(&spec, &all).unwrap();
    let rays = lidar.rays_of_cloud(&message, &at_rest, 0).unwrap();
    assert_eq!(rays.distance_m[11], 0.1, "the trunk, 4 cm from the rays");
    // The knee: hypot(-0.62 + 0.28 + 0.05, 0.14).
    assert!((rays.distance_m[18] - 0.32202).abs() < 2e-3, "{rays:?}");
    // A larger robot is in more places: a point 0.28 m to the left is a thigh of ANYmal B, and an obstacle beside a Go2.
    for (name, counts) in [("go2", true), ("anymal_b", false)] {
        let robot = Robot::load(name).unwrap();
        let mut lidar = Lidar::new(&robot, &spec, &config).unwrap();
        let beside = on_a_wide_floor(&[[-0.58, 0.28, -0.1]]);
        let rays = lidar.rays_of_cloud(&beside, &at_rest, 0).unwrap();
        assert_eq!(
            rays.distance_m.iter().any(|distance_m| *distance_m < 1.0),
            counts,
            "{name}"
        );
    }
}

#[test]
fn clouds_are_merged_where_they_are_in_the_world_and_forgotten_in_time() {
    let mut lidar = lidar(LidarConfig::default());
    let ms = 1_000_000;
    let first = lidar.rays_of_cloud(&seen(&[[3.0, 0.0, 0.0]]), &at(0.0, 0.0, 0.0), 0);
    assert_rays(&first.unwrap(), &[(5, 3.05)]);
    // A metre on, the point is a metre nearer; the new cloud sees another, to the left.
    let y_m = 2.05 * 36_f32.to_radians().tan();
    let second = lidar.rays_of_cloud(&seen(&[[2.0, y_m, 0.0]]), &at(1.0, 0.0, 0.0), 150 * ms);
    assert_rays(
        &second.unwrap(),
        &[(5, 2.05), (9, 2.05 / 36_f32.to_radians().cos())],
    );
    let third = lidar.rays_of_cloud(&seen(&[]), &at(1.0, 0.0, 0.0), 201 * ms);
    assert_rays(&third.unwrap(), &[(9, 2.05 / 36_f32.to_radians().cos())]);
    let fourth = lidar.rays_of_cloud(&seen(&[]), &at(1.0, 0.0, 0.0), 351 * ms);
    assert_rays(&fourth.unwrap(), &[]);
}

#[test]
fn a_malformed_cloud_is_refused() {
    let mut lidar = lidar(LidarConfig::default());
    let mut check = |change: fn(&mut PointCloud2), expected: &str| {
        let mut message = cloud(&[[1.0, 0.0, 0.0]]);
        change(&mut message);
        let error = lidar
            .rays_of_cloud(&message, &at(0.0, 0.0, 0.0), 0)
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(
        |cloud| cloud.fields[2].name.clear(),
        "no field `z` of float32",
    );
    check(
        |cloud| cloud.fields[1].datatype = 8,
        "no field `y` of float32",
    );
    check(
        |cloud| cloud.fields[0].offset = 13,
        "no field `x` of float32",
    );
    check(|cloud| cloud.data.truncate(15), "15 bytes for 1 rows");
    check(|cloud| cloud.width = 2, "2 points of 16 bytes");
    check(|cloud| cloud.is_bigendian = true, "big-endian");
    check(
        |cloud| cloud.header.frame_id = "odom".to_owned(),
        "frame `odom`",
    );
    check(
        |cloud| (cloud.width, cloud.height) = (u32::MAX, u32::MAX),
        "points, at most 1000000",
    );
}

#[test]
fn settings_out_of_range_are_named() {
    let config = LidarConfig {
        height_m: [0.3, -0.1],
        ..LidarConfig::default()
    };
    let error = of_go2(&RaySpec::default(), &config).unwrap_err();
    assert_eq!(
        error.to_string(),
        "ros2.lidar.height_m is [0.3, -0.1], must be [low, high]"
    );
}

/// REP 117: minus infinity is an object too near to be measured; so is all below the least range. Plus infinity is nothing in
/// sight.
#[test]
fn what_is_too_near_to_be_measured_is_near() {
    let lidar = lidar(LidarConfig::default());
    for near_m in [f32::NEG_INFINITY, -1.0, 0.0, 0.04] {
        let mut message = scan(&[]);
        message.ranges[180] = near_m;
        let rays = lidar.rays_of_scan(&message, &at(0.0, 0.0, 0.0)).unwrap();
        assert_rays(&rays, &[(5, 0.1)]);
    }
    let mut message = scan(&[]);
    message.ranges[180] = 31.0;
    message.range_max = f32::INFINITY;
    let rays = lidar.rays_of_scan(&message, &at(0.0, 0.0, 0.0)).unwrap();
    assert_rays(&rays, &[]);
}

#[test]
fn a_scan_without_enough_valid_beams_around_a_ray_is_blind() {
    let lidar = lidar(LidarConfig::default());
    let here = at(0.0, 0.0, 0.0);
    let mut message = scan(&[]);
    message.ranges.fill(f32::NAN);
    let blind = lidar.rays_of_scan(&message, &here).unwrap_err().to_string();
    assert_eq!(
        blind,
        "scan is blind at -45 degrees of the robot: 0 of 9 measurements there are valid; is the lidar covered or broken? If its place hides that direction, set ros2.lidar.view_deg"
    );
    // Covered at one side.
    let mut message = scan(&[]);
    message.ranges[200..215].fill(f32::NAN);
    let blind = lidar.rays_of_scan(&message, &here).unwrap_err().to_string();
    assert!(blind.starts_with("scan is blind at 27 degrees"), "{blind}");
    // One beam of five is lost everywhere: the others see, those next to a ray for it.
    let mut message = scan(&[(38, 2.0)]);
    for (index, range_m) in message.ranges.iter_mut().enumerate() {
        // Of the ray at 36 degrees, those from 35 to 37.
        if index % 5 == 0 || (215..=217).contains(&index) {
            *range_m = f32::NAN;
        }
    }
    message.ranges[218] = 2.0;
    let rays = lidar.rays_of_scan(&message, &here).unwrap();
    assert!((rays.distance_m[9] - 2.04).abs() < 0.01, "{rays:?}");
    // Thirty beams around: some rays have none.
    let mut coarse = scan(&[]);
    coarse.ranges.truncate(30);
    coarse.angle_increment = 12_f32.to_radians();
    coarse.angle_max = -PI + 29.0 * coarse.angle_increment;
    let blind = lidar.rays_of_scan(&coarse, &here).unwrap_err();
    assert!(matches!(blind, LidarError::Blind { .. }), "{blind}");
}

#[test]
fn a_cloud_without_points_in_a_direction_is_blind() {
    let here = at(0.0, 0.0, 0.0);
    let refused = |message: &PointCloud2| {
        let mut lidar = lidar(LidarConfig::default());
        lidar
            .rays_of_cloud(message, &here, 0)
            .unwrap_err()
            .to_string()
    };
    let nothing = refused(&cloud(&[]));
    assert!(
        nothing.starts_with("point cloud is blind at -30 degrees of the robot: 0 of 3"),
        "{nothing}"
    );
    let not_numbers = refused(&cloud(&[[f32::NAN; 3]; 500]));
    assert!(not_numbers.contains("is blind"), "{not_numbers}");
    // The floor is seen to the left only.
    let left: Vec<[f32; 3]> = (0..60)
        .map(|index| (index as f32 * PI / 60.0).sin_cos())
        .map(|(sin, cos)| [cos, sin, -0.29])
        .collect();
    assert!(refused(&cloud(&left)).contains("is blind at -30 degrees"));
    // It is blind as long as it sees nothing new: what was merged is forgotten.
    let mut lidar = lidar(LidarConfig::default());
    assert!(lidar.rays_of_cloud(&seen(&[]), &here, 0).is_ok());
    assert!(lidar.rays_of_cloud(&cloud(&[]), &here, 100_000_000).is_ok());
    assert!(
        lidar
            .rays_of_cloud(&cloud(&[]), &here, 300_000_000)
            .is_err()
    );
}

/// The fan of a bundle all around, of which a lidar sees the 180 degrees ahead.
#[test]
fn what_a_narrow_lidar_does_not_see_is_remembered_while_the_robot_turns() {
    let fan = RaySpec {
        count: 35,
        first_rad: -170_f32.to_radians(),
        last_rad: 170_f32.to_radians(),
        origin_x_m: 0.0,
        ..RaySpec::default()
    };
    let config = LidarConfig {
        view_deg: 180.0,
        ..LidarConfig::default()
    };
    let (seen, unseen) = config.seen_rays(&fan).unwrap();
    // Every 10 degrees from -90 to 90.
    assert_eq!(seen.count, 19);
    let mut unseen = unseen.expect("16 rays are not seen");
    let lidar = of_go2(&seen, &config).unwrap();
    let mut half_a_turn = |time_s: u64, hits: &[(i32, f32)], base: &Isometry3<f32>| {
        let mut message = scan(hits);
        message.ranges = message.ranges[90..=270].to_vec();
        (message.angle_min, message.angle_max) = (-0.5 * PI, 0.5 * PI);
        let rays = lidar.rays_of_scan(&message, base).unwrap();
        unseen.complete(time_s * 1_000_000_000, base, &rays)
    };
    // Something 2 m ahead; ray 17 looks ahead.
    let at_start = at(0.0, 0.0, 0.0);
    assert_rays(&half_a_turn(1, &[(0, 2.0)], &at_start), &[(17, 2.0)]);
    // The robot turns by 120 degrees to the left: it is now at -120 degrees, ray 5.
    let turned = at(0.0, 0.0, 120_f32.to_radians());
    assert_rays(&half_a_turn(2, &[], &turned), &[(5, 2.0)]);
    assert_rays(&half_a_turn(5, &[], &turned), &[]);
    // In another world frame nothing is known.
    half_a_turn(6, &[(0, 2.0)], &at_start);
    let elsewhere = at(5.0, 0.0, 120_f32.to_radians());
    assert_rays(&half_a_turn(6, &[], &elsewhere), &[]);

    for view_deg in [0.0, 5.0, 361.0, f32::NAN] {
        let config = LidarConfig {
            view_deg,
            ..LidarConfig::default()
        };
        let error = config.seen_rays(&fan).unwrap_err().to_string();
        assert!(error.contains("ros2.lidar.view_deg"), "{error}");
    }
    let all = LidarConfig::default().seen_rays(&fan).unwrap();
    assert!(all.1.is_none() && all.0 == fan);
}
