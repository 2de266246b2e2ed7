//! The search for a safe twist (docs/concepts/reach-avoid.md#twist-search).
//!
//! Minimizes the squared distance to the goal after a short time, subject to a reach-avoid value below the threshold.
//! The constraint enters as a hinge on the logit of the value, which has a slope even where the value is nearly 1 and
//! the danger is greatest. The sum is descended by a fixed number of projected gradient steps of bounded length.

use policies::{GoalYaw, Layout, Quantity, RaySpec, ReachAvoidValue, Twist, spec::TwistSearchSpec};

use crate::lookahead::Lookahead;

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

/// Where the twist stands in an observation of the reach-avoid value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TwistIndices {
    /// Index of v_x; v_y and v_z follow.
    pub(crate) linear_velocity: usize,
    /// Index of w_x; w_y and w_z follow.
    pub(crate) angular_velocity: usize,
}

impl TwistIndices {
    fn read(self, row: &[f32]) -> [f32; 3] {
        [
            row[self.linear_velocity],
            row[self.linear_velocity + 1],
            row[self.angular_velocity + 2],
        ]
    }

    fn write(self, row: &mut [f32], [vx, vy, yaw_rate]: [f32; 3]) {
        row[self.linear_velocity] = vx;
        row[self.linear_velocity + 1] = vy;
        row[self.angular_velocity + 2] = yaw_rate;
    }
}

/// The search with its memory. It costs `steps + 1` evaluations of the value and its gradient.
#[derive(Clone, Debug)]
pub struct TwistSearch {
    config: TwistSearchSpec,
    indices: TwistIndices,
    lookahead: Option<Lookahead>,
    observation: Vec<f32>,
    gradient: Vec<f32>,
}

impl TwistSearch {
    /// For observations of this layout; the value is taken where the robot will be, if the settings say so.
    pub fn of_layout(config: &TwistSearchSpec, layout: &Layout, rays: &RaySpec) -> Self {
        let start = |quantity| layout.range(quantity).map_or(0, |range| range.start);
        let indices = TwistIndices {
            linear_velocity: start(Quantity::LinearVelocityBase),
            angular_velocity: start(Quantity::AngularVelocityBase),
        };
        let mut search = Self::new(config.clone(), indices, layout.dim());
        if config.lookahead_s > 0.0 {
            search.lookahead = Lookahead::new(layout, rays, config.lookahead_s, config.response_s);
        }
        search
    }

    pub(crate) fn new(config: TwistSearchSpec, indices: TwistIndices, dim: usize) -> Self {
        Self {
            config,
            indices,
            lookahead: None,
            observation: vec![0.0; dim],
            gradient: vec![0.0; dim],
        }
    }

    /// Searches from the twist in `observation` (the current one). Of all iterates, returns the one nearest to the
    /// goal among those below the threshold or, when there is none, the one of the lowest value. Never allocates.
    pub fn search(
        &mut self,
        value: &mut ReachAvoidValue,
        observation: &[f32],
        goal: &GoalYaw,
        threshold: f32,
    ) -> SafeTwist {
        let c = &self.config;
        let limit = [c.limit.vx_mps, c.limit.vy_mps, c.limit.yaw_rate_radps];
        // The aim must stay a value that tanh can have.
        let aim = (threshold - c.margin).max(-0.999).atanh();
        self.observation.copy_from_slice(observation);
        let present = self.indices.read(observation);
        let mut twist = clip(present, limit);
        let mut best: Option<(SafeTwist, f32)> = None;
        for step in 0..=c.steps {
            let (mut mean, mut reached) = (twist, twist);
            if let Some(lookahead) = &self.lookahead {
                mean = lookahead.mean_twist(present, twist);
                lookahead.predict(observation, mean, &mut self.observation);
                reached = lookahead.final_twist(present, twist);
            }
            self.indices.write(&mut self.observation, reached);
            let logit = value.logit_and_gradient(&self.observation, &mut self.gradient);
            let (distance, mut slope) = goal_distance_squared(twist, goal, c.horizon_s);
            let found = SafeTwist::new(twist, logit.tanh(), threshold);
            let better = best.is_none_or(|(best, best_distance)| match (found.safe, best.safe) {
                (true, true) => distance < best_distance,
                (false, false) => found.value < best.value,
                (safe, _) => safe,
            });
            if better {
                best = Some((found, distance));
            }
            if step == c.steps {
                break;
            }
            for x in &mut slope {
                *x *= c.goal_weight;
            }
            if logit > aim {
                let mut by_twist = self.indices.read(&self.gradient);
                if let Some(lookahead) = &self.lookahead {
                    lookahead.pull_back(observation, mean, &self.gradient, &mut by_twist);
                }
                for (x, derivative) in slope.iter_mut().zip(by_twist) {
                    *x += c.constraint_weight * derivative;
                }
            }
            let norm = slope.iter().map(|x| x * x).sum::<f32>().sqrt();
            let length = c.step_size / norm.max(1.0);
            if !length.is_normal() {
                // The slope has overflowed: there is no direction to go.
                break;
            }
            for (x, slope) in twist.iter_mut().zip(slope) {
                *x -= length * slope;
            }
            twist = clip(twist, limit);
        }
        // The first iterate is always taken.
        best.map_or(SafeTwist::new([0.0; 3], 1.0, threshold), |(best, _)| best)
    }
}

impl SafeTwist {
    fn new([vx_mps, vy_mps, yaw_rate_radps]: [f32; 3], value: f32, threshold: f32) -> Self {
        Self {
            twist: Twist {
                vx_mps,
                vy_mps,
                yaw_rate_radps,
            },
            value,
            safe: value < threshold,
        }
    }
}

fn clip(mut twist: [f32; 3], limit: [f32; 3]) -> [f32; 3] {
    for (x, limit) in twist.iter_mut().zip(limit) {
        *x = x.clamp(-limit, limit);
    }
    twist
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
    use policies::Linear;

    use super::*;

    const INDICES: TwistIndices = TwistIndices {
        linear_velocity: 0,
        angular_velocity: 3,
    };

    /// The paper's box.
    fn paper() -> TwistSearchSpec {
        TwistSearchSpec {
            limit: Twist {
                vx_mps: 1.5,
                vy_mps: 0.3,
                yaw_rate_radps: 3.0,
            },
            ..TwistSearchSpec::default()
        }
    }

    /// V = tanh(v_x - 0.5): safe below 0.45 m/s at threshold -0.05.
    fn speed_limit() -> ReachAvoidValue {
        let weight = vec![1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        ReachAvoidValue::new(vec![Linear {
            weight,
            bias: vec![-0.5],
            inputs: 6,
        }])
        .unwrap()
    }

    #[test]
    fn distance_and_its_slope() {
        let goal = GoalYaw {
            x_m: 2.0,
            y_m: -1.0,
            heading_error_rad: 0.0,
        };
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
            assert!(
                (slope[i] - difference).abs() < 1e-3,
                "{i}: {} {difference}",
                slope[i]
            );
        }
    }

    #[test]
    fn it_brakes_just_enough() {
        let mut search = TwistSearch::new(paper(), INDICES, 6);
        let goal = GoalYaw {
            x_m: 5.0,
            y_m: 0.0,
            heading_error_rad: 0.0,
        };
        let fast = [3.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let found = search.search(&mut speed_limit(), &fast, &goal, -0.05);
        assert!(found.safe && found.value < -0.05, "{found:?}");
        assert!(
            found.twist.vx_mps > -0.1 && found.twist.vx_mps < 0.45,
            "{found:?}"
        );
        assert_eq!(
            (found.twist.vy_mps.abs() < 0.2, found.twist.yaw_rate_radps),
            (true, 0.0)
        );
    }

    #[test]
    fn it_finds_the_way_down_from_where_the_value_is_flat() {
        // V = tanh(20 (1 - w_z)): 1 to the last bit at rest, safe when turning left.
        let weight = vec![0.0, 0.0, 0.0, 0.0, 0.0, -20.0];
        let linear = Linear {
            weight,
            bias: vec![20.0],
            inputs: 6,
        };
        let mut value = ReachAvoidValue::new(vec![linear]).unwrap();
        let mut search = TwistSearch::new(paper(), INDICES, 6);
        let goal = GoalYaw {
            x_m: 5.0,
            y_m: 0.0,
            heading_error_rad: 0.0,
        };
        assert_eq!(value.value(&[0.0; 6]), 1.0);
        let found = search.search(&mut value, &[0.0; 6], &goal, -0.05);
        assert!(found.safe && found.twist.yaw_rate_radps > 1.0, "{found:?}");
    }

    #[test]
    fn an_overflowing_slope_leaves_the_current_twist() {
        let weight = vec![f32::MAX, f32::MAX, 0.0, 0.0, 0.0, 0.0];
        let linear = Linear {
            weight,
            bias: vec![1.0],
            inputs: 6,
        };
        let mut value = ReachAvoidValue::new(vec![linear]).unwrap();
        let mut search = TwistSearch::new(paper(), INDICES, 6);
        let goal = GoalYaw::default();
        let found = search.search(&mut value, &[0.0; 6], &goal, -0.05);
        assert_eq!((found.twist, found.safe), (Twist::default(), false));
    }

    #[test]
    fn it_stays_in_the_box_and_reports_when_nothing_is_safe() {
        // V = tanh(1 - 0.1 v_x): even the fastest allowed speed is unsafe, and the best.
        let weight = vec![-0.1, 0.0, 0.0, 0.0, 0.0, 0.0];
        let mut value = ReachAvoidValue::new(vec![Linear {
            weight,
            bias: vec![1.0],
            inputs: 6,
        }])
        .unwrap();
        let mut search = TwistSearch::new(paper(), INDICES, 6);
        let goal = GoalYaw {
            x_m: -5.0,
            y_m: 3.0,
            heading_error_rad: 0.0,
        };
        let found = search.search(&mut value, &[0.0, 9.0, 0.0, 0.0, 0.0, -9.0], &goal, -0.05);
        assert!(!found.safe);
        let Twist {
            vx_mps,
            vy_mps,
            yaw_rate_radps,
        } = found.twist;
        assert!(vx_mps.abs() <= 1.5 && vy_mps.abs() <= 0.3 && yaw_rate_radps.abs() <= 3.0);
        assert!(vx_mps > 0.5, "the value falls with v_x: {found:?}");
    }
}
