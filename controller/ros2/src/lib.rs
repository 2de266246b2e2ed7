//! The robot over ROS 2: DDS topics on one side, the slots of [`controller::deploy`] on the other.
//!
//! [`Link`] runs the threads that talk to the robot. The control thread never touches DDS. Needs neither a ROS installation
//! nor a C library.

mod clock;
mod config;
mod link;
mod log;
pub mod messages;
mod motors;
mod network;
mod publish;
mod run;
mod sensors;

pub use clock::wall_ns;
pub use config::{RaySource, Ros2Config};
pub use link::{
    COMMAND_TOPIC, Link, LinkError, LinkSettings, REQUEST_TOPIC, RESPONSE_TOPIC, STATE_TOPIC,
};
pub use log::{Log, LogError, LogHeader, LogSummary, Recorder, ReplayError, ReplayReport, replay};
pub use motors::{MotorMap, MotorMapError};
pub use network::{Delivery, Network, NetworkError, Ros};
pub use publish::STATE_TOPIC as RUN_STATE_TOPIC;
pub use run::{Run, RunArgs, RunConfig, RunError, RunReport};
pub use sensors::{Lidar, LidarConfig, LidarError, OPERATOR_TOPIC};
