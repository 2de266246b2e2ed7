//! What runs on a robot, on a simulated one.

mod estimator;
mod pilot;
mod sensors;
