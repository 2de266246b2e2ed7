//! The operator console of a run.

use std::{thread, time::Duration};

use controller::deploy::{
    FaultSet, Operator, OperatorSource, Request, State, Status, TwistSample, now_ns,
};
use crossbeam::{
    channel::{Receiver, never},
    select,
};
use robots::Robot;
use triple_buffer::Input;

use super::{
    Control, LAST_COMMANDS, RunError,
    drive::{Drive, Intent},
    gamepad::GamepadEvent,
    keyboard::{Key, Keyboard},
    printer::Printer,
    refusals::refusal_text,
};
use crate::link::Link;

/// Longest time between two heartbeats.
const PERIOD: Duration = Duration::from_millis(20);
/// With `--go`, the robot has to run after this time, s.
const GO_TIMEOUT_S: f32 = 30.0;
/// With `--go`, a robot in a fault is damped for this long, so that one that comes back finds its commands, s.
const GO_DAMPS_S: f32 = 10.0;
/// With `--go`, requests are repeated after this time, s.
const GO_REPEAT_S: f32 = 0.25;

/// Turns keys, sticks, interrupts and `--go` into requests, twists and goals, and prints what the robot does.
pub struct Console<'a> {
    operator: &'a Operator,
    link: &'a Link,
    printer: &'a Printer,
    joints: Vec<String>,
    go: Option<Go>,
    drive: Drive,
    twist: Input<TwistSample>,
    /// The newest status.
    status: Status,
    printed: (State, FaultSet),
    /// Refusals that were printed.
    refusals: u32,
}

/// Progress of a run that ends by itself.
#[derive(Default)]
pub struct Go {
    /// It also begins by itself, with `--go`.
    asks: bool,
    has_run: bool,
    asked_ns: u64,
    start_ns: u64,
    /// When the robot was seen in a fault first, ns; 0 for never.
    fault_ns: u64,
    /// Faults since the robot stood up.
    faults: FaultSet,
    /// Why the robot did not run.
    failure: Option<RunError>,
}

impl<'a> Console<'a> {
    pub fn new(
        robot: &Robot,
        operator: &'a Operator,
        link: &'a Link,
        printer: &'a Printer,
        go: Option<Go>,
        drive: Drive,
        twist: Input<TwistSample>,
    ) -> Self {
        Self {
            operator,
            link,
            printer,
            joints: robot.joints().map(|joint| joint.name.clone()).collect(),
            go,
            drive,
            twist,
            status: Status::default(),
            printed: (State::Damping, FaultSet::NONE),
            refusals: 0,
        }
    }

    /// Returns when the operator has ended the run and the robot lies. `watch` gets every status.
    pub fn run(
        &mut self,
        control: &Control,
        interrupts: &Receiver<()>,
        mut gamepad: Receiver<GamepadEvent>,
        watch: &mut dyn FnMut(&Status),
    ) -> Result<(), RunError> {
        let mut keyboard = Keyboard::open();
        let mut num_interrupts = 0;
        let mut ending = false;
        while !control.is_finished() {
            select! {
                recv(interrupts) -> _ => num_interrupts += 1,
                recv(self.link.statuses()) -> status => match status {
                    Ok(status) => {
                        watch(&status);
                        self.status = status;
                    }
                    // The link has ended.
                    Err(_) => thread::sleep(PERIOD),
                },
                recv(gamepad) -> event => {
                    let event = event.unwrap_or_else(|_| {
                        gamepad = never();
                        GamepadEvent::Lost("its thread has ended".to_owned())
                    });
                    self.drive.take(event, now_ns());
                }
                default(PERIOD) => {}
            }
            let now_ns = now_ns();
            // An operator at this terminal is present as long as the program runs. Where there is no terminal, there is none.
            if keyboard.as_ref().is_some_and(Keyboard::is_there) {
                self.operator.heartbeat(OperatorSource::Terminal, now_ns);
            }
            self.print_status();
            while let Some(key) = keyboard.as_mut().and_then(Keyboard::key) {
                match key {
                    Key::Char(b'u') => self.operator.request(Request::Stand),
                    Key::Char(b'g') if self.drive.may_start(now_ns) => {
                        self.operator.request(Request::Start);
                    }
                    Key::Char(b's') => self.operator.request(Request::Stop),
                    Key::Char(b'd') => self.operator.request(Request::LieDown),
                    Key::Char(b' ') => self.operator.request(Request::EmergencyStop),
                    Key::Char(b'q') => ending = true,
                    key => self.drive.press(key, &self.status),
                }
            }
            let intent = self.drive.intent(now_ns, &self.status);
            self.pass_on(intent, now_ns);
            // The second interrupt does not wait for the robot to lie down.
            if num_interrupts > 1 {
                self.operator.request(Request::EmergencyStop);
                thread::sleep(LAST_COMMANDS);
                return Ok(());
            }
            ending |= num_interrupts > 0;
            let status = &self.status;
            if ending {
                if status.state.is_damped() {
                    return self.go.as_mut().map_or(Ok(()), Go::result);
                }
                self.operator.request(Request::LieDown);
            } else if let Some(go) = &mut self.go {
                let is_ours = self.link.has_state() && self.link.is_released();
                ending = go.is_over(self.operator, is_ours, status, now_ns);
            }
        }
        Err(RunError::Control)
    }

    /// Hands over what keys and sticks ask for.
    fn pass_on(&mut self, intent: Intent, now_ns: u64) {
        if intent.heard_ns > 0 {
            self.operator
                .heartbeat(OperatorSource::Gamepad, intent.heard_ns);
        }
        if let Some(twist) = intent.twist {
            self.twist.write(TwistSample {
                received_ns: now_ns,
                twist,
            });
        }
        for request in intent.requests.iter() {
            self.operator.request(request);
        }
        if let Some(goal) = intent.goal {
            self.link.run_to(goal);
        }
        for line in intent.lines {
            self.printer.print(line);
        }
    }

    /// Prints state and faults when they change.
    fn print_status(&mut self) {
        let Status { state, faults, .. } = self.status;
        if self.printed != (state, faults) {
            self.printed = (state, faults);
            let colon = if faults.is_empty() { "" } else { ": " };
            self.printer
                .print(format!("{}{colon}{faults}", state.name()));
        }
        if self.status.refusals != self.refusals {
            self.refusals = self.status.refusals;
            if let Some((request, why)) = self.status.refused {
                let text = refusal_text(request, why, &self.joints);
                self.printer.print(text);
            }
        }
    }
}

impl Go {
    /// A run that asks for what leads to its end, or leaves that to the operator.
    pub fn new(asks: bool) -> Self {
        Self {
            asks,
            ..Self::default()
        }
    }

    /// Asks for the next thing, once the motors are ours to command. True when the run is over, and the robot is to lie down
    /// if it does not lie: what the table of faults says is done to its end.
    fn is_over(
        &mut self,
        operator: &Operator,
        is_ours: bool,
        status: &Status,
        now_ns: u64,
    ) -> bool {
        let since_s = |time_ns: u64| now_ns.saturating_sub(time_ns) as f32 * 1e-9;
        if self.start_ns == 0 {
            self.start_ns = now_ns;
        }
        if status.state == State::StandUp {
            self.faults = FaultSet::NONE;
        }
        self.faults = self.faults.union(status.latched_faults);
        if !self.asks {
            self.has_run |= status.state == State::Run;
            return self.has_run && status.state == State::Damping;
        }
        match status.state {
            State::Fault => {
                if self.fault_ns == 0 {
                    self.fault_ns = now_ns;
                }
                // A robot that comes back finds its commands.
                return since_s(self.fault_ns) > GO_DAMPS_S;
            }
            State::Run => {
                self.has_run = true;
                return false;
            }
            State::Ready | State::Damping if self.has_run || self.fault_ns > 0 => return true,
            _ if self.has_run => return false,
            _ => {}
        }
        let waited_s = since_s(self.start_ns);
        if waited_s > GO_TIMEOUT_S {
            let faults = match status.faults.is_empty() {
                true => String::new(),
                false => format!(" ({})", status.faults),
            };
            self.failure = Some(RunError::NotRunning {
                waited_s,
                state: status.state.name(),
                faults,
            });
            return true;
        }
        if is_ours && since_s(self.asked_ns) > GO_REPEAT_S {
            self.asked_ns = now_ns;
            match status.state {
                State::Damping => operator.request(Request::Stand),
                State::Ready => operator.request(Request::Start),
                _ => {}
            }
        }
        false
    }

    /// How the run has ended.
    fn result(&mut self) -> Result<(), RunError> {
        match self.failure.take() {
            Some(failure) => Err(failure),
            None if self.faults.is_empty() => Ok(()),
            None => Err(RunError::Fault(self.faults)),
        }
    }
}

#[cfg(test)]
mod tests {
    use controller::deploy::Fault;

    use super::*;

    const S: u64 = 1_000_000_000;

    fn status(state: State, latched: Option<Fault>) -> Status {
        let mut status = Status {
            state,
            ..Status::default()
        };
        if let Some(fault) = latched {
            status.latched_faults.insert(fault);
        }
        status
    }

    #[test]
    fn a_run_that_a_fault_ends_is_over_when_the_robot_lies() {
        let (mut go, operator) = (Go::new(true), Operator::default());
        let blind = Some(Fault::StaleRays);
        for (state, latched, is_over) in [
            (State::StandUp, None, false),
            (State::Ready, None, false),
            (State::Run, None, false),
            (State::StopThenLieDown, blind, false),
            (State::LieDown, blind, false),
            (State::Damping, blind, true),
        ] {
            let status = status(state, latched);
            assert_eq!(
                go.is_over(&operator, true, &status, S),
                is_over,
                "{state:?}"
            );
        }
        let error = go.result().unwrap_err().to_string();
        assert_eq!(error, "the run ended with F03 stale rays");
    }

    #[test]
    fn a_robot_in_a_fault_is_damped_for_a_while() {
        let (mut go, operator) = (Go::new(true), Operator::default());
        let fault = status(State::Fault, Some(Fault::StaleState));
        for time_s in 1..11 {
            assert!(!go.is_over(&operator, true, &fault, time_s * S));
        }
        assert!(go.is_over(&operator, true, &fault, 12 * S));
        assert!(matches!(go.result(), Err(RunError::Fault(_))));
    }

    #[test]
    fn a_robot_that_stands_and_cannot_run_lies_down_before_the_error() {
        let (mut go, operator) = (Go::new(true), Operator::default());
        let ready = status(State::Ready, None);
        assert!(!go.is_over(&operator, true, &ready, S));
        assert!(go.is_over(&operator, true, &ready, 32 * S));
        let error = go.result().unwrap_err().to_string();
        assert!(
            error.starts_with("31 s and the robot does not run"),
            "{error}"
        );
    }

    #[test]
    fn a_run_that_an_operator_leads_waits_for_him_and_ends_when_the_robot_lies() {
        let (mut go, operator) = (Go::new(false), Operator::default());
        for (time_s, state, is_over) in [
            (1, State::Damping, false),
            (99, State::Ready, false),
            (100, State::Run, false),
            (101, State::Ready, false),
            (200, State::Run, false),
            (201, State::LieDown, false),
            (202, State::Damping, true),
        ] {
            let status = status(state, None);
            let found = go.is_over(&operator, true, &status, time_s * S);
            assert_eq!(found, is_over, "{state:?} after {time_s} s");
        }
        assert!(go.result().is_ok());
    }
}
