//! What the switch between the agile and the recovery policy needs besides the reach-avoid value.

use serde::{Deserialize, Serialize};

use super::SpecError;
use crate::policy::Twist;

/// Most gradient steps that a search may be asked for.
const MAX_SEARCH_STEPS: usize = 100;

/// When the recovery policy takes over, and on which twist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SwitchSpec {
    /// The agile policy acts while the reach-avoid value is below this, in (-1, 1).
    pub threshold: f32,
    /// The recovery policy hands back once the value is this far below the threshold.
    pub hysteresis: f32,
    /// The recovery policy acts only on a twist that lowers the value by this, in [-2, 2): where none does, braking is no safer than running on.
    /// -2 takes any (the paper's).
    pub min_improvement: f32,
    /// Search for the twist that the recovery policy tracks.
    pub search: TwistSearchSpec,
}

/// The search for a safe twist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TwistSearchSpec {
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
    /// Largest commanded twist, in both directions. The paper allows +/-(1.5, 0.3, 3); braking with little turning collides less, because the legs
    /// of a robot that turns reach out sideways.
    pub limit: Twist,
    /// The value is that of where the robot will be after this time at the twist, s; 0 takes it where the robot is (the paper's). Near an obstacle
    /// no twist makes the place itself safe, only those that lead away from it.
    pub lookahead_s: f32,
    /// Time constant with which the robot approaches a commanded twist, s; 0 takes the twist for reached at once.
    pub response_s: f32,
}

/// What replaces the [`SwitchSpec`] of the bundle; nothing where not given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SwitchOverrides {
    /// The agile policy acts while the reach-avoid value is below this, in (-1, 1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
    /// The recovery policy hands back once the value is this far below the threshold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hysteresis: Option<f32>,
    /// The recovery policy acts only on a twist that lowers the value by this, in [-2, 2); -2 takes any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_improvement: Option<f32>,
    /// Search for the twist that the recovery policy tracks.
    pub search: TwistSearchOverrides,
}

/// What replaces the [`TwistSearchSpec`] of the bundle; nothing where not given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TwistSearchOverrides {
    /// Gradient steps, 1 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// Length of a step, in units of the gradient that is clipped to length 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_size: Option<f32>,
    /// The search aims at a value this far below the threshold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub margin: Option<f32>,
    /// Weight of the constraint against the squared distance to the goal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constraint_weight: Option<f32>,
    /// Weight of the squared distance to the goal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goal_weight: Option<f32>,
    /// Time after which the distance to the goal is taken, s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub horizon_s: Option<f32>,
    /// Largest commanded twist, in both directions, m/s and rad/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Twist>,
    /// The value is that of where the robot will be after this time at the twist, s; 0 takes it where the robot is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lookahead_s: Option<f32>,
    /// Time constant with which the robot approaches a commanded twist, s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_s: Option<f32>,
}

impl Default for SwitchSpec {
    fn default() -> Self {
        Self {
            threshold: -0.05,
            hysteresis: 0.0,
            min_improvement: 0.1,
            search: TwistSearchSpec::default(),
        }
    }
}

impl Default for TwistSearchSpec {
    fn default() -> Self {
        Self {
            steps: 10,
            step_size: 0.5,
            margin: 0.2,
            constraint_weight: 10.0,
            goal_weight: 0.02,
            horizon_s: 0.05,
            limit: Twist {
                vx_mps: 0.15,
                vy_mps: 0.3,
                yaw_rate_radps: 0.75,
            },
            lookahead_s: 0.3,
            response_s: 0.4,
        }
    }
}

impl SwitchOverrides {
    /// What the bundle says, with what is given here in its place.
    #[must_use]
    pub fn over(&self, bundled: &SwitchSpec) -> SwitchSpec {
        let (own, search) = (&self.search, &bundled.search);
        SwitchSpec {
            threshold: self.threshold.unwrap_or(bundled.threshold),
            hysteresis: self.hysteresis.unwrap_or(bundled.hysteresis),
            min_improvement: self.min_improvement.unwrap_or(bundled.min_improvement),
            search: TwistSearchSpec {
                steps: own.steps.unwrap_or(search.steps),
                step_size: own.step_size.unwrap_or(search.step_size),
                margin: own.margin.unwrap_or(search.margin),
                constraint_weight: own.constraint_weight.unwrap_or(search.constraint_weight),
                goal_weight: own.goal_weight.unwrap_or(search.goal_weight),
                horizon_s: own.horizon_s.unwrap_or(search.horizon_s),
                limit: own.limit.unwrap_or(search.limit),
                lookahead_s: own.lookahead_s.unwrap_or(search.lookahead_s),
                response_s: own.response_s.unwrap_or(search.response_s),
            },
        }
    }
}

impl SwitchSpec {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first that is out of range, named from `switch`.
    pub fn validate(&self) -> Result<(), SpecError> {
        let check = |name: &str, value: f32, ok: bool, right| match ok {
            true => Ok(()),
            false => Err(SpecError::Value {
                what: format!("switch.{name}"),
                value,
                right,
            }),
        };
        // NaN is in no range.
        let threshold = self.threshold;
        let ok = threshold > -1.0 && threshold < 1.0;
        check(
            "threshold",
            threshold,
            ok,
            "between -1 and 1, like the value",
        )?;
        let ok = (0.0..1.0).contains(&self.hysteresis);
        check("hysteresis", self.hysteresis, ok, "0 or more and below 1")?;
        let ok = (-2.0..2.0).contains(&self.min_improvement);
        check(
            "min_improvement",
            self.min_improvement,
            ok,
            "-2 or more and below 2",
        )?;
        let search = &self.search;
        let ok = (1..=MAX_SEARCH_STEPS).contains(&search.steps);
        check("search.steps", search.steps as f32, ok, "1 to 100")?;
        for (name, value) in [
            ("search.step_size", search.step_size),
            ("search.horizon_s", search.horizon_s),
            ("search.constraint_weight", search.constraint_weight),
            ("search.limit.vx_mps", search.limit.vx_mps),
            ("search.limit.vy_mps", search.limit.vy_mps),
            ("search.limit.yaw_rate_radps", search.limit.yaw_rate_radps),
        ] {
            check(
                name,
                value,
                value > 0.0 && value.is_finite(),
                "positive and finite",
            )?;
        }
        for (name, value) in [
            ("search.margin", search.margin),
            ("search.goal_weight", search.goal_weight),
            ("search.lookahead_s", search.lookahead_s),
            ("search.response_s", search.response_s),
        ] {
            check(
                name,
                value,
                value >= 0.0 && value.is_finite(),
                "0 or more and finite",
            )?;
        }
        Ok(())
    }
}
