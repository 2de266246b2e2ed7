//! A point on a line that should go to the origin.

use policies::training::{Done, Scalar, StepOut, VecEnv};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// Position moves by the action; the reward is minus the distance, and being nearer than half is
/// a cost. Episodes of 16 steps that the clock ends; leaving [-4, 4] terminates.
#[derive(Serialize, Deserialize)]
pub struct PointEnv {
    points: Vec<Point>,
    /// Policy step at which one reward is NaN, to see what the learner does.
    pub nan_reward_at: Option<u64>,
    /// Observations are NaN after every step.
    pub nan_observations: bool,
    /// Policy step at which the environment panics.
    pub panic_at: Option<u64>,
    step: u64,
    distance: (f64, u64),
}

#[derive(Serialize, Deserialize)]
struct Point {
    position: f32,
    age: u32,
    random: Pcg64,
}

const EPISODE_STEPS: u32 = 16;

impl PointEnv {
    pub fn new(num_envs: usize, seed: u64) -> Self {
        Self::part(0..num_envs as u64, seed)
    }

    /// Some of the environments of one seed.
    pub fn part(envs: std::ops::Range<u64>, seed: u64) -> Self {
        let mut points: Vec<_> = envs
            .map(|i| Point {
                position: 0.0,
                age: 0,
                random: Pcg64::seed_from_u64(seed * 1_000_003 + i),
            })
            .collect();
        points.iter_mut().for_each(Point::reset);
        Self {
            points,
            nan_reward_at: None,
            nan_observations: false,
            panic_at: None,
            step: 0,
            distance: (0.0, 0),
        }
    }

    /// `workers` shards.
    pub fn shards(workers: usize, num_envs: usize) -> Vec<Box<dyn VecEnv>> {
        (0..workers)
            .map(|w| Box::new(Self::new(num_envs / workers, w as u64)) as Box<dyn VecEnv>)
            .collect()
    }
}

impl Point {
    fn reset(&mut self) {
        self.age = 0;
        self.position = self.random.random_range(-2.0..2.0);
    }

    fn observation(&self) -> [f32; 2] {
        [self.position, self.position.abs()]
    }
}

impl VecEnv for PointEnv {
    fn num_envs(&self) -> usize {
        self.points.len()
    }

    fn observation_dim(&self) -> usize {
        2
    }

    fn action_dim(&self) -> usize {
        1
    }

    fn observe(&mut self, observations: &mut [f32]) {
        for (point, row) in self.points.iter().zip(observations.chunks_exact_mut(2)) {
            row.copy_from_slice(&point.observation());
        }
    }

    fn step(&mut self, actions: &[f32], mut out: StepOut<'_>) {
        assert_ne!(self.panic_at, Some(self.step), "the environment broke");
        for (i, (point, action)) in self.points.iter_mut().zip(actions).enumerate() {
            point.position += action.clamp(-1.0, 1.0);
            point.age += 1;
            out.rewards[i] = -point.position.abs();
            if let Some(costs) = &mut out.costs {
                costs[i] = f32::from(point.position.abs() < 0.5);
            }
            self.distance.0 += f64::from(point.position.abs());
            self.distance.1 += 1;
            out.done[i] = Done::No;
            if point.position.abs() > 4.0 {
                out.done[i] = Done::Terminated;
                point.reset();
            } else if point.age == EPISODE_STEPS {
                out.done[i] = Done::Timeout;
                out.terminal_observations[2 * i..2 * i + 2].copy_from_slice(&point.observation());
                point.reset();
            }
            out.observations[2 * i..2 * i + 2].copy_from_slice(&point.observation());
        }
        if self.nan_reward_at == Some(self.step) {
            out.rewards[0] = f32::NAN;
        }
        if self.nan_observations {
            out.observations.fill(f32::NAN);
        }
        self.step += 1;
    }

    fn take_log(&mut self) -> Vec<Scalar> {
        let (sum, count) = std::mem::take(&mut self.distance);
        vec![Scalar {
            name: "episode/distance".into(),
            value: sum / count as f64,
            count,
        }]
    }

    fn save(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap()
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), String> {
        *self = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        Ok(())
    }
}
