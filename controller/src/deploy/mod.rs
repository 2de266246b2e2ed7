//! On a robot: what runs between the messages that come in and the motor commands that go out.
//!
//! The control thread owns a [`ControlPort`], the threads that talk to the robot the other end, a [`LinkPort`].
//! Nothing in between locks or waits. Everything that a cycle reads is one [`CycleInput`], its clock included, so that
//! a log of [`CycleRecord`]s can be run again and gives the same commands.

mod fault;
mod io;
mod state;

pub use fault::{FaultId, FaultSet};
pub use io::{
    ControlPort, CycleInput, CycleRecord, GoalSample, JointCommand, LinkPort, MAX_REQUESTS,
    MotorCommand, OdometrySample, Operator, Pulse, Request, RequestSet, RobotSample, ScanSample,
    Status, ports,
};
pub use state::State;
