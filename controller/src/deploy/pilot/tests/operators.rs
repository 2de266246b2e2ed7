//! Operators: those who leave, what they ask for in vain, and the way back.

use super::*;

const NOBODY: [u64; OperatorSource::COUNT] = [0; OperatorSource::COUNT];

#[test]
fn f12_each_operator_that_was_heard_is_missed() {
    for lost in 0..OperatorSource::COUNT {
        let mut rig = Rig::running();
        let last_ns = rig.record.input.time_ns;
        let mut states =
            (0..520).map(|_| rig.cycle_with(|input| input.operators_heard_ns[lost] = last_ns));
        assert!(
            states.any(|state| state == State::StopThenLieDown),
            "{lost}"
        );
        assert!(
            rig.record
                .status
                .latched_faults
                .contains(Fault::LostOperator)
        );
    }
    let mut rig = Rig::running();
    for _ in 0..1000 {
        let state = rig.cycle_with(|input| input.operators_heard_ns = NOBODY);
        assert_eq!(state, State::Run, "nobody was ever heard");
    }
}

#[test]
fn a_stop_of_a_robot_that_lies_dismisses_an_operator_who_has_left() {
    let mut rig = Rig::new();
    let left_ns = START_NS + CYCLE_NS;
    let mut with = |request: Option<Request>| {
        rig.cycle_with(|input| {
            input.operators_heard_ns[1] = left_ns;
            if let Some(request) = request {
                input.requests.insert(request);
            }
        })
    };
    for _ in 0..600 {
        with(None);
    }
    assert_eq!(with(Some(Request::Stand)), State::Damping, "is missed");
    assert_eq!(with(Some(Request::Stop)), State::Damping);
    with(None);
    assert_eq!(with(Some(Request::Stand)), State::StandUp);
}

#[test]
fn refusals_say_why() {
    let mut rig = Rig::new();
    rig.record.input.goal.received_ns = 0;
    rig.cycle();
    assert_eq!(rig.request(Request::Start), State::Damping);
    let state = Refusal::State(State::Damping);
    assert_eq!(rig.record.status.refused, Some((Request::Start, state)));
    assert_eq!(rig.request(Request::Stand), State::StandUp);
    rig.cycles(1001);
    assert_eq!(rig.request(Request::Start), State::Ready);
    assert_eq!(
        rig.record.status.refused,
        Some((Request::Start, Refusal::NoGoal))
    );
    assert_eq!(rig.record.status.refusals, 2);
    rig.record.input.goal.received_ns = rig.record.input.time_ns;
    assert_eq!(rig.request(Request::Start), State::Run);
    assert_eq!(rig.record.status.refusals, 2);
}

#[test]
fn from_a_soft_fault_that_is_over_a_stand_leads_back_without_lying_down() {
    // While it brakes.
    let mut rig = Rig::running();
    let blind = |input: &mut CycleInput| faults::inject(Fault::StaleRays, input);
    assert_eq!(rig.cycle_with(blind), State::StopThenLieDown);
    rig.cycles(10);
    assert_eq!(rig.request(Request::Stand), State::Stop);
    assert_eq!(rig.cycles(310), State::Ready);
    assert_eq!(rig.request(Request::Start), State::Run);
    // While it lies down: the legs are never limp.
    assert_eq!(rig.cycle_with(blind), State::StopThenLieDown);
    assert_eq!(rig.cycles(600), State::LieDown);
    let begin = rig.history.len();
    assert_eq!(rig.request(Request::Stand), State::StandUp);
    assert_eq!(rig.cycles(1010), State::Ready);
    let stiff = |cycle: &CycleRecord| cycle.command.joints[0].stiffness > 0.0;
    assert!(rig.history[begin..].iter().all(stiff));
    // Not while the fault is there, if it forbids standing.
    let cold = |input: &mut CycleInput| {
        faults::inject(Fault::LowBattery, input);
        input.requests.insert(Request::Stand);
    };
    assert_eq!(rig.request(Request::Start), State::Run);
    rig.cycle_with(cold);
    assert_eq!(rig.cycle_with(cold), State::StopThenLieDown);
}

#[test]
fn an_emergency_stop_wins_over_everything_asked_for_in_the_same_cycle_and_latches() {
    let mut rig = Rig::running();
    let all = |input: &mut CycleInput| Request::ALL.iter().for_each(|&r| input.requests.insert(r));
    assert_eq!(rig.cycle_with(all), State::Fault);
    for request in [Request::Stand, Request::Start, Request::LieDown] {
        assert_eq!(rig.request(request), State::Fault, "{request:?}");
    }
    assert_eq!(rig.cycles(1000), State::Fault);
    assert!(
        rig.record
            .status
            .latched_faults
            .contains(Fault::EmergencyStop)
    );
    assert_eq!(rig.request(Request::Stop), State::Damping);
}
