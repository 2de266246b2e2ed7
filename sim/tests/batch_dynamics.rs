//! Forward dynamics of the batch engine against an independent dense computation in `f64`: Jacobians of every link in
//! world axes, their time derivative by central differences, Newton-Euler for each link, one dense solve.

use nalgebra::{
    DMatrix, DVector, Isometry3, Matrix3, Rotation3, Translation3, Unit, UnitQuaternion, Vector3,
};
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use robots::{JointVec, Link, Robot};
use sim::engine::{BatchEngine, Engine, EpisodeStart, PhysicsConfig, PhysicsState};

const STEP_S: f32 = 0.01;

/// A link's inertia and Jacobian rows in world axes.
struct LinkTerms {
    mass_kg: f64,
    inertia: Matrix3<f64>,
    linear: DMatrix<f64>,
    angular: DMatrix<f64>,
}

struct Pose {
    base: Isometry3<f64>,
    joints: Vec<f64>,
}

/// Velocities are world linear, world angular, joints.
fn links(robot: &Robot, pose: &Pose) -> Vec<LinkTerms> {
    let dofs = 6 + pose.joints.len();
    let base = pose.base.translation.vector;
    let mut out = vec![terms(&robot.base.link, &pose.base, base, &[], dofs)];
    let mut dof = 6;
    for leg in &robot.legs {
        let mut frame = pose.base;
        let mut hinges = Vec::new();
        for joint in &leg.joints {
            frame *= joint.origin.cast::<f64>();
            let axis = Unit::new_normalize(joint.axis.into_inner().cast::<f64>());
            hinges.push((dof, frame.translation.vector, frame * axis.into_inner()));
            frame *= UnitQuaternion::from_axis_angle(&axis, pose.joints[dof - 6]);
            out.push(terms(&joint.link, &frame, base, &hinges, dofs));
            dof += 1;
        }
    }
    out
}

fn terms(
    link: &Link,
    frame: &Isometry3<f64>,
    base: Vector3<f64>,
    hinges: &[(usize, Vector3<f64>, Vector3<f64>)],
    dofs: usize,
) -> LinkTerms {
    let com = (frame * link.com.cast::<f64>()).coords;
    let rotation = frame.rotation.to_rotation_matrix();
    let mut linear = DMatrix::zeros(3, dofs);
    let mut angular = DMatrix::zeros(3, dofs);
    for axis in 0..3 {
        let unit = Vector3::ith(axis, 1.0);
        linear.set_column(axis, &unit);
        linear.set_column(3 + axis, &unit.cross(&(com - base)));
        angular.set_column(3 + axis, &unit);
    }
    for (dof, origin, axis) in hinges {
        linear.set_column(*dof, &axis.cross(&(com - origin)));
        angular.set_column(*dof, axis);
    }
    LinkTerms {
        mass_kg: f64::from(link.mass_kg),
        inertia: rotation * link.inertia_kgm2.cast::<f64>() * rotation.inverse(),
        linear,
        angular,
    }
}

fn moved(pose: &Pose, velocity: &DVector<f64>, time_s: f64) -> Pose {
    let vector =
        |at: usize| Vector3::new(velocity[at], velocity[at + 1], velocity[at + 2]) * time_s;
    Pose {
        base: Isometry3::from_parts(
            Translation3::from(pose.base.translation.vector + vector(0)),
            UnitQuaternion::from_scaled_axis(vector(3)) * pose.base.rotation,
        ),
        joints: pose
            .joints
            .iter()
            .enumerate()
            .map(|(i, q)| q + velocity[6 + i] * time_s)
            .collect(),
    }
}

fn acceleration(
    robot: &Robot,
    pose: &Pose,
    velocity: &DVector<f64>,
    torque: &[f64],
    gravity: Vector3<f64>,
) -> DVector<f64> {
    let dofs = velocity.len();
    let h = 1e-5;
    let (now, before, after) = (
        links(robot, pose),
        links(robot, &moved(pose, velocity, -h)),
        links(robot, &moved(pose, velocity, h)),
    );
    let mut mass = DMatrix::zeros(dofs, dofs);
    let mut force = DVector::zeros(dofs);
    for ((link, before), after) in now.iter().zip(&before).zip(&after) {
        mass += link.mass_kg * link.linear.transpose() * &link.linear;
        mass += link.angular.transpose() * link.inertia * &link.angular;
        let linear_bias = (&after.linear - &before.linear) / (2.0 * h) * velocity;
        let angular_bias = (&after.angular - &before.angular) / (2.0 * h) * velocity;
        let omega = &link.angular * velocity;
        let omega = Vector3::new(omega[0], omega[1], omega[2]);
        let newton = link.mass_kg * (linear_bias - gravity);
        let euler = link.inertia * angular_bias + omega.cross(&(link.inertia * omega));
        force -= link.linear.transpose() * newton + link.angular.transpose() * euler;
    }
    for (i, joint) in robot.joints().enumerate() {
        mass[(6 + i, 6 + i)] += f64::from(joint.armature_kgm2);
        force[6 + i] += torque[i];
    }
    mass.cholesky()
        .expect("the mass matrix is positive definite")
        .solve(&force)
}

fn uniform(random: &mut impl Rng, half_width: f32) -> f32 {
    random.random_range(-half_width..half_width)
}

fn vector(random: &mut impl Rng, half_width: f32) -> Vector3<f32> {
    Vector3::new(
        uniform(random, half_width),
        uniform(random, half_width),
        uniform(random, half_width),
    )
}

/// Nothing acts in the joints but the torque offset.
fn free_joints(mut robot: Robot) -> Robot {
    robot.control.stiffness.fill(0.0);
    robot.control.damping.fill(0.0);
    for joint in robot.legs.iter_mut().flat_map(|leg| &mut leg.joints) {
        (joint.lower_rad, joint.upper_rad) = (-1e6, 1e6);
        (joint.damping_nms, joint.friction_nm) = (0.0, 0.0);
    }
    robot
}

/// Hinges about any axis, twisted joint frames, full inertia tensors.
fn distorted(mut robot: Robot, random: &mut impl Rng) -> Robot {
    let skew = |link: &mut Link, random: &mut dyn FnMut() -> Vector3<f32>| {
        let turn = Rotation3::from_scaled_axis(random());
        link.inertia_kgm2 = turn * link.inertia_kgm2 * turn.inverse();
    };
    let mut next = || vector(random, 1.0);
    skew(&mut robot.base.link, &mut next);
    for joint in robot.legs.iter_mut().flat_map(|leg| &mut leg.joints) {
        skew(&mut joint.link, &mut next);
        joint.axis = Unit::new_normalize(next());
        joint.origin.rotation = UnitQuaternion::from_scaled_axis(next());
    }
    robot
}

fn worst_error(robot: &Robot, random: &mut impl Rng, states: usize) -> f64 {
    let gravity = Vector3::new(1.0, -2.0, -9.0);
    let config = PhysicsConfig {
        step_s: STEP_S,
        decimation: 1,
        gravity_mps2: gravity,
        ..PhysicsConfig::default()
    };
    let joints = robot.num_joints();
    let mut engine = BatchEngine::new(robot, &config, states).expect("engine");
    let mut expected = Vec::new();
    for index in 0..states {
        let random_joints = |random: &mut _, half_width| -> JointVec {
            (0..joints).map(|_| uniform(random, half_width)).collect()
        };
        let mut start = EpisodeStart::standing(robot);
        start.position_world.z = 100.0;
        start.orientation = UnitQuaternion::from_scaled_axis(vector(random, 2.0));
        start.linear_velocity_world = vector(random, 3.0);
        start.angular_velocity_world = vector(random, 6.0);
        start.joint_position_rad = random_joints(random, 2.5);
        start.joint_velocity_radps = random_joints(random, 10.0);
        start.dynamics.torque_offset_nm = random_joints(random, 20.0);
        engine.reset(index, &start).expect("reset");

        let pose = Pose {
            base: Isometry3::from_parts(
                Translation3::from(start.position_world.coords.cast()),
                start.orientation.cast(),
            ),
            joints: start
                .joint_position_rad
                .iter()
                .map(|&q| f64::from(q))
                .collect(),
        };
        let mut velocity = DVector::zeros(6 + joints);
        for axis in 0..3 {
            velocity[axis] = f64::from(start.linear_velocity_world[axis]);
            velocity[3 + axis] = f64::from(start.angular_velocity_world[axis]);
        }
        for (i, &speed) in start.joint_velocity_radps.iter().enumerate() {
            velocity[6 + i] = f64::from(speed);
        }
        let torque: Vec<f64> = start
            .dynamics
            .torque_offset_nm
            .iter()
            .map(|&t| f64::from(t))
            .collect();
        let acceleration = acceleration(robot, &pose, &velocity, &torque, gravity.cast());
        expected.push(&velocity + acceleration.clone() * f64::from(STEP_S));
        expected.push(acceleration);
    }
    engine.step(&vec![0.0; states * joints]);
    let mut worst = 0.0_f64;
    let mut state = PhysicsState::zero(robot);
    for index in 0..states {
        engine.read(index, &mut state);
        let (velocity, acceleration) = (&expected[2 * index], &expected[2 * index + 1]);
        let found = state
            .linear_velocity_world
            .iter()
            .chain(&state.angular_velocity_world)
            .chain(&state.joint_velocity_radps)
            .map(|&value| f64::from(value));
        let error = found
            .zip(velocity.iter())
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f64::max);
        worst = worst.max(error / (acceleration.amax() * f64::from(STEP_S)));
    }
    worst
}

#[test]
fn forward_dynamics_equal_the_dense_computation() {
    let mut random = Pcg64Mcg::seed_from_u64(1);
    for name in ["go1", "go2"] {
        let robot = free_joints(Robot::load(name).expect("robot"));
        let worst = worst_error(&robot, &mut random, 100);
        assert!(worst < 1e-4, "{name}: relative error {worst:e}");
    }
}

#[test]
fn forward_dynamics_hold_for_any_axes_and_inertia_tensors() {
    let mut random = Pcg64Mcg::seed_from_u64(2);
    for _ in 0..5 {
        let robot = distorted(free_joints(Robot::load("go2").expect("robot")), &mut random);
        let worst = worst_error(&robot, &mut random, 20);
        assert!(worst < 1e-4, "relative error {worst:e}");
    }
}

#[test]
fn legs_may_have_two_or_four_joints() {
    let mut random = Pcg64Mcg::seed_from_u64(3);
    for joints in [2, 4] {
        let mut robot = free_joints(Robot::load("go1").expect("robot"));
        for leg in &mut robot.legs {
            if joints == 2 {
                let hip = leg.joints.remove(0);
                leg.joints[0].origin = hip.origin * leg.joints[0].origin;
            } else {
                let ankle = leg.joints[2].clone();
                leg.joints.push(ankle);
            }
        }
        let total = robot.num_joints();
        let control = &mut robot.control;
        control.standing_position_rad = vec![0.0; total];
        control.stiffness = vec![0.0; total];
        control.damping = vec![0.0; total];
        let worst = worst_error(&robot, &mut random, 20);
        assert!(worst < 1e-4, "{joints} joints: relative error {worst:e}");
    }
}
