//! `abs sim-robot --fault-runs`: something fails at a random time of a run, and the robot tells whether an old command held it.

use std::{fs, process::Child};

use anyhow::{Result, ensure};
use clap::ValueEnum as _;
use controller::deploy::State;
use policies::file::write_atomic;
use rand::RngExt as _;
use ros2::{Delivery, OPERATOR_TOPIC, Ros, messages::Text};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use sim::random::{Stream, stream, uniform};
use sim_ros2::SensorFaults;

use super::{Session, SimRobotCommand};
use crate::commands::subject::Subject;

/// From the first state that `abs deploy` publishes to the fault, s: standing up, running, at the goal.
const AFTER_S: [f32; 2] = [0.5, 9.0];
/// How long a fault of a sensor lasts, s.
const LASTS_S: [f32; 2] = [0.1, 3.0];
/// Time that the robot is watched after the fault, s.
const WATCHED_S: f32 = 6.0;
/// Time limit for `abs deploy` to start, s.
const WITHIN_S: f32 = 60.0;
/// A robot that is held by a command older than this is held by an old command, s.
const OLD_S: f32 = 0.04;
/// In one of so many runs several faults come together.
const SEVERAL_IN: u32 = 10;

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Failure {
    /// `abs deploy` is killed.
    Killed,
    /// It crashes.
    Crashed,
    /// It is stopped, and does not continue.
    Stopped,
    /// It is stopped for 5 ms.
    StoppedShortly,
    /// It is stopped for a second.
    StoppedForASecond,
    /// One of the processes that it has started is killed.
    HelperKilled,
    /// One of them is stopped.
    HelperStopped,
    /// Ctrl-C.
    Interrupted,
    /// Ctrl-C twice.
    InterruptedTwice,
    /// The terminal is closed.
    HungUp,
    EmergencyStop,
    Silent,
    Frozen,
    ImpossibleVelocity,
    NotANumber,
    WrongChecksum,
    NoScans,
    Blind,
    NoOdometry,
    JumpingOdometry,
    SwappedMotors,
}

/// One run.
#[derive(Debug, Serialize)]
struct FaultRun {
    run: u64,
    failures: Vec<Failure>,
    /// State of `abs deploy` when they came.
    state: String,
    /// Longest time after the failure in which the robot was held without a new command, s.
    longest_held_s: f32,
    /// How the robot ended: damped, held by commands that still come, or held by an old one.
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum End {
    Damped,
    Commanded,
    HeldByAnOldCommand,
}

/// Runs `abs deploy` so many times, each with something that fails.
///
/// # Errors
/// One line if a run does not begin, or if an old command held the robot in any.
pub fn run(
    command: &SimRobotCommand,
    session: &mut Session,
    subject: &Subject,
    runs: u64,
) -> Result<()> {
    command.prepare(session)?;
    let mut ros = Ros::open(&session.config.ros2.network(), "operator")?;
    let operator = ros.publish::<Text>(OPERATOR_TOPIC, Delivery::Reliable)?;
    let mut rows = Vec::new();
    for run in 0..runs {
        let mut stream = stream(session.config.seed, run);
        let failures = draw(run, &mut stream);
        let scene = session.scene(run)?;
        let goal = command.goal(&scene);
        let (x, y) = (goal.position_world.x, goal.position_world.y);
        let goal = format!("{x},{y},{}", goal.heading_rad.to_degrees());
        session.simulated.set_faults(command.usual_faults());
        session.simulated.reset(&scene.start(&session.robot))?;
        let output = command.out.join(format!("deploy-{run}.txt"));
        let mut deploy = command.deploy(
            &session.spawner,
            subject,
            &["--goal", &goal, "--go"],
            &output,
        )?;
        let started = |session: &Session| !session.simulated.run_state().is_empty();
        ensure!(
            session.wait(WITHIN_S, started) || session.is_interrupted(),
            "abs deploy does not start, see {}",
            output.display()
        );
        session.wait(uniform(AFTER_S, &mut stream), |_| false);
        let state = session.simulated.run_state().to_owned();
        let mut timed = Timed {
            sensors: command.usual_faults(),
            lasts_s: uniform(LASTS_S, &mut stream),
            continues_s: None,
        };
        for failure in &failures {
            timed.begin(*failure, &deploy.0, &mut stream);
            if *failure == Failure::EmergencyStop {
                let data = "emergency-stop".to_owned();
                let _ = operator.publish(Text { data });
            }
        }
        let longest_held_s = watch(session, command, &timed, &deploy.0);
        if session.is_interrupted() {
            break;
        }
        let row = FaultRun {
            run,
            end: match (
                session.simulated.is_held(),
                session.simulated.command_age_s(),
            ) {
                (false, _) => End::Damped,
                (true, age_s) if age_s <= OLD_S => End::Commanded,
                (true, _) => End::HeldByAnOldCommand,
            },
            failures,
            state,
            longest_held_s,
        };
        println!("{}", row.line());
        // A process that is stopped is not ended by SIGTERM.
        kill_children(&deploy.0);
        let _ = deploy.0.kill();
        rows.push(row);
    }
    let json = serde_json::to_string_pretty(&rows)? + "\n";
    write_atomic(&command.out.join("fault-runs.json"), json.as_bytes())?;
    let longest_s = rows
        .iter()
        .map(|row| row.longest_held_s)
        .fold(0.0, f32::max);
    let old = rows.iter().filter(|row| row.longest_held_s > OLD_S).count();
    println!(
        "{} runs; held without a new command for {:.0} ms at most; {old} runs above {:.0} ms",
        rows.len(),
        1e3 * longest_s,
        1e3 * OLD_S
    );
    ensure!(
        rows.iter().all(|row| row.end != End::HeldByAnOldCommand),
        "an old command holds the robot at the end of a run, see {}",
        command.out.display()
    );
    Ok(())
}

/// One failure, or several.
fn draw(run: u64, stream: &mut Stream) -> Vec<Failure> {
    let all = Failure::value_variants();
    // Each comes once before any comes again.
    let first = all[run as usize % all.len()];
    let mut failures = vec![first];
    if stream.random_range(0..SEVERAL_IN) == 0 {
        for _ in 0..2 {
            failures.push(all[stream.random_range(0..all.len())]);
        }
    }
    failures
}

/// What ends by itself.
struct Timed {
    sensors: SensorFaults,
    lasts_s: f32,
    /// When the program continues.
    continues_s: Option<f32>,
}

impl Timed {
    fn begin(&mut self, failure: Failure, deploy: &Child, stream: &mut Stream) {
        let send = |signal| signal_process(deploy.id(), signal);
        let sensors = &mut self.sensors;
        match failure {
            Failure::Killed => send(Signal::KILL),
            Failure::Crashed => send(Signal::ABORT),
            Failure::Stopped => send(Signal::STOP),
            Failure::StoppedShortly | Failure::StoppedForASecond => {
                send(Signal::STOP);
                let short = failure == Failure::StoppedShortly;
                self.continues_s = Some(if short { 0.005 } else { 1.0 });
            }
            Failure::HelperKilled | Failure::HelperStopped => {
                let children = children(deploy.id());
                let signal = match failure {
                    Failure::HelperKilled => Signal::KILL,
                    _ => Signal::STOP,
                };
                if !children.is_empty() {
                    signal_process(children[stream.random_range(0..children.len())], signal);
                }
            }
            Failure::Interrupted => send(Signal::INT),
            Failure::InterruptedTwice => {
                send(Signal::INT);
                send(Signal::INT);
            }
            Failure::HungUp => send(Signal::HUP),
            // The operator sends it.
            Failure::EmergencyStop => {}
            Failure::Silent => sensors.silent = true,
            Failure::Frozen => sensors.frozen = true,
            Failure::ImpossibleVelocity => sensors.impossible_velocity = true,
            Failure::NotANumber => sensors.not_a_number = true,
            Failure::WrongChecksum => sensors.wrong_checksum = true,
            Failure::NoScans => sensors.no_scans = true,
            Failure::Blind => sensors.blind = true,
            Failure::NoOdometry => sensors.no_odometry = true,
            Failure::JumpingOdometry => sensors.jumping_odometry = true,
            Failure::SwappedMotors => sensors.swapped_motors = true,
        }
    }
}

/// Longest time in which the robot was held without a new command, s.
fn watch(session: &mut Session, command: &SimRobotCommand, timed: &Timed, deploy: &Child) -> f32 {
    let mut longest_held_s: f32 = 0.0;
    session.simulated.set_faults(timed.sensors);
    let step_s = session.simulated.step_s();
    let steps = (WATCHED_S / step_s) as u32;
    let is_at = |step: u32, time_s: f32| step == (time_s / step_s).ceil() as u32;
    for step in 0..steps {
        if session.is_interrupted() {
            break;
        }
        session.step();
        if is_at(step, timed.lasts_s) {
            session.simulated.set_faults(command.usual_faults());
        }
        if timed.continues_s.is_some_and(|time_s| is_at(step, time_s)) {
            signal_process(deploy.id(), Signal::CONT);
        }
        if session.simulated.is_held() {
            longest_held_s = longest_held_s.max(session.simulated.command_age_s());
        }
    }
    longest_held_s
}

impl Session {
    /// Steps for this time, or until `is_over`. True if that came.
    fn wait(&mut self, time_s: f32, is_over: impl Fn(&Self) -> bool) -> bool {
        for _ in 0..(time_s / self.simulated.step_s()) as u32 {
            if self.is_interrupted() {
                return false;
            }
            self.step();
            if is_over(self) {
                return true;
            }
        }
        false
    }
}

impl FaultRun {
    fn line(&self) -> String {
        let failures: Vec<String> = self.failures.iter().map(|f| format!("{f:?}")).collect();
        let state = match self.state.as_str() {
            "" => State::Damping.name(),
            state => state,
        };
        format!(
            "run {}: {} in state {state}: held for {:.0} ms without a new command; {:?} at the end",
            self.run,
            failures.join(" + "),
            1e3 * self.longest_held_s,
            self.end
        )
    }
}

/// The processes that a process has started.
fn children(process: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    let threads = threads.into_iter().flatten().flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let lists: Vec<String> = lists.collect();
    let words = lists.iter().flat_map(|list| list.split_whitespace());
    words.filter_map(|word| word.parse().ok()).collect()
}

fn kill_children(process: &Child) {
    for child in children(process.id()) {
        signal_process(child, Signal::KILL);
    }
}

/// A process that has ended gets no signal.
fn signal_process(process: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(process as i32) {
        let _ = kill_process(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_comes_and_several_come_together_now_and_then() {
        let drawn: Vec<Vec<Failure>> = (0..210).map(|run| draw(run, &mut stream(1, run))).collect();
        for &failure in Failure::value_variants() {
            assert!(
                drawn
                    .iter()
                    .filter(|failures| failures[0] == failure)
                    .count()
                    == 10
            );
        }
        let several = drawn.iter().filter(|failures| failures.len() > 1).count();
        assert!((5..50).contains(&several), "{several}");
    }

    #[test]
    fn children_of_a_process_are_found() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        assert!(children(std::process::id()).contains(&child.id()));
        signal_process(child.id(), Signal::KILL);
        assert!(!child.wait().unwrap().success());
    }
}
