//! The robot over ROS 2.

pub mod messages;
