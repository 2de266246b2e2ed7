//! The operator console of a run.

use std::{thread, time::Duration};

use controller::deploy::{
    FaultSet, Operator, OperatorSource, Refusal, Request, State, Status, now_ns,
};
use crossbeam::{channel::Receiver, select};

use super::{Control, LAST_COMMANDS, RunError, keyboard::Keyboard, printer::Printer};
use crate::link::Link;

/// Longest time between two heartbeats.
const PERIOD: Duration = Duration::from_millis(20);
/// With `--go`, the robot has to run after this time, s.
const GO_TIMEOUT_S: f32 = 30.0;
/// With `--go`, a robot in a fault is damped for this long, so that one that comes back finds its commands, s.
const GO_DAMPS_S: f32 = 10.0;
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
    /// Refusals that were printed.
    refusals: u32,
}

/// Progress of a run with `--go`.
#[derive(Default)]
struct Go {
    has_run: bool,
    asked_ns: u64,
    start_ns: u64,
    /// When the robot was seen in a fault first, ns; 0 for never.
    fault_ns: u64,
    /// Faults that ended the run.
    faults: FaultSet,
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
            refusals: 0,
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
            // An operator at this terminal is present as long as the program runs. Where there is no terminal, there is none.
            if keyboard.is_some() {
                self.operator.heartbeat(OperatorSource::Terminal, now_ns);
            }
            self.print_status();
            while let Some(key) = keyboard.as_ref().and_then(Keyboard::key) {
                match key {
                    b'u' => self.operator.request(Request::Stand),
                    b'g' => self.operator.request(Request::Start),
                    b's' => self.operator.request(Request::Stop),
                    b'd' => self.operator.request(Request::LieDown),
                    b' ' => self.operator.request(Request::EmergencyStop),
                    b'q' => ending = true,
                    _ => {}
                }
            }
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
                    return Ok(());
                }
                self.operator.request(Request::LieDown);
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
        if self.status.refusals != self.refusals {
            self.refusals = self.status.refusals;
            if let Some((request, why)) = self.status.refused {
                self.printer.print(refusal_text(request, why));
            }
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
        // What the table of faults says is done to its end: the robot brakes, lies down, and is damped.
        self.faults = self.faults.union(status.latched_faults);
        if status.state == State::Fault {
            if self.fault_ns == 0 {
                self.fault_ns = now_ns;
            }
            let damped_s = now_ns.saturating_sub(self.fault_ns) as f32 * 1e-9;
            return match damped_s > GO_DAMPS_S {
                true => Err(RunError::Fault(self.faults)),
                false => Ok(false),
            };
        }
        if status.state == State::Run {
            self.has_run = true;
            return Ok(false);
        }
        let is_over = status.state == State::Ready || status.state == State::Damping;
        if is_over && (self.has_run || self.fault_ns > 0) && !self.faults.is_empty() {
            return Err(RunError::Fault(self.faults));
        }
        if self.has_run {
            return Ok(is_over);
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
                State::Damping => operator.request(Request::Stand),
                State::Ready => operator.request(Request::Start),
                _ => {}
            }
        }
        Ok(false)
    }
}

/// Why a request had no effect, and what would help.
fn refusal_text(request: Request, why: Refusal) -> String {
    let what = match request {
        Request::EmergencyStop => "emergency stop",
        Request::LieDown => "lie down",
        Request::Stop => "stop",
        Request::Stand => "stand up",
        Request::Start => "go",
    };
    match why {
        Refusal::NoGoal => format!(
            "{what}: there is no goal; give --goal X,Y, or set one in RViz (ros2.goal_topic)"
        ),
        Refusal::Faults(faults) => format!("{what}: not with {faults}"),
        Refusal::State(State::Fault) => {
            format!("{what}: not in state `fault`; first s, when the fault is over")
        }
        Refusal::State(state) => format!(
            "{what}: not in state `{}`; first u, and wait until it stands",
            state.name()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_would_help() {
        let text = refusal_text(Request::Start, Refusal::NoGoal);
        assert!(
            text.starts_with("go: there is no goal; give --goal X,Y"),
            "{text}"
        );
        let text = refusal_text(Request::Start, Refusal::State(State::Damping));
        assert_eq!(
            text,
            "go: not in state `damping`; first u, and wait until it stands"
        );
    }
}
