//! Measurements that are taken now and then, and arrive late.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Half a millisecond for rounding.
const ROUNDING_S: f32 = 5e-4;

/// Measurements on their way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Late<T> {
    period_s: f32,
    latency_s: f32,
    next_s: f32,
    /// With the time at which each was taken, oldest first.
    pending: VecDeque<(f32, T)>,
}

impl<T> Default for Late<T> {
    fn default() -> Self {
        Self::new(0.0, 0.0)
    }
}

impl<T> Late<T> {
    /// So many per second, one in every policy step for 0, each of which takes so long.
    pub fn new(rate_hz: f32, latency_ms: f32) -> Self {
        Self {
            period_s: if rate_hz > 0.0 { 1.0 / rate_hz } else { 0.0 },
            latency_s: 1e-3 * latency_ms,
            next_s: 0.0,
            pending: VecDeque::new(),
        }
    }

    /// From now on so many per second, and so late. What is on its way arrives in its order.
    pub fn change(&mut self, rate_hz: f32, latency_ms: f32) {
        let Self {
            period_s,
            latency_s,
            ..
        } = Self::new(rate_hz, latency_ms);
        (self.period_s, self.latency_s) = (period_s, latency_s);
    }

    /// Time between two, 0 for one in every policy step, s.
    pub fn period_s(&self) -> f32 {
        self.period_s
    }

    /// Age of one when it arrives, s.
    pub fn latency_s(&self) -> f32 {
        self.latency_s
    }

    /// Whether the next one is to be taken.
    pub fn is_due(&self, time_s: f32) -> bool {
        self.period_s == 0.0 || self.pending.is_empty() || time_s + ROUNDING_S >= self.next_s
    }

    /// Takes one.
    pub fn take(&mut self, time_s: f32, value: T) {
        self.next_s = (self.next_s + self.period_s).max(time_s);
        self.pending.push_back((time_s, value));
    }

    /// The last that has arrived, and when it was taken; the first one stands for those before it.
    pub fn arrived(&mut self, time_s: f32) -> Option<(f32, &T)> {
        let has_arrived = |taken_s: f32| taken_s + self.latency_s <= time_s + ROUNDING_S;
        while self.pending.len() > 1 && has_arrived(self.pending[1].0) {
            self.pending.pop_front();
        }
        self.pending
            .front()
            .map(|(taken_s, value)| (*taken_s, value))
    }
}
