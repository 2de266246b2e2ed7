use controller::Method;
use policies::Twist;
use serde::{Deserialize, Serialize};

use crate::{
    engine::EngineKind,
    eval::{GaitReport, GaitSums},
    reality::RealityConfig,
};

/// How a trial begins, and what is commanded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) start_vx_mps: f32,
    pub(super) command: Twist,
}

/// What one trial showed.
#[derive(Default)]
pub(super) struct TrialResult {
    pub(super) fell: bool,
    /// Mean v_x, v_y and w_z over the second half.
    pub(super) mean: [f64; 3],
    pub(super) worst_tilt_rad: f32,
    /// Distance until it first was slower than the bound.
    pub(super) stopping_distance_m: Option<f32>,
    pub(super) gait: GaitSums,
}

/// Results of all trials of one case. Means are over the trials that did not fall; there are none where all fell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseReport {
    /// Speed along x at the start, m/s; 0 is at rest.
    pub start_vx_mps: f32,
    /// Twist to follow.
    pub command: Twist,
    /// Trials.
    pub trials: usize,
    /// Trials in which the base touched the ground or tilted by more than 60 degrees.
    pub falls: usize,
    /// Mean forward velocity over the second half, base frame, m/s.
    pub mean_vx_mps: Option<f64>,
    /// Mean velocity to the left over the second half, base frame, m/s.
    pub mean_vy_mps: Option<f64>,
    /// Mean turning rate over the second half, base frame, rad/s.
    pub mean_yaw_rate_radps: Option<f64>,
    /// Largest angle between the base's z and the vertical in any trial, rad.
    pub worst_tilt_rad: f32,
    /// Distance until the robot had stopped, m: the longest of the trials; for the stop command after a start at speed,
    /// where it stopped in every trial.
    pub stopping_distance_m: Option<f32>,
}

/// Summary of a test of the recovery policy, as it stands in `metrics.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecoveryReport {
    /// Name of the robot.
    pub robot: String,
    /// Always `recovery`.
    pub method: Method,
    /// Physics engine.
    pub engine: EngineKind,
    /// Number of trials of all cases.
    pub episodes: usize,
    /// Seed of the trials.
    pub seed: u64,
    /// In what the robot differed from the simulation.
    #[serde(default, skip_serializing_if = "RealityConfig::is_ideal")]
    pub reality: RealityConfig,
    /// What the gait costs motors and floor; nothing where the robot did not move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gait: Option<GaitReport>,
    /// Fraction of the trials without a fall.
    pub survival_rate: f64,
    /// Mean over the cases of |mean v_x - command|, m/s.
    pub mean_vx_error: f64,
    /// Mean over the cases of |mean v_y - command|, m/s.
    pub mean_vy_error: f64,
    /// Mean over the cases of the length of the horizontal velocity error, m/s.
    pub mean_velocity_error: f64,
    /// Mean over the cases of |mean w_z - command|, rad/s.
    pub mean_yaw_rate_error: f64,
    /// Every case: commands from rest first, then braking.
    pub cases: Vec<CaseReport>,
}

impl RecoveryReport {
    /// Summarizes the cases.
    pub(super) fn new(
        robot: &str,
        method: Method,
        engine: EngineKind,
        seed: u64,
        cases: Vec<CaseReport>,
    ) -> Self {
        let episodes: usize = cases.iter().map(|case| case.trials).sum();
        let falls: usize = cases.iter().map(|case| case.falls).sum();
        let errors: Vec<[f64; 3]> = cases.iter().filter_map(CaseReport::error).collect();
        let mean = |value: fn(&[f64; 3]) -> f64| {
            errors.iter().map(value).sum::<f64>() / errors.len().max(1) as f64
        };
        Self {
            robot: robot.to_owned(),
            method,
            engine,
            episodes,
            seed,
            reality: RealityConfig::default(),
            gait: None,
            survival_rate: 1.0 - falls as f64 / episodes.max(1) as f64,
            mean_vx_error: mean(|e| e[0].abs()),
            mean_vy_error: mean(|e| e[1].abs()),
            mean_velocity_error: mean(|e| e[0].hypot(e[1])),
            mean_yaw_rate_error: mean(|e| e[2].abs()),
            cases,
        }
    }
}

impl CaseReport {
    pub(super) fn new(case: Case, trials: &[TrialResult]) -> Self {
        let upright: Vec<&TrialResult> = trials.iter().filter(|trial| !trial.fell).collect();
        let mean = |axis: usize| {
            let sum: f64 = upright.iter().map(|trial| trial.mean[axis]).sum();
            (!upright.is_empty()).then(|| sum / upright.len() as f64)
        };
        let stops = case.start_vx_mps != 0.0 && case.command == Twist::default();
        let stopped = trials.iter().map(|trial| {
            let way_m = trial.stopping_distance_m?;
            (!trial.fell).then_some(way_m)
        });
        let stopped: Option<Vec<f32>> = stopped.collect();
        Self {
            start_vx_mps: case.start_vx_mps,
            command: case.command,
            trials: trials.len(),
            falls: trials.len() - upright.len(),
            mean_vx_mps: mean(0),
            mean_vy_mps: mean(1),
            mean_yaw_rate_radps: mean(2),
            worst_tilt_rad: trials
                .iter()
                .fold(0.0, |w, trial| w.max(trial.worst_tilt_rad)),
            stopping_distance_m: stopped
                .filter(|_| stops)
                .map(|ways| ways.into_iter().fold(0.0, f32::max)),
        }
    }

    /// Mean velocity minus command: v_x, v_y, w_z.
    pub fn error(&self) -> Option<[f64; 3]> {
        Some([
            self.mean_vx_mps? - f64::from(self.command.vx_mps),
            self.mean_vy_mps? - f64::from(self.command.vy_mps),
            self.mean_yaw_rate_radps? - f64::from(self.command.yaw_rate_radps),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(fell: bool, mean: [f64; 3], stopping_distance_m: Option<f32>) -> TrialResult {
        TrialResult {
            fell,
            mean,
            worst_tilt_rad: 0.1 + 0.1 * mean[0] as f32,
            stopping_distance_m,
            gait: GaitSums::default(),
        }
    }

    #[test]
    fn falls_count_and_do_not_enter_the_means() {
        let command = Twist {
            vx_mps: 1.0,
            vy_mps: 0.0,
            yaw_rate_radps: -1.0,
        };
        let case = Case {
            start_vx_mps: 0.0,
            command,
        };
        let trials = [
            trial(false, [1.0, 0.25, -1.0], Some(0.0)),
            trial(false, [0.5, 0.25, -2.0], Some(0.0)),
            trial(true, [9.0, 9.0, 9.0], None),
        ];
        let report = CaseReport::new(case, &trials);
        assert_eq!((report.trials, report.falls), (3, 1));
        assert_eq!(report.error(), Some([-0.25, 0.25, -0.5]));
        assert!((report.worst_tilt_rad - 1.0).abs() < 1e-6);
        assert_eq!(report.stopping_distance_m, None, "it was not to stop");
        assert_eq!(CaseReport::new(case, &trials[2..]).error(), None);
    }

    #[test]
    fn the_longest_way_to_a_stop_counts_if_every_trial_stopped() {
        let case = Case {
            start_vx_mps: 3.0,
            command: Twist::default(),
        };
        let trials = [
            trial(false, [0.0; 3], Some(0.7)),
            trial(false, [0.0; 3], Some(0.9)),
            trial(false, [0.0; 3], None),
            trial(true, [0.0; 3], Some(0.1)),
        ];
        let way_m = |trials| CaseReport::new(case, trials).stopping_distance_m;
        assert_eq!(way_m(&trials[..2]), Some(0.9));
        assert_eq!(way_m(&trials[1..3]), None);
        assert_eq!(way_m(&trials[3..]), None);
    }
}
