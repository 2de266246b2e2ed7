//! A batched physics engine for floating-base robots with legs of equal length: many robots side by side, one per lane
//! of the CPU's vector registers. It exists for training; the rapier engine is the reference.
//!
//! Physics: reduced coordinates, semi-implicit Euler (`step`); composite-rigid-body and Newton-Euler recursions and a
//! block Cholesky factorization (`dynamics`); implicit motors and joint stops (`joints`); whitened contact rows solved
//! by projected Gauss-Seidel (`contacts`). The robot's spheres, capsules and boxes meet the ground with their corner
//! spheres and obstacles (cylinders, boxes) with the deepest point of each leg and of the two faces of each trunk box.
//!
//! A robot's result depends on its own start and targets only: not on its lane, its neighbours, the number of threads or
//! the lane type (`lanes`).

#![allow(
    clippy::needless_range_loop,
    reason = "matrix formulas read by their indices, and the step must not contain closures"
)]

mod block;
mod candidates;
mod contacts;
mod dynamics;
mod geometry;
mod joints;
mod lanes;
mod model;
mod scene;
mod snapshot;
mod step;
mod varied;
mod vector;

use std::ops::Range;

use nalgebra::Vector3;
use robots::Robot;

use self::{
    block::Block,
    lanes::{Lanes, Portable},
    model::Model,
    step::{PhysicsSteps, Scratch},
};
use crate::engine::{Engine, EngineError, EpisodeStart, PhysicsConfig, PhysicsState};

/// Vector instructions that the engine may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instructions {
    /// 4 lanes, on any CPU.
    Portable,
    /// 8 lanes.
    Avx2,
    /// 16 lanes.
    Avx512,
}

impl Instructions {
    /// Those with so many lanes; the fastest that this CPU has for 0.
    ///
    /// # Errors
    /// [`EngineError::Lanes`] when this CPU has none with so many.
    pub fn with_lanes(lanes: usize) -> Result<Self, EngineError> {
        let available = Self::available();
        let fitting = |i: &&Self| lanes == 0 || i.lanes() == lanes;
        available.iter().rfind(fitting).copied().ok_or_else(|| {
            let known: Vec<String> = available.iter().map(|i| i.lanes().to_string()).collect();
            let known = known.join(", ");
            EngineError::Lanes { lanes, known }
        })
    }

    /// Robots that one instruction works on.
    pub fn lanes(self) -> usize {
        match self {
            Self::Portable => Portable::LANES,
            Self::Avx2 => 8,
            Self::Avx512 => 16,
        }
    }

    /// Those that this CPU has, the fastest last.
    pub fn available() -> Vec<Self> {
        let mut available = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                available.push(Self::Avx2);
            }
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512bw")
            {
                available.push(Self::Avx512);
            }
        }
        available
    }
}

/// Many robots of one kind, stepped together. The module documentation has the physics.
pub struct BatchEngine {
    engine: Box<dyn Engine>,
}

impl BatchEngine {
    /// An engine with `num_robots` robots, each in the standing pose on empty flat ground until it is reset.
    ///
    /// # Errors
    /// [`EngineError::UnsupportedRobot`] when the legs differ in their number of joints or do not have 2, 3 or 4.
    pub fn new(
        robot: &Robot,
        config: &PhysicsConfig,
        num_robots: usize,
    ) -> Result<Self, EngineError> {
        let fastest = Instructions::available()
            .pop()
            .unwrap_or(Instructions::Portable);
        Self::with_instructions(robot, config, num_robots, fastest)
    }

    /// The same with chosen instructions; the portable ones in place of those that this CPU does not have.
    ///
    /// # Errors
    /// As for [`BatchEngine::new`].
    pub fn with_instructions(
        robot: &Robot,
        config: &PhysicsConfig,
        num_robots: usize,
        instructions: Instructions,
    ) -> Result<Self, EngineError> {
        let known = Instructions::available().contains(&instructions);
        let engine = match (known, instructions) {
            #[cfg(target_arch = "x86_64")]
            (true, Instructions::Avx2) => with_lanes::<lanes::Avx2>(robot, config, num_robots)?,
            #[cfg(target_arch = "x86_64")]
            (true, Instructions::Avx512) => with_lanes::<lanes::Avx512>(robot, config, num_robots)?,
            _ => with_lanes::<Portable>(robot, config, num_robots)?,
        };
        Ok(Self { engine })
    }
}

/// As the table of engines builds it: with so many lanes, or the most that the CPU has for 0.
pub(super) fn build(
    robot: &Robot,
    config: &PhysicsConfig,
    num_robots: usize,
    lanes: usize,
) -> Result<Box<dyn Engine>, EngineError> {
    let instructions = Instructions::with_lanes(lanes)?;
    let engine = BatchEngine::with_instructions(robot, config, num_robots, instructions)?;
    Ok(Box::new(engine))
}

fn with_lanes<L: Lanes>(
    robot: &Robot,
    config: &PhysicsConfig,
    num_robots: usize,
) -> Result<Box<dyn Engine>, EngineError> {
    let joints_per_leg = robot.legs.first().map_or(0, |leg| leg.joints.len());
    match joints_per_leg {
        // Other lengths are rare: they are compiled for one lane type only.
        2 => Ok(Box::new(Blocks::<Portable, 2>::new(
            robot, config, num_robots,
        )?)),
        3 => Ok(Box::new(Blocks::<L, 3>::new(robot, config, num_robots)?)),
        4 => Ok(Box::new(Blocks::<Portable, 4>::new(
            robot, config, num_robots,
        )?)),
        _ => Err(EngineError::UnsupportedRobot {
            robot: robot.name.clone(),
            reason: format!(
                "the batch engine knows legs of 2, 3 or 4 joints, not {joints_per_leg}"
            ),
        }),
    }
}

impl Engine for BatchEngine {
    fn num_robots(&self) -> usize {
        self.engine.num_robots()
    }

    fn lanes(&self) -> usize {
        self.engine.lanes()
    }

    fn reset(&mut self, index: usize, start: &EpisodeStart) -> Result<(), EngineError> {
        self.engine.reset(index, start)
    }

    fn step(&mut self, joint_target_rad: &[f32]) {
        self.engine.step(joint_target_rad);
    }

    fn physics_step(&mut self, joint_target_rad: &[f32], index: usize) {
        self.engine.physics_step(joint_target_rad, index);
    }

    fn push(&mut self, index: usize, velocity_change_world: Vector3<f32>) {
        self.engine.push(index, velocity_change_world);
    }

    fn read(&self, index: usize, state: &mut PhysicsState) {
        self.engine.read(index, state);
    }

    fn save(&self) -> Vec<u8> {
        self.engine.save()
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), EngineError> {
        self.engine.load(bytes)
    }
}

/// The engine for one lane type and one number of joints per leg.
struct Blocks<L: Lanes, const N: usize> {
    model: Model<N>,
    blocks: Vec<Block<L, N>>,
    scratch: Scratch<L, N>,
    num_robots: usize,
}

impl<L: Lanes, const N: usize> Blocks<L, N> {
    fn new(robot: &Robot, config: &PhysicsConfig, num_robots: usize) -> Result<Self, EngineError> {
        let model = Model::new(robot, config)?;
        let start = EpisodeStart::standing(robot);
        let blocks = (0..num_robots.div_ceil(L::LANES))
            .map(|_| Block::new(&model, &start))
            .collect::<Result<_, _>>()?;
        let scratch = Scratch::new(&model);
        Ok(Self {
            model,
            blocks,
            scratch,
            num_robots,
        })
    }

    /// These physics steps of a policy step.
    fn advance(&mut self, joint_target_rad: &[f32], steps: Range<usize>) {
        let num_joints = self.model.legs.len() * N;
        assert_eq!(
            joint_target_rad.len(),
            self.num_robots * num_joints,
            "joint targets [num_robots, num_joints]"
        );
        let rows = joint_target_rad.chunks(L::LANES * num_joints);
        for (block, rows) in self.blocks.iter_mut().zip(rows) {
            if steps.start == 0 {
                block.begin_targets();
                for (lane, row) in rows.chunks_exact(num_joints).enumerate() {
                    block.set_targets(lane, row);
                }
            }
            L::run(PhysicsSteps {
                model: &self.model,
                block,
                scratch: &mut self.scratch,
                steps: steps.clone(),
            });
        }
    }
}

impl<L: Lanes, const N: usize> Engine for Blocks<L, N> {
    fn num_robots(&self) -> usize {
        self.num_robots
    }

    fn lanes(&self) -> usize {
        L::LANES
    }

    fn reset(&mut self, index: usize, start: &EpisodeStart) -> Result<(), EngineError> {
        self.blocks[index / L::LANES].reset(&self.model, index % L::LANES, start)
    }

    fn step(&mut self, joint_target_rad: &[f32]) {
        self.advance(joint_target_rad, 0..self.model.decimation);
    }

    fn physics_step(&mut self, joint_target_rad: &[f32], index: usize) {
        self.advance(joint_target_rad, index..index + 1);
    }

    fn push(&mut self, index: usize, velocity_change_world: Vector3<f32>) {
        self.blocks[index / L::LANES].push(index % L::LANES, &velocity_change_world);
    }

    fn read(&self, index: usize, state: &mut PhysicsState) {
        self.blocks[index / L::LANES].read(self.model.legs.len(), index % L::LANES, state);
    }

    fn save(&self) -> Vec<u8> {
        snapshot::save(&self.blocks, self.num_robots, self.model.decimation)
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), EngineError> {
        snapshot::load(bytes, &self.model, &mut self.blocks, self.num_robots)
    }
}
