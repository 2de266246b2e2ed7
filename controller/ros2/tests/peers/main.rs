//! `abs-robot` against peers over real DDS: Cyclone DDS plays the robot, rosbags reads the log, and programs of our own
//! misbehave. Each test runs in a network namespace of its own where the system allows it, and ends by itself.
#![expect(clippy::unwrap_used, reason = "a test")]

mod bad_network;
mod cyclone;
mod hostile;
mod own_network;
mod people;
mod process;
mod rays;
mod refusals;
mod rig;
mod threads;
