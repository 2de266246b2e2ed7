//! Where the time of a step goes. Reading the clock for every robot would cost what it measures: some are measured, and
//! stand for the others.

use std::time::Instant;

use policies::training::StepTimes;

/// One of so many environments is measured.
const EVERY: usize = 16;

pub(super) struct Stopwatch {
    times: StepTimes,
    /// Environments that each measured one stands for.
    weight: f64,
    /// What it takes to read the clock, s.
    reading_s: f64,
}

impl Stopwatch {
    pub fn new(num_envs: usize) -> Self {
        let readings = (0..64).map(|_| Instant::now().elapsed().as_secs_f64());
        Self {
            times: StepTimes::default(),
            weight: num_envs as f64 / num_envs.div_ceil(EVERY) as f64,
            reading_s: readings.fold(f64::INFINITY, f64::min),
        }
    }

    /// Now, if the environment is one that is measured.
    pub fn begin(index: usize) -> Option<Instant> {
        index.is_multiple_of(EVERY).then(Instant::now)
    }

    pub fn physics(&mut self, begin: Instant) {
        self.times.physics_s += begin.elapsed().as_secs_f64();
    }

    pub fn rays(&mut self, begin: Option<Instant>) {
        self.times.rays_s += self.weighted_s(begin);
    }

    pub fn rewards(&mut self, begin: Option<Instant>) {
        self.times.rewards_s += self.weighted_s(begin);
    }

    fn weighted_s(&self, begin: Option<Instant>) -> f64 {
        let spent_s = |begin: Instant| begin.elapsed().as_secs_f64() - self.reading_s;
        self.weight * begin.map_or(0.0, spent_s).max(0.0)
    }

    pub fn take(&mut self) -> StepTimes {
        std::mem::take(&mut self.times)
    }
}
