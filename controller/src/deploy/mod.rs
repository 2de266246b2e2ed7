//! Control of a robot: from the messages that arrive to the motor commands that are sent.
//!
//! The control thread owns a [`ControlPort`]; the threads that talk to the robot own the other end, a [`LinkPort`]. Nothing
//! between them locks or waits. Everything that a cycle reads, its clock included, is one [`CycleInput`], so that a log of
//! [`CycleRecord`]s run again through a [`Pilot`] gives the same commands, bit for bit.
//!
//! A control cycle, every 2 ms, in the order of its files:
//!
//! 1. `realtime/mod.rs`: [`run_cycles`] wakes up at a deadline, and calls the following;
//! 2. `slots.rs`: [`ControlPort::read`] takes the newest samples and requests;
//! 3. `pilot/mod.rs`: [`Pilot::cycle`] updates the estimate ([`Estimator`]), and calls the following;
//! 4. `faults/monitor.rs` detects faults ([`Fault`]);
//! 5. `state.rs` decides the next [`State`], in which the stand-up trajectory, the [`Excitation`] or, every tenth cycle, the
//!    [`Controller`](crate::Controller) gives a joint target;
//! 6. `safety/mod.rs`: the limiter bounds it ([`SafetyConfig`](crate::SafetyConfig)), and [`ControlPort::write`] publishes it.
//!
//! Three names are easily confused: the [`Method`](crate::Method) is what controls the robot while it runs, a setting; the
//! [`Mode`](crate::Mode) is the policy that decided the last command; the [`State`] is what the robot is doing, from lying
//! damped to running.

mod config;
mod crouch;
mod depth_rays;
mod drive;
mod estimator;
mod excitation;
mod faults;
mod histogram;
mod pilot;
mod realtime;
mod requests;
mod samples;
mod slots;
mod stand_up;
mod state;

pub use config::{DeployConfig, EstimatorConfig, FaultConfig, RealtimeConfig, StandUpConfig};
pub use depth_rays::{DepthRayPredictor, ImageSample};
pub use drive::DriveConfig;
pub use estimator::Estimator;
pub use excitation::{Excitation, ExcitationError, IdentifyConfig, Slot};
pub use faults::{Fault, FaultSet};
pub use histogram::Histogram;
pub use pilot::{Pilot, PilotError};
pub use realtime::{Clock, LoopReport, MonotonicClock, enter_realtime, now_ns, run_cycles};
pub use requests::{Buttons, Request, RequestSet, button, is_emergency_stop};
pub use samples::{
    CycleInput, CycleRecord, GoalSample, JointCommand, MotorCommand, OdometrySample, Refusal,
    RobotSample, ScanSample, Status, TwistSample,
};
pub use slots::{ControlPort, Heartbeat, LinkPort, Operator, OperatorSource, ports};
pub use stand_up::StandUpError;
pub use state::State;

/// Period of the control cycle, ns: commands go out at 500 Hz.
pub const CYCLE_NS: u64 = 2_000_000;
/// A policy acts in every tenth cycle, at 50 Hz.
pub const CYCLES_PER_POLICY_STEP: u32 = 10;
