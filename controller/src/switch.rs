//! The decision between the agile and the recovery policy (docs/concepts/reach-avoid.md#switch).

use policies::{
    Bundle, BundleError, Layout, NotFinite, ObservationInput, ReachAvoidValue,
    observation::FrameHistory, spec::SwitchSpec,
};
use robots::Robot;

use crate::twist_search::{SafeTwist, TwistSearch};

/// Evaluates the reach-avoid value and, where it is not safe to go on, searches a twist that is.
#[derive(Clone, Debug)]
pub(crate) struct Switch {
    layout: Layout,
    value: ReachAvoidValue,
    search: TwistSearch,
    threshold: f32,
    hysteresis: f32,
    min_improvement: f32,
    history: FrameHistory,
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
    /// The settings must be valid.
    pub(crate) fn new(
        robot: &Robot,
        bundle: &Bundle,
        spec: &SwitchSpec,
    ) -> Result<Self, BundleError> {
        let (value, layout) = bundle.reach_avoid(robot)?;
        Ok(Self {
            search: TwistSearch::of_layout(&spec.search, &layout, &bundle.spec.rays),
            threshold: spec.threshold,
            hysteresis: spec.hysteresis,
            min_improvement: spec.min_improvement,
            history: FrameHistory::new(&layout),
            observation: vec![0.0; layout.dim()],
            recovering: false,
            value,
            layout,
        })
    }

    /// Starts an episode: the agile policy acts.
    pub(crate) fn reset(&mut self) {
        self.history.reset();
        self.recovering = false;
    }

    /// Decides for this policy step. Never allocates.
    pub(crate) fn decide(&mut self, input: &ObservationInput<'_>) -> Result<Decision, NotFinite> {
        self.layout.write(input, &mut self.observation);
        if let Some(quantity) = self.layout.first_not_finite(&self.observation) {
            return Err(NotFinite::Observation(quantity));
        }
        self.history.complete(&self.layout, &mut self.observation);
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
        let recovery = recovery.filter(|found| value - found.value >= self.min_improvement);
        self.recovering = recovery.is_some();
        Ok(Decision { value, recovery })
    }
}

#[cfg(test)]
mod tests;
