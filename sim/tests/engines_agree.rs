//! Short trajectories of the batch engine and of MuJoCo beside those of rapier, the reference: the same starts, the same
//! targets.

use nalgebra::{UnitQuaternion, Vector3};
use robots::Robot;
use sim::{
    engine::{self, EngineKind, EpisodeStart, PhysicsConfig, PhysicsState},
    scene::Obstacle,
};

/// Largest differences over a run.
#[derive(Debug, Default)]
struct Difference {
    position_m: f32,
    tilt_rad: f32,
    joint_rad: f32,
    velocity_mps: f32,
}

/// Tolerances of a [`Difference`].
#[derive(Clone, Copy)]
struct Within {
    position_m: f32,
    tilt_rad: f32,
    joint_rad: f32,
    velocity_mps: f32,
}

/// Runs rapier beside each of `others` and compares it with their states after every policy step.
fn compare(
    case: &str,
    start: &EpisodeStart,
    policy_steps: usize,
    targets: impl Fn(usize, usize) -> f32,
    others: [(EngineKind, Within); 2],
) {
    for (kind, within) in others {
        if kind == EngineKind::Mujoco && !cfg!(feature = "mujoco") {
            continue;
        }
        let worst = difference(kind, start, policy_steps, &targets);
        println!("{case}, {kind}: {worst:?}");
        assert!(
            worst.position_m < within.position_m
                && worst.tilt_rad < within.tilt_rad
                && worst.joint_rad < within.joint_rad
                && worst.velocity_mps < within.velocity_mps,
            "{case}, {kind}: {worst:?}"
        );
    }
}

fn difference(
    kind: EngineKind,
    start: &EpisodeStart,
    policy_steps: usize,
    targets: impl Fn(usize, usize) -> f32,
) -> Difference {
    let robot = Robot::load("go1").expect("go1");
    let config = PhysicsConfig::default();
    let mut engines = [EngineKind::Rapier, kind]
        .map(|kind| engine::build(kind, &robot, &config, 1).expect("engine"));
    let mut states = [PhysicsState::zero(&robot), PhysicsState::zero(&robot)];
    for engine in &mut engines {
        engine.reset(0, start).expect("scene");
    }
    let mut worst = Difference::default();
    for step in 0..policy_steps {
        let target: Vec<f32> = robot
            .control
            .standing_position_rad
            .iter()
            .enumerate()
            .map(|(joint, position)| position + targets(step, joint))
            .collect();
        for (engine, state) in engines.iter_mut().zip(&mut states) {
            engine.step(&target);
            engine.read(0, state);
        }
        let [a, b] = &states;
        let joints = a.joint_position_rad.iter().zip(&b.joint_position_rad);
        let joint_rad = joints.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let position_m = (a.position_world - b.position_world).norm();
        let velocity_mps = (a.linear_velocity_world - b.linear_velocity_world).norm();
        worst.position_m = worst.position_m.max(position_m);
        worst.tilt_rad = worst.tilt_rad.max(a.orientation.angle_to(&b.orientation));
        worst.joint_rad = worst.joint_rad.max(joint_rad);
        worst.velocity_mps = worst.velocity_mps.max(velocity_mps);
    }
    worst
}

fn both(batch: Within, mujoco: Within) -> [(EngineKind, Within); 2] {
    [(EngineKind::Batch, batch), (EngineKind::Mujoco, mujoco)]
}

fn standing() -> EpisodeStart {
    EpisodeStart::standing(&Robot::load("go1").expect("go1"))
}

#[test]
fn legs_swing_alike_in_flight() {
    let mut start = standing();
    start.position_world.z = 3.0;
    start.angular_velocity_world = Vector3::new(1.0, -2.0, 0.5);
    let swing = |step: usize, joint: usize| 0.3 * (step as f32 * 0.4 + joint as f32).sin();
    let within = Within {
        position_m: 0.015,
        tilt_rad: 0.05,
        joint_rad: 0.01,
        velocity_mps: 0.05,
    };
    compare("flight", &start, 25, swing, both(within, within));
}

#[test]
fn a_drop_lands_alike() {
    let mut start = standing();
    start.position_world.z += 0.1;
    start.orientation = UnitQuaternion::from_euler_angles(0.1, -0.05, 0.7);
    let within = Within {
        position_m: 0.01,
        tilt_rad: 0.02,
        joint_rad: 0.03,
        velocity_mps: 0.05,
    };
    compare("drop", &start, 50, |_, _| 0.0, both(within, within));
}

#[test]
fn a_slide_brakes_alike() {
    let mut start = standing();
    start.linear_velocity_world = Vector3::new(1.0, 0.3, 0.0);
    start.dynamics.friction = 0.4;
    let within = Within {
        position_m: 0.025,
        tilt_rad: 0.06,
        joint_rad: 0.1,
        velocity_mps: 0.15,
    };
    compare("slide", &start, 50, |_, _| 0.0, both(within, within));
}

#[test]
fn squats_and_turns_look_alike() {
    let start = standing();
    // Squats, with the hips swaying.
    let squat = |step: usize, joint: usize| {
        let phase = step as f32 * 0.3;
        match joint % 3 {
            0 => 0.1 * phase.sin(),
            1 => 0.15 * (1.0 - phase.cos()),
            _ => -0.3 * (1.0 - phase.cos()),
        }
    };
    let batch = Within {
        position_m: 0.015,
        tilt_rad: 0.05,
        joint_rad: 0.05,
        velocity_mps: 0.2,
    };
    // Feet creep under load.
    let mujoco = Within {
        position_m: 0.03,
        tilt_rad: 0.07,
        joint_rad: 0.09,
        velocity_mps: 0.2,
    };
    compare("squat", &start, 60, squat, both(batch, mujoco));
}

#[test]
fn a_cylinder_stops_both_alike() {
    let mut start = standing();
    start.linear_velocity_world.x = 1.5;
    start.dynamics.friction = 0.4;
    start
        .obstacles
        .push(Obstacle::cylinder(0.9, 0.02, 0.4, 1.0));
    let batch = Within {
        position_m: 0.02,
        tilt_rad: 0.05,
        joint_rad: 0.06,
        velocity_mps: 0.1,
    };
    // The robot dips into the obstacle.
    let mujoco = Within {
        position_m: 0.05,
        tilt_rad: 0.08,
        joint_rad: 0.13,
        velocity_mps: 0.25,
    };
    compare("cylinder", &start, 40, |_, _| 0.0, both(batch, mujoco));
}
