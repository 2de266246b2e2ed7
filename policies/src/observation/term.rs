//! How one network observes a quantity: scale, clip, history and mask.

use serde::{Deserialize, Serialize};

use super::quantity::Quantity;

/// Most policy steps that a term may stack.
pub const MAX_HISTORY: usize = 50;

/// One row of a network's observation: observed value = clip(scale * quantity) for the last `history` policy steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObservationTerm {
    /// What is observed.
    pub term: Quantity,
    /// Factor from the quantity's unit to the observed value; that of the observation table where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<f32>,
    /// Bound on the absolute observed value; none where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<f32>,
    /// Number of policy steps observed, this one included, oldest first. All are the first one at the start of an episode.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub history: usize,
    /// Per element: `false` observes zero in its place. Empty observes all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mask: Vec<bool>,
}

/// A term that no observation can have.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TermError {
    /// Zero, NaN or infinite.
    #[error("term `{term}` has scale {value}, must be finite and not 0")]
    Scale {
        /// Name of the term.
        term: &'static str,
        /// What it is.
        value: f32,
    },
    /// Zero, negative or NaN.
    #[error("term `{term}` has clip {value}, must be above 0")]
    Clip {
        /// Name of the term.
        term: &'static str,
        /// What it is.
        value: f32,
    },
    /// No step, or too many.
    #[error("term `{term}` has history {value}, must be 1 to {MAX_HISTORY} policy steps")]
    History {
        /// Name of the term.
        term: &'static str,
        /// What it is.
        value: usize,
    },
    /// Not one element per number of the quantity.
    #[error("term `{term}` has a mask of {found} elements, must have {expected} or none")]
    Mask {
        /// Name of the term.
        term: &'static str,
        /// Elements in the mask.
        found: usize,
        /// Width of the quantity.
        expected: usize,
    },
    /// Observed twice.
    #[error("term `{0}` is there twice; ask for its history instead")]
    Twice(&'static str),
    /// A policy observes what only a simulation knows.
    #[error("term `reality` is for the critics of a training; no robot knows it")]
    OnlyCritics,
    /// A previous scan is observed, and none is kept.
    #[error("term `previous-log-rays` needs rays.previous_steps of 1 or more")]
    NoPreviousScan,
    /// Nothing is observed.
    #[error("no terms are observed")]
    Empty,
}

impl ObservationTerm {
    /// The term of this width may be observed.
    pub(super) fn validate(&self, width: usize) -> Result<(), TermError> {
        let term = self.term.spec().name;
        if let Some(value) = self.scale
            && !(value.is_finite() && value != 0.0)
        {
            return Err(TermError::Scale { term, value });
        }
        if let Some(value) = self.clip
            && (value.is_nan() || value <= 0.0)
        {
            return Err(TermError::Clip { term, value });
        }
        if !(1..=MAX_HISTORY).contains(&self.history) {
            let value = self.history;
            return Err(TermError::History { term, value });
        }
        if !self.mask.is_empty() && self.mask.len() != width {
            return Err(TermError::Mask {
                term,
                found: self.mask.len(),
                expected: width,
            });
        }
        Ok(())
    }

    /// The same with a history of so many policy steps.
    #[must_use]
    pub fn with_history(self, history: usize) -> Self {
        Self { history, ..self }
    }

    /// The same with a mask.
    #[must_use]
    pub fn with_mask(self, mask: &[bool]) -> Self {
        let mask = mask.to_vec();
        Self { mask, ..self }
    }
}

impl From<Quantity> for ObservationTerm {
    /// As in the observation table: its scale, no clip, no history.
    fn from(term: Quantity) -> Self {
        Self {
            term,
            scale: Some(term.spec().scale),
            clip: None,
            history: 1,
            mask: Vec::new(),
        }
    }
}

fn one() -> usize {
    1
}

fn is_one(history: &usize) -> bool {
    *history == 1
}
