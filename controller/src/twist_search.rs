//! The search for a safe twist (method section 7).
//!
//! Minimizes the distance to the goal after a short time, subject to a reach-avoid value below the threshold: the
//! constraint enters as a hinge, the objective is descended with a bounded number of projected gradient steps.

use policies::{
    command::{GoalYaw, Twist},
    reach_avoid::ReachAvoidValue,
};
use serde::{Deserialize, Serialize};

/// Settings of the twist search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TwistSearchConfig {
    /// Gradient steps.
    pub steps: usize,
    /// Length of a step, in units of the gradient that is clipped to length 1.
    pub step_size: f32,
    /// The search aims at a value this far below the threshold.
    pub margin: f32,
    /// Weight of the constraint against the squared distance to the goal.
    pub constraint_weight: f32,
    /// Weight of the squared distance to the goal.
    pub goal_weight: f32,
    /// Time after which the distance to the goal is taken, s.
    pub horizon_s: f32,
    /// Largest commanded twist, in both directions.
    pub limit: Twist,
}

impl Default for TwistSearchConfig {
    fn default() -> Self {
        Self {
            steps: 10,
            step_size: 0.5,
            margin: 0.05,
            constraint_weight: 10.0,
            goal_weight: 0.02,
            horizon_s: 0.05,
            limit: Twist { vx_mps: 1.5, vy_mps: 0.3, yaw_rate_radps: 3.0 },
        }
    }
}

/// What the search found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SafeTwist {
    /// Command for the recovery policy.
    pub twist: Twist,
    /// Reach-avoid value with the robot moving at that twist.
    pub value: f32,
    /// Whether the value lies below the threshold.
    pub safe: bool,
}

/// Where the twist stands in an observation of the value network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TwistIndices {
    /// Index of v_x; v_y and v_z follow.
    pub linear_velocity: usize,
    /// Index of w_x; w_y and w_z follow.
    pub angular_velocity: usize,
}

impl TwistIndices {
    fn read(self, row: &[f32]) -> [f32; 3] {
        [row[self.linear_velocity], row[self.linear_velocity + 1], row[self.angular_velocity + 2]]
    }

    fn write(self, row: &mut [f32], [vx, vy, yaw_rate]: [f32; 3]) {
        row[self.linear_velocity] = vx;
        row[self.linear_velocity + 1] = vy;
        row[self.angular_velocity + 2] = yaw_rate;
    }
}

/// The search with its memory. Its cost is bounded by `steps + 1` evaluations of the value and its gradient; it never
/// allocates after construction.
#[derive(Clone, Debug)]
pub struct TwistSearch {
    config: TwistSearchConfig,
    indices: TwistIndices,
    observation: Vec<f32>,
    gradient: Vec<f32>,
}

impl TwistSearch {
    /// For observations of `dim` numbers.
    pub fn new(config: TwistSearchConfig, indices: TwistIndices, dim: usize) -> Self {
        Self { config, indices, observation: vec![0.0; dim], gradient: vec![0.0; dim] }
    }

    /// Searches from the twist in `observation` (the current one). Of all iterates, returns the one nearest to the
    /// goal among those below the threshold or, when there is none, the one of the lowest value.
    pub fn search(
        &mut self,
        value: &mut ReachAvoidValue,
        observation: &[f32],
        goal: &GoalYaw,
        threshold: f32,
    ) -> SafeTwist {
        let c = &self.config;
        let limit = [c.limit.vx_mps, c.limit.vy_mps, c.limit.yaw_rate_radps];
        let clip = |twist: [f32; 3]| {
            let mut clipped = twist;
            for (x, limit) in clipped.iter_mut().zip(limit) {
                *x = x.clamp(-limit, limit);
            }
            clipped
        };
        self.observation.copy_from_slice(observation);
        let mut twist = clip(self.indices.read(observation));
        let mut best: Option<(SafeTwist, f32)> = None;
        for step in 0..=c.steps {
            self.indices.write(&mut self.observation, twist);
            let v = value.value_and_gradient(&self.observation, &mut self.gradient);
            let (distance, mut slope) = goal_distance_squared(twist, goal, c.horizon_s);
            let candidate = SafeTwist {
                twist: Twist { vx_mps: twist[0], vy_mps: twist[1], yaw_rate_radps: twist[2] },
                value: v,
                safe: v < threshold,
            };
            let better = best.is_none_or(|(best, best_distance)| match (candidate.safe, best.safe) {
                (true, true) => distance < best_distance,
                (false, false) => v < best.value,
                (safe, _) => safe,
            });
            if better {
                best = Some((candidate, distance));
            }
            if step == c.steps {
                break;
            }
            for x in &mut slope {
                *x *= c.goal_weight;
            }
            if v > threshold - c.margin {
                for (x, dv) in slope.iter_mut().zip(self.indices.read(&self.gradient)) {
                    *x += c.constraint_weight * dv;
                }
            }
            let norm = slope.iter().map(|x| x * x).sum::<f32>().sqrt();
            let length = c.step_size / norm.max(1.0);
            for (x, slope) in twist.iter_mut().zip(slope) {
                *x -= length * slope;
            }
            twist = clip(twist);
        }
        // The loop runs at least once, so that there is a best.
        best.map_or(
            SafeTwist { twist: Twist::default(), value: f32::NAN, safe: false },
            |(best, _)| best,
        )
    }
}

/// Squared distance to the goal after `t` seconds at a constant twist, to second order in `t`, and its derivatives
/// by (v_x, v_y, w_z).
fn goal_distance_squared([vx, vy, w]: [f32; 3], goal: &GoalYaw, t: f32) -> (f32, [f32; 3]) {
    let half_t2 = 0.5 * t * t;
    let dx = vx * t - vy * w * half_t2 - goal.x_m;
    let dy = vy * t + vx * w * half_t2 - goal.y_m;
    let slope = [
        2.0 * (dx * t + dy * w * half_t2),
        2.0 * (-dx * w * half_t2 + dy * t),
        2.0 * (-dx * vy + dy * vx) * half_t2,
    ];
    (dx * dx + dy * dy, slope)
}

#[cfg(test)]
mod tests {
    use policies::mlp::Linear;

    use super::*;

    const INDICES: TwistIndices = TwistIndices { linear_velocity: 0, angular_velocity: 3 };

    /// V = tanh(v_x - 0.5): safe below 0.45 m/s at threshold -0.05.
    fn speed_limit() -> ReachAvoidValue {
        let weight = vec![1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        ReachAvoidValue::new(vec![Linear { weight, bias: vec![-0.5], inputs: 6 }]).unwrap()
    }

    #[test]
    fn distance_and_its_slope() {
        let goal = GoalYaw { x_m: 2.0, y_m: -1.0, heading_error_rad: 0.0 };
        // x = 3 * 0.1 - 0.5 * 1 * 2 * 0.01 = 0.29, y = 0.1 + 0.5 * 3 * 2 * 0.01 = 0.13.
        let (squared, slope) = goal_distance_squared([3.0, 1.0, 2.0], &goal, 0.1);
        assert!((squared - (1.71f32.powi(2) + 1.13f32.powi(2))).abs() < 1e-5);
        for i in 0..3 {
            let at = |delta: f32| {
                let mut twist = [3.0, 1.0, 2.0];
                twist[i] += delta;
                goal_distance_squared(twist, &goal, 0.1).0
            };
            let difference = (at(1e-2) - at(-1e-2)) / 2e-2;
            assert!((slope[i] - difference).abs() < 1e-3, "{i}: {} {difference}", slope[i]);
        }
    }

    #[test]
    fn it_brakes_just_enough() {
        let mut search = TwistSearch::new(TwistSearchConfig::default(), INDICES, 6);
        let goal = GoalYaw { x_m: 5.0, y_m: 0.0, heading_error_rad: 0.0 };
        let fast = [3.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let found = search.search(&mut speed_limit(), &fast, &goal, -0.05);
        assert!(found.safe && found.value < -0.05, "{found:?}");
        assert!(found.twist.vx_mps > -0.1 && found.twist.vx_mps < 0.45, "{found:?}");
        assert_eq!((found.twist.vy_mps.abs() < 0.2, found.twist.yaw_rate_radps), (true, 0.0));
    }

    #[test]
    fn it_stays_in_the_box_and_reports_when_nothing_is_safe() {
        // V = tanh(1 - 0.1 v_x): even the fastest allowed speed is unsafe, and the best.
        let weight = vec![-0.1, 0.0, 0.0, 0.0, 0.0, 0.0];
        let mut value =
            ReachAvoidValue::new(vec![Linear { weight, bias: vec![1.0], inputs: 6 }]).unwrap();
        let mut search = TwistSearch::new(TwistSearchConfig::default(), INDICES, 6);
        let goal = GoalYaw { x_m: -5.0, y_m: 3.0, heading_error_rad: 0.0 };
        let found = search.search(&mut value, &[0.0, 9.0, 0.0, 0.0, 0.0, -9.0], &goal, -0.05);
        assert!(!found.safe);
        let Twist { vx_mps, vy_mps, yaw_rate_radps } = found.twist;
        assert!(vx_mps.abs() <= 1.5 && vy_mps.abs() <= 0.3 && yaw_rate_radps.abs() <= 3.0);
        assert!(vx_mps > 0.5, "the value falls with v_x: {found:?}");
    }
}
