//! The simulation in which the policies learn and are evaluated.

pub mod batch;
pub mod depth;
pub mod engine;
pub mod env;
pub mod eval;
pub mod motor;
pub mod motor_robot;
pub mod object;
pub mod obstacle;
pub mod random;
pub mod rapier_engine;
pub mod rays;
pub mod reach_avoid;
pub mod sim_link;
pub mod terrain;
pub mod testbed;
pub mod torque_noise;
pub mod trial;
