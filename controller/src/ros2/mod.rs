//! The robot over ROS 2.

pub mod messages;
mod motors;
mod rays;

pub use motors::{MotorMap, MotorMapError};
pub use rays::{Lidar, LidarConfig, LidarError};
