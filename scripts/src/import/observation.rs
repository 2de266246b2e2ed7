//! Which element of a bundle's observation is which input of a network.

use anyhow::{Result, bail, ensure};
use policies::{
    Quantity, RaySpec,
    observation::{MAX_HISTORY, ObservationTerm, Width},
};
use robots::Robot;

use super::{
    contract::{Contract, HistoryOrder, Numbers, Stacking, Term},
    network::Element,
    order::Order,
};

/// The observation of a network as a bundle has it.
#[derive(Debug)]
pub struct Observation {
    /// Terms of the bundle.
    pub terms: Vec<ObservationTerm>,
    /// For each element of the bundle's observation the input of the network.
    pub elements: Vec<Element>,
}

impl Observation {
    /// The observation of a contract, for a network of so many inputs. `action_factors` are those of the actions, in the robot's order.
    ///
    /// # Errors
    /// When the terms are not as wide as the network, or a bundle has no such term.
    pub fn new(
        contract: &Contract,
        robot: &Robot,
        rays: &RaySpec,
        order: &Order,
        action_factors: &[f64],
        inputs: usize,
    ) -> Result<Self> {
        let Some(terms) = &contract.observations else {
            bail!(
                "`observations` is missing: the terms that the network observes, in order, e.g. [{{ term = \"joint-position\", scale = 1.0 }}]"
            );
        };
        let width = |term: &Term| match term.term.spec().width {
            Width::Fixed(width) => width,
            Width::PerFoot => robot.num_feet(),
            Width::PerJoint => robot.num_joints(),
            Width::PerRay => rays.count,
        };
        for term in terms {
            ensure!(
                (1..=MAX_HISTORY).contains(&term.history),
                "term `{}` has history {}, must be 1 to {MAX_HISTORY} policy steps",
                term.term.spec().name,
                term.history
            );
        }
        let total: usize = terms.iter().map(|term| width(term) * term.history).sum();
        if total != inputs {
            let listed: Vec<String> = terms
                .iter()
                .map(|term| {
                    let (name, width) = (term.term.spec().name, width(term));
                    match term.history {
                        1 => format!("{name} {width}"),
                        steps => format!("{name} {width} x {steps}"),
                    }
                })
                .collect();
            bail!(
                "the network takes {inputs} inputs, but the observations are {total} wide: {}",
                listed.join(", ")
            );
        }
        let frames = contract.stacking == Stacking::Frames;
        let history = terms.first().map_or(1, |term| term.history);
        if let Some(other) = terms.iter().find(|term| frames && term.history != history) {
            bail!(
                "with stacking = \"frames\" all terms have the same history, but `{}` has {}, and the first {history}",
                other.term.spec().name,
                other.history
            );
        }
        let frame: usize = terms.iter().map(width).sum();
        let mut observation = Self {
            terms: Vec::new(),
            elements: Vec::new(),
        };
        let mut start = 0;
        for term in terms {
            let width = width(term);
            let places: Vec<usize> = match term.term.spec().width {
                Width::PerJoint => order.joints.clone(),
                Width::PerFoot => order.feet.clone(),
                Width::Fixed(_) | Width::PerRay => (0..width).collect(),
            };
            let factors = factors(term, &places, action_factors)?;
            for step in 0..term.history {
                let step = match contract.history_order {
                    HistoryOrder::OldestFirst => step,
                    HistoryOrder::NewestFirst => term.history - 1 - step,
                };
                let step = start + step * if frames { frame } else { width };
                let elements = places.iter().zip(&factors);
                observation
                    .elements
                    .extend(elements.map(|(place, factor)| Element {
                        place: step + place,
                        factor: *factor,
                    }));
            }
            start += if frames { width } else { width * term.history };
            observation.terms.push(ObservationTerm {
                term: term.term,
                scale: Some(match term.scale {
                    Numbers::All(scale) => scale,
                    Numbers::Each(_) => 1.0,
                }),
                clip: term.clip,
                history: term.history,
                mask: match term.mask.len() == width {
                    true => places.iter().map(|place| term.mask[*place]).collect(),
                    // Refused with its length by the bundle.
                    false => term.mask.clone(),
                },
            });
        }
        Ok(observation)
    }
}

/// What the elements of a term are multiplied with, beside its scale in the bundle, which is one for all.
fn factors(term: &Term, places: &[usize], action_factors: &[f64]) -> Result<Vec<f64>> {
    let name = term.term.spec().name;
    let mut factors = match &term.scale {
        Numbers::All(_) => vec![1.0; places.len()],
        Numbers::Each(scales) => {
            ensure!(
                scales.len() == places.len() && scales.iter().all(|scale| scale.is_finite()),
                "term `{name}` has the scales {scales:?}, must have one finite number or {}",
                places.len()
            );
            places
                .iter()
                .map(|place| f64::from(scales[*place]))
                .collect()
        }
    };
    if term.term == Quantity::PreviousAction {
        for (factor, action) in factors.iter_mut().zip(action_factors) {
            *factor *= action;
        }
    }
    ensure!(
        term.clip.is_none() || factors.iter().all(|factor| *factor == 1.0),
        "term `{name}` has a clip and another scale for each number, which no bundle can have; leave the clip out if it is never reached"
    );
    Ok(factors)
}
