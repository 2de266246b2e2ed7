//! On a robot: what runs between the messages that come in and the motor commands that go out.
//!
//! The control thread owns a [`ControlPort`], the threads that talk to the robot the other end, a [`LinkPort`].
//! Nothing in between locks or waits. Everything that a cycle reads is one [`CycleInput`], its clock included, so that
//! a log of [`CycleRecord`]s can be run again through a [`Pilot`] and gives the same commands, bit for bit.
//!
//! A cycle ([`Pilot::cycle`], every 2 ms): take what is usable of the input; estimate the robot's state ([`Estimator`]);
//! find the faults ([`FAULTS`]); decide what the robot does ([`State::next`]); ask a posture or, every tenth cycle, the
//! [`Controller`](crate::Controller) for joint targets; limit them ([`SafetyLimiter`](crate::SafetyLimiter)).

mod config;
mod depth_rays;
mod estimator;
mod fault;
mod histogram;
mod io;
mod monitor;
mod pilot;
mod posture;
mod realtime;
mod remote;
mod state;

pub use config::{DeployConfig, EstimatorConfig, FaultConfig, PostureConfig, RealtimeConfig};
pub use depth_rays::{DepthRayPredictor, ImageSample};
pub use estimator::Estimator;
pub use fault::{FAULTS, FaultCode, FaultId, FaultRow, FaultSet, Response, Scope, fault_table};
pub use histogram::Histogram;
pub use io::{
    ControlPort, CycleInput, CycleRecord, GoalSample, Heartbeat, JointCommand, LinkPort,
    MAX_REQUESTS, MotorCommand, OdometrySample, Operator, Request, RequestSet, RobotSample,
    ScanSample, Status, ports,
};
pub use pilot::{Pilot, PilotError};
pub use posture::PostureError;
pub use realtime::{Clock, LoopReport, MonotonicClock, enter_realtime, now_ns, run_cycles};
pub use state::{Durations, Situation, State};

/// Period of the control cycle, ns: commands go out at 500 Hz.
pub const CYCLE_NS: u64 = 2_000_000;
/// A policy acts in every tenth cycle, at 50 Hz.
pub const CYCLES_PER_POLICY_STEP: u32 = 10;
