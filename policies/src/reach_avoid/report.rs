//! How well a value predicts episodes that it has not learned from.

use serde::{Deserialize, Serialize};

use super::Rollouts;
use crate::nn::{Activation, Linear, Mlp, MlpError};

/// What came after a recorded state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The goal, before any collision.
    Reach,
    /// A collision, before the goal.
    Collision,
    /// Neither.
    TimeOut,
}

/// Predicted value against what happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValueReport {
    /// Episodes reported on.
    pub episodes: usize,
    /// Their states.
    pub states: usize,
    /// Fraction of the states that are followed by a collision.
    pub collision_fraction: f64,
    /// Fraction of the states that are followed by neither collision nor goal.
    pub timeout_fraction: f64,
    /// Mean squared difference to the value of the recorded course.
    pub mean_squared_error: f64,
    /// Errors at the threshold of the switch.
    pub rates: ErrorRates,
    /// Errors at other thresholds, from low to high.
    pub thresholds: Vec<ErrorRates>,
    /// For some times before a collision, s, the share of the colliding episodes that still looked safe.
    pub false_safe_before_collision: Vec<(f32, f64)>,
    /// States by predicted value, from -1 to 1.
    pub calibration: Vec<CalibrationBin>,
}

/// What goes wrong if states of a value below the threshold are taken as safe. A rate without states is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ErrorRates {
    /// The threshold.
    pub threshold: f32,
    /// Of the states that are followed by a collision, those that look safe.
    pub false_safe_rate: f64,
    /// Of the episodes that collide, those that look safe half a second before.
    pub false_safe_rate_half_second: f64,
    /// Of the states that are followed by neither collision nor goal, those that look safe.
    pub false_reach_rate: f64,
    /// Of the states from which the goal is reached, those that do not look safe.
    pub false_alarm_rate: f64,
}

/// States whose predicted values lie within a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CalibrationBin {
    /// Lower end of the range.
    pub from: f32,
    /// Upper end.
    pub to: f32,
    /// Number of states.
    pub states: u64,
    /// Mean of the predictions.
    pub mean_predicted: f64,
    /// Mean of the values of the recorded courses.
    pub mean_course: f64,
    /// Fraction followed by a collision.
    pub collision_fraction: f64,
    /// Fraction followed by neither collision nor goal.
    pub timeout_fraction: f64,
}

const BINS: usize = 20;
const THRESHOLDS: [f32; 11] = [
    -0.8, -0.6, -0.4, -0.3, -0.2, -0.1, -0.05, -0.01, 0.0, 0.1, 0.2,
];
const HALF_SECOND: f32 = 0.5;
const BEFORE_COLLISION_S: [f32; 7] = [0.1, 0.2, 0.3, HALF_SECOND, 0.75, 1.0, 1.5];

/// One state: prediction, value of the course, what followed.
struct Judged {
    predicted: f32,
    course: f32,
    outcome: Outcome,
}

impl ValueReport {
    /// Reports on some episodes. `layers` are those of the value network, `policy_step_s` the time from row to row.
    ///
    /// # Errors
    /// When the layers are not a network that observes the recorded rows.
    pub fn new(
        layers: &[Linear],
        rollouts: &Rollouts,
        episodes: std::ops::Range<usize>,
        threshold: f32,
        policy_step_s: f32,
    ) -> Result<Self, MlpError> {
        let mut network = Mlp::new(layers, Activation::Relu, Activation::Tanh)?;
        let mut states = Vec::new();
        let mut collisions: Vec<Vec<f32>> = Vec::new();
        for episode in episodes.clone() {
            let mut predicted = vec![0.0; rollouts.rows(episode).len()];
            network.forward_batch(rollouts.observations(episode), &mut predicted);
            let course = rollouts.course_targets(episode, 1.0, false);
            let outcomes = rollouts.outcomes(episode);
            let rows = predicted.iter().zip(course).zip(outcomes);
            states.extend(rows.map(|((&predicted, course), outcome)| Judged {
                predicted,
                course,
                outcome,
            }));
            if rollouts.collided(episode) {
                collisions.push(predicted);
            }
        }
        let before = |seconds: f32, threshold: f32| {
            let back = 1 + (seconds / policy_step_s).round() as usize;
            let before = collisions
                .iter()
                .filter_map(|v| v.len().checked_sub(back).map(|at| v[at]));
            share(before.map(|value| value < threshold))
        };
        let rates = |threshold| ErrorRates {
            false_safe_rate_half_second: before(HALF_SECOND, threshold),
            ..error_rates(&states, threshold)
        };
        let squares = states
            .iter()
            .map(|s| f64::from((s.predicted - s.course).powi(2)));
        Ok(Self {
            episodes: episodes.len(),
            states: states.len(),
            collision_fraction: share(states.iter().map(|s| s.outcome == Outcome::Collision)),
            timeout_fraction: share(states.iter().map(|s| s.outcome == Outcome::TimeOut)),
            mean_squared_error: squares.sum::<f64>() / states.len().max(1) as f64,
            rates: rates(threshold),
            thresholds: THRESHOLDS.map(rates).to_vec(),
            false_safe_before_collision: BEFORE_COLLISION_S
                .map(|s| (s, before(s, threshold)))
                .to_vec(),
            calibration: calibration(&states),
        })
    }
}

fn share(events: impl Iterator<Item = bool>) -> f64 {
    let (mut hits, mut count) = (0_u64, 0_u64);
    for event in events {
        hits += u64::from(event);
        count += 1;
    }
    hits as f64 / count.max(1) as f64
}

fn error_rates(states: &[Judged], threshold: f32) -> ErrorRates {
    let safe_fraction = |outcome: Outcome| {
        let states = states.iter().filter(move |s| s.outcome == outcome);
        share(states.map(|s| s.predicted < threshold))
    };
    let reaches = states.iter().filter(|s| s.outcome == Outcome::Reach);
    ErrorRates {
        threshold,
        false_safe_rate: safe_fraction(Outcome::Collision),
        false_safe_rate_half_second: 0.0,
        false_reach_rate: safe_fraction(Outcome::TimeOut),
        false_alarm_rate: share(reaches.map(|s| s.predicted >= threshold)),
    }
}

fn calibration(states: &[Judged]) -> Vec<CalibrationBin> {
    let width = 2.0 / BINS as f32;
    let bin = |value: f32| (((value + 1.0) / width) as usize).min(BINS - 1);
    let mut bins: Vec<CalibrationBin> = (0..BINS)
        .map(|index| CalibrationBin {
            from: -1.0 + width * index as f32,
            to: -1.0 + width * (index + 1) as f32,
            ..CalibrationBin::default()
        })
        .collect();
    for state in states {
        let bin = &mut bins[bin(state.predicted)];
        bin.states += 1;
        bin.mean_predicted += f64::from(state.predicted);
        bin.mean_course += f64::from(state.course);
        bin.collision_fraction += f64::from(u8::from(state.outcome == Outcome::Collision));
        bin.timeout_fraction += f64::from(u8::from(state.outcome == Outcome::TimeOut));
    }
    for bin in &mut bins {
        let count = bin.states.max(1) as f64;
        for sum in [
            &mut bin.mean_predicted,
            &mut bin.mean_course,
            &mut bin.collision_fraction,
            &mut bin.timeout_fraction,
        ] {
            *sum /= count;
        }
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A value of tanh(x) for rows of one number x.
    fn identity() -> Vec<Linear> {
        vec![Linear {
            weight: vec![1.0],
            bias: vec![0.0],
            inputs: 1,
        }]
    }

    #[test]
    fn rates_by_hand() {
        let mut rollouts = Rollouts::new(1);
        // Collides after 4 steps: looks safe twice, also two steps before the collision.
        rollouts.push_episode(&[-1.0, -1.0, 1.0, 1.0], &[3.0, 2.0, 2.0, 1.0], true);
        // Reaches: one false alarm of two.
        rollouts.push_episode(&[0.5, -0.5], &[2.0, 0.3], false);
        // Neither, and looks safe in one of two states.
        rollouts.push_episode(&[-1.0, 1.0], &[2.0, 2.0], false);
        let report = ValueReport::new(&identity(), &rollouts, 0..3, -0.05, 0.25).unwrap();
        assert_eq!((report.episodes, report.states), (3, 8));
        assert_eq!(
            (report.collision_fraction, report.timeout_fraction),
            (0.5, 0.25)
        );
        let rates = report.rates;
        assert_eq!(rates.false_safe_rate, 0.5);
        assert_eq!(rates.false_safe_rate_half_second, 1.0);
        assert_eq!(rates.false_reach_rate, 0.5);
        assert_eq!(rates.false_alarm_rate, 0.5);
        // 0.25 s before the collision it no longer looks safe; 1.5 s before there was no episode.
        let before = &report.false_safe_before_collision;
        assert_eq!(before[2], (0.3, 0.0));
        assert_eq!(before[6], (1.5, 0.0));
        // tanh(-1) = -0.76 and tanh(-0.5) = -0.46.
        let bins: Vec<u64> = report.calibration.iter().map(|bin| bin.states).collect();
        assert_eq!((bins[2], bins[5], bins[14], bins[17]), (3, 1, 1, 3));
        let low = report.calibration[2];
        assert!((low.collision_fraction - 2.0 / 3.0).abs() < 1e-9);
        assert!((low.mean_predicted + 1f64.tanh()).abs() < 1e-6);
        // At a threshold above every prediction everything looks safe.
        let high = error_rates(&[], 0.9);
        assert_eq!(high.false_safe_rate, 0.0);
    }
}
