//! The states of a deployment and their transitions.

use serde::{Deserialize, Serialize};

use super::{Request, StandUpConfig, faults::Response};

/// What the robot is doing.
///
/// Not to be confused with the [`Method`](crate::Method), which says what controls the robot in [`Run`](Self::Run) and does
/// not change during a run, nor with the [`Mode`](crate::Mode), which says which policy of that method decided the last
/// command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// All joints are damped: the robot lies, or sinks down. The first state.
    #[default]
    Damping,
    /// Moves to the standing pose.
    StandUp,
    /// Holds the standing pose.
    Ready,
    /// The controller runs to the goal.
    Run,
    /// Brakes, then stands.
    Stop,
    /// Brakes, then lies down.
    StopThenLieDown,
    /// Moves down to the ground, then damps.
    LieDown,
    /// All joints are damped because of a fault, until it is over and the operator acknowledges it with a stop.
    Fault,
}

impl State {
    /// All states.
    pub const ALL: [Self; 8] = [
        Self::Damping,
        Self::StandUp,
        Self::Ready,
        Self::Run,
        Self::Stop,
        Self::StopThenLieDown,
        Self::LieDown,
        Self::Fault,
    ];

    /// Its name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Damping => "damping",
            Self::StandUp => "stand up",
            Self::Ready => "ready",
            Self::Run => "run",
            Self::Stop => "stop",
            Self::StopThenLieDown => "stop, then lie down",
            Self::LieDown => "lie down",
            Self::Fault => "fault",
        }
    }

    /// Whether all joints are damped.
    pub const fn is_damped(self) -> bool {
        matches!(self, Self::Damping | Self::Fault)
    }
}

/// What a transition depends on, besides the state.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Situation {
    /// Most urgent request of the operator.
    pub request: Option<Request>,
    /// Strongest response to the active faults.
    pub response: Option<Response>,
    /// No fault prevents standing.
    pub may_stand: bool,
    /// There is a goal, and no fault prevents running to it.
    pub may_run: bool,
    /// The time to reach the goal is up.
    pub time_over: bool,
    /// Time in this state, s.
    pub elapsed_s: f32,
}

impl State {
    /// The state of the next cycle. Standing up, braking and lying down take the times in `config`.
    pub(super) fn next(self, situation: &Situation, config: &StandUpConfig) -> Self {
        let &Situation {
            request,
            response,
            may_stand,
            may_run,
            time_over,
            elapsed_s,
        } = situation;
        if response == Some(Response::Damp) {
            return Self::Fault;
        }
        let lie_down = response == Some(Response::LieDown) || request == Some(Request::LieDown);
        let stop = response == Some(Response::Stop) || request == Some(Request::Stop);
        let stand = request == Some(Request::Stand) && may_stand;
        match self {
            Self::Damping if stand => Self::StandUp,
            Self::StandUp if lie_down || stop => Self::LieDown,
            Self::StandUp if elapsed_s >= config.stand_up_s => Self::Ready,
            Self::Ready if lie_down => Self::LieDown,
            Self::Ready if request == Some(Request::Start) && may_run => Self::Run,
            Self::Run | Self::Stop if lie_down => Self::StopThenLieDown,
            Self::Run if stop || time_over => Self::Stop,
            Self::Stop if elapsed_s >= config.stop_s => Self::Ready,
            // The fault is over: no need to lie down first.
            Self::StopThenLieDown if stand && !lie_down => Self::Stop,
            Self::StopThenLieDown if elapsed_s >= config.stop_s => Self::LieDown,
            Self::LieDown if stand => Self::StandUp,
            Self::LieDown if elapsed_s >= config.lie_down_s => Self::Damping,
            Self::Fault if request == Some(Request::Stop) && may_stand => Self::Damping,
            state => state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> StandUpConfig {
        StandUpConfig {
            stand_up_s: 2.0,
            stop_s: 0.5,
            lie_down_s: 1.0,
            ..StandUpConfig::default()
        }
    }

    fn good() -> Situation {
        Situation {
            may_stand: true,
            may_run: true,
            ..Situation::default()
        }
    }

    /// The next state from every state, in the order of `State::ALL`.
    #[track_caller]
    fn check(what: &str, situation: Situation, expected: [State; 8]) {
        for (state, expected) in State::ALL.into_iter().zip(expected) {
            assert_eq!(
                state.next(&situation, &config()),
                expected,
                "{what}, from {}",
                state.name()
            );
        }
    }

    #[test]
    fn every_transition() {
        use State::{Damping, Fault, LieDown, Ready, Run, StandUp, Stop, StopThenLieDown};
        let stays = State::ALL;
        let request = |request| Situation {
            request: Some(request),
            ..good()
        };
        let response = |response| Situation {
            response: Some(response),
            may_stand: false,
            may_run: false,
            ..good()
        };
        let down = [
            Damping,
            LieDown,
            LieDown,
            StopThenLieDown,
            StopThenLieDown,
            StopThenLieDown,
            LieDown,
            Fault,
        ];
        check("nothing", good(), stays);
        check(
            "stand",
            request(Request::Stand),
            [StandUp, StandUp, Ready, Run, Stop, Stop, StandUp, Fault],
        );
        check(
            "stand, forbidden",
            Situation {
                may_stand: false,
                ..request(Request::Stand)
            },
            stays,
        );
        check(
            "start",
            request(Request::Start),
            [
                Damping,
                StandUp,
                Run,
                Run,
                Stop,
                StopThenLieDown,
                LieDown,
                Fault,
            ],
        );
        check(
            "start, forbidden",
            Situation {
                may_run: false,
                ..request(Request::Start)
            },
            stays,
        );
        check(
            "stop",
            request(Request::Stop),
            [
                Damping,
                LieDown,
                Ready,
                Stop,
                Stop,
                StopThenLieDown,
                LieDown,
                Damping,
            ],
        );
        check(
            "stop while the fault is there",
            Situation {
                may_stand: false,
                ..request(Request::Stop)
            },
            [
                Damping,
                LieDown,
                Ready,
                Stop,
                Stop,
                StopThenLieDown,
                LieDown,
                Fault,
            ],
        );
        check("lie down", request(Request::LieDown), down);
        check("response damp", response(Response::Damp), [Fault; 8]);
        check("response lie down", response(Response::LieDown), down);
        check(
            "response stop",
            response(Response::Stop),
            [
                Damping,
                LieDown,
                Ready,
                Stop,
                Stop,
                StopThenLieDown,
                LieDown,
                Fault,
            ],
        );
        check(
            "time over",
            Situation {
                time_over: true,
                ..good()
            },
            [
                Damping,
                StandUp,
                Ready,
                Stop,
                Stop,
                StopThenLieDown,
                LieDown,
                Fault,
            ],
        );
        let after = |elapsed_s| Situation {
            elapsed_s,
            ..good()
        };
        check(
            "after 0.5 s",
            after(0.5),
            [Damping, StandUp, Ready, Run, Ready, LieDown, LieDown, Fault],
        );
        check(
            "after 1 s",
            after(1.0),
            [Damping, StandUp, Ready, Run, Ready, LieDown, Damping, Fault],
        );
        check(
            "after 2 s",
            after(2.0),
            [Damping, Ready, Ready, Run, Ready, LieDown, Damping, Fault],
        );
    }

    #[test]
    fn a_fault_wins_over_every_request() {
        for request in Request::ALL {
            let situation = Situation {
                request: Some(request),
                response: Some(Response::Damp),
                ..good()
            };
            check("fault and request", situation, [State::Fault; 8]);
        }
    }
}
