//! Where the time of a step goes. Reading the clock for every robot would cost what it measures: some are measured, and
//! stand for the others.

use std::time::Instant;

use policies::training::Times;

/// One of so many environments is measured.
const EVERY: usize = 16;

#[derive(Default)]
pub(super) struct Stopwatch {
    step_s: f64,
    physics_s: f64,
    rays_s: f64,
    rewards_s: f64,
    /// Environments that each measured one stands for.
    weight: f64,
    /// What it takes to read the clock, s.
    reading_s: f64,
}

impl Stopwatch {
    pub fn new(num_envs: usize) -> Self {
        let readings = (0..64).map(|_| Instant::now().elapsed().as_secs_f64());
        Self {
            weight: num_envs as f64 / num_envs.div_ceil(EVERY) as f64,
            reading_s: readings.fold(f64::INFINITY, f64::min),
            ..Self::default()
        }
    }

    /// Now, if the environment is one that is measured.
    pub fn begin(index: usize) -> Option<Instant> {
        index.is_multiple_of(EVERY).then(Instant::now)
    }

    pub fn step(&mut self, begin: Instant) {
        self.step_s += begin.elapsed().as_secs_f64();
    }

    pub fn physics(&mut self, begin: Instant) {
        self.physics_s += begin.elapsed().as_secs_f64();
    }

    pub fn rays(&mut self, begin: Option<Instant>) {
        self.rays_s += self.weighted_s(begin);
    }

    pub fn rewards(&mut self, begin: Option<Instant>) {
        self.rewards_s += self.weighted_s(begin);
    }

    fn weighted_s(&self, begin: Option<Instant>) -> f64 {
        let spent_s = |begin: Instant| begin.elapsed().as_secs_f64() - self.reading_s;
        self.weight * begin.map_or(0.0, spent_s).max(0.0)
    }

    /// Motors, dynamics and contacts; casting rays; reading the state, terminations and rewards; observations, noise and resets, which are what is left
    /// of the steps.
    pub fn take(&mut self) -> Times {
        let known_s = self.physics_s + self.rays_s + self.rewards_s;
        // Two of the times are samples: together they may come out longer than what they are part of.
        let fit = (self.step_s / known_s.max(f64::MIN_POSITIVE)).min(1.0);
        let mut times = Times::default();
        times.add("physics", fit * self.physics_s);
        times.add("rays", fit * self.rays_s);
        times.add("rewards", fit * self.rewards_s);
        times.add("observations", self.step_s - fit * known_s);
        (self.step_s, self.physics_s) = (0.0, 0.0);
        (self.rays_s, self.rewards_s) = (0.0, 0.0);
        times
    }
}
