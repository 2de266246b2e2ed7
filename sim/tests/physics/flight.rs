//! Without contact.

use nalgebra::{Isometry3, Matrix3, Point3, UnitQuaternion, Vector3};
use robots::Robot;
use sim::engine::{EpisodeStart, PhysicsConfig, PhysicsState};

use crate::support::{GRAVITY, Make, Single, assert_close, go1, weightless};

pub fn free_fall(make: Make) {
    let robot = go1();
    let config = PhysicsConfig::default();
    let mut start = EpisodeStart::standing(&robot);
    start.position_world = Point3::new(0.3, -0.2, 3.0);
    start.linear_velocity_world = Vector3::new(1.0, 0.5, 0.0);
    let mut single = Single::new(make, &robot, &config, &start);
    let state = single.run(20, &robot.control.standing_position_rad);
    let time_s = 20.0 * config.policy_step_s();
    assert_close(
        state.linear_velocity_world.z,
        -GRAVITY * time_s,
        2e-3,
        "speed",
    );
    // Semi-implicit Euler is ahead of the parabola by half a step's speed.
    let fall_m = 0.5 * GRAVITY * time_s * (time_s + config.step_s);
    assert_close(state.position_world.z, 3.0 - fall_m, 1e-3, "height");
    assert_close(state.position_world.x, 0.3 + time_s, 1e-3, "x");
    assert_close(state.position_world.y, -0.2 + 0.5 * time_s, 1e-3, "y");
    assert!(state.angular_velocity_world.norm() < 1e-3);
    assert_eq!(state.base_force_n, 0.0);
    assert!(
        state
            .foot_force_world
            .iter()
            .all(|force| *force == Vector3::zeros())
    );
}

pub fn what_is_set_is_read(make: Make) {
    let robot = go1();
    let mut start = EpisodeStart::standing(&robot);
    start.position_world = Point3::new(1.0, -2.0, 3.0);
    start.orientation = UnitQuaternion::from_euler_angles(0.3, -0.4, 2.0);
    start.linear_velocity_world = Vector3::new(1.0, 2.0, 3.0);
    start.angular_velocity_world = Vector3::new(-3.0, 2.0, 1.0);
    for (i, velocity) in start.joint_velocity_radps.iter_mut().enumerate() {
        *velocity = i as f32;
    }
    let single = Single::new(make, &robot, &weightless(), &start);
    let state = &single.state;
    assert!((state.position_world - start.position_world).norm() < 1e-5);
    assert!(state.orientation.angle_to(&start.orientation) < 1e-3);
    assert!((state.linear_velocity_world - start.linear_velocity_world).norm() < 1e-4);
    assert!((state.angular_velocity_world - start.angular_velocity_world).norm() < 1e-4);
    for i in 0..12 {
        assert_close(
            state.joint_position_rad[i],
            start.joint_position_rad[i],
            1e-6,
            "joint",
        );
        assert_close(
            state.joint_velocity_radps[i],
            i as f32,
            1e-5,
            "joint velocity",
        );
    }
}

/// A torque-free robot that tumbles and moves its legs keeps its momentum and its angular momentum.
pub fn momentum_is_kept_in_flight(make: Make, tolerance: f64) {
    let robot = go1();
    let config = weightless();
    let mut start = EpisodeStart::standing(&robot);
    start.position_world.z = 5.0;
    start.linear_velocity_world = Vector3::new(0.5, 0.0, 0.2);
    start.angular_velocity_world = Vector3::new(2.0, 3.0, -1.0);
    let mut single = Single::new(make, &robot, &config, &start);
    let (momentum, angular) = momenta(&robot, &single.state);
    let mut target = robot.control.standing_position_rad.clone();
    for (i, target) in target.iter_mut().enumerate() {
        *target += if i % 2 == 0 { 0.4 } else { -0.3 };
    }
    for _ in 0..25 {
        single.step(&target);
        let (momentum_now, angular_now) = momenta(&robot, &single.state);
        let drift = (momentum_now - momentum).norm() / momentum.norm();
        assert!(drift < tolerance, "momentum drifted by {drift}");
        let drift = (angular_now - angular).norm() / angular.norm();
        assert!(drift < tolerance, "angular momentum drifted by {drift}");
    }
}

/// Momentum, and angular momentum about the centre of mass, in the world frame.
pub fn momenta(robot: &Robot, state: &PhysicsState) -> (Vector3<f64>, Vector3<f64>) {
    let base = Isometry3::from_parts(state.position_world.into(), state.orientation).cast::<f64>();
    let mut links = vec![(
        &robot.base.link,
        base,
        state.linear_velocity_world.cast::<f64>(),
        state.angular_velocity_world.cast::<f64>(),
    )];
    let mut joint_index = 0;
    for leg in &robot.legs {
        let (_, mut pose, mut velocity, mut angular) = links[0];
        for joint in &leg.joints {
            let position = f64::from(state.joint_position_rad[joint_index]);
            let speed = f64::from(state.joint_velocity_radps[joint_index]);
            let axis = nalgebra::Unit::new_normalize(joint.axis.into_inner().cast::<f64>());
            let turn = UnitQuaternion::from_axis_angle(&axis, position);
            let child = pose * joint.origin.cast::<f64>() * turn;
            velocity += angular.cross(&(child.translation.vector - pose.translation.vector));
            angular += child.rotation * axis.into_inner() * speed;
            pose = child;
            links.push((&joint.link, pose, velocity, angular));
            joint_index += 1;
        }
    }
    let moved: Vec<_> = links
        .into_iter()
        .map(|(link, pose, velocity, angular)| {
            let com = pose * link.com.cast::<f64>();
            let velocity = velocity + angular.cross(&(com.coords - pose.translation.vector));
            let rotation: Matrix3<f64> = pose.rotation.to_rotation_matrix().into_inner();
            let inertia = rotation * link.inertia_kgm2.cast::<f64>() * rotation.transpose();
            (f64::from(link.mass_kg), com, velocity, inertia * angular)
        })
        .collect();
    let mass: f64 = moved.iter().map(|(mass, ..)| mass).sum();
    let centre = moved
        .iter()
        .map(|(mass, com, ..)| *mass * com.coords)
        .sum::<Vector3<f64>>()
        / mass;
    let momentum = moved
        .iter()
        .map(|(mass, _, velocity, _)| *mass * velocity)
        .sum();
    let angular = moved
        .iter()
        .map(|(mass, com, velocity, spin)| (com.coords - centre).cross(&(*mass * velocity)) + spin)
        .sum();
    (momentum, angular)
}
