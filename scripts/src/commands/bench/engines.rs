//! The engines side by side: speed from standing still to random actions among obstacles, at several physics steps, with the error
//! of the step beside it.

use std::{f32::consts::TAU, fmt::Write as _, time::Duration};

use anyhow::{Result, ensure};
use nalgebra::Vector3;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg32;
use robots::Robot;
use serde::Serialize;
use sim::engine::{self, EngineError, EngineKind, EpisodeStart, PhysicsConfig, PhysicsState};

use super::sim::{Work, ring_of_cylinders, total_rate};
use crate::{config::Config, run::progress::short};

/// Each speed is the median of so many measurements; all cells take turns, so that a machine that slows down slows all of them.
const ROUNDS: usize = 3;
const POLICY_STEP_S: f32 = 0.02;
/// Physics steps in a policy step: 5, 2.5 and 1 ms.
const DECIMATIONS: [usize; 3] = [4, 8, 20];
/// That of the trajectories with which the others are compared: 0.25 ms.
const FINE_DECIMATION: usize = 80;
/// Robots start again after so many policy steps.
const EPISODE_STEPS: usize = 450;
/// Random targets repeat after so many policy steps.
const TARGET_STEPS: usize = 16;
/// How far random targets are from the standing pose, rad.
const RANDOM_RAD: f32 = 0.3;
/// Trajectories that are compared, and their length: short enough that chaos does not decide.
const TRAJECTORIES: usize = 64;
const TRAJECTORY_STEPS: usize = 10;

/// What the robots do, from what flatters an engine to what training does first.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Motion {
    Standing,
    RandomActions,
    RandomActionsAmongObstacles,
}

impl Motion {
    const ALL: [Self; 3] = [
        Self::Standing,
        Self::RandomActions,
        Self::RandomActionsAmongObstacles,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Standing => "standing",
            Self::RandomActions => "random actions",
            Self::RandomActionsAmongObstacles => "random actions, 8 cylinders",
        }
    }
}

/// One engine with one motion and physics step.
#[derive(Serialize)]
struct Cell {
    engine: EngineKind,
    motion: Motion,
    step_ms: f32,
    num_robots: usize,
    /// Physics steps of single robots, median of the rounds.
    robot_steps_per_second: f64,
    /// Simulated over real time, summed over all robots.
    real_time_factor: f64,
    /// After 0.2 s, from the same engine at 0.25 ms: median over the robots.
    error: Difference,
    /// The same, from MuJoCo at 0.25 ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    from_mujoco: Option<Difference>,
}

/// How far two states of a robot are apart.
#[derive(Clone, Copy, Serialize)]
struct Difference {
    position_mm: f64,
    /// Of the joint that is farthest off.
    joint_deg: f64,
}

/// Results of `abs bench engines`.
#[derive(Serialize)]
pub struct EnginesReport {
    robot: String,
    threads: usize,
    seconds_per_round: f64,
    rounds: usize,
    cells: Vec<Cell>,
}

/// Measures every cell for `duration` in each round.
pub fn measure(config: &Config, duration: Duration) -> Result<EnginesReport> {
    ensure!(
        config.physics == PhysicsConfig::default() && config.reality.is_ideal(),
        "`bench engines` brings its own physics steps and ideal robots: leave out --reality and settings of `physics`"
    );
    let robot = Robot::load(&config.robot)?;
    let trajectories = Trajectories::new(&robot, config.seed);
    let mut engines = Vec::new();
    for &kind in EngineKind::ALL {
        match trajectories.run(&robot, kind, FINE_DECIMATION) {
            Ok(fine) => engines.push((kind, fine)),
            Err(EngineError::Absent(why)) => eprintln!("without {kind}: {why}"),
            Err(error) => return Err(error.into()),
        }
    }
    let mujoco = engines.iter().find(|(kind, _)| *kind == EngineKind::Mujoco);
    let mut cells = Vec::new();
    for (kind, fine) in &engines {
        for decimation in DECIMATIONS {
            let coarse = trajectories.run(&robot, *kind, decimation)?;
            for motion in Motion::ALL {
                cells.push(Cell {
                    engine: *kind,
                    motion,
                    step_ms: 1000.0 * POLICY_STEP_S / decimation as f32,
                    num_robots: num_robots(*kind, config),
                    robot_steps_per_second: 0.0,
                    real_time_factor: 0.0,
                    error: difference(&coarse, fine),
                    from_mujoco: mujoco.map(|(_, fine)| difference(&coarse, fine)),
                });
            }
        }
    }
    let mut rates = vec![Vec::new(); cells.len()];
    for _ in 0..ROUNDS {
        for (cell, rates) in cells.iter().zip(&mut rates) {
            let workers = (0..config.threads)
                .map(|worker| cell.worker(&robot, config, worker))
                .collect::<Result<_>>()?;
            rates.push(total_rate(workers, duration));
        }
    }
    for (cell, rates) in cells.iter_mut().zip(rates) {
        cell.robot_steps_per_second = median(rates);
        cell.real_time_factor = cell.robot_steps_per_second * f64::from(cell.step_ms) / 1000.0;
    }
    Ok(EnginesReport {
        robot: robot.name,
        threads: config.threads,
        seconds_per_round: duration.as_secs_f64(),
        rounds: ROUNDS,
        cells,
    })
}

/// As many as an engine is made for: the batch engine steps many together, for the others more would only fill the cache.
fn num_robots(kind: EngineKind, config: &Config) -> usize {
    match kind {
        EngineKind::Batch => config.env.num_envs,
        EngineKind::Rapier | EngineKind::Mujoco => 16 * config.threads,
    }
}

fn physics(decimation: usize) -> PhysicsConfig {
    PhysicsConfig {
        step_s: POLICY_STEP_S / decimation as f32,
        decimation,
        ..PhysicsConfig::default()
    }
}

/// Targets of `count` robots in one policy step, rad.
fn random_targets(robot: &Robot, count: usize, random: &mut Pcg32) -> Vec<f32> {
    let standing = &robot.control.standing_position_rad;
    (0..count)
        .flat_map(|_| standing)
        .map(|rad| rad + random.random_range(-RANDOM_RAD..RANDOM_RAD))
        .collect()
}

impl Cell {
    fn worker(&self, robot: &Robot, config: &Config, worker: usize) -> Result<Work> {
        let share = |worker: usize| worker * self.num_robots / config.threads;
        let count = share(worker + 1) - share(worker);
        let decimation = (1000.0 * POLICY_STEP_S / self.step_ms).round() as usize;
        let mut engine = engine::build(self.engine, robot, &physics(decimation), count)?;
        let mut start = EpisodeStart::standing(robot);
        if self.motion == Motion::RandomActionsAmongObstacles {
            start.obstacles = ring_of_cylinders();
        }
        for index in 0..count {
            engine.reset(index, &start)?;
        }
        let mut random = Pcg32::seed_from_u64(config.seed + worker as u64);
        let targets: Vec<Vec<f32>> = match self.motion {
            Motion::Standing => vec![robot.control.standing_position_rad.repeat(count)],
            _ => (0..TARGET_STEPS)
                .map(|_| random_targets(robot, count, &mut random))
                .collect(),
        };
        let mut step = 0;
        Ok(Box::new(move || {
            if step == EPISODE_STEPS {
                step = 0;
                for index in 0..count {
                    // The same start was accepted above.
                    let _ = engine.reset(index, &start);
                }
            }
            engine.step(&targets[step % targets.len()]);
            step += 1;
            count * decimation
        }))
    }
}

/// Robots at 1 m/s in a random direction that fall by up to 5 cm onto their feet, and act at random.
struct Trajectories {
    starts: Vec<EpisodeStart>,
    targets: Vec<Vec<f32>>,
}

impl Trajectories {
    fn new(robot: &Robot, seed: u64) -> Self {
        let mut random = Pcg32::seed_from_u64(seed);
        let starts = (0..TRAJECTORIES).map(|_| {
            let mut start = EpisodeStart::standing(robot);
            start.position_world.z += random.random_range(0.0..0.05);
            let heading = TAU * random.random::<f32>();
            start.linear_velocity_world = Vector3::new(heading.cos(), heading.sin(), 0.0);
            for rad in &mut start.joint_position_rad {
                *rad += random.random_range(-0.1..0.1);
            }
            start
        });
        let starts = starts.collect();
        let targets = (0..TRAJECTORY_STEPS)
            .map(|_| random_targets(robot, TRAJECTORIES, &mut random))
            .collect();
        Self { starts, targets }
    }

    /// The states at the end.
    fn run(
        &self,
        robot: &Robot,
        kind: EngineKind,
        decimation: usize,
    ) -> Result<Vec<PhysicsState>, EngineError> {
        let mut engine = engine::build(kind, robot, &physics(decimation), TRAJECTORIES)?;
        for (index, start) in self.starts.iter().enumerate() {
            engine.reset(index, start)?;
        }
        for targets in &self.targets {
            engine.step(targets);
        }
        let mut states = vec![PhysicsState::zero(robot); TRAJECTORIES];
        for (index, state) in states.iter_mut().enumerate() {
            engine.read(index, state);
        }
        Ok(states)
    }
}

/// Medians over the robots.
fn difference(states: &[PhysicsState], others: &[PhysicsState]) -> Difference {
    let pairs = || states.iter().zip(others);
    let position_m = |(a, b): (&PhysicsState, &PhysicsState)| {
        f64::from((a.position_world - b.position_world).norm())
    };
    let joint_rad = |(a, b): (&PhysicsState, &PhysicsState)| {
        let joints = a.joint_position_rad.iter().zip(&b.joint_position_rad);
        f64::from(joints.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max))
    };
    Difference {
        position_mm: 1000.0 * median(pairs().map(position_m).collect()),
        joint_deg: median(pairs().map(joint_rad).collect()).to_degrees(),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

impl EnginesReport {
    /// The table, with the speed of each cell as a multiple of MuJoCo's in the same motion and step.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{}, {} threads, medians of {} rounds in turn; error of the base and of the worst joint after 0.2 s of random actions\n\n",
            self.robot, self.threads, self.rounds
        );
        text += "| motion | step | engine | robots | robot-steps/s | x real time | x MuJoCo | error, own fine step | from MuJoCo's fine step |\n";
        text += "|---|---|---|---|---|---|---|---|---|\n";
        let mut cells: Vec<&Cell> = self.cells.iter().collect();
        cells.sort_by(|a, b| {
            let place = |cell: &Cell| Motion::ALL.iter().position(|motion| *motion == cell.motion);
            place(a)
                .cmp(&place(b))
                .then(b.step_ms.total_cmp(&a.step_ms))
        });
        for cell in cells {
            let same = |other: &&Cell| {
                (other.motion, other.step_ms, other.engine)
                    == (cell.motion, cell.step_ms, EngineKind::Mujoco)
            };
            let mujoco = self.cells.iter().find(same);
            let times = mujoco.map_or_else(String::new, |mujoco| {
                let times = cell.robot_steps_per_second / mujoco.robot_steps_per_second;
                format!("{times:.1}")
            });
            let shown = |difference: Option<Difference>| {
                difference.map_or_else(String::new, |d| {
                    format!("{:.1} mm, {:.1}°", d.position_mm, d.joint_deg)
                })
            };
            let _ = writeln!(
                text,
                "| {} | {} ms | {} | {} | {} | {} | {times} | {} | {} |",
                cell.motion.name(),
                cell.step_ms,
                cell.engine,
                cell.num_robots,
                short(cell.robot_steps_per_second),
                short(cell.real_time_factor),
                shown(Some(cell.error)),
                shown(cell.from_mujoco),
            );
        }
        text
    }
}
