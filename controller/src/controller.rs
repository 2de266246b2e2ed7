use policies::{
    Bundle, BundleError, Goal, GoalYaw, NotFinite, ObservationInput, Policy, RayScan, Twist,
    default_target,
};
use robots::{FootVec, JointTarget, JointVec, Robot, RobotState};
use serde::{Deserialize, Serialize};

use crate::{
    link::{ControlInput, RobotLink},
    safety::{Limited, SafetyConfig, SafetyConfigError, SafetyLimiter},
};

/// What decided the last command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The agile policy runs to the goal.
    Agile,
    /// No policy could be run: all joints are damped.
    Fallback,
}

/// Why the last command was the fallback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The input is of another robot or another arrangement of rays.
    #[error("input has {found} {what}, must have {expected}")]
    Shape {
        /// What there is too much or too little of.
        what: &'static str,
        /// Number in the input.
        found: usize,
        /// Number that the policy was trained with.
        expected: usize,
    },
    /// A number of the observation or of the action is not finite.
    #[error(transparent)]
    NotFinite(#[from] NotFinite),
}

/// Why there is no controller.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// The bundle does not fit the robot.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A safety setting is out of range.
    #[error(transparent)]
    Safety(#[from] SafetyConfigError),
}

/// Runs the policies of a bundle on one robot. Clones share the weights; a step allocates nothing and depends on
/// nothing but the inputs since the last [`reset`](Self::reset).
#[derive(Clone, Debug)]
pub struct Controller {
    agile: Policy,
    limiter: SafetyLimiter,
    num_feet: usize,
    num_joints: usize,
    num_rays: usize,
    /// The default posture with the robot's gains.
    default_target: JointTarget,
    previous_action: JointVec,
    previous_contact: FootVec<bool>,
    target: JointTarget,
    limited: Limited,
    fault: Option<Fault>,
}

impl Controller {
    /// Prepares the policies of `bundle` for `robot`.
    ///
    /// # Errors
    /// When the bundle does not fit the robot or a safety setting is out of range.
    pub fn new(
        robot: &Robot,
        bundle: &Bundle,
        safety: &SafetyConfig,
    ) -> Result<Self, ControllerError> {
        let default_target = default_target(robot);
        Ok(Self {
            agile: bundle.agile(robot)?,
            limiter: SafetyLimiter::new(robot, safety)?,
            num_feet: robot.num_feet(),
            num_joints: robot.num_joints(),
            num_rays: bundle.ray_spec.count,
            target: default_target.clone(),
            default_target,
            previous_action: std::iter::repeat_n(0.0, robot.num_joints()).collect(),
            previous_contact: FootVec::new(),
            limited: Limited::default(),
            fault: None,
        })
    }

    /// Starts an episode: no previous action, contact or target.
    pub fn reset(&mut self) {
        self.forget();
        self.limiter.reset();
        self.target.clone_from(&self.default_target);
        self.limited = Limited::default();
        self.fault = None;
    }

    /// One policy step over a link: read into `input`, [`step`](Self::step), write. Never allocates unless the link
    /// does.
    ///
    /// # Errors
    /// Those of the link; nothing is written when reading fails.
    pub fn cycle<L: RobotLink>(
        &mut self,
        link: &mut L,
        input: &mut ControlInput,
    ) -> Result<(), L::Error> {
        link.read(input)?;
        link.write(self.step(&input.state, &input.rays, &input.goal, input.time_left_s))
    }

    /// One policy step: the command for the robot, valid until the next. Never allocates.
    ///
    /// An input that is not finite or does not fit gives the fallback of the [`SafetyLimiter`]; [`Self::fault`] then
    /// says why. The policy goes on with the next good input, as at the start of an episode.
    pub fn step(
        &mut self,
        state: &RobotState,
        rays: &RayScan,
        goal: &Goal,
        time_left_s: f32,
    ) -> &JointTarget {
        match self.run_policy(state, rays, goal, time_left_s) {
            Ok(()) => {
                self.limited = self.limiter.limit(state, &mut self.target);
                self.fault = None;
            }
            Err(fault) => {
                self.limiter.fall_back(state, &mut self.target);
                self.limited = Limited {
                    fallback: true,
                    ..Limited::default()
                };
                self.fault = Some(fault);
                self.forget();
            }
        }
        &self.target
    }

    /// What decided the last command.
    pub fn mode(&self) -> Mode {
        if self.fault.is_some() {
            Mode::Fallback
        } else {
            Mode::Agile
        }
    }

    /// Why the last command was the fallback, if it was.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Limits that the last command ran into.
    pub fn limited(&self) -> Limited {
        self.limited
    }

    fn run_policy(
        &mut self,
        state: &RobotState,
        rays: &RayScan,
        goal: &Goal,
        time_left_s: f32,
    ) -> Result<(), Fault> {
        for (what, found, expected) in [
            ("feet", state.foot_contact.len(), self.num_feet),
            (
                "joint positions",
                state.joint_position_rad.len(),
                self.num_joints,
            ),
            (
                "joint velocities",
                state.joint_velocity_radps.len(),
                self.num_joints,
            ),
            ("rays", rays.distance_m.len(), self.num_rays),
        ] {
            if found != expected {
                return Err(Fault::Shape {
                    what,
                    found,
                    expected,
                });
            }
        }
        let mut foot_contact = state.foot_contact.clone();
        for (contact, previous) in foot_contact.iter_mut().zip(&self.previous_contact) {
            *contact |= previous;
        }
        self.previous_contact.clone_from(&state.foot_contact);

        // The fallback may have changed the gains.
        self.target.clone_from(&self.default_target);
        let previous_action = self.previous_action.clone();
        self.agile.act(
            &ObservationInput {
                state,
                foot_contact: &foot_contact,
                goal: GoalYaw::new(state, goal),
                time_left_s,
                twist: Twist::default(),
                previous_action: &previous_action,
                ray_distance_m: &rays.distance_m,
            },
            &mut self.previous_action,
            &mut self.target.position_rad,
        )?;
        Ok(())
    }

    fn forget(&mut self) {
        self.previous_action.fill(0.0);
        self.previous_contact.clear();
    }
}

#[cfg(test)]
mod tests;
