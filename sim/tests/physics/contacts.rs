//! Contact with the ground and with obstacles.

use std::sync::Arc;

use nalgebra::{Point3, UnitQuaternion, Vector3};
use rand::RngExt;
use robots::{ContactClass, Robot};
use sim::{
    engine::{EpisodeStart, PhysicsConfig, PhysicsState},
    scene::{HeightField, Obstacle, ObstacleShape, Terrain, TerrainConfig, TerrainLibrary},
};

use crate::{
    flight::momenta,
    support::{GRAVITY, Make, Single, assert_close, every_step, go1, hinge},
};

fn standing(make: Make, robot: &Robot, start: &EpisodeStart) -> Single {
    let mut single = Single::new(make, robot, &PhysicsConfig::default(), start);
    single.run(100, &robot.control.standing_position_rad);
    single
}

pub fn standing_forces_sum_to_the_weight(make: Make) {
    let robot = go1();
    let mut start = EpisodeStart::standing(&robot);
    for added_kg in [0.0, 1.5, -1.5] {
        start.dynamics.added_base_mass_kg = added_kg;
        let single = standing(make, &robot, &start);
        let weight_n = (robot.mass_kg() + added_kg) * GRAVITY;
        let force = single.total_foot_force();
        assert_close(force.z, weight_n, 0.005 * weight_n, "vertical force");
        assert!(
            force.xy().norm() < 0.01 * weight_n,
            "horizontal force {force:?}"
        );
        let state = &single.state;
        assert!(
            state
                .foot_force_world
                .iter()
                .all(|foot| foot.z > 0.1 * weight_n)
        );
        assert!(state.linear_velocity_world.norm() < 0.01);
        let height_m = state.position_world.z;
        let sag_m = robot.control.standing_height_m - height_m;
        assert!((0.0..0.06).contains(&sag_m), "stands {height_m} m high");
        assert_eq!(state.base_force_n, 0.0);
        assert!(state.foot_horizontal_excess_n < 0.0);
    }
}

/// A box of two tonnes on a slope holds below the friction angle and slides above it.
pub fn sliding_begins_at_the_friction_angle(make: Make) {
    let robot = hinge().robot;
    let mut start = hinge().start();
    start.dynamics.friction = 0.5;
    let slide = |slope: f32| {
        let angle = slope.atan();
        let config = PhysicsConfig {
            gravity_mps2: GRAVITY * Vector3::new(angle.sin(), 0.0, -angle.cos()),
            ..PhysicsConfig::default()
        };
        let mut single = Single::new(make, &robot, &config, &start);
        let x_m = single.run(25, &[0.0; 12]).position_world.x;
        let early = single.state.linear_velocity_world;
        let state = single.run(25, &[0.0; 12]);
        let acceleration = (state.linear_velocity_world - early) / 0.5;
        // Friction follows the normal force, with which soft contacts make a fast box hop.
        let normal = GRAVITY * angle.cos() + acceleration.z;
        let expected = GRAVITY * angle.sin() - 0.5 * normal;
        (state.position_world.x - x_m, acceleration.x, expected)
    };
    let (creep_m, ..) = slide(0.48);
    assert!(
        creep_m.abs() < 2e-3,
        "creeps {creep_m} m in 0.5 s below the friction angle"
    );
    let (_, acceleration, expected) = slide(0.52);
    assert_close(
        acceleration,
        expected,
        0.3 * expected,
        "acceleration just above",
    );
    let (_, acceleration, expected) = slide(0.8);
    assert_close(
        acceleration,
        expected,
        0.03 * expected,
        "acceleration far above",
    );
}

/// A robot lands sliding: gravity and the forces on its feet, friction included, are what changes its momentum.
pub fn foot_forces_account_for_the_momentum(make: Make) {
    let robot = go1();
    let config = every_step(PhysicsConfig::default());
    let mut start = EpisodeStart::standing(&robot);
    start.position_world.z += 0.05;
    start.linear_velocity_world = Vector3::new(1.5, -0.7, 0.0);
    let mut single = Single::new(make, &robot, &config, &start);
    let before = momenta(&robot, &single.state).0;
    let weight = f64::from(robot.mass_kg()) * config.gravity_mps2.cast::<f64>();
    let mut impulse = Vector3::zeros();
    for step in 0..80 {
        single.step(&robot.control.standing_position_rad);
        let force = single.total_foot_force().cast::<f64>() + weight;
        impulse += f64::from(config.step_s) * force;
        let missing = momenta(&robot, &single.state).0 - before - impulse;
        assert!(
            missing.norm() < 0.02 * before.norm(),
            "step {step}: {missing:?} of {before:?} is not accounted for"
        );
    }
    let braked = impulse.xy().norm() / before.xy().norm();
    assert!(braked > 0.3, "friction took {braked} of the momentum");
}

pub fn friction_stays_in_its_cone(make: Make) {
    let robot = go1();
    for friction in [0.4, 1.0] {
        let mut start = EpisodeStart::standing(&robot);
        start.dynamics.friction = friction;
        start.linear_velocity_world = Vector3::new(2.0, 1.0, 0.0);
        start.angular_velocity_world.z = 2.0;
        let mut single = Single::new(make, &robot, &PhysicsConfig::default(), &start);
        let mut most = 0.0_f32;
        for _ in 0..100 {
            for force in &single
                .step(&robot.control.standing_position_rad)
                .foot_force_world
            {
                let horizontal = force.xy().norm();
                assert!(horizontal <= 1.001 * friction * force.z + 0.01, "{force:?}");
                if force.z > 5.0 {
                    most = most.max(horizontal / force.z);
                }
            }
        }
        assert!(
            most > 0.9 * friction,
            "the feet slid, yet friction was at most {most}"
        );
    }
}

pub fn a_base_on_the_ground_has_contact(make: Make) {
    let robot = go1();
    let mut start = EpisodeStart::standing(&robot);
    // On its back, legs in the air.
    start.orientation = UnitQuaternion::from_euler_angles(std::f32::consts::PI, 0.0, 0.0);
    start.position_world.z = 0.15;
    let mut single = Single::new(make, &robot, &PhysicsConfig::default(), &start);
    let mut most = 0.0_f32;
    for _ in 0..50 {
        most = most.max(
            single
                .step(&robot.control.standing_position_rad)
                .base_force_n,
        );
    }
    let weight_n = robot.mass_kg() * GRAVITY;
    assert!(most > weight_n, "the impact exceeds the weight: {most} N");
    assert_close(
        single.state.base_force_n,
        weight_n,
        0.05 * weight_n,
        "base force at rest",
    );
    assert!(single.state.thigh_force_n.iter().all(|&force| force == 0.0));
}

/// A bar against a thigh, at the height of the thigh, from the left.
pub fn a_thigh_against_a_bar_has_contact(make: Make) {
    let robot = go1();
    let mut start = EpisodeStart::standing(&robot);
    let calm = standing(make, &robot, &start);
    assert_eq!(calm.state.thigh_force_n[0], 0.0);
    start.obstacles.push(Obstacle {
        shape: ObstacleShape::Box {
            half_extents_m: Vector3::new(0.03, 0.03, 0.03),
        },
        position_world: Point3::new(0.10, 0.25, 0.21),
        orientation: UnitQuaternion::identity(),
        velocity_world: Vector3::new(0.0, -0.2, 0.0),
    });
    let mut single = Single::new(make, &robot, &PhysicsConfig::default(), &start);
    let mut most = [0.0_f32; 4];
    for _ in 0..30 {
        let state = single.step(&robot.control.standing_position_rad);
        for (most, force) in most.iter_mut().zip(&state.thigh_force_n) {
            *most = most.max(*force);
        }
        assert_eq!(state.calf_force_n[0], 0.0);
    }
    assert!(most[0] > 1.0, "thigh forces {most:?}");
    assert_eq!(most[1..], [0.0; 3]);
    // It pushes the robot to the right.
    assert!(single.state.position_world.y < calm.state.position_world.y - 0.005);
}

/// A robot that runs into a cylinder touches it with some leg or the trunk, and does not get through.
pub fn a_cylinder_stops_the_robot(make: Make) {
    let robot = go1();
    let mut start = EpisodeStart::standing(&robot);
    start.linear_velocity_world.x = 3.0;
    start.dynamics.friction = 0.4;
    start
        .obstacles
        .push(Obstacle::cylinder(1.0, 0.05, 0.4, 1.0));
    let mut single = Single::new(make, &robot, &PhysicsConfig::default(), &start);
    let mut touched_n = 0.0_f32;
    for _ in 0..50 {
        let state = single.step(&robot.control.standing_position_rad);
        let legs = state.thigh_force_n.iter().chain(&state.calf_force_n);
        touched_n = legs.fold(touched_n.max(state.base_force_n), |a, &b| a.max(b));
        let to_axis_m = (state.position_world.xy() - Point3::new(1.0, 0.05, 0.0).xy()).norm();
        assert!(
            to_axis_m > 0.4 + 0.05,
            "the base centre is {to_axis_m} m from the axis"
        );
    }
    assert!(touched_n > 20.0, "touched with {touched_n} N");
}

/// A moving cylinder pushes a standing robot along.
pub fn a_moving_cylinder_pushes(make: Make) {
    let robot = go1();
    let mut start = EpisodeStart::standing(&robot);
    let mut cylinder = Obstacle::cylinder(0.9, 0.0, 0.4, 1.0);
    cylinder.velocity_world.x = -0.8;
    start.obstacles.push(cylinder);
    let mut single = Single::new(make, &robot, &PhysicsConfig::default(), &start);
    single.run(50, &robot.control.standing_position_rad);
    // Its surface is at -0.3 m now: without it the robot would stand where it stood.
    assert!(
        single.state.position_world.x < -0.4,
        "{}",
        single.state.position_world.x
    );
}

/// Robots in fast motion among obstacles, with targets all over the joints' range. No foot may sink in deeper.
pub fn tumbling_robots_stay_sound(make: Make, deepest_foot_m: f32) {
    let robot = go1();
    let library = TerrainLibrary::new(&TerrainConfig::default(), 10, 2);
    let mut stream = sim::random::stream(8, 0);
    let mut draw = |half: f32| half * (2.0 * stream.random::<f32>() - 1.0);
    let count = 12;
    let mut engine = make(&robot, &PhysicsConfig::default(), count);
    let mut terrains = Vec::new();
    for index in 0..count {
        let mut start = EpisodeStart::standing(&robot);
        let tile = library.draw(9, &mut sim::random::stream(9, index as u64));
        start.terrain = library.terrain(tile).clone();
        start.position_world = Point3::new(draw(3.0), draw(3.0), 1.0);
        start.linear_velocity_world = Vector3::new(draw(4.0), draw(4.0), draw(3.0));
        start.angular_velocity_world = Vector3::new(draw(10.0), draw(10.0), draw(10.0));
        start.obstacles = (0..8)
            .map(|_| Obstacle::cylinder(draw(4.0), draw(4.0), 0.2, 0.6))
            .collect();
        engine.reset(index, &start).expect("scene");
        terrains.push(start.terrain);
    }
    let mut state = PhysicsState::zero(&robot);
    let mut deepest_m = 0.0_f32;
    for step in 0..300 {
        let standing = &robot.control.standing_position_rad;
        let calm = step >= 200;
        let targets: Vec<f32> = (0..count)
            .flat_map(|_| standing)
            .map(|position| position + draw(if calm { 0.0 } else { 1.0 }))
            .collect();
        engine.step(&targets);
        for (index, terrain) in terrains.iter().enumerate() {
            engine.read(index, &mut state);
            assert!(state.is_finite(), "robot {index}, step {step}");
            assert!(state.linear_velocity_world.norm() < 15.0);
            let base =
                nalgebra::Isometry3::from_parts(state.position_world.into(), state.orientation);
            for foot in robot.foot_positions_base(&state.joint_position_rad) {
                let foot = base * foot;
                deepest_m = deepest_m.max(terrain.height_m(foot.x, foot.y) + 0.02 - foot.z);
            }
            if step == 299 {
                let speed = state.linear_velocity_world.norm();
                assert!(speed < 0.3, "robot {index} still moves at {speed} m/s");
            }
        }
    }
    assert!(
        deepest_m < deepest_foot_m,
        "a foot sank in by {deepest_m} m"
    );
}

fn terrain_of(height_m: impl Fn(f32, f32) -> f32) -> Arc<Terrain> {
    let (points, cell_m) = (41, 0.1);
    let origin = -2.0;
    let mut heights_m = Vec::new();
    for ix in 0..points {
        for iy in 0..points {
            heights_m.push(height_m(
                origin + ix as f32 * cell_m,
                origin + iy as f32 * cell_m,
            ));
        }
    }
    Arc::new(Terrain::HeightField(HeightField {
        origin_m: [origin, origin],
        cell_m,
        points_x: points,
        points_y: points,
        heights_m,
    }))
}

pub fn a_height_field_carries_the_robot(make: Make) {
    let robot = go1();
    let on_flat = standing(make, &robot, &EpisodeStart::standing(&robot));
    let weight_n = robot.mass_kg() * GRAVITY;

    // A plateau of 5 cm.
    let mut start = EpisodeStart::standing(&robot);
    start.terrain = terrain_of(|_, _| 0.05);
    start.position_world.z += 0.06;
    let single = standing(make, &robot, &start);
    let rise_m = single.state.position_world.z - on_flat.state.position_world.z;
    assert_close(rise_m, 0.05, 2e-3, "rise on a plateau");
    assert_close(
        single.total_foot_force().z,
        weight_n,
        0.005 * weight_n,
        "weight",
    );

    // A slope of 10% along y only, then along x only: a swapped axis would show.
    for (slope_x, slope_y) in [(0.0, 0.1), (0.1, 0.0)] {
        start.terrain = terrain_of(|x, y| slope_x * x + slope_y * y);
        start.position_world.z = robot.control.standing_height_m + 0.05;
        // With its own stiffness the robot leans downhill.
        let mut robot = robot.clone();
        robot.control.stiffness.fill(300.0);
        robot.control.damping.fill(6.0);
        let single = standing(make, &robot, &start);
        let up = single.state.orientation * Vector3::z();
        assert_close(up.x, -slope_x, 0.03, "tilt along x");
        assert_close(up.y, -slope_y, 0.03, "tilt along y");
        assert_close(
            single.total_foot_force().z,
            weight_n,
            0.01 * weight_n,
            "weight",
        );
    }
}

/// Feet that come down at 4 m/s, 2 cm per physics step, do not pass a height field.
pub fn a_height_field_stops_a_fall(make: Make) {
    let robot = go1();
    let mut start = EpisodeStart::standing(&robot);
    start.terrain = terrain_of(|x, y| 0.03 * ((3.0 * x).sin() * (4.0 * y).cos() + 1.0));
    start.position_world.z += 0.5;
    start.linear_velocity_world.z = -2.5;
    let mut single = Single::new(make, &robot, &PhysicsConfig::default(), &start);
    for _ in 0..100 {
        let state = single.step(&robot.control.standing_position_rad);
        let base = nalgebra::Isometry3::from_parts(state.position_world.into(), state.orientation);
        for foot in robot.foot_positions_base(&state.joint_position_rad) {
            let foot = base * foot;
            let depth_m = start.terrain.height_m(foot.x, foot.y) - foot.z;
            assert!(
                depth_m < 0.01,
                "a foot's centre is {depth_m} m under the ground"
            );
        }
    }
    assert!(single.state.linear_velocity_world.norm() < 0.05);
}

pub fn a_robot_walks_off_a_height_field_onto_flat_ground(make: Make) {
    let robot = go1();
    let mut start = EpisodeStart::standing(&robot);
    start.terrain = terrain_of(|x, y| {
        if x.abs().max(y.abs()) < 1.0 {
            0.02
        } else {
            0.0
        }
    });
    start.position_world = Point3::new(10.0, -7.0, robot.control.standing_height_m);
    let single = standing(make, &robot, &start);
    let on_flat = standing(make, &robot, &EpisodeStart::standing(&robot));
    let sunk_m = on_flat.state.position_world.z - single.state.position_world.z;
    assert_close(sunk_m, 0.0, 2e-3, "height beyond the grid");
}

/// go1, exactly symmetric, on a symmetric scene: mirrored inputs give mirrored motion.
pub fn mirrored_inputs_give_mirrored_motion(make: Make) {
    let mut robot = go1();
    robot.base.link.com.y = 0.0;
    assert!(robot.legs.iter().all(|leg| leg.joints.len() == 3));
    // FL, FR, RL, RR: left and right change places, hips change their sign.
    let mirrored = |values: &[f32]| -> Vec<f32> {
        [3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8]
            .iter()
            .map(|&from| {
                if from % 3 == 0 {
                    -values[from]
                } else {
                    values[from]
                }
            })
            .collect()
    };
    let target: Vec<f32> = robot
        .control
        .standing_position_rad
        .iter()
        .enumerate()
        .map(|(i, position)| position + 0.15 * (i as f32).sin())
        .collect();
    let mut start = EpisodeStart::standing(&robot);
    start.linear_velocity_world = Vector3::new(0.5, 0.4, 0.0);
    start.angular_velocity_world = Vector3::new(0.6, -0.3, 0.5);
    let mut left = Single::new(make, &robot, &PhysicsConfig::default(), &start);
    start.linear_velocity_world.y *= -1.0;
    start.angular_velocity_world.x *= -1.0;
    start.angular_velocity_world.z *= -1.0;
    let mut right = Single::new(make, &robot, &PhysicsConfig::default(), &start);
    for _ in 0..15 {
        let a = left.step(&target);
        let b = right.step(&mirrored(&target));
        assert_close(a.position_world.x, b.position_world.x, 5e-3, "x");
        assert_close(a.position_world.y, -b.position_world.y, 5e-3, "y");
        assert_close(a.position_world.z, b.position_world.z, 5e-3, "z");
        for (a, b) in a
            .joint_position_rad
            .iter()
            .zip(mirrored(&b.joint_position_rad))
        {
            assert_close(*a, b, 0.02, "joint position");
        }
    }
    let (roll, _, yaw) = left.state.orientation.euler_angles();
    assert!(
        roll.abs() > 0.02 && yaw.abs() > 0.02,
        "it did move sideways: {roll} {yaw}"
    );
}

pub fn feet_have_no_other_class(make: Make) {
    // The robots of these tests are what they are taken for.
    let robot = go1();
    let feet = robot.joints().flat_map(|joint| &joint.link.shapes);
    assert_eq!(
        feet.filter(|shape| shape.class == ContactClass::Foot)
            .count(),
        4
    );
    let single = standing(make, &robot, &EpisodeStart::standing(&robot));
    assert!(single.state.calf_force_n.iter().all(|&force| force == 0.0));
}
