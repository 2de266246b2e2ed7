//! What the reach-avoid value learns of every row.

use policies::reach_avoid::{ReachAvoidConfig, Rollouts, TargetKind, margins};

/// What is known of every training row before learning.
pub(super) enum Labels {
    /// The target itself.
    Targets(Vec<f32>),
    /// What the target is made of, with the network's prediction for the next row.
    Margins(Vec<Label>),
}

pub(super) struct Label {
    target_margin: f32,
    failure_margin: f32,
    /// Whether the episode ends here.
    pub(super) is_last: bool,
}

impl Labels {
    /// Of the rows of the first `episodes`.
    pub(super) fn new(config: &ReachAvoidConfig, rollouts: &Rollouts, episodes: usize) -> Self {
        let (gamma, softened) = (config.gamma, config.softened);
        match config.target {
            TargetKind::Course => {
                let targets = |episode| rollouts.course_targets(episode, gamma, softened);
                Self::Targets((0..episodes).flat_map(targets).collect())
            }
            TargetKind::Bootstrap => {
                let labels = |episode| Label::of_episode(rollouts.margins(episode, softened));
                Self::Margins((0..episodes).flat_map(labels).collect())
            }
        }
    }
}

impl Label {
    /// Of the rows of an episode with these target and failure margins.
    fn of_episode([target_margins, failure_margins]: [Vec<f32>; 2]) -> impl Iterator<Item = Self> {
        let last = target_margins.len() - 1;
        let margins = target_margins.into_iter().zip(failure_margins);
        let label = move |(step, (target_margin, failure_margin))| Self {
            target_margin,
            failure_margin,
            is_last: step == last,
        };
        margins.enumerate().map(label)
    }

    /// What the value of the row must be, where the next one has `next_value`.
    pub(super) fn target(&self, gamma: f32, next_value: f32) -> f32 {
        let next_value = if self.is_last { 1.0 } else { next_value };
        margins::target(gamma, self.target_margin, self.failure_margin, next_value)
    }
}
