//! The decision between the agile and the recovery policy (method section 1).

use policies::{
    Bundle, BundleError, Layout, NotFinite, ObservationInput, Quantity, ReachAvoidValue,
};
use robots::Robot;
use serde::{Deserialize, Serialize};

use crate::twist_search::{SafeTwist, TwistIndices, TwistSearch, TwistSearchConfig};

/// Settings of the switch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SwitchConfig {
    /// The agile policy acts while the reach-avoid value is below this, in (-1, 1); the bundle's where not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
    /// The recovery policy gives back once the value is this far below the threshold.
    pub hysteresis: f32,
    /// The recovery policy acts only on a twist that lowers the value by this: where none does, braking is no safer than running on. -2 takes any
    /// (the paper's); the bundle's where not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_gain: Option<f32>,
    /// The value sees the measured v_z, w_x and w_y; if not, zeros (the paper's).
    pub measured_twist: bool,
    /// Search for the twist that the recovery policy follows.
    pub search: TwistSearchConfig,
}

impl Default for SwitchConfig {
    fn default() -> Self {
        Self {
            threshold: None,
            hysteresis: 0.0,
            min_gain: None,
            measured_twist: false,
            search: TwistSearchConfig::default(),
        }
    }
}

/// A setting of the switch that makes no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("controller.switch.{name} is {value}, must be {expected}")]
pub struct SwitchConfigError {
    pub(crate) name: &'static str,
    pub(crate) value: f32,
    pub(crate) expected: &'static str,
}

impl SwitchConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first that is out of range.
    pub fn validate(&self) -> Result<(), SwitchConfigError> {
        let error = |name, value, expected| {
            Err(SwitchConfigError {
                name,
                value,
                expected,
            })
        };
        if let Some(threshold) = self.threshold
            && !(threshold > -1.0 && threshold < 1.0)
        {
            return error("threshold", threshold, "between -1 and 1, like the value");
        }
        if !(0.0..1.0).contains(&self.hysteresis) {
            return error("hysteresis", self.hysteresis, "0 or more and below 1");
        }
        if let Some(min_gain) = self.min_gain
            && !(-2.0..2.0).contains(&min_gain)
        {
            return error("min_gain", min_gain, "-2 or more and below 2");
        }
        self.search.validate()
    }
}

/// Evaluates the reach-avoid value and, where it is not safe to go on, searches a twist that is.
#[derive(Clone, Debug)]
pub(crate) struct Switch {
    layout: Layout,
    value: ReachAvoidValue,
    search: TwistSearch,
    threshold: f32,
    hysteresis: f32,
    min_gain: f32,
    /// Elements of the observation that are set to zero.
    zeroed: [usize; 3],
    measured_twist: bool,
    observation: Vec<f32>,
    recovering: bool,
}

/// What the switch decided, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Decision {
    pub(crate) value: f32,
    /// What the recovery policy is to follow; none if the agile policy acts.
    pub(crate) recovery: Option<SafeTwist>,
}

impl Switch {
    /// The configuration must be valid.
    pub(crate) fn new(
        robot: &Robot,
        bundle: &Bundle,
        config: &SwitchConfig,
    ) -> Result<Self, BundleError> {
        let (value, member) = bundle.reach_avoid(robot)?;
        let layout = Layout::reach_avoid(robot, &bundle.ray_spec);
        let start = |quantity| layout.range(quantity).map_or(0, |range| range.start);
        let indices = TwistIndices {
            linear_velocity: start(Quantity::LinearVelocityBase),
            angular_velocity: start(Quantity::AngularVelocityBase),
        };
        Ok(Self {
            search: TwistSearch::new(config.search.clone(), indices, layout.dim())
                .looking_ahead(&layout, &bundle.ray_spec),
            threshold: config.threshold.unwrap_or(member.threshold),
            hysteresis: config.hysteresis,
            min_gain: config.min_gain.unwrap_or(member.min_gain),
            zeroed: [
                indices.linear_velocity + 2,
                indices.angular_velocity,
                indices.angular_velocity + 1,
            ],
            measured_twist: config.measured_twist,
            observation: vec![0.0; layout.dim()],
            recovering: false,
            value,
            layout,
        })
    }

    /// Forgets which policy acted last.
    pub(crate) fn reset(&mut self) {
        self.recovering = false;
    }

    /// Decides for this policy step. Never allocates.
    pub(crate) fn decide(&mut self, input: &ObservationInput<'_>) -> Result<Decision, NotFinite> {
        self.layout.write(input, &mut self.observation);
        if let Some(quantity) = self.layout.first_not_finite(&self.observation) {
            return Err(NotFinite::Observation(quantity));
        }
        if !self.measured_twist {
            for element in self.zeroed {
                self.observation[element] = 0.0;
            }
        }
        let value = self.value.value(&self.observation);
        if !value.is_finite() {
            return Err(NotFinite::Value);
        }
        let mut bound = self.threshold;
        if self.recovering {
            bound -= self.hysteresis;
        }
        self.recovering = value >= bound;
        let recovery = self.recovering.then(|| {
            self.search.search(
                &mut self.value,
                &self.observation,
                &input.goal,
                self.threshold,
            )
        });
        let recovery = recovery.filter(|found| value - found.value >= self.min_gain);
        self.recovering = recovery.is_some();
        Ok(Decision { value, recovery })
    }
}

#[cfg(test)]
mod tests;
