//! Robot physics steps per second of the batch engine: go1 standing under PD among 8 cylinders, for each lane type and
//! for 1 and 2 threads. `cargo run --release -p sim --example batch_throughput [repetitions [portable|avx2|avx512]]`

use std::time::Instant;

use robots::Robot;
use sim::{
    engine::{BatchEngine, Engine, EpisodeStart, Instructions, PhysicsConfig, PhysicsState},
    scene::Obstacle,
};

const ROBOTS: usize = 512;
const POLICY_STEPS: usize = 50;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let repetitions = std::env::args().nth(1).map_or(Ok(3), |text| text.parse())?;
    let robot = Robot::load("go1")?;
    let config = PhysicsConfig::default();
    println!(
        "{ROBOTS} robots per thread, 8 cylinders each; best of {repetitions}, million robot-steps/s"
    );
    let chosen = std::env::args().nth(2);
    for instructions in Instructions::available() {
        if chosen
            .as_ref()
            .is_some_and(|name| *name != format!("{instructions:?}").to_lowercase())
        {
            continue;
        }
        for threads in [1, 2] {
            let mut best = 0.0_f64;
            let mut lowest_m = f32::INFINITY;
            for _ in 0..repetitions {
                let mut engines = (0..threads)
                    .map(|_| engine(&robot, &config, instructions))
                    .collect::<Result<Vec<_>, _>>()?;
                let targets = standing_targets(&robot);
                for engine in &mut engines {
                    engine.step(&targets);
                }
                let begin = Instant::now();
                std::thread::scope(|scope| {
                    for engine in &mut engines {
                        let targets = &targets;
                        scope.spawn(move || {
                            for _ in 0..POLICY_STEPS {
                                engine.step(targets);
                            }
                        });
                    }
                });
                let steps = threads * ROBOTS * POLICY_STEPS * config.decimation;
                best = best.max(steps as f64 / begin.elapsed().as_secs_f64());
                let mut state = PhysicsState::zero(&robot);
                for index in 0..ROBOTS {
                    engines[0].read(index, &mut state);
                    lowest_m = lowest_m.min(state.position_world.z);
                }
            }
            println!(
                "{instructions:?}, {threads} threads: {:.2} (lowest base {lowest_m:.3} m)",
                best * 1e-6
            );
        }
    }
    Ok(())
}

fn engine(
    robot: &Robot,
    config: &PhysicsConfig,
    instructions: Instructions,
) -> Result<BatchEngine, Box<dyn std::error::Error>> {
    let mut engine = BatchEngine::with_instructions(robot, config, ROBOTS, instructions)?;
    let mut start = EpisodeStart::standing(robot);
    for index in 0..ROBOTS {
        start.obstacles = (0..8)
            .map(|k| {
                // A ring around the robot, at a distance that differs from robot to robot.
                let angle =
                    (k * ROBOTS + 37 * index) as f32 / (8 * ROBOTS) as f32 * std::f32::consts::TAU;
                let distance_m = 1.1 + ((index * 7 + k * 13) % 40) as f32 * 0.1;
                Obstacle::cylinder(distance_m * angle.cos(), distance_m * angle.sin(), 0.4, 1.0)
            })
            .collect();
        engine.reset(index, &start)?;
    }
    Ok(engine)
}

fn standing_targets(robot: &Robot) -> Vec<f32> {
    robot.control.standing_position_rad.repeat(ROBOTS)
}
