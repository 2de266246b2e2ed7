//! The layout of a network's input, built from its observation terms.

use std::ops::Range;

use robots::JointVec;

use super::{ObservationInput, ObservationTerm, Quantity, QuantitySpec, TermError, Width};
use crate::{policy::Twist, rays::RaySpec, spec::RobotSpec};

/// What one network observes, in order, for one robot and one arrangement of rays. A row is written in two steps: [`Layout::write`] writes the
/// frame of this policy step; then, once noise is added or the frame is known to be finite,
/// [`FrameHistory::complete`](super::FrameHistory::complete) clips and masks it and adds those before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    terms: Vec<Term>,
    frame_dim: usize,
    dim: usize,
    max_history: usize,
    default_position_rad: JointVec,
    rays: RaySpec,
}

/// A term and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Term {
    quantity: Quantity,
    scale: f32,
    clip: Option<f32>,
    /// Elements, counted within the term, in whose place zero is observed.
    masked: Vec<usize>,
    /// In the frame.
    pub(super) frame: Range<usize>,
    /// In the row: the same for every step of the history, oldest first.
    pub(super) range: Range<usize>,
}

impl Layout {
    /// The layout of these terms.
    ///
    /// # Errors
    /// The first term that cannot be observed.
    pub fn new(
        terms: &[ObservationTerm],
        robot: &RobotSpec,
        rays: &RaySpec,
    ) -> Result<Self, TermError> {
        if terms.is_empty() {
            return Err(TermError::Empty);
        }
        let mut layout = Self {
            terms: Vec::with_capacity(terms.len()),
            frame_dim: 0,
            dim: 0,
            max_history: 1,
            default_position_rad: robot.default_position_rad.iter().copied().collect(),
            rays: rays.clone(),
        };
        for term in terms {
            let quantity = term.term;
            let QuantitySpec {
                name, width, scale, ..
            } = quantity.spec();
            let width = match width {
                Width::Fixed(width) => width,
                Width::PerFoot => robot.legs.len(),
                Width::PerJoint => robot.joints.len(),
                Width::PerRay => rays.count,
            };
            term.validate(width)?;
            if layout.range(quantity).is_some() {
                return Err(TermError::Twice(name));
            }
            if quantity == Quantity::PreviousLogRays && rays.previous_steps == 0 {
                return Err(TermError::NoPreviousScan);
            }
            let masked = term.mask.iter().enumerate();
            layout.terms.push(Term {
                quantity,
                scale: term.scale.unwrap_or(scale),
                clip: term.clip,
                masked: masked
                    .filter_map(|(i, seen)| (!seen).then_some(i))
                    .collect(),
                frame: layout.frame_dim..layout.frame_dim + width,
                range: layout.dim..layout.dim + width * term.history,
            });
            layout.frame_dim += width;
            layout.dim += width * term.history;
            layout.max_history = layout.max_history.max(term.history);
        }
        Ok(layout)
    }

    /// Length of an observation.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Length of the part of an observation that is of one policy step.
    pub fn frame_dim(&self) -> usize {
        self.frame_dim
    }

    /// Policy steps of the term with the longest history.
    pub fn max_history(&self) -> usize {
        self.max_history
    }

    /// The quantities in order.
    pub fn quantities(&self) -> impl Iterator<Item = Quantity> + '_ {
        self.terms.iter().map(|term| term.quantity)
    }

    /// Where a quantity of this policy step stands in the observation, if it is observed.
    pub fn range(&self, quantity: Quantity) -> Option<Range<usize>> {
        let term = self.terms.iter().find(|term| term.quantity == quantity)?;
        Some(term.range.end - term.frame.len()..term.range.end)
    }

    /// Elements of the observation in whose place zero is observed.
    pub fn masked(&self) -> impl Iterator<Item = usize> + '_ {
        self.terms.iter().flat_map(|term| {
            let steps = term.range.clone().step_by(term.frame.len());
            steps.flat_map(|start| term.masked.iter().map(move |index| start + index))
        })
    }

    pub(super) fn stacked(&self) -> &[Term] {
        &self.terms
    }

    /// Writes the frame of this policy step to the start of `row`, without noise, clip and mask, and without allocation.
    ///
    /// # Panics
    /// When `row` is not [`Layout::dim`] long or a slice of the input does not fit the robot or the rays.
    pub fn write(&self, input: &ObservationInput<'_>, row: &mut [f32]) {
        assert_eq!(row.len(), self.dim, "length of the observation row");
        for term in &self.terms {
            let out = &mut row[term.frame.clone()];
            self.write_quantity(term.quantity, input, out);
            if term.scale != 1.0 {
                for value in &mut *out {
                    *value *= term.scale;
                }
            }
        }
    }

    /// Clips and masks the frame at the start of `row`, noise included.
    pub(super) fn clip_and_mask(&self, row: &mut [f32]) {
        for term in &self.terms {
            let frame = &mut row[term.frame.clone()];
            if let Some(bound) = term.clip {
                for value in &mut *frame {
                    *value = value.clamp(-bound, bound);
                }
            }
            for &index in &term.masked {
                frame[index] = 0.0;
            }
        }
    }

    fn write_quantity(&self, quantity: Quantity, input: &ObservationInput<'_>, out: &mut [f32]) {
        let state = input.state;
        match quantity {
            Quantity::FootContact => {
                assert_eq!(out.len(), input.foot_contact.len(), "number of feet");
                for (value, &contact) in out.iter_mut().zip(input.foot_contact) {
                    *value = if contact { 1.0 } else { -1.0 };
                }
            }
            Quantity::LinearVelocityBase => {
                out.copy_from_slice(state.linear_velocity_base.as_slice());
            }
            Quantity::AngularVelocityBase => {
                out.copy_from_slice(state.angular_velocity_base.as_slice());
            }
            Quantity::ProjectedGravityBase => {
                out.copy_from_slice(state.projected_gravity_base().as_slice());
            }
            Quantity::GoalPosition => out.copy_from_slice(&[input.goal.x_m, input.goal.y_m]),
            Quantity::GoalHeading => out[0] = input.goal.heading_error_rad,
            Quantity::GoalPolar => {
                let goal = &input.goal;
                out.copy_from_slice(&[goal.distance_m(), goal.y_m.atan2(goal.x_m)]);
            }
            Quantity::TimeLeft => out[0] = input.time_left_s,
            Quantity::TwistCommand => {
                let Twist {
                    vx_mps,
                    vy_mps,
                    yaw_rate_radps,
                } = input.twist;
                out.copy_from_slice(&[vx_mps, vy_mps, yaw_rate_radps]);
            }
            Quantity::JointPosition => {
                out.copy_from_slice(&state.joint_position_rad);
                for (value, default_rad) in out.iter_mut().zip(&self.default_position_rad) {
                    *value -= default_rad;
                }
            }
            Quantity::JointVelocity => out.copy_from_slice(&state.joint_velocity_radps),
            Quantity::PreviousAction => out.copy_from_slice(input.previous_action),
            Quantity::LogRays => self.write_rays(input.ray_distance_m, out),
            Quantity::PreviousLogRays => self.write_rays(input.previous_ray_distance_m, out),
            Quantity::Reality => out.copy_from_slice(input.reality),
        }
    }

    fn write_rays(&self, distance_m: &[f32], out: &mut [f32]) {
        assert_eq!(out.len(), distance_m.len(), "number of rays");
        for (value, distance_m) in out.iter_mut().zip(distance_m) {
            *value = distance_m.clamp(self.rays.min_m, self.rays.max_m).log2();
        }
    }

    /// For each element of this layout, which element of `other` is the same: of the same quantity, as many steps ago, and a ray in the same
    /// direction.
    pub fn same_elements(&self, other: &Self) -> Vec<Option<usize>> {
        let mut same = Vec::with_capacity(self.dim);
        for term in &self.terms {
            let width = term.frame.len();
            let there = other
                .terms
                .iter()
                .find(|there| there.quantity == term.quantity);
            let steps = term.range.len() / width;
            for age in (0..steps).rev() {
                // The frame of this age in the other layout.
                let there = there.and_then(|there| {
                    let end = there.range.end.checked_sub(age * there.frame.len())?;
                    (end > there.range.start).then(|| end - there.frame.len()..end)
                });
                same.extend((0..width).map(|index| {
                    let there = there.clone()?;
                    match term.quantity {
                        Quantity::LogRays | Quantity::PreviousLogRays => {
                            let angle_rad = self.rays.angle_rad(index);
                            let points_there = |ray: &usize| other.rays.points_to(*ray, angle_rad);
                            Some(there.start + (0..there.len()).find(points_there)?)
                        }
                        _ => (there.len() == width).then_some(there.start + index),
                    }
                }));
            }
        }
        same
    }

    /// The quantities that have elements without a same one, given what [`same_elements`](Self::same_elements) returned: how many, and of how many.
    pub fn without_same(&self, same: &[Option<usize>]) -> Vec<(Quantity, usize, usize)> {
        let terms = self.terms.iter().map(|term| {
            let elements = &same[term.range.clone()];
            let without = elements.iter().filter(|same| same.is_none()).count();
            (term.quantity, without, elements.len())
        });
        terms.filter(|(_, without, _)| *without > 0).collect()
    }

    /// The first quantity of the frame at the start of `row` with an element that is NaN or infinite.
    pub fn first_not_finite(&self, row: &[f32]) -> Option<Quantity> {
        let is_finite = |term: &&Term| {
            row[term.frame.clone()]
                .iter()
                .all(|value| value.is_finite())
        };
        let term = self.terms.iter().find(|term| !is_finite(term))?;
        Some(term.quantity)
    }

    /// Half-width of the uniform noise on each element of a frame \[frame_dim\], scaled like it.
    pub fn noise_half_width(&self) -> Vec<f32> {
        let mut noise = vec![0.0; self.frame_dim];
        for term in &self.terms {
            noise[term.frame.clone()]
                .fill(term.quantity.spec().noise_half_width * term.scale.abs());
        }
        noise
    }
}
