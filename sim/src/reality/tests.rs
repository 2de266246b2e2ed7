use robots::Robot;

use super::*;

fn go1() -> Robot {
    Robot::load("go1").unwrap()
}

fn sensors(change: impl FnOnce(&mut RealityConfig)) -> RobotReality {
    let mut config = RealityConfig::default();
    change(&mut config);
    config.validate().unwrap();
    let mut sensors = RobotReality::new(&config, &go1(), &RaySpec::default());
    sensors.reset(7);
    sensors
}

fn state(joint_rad: f32, x_m: f32) -> RobotState {
    let mut state = RobotState::zero(12, 4);
    state.joint_position_rad.fill(joint_rad);
    state.position_world.x = x_m;
    state
}

#[test]
fn the_ideal_robot_measures_the_truth() {
    let mut sensors = sensors(|_| ());
    let rays = RaySpec::default();
    for step in 0..5 {
        let time_s = 0.02 * step as f32;
        let truth = state(0.1 * time_s, time_s);
        let mut measured = truth.clone();
        sensors.measure(time_s, &mut measured);
        assert_eq!(measured, truth);
        let mut scan = RayScan::clear(&rays);
        scan.distance_m[3] = 1.0 + time_s;
        let taken = scan.clone();
        sensors.scan(time_s, &measured, &mut scan);
        assert_eq!(scan, taken);
    }
    let mut dynamics = Dynamics::nominal(&go1());
    RealityConfig::default().change_dynamics(&go1(), &mut dynamics, 0.005, 7);
    assert_eq!(dynamics, Dynamics::nominal(&go1()));
}

#[test]
fn joints_are_measured_late_and_with_their_bias() {
    let mut sensors = sensors(|c| {
        c.proprioception_delay_ms = [5.0, 5.0];
        c.joint_bias_rad = [0.03, 0.03];
    });
    let mut measured = state(1.0, 0.0);
    sensors.measure(0.0, &mut measured);
    assert!((measured.joint_position_rad[4] - 1.03).abs() < 1e-6);
    // From 1 to 2 rad within 20 ms: 5 ms ago it was at 1.75.
    let mut measured = state(2.0, 0.0);
    sensors.measure(0.02, &mut measured);
    assert!((measured.joint_position_rad[4] - 1.78).abs() < 1e-5);
    // A motor that is told 1 rad goes to 0.97: there it measures 1.
    let mut target_rad: JointVec = [1.0; 12].into_iter().collect();
    sensors.command(&mut target_rad);
    assert!((target_rad[4] - 0.97).abs() < 1e-6);
}

#[test]
fn a_tilted_imu_feels_gravity_aside_and_a_drifting_pose_errs_with_the_path() {
    let mut sensors = sensors(|c| {
        c.imu_tilt_rad = [0.1, 0.1];
        c.odometry_drift = [0.05, 0.05];
    });
    let mut measured = state(0.0, 0.0);
    sensors.measure(0.0, &mut measured);
    let gravity = measured.projected_gravity_base();
    assert!(
        (gravity.x - 0.1).abs() < 2e-3 && (gravity.y + 0.1).abs() < 2e-3,
        "{gravity}"
    );
    assert_eq!(measured.position_world, Point3::origin());
    for step in 1..=100 {
        measured = state(0.0, 0.04 * step as f32);
        sensors.measure(0.02 * step as f32, &mut measured);
    }
    // 4 m of path.
    let error_m = (measured.position_world.xy() - nalgebra::Point2::new(4.0, 0.0)).norm();
    assert!((error_m - 0.2).abs() < 1e-3, "{error_m}");
}

#[test]
fn scans_are_as_old_as_their_latency_and_as_rare_as_their_rate() {
    let rays = RaySpec::default();
    let mut sensors = sensors(|c| {
        c.ray_latency_ms = [40.0, 40.0];
        c.ray_rate_hz = [25.0, 25.0];
    });
    let mut seen_m = Vec::new();
    for step in 0..8 {
        // The distance tells the step in which it was measured.
        let mut scan = RayScan::clear(&rays);
        scan.distance_m[0] = 1.0 + step as f32 * 0.1;
        sensors.scan(0.02 * step as f32, &state(0.0, 0.0), &mut scan);
        seen_m.push((10.0 * scan.distance_m[0]).round() as i32 - 10);
    }
    // Every second step is measured, and arrives two steps later.
    assert_eq!(seen_m, [0, 0, 0, 0, 2, 2, 4, 4]);
}

#[test]
fn between_two_scans_a_wall_comes_nearer_as_the_robot_does() {
    let rays = RaySpec::default();
    let mut sensors = sensors(|c| c.ray_rate_hz = [10.0, 10.0]);
    for step in 0..20 {
        let (time_s, x_m) = (0.02 * step as f32, 0.04 * step as f32);
        let wall_m = 3.0 - x_m;
        let mut scan = RayScan {
            distance_m: rays.directions().map(|ray| wall_m / ray.x).collect(),
        };
        sensors.scan(time_s, &state(0.0, x_m), &mut scan);
        let error_m = (scan.distance_m[5] - wall_m).abs();
        assert!(error_m < 1e-3, "step {step}: {scan:?}");
    }
}

#[test]
fn lost_rays_read_as_free() {
    let rays = RaySpec::default();
    let mut sensors = sensors(|c| c.lost_ray_fraction = [0.25, 0.25]);
    let mut lost = 0;
    for step in 0..1000 {
        let mut scan = RayScan::clear(&rays);
        scan.distance_m.fill(1.0);
        sensors.scan(0.02 * step as f32, &state(0.0, 0.0), &mut scan);
        lost += scan.distance_m.iter().filter(|d| **d == rays.max_m).count();
    }
    // 11,000 rays; one standard deviation is 45.
    assert!((2550..2950).contains(&lost), "{lost}");
}

#[test]
fn the_physics_are_drawn_from_their_ranges() {
    let mut config = RealityConfig::load("field").unwrap();
    config.target_delay_ms = [12.0, 12.0];
    let mut frictions = Vec::new();
    for seed in 0..200 {
        let mut dynamics = Dynamics::nominal(&go1());
        config.change_dynamics(&go1(), &mut dynamics, 0.005, seed);
        assert_eq!(dynamics.actuation_delay_steps, 2);
        assert!((-1.5..=5.0).contains(&dynamics.added_base_mass_kg));
        frictions.push(dynamics.friction / 0.8);
    }
    let low = frictions.iter().copied().fold(f32::MAX, f32::min);
    let high = frictions.iter().copied().fold(0.0, f32::max);
    assert!(
        (0.5..0.52).contains(&low) && (1.13..=1.151).contains(&high),
        "{low} {high}"
    );
}

#[test]
fn an_estimate_of_the_position_arrives_late() {
    let mut reality = sensors(|c| {
        c.odometry_rate_hz = [10.0, 10.0];
        c.odometry_latency_ms = [60.0, 60.0];
    });
    let mut seen = Vec::new();
    for step in 0..20 {
        let time_s = 0.02 * step as f32;
        let mut measured = state(0.0, time_s);
        reality.measure(time_s, &mut measured);
        seen.push((100.0 * measured.position_world.x).round());
    }
    // Taken every 100 ms, shown 60 ms later; the first stands for those before it.
    let expected = [0.0; 8]
        .into_iter()
        .chain([10.0; 5])
        .chain([20.0; 5])
        .chain([30.0; 2]);
    assert_eq!(seen, expected.collect::<Vec<_>>());
}

#[test]
fn blows_fall_as_often_and_as_hard_as_they_should() {
    let mut reality = sensors(|c| {
        c.push_mps = [0.5, 1.0];
        c.push_interval_s = [2.0, 4.0];
    });
    let mut blows = Vec::new();
    for step in 0..15_000 {
        let time_s = 0.02 * step as f32;
        blows.extend(reality.push(time_s).map(|push| (time_s, push)));
    }
    // One in 3 s on average, over 300 s.
    assert!((90..=110).contains(&blows.len()), "{}", blows.len());
    for pair in blows.windows(2) {
        let gap_s = pair[1].0 - pair[0].0;
        assert!((1.97..4.03).contains(&gap_s), "{gap_s}");
    }
    let mean: Vector3<f32> = blows.iter().map(|(_, push)| push).sum::<Vector3<f32>>() / 100.0;
    assert!(mean.norm() < 0.25, "from all sides: {mean}");
    for (_, push) in &blows {
        assert!(
            (0.5..=1.0).contains(&push.norm()) && push.z == 0.0,
            "{push}"
        );
    }
    let mut ideal = sensors(|_| ());
    assert!((0..1000).all(|step| ideal.push(0.02 * step as f32).is_none()));
}

#[test]
fn robots_differ_from_episode_to_episode_within_the_ranges() {
    let robot = go1();
    let field = RealityConfig::load("field").unwrap();
    let draw = |seed| {
        let mut dynamics = Dynamics::nominal(&robot);
        field.change_dynamics(&robot, &mut dynamics, 0.005, seed);
        dynamics
    };
    assert_eq!(draw(3), draw(3));
    assert_ne!(draw(3).variation, draw(4).variation);
    for seed in 0..50 {
        let dynamics = draw(seed);
        let variation = dynamics.variation.unwrap();
        let strengths = &variation.strength;
        assert!(strengths.iter().all(|s| (0.85..=1.15).contains(s)));
        let [first, second] = [strengths[0], strengths[1]];
        assert_ne!(first, second, "each motor is another");
        assert!(variation.base_com_offset_m.amax() <= 0.05);
        assert!((0.0..=0.3).contains(&dynamics.restitution));
        assert!(dynamics.contact_softness_s <= 0.02);
        assert!((dynamics.delay_jitter_steps - 0.8).abs() < 1e-5);
    }
}

#[test]
fn delays_are_drawn_anew_within_an_episode() {
    let mut reality = sensors(|c| {
        c.proprioception_delay_ms = [0.0, 20.0];
        c.ray_latency_ms = [0.0, 200.0];
        c.redraw_interval_s = [0.5, 0.5];
    });
    let rays = RaySpec::default();
    let mut ages_s = Vec::new();
    let mut latencies = vec![reality.scans.latency_s()];
    for step in 0..=100 {
        let time_s = 0.02 * step as f32;
        // Joints at 1 rad/s tell when they were measured, and so does a distance.
        let mut measured = state(time_s, 0.0);
        let mut scan = RayScan::clear(&rays);
        scan.distance_m[0] = 1.0 + time_s;
        let is_redrawn = step > 0 && step % 25 == 0;
        reality.measure(time_s, &mut measured);
        reality.scan(time_s, &measured, &mut scan);
        if is_redrawn {
            latencies.push(reality.scans.latency_s());
            ages_s.push(Vec::new());
        }
        if let Some(ages_s) = ages_s.last_mut() {
            ages_s.push(time_s - measured.joint_position_rad[0]);
        }
        let age_s = 1.0 + time_s - scan.distance_m[0];
        let latency_s = reality.scans.latency_s();
        // A scan is as old as it has to be, and by less than a policy step older, once those that came sooner are that old.
        if step % 25 > 10 {
            assert!(
                age_s >= latency_s - 1e-3 && age_s <= latency_s + 0.021,
                "{age_s}"
            );
        }
        assert!((reality.known_delays()[1] - latency_s / 0.1).abs() < 1e-6);
    }
    assert_eq!(ages_s.len(), 4);
    for ages_s in &ages_s {
        let spread = ages_s.iter().map(|age_s| (age_s - ages_s[0]).abs());
        assert!(spread.fold(0.0, f32::max) < 1e-4, "{ages_s:?}");
    }
    let differ = |pair: &[f32]| (pair[0] - pair[1]).abs() > 1e-4;
    assert!(latencies.windows(2).all(differ), "{latencies:?}");
    let first: Vec<_> = ages_s.iter().map(|ages_s| ages_s[0]).collect();
    assert!(first.windows(2).all(differ), "{first:?}");
}
