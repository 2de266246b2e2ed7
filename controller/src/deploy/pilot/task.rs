//! What the robot is to do while it runs: reach a goal, follow a twist, or drive its joints one by one.

use policies::{Bundle, Goal, Quantity, Twist, TwistRange, observation::MAX_EPISODE_S};
use robots::Robot;

use super::{CycleInput, DeployConfig, Excitation, ExcitationError, Fault};
use crate::{Method, deploy::GoalSample};

/// Faults of what only a robot that runs to a goal needs.
const FOR_GOALS_ONLY: &[Fault] = &[
    Fault::StaleOdometry,
    Fault::ImplausibleOdometry,
    Fault::GoalRange,
];
/// The same without rays.
const FOR_GOALS_AND_RAYS: &[Fault] = &[
    Fault::StaleOdometry,
    Fault::ImplausibleOdometry,
    Fault::GoalRange,
    Fault::StaleRays,
];

#[derive(Clone, Debug)]
pub(super) enum Task {
    /// Run to the operator's goals.
    Goal(Goals),
    /// Follow the operator's twists.
    Twist(Twists),
    /// Drive the joints in place of a policy, while motors are identified.
    Excitation(Excitation),
}

/// The goal that the robot runs to, and when it took it.
#[derive(Clone, Debug, Default)]
pub(super) struct Goals {
    goal: GoalSample,
    since_ns: u64,
}

/// The twist that the robot follows.
#[derive(Clone, Debug)]
pub(super) struct Twists {
    range: TwistRange,
    twist: Twist,
    /// A twist that is older is not followed, s.
    timeout_s: f32,
    observes_rays: bool,
}

impl Twists {
    /// The twists that the operator may command.
    pub fn range(&self) -> &TwistRange {
        &self.range
    }
}

impl Task {
    pub fn new(
        robot: &Robot,
        bundle: &Bundle,
        config: &DeployConfig,
    ) -> Result<Self, ExcitationError> {
        if config.identify.enabled {
            let excitation = Excitation::new(robot, &config.identify, &config.stand_up)?;
            return Ok(Self::Excitation(excitation));
        }
        let (spec, method) = (&bundle.spec, config.method);
        let observes_rays = match &method {
            Method::Abs => true,
            Method::Policy(role) => [Quantity::LogRays, Quantity::PreviousLogRays]
                .into_iter()
                .any(|quantity| spec.observes(role, quantity)),
        };
        Ok(match config.drive.twist_range(spec, method) {
            None => Self::Goal(Goals::default()),
            Some(range) => Self::Twist(Twists {
                range,
                twist: Twist::default(),
                timeout_s: config.faults.operator_timeout_s,
                observes_rays,
            }),
        })
    }

    /// Faults that do not matter to it.
    pub fn irrelevant_faults(&self) -> &'static [Fault] {
        match self {
            Self::Goal(_) => &[],
            Self::Twist(twists) if twists.observes_rays => FOR_GOALS_ONLY,
            Self::Twist(_) | Self::Excitation(_) => FOR_GOALS_AND_RAYS,
        }
    }

    /// Whether there is something to do.
    pub fn is_given(&self, input: &CycleInput) -> bool {
        !matches!(self, Self::Goal(_)) || input.goal.received_ns > 0
    }

    /// The robot begins to run.
    pub fn begin(&mut self, input: &CycleInput) {
        if let Self::Goal(goals) = self {
            goals.goal.clone_from(&input.goal);
            goals.since_ns = input.time_ns;
        }
    }

    /// Takes a goal that came while the robot runs.
    pub fn take_new_goal(&mut self, input: &CycleInput) {
        if let Self::Goal(goals) = self
            && goals.goal.received_ns != input.goal.received_ns
        {
            self.begin(input);
        }
    }

    /// Takes the newest twist, within the range; rest where it is too old, or not finite.
    pub fn take_twist(&mut self, input: &CycleInput) {
        if let Self::Twist(twists) = self {
            let age_ns = input.time_ns.saturating_sub(input.twist.received_ns);
            let is_usable =
                input.twist.twist.is_finite() && age_ns as f32 * 1e-9 <= twists.timeout_s;
            twists.twist = match is_usable {
                true => twists.range.clamp(input.twist.twist),
                false => Twist::default(),
            };
        }
    }

    /// The goal to run to.
    pub fn goal(&self) -> Option<Goal> {
        match self {
            Self::Goal(goals) => Some(goals.goal.goal),
            _ => None,
        }
    }

    /// The twist to follow.
    pub fn twist(&self) -> Option<Twist> {
        match self {
            Self::Twist(twists) => Some(twists.twist),
            _ => None,
        }
    }

    /// Time left to reach the goal, s. A twist is followed without end.
    pub fn time_left_s(&self, time_ns: u64) -> f32 {
        match self {
            Self::Goal(Goals { goal, since_ns }) => {
                goal.duration_s - time_ns.saturating_sub(*since_ns) as f32 * 1e-9
            }
            Self::Twist(_) | Self::Excitation(_) => MAX_EPISODE_S,
        }
    }

    /// Whether the time to reach the goal is up.
    pub fn is_over(&self, time_ns: u64) -> bool {
        self.time_left_s(time_ns) <= 0.0
    }

    /// Whether every joint has been driven, `elapsed_ns` after the begin.
    pub fn is_done(&self, elapsed_ns: u64) -> bool {
        match self {
            Self::Excitation(excitation) => elapsed_ns as f64 * 1e-9 >= excitation.duration_s(),
            Self::Goal(_) | Self::Twist(_) => false,
        }
    }
}
