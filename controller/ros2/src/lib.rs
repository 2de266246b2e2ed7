//! The robot over ROS 2: DDS topics on one side, the slots of [`controller::deploy`] on the other.
//!
//! [`Run`] is a whole run: it starts the control thread and the threads that talk to the robot. The control thread never
//! touches DDS. Needs neither a ROS installation nor a C library.
//!
//! ```
//! use ros2::messages::{LowCmd, Message, MotorCmd};
//!
//! // Damps the first motor.
//! let mut command = LowCmd::default();
//! command.motor_cmd[0] = MotorCmd { mode: MotorCmd::ENABLED, kd: 2.0, ..MotorCmd::default() };
//! let command = command.sealed();
//! assert_eq!(command.crc, command.checksum());
//! assert_eq!(LowCmd::from_cdr(&command.to_cdr()), Some(command));
//! ```

mod clock;
mod config;
mod deliberate_panic;
mod foreign_text;
mod helper;
mod link;
mod log;
pub mod messages;
mod motors;
mod network;
mod publish;
mod run;
mod sensors;
mod state_source;

pub use clock::wall_ns;
pub use config::{RaySource, Ros2Config};
pub use helper::run_helper;
pub use link::{COMMAND_TOPIC, LinkError, REQUEST_TOPIC, RESPONSE_TOPIC, STATE_TOPIC};
pub use log::{
    IdentifiedLog, Log, LogEnd, LogError, LogHeader, LogSummary, ReplayError, ReplayReport,
    ReplayedRun, decode_cycle, identify, replay, replay_watched,
};
pub use motors::{MotorMap, MotorMapError};
pub use network::{Delivery, Network, NetworkError, Ros};
pub use publish::STATE_TOPIC as RUN_STATE_TOPIC;
pub use run::{Run, RunArgs, RunConfig, RunError, RunReport, print_line};
pub use sensors::{LidarConfig, LidarError, OPERATOR_TOPIC};
