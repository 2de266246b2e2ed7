//! A policy step of one environment, after the physics: termination, rewards, reset, observation.

use std::sync::Arc;

use nalgebra::{Point3, UnitQuaternion};
use policies::training::Done;
use rand::RngExt;
use robots::{JointVec, Robot};

use super::{Env, stopwatch::Stopwatch};
use crate::{
    engine::{EngineError, EpisodeStart},
    reality::KNOWN_DELAYS,
    tasks::{
        rewards::StepContext,
        task::{EpisodePlan, LevelChange, Task},
    },
};

/// Height of the lowest foot over the ground at the start, m.
const FOOT_CLEARANCE_M: f32 = 0.01;

/// What a policy step came to in one environment.
pub(super) struct StepResult {
    pub(super) reward: f32,
    /// 1 where the robot collides by the definition of the test (docs/concepts/evaluation.md).
    pub(super) cost: f32,
    pub(super) done: Done,
}

impl<T: Task> Env<T> {
    /// Draws a new episode for environment `index` and places the robot.
    pub(super) fn begin_episode(&mut self, index: usize) -> Result<(), EngineError> {
        let slot = &mut self.slots[index];
        let EpisodePlan {
            episode,
            obstacles,
            start_xy_m: [x, y],
            orientation,
            linear_velocity_world,
            angular_velocity_world,
            joint_position_rad,
            joint_velocity_radps,
        } = self.task.plan(slot.level, &mut slot.stream);
        slot.tile = self.terrains.draw(slot.level, &mut slot.stream);
        let terrain = Arc::clone(self.terrains.terrain(slot.tile));
        let mut dynamics =
            self.config
                .randomization
                .draw(&self.robot, slot.level, &mut slot.stream);
        slot.joint_bias_rad = self
            .config
            .randomization
            .draw_joint_bias(&self.robot, &mut slot.stream);
        if let Some(reality) = &mut slot.reality {
            let (config, seed) = (&self.config.reality, slot.stream.random());
            config.change_dynamics(&self.robot, &mut dynamics, self.physics_step_s, seed);
            reality.reset(seed);
            slot.known_reality = reality.known(&dynamics, self.physics_step_s);
        }
        slot.episode = episode;
        slot.obstacles = obstacles;
        slot.steps = 0;
        slot.action.fill(0.0);
        slot.previous_foot_contact.fill(false);
        slot.rays.reset();
        slot.frames.reset();
        slot.previous_joint_velocity_radps
            .clone_from(&joint_velocity_radps);
        let height_m = height_over_feet_m(&self.robot, &orientation, &joint_position_rad)
            + terrain.height_m(x, y)
            + FOOT_CLEARANCE_M;
        let start = EpisodeStart {
            terrain,
            obstacles: slot.obstacles.clone(),
            position_world: Point3::new(x, y, height_m),
            orientation,
            linear_velocity_world,
            angular_velocity_world,
            joint_position_rad,
            joint_velocity_radps,
            dynamics,
        };
        self.engine.reset(index, &start)?;
        self.engine.read(index, &mut self.physics);
        self.physics.write_robot_state(&mut self.state);
        self.history.clear(index);
        Ok(())
    }

    /// Writes the observation of environment `index`, whose state is in `self.state` (the true one).
    pub(super) fn observe_row(&mut self, index: usize, row: &mut [f32]) {
        let (row, privileged_row) = row.split_at_mut(self.layout.dim());
        let slot = &mut self.slots[index];
        let time_s = slot.steps as f32 * self.step_s;
        let mut input = self.task.input(&slot.episode, &self.state, time_s);

        let mut foot_contact = self.state.foot_contact.clone();
        for (now, before) in foot_contact.iter_mut().zip(&mut slot.previous_foot_contact) {
            let touches = *now;
            *now |= *before;
            *before = touches;
        }
        if let Some(privileged) = &self.privileged {
            if let Some(rays) = &privileged.rays {
                let begin = Stopwatch::begin(index);
                // Obstacles as thick as they are.
                rays.cast(&self.state, &slot.obstacles, time_s, &mut self.scan);
                self.stopwatch.rays(begin);
            }
            privileged.layout.write(
                &input.observed(
                    &self.state,
                    &foot_contact,
                    &slot.action,
                    &self.scan,
                    &self.previous_scan,
                    &slot.known_reality,
                ),
                privileged_row,
            );
        }
        if let Some(rays) = &self.rays {
            let begin = Stopwatch::begin(index);
            rays.cast(&self.state, &slot.obstacles, time_s, &mut self.scan);
            self.stopwatch.rays(begin);
        }
        if let Some(reality) = &mut slot.reality {
            reality.measure(time_s, &mut self.state);
            if self.rays.is_some() {
                reality.scan(time_s, &self.state, &mut self.scan);
            }
            slot.known_reality[KNOWN_DELAYS].copy_from_slice(&reality.known_delays());
            input = self.task.input(&slot.episode, &self.state, time_s);
        }
        if self.rays.is_some() {
            if let (true, Some(goal)) = (self.config.noise.illusion, &input.goal) {
                let bound_m = goal.distance_m() + self.config.noise.illusion_margin_m;
                self.scan.apply_illusion(bound_m, &mut slot.stream);
            }
            slot.rays
                .push(&self.state, &self.scan, &mut self.previous_scan);
        }
        for (measured, bias) in self
            .state
            .joint_position_rad
            .iter_mut()
            .zip(&slot.joint_bias_rad)
        {
            *measured += bias;
        }
        self.layout.write(
            &input.observed(
                &self.state,
                &foot_contact,
                &slot.action,
                &self.scan,
                &self.previous_scan,
                &[],
            ),
            row,
        );
        for (value, half_width) in row.iter_mut().zip(&self.noise_half_width) {
            if *half_width > 0.0 {
                *value += half_width * (2.0 * slot.stream.random::<f32>() - 1.0);
            }
        }
        slot.frames.complete(&self.layout, row);
    }

    fn move_level(&mut self, index: usize, change: LevelChange) {
        let slot = &mut self.slots[index];
        let levels = self.config.curriculum.levels;
        slot.level = match change {
            LevelChange::Up if slot.level + 1 == levels => slot.stream.random_range(0..levels),
            LevelChange::Up => slot.level + 1,
            LevelChange::Stay => slot.level,
            LevelChange::Down => slot.level.saturating_sub(1),
        };
    }

    /// After the physics: termination, rewards, reset and observation of one environment.
    pub(super) fn finish_step(
        &mut self,
        index: usize,
        old_action: &JointVec,
        row: &mut [f32],
        terminal_row: &mut [f32],
    ) -> StepResult {
        let begin = Stopwatch::begin(index);
        self.engine.read(index, &mut self.physics);
        let slot = &mut self.slots[index];
        slot.steps += 1;
        self.history.push(index, &self.physics, &slot.action);
        let result = if self.physics.is_finite() {
            self.physics.write_robot_state(&mut self.state);
            let context = StepContext {
                robot: &self.robot,
                terrain: self.terrains.terrain(slot.tile),
                limits: &self.limits,
                step_s: self.step_s,
                time_s: slot.steps as f32 * self.step_s,
                physics: &self.physics,
                state: &self.state,
                action: &slot.action,
                previous_action: old_action,
                previous_joint_velocity_radps: &slot.previous_joint_velocity_radps,
            };
            let outcome = self.task.step(&mut slot.episode, &context, &mut self.terms);
            let cost = f32::from(self.physics.collision().is_some());
            slot.previous_joint_velocity_radps
                .clone_from(&self.physics.joint_velocity_radps);
            self.log.step(&self.terms);
            if let Some(end) = outcome.end() {
                self.log.episode(slot.steps, end);
                self.move_level(index, end.level);
            }
            StepResult {
                reward: self.step_s * self.terms.iter().sum::<f32>(),
                cost,
                done: outcome.done(),
            }
        } else {
            self.log.not_finite += 1;
            let dump = self.config.dump_dir.as_deref();
            self.history.dump(dump, index, self.first_index + index);
            StepResult {
                reward: 0.0,
                cost: 0.0,
                done: Done::Terminated,
            }
        };
        self.stopwatch.rewards(begin);
        if result.done == Done::Timeout {
            self.observe_row(index, terminal_row);
        }
        if result.done != Done::No {
            // The scene was accepted when the environment was built; later ones are of the same kind.
            if let Err(error) = self.begin_episode(index) {
                unreachable!("{error}");
            }
        }
        self.observe_row(index, row);
        result
    }
}

/// Height of the base over the plane that the lowest foot touches, m.
fn height_over_feet_m(robot: &Robot, orientation: &UnitQuaternion<f32>, joints_rad: &[f32]) -> f32 {
    let feet = robot.foot_positions_base(joints_rad);
    let heights = feet
        .iter()
        .zip(&robot.legs)
        .map(|(p, leg)| leg.foot.radius - (orientation * p).z);
    heights.fold(f32::NEG_INFINITY, f32::max)
}
