//! The robot over ROS 2: DDS topics on one side, the slots of [`deploy`](crate::deploy) on the other.
//!
//! [`Link`] runs the threads that talk to the robot. The control thread never touches DDS.

mod camera;
mod clock;
mod config;
mod keyboard;
mod link;
mod log;
pub mod messages;
mod motors;
mod network;
mod notices;
mod ray_sensor;
mod rays;
mod replay;
mod run;
mod sensors;
mod sport_mode;
mod watch;

pub use clock::wall_ns;
pub use config::{RaySource, Ros2Config};
pub use link::{COMMAND_TOPIC, Link, LinkError, LinkSettings, STATE_TOPIC};
pub use log::{Log, LogError, LogHeader, LogSummary, Recorder};
pub use motors::{MotorMap, MotorMapError};
pub use network::{Delivery, Network, NetworkError, Ros};
pub use rays::{Lidar, LidarConfig, LidarError};
pub use replay::{ReplayError, ReplayReport, replay};
pub use run::{Run, RunArgs, RunConfig, RunError, RunReport};
pub use sensors::OPERATOR_TOPIC;
pub use sport_mode::{REQUEST_TOPIC, RESPONSE_TOPIC};
pub use watch::STATE_TOPIC as RUN_STATE_TOPIC;
