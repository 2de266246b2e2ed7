//! A robot's states depend on its own start and targets only: the same bits in any lane, beside any neighbours, with any
//! vector instructions, and after a save and a load.

use std::sync::Arc;

use nalgebra::{Point3, UnitQuaternion, Vector3};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use robots::Robot;
use sim::{
    engine::{BatchEngine, Engine, EpisodeStart, Instructions, PhysicsConfig, PhysicsState},
    scene::{HeightField, Obstacle, ObstacleShape, Terrain},
};

const ROBOTS: usize = 40;

fn go1() -> Robot {
    Robot::load("go1").expect("go1")
}

/// Scenes of all kinds: robots that fall, stand, touch obstacles, have noise and delay, or have nothing around them.
fn starts(robot: &Robot) -> Vec<EpisodeStart> {
    let mut random = Pcg64Mcg::seed_from_u64(11);
    let rough = Arc::new(Terrain::HeightField(HeightField {
        origin_m: [-2.0, -2.0],
        cell_m: 0.1,
        points_x: 40,
        points_y: 40,
        heights_m: (0..1600).map(|_| random.random_range(0.0..0.06)).collect(),
    }));
    let mut uniform = move |half: f32| random.random_range(-half..half);
    (0..ROBOTS)
        .map(|index| {
            let mut start = EpisodeStart::standing(robot);
            start.position_world = Point3::new(uniform(0.5), uniform(0.5), 0.45);
            start.orientation =
                UnitQuaternion::from_euler_angles(uniform(0.5), uniform(0.5), uniform(3.0));
            start.linear_velocity_world = Vector3::new(uniform(2.0), uniform(2.0), 0.0);
            if index % 3 == 0 {
                start.terrain = Arc::clone(&rough);
            }
            for k in 0..index % 5 {
                let mut obstacle = Obstacle::cylinder(0.9 + uniform(0.3), k as f32 - 2.0, 0.3, 1.0);
                if k == 1 {
                    obstacle.shape = ObstacleShape::Box {
                        half_extents_m: Vector3::new(0.2, 0.4, 0.5),
                    };
                    obstacle.velocity_world = Vector3::new(-0.5, 0.1, 0.0);
                }
                start.obstacles.push(obstacle);
            }
            if index % 4 == 1 {
                start.dynamics.torque_noise_nm.fill(0.5);
                start.dynamics.noise_seed = index as u64 * 77;
                start.dynamics.actuation_delay_steps = index % 7;
            }
            start.dynamics.friction = 0.7 + uniform(0.3);
            start
        })
        .collect()
}

fn targets(robot: &Robot, policy_step: usize, index: usize) -> Vec<f32> {
    let control = &robot.control;
    let swing = |joint: usize| 0.4 * ((policy_step * 3 + joint * 5 + index) as f32 * 0.2).sin();
    control
        .standing_position_rad
        .iter()
        .enumerate()
        .map(|(joint, q)| q + swing(joint))
        .collect()
}

fn engine(robot: &Robot, starts: &[EpisodeStart], instructions: Instructions) -> BatchEngine {
    let config = PhysicsConfig::default();
    let mut engine =
        BatchEngine::with_instructions(robot, &config, starts.len(), instructions).expect("engine");
    for (index, start) in starts.iter().enumerate() {
        engine.reset(index, start).expect("reset");
    }
    engine
}

/// Steps robots that are numbered `first..`, and returns what each reads at the end and after every tenth step.
fn run(
    engine: &mut BatchEngine,
    robot: &Robot,
    first: usize,
    steps: std::ops::Range<usize>,
) -> Vec<Vec<PhysicsState>> {
    let mut states = vec![Vec::new(); engine.num_robots()];
    for step in steps {
        let all: Vec<f32> = (0..engine.num_robots())
            .flat_map(|i| targets(robot, step, first + i))
            .collect();
        engine.step(&all);
        for (index, states) in states.iter_mut().enumerate() {
            let mut state = PhysicsState::zero(robot);
            engine.read(index, &mut state);
            assert!(state.is_finite());
            states.push(state);
        }
    }
    states
}

fn fastest() -> Instructions {
    Instructions::available().pop().expect("portable at least")
}

#[test]
fn lane_neighbours_and_chunks_do_not_matter() {
    let robot = go1();
    let starts = starts(&robot);
    let together = run(&mut engine(&robot, &starts, fastest()), &robot, 0, 0..60);
    assert!(
        together
            .iter()
            .flatten()
            .any(|state| state.base_force_n > 0.0),
        "nobody fell"
    );
    for chunk in [1, 7, 16] {
        for (number, starts) in starts.chunks(chunk).enumerate() {
            let first = number * chunk;
            let alone = run(&mut engine(&robot, starts, fastest()), &robot, first, 0..60);
            for (offset, states) in alone.iter().enumerate() {
                for (step, state) in states.iter().enumerate() {
                    let expected = &together[first + offset][step];
                    assert_eq!(
                        state,
                        expected,
                        "robot {}, chunks of {chunk}, step {step}",
                        first + offset
                    );
                }
            }
        }
    }
}

#[test]
fn all_instructions_give_the_same_bits() {
    let robot = go1();
    let starts = starts(&robot);
    let portable = engine(&robot, &starts, Instructions::Portable);
    let mut portable = portable;
    run(&mut portable, &robot, 0, 0..60);
    for instructions in Instructions::available() {
        let mut other = engine(&robot, &starts, instructions);
        run(&mut other, &robot, 0, 0..60);
        assert!(portable.save() == other.save(), "{instructions:?}");
    }
}

#[test]
fn threads_do_not_matter() {
    let robot = go1();
    let starts = starts(&robot);
    let mut alone = engine(&robot, &starts, fastest());
    let expected = run(&mut alone, &robot, 0, 0..40);
    let halves: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = starts
            .chunks(ROBOTS / 2)
            .enumerate()
            .map(|(number, starts)| {
                let robot = &robot;
                scope.spawn(move || {
                    run(
                        &mut engine(robot, starts, fastest()),
                        robot,
                        number * ROBOTS / 2,
                        0..40,
                    )
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("thread"))
            .collect()
    });
    assert!(expected == halves);
}

#[test]
fn an_engine_goes_on_exactly_from_its_bytes() {
    let robot = go1();
    let starts = starts(&robot);
    let mut first = engine(&robot, &starts, fastest());
    run(&mut first, &robot, 0, 0..33);
    let bytes = first.save();
    for instructions in Instructions::available() {
        let mut second =
            BatchEngine::with_instructions(&robot, &PhysicsConfig::default(), ROBOTS, instructions)
                .expect("engine");
        // Whatever it held before.
        run(&mut second, &robot, 3, 0..5);
        second.load(&bytes).expect("load");
        assert!(second.save() == bytes);
        let mut first = engine(&robot, &starts, fastest());
        first.load(&bytes).expect("load");
        assert!(run(&mut first, &robot, 0, 33..60) == run(&mut second, &robot, 0, 33..60));
    }
}

#[test]
fn a_reset_forgets_the_past() {
    let robot = go1();
    let starts = starts(&robot);
    let mut used = engine(&robot, &starts, fastest());
    run(&mut used, &robot, 0, 0..50);
    for (index, start) in starts.iter().enumerate() {
        used.reset(index, start).expect("reset");
    }
    let mut fresh = engine(&robot, &starts, fastest());
    assert!(run(&mut used, &robot, 0, 0..30) == run(&mut fresh, &robot, 0, 0..30));
}

#[test]
fn bytes_of_another_engine_are_refused() {
    let robot = go1();
    let start = EpisodeStart::standing(&robot);
    let bytes = engine(&robot, &[start.clone(), start.clone()], fastest()).save();
    let mut single = engine(&robot, &[start], fastest());
    let error = single.load(&bytes).expect_err("refused").to_string();
    assert!(error.contains("2 robots, the engine 1"), "{error}");
    assert!(single.load(&bytes[..bytes.len() / 2]).is_err());
}
