//! A run on a robot, from the first message to the last.

mod args;
mod console;
mod drive;
mod gamepad;
mod keyboard;
mod printer;
mod refusals;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use controller::{
    Method,
    deploy::{
        Clock, ControlPort, FaultSet, GoalSample, Histogram, LoopReport, MonotonicClock, Pilot,
        PilotError, RealtimeConfig, Status, enter_realtime, now_ns, ports, run_cycles,
    },
};
use crossbeam::channel::{Receiver, bounded, never};
use policies::{Bundle, BundleError};
use robots::{Robot, RobotError, RobotFiles};
use triple_buffer::TripleBuffer;

pub use self::args::{RunArgs, RunConfig};
pub use self::printer::print_line;
use self::{
    console::{Console, Go},
    drive::Drive,
    printer::Printer,
};
use crate::{
    deliberate_panic::{Panicking, arm},
    link::{Link, LinkError, LinkSettings},
    log::{Log, LogError, LogHeader, LogSummary},
};

/// Why a run did not start, or how it failed.
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
    /// The system refused a signal handler or a thread.
    #[error("the system refused {what}: {reason}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// Its reason.
        reason: String,
    },
    /// A goal for a policy that follows twists. Nothing was sent.
    #[error(
        "--goal: `{0}` follows twists and runs to no goals; leave it out, and drive by keys or --gamepad"
    )]
    NoGoals(Method),
    /// The robot did not run in time.
    #[error("{waited_s:.0} s and the robot does not run: it is in state `{state}`{faults}")]
    NotRunning {
        /// Time since the start, s.
        waited_s: f32,
        /// Its state.
        state: &'static str,
        /// The faults that prevent it.
        faults: String,
    },
    /// A fault ended the run.
    #[error("the run ended with {0}")]
    Fault(FaultSet),
    /// The control thread has panicked.
    #[error("the control thread has panicked; all joints were damped")]
    Control,
}

/// A run: a robot, its policies, and how it is reached.
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
    /// Flags. Domain, interface and rays override those of the settings.
    pub args: RunArgs,
}

/// Report of a run.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// Timing of the control thread.
    pub timing: LoopReport,
    /// Contents of the log.
    pub log: Option<LogSummary>,
}

/// Capacity of the queue of cycles for the log.
const LOG_RECORDS: usize = 2048;
/// Damping is sent for this time after the last cycle.
const LAST_COMMANDS: Duration = Duration::from_millis(100);
/// Interrupts that wait for the console: the second one is the last that matters.
const INTERRUPTS: usize = 2;

impl Run {
    /// Runs until the operator ends it. `print` gets lines for the user, on a thread of its own: it may block. `watch` gets
    /// the status of the control thread 25 times a second, from a thread that is not that one: it must not block.
    ///
    /// # Errors
    /// When something does not fit, before anything is sent; or how the run failed.
    pub fn run(
        self,
        print: impl FnMut(&str) + Send + 'static,
        mut watch: impl FnMut(&Status),
    ) -> Result<RunReport, RunError> {
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
        if let Some(thread) = args.panic {
            arm(thread);
        }
        // Nothing that is sent could move a motor.
        config.deploy.stand_up.probe_motors &= !args.dry_run;
        config.deploy.identify.enabled |= args.identify;
        let identifies = config.deploy.identify.enabled;
        let pilot = Pilot::new(robot, bundle, &config.controller, &config.deploy)?;
        let range = pilot.twist_range().copied();
        if range.is_some() && args.goal.is_some() {
            return Err(RunError::NoGoals(config.deploy.method));
        }
        let drive = Drive::new(
            &config.deploy.drive,
            range,
            config.deploy.faults.max_goal_m,
            config.ros2.goal_s,
            args.gamepad,
        );
        let interrupts = listen()?;
        let gamepad = match args.gamepad {
            true => gamepad::listen().map_err(|error| RunError::System {
                what: "the gamepad's thread",
                reason: error.to_string(),
            })?,
            false => never(),
        };
        let printer = Printer::start(print).map_err(|error| RunError::System {
            what: "the printing thread",
            reason: error.to_string(),
        })?;

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
        // Twists are the console's.
        let (no_twists, _) = TripleBuffer::default().split();
        let twists = std::mem::replace(&mut link_port.twist, no_twists);
        let log = match &args.log {
            Some(path) => {
                let (header, alarm) = (self.log_header(&config)?, printer.clone());
                let alarm = move |line| alarm.print(format!("warning: {line}"));
                let overwrite = args.overwrite;
                Some(Log::start(path, overwrite, &header, bundle, cycles, alarm)?)
            }
            None => None,
        };
        let operator = Arc::clone(&link_port.operator);
        let realtime = config.deploy.realtime.clone();
        let notices = printer.clone();
        let link = Link::start(
            link_port,
            LinkSettings {
                robot,
                bundle,
                config: &config.ros2,
                damping_nms: config.controller.safety.damping_nms,
                realtime: &realtime,
                urdf: RobotFiles::read(&self.robot_name)
                    .map_or_else(|_| String::new(), |files| files.urdf().to_owned()),
                dry_run: args.dry_run,
                recorder: log.as_ref().map(Log::recorder),
                notice: Box::new(move |line| notices.print(format!("warning: {line}"))),
            },
        )?;
        if let Some(sender) = link.sender() {
            control_port.wake_after_command(sender);
        }
        printer.print(format!(
            "{}, method {}, {}: waiting for the robot; {KEYS}{}",
            robot.name,
            config.deploy.method,
            config.ros2.network(),
            drive.help()
        ));

        if let Some(excitation) = pilot.excitation() {
            printer.print(excitation.summary(robot));
        }
        let stop = Arc::new(AtomicBool::new(false));
        let control = start_control(
            pilot,
            control_port,
            realtime,
            Arc::clone(&stop),
            printer.clone(),
        )?;
        let go = (args.go || identifies).then(|| Go::new(args.go));
        let mut console = Console::new(robot, &operator, &link, &printer, go, drive, twists);
        let result = console.run(&control, &interrupts, gamepad, &mut watch);
        stop.store(true, Ordering::Release);
        let timing = control.join().map_err(|_| RunError::Control);
        thread::sleep(LAST_COMMANDS);
        drop(link);
        let log = log.map(Log::finish).transpose();
        // Whether this program was late itself, when a fault says that something was.
        if let (Err(RunError::Fault(_)), Ok(timing)) = (&result, &timing) {
            let report = RunReport {
                timing: timing.clone(),
                log: None,
            };
            for line in report.to_string().lines() {
                printer.print(line.to_owned());
            }
        }
        printer.finish();
        let log = log?;
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
    printer: Printer,
) -> Result<Control, RunError> {
    thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || {
            if let Err(refused) = enter_realtime(&realtime) {
                printer.print(format!("warning: {refused}"));
            }
            run_cycles(&mut ControlClock, &mut pilot, &mut port, &stop, u64::MAX)
        })
        .map_err(|error| RunError::System {
            what: "the control thread",
            reason: error.to_string(),
        })
}

/// The machine's clock.
struct ControlClock;

impl Clock for ControlClock {
    fn now_ns(&mut self) -> u64 {
        now_ns()
    }

    fn sleep_until(&mut self, time_ns: u64) {
        MonotonicClock.sleep_until(time_ns);
        Panicking::Control.panic_if_due();
    }
}

/// One message for each Ctrl-C, SIGTERM and SIGHUP.
fn listen() -> Result<Receiver<()>, RunError> {
    let (sender, interrupts) = bounded(INTERRUPTS);
    ctrlc::set_handler(move || {
        let _ = sender.try_send(());
    })
    .map_err(|error| RunError::System {
        what: "a signal handler",
        reason: error.to_string(),
    })?;
    Ok(interrupts)
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
