//! A run on a robot, from the first message to the last.

mod keyboard;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use nalgebra::Point2;
use policies::{Bundle, BundleError, Goal};
use robots::{Robot, RobotError};
use serde::{Deserialize, Serialize};

use controller::{
    ControllerConfig,
    deploy::{
        ControlPort, DeployConfig, FaultSet, GoalSample, Histogram, LoopReport, MonotonicClock,
        Operator, Pilot, PilotError, RealtimeConfig, Request, State, enter_realtime, now_ns, ports,
        run_cycles,
    },
};

use self::keyboard::Keyboard;
use crate::{
    config::{RaySource, Ros2Config},
    link::{Link, LinkError, LinkSettings},
    log::{Log, LogError, LogHeader, LogSummary},
};

/// Everything that can be set about a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// The policies and their switch.
    pub controller: ControllerConfig,
    /// Postures, faults, state estimate.
    pub deploy: DeployConfig,
    /// Network, topics, frames, lidar.
    pub ros2: Ros2Config,
}

/// Flags of a run, shared by the programs that start one.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RunArgs {
    /// DDS domain of the robot [default: 0]
    #[arg(long)]
    pub domain: Option<u16>,
    /// Network interface to the robot, e.g. eth0 [default: all]
    #[arg(long, value_name = "NAME")]
    pub interface: Option<String>,
    /// Where the rays come from [default: scan]
    #[arg(long, value_enum, value_name = "SOURCE")]
    pub rays: Option<RaySource>,
    /// Goal in the world frame, m, and heading there, degrees; without it goals come from goal_pose
    #[arg(long, value_name = "X,Y[,DEG]", allow_hyphen_values = true, value_parser = parse_goal)]
    pub goal: Option<Goal>,
    /// Stand up and run to the goal without being asked, then lie down and end
    #[arg(long, requires = "goal")]
    pub go: bool,
    /// Record everything into this MCAP file
    #[arg(long, value_name = "FILE.mcap")]
    pub log: Option<PathBuf>,
}

/// `x,y` in m, and the heading in degrees; without it the heading of the way from the origin.
fn parse_goal(text: &str) -> Result<Goal, String> {
    let numbers: Option<Vec<f32>> = text
        .split(',')
        .map(|number| {
            number
                .trim()
                .parse()
                .ok()
                .filter(|value: &f32| value.is_finite())
        })
        .collect();
    let (x, y, heading_rad) = match numbers.as_deref() {
        Some(&[x, y]) => (x, y, y.atan2(x)),
        Some(&[x, y, heading_deg]) => (x, y, heading_deg.to_radians()),
        _ => return Err("expected X,Y in m or X,Y,DEG, e.g. 6,0.5".to_owned()),
    };
    Ok(Goal {
        position_world: Point2::new(x, y),
        heading_rad,
    })
}

/// Why a run did not start, or how it went wrong.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The robot's folder.
    #[error(transparent)]
    Robot(#[from] RobotError),
    /// The bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Bundle and robot do not fit, or a setting is wrong. Nothing was sent.
    #[error(transparent)]
    Pilot(#[from] PilotError),
    /// No connection. Nothing was sent.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The settings cannot be kept in the log.
    #[error("the settings do not fit into TOML: {0}")]
    Config(#[from] toml::ser::Error),
    /// Ctrl-C cannot be listened to, or a thread not be started.
    #[error("the system refused {what}: {reason}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What it said.
        reason: String,
    },
    /// The robot did not get to run.
    #[error("{waited_s:.0} s and the robot does not run: it is in state `{state}`{faults}")]
    NotRunning {
        /// Time since the start, s.
        waited_s: f32,
        /// What it does instead.
        state: &'static str,
        /// What forbids it.
        faults: String,
    },
    /// A fault ended the run.
    #[error("the run ended with {0}")]
    Fault(FaultSet),
    /// The control thread has panicked.
    #[error("the control thread has panicked; all joints were damped")]
    Control,
}

/// A robot, what runs on it, and how it is reached.
#[derive(Clone, Debug)]
pub struct Run {
    /// The robot.
    pub robot: Robot,
    /// Its name, or the path of its folder.
    pub robot_name: String,
    /// The networks.
    pub bundle: Bundle,
    /// Folder of the bundle.
    pub bundle_path: PathBuf,
    /// Settings.
    pub config: RunConfig,
    /// Flags. Network, interface and rays are over those of the settings.
    pub args: RunArgs,
}

/// How a run went.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// How the control thread kept its times.
    pub timing: LoopReport,
    /// What the log holds.
    pub log: Option<LogSummary>,
}

/// Cycles that fit between the control thread and the log.
const LOG_RECORDS: usize = 2048;
/// How often the operator's side looks at everything.
const LOOK: Duration = Duration::from_millis(20);
/// How long damping is still sent after the last cycle.
const LAST_COMMANDS: Duration = Duration::from_millis(100);
/// The threads to the robot come after the control thread.
const LINK_PRIORITY_BELOW: u8 = 10;
/// With `--go`, the robot has to run after this time, s.
const GO_TIMEOUT_S: f32 = 30.0;
/// With `--go`, requests are repeated after this time, s.
const GO_REPEAT_S: f32 = 0.25;

impl Run {
    /// Runs until the operator ends it. Lines for the user go to `tell`.
    ///
    /// # Errors
    /// When something does not fit, before anything is sent; or how the run went wrong.
    pub fn run(self, tell: impl Fn(&str) + Clone + Send + 'static) -> Result<RunReport, RunError> {
        let Self {
            robot,
            bundle,
            args,
            ..
        } = &self;
        let mut config = self.config.clone();
        config.ros2.domain = args.domain.unwrap_or(config.ros2.domain);
        config.ros2.rays = args.rays.unwrap_or(config.ros2.rays);
        if let Some(interface) = &args.interface {
            config.ros2.interface.clone_from(interface);
        }
        let pilot = Pilot::new(robot, bundle, &config.controller, &config.deploy)?;
        let interrupts = listen()?;

        let (mut link_port, mut control_port) = ports(LOG_RECORDS);
        if let Some(goal) = args.goal {
            link_port.goal.write(GoalSample {
                received_ns: now_ns(),
                goal,
                duration_s: config.ros2.goal_s,
            });
        }
        let (_, no_cycles) = rtrb::RingBuffer::new(1);
        let cycles = std::mem::replace(&mut link_port.log, no_cycles);
        let log = match &args.log {
            Some(path) => Some(Log::start(
                path,
                &self.log_header(&config)?,
                bundle,
                cycles,
            )?),
            None => None,
        };
        let operator = Arc::clone(&link_port.operator);
        let realtime = config.deploy.realtime.clone();
        let link_realtime = RealtimeConfig {
            priority: realtime.priority.saturating_sub(LINK_PRIORITY_BELOW),
            ..realtime.clone()
        };
        let tell_line = tell.clone();
        let link = Link::start(
            link_port,
            LinkSettings {
                robot,
                bundle,
                config: &config.ros2,
                damping_nms: config.deploy.limits.damping_nms,
                // The control thread warns for both.
                make_real_time: Box::new(move || drop(enter_realtime(&link_realtime))),
                recorder: log.as_ref().map(Log::recorder),
                notice: Box::new(move |line| tell_line(&format!("warning: {line}"))),
            },
        )?;
        if let Some(sender) = link.sender() {
            control_port.wake_after_command(sender);
        }
        tell(&format!(
            "{}, method {}, {}: waiting for the robot; {}",
            robot.name,
            config.deploy.method,
            config.ros2.network(),
            KEYS
        ));

        let stop = Arc::new(AtomicBool::new(false));
        let control = start_control(
            pilot,
            control_port,
            realtime,
            Arc::clone(&stop),
            tell.clone(),
        )?;
        let mut desk = Desk {
            operator: &operator,
            link: &link,
            interrupts: &interrupts,
            go: args.go.then(Go::default),
            shown: (State::Damping, FaultSet::NONE),
            tell: &tell,
        };
        let result = desk.attend(&control);
        stop.store(true, Ordering::Release);
        let timing = control.join().map_err(|_| RunError::Control);
        thread::sleep(LAST_COMMANDS);
        drop(link);
        let log = log.map(Log::finish).transpose()?;
        result?;
        Ok(RunReport {
            timing: timing?,
            log,
        })
    }

    fn log_header(&self, config: &RunConfig) -> Result<LogHeader, RunError> {
        Ok(LogHeader {
            robot: self.robot_name.clone(),
            bundle: self.bundle_path.display().to_string(),
            config: toml::to_string(config)?,
        })
    }
}

const KEYS: &str = "keys: u stand up, g go, s stop, d lie down, q end, SPACE emergency stop";

type Control = thread::JoinHandle<LoopReport>;

fn start_control(
    mut pilot: Pilot,
    mut port: ControlPort,
    realtime: RealtimeConfig,
    stop: Arc<AtomicBool>,
    tell: impl Fn(&str) + Send + 'static,
) -> Result<Control, RunError> {
    thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || {
            if let Err(refused) = enter_realtime(&realtime) {
                tell(&format!("warning: {refused}"));
            }
            run_cycles(&mut MonotonicClock, &mut pilot, &mut port, &stop, u64::MAX)
        })
        .map_err(|error| RunError::System {
            what: "the control thread",
            reason: error.to_string(),
        })
}

/// Counts Ctrl-C, SIGTERM and SIGHUP.
fn listen() -> Result<Arc<AtomicU32>, RunError> {
    let interrupts = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&interrupts);
    ctrlc::set_handler(move || {
        count.fetch_add(1, Ordering::AcqRel);
    })
    .map_err(|error| RunError::System {
        what: "to listen to Ctrl-C",
        reason: error.to_string(),
    })?;
    Ok(interrupts)
}

/// The operator's side of a run.
struct Desk<'a> {
    operator: &'a Operator,
    link: &'a Link,
    interrupts: &'a AtomicU32,
    go: Option<Go>,
    shown: (State, FaultSet),
    tell: &'a dyn Fn(&str),
}

/// A run without being asked.
#[derive(Default)]
struct Go {
    has_run: bool,
    asked_ns: u64,
    start_ns: u64,
}

impl Desk<'_> {
    /// Until the end of the run is asked for and the robot lies.
    fn attend(&mut self, control: &Control) -> Result<(), RunError> {
        let keyboard = Keyboard::open();
        let mut ending = false;
        while !control.is_finished() {
            thread::sleep(LOOK);
            let now_ns = now_ns();
            // Whoever sits at this terminal is there as long as this program is.
            self.operator.heartbeat(now_ns);
            let status = self.link.status();
            let shown = (status.state, status.faults);
            if shown != self.shown {
                self.shown = shown;
                let colon = if status.faults.is_empty() { "" } else { ": " };
                (self.tell)(&format!("{}{colon}{}", status.state.name(), status.faults));
            }
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
            match self.interrupts.load(Ordering::Acquire) {
                0 => {}
                1 => ending = true,
                // The second Ctrl-C does not wait.
                _ => {
                    self.operator.request(Request::EmergencyStop, now_ns);
                    thread::sleep(LAST_COMMANDS);
                    return Ok(());
                }
            }
            if ending {
                if status.state.is_damped() {
                    return Ok(());
                }
                self.operator.request(Request::LieDown, now_ns);
            } else if let Some(go) = &mut self.go
                && go.step(self.operator, self.link, &status, now_ns)?
            {
                ending = true;
            }
        }
        Err(RunError::Control)
    }
}

impl Go {
    /// Asks for the next thing. True when the run is over.
    fn step(
        &mut self,
        operator: &Operator,
        link: &Link,
        status: &controller::deploy::Status,
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

impl std::fmt::Display for RunReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let timing = &self.timing;
        writeln!(
            f,
            "{} cycles, {} deadlines missed",
            timing.cycles, timing.overruns
        )?;
        let us = |ns: u64| ns as f64 * 1e-3;
        let mut row = |name: &str, histogram: &Histogram| {
            let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| us(histogram.quantile_ns(share)));
            let max = us(histogram.max_ns());
            writeln!(
                f,
                "  {name:<9} p50 {p50:>7.1}  p99 {p99:>7.1}  p99.9 {p999:>7.1}  max {max:>8.1} us"
            )
        };
        row("compute", &timing.compute)?;
        row("lateness", &timing.lateness)?;
        if let Some(log) = &self.log {
            writeln!(
                f,
                "log: {} cycles, {} messages; {} cycles and {} messages lost",
                log.cycles, log.messages, timing.lost_records, log.lost
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::{FRAC_PI_2, FRAC_PI_4};

    use super::*;

    #[test]
    fn goals_are_points_with_or_without_heading() {
        let goal = parse_goal("3, -3").unwrap();
        assert_eq!(goal.position_world, Point2::new(3.0, -3.0));
        assert!((goal.heading_rad + FRAC_PI_4).abs() < 1e-5);
        assert!((parse_goal("1,0,90").unwrap().heading_rad - FRAC_PI_2).abs() < 1e-5);
        for wrong in ["", "1", "1,2,3,4", "1,x", "nan,0"] {
            assert!(parse_goal(wrong).is_err(), "{wrong}");
        }
    }
}
