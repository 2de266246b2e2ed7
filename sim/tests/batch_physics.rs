//! Physics that has a closed form, and robustness, of the batch engine.

use std::sync::Arc;

use nalgebra::{Point3, UnitQuaternion, Vector3};
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use robots::{JointVec, Robot};
use sim::{
    engine::{BatchEngine, Engine, EngineError, EpisodeStart, PhysicsConfig, PhysicsState},
    scene::{HeightField, Obstacle, ObstacleShape, Terrain},
};

fn go1() -> Robot {
    Robot::load("go1").expect("go1")
}

fn engine(robot: &Robot, config: &PhysicsConfig, starts: &[EpisodeStart]) -> BatchEngine {
    let mut engine = BatchEngine::new(robot, config, starts.len()).expect("engine");
    for (index, start) in starts.iter().enumerate() {
        engine.reset(index, start).expect("reset");
    }
    engine
}

fn read(engine: &BatchEngine, robot: &Robot, index: usize) -> PhysicsState {
    let mut state = PhysicsState::zero(robot);
    engine.read(index, &mut state);
    state
}

fn hold(engine: &mut BatchEngine, robot: &Robot, policy_steps: usize) {
    let targets = robot
        .control
        .standing_position_rad
        .repeat(engine.num_robots());
    for _ in 0..policy_steps {
        engine.step(&targets);
    }
}

fn foot_force(state: &PhysicsState) -> Vector3<f32> {
    state.foot_force_world.iter().sum()
}

#[test]
fn free_fall_is_that_of_a_point() {
    let robot = go1();
    let config = PhysicsConfig::default();
    let mut start = EpisodeStart::standing(&robot);
    start.position_world = Point3::new(3.0, -200.0, 20.0);
    let mut engine = engine(&robot, &config, &[start]);
    hold(&mut engine, &robot, 25);
    let state = read(&engine, &robot, 0);
    // 100 semi-implicit steps of 5 ms: v = g t, z = z0 + g t (t + dt) / 2.
    assert!((state.linear_velocity_world.z + 9.81 * 0.5).abs() < 1e-4);
    assert!((state.position_world.z - (20.0 - 9.81 * 0.5 * 0.505 / 2.0)).abs() < 1e-4);
    assert!(state.angular_velocity_world.norm() < 1e-4);
    assert!((state.position_world.xy() - nalgebra::Point2::new(3.0, -200.0)).norm() < 1e-4);
}

#[test]
fn standing_feet_carry_the_weight() {
    for name in ["go1", "go2"] {
        let robot = Robot::load(name).expect("robot");
        let config = PhysicsConfig::default();
        let mut heavy = EpisodeStart::standing(&robot);
        heavy.dynamics.added_base_mass_kg = 1.5;
        let starts = [EpisodeStart::standing(&robot), heavy];
        let mut engine = engine(&robot, &config, &starts);
        hold(&mut engine, &robot, 200);
        for (index, added_kg) in [0.0, 1.5].into_iter().enumerate() {
            let state = read(&engine, &robot, index);
            let force = foot_force(&state);
            let weight_n = (robot.mass_kg() + added_kg) * 9.81;
            assert!(
                (force.z / weight_n - 1.0).abs() < 1e-3,
                "{name}: {} of {weight_n} N",
                force.z
            );
            assert!(force.xy().norm() < 0.05, "{name}: {force:?}");
            assert!(state.linear_velocity_world.norm() < 2e-3);
            assert_eq!(state.base_force_n, 0.0);
            assert!(
                state
                    .thigh_force_n
                    .iter()
                    .chain(&state.calf_force_n)
                    .all(|&n| n == 0.0)
            );
        }
    }
}

#[test]
fn a_slope_slides_beyond_the_friction_angle_only() {
    // Stiff enough not to topple.
    let mut robot = go1();
    robot.control.stiffness.fill(500.0);
    robot.control.damping.fill(10.0);
    for joint in robot.legs.iter_mut().flat_map(|leg| &mut leg.joints) {
        joint.effort_limit_nm = 500.0;
    }
    // Gravity along a slope of 0.5.
    let slope = 0.5_f32;
    let downhill = Vector3::new(slope, 0.0, -1.0).normalize();
    let config = PhysicsConfig {
        gravity_mps2: downhill * 9.81,
        ..PhysicsConfig::default()
    };
    let starts = [0.45, 0.49, 0.51, 0.6].map(|friction| {
        let mut start = EpisodeStart::standing(&robot);
        start.dynamics.friction = friction;
        start
    });
    let mut engine = engine(&robot, &config, &starts);
    hold(&mut engine, &robot, 40);
    let early: Vec<f32> = (0..4)
        .map(|i| read(&engine, &robot, i).position_world.x)
        .collect();
    hold(&mut engine, &robot, 50);
    for (index, friction) in [0.45_f32, 0.49, 0.51, 0.6].into_iter().enumerate() {
        let state = read(&engine, &robot, index);
        let moved = state.position_world.x - early[index];
        if friction < slope {
            assert!(moved > 0.01, "friction {friction}: moved {moved} m");
        } else {
            assert!(moved.abs() < 0.003, "friction {friction}: moved {moved} m");
        }
        for force in &state.foot_force_world {
            assert!(force.xy().norm() <= 1.0001 * friction * force.z + 1e-4);
        }
    }
}

/// Kinetic energy and angular momentum about the centre of mass, from link poses in `f64`.
fn energy_and_spin(robot: &Robot, state: &PhysicsState) -> (f64, Vector3<f64>) {
    let rotation = state.orientation.cast::<f64>();
    let mut bodies = Vec::new();
    let mut add = |link: &robots::Link,
                   frame: &nalgebra::Isometry3<f64>,
                   v: Vector3<f64>,
                   w: Vector3<f64>| {
        let com = (frame * link.com.cast::<f64>()).coords;
        let r = frame.rotation.to_rotation_matrix();
        let inertia = r * link.inertia_kgm2.cast::<f64>() * r.inverse();
        let velocity = v + w.cross(&(com - frame.translation.vector));
        bodies.push((f64::from(link.mass_kg), com, velocity, inertia, w));
    };
    let base = nalgebra::Isometry3::from_parts(state.position_world.coords.cast().into(), rotation);
    let (v, w) = (
        state.linear_velocity_world.cast::<f64>(),
        state.angular_velocity_world.cast::<f64>(),
    );
    add(&robot.base.link, &base, v, w);
    let mut index = 0;
    for leg in &robot.legs {
        let (mut frame, mut v, mut w) = (base, v, w);
        for joint in &leg.joints {
            let next = frame * joint.origin.cast::<f64>();
            v += w.cross(&(next.translation.vector - frame.translation.vector));
            let axis = nalgebra::Unit::new_normalize(joint.axis.into_inner().cast::<f64>());
            w += next * axis.into_inner() * f64::from(state.joint_velocity_radps[index]);
            frame = next
                * UnitQuaternion::from_axis_angle(
                    &axis,
                    f64::from(state.joint_position_rad[index]),
                );
            add(&joint.link, &frame, v, w);
            index += 1;
        }
    }
    let mass: f64 = bodies.iter().map(|body| body.0).sum();
    let com = bodies
        .iter()
        .map(|body| body.0 * body.1)
        .sum::<Vector3<f64>>()
        / mass;
    let (mut energy, mut spin) = (0.0, Vector3::zeros());
    for (mass, position, velocity, inertia, omega) in &bodies {
        energy += 0.5 * mass * velocity.norm_squared() + 0.5 * omega.dot(&(inertia * omega));
        spin += (position - com).cross(&(*mass * velocity)) + inertia * omega;
    }
    (energy, spin)
}

#[test]
fn flight_keeps_energy_and_spin() {
    let mut robot = go1();
    robot.control.stiffness.fill(0.0);
    robot.control.damping.fill(0.0);
    for joint in robot.legs.iter_mut().flat_map(|leg| &mut leg.joints) {
        (joint.armature_kgm2, joint.damping_nms, joint.friction_nm) = (0.0, 0.0, 0.0);
        (joint.lower_rad, joint.upper_rad) = (-100.0, 100.0);
    }
    let config = |step_s: f32| PhysicsConfig {
        step_s,
        decimation: 1,
        gravity_mps2: Vector3::zeros(),
        ..PhysicsConfig::default()
    };
    let mut start = EpisodeStart::standing(&robot);
    start.position_world.z = 50.0;
    start.angular_velocity_world = Vector3::new(2.0, -3.0, 4.0);
    for (i, speed) in start.joint_velocity_radps.iter_mut().enumerate() {
        *speed = 5.0 * (i as f32 + 1.0).sin();
    }
    let mut drifts = Vec::new();
    for (step_s, steps) in [(0.005, 100), (0.00125, 400)] {
        let mut engine = engine(&robot, &config(step_s), &[start.clone()]);
        let (energy, spin) = energy_and_spin(&robot, &read(&engine, &robot, 0));
        hold(&mut engine, &robot, steps);
        let (late_energy, late_spin) = energy_and_spin(&robot, &read(&engine, &robot, 0));
        drifts.push((
            (late_energy / energy - 1.0).abs(),
            (late_spin - spin).norm() / spin.norm(),
        ));
    }
    println!("energy and spin drift: {drifts:?}");
    assert!(drifts[0].0 < 0.1 && drifts[0].1 < 0.05, "{drifts:?}");
    // First order in the step.
    assert!(
        drifts[1].0 < 0.4 * drifts[0].0 && drifts[1].1 < 0.4 * drifts[0].1,
        "{drifts:?}"
    );
}

fn rough(random: &mut impl Rng) -> Arc<Terrain> {
    let points = 60;
    Arc::new(Terrain::HeightField(HeightField {
        origin_m: [-3.0, -3.0],
        cell_m: 0.1,
        points_x: points,
        points_y: points,
        heights_m: (0..points * points)
            .map(|_| random.random_range(0.0..0.05))
            .collect(),
    }))
}

#[test]
fn tumbling_robots_stay_finite_and_outside() {
    let robot = go1();
    let config = PhysicsConfig::default();
    let mut random = Pcg64Mcg::seed_from_u64(5);
    let rough = rough(&mut random);
    let robots = 1024;
    let starts: Vec<EpisodeStart> = (0..robots)
        .map(|index| {
            let mut uniform = |half: f32| random.random_range(-half..half);
            let mut start = EpisodeStart::standing(&robot);
            start.position_world = Point3::new(uniform(1.0), uniform(1.0), 0.9);
            start.orientation =
                UnitQuaternion::from_euler_angles(uniform(3.0), uniform(1.5), uniform(3.0));
            start.linear_velocity_world = Vector3::new(uniform(4.0), uniform(4.0), uniform(1.0));
            start.angular_velocity_world = Vector3::new(uniform(8.0), uniform(8.0), uniform(8.0));
            for speed in &mut start.joint_velocity_radps {
                *speed = uniform(10.0);
            }
            start.dynamics.friction = 0.8 + uniform(0.4);
            if index % 2 == 1 {
                start.terrain = Arc::clone(&rough);
            }
            for k in 0..6 {
                let at = [
                    (1.6 + uniform(0.1)) * (k as f32).cos(),
                    (1.6 + uniform(0.1)) * (k as f32).sin(),
                ];
                let mut obstacle = Obstacle::cylinder(at[0], at[1], 0.3, 1.0);
                if k % 2 == 1 {
                    obstacle.shape = ObstacleShape::Box {
                        half_extents_m: Vector3::new(0.3, 0.2, 0.4),
                    };
                    obstacle.orientation =
                        UnitQuaternion::from_euler_angles(0.0, 0.0, uniform(3.0));
                    obstacle.position_world.z = 0.4;
                }
                start.obstacles.push(obstacle);
            }
            start
        })
        .collect();
    let mut engine = engine(&robot, &config, &starts);
    let joints = robot.num_joints();
    let mut targets = vec![0.0_f32; robots * joints];
    let mut depths_m = Vec::new();
    for step in 0..500 {
        if step % 5 == 0 {
            for target in &mut targets {
                *target = random.random_range(-1.5..1.5);
            }
        }
        engine.step(&targets);
        if step % 25 != 24 {
            continue;
        }
        for index in 0..robots {
            let state = read(&engine, &robot, index);
            assert!(state.is_finite(), "robot {index} at policy step {step}");
            let (linear, angular) = (
                state.linear_velocity_world.norm(),
                state.angular_velocity_world.norm(),
            );
            assert!(
                linear < 15.0 && angular < 60.0,
                "robot {index}: {linear} m/s, {angular} rad/s"
            );
            if index % 2 == 0 {
                depths_m.push(deepest_m(&robot, &state));
            }
        }
    }
    depths_m.sort_by(f32::total_cmp);
    let quantile = |share: f32| depths_m[(share * (depths_m.len() - 1) as f32) as usize];
    println!(
        "ground depth p50 {} p99.9 {} max {} m",
        quantile(0.5),
        quantile(0.999),
        quantile(1.0)
    );
    assert!(quantile(0.999) < 0.02 && quantile(1.0) < 0.06);
}

/// How deep the lowest foot or base corner is below z = 0, m.
fn deepest_m(robot: &Robot, state: &PhysicsState) -> f32 {
    let base =
        nalgebra::Isometry3::from_parts(state.position_world.coords.into(), state.orientation);
    let mut lowest = f32::INFINITY;
    for shape in &robot.base.link.shapes {
        if let robots::Shape::Box { half_extents: h } = shape.shape {
            for corner in 0..8 {
                let sign = |bit: usize| if corner >> bit & 1 == 0 { -1.0 } else { 1.0 };
                let local = h.component_mul(&Vector3::new(sign(0), sign(1), sign(2)));
                lowest = lowest.min((base * shape.origin * Point3::from(local)).z);
            }
        }
    }
    let mut index = 0;
    for leg in &robot.legs {
        let mut frame = base;
        for joint in &leg.joints {
            frame = frame
                * joint.origin
                * UnitQuaternion::from_axis_angle(&joint.axis, state.joint_position_rad[index]);
            index += 1;
        }
        lowest = lowest.min((frame * leg.foot.position).z - leg.foot.radius);
    }
    -lowest
}

#[test]
fn legs_of_other_lengths_are_refused() {
    let mut robot = go1();
    robot.legs[1].joints.pop();
    let error = BatchEngine::new(&robot, &PhysicsConfig::default(), 1)
        .err()
        .expect("refused");
    assert!(
        matches!(&error, EngineError::UnsupportedRobot { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("`FR` has 2 joints"), "{error}");
}

#[test]
fn unknown_shapes_are_refused_and_leave_the_scene() {
    let robot = go1();
    let mut engine = engine(
        &robot,
        &PhysicsConfig::default(),
        &[EpisodeStart::standing(&robot)],
    );
    hold(&mut engine, &robot, 3);
    let before = read(&engine, &robot, 0);
    let mut start = EpisodeStart::standing(&robot);
    let mut obstacle = Obstacle::cylinder(1.0, 0.0, 0.4, 1.0);
    obstacle.shape = ObstacleShape::Ball { radius_m: 0.2 };
    start.obstacles.push(obstacle);
    let error = engine.reset(0, &start).expect_err("refused");
    assert!(
        matches!(error, EngineError::UnsupportedObstacle(_)),
        "{error}"
    );
    assert_eq!(read(&engine, &robot, 0), before);
}

#[test]
fn joints_rest_at_their_stops() {
    let robot = go1();
    let config = PhysicsConfig {
        gravity_mps2: Vector3::zeros(),
        ..PhysicsConfig::default()
    };
    let mut start = EpisodeStart::standing(&robot);
    start.position_world.z = 5.0;
    let mut engine = engine(&robot, &config, &[start]);
    // Far beyond the stops: all motors push against them.
    let targets: JointVec = robot.joints().map(|joint| joint.upper_rad + 1.0).collect();
    for _ in 0..200 {
        engine.step(&targets);
    }
    let state = read(&engine, &robot, 0);
    for (joint, &position) in robot.joints().zip(&state.joint_position_rad) {
        assert!(
            (position - joint.upper_rad).abs() < 0.05,
            "{}: {position} of {}",
            joint.name,
            joint.upper_rad
        );
    }
}
