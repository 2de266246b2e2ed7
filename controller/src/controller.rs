use policies::{
    Bundle, BundleError, Goal, GoalYaw, NotFinite, ObservationInput, Policy, PreviousScans,
    Quantity, RayScan, RaySpec, Twist,
    policy::default_target,
    spec::{SpecError, SwitchOverrides, role},
};
use robots::{FootVec, JointTarget, JointVec, Robot, RobotState};
use serde::{Deserialize, Serialize};

use crate::{
    link::{ControlInput, RobotLink},
    method::Method,
    safety::{Limited, SafetyConfig, SafetyLimiter, SettingError},
    switch::{Decision, Switch},
};

/// Settings of the [`Controller`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControllerConfig {
    /// What replaces the bundle's settings of the switch between the agile and the recovery policy.
    pub switch: SwitchOverrides,
    /// Limits of every command.
    pub safety: SafetyConfig,
}

/// What decided the last command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The agile policy runs to the goal.
    Agile,
    /// The recovery policy, or another one, follows a twist.
    Recovery,
    /// No policy could be run: all joints are damped.
    Fallback,
}

/// Why the last command was the fallback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FallbackReason {
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
    /// A number of the observation, of the reach-avoid value or of the action is not finite.
    #[error(transparent)]
    NotFinite(#[from] NotFinite),
}

/// Why there is no controller.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// The bundle does not fit the robot or the method.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A safety setting is out of range.
    #[error(transparent)]
    Safety(#[from] SettingError),
    /// A setting of the switch is out of range.
    #[error("controller.{0}")]
    Switch(SpecError),
}

/// Runs the policies of a bundle on one robot. Clones share the weights; a step allocates nothing and depends on
/// nothing but the inputs since the last [`reset`](Self::reset).
#[derive(Clone, Debug)]
pub struct Controller {
    networks: Networks,
    limiter: SafetyLimiter,
    num_feet: usize,
    num_joints: usize,
    rays: RaySpec,
    previous_scans: PreviousScans,
    previous_rays: RayScan,
    /// The default posture with the robot's gains.
    default_target: JointTarget,
    command: Option<Twist>,
    /// The action applied last, by whichever policy: both act in the same scale, and it is part of the state that the
    /// next one finds.
    previous_action: JointVec,
    previous_contact: FootVec<bool>,
    target: JointTarget,
    limited: Limited,
    fallback_reason: Option<FallbackReason>,
    value: Option<f32>,
    twist: Option<Twist>,
}

/// The networks that a [`Method`] needs.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one for each robot; a box would only add a step to every look-up"
)]
enum Networks {
    /// One policy, and whether it tracks a twist.
    Single(Policy, bool),
    Commanded {
        agile: Policy,
        recovery: Policy,
    },
    Abs {
        agile: Policy,
        recovery: Policy,
        switch: Switch,
    },
}

impl Controller {
    /// Prepares the networks of `bundle` that `method` needs for `robot`.
    ///
    /// # Errors
    /// When the bundle lacks a network or does not fit the robot, or a setting is out of range.
    pub fn new(
        robot: &Robot,
        bundle: &Bundle,
        method: Method,
        config: &ControllerConfig,
    ) -> Result<Self, ControllerError> {
        let networks = match method {
            Method::Abs => {
                let spec = config.switch.over(&bundle.switch());
                spec.validate().map_err(ControllerError::Switch)?;
                Networks::Abs {
                    agile: bundle.policy(role::AGILE, robot)?,
                    recovery: bundle.policy(role::RECOVERY, robot)?,
                    switch: Switch::new(robot, bundle, &spec)?,
                }
            }
            Method::Policy(role) => Networks::Single(
                bundle.policy(&role, robot)?,
                bundle.spec.observes(&role, Quantity::TwistCommand),
            ),
        };
        let default_target = default_target(robot);
        Ok(Self {
            networks,
            limiter: SafetyLimiter::per_policy_step(
                robot,
                &config.safety,
                bundle.spec.policy_step_s,
            )?,
            num_feet: robot.num_feet(),
            num_joints: robot.num_joints(),
            previous_scans: PreviousScans::new(&bundle.spec.rays),
            previous_rays: RayScan::default(),
            rays: bundle.spec.rays.clone(),
            target: default_target.clone(),
            default_target,
            command: None,
            previous_action: std::iter::repeat_n(0.0, robot.num_joints()).collect(),
            previous_contact: FootVec::new(),
            limited: Limited::default(),
            fallback_reason: None,
            value: None,
            twist: None,
        })
    }

    /// Runs the agile policy, or the recovery policy while a twist is [commanded](Self::set_command): what the
    /// reach-avoid value is learned from.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn commanded(
        robot: &Robot,
        bundle: &Bundle,
        config: &ControllerConfig,
    ) -> Result<Self, ControllerError> {
        let mut controller = Self::new(robot, bundle, Method::agile(), config)?;
        controller.networks = Networks::Commanded {
            agile: bundle.policy(role::AGILE, robot)?,
            recovery: bundle.policy(role::RECOVERY, robot)?,
        };
        Ok(controller)
    }

    /// The twist that a policy tracks from the next step on, if it observes one (rest without), and that the recovery policy tracks in a
    /// [`commanded`](Self::commanded) controller; other methods do not use it.
    pub fn set_command(&mut self, twist: Option<Twist>) {
        self.command = twist;
    }

    /// Starts an episode: no previous action, contact, target or mode. The command stays.
    pub fn reset(&mut self) {
        self.forget();
        self.limiter.reset();
        self.target.clone_from(&self.default_target);
        self.limited = Limited::default();
        self.fallback_reason = None;
    }

    /// The robot is in another scene, or in another world frame: past scans say nothing about its obstacles. All else continues.
    pub fn enter_scene(&mut self) {
        self.previous_scans.reset();
    }

    /// Policy steps from the previous scan to the present one, 0 where the policies observe none.
    pub fn previous_steps(&self) -> usize {
        self.rays.previous_steps
    }

    /// Takes a scan that no [`step`](Self::step) takes: the last of an episode, or one before its start.
    pub fn observe_scan(&mut self, state: &RobotState, rays: &RayScan) {
        self.previous_scans
            .push(state, rays, &mut self.previous_rays);
    }

    /// The previous scan as it was observed with the last one; without distances where the policies observe none.
    pub fn previous_rays(&self) -> &RayScan {
        &self.previous_rays
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
    /// An input that is not finite or does not fit gives the fallback, all joints damped; [`Self::fallback_reason`] then
    /// says why. The policy resumes with the next good input, as at the start of an episode.
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
                self.fallback_reason = None;
            }
            Err(reason) => {
                self.limiter.fall_back(state, &mut self.target);
                self.limited = Limited {
                    fallback: true,
                    ..Limited::default()
                };
                self.fallback_reason = Some(reason);
                self.forget();
            }
        }
        &self.target
    }

    /// What decided the last command.
    pub fn mode(&self) -> Mode {
        match (self.fallback_reason, self.twist) {
            (Some(_), _) => Mode::Fallback,
            (None, Some(_)) => Mode::Recovery,
            (None, None) => Mode::Agile,
        }
    }

    /// Reach-avoid value of the last step, if the method has one.
    pub fn value(&self) -> Option<f32> {
        self.value
    }

    /// Twist that the recovery policy followed in the last step, if it acted.
    pub fn twist(&self) -> Option<Twist> {
        self.twist
    }

    /// Why the last command was the fallback, if it was.
    pub fn fallback_reason(&self) -> Option<FallbackReason> {
        self.fallback_reason
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
    ) -> Result<(), FallbackReason> {
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
            ("rays", rays.distance_m.len(), self.rays.count),
        ] {
            if found != expected {
                return Err(FallbackReason::Shape {
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

        self.observe_scan(state, rays);
        // The fallback may have changed the gains.
        self.target.clone_from(&self.default_target);
        let previous_action = self.previous_action.clone();
        let mut input = ObservationInput {
            state,
            foot_contact: &foot_contact,
            goal: GoalYaw::new(state, goal),
            time_left_s,
            twist: Twist::default(),
            previous_action: &previous_action,
            ray_distance_m: &rays.distance_m,
            previous_ray_distance_m: &self.previous_rays.distance_m,
            reality: &[],
        };
        // A policy with a history observes the steps in which the other acts, too.
        let (acting, waiting) = match &mut self.networks {
            Networks::Single(policy, tracks) => {
                self.twist = tracks.then(|| self.command.unwrap_or_default());
                (policy, None)
            }
            Networks::Commanded { agile, recovery } => {
                self.twist = self.command;
                if self.twist.is_some() {
                    (recovery, Some(agile))
                } else {
                    (agile, Some(recovery))
                }
            }
            Networks::Abs {
                agile,
                recovery,
                switch,
            } => {
                let Decision {
                    value,
                    recovery: found,
                } = switch.decide(&input)?;
                self.value = Some(value);
                self.twist = found.map(|found| found.twist);
                if found.is_some() {
                    (recovery, Some(agile))
                } else {
                    (agile, Some(recovery))
                }
            }
        };
        input.twist = self.twist.unwrap_or_default();
        if let Some(waiting) = waiting
            && waiting.layout().max_history() > 1
        {
            waiting.observe(&input)?;
        }
        acting.act(
            &input,
            &mut self.previous_action,
            &mut self.target.position_rad,
        )?;
        Ok(())
    }

    fn forget(&mut self) {
        self.previous_action.fill(0.0);
        self.previous_contact.clear();
        self.previous_scans.reset();
        self.value = None;
        self.twist = None;
        match &mut self.networks {
            Networks::Single(policy, _) => policy.reset(),
            Networks::Commanded { agile, recovery } => {
                agile.reset();
                recovery.reset();
            }
            Networks::Abs {
                agile,
                recovery,
                switch,
            } => {
                agile.reset();
                recovery.reset();
                switch.reset();
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
