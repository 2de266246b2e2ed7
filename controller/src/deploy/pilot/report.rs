//! What the pilot tells of itself: requests that it refuses, and its status.

use super::{Controller, CycleInput, FaultSet, Pilot, Refusal, Request, Situation, State, Status};

impl Pilot {
    pub(super) fn refuse(&mut self, request: Request, why: Refusal) {
        self.refused = Some((request, why));
        self.refusals = self.refusals.wrapping_add(1);
    }

    /// Why a request has no effect, where it was meant to have one.
    pub(super) fn refusal(
        &self,
        situation: &Situation,
        next: State,
        input: &CycleInput,
        faults: FaultSet,
    ) -> Option<(Request, Refusal)> {
        use State as S;
        let (request, state) = (situation.request?, self.state);
        let why = match (request, state) {
            (Request::Start, S::Ready) if next == S::Ready => {
                let has_task = self.excitation.is_some() || input.goal.received_ns > 0;
                match has_task {
                    true => Refusal::Faults(faults),
                    false => Refusal::NoGoal,
                }
            }
            (Request::Start, S::Damping | S::StandUp | S::LieDown) => Refusal::State(state),
            (Request::Stand, S::Damping | S::LieDown | S::StopThenLieDown) if next == state => {
                Refusal::Faults(faults)
            }
            (Request::Stand | Request::Start, S::Fault) => Refusal::State(state),
            (Request::Stop, S::Fault) if next == S::Fault => Refusal::Faults(faults),
            _ => return None,
        };
        Some((request, why))
    }

    pub(super) fn write_status(&self, time_ns: u64, faults: FaultSet, status: &mut Status) {
        let running = self.state == State::Run && self.excitation.is_none();
        let acting = match (self.state, &self.brake) {
            (State::Stop | State::StopThenLieDown, Some(brake)) => Some(brake),
            (State::Run, _) if running => Some(&self.controller),
            _ => None,
        };
        status.time_ns = time_ns;
        status.state = self.state;
        status.faults = faults;
        status.latched_faults = self.latched_faults;
        status.mode = acting.map(Controller::mode);
        status.value = acting.and_then(Controller::value);
        status.twist = acting.and_then(Controller::twist);
        status.goal = running.then_some(self.goal.goal);
        status.time_left_s = match (&self.excitation, self.state) {
            (None, State::Run) => self.time_left_s(time_ns),
            (Some(excitation), State::Run) => {
                excitation.duration_s() as f32 - self.elapsed_s(time_ns)
            }
            _ => 0.0,
        };
        status.rays.clone_from(&self.rays);
        status.estimate.clone_from(&self.estimate);
        status.limited = self.limited;
        status.overruns = self.overruns;
        (status.refused, status.refusals) = (self.refused, self.refusals);
    }
}
