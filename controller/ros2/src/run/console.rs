//! The operator console of a run.

use std::{thread, time::Duration};

use controller::deploy::{FaultSet, Operator, Request, State, Status, now_ns};
use crossbeam::{channel::Receiver, select};

use super::{Control, LAST_COMMANDS, RunError, keyboard::Keyboard, printer::Printer};
use crate::link::Link;

/// Longest time between two heartbeats.
const PERIOD: Duration = Duration::from_millis(20);
/// With `--go`, the robot has to run after this time, s.
const GO_TIMEOUT_S: f32 = 30.0;
/// With `--go`, requests are repeated after this time, s.
const GO_REPEAT_S: f32 = 0.25;

/// Turns keys, interrupts and `--go` into requests, and prints what the robot does.
pub struct Console<'a> {
    operator: &'a Operator,
    link: &'a Link,
    printer: &'a Printer,
    go: Option<Go>,
    /// The newest status.
    status: Status,
    printed: (State, FaultSet),
}

/// Progress of a run with `--go`.
#[derive(Default)]
struct Go {
    has_run: bool,
    asked_ns: u64,
    start_ns: u64,
}

impl<'a> Console<'a> {
    pub fn new(operator: &'a Operator, link: &'a Link, printer: &'a Printer, go: bool) -> Self {
        Self {
            operator,
            link,
            printer,
            go: go.then(Go::default),
            status: Status::default(),
            printed: (State::Damping, FaultSet::NONE),
        }
    }

    /// Returns when the operator has ended the run and the robot lies.
    pub fn run(&mut self, control: &Control, interrupts: &Receiver<()>) -> Result<(), RunError> {
        let keyboard = Keyboard::open();
        let mut num_interrupts = 0;
        let mut ending = false;
        while !control.is_finished() {
            select! {
                recv(interrupts) -> _ => num_interrupts += 1,
                recv(self.link.statuses()) -> status => match status {
                    Ok(status) => self.status = status,
                    // The link has ended.
                    Err(_) => thread::sleep(PERIOD),
                },
                default(PERIOD) => {}
            }
            let now_ns = now_ns();
            // An operator at this terminal is present as long as the program runs.
            self.operator.heartbeat(now_ns);
            self.print_status();
            while let Some(key) = keyboard.as_ref().and_then(Keyboard::key) {
                match key {
                    b'u' => self.operator.request(Request::Stand, now_ns),
                    b'g' => self.operator.request(Request::Start, now_ns),
                    b's' => self.operator.request(Request::Stop, now_ns),
                    b'd' => self.operator.request(Request::LieDown, now_ns),
                    b' ' => self.operator.request(Request::EmergencyStop, now_ns),
                    b'q' => ending = true,
                    _ => {}
                }
            }
            // The second interrupt does not wait for the robot to lie down.
            if num_interrupts > 1 {
                self.operator.request(Request::EmergencyStop, now_ns);
                thread::sleep(LAST_COMMANDS);
                return Ok(());
            }
            ending |= num_interrupts > 0;
            let status = &self.status;
            if ending {
                if status.state.is_damped() {
                    return Ok(());
                }
                self.operator.request(Request::LieDown, now_ns);
            } else if let Some(go) = &mut self.go
                && go.step(self.operator, self.link, status, now_ns)?
            {
                ending = true;
            }
        }
        Err(RunError::Control)
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
    }
}

impl Go {
    /// Asks for the next thing. True when the run is over.
    fn step(
        &mut self,
        operator: &Operator,
        link: &Link,
        status: &Status,
        now_ns: u64,
    ) -> Result<bool, RunError> {
        if self.start_ns == 0 {
            self.start_ns = now_ns;
        }
        if status.state == State::Fault {
            return Err(RunError::Fault(status.latched_faults));
        }
        if status.state == State::Run {
            self.has_run = true;
            return Ok(false);
        }
        if self.has_run {
            if !status.latched_faults.is_empty() && status.state != State::Stop {
                return Err(RunError::Fault(status.latched_faults));
            }
            return Ok(status.state == State::Ready || status.state.is_damped());
        }
        let waited_s = now_ns.saturating_sub(self.start_ns) as f32 * 1e-9;
        if waited_s > GO_TIMEOUT_S {
            let faults = match status.faults.is_empty() {
                true => String::new(),
                false => format!(" ({})", status.faults),
            };
            return Err(RunError::NotRunning {
                waited_s,
                state: status.state.name(),
                faults,
            });
        }
        let due = now_ns.saturating_sub(self.asked_ns) as f32 * 1e-9 > GO_REPEAT_S;
        if due && link.has_state() && link.is_released() {
            self.asked_ns = now_ns;
            match status.state {
                State::Damping => operator.request(Request::Stand, now_ns),
                State::Ready => operator.request(Request::Start, now_ns),
                _ => {}
            }
        }
        Ok(false)
    }
}
