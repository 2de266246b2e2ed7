//! A policy ready to run: observation, network and action in one.

mod action;
mod command;

pub use action::{ACTION_CLIP, ActionMap, default_target};
pub use command::{Goal, GoalYaw, Twist, TwistRange};

use crate::{
    nn::Mlp,
    observation::{FrameHistory, Layout, ObservationInput, Quantity},
};

/// A network, what it observes and what its actions mean. Clones share the weights.
#[derive(Clone, Debug)]
pub struct Policy {
    layout: Layout,
    history: FrameHistory,
    network: Mlp,
    actions: ActionMap,
    observation: Vec<f32>,
}

/// A NaN or an infinity, where none may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFinite {
    /// In the observation.
    #[error("observation of {} is not finite", .0.spec().name)]
    Observation(Quantity),
    /// In the output of the network.
    #[error("action is not finite")]
    Action,
    /// In the output of the reach-avoid value.
    #[error("reach-avoid value is not finite")]
    Value,
}

impl Policy {
    /// Puts the parts together.
    ///
    /// # Panics
    /// When the network does not take the observations of the layout. Bundles check this before.
    pub fn new(layout: Layout, network: Mlp, actions: ActionMap) -> Self {
        assert_eq!(
            layout.dim(),
            network.input_dim(),
            "length of an observation"
        );
        Self {
            observation: vec![0.0; layout.dim()],
            history: FrameHistory::new(&layout),
            layout,
            network,
            actions,
        }
    }

    /// What it observes.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Starts an episode: no policy steps before.
    pub fn reset(&mut self) {
        self.history.reset();
    }

    /// Observes a policy step in which another policy acts, for terms with a history. Never allocates.
    ///
    /// # Errors
    /// When the observation is not finite.
    ///
    /// # Panics
    /// When slices do not fit the robot or the rays.
    pub fn observe(&mut self, input: &ObservationInput<'_>) -> Result<(), NotFinite> {
        self.layout.write(input, &mut self.observation);
        if let Some(quantity) = self.layout.first_not_finite(&self.observation) {
            return Err(NotFinite::Observation(quantity));
        }
        self.history.complete(&self.layout, &mut self.observation);
        Ok(())
    }

    /// Observes and acts: writes the clipped action, to be observed as previous action in the next step, and the
    /// joint positions it stands for, rad. Never allocates.
    ///
    /// # Errors
    /// When the observation or the action is not finite; the outputs are then not to be used.
    ///
    /// # Panics
    /// When slices do not fit the robot or the rays.
    pub fn act(
        &mut self,
        input: &ObservationInput<'_>,
        action: &mut [f32],
        position_rad: &mut [f32],
    ) -> Result<(), NotFinite> {
        self.observe(input)?;
        action.copy_from_slice(self.network.forward(&self.observation));
        self.actions.apply(action, position_rad);
        if action.iter().any(|value| value.is_nan()) {
            return Err(NotFinite::Action);
        }
        Ok(())
    }
}
