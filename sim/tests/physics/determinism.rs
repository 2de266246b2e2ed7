//! What an episode depends on, and what it does not.

use std::sync::Arc;

use nalgebra::Vector3;
use robots::Robot;
use sim::{
    engine::{Engine, EpisodeStart, PhysicsConfig, PhysicsState, Variation},
    scene::{Obstacle, TerrainConfig, TerrainLibrary},
};

use crate::support::{Make, go1};

/// Different scenes: flat, rough, blocks, cylinders in the way, one of them moving, noise, delay.
fn starts(robot: &Robot, count: usize) -> Vec<EpisodeStart> {
    let library = TerrainLibrary::new(&TerrainConfig::default(), 10, 3);
    let mut stream = sim::random::stream(1, 0);
    (0..count)
        .map(|index| {
            let mut start = EpisodeStart::standing(robot);
            let tile = library.draw(9 * (index % 2), &mut stream);
            start.terrain = library.terrain(tile).clone();
            start.position_world.z += 0.05;
            start.linear_velocity_world = Vector3::new(1.5, 0.1 * index as f32, 0.0);
            let mut moving = Obstacle::cylinder(0.8, -0.7, 0.3, 1.0);
            moving.velocity_world.y = 0.8;
            start.obstacles = vec![Obstacle::cylinder(0.75, 0.0, 0.4, 1.0), moving];
            start.dynamics.noise_seed = index as u64;
            start.dynamics.torque_noise_nm.fill(1.0);
            start.dynamics.actuation_delay_steps = index % 3;
            start.dynamics.added_base_mass_kg = index as f32 * 0.1;
            start.dynamics.delay_jitter_steps = (index % 2) as f32;
            start.dynamics.restitution = 0.1 * (index % 3) as f32;
            start.dynamics.contact_softness_s = 0.01 * (index % 2) as f32;
            if index % 3 == 1 {
                let mut variation = Variation::none(robot);
                variation.link_mass[index % 12] = 1.2;
                variation.strength[index % 12] = 0.8;
                variation.full_effort_until = 0.5;
                start.dynamics.variation = Some(Box::new(variation));
            }
            start
        })
        .collect()
}

fn started(make: Make, robot: &Robot, starts: &[EpisodeStart]) -> Box<dyn Engine> {
    let mut engine = make(robot, &PhysicsConfig::default(), starts.len());
    for (index, start) in starts.iter().enumerate() {
        engine.reset(index, start).expect("scene");
    }
    engine
}

fn targets(robot: &Robot, robots: std::ops::Range<usize>, step: usize) -> Vec<f32> {
    robots
        .flat_map(|index| {
            let phase = 0.3 * step as f32 + index as f32;
            let standing = &robot.control.standing_position_rad;
            standing
                .iter()
                .enumerate()
                .map(move |(i, q)| q + 0.2 * (phase + i as f32).sin())
        })
        .collect()
}

fn read(engine: &dyn Engine, robot: &Robot) -> Vec<PhysicsState> {
    (0..engine.num_robots())
        .map(|index| {
            let mut state = PhysicsState::zero(robot);
            engine.read(index, &mut state);
            state
        })
        .collect()
}

pub fn a_restored_engine_goes_on_bit_for_bit(make: Make) {
    let robot = go1();
    let starts = starts(&robot, 6);
    let mut engine = started(make, &robot, &starts);
    for step in 0..20 {
        engine.step(&targets(&robot, 0..6, step));
    }
    // One that has not moved since its reset.
    engine.reset(5, &starts[0]).expect("scene");
    let saved = engine.save();
    assert!(
        saved.len() < 6 * 100_000 + 1_500_000,
        "{} bytes",
        saved.len()
    );

    let go_on = |engine: &mut dyn Engine| -> Vec<Vec<PhysicsState>> {
        (20..50)
            .map(|step| {
                engine.step(&targets(&robot, 0..6, step));
                read(engine, &robot)
            })
            .collect()
    };
    let expected = go_on(engine.as_mut());
    let touched = expected.iter().flatten().any(|state| {
        state.base_force_n > 1.0
            || state
                .thigh_force_n
                .iter()
                .chain(&state.calf_force_n)
                .any(|&force| force > 1.0)
    });
    assert!(touched, "nobody met an obstacle");

    let mut other = make(&robot, &PhysicsConfig::default(), 6);
    other.load(&saved).expect("its own state");
    assert!(
        go_on(other.as_mut()) == expected,
        "a fresh engine goes on otherwise"
    );
    engine.load(&saved).expect("its own state");
    assert!(
        go_on(engine.as_mut()) == expected,
        "the engine itself goes on otherwise"
    );
}

pub fn a_state_of_another_size_is_refused(make: Make) {
    let robot = go1();
    let saved = make(&robot, &PhysicsConfig::default(), 2).save();
    let mut engine = make(&robot, &PhysicsConfig::default(), 3);
    let error = engine.load(&saved).expect_err("two robots for three");
    assert!(
        error.to_string().starts_with("engine state does not fit"),
        "{error}"
    );
    assert!(engine.load(&saved[..saved.len() / 2]).is_err());
    assert!(engine.load(&[]).is_err());
}

pub fn a_robot_does_not_depend_on_the_others(make: Make) {
    let robot = go1();
    let starts = starts(&robot, 5);
    let mut together = started(make, &robot, &starts);
    let mut alone: Vec<_> = starts
        .iter()
        .map(|start| started(make, &robot, std::slice::from_ref(start)))
        .collect();
    for step in 0..40 {
        together.step(&targets(&robot, 0..5, step));
        let expected = read(together.as_ref(), &robot);
        for (index, engine) in alone.iter_mut().enumerate() {
            engine.step(&targets(&robot, index..index + 1, step));
            assert_eq!(
                read(engine.as_ref(), &robot)[0],
                expected[index],
                "robot {index}, step {step}"
            );
        }
    }
}

pub fn an_episode_depends_on_its_start_alone(make: Make) {
    let robot = go1();
    let starts = starts(&robot, 3);
    let mut fresh = started(make, &robot, &starts[..1]);
    let mut used = started(make, &robot, &starts[1..2]);
    for step in 0..30 {
        used.step(&targets(&robot, 0..1, step));
    }
    // The same terrain by another Arc.
    let mut start = starts[0].clone();
    start.terrain = Arc::new((*start.terrain).clone());
    used.reset(0, &start).expect("scene");
    assert_eq!(read(used.as_ref(), &robot), read(fresh.as_ref(), &robot));
    for step in 0..30 {
        used.step(&targets(&robot, 0..1, step));
        fresh.step(&targets(&robot, 0..1, step));
        assert_eq!(read(used.as_ref(), &robot), read(fresh.as_ref(), &robot));
    }
}

pub fn physics_steps_in_order_are_a_policy_step(make: Make) {
    let robot = go1();
    let starts = starts(&robot, 5);
    let mut whole = started(make, &robot, &starts);
    let mut parts = started(make, &robot, &starts);
    let decimation = PhysicsConfig::default().decimation;
    for step in 0..40 {
        let targets = targets(&robot, 0..5, step);
        whole.step(&targets);
        let before = read(parts.as_ref(), &robot);
        for index in 0..decimation {
            parts.physics_step(&targets, index);
            if index == 0 {
                // A robot that falls or runs is elsewhere after each.
                assert_ne!(read(parts.as_ref(), &robot), before, "step {step}");
            }
        }
        assert_eq!(
            read(parts.as_ref(), &robot),
            read(whole.as_ref(), &robot),
            "step {step}"
        );
    }
    assert!(parts.save() == whole.save(), "other states");
}
