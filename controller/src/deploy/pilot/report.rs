//! What the pilot tells of itself: requests that it refuses, and its status.

use super::{
    Controller, CycleInput, FaultSet, Pilot, Refusal, Request, Situation, State, Status, Task,
};

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
            (Request::Start, S::Ready) if next == S::Ready => match self.task.is_given(input) {
                true => Refusal::Faults(faults),
                false => Refusal::NoGoal,
            },
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
        let runs = self.state == State::Run;
        let acting = match (self.state, &self.brake, &self.task) {
            (State::Stop | State::StopThenLieDown, Some(brake), _) => Some(brake),
            (State::Run, _, Task::Goal(_) | Task::Twist(_)) => Some(&self.controller),
            _ => None,
        };
        status.time_ns = time_ns;
        status.state = self.state;
        status.faults = faults;
        status.latched_faults = self.latched_faults;
        status.mode = acting.map(Controller::mode);
        status.value = acting.and_then(Controller::value);
        status.twist = acting.and_then(Controller::twist);
        status.goal = self.task.goal().filter(|_| runs);
        status.time_left_s = match &self.task {
            Task::Goal(_) if runs => self.task.time_left_s(time_ns),
            Task::Excitation(excitation) if runs => {
                excitation.duration_s() as f32 - self.elapsed_s(time_ns)
            }
            _ => 0.0,
        };
        status.rays.clone_from(self.rays.last());
        status.estimate.clone_from(&self.estimate);
        status.limited = self.limited;
        status.overruns = self.overruns;
        (status.refused, status.refusals) = (self.refused, self.refusals);
    }
}
