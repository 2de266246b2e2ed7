//! In what a robot differs from the simulation: late motors, late eyes, errors of its sensors, a pose that drifts.
//!
//! What concerns the physics goes into the [`Dynamics`] of an episode; the rest stands between the engine and the controller,
//! so that it is the same for all engines.

mod config;
#[cfg(test)]
mod tests;

pub use config::{RealityConfig, RealityError};

use std::{collections::VecDeque, f32::consts::TAU};

use nalgebra::{Point3, UnitQuaternion, Vector2, Vector3};
use policies::{Quantity, RayScan, RaySpec};
use rand::RngExt;
use robots::{JointVec, Robot, RobotState};
use serde::{Deserialize, Serialize};

use crate::{
    engine::Dynamics,
    random::{Stream, stream, uniform},
};

/// Streams of an episode's seed; stream 0 is that of the illusion.
const SENSOR_STREAM: u64 = 1;
const PHYSICS_STREAM: u64 = 2;

impl RealityConfig {
    /// Changes the physics of the episode with this seed.
    pub fn change_dynamics(&self, dynamics: &mut Dynamics, physics_step_s: f32, seed: u64) {
        let mut stream = stream(seed, PHYSICS_STREAM);
        let delay_s = 1e-3 * uniform(self.target_delay_ms, &mut stream);
        dynamics.actuation_delay_steps += (delay_s / physics_step_s).round() as usize;
        dynamics.friction *= uniform(self.friction_factor, &mut stream);
        dynamics.added_base_mass_kg += uniform(self.added_base_mass_kg, &mut stream);
    }
}

/// The sensors of one robot in one episode.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sensors {
    config: RealityConfig,
    rays: RaySpec,
    stream: Stream,
    joint_bias_rad: JointVec,
    gyro_bias_radps: Vector3<f32>,
    imu_tilt: UnitQuaternion<f32>,
    delay_s: f32,
    /// True state of the policy step before, with its time, s.
    before: Option<(f32, RobotState)>,
    scans: Scans,
    odometry: Odometry,
}

/// Scans on their way.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Scans {
    period_s: f32,
    latency_s: f32,
    lost_fraction: f32,
    next_s: f32,
    /// With the time at which each was taken, oldest first.
    pending: VecDeque<(f32, RayScan)>,
}

/// A position estimate that drifts along the path.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Odometry {
    drift_per_m: Vector2<f32>,
    position_world: Option<Point3<f32>>,
    error_m: Vector2<f32>,
}

impl Sensors {
    /// Those of a robot.
    pub fn new(config: &RealityConfig, robot: &Robot, rays: &RaySpec) -> Self {
        Self {
            config: config.clone(),
            rays: rays.clone(),
            stream: stream(0, SENSOR_STREAM),
            joint_bias_rad: std::iter::repeat_n(0.0, robot.num_joints()).collect(),
            gyro_bias_radps: Vector3::zeros(),
            imu_tilt: UnitQuaternion::identity(),
            delay_s: 0.0,
            before: None,
            scans: Scans::default(),
            odometry: Odometry::default(),
        }
    }

    /// Draws their errors for the episode with this seed.
    pub fn reset(&mut self, seed: u64) {
        let mut stream = stream(seed, SENSOR_STREAM);
        let config = &self.config;
        for bias_rad in &mut self.joint_bias_rad {
            *bias_rad = uniform(config.joint_bias_rad, &mut stream);
        }
        self.gyro_bias_radps =
            Vector3::from_fn(|_, _| uniform(config.gyro_bias_radps, &mut stream));
        let mut tilt_rad = || uniform(config.imu_tilt_rad, &mut stream);
        self.imu_tilt = small_rotation(tilt_rad(), tilt_rad());
        self.delay_s = 1e-3 * uniform(config.proprioception_delay_ms, &mut stream);
        self.before = None;
        let rate_hz = uniform(config.ray_rate_hz, &mut stream);
        self.scans = Scans {
            period_s: if rate_hz > 0.0 { 1.0 / rate_hz } else { 0.0 },
            latency_s: 1e-3 * uniform(config.ray_latency_ms, &mut stream),
            lost_fraction: uniform(config.lost_ray_fraction, &mut stream),
            ..Scans::default()
        };
        let heading_rad = uniform([0.0, TAU], &mut stream);
        let drift = uniform(config.odometry_drift, &mut stream);
        self.odometry = Odometry {
            drift_per_m: drift * Vector2::new(heading_rad.cos(), heading_rad.sin()),
            ..Odometry::default()
        };
        self.stream = stream;
    }

    /// Turns the true state at a time of the episode into what is measured then, once per policy step.
    pub fn measure(&mut self, time_s: f32, state: &mut RobotState) {
        let now = state.clone();
        if let Some((before_s, before)) = &self.before
            && self.delay_s > 0.0
            && time_s > *before_s
        {
            let back = (self.delay_s / (time_s - before_s)).min(1.0);
            blend(state, before, back);
        }
        self.odometry.measure(&mut state.position_world);
        let noise = self.config.noise;
        let stream = &mut self.stream;
        let mut error = |quantity: Quantity| match noise > 0.0 {
            true => noise * quantity.spec().noise_half_width * (2.0 * stream.random::<f32>() - 1.0),
            false => 0.0,
        };
        for (position_rad, bias_rad) in state
            .joint_position_rad
            .iter_mut()
            .zip(&self.joint_bias_rad)
        {
            *position_rad += bias_rad + error(Quantity::JointPosition);
        }
        for velocity_radps in &mut state.joint_velocity_radps {
            *velocity_radps += error(Quantity::JointVelocity);
        }
        let gravity = Quantity::ProjectedGravityBase;
        let tilt = self.imu_tilt * small_rotation(error(gravity), error(gravity));
        state.orientation *= tilt;
        let measured_radps = tilt.inverse() * state.angular_velocity_base + self.gyro_bias_radps;
        state.angular_velocity_base =
            measured_radps.map(|radps| radps + error(Quantity::AngularVelocityBase));
        self.before = Some((time_s, now));
    }

    fn scan_is_due(&self, time_s: f32) -> bool {
        let scans = &self.scans;
        // Half a millisecond for rounding.
        scans.period_s == 0.0 || scans.pending.is_empty() || time_s + 5e-4 >= scans.next_s
    }

    /// Takes `scan` if one is due, and replaces it by the one that has arrived.
    pub fn scan(&mut self, time_s: f32, scan: &mut RayScan) {
        if self.scan_is_due(time_s) {
            let RaySpec { min_m, max_m, .. } = self.rays;
            let (stream, noise) = (&mut self.stream, self.config.ray_noise_log2);
            for distance_m in &mut scan.distance_m {
                if self.scans.lost_fraction > 0.0
                    && stream.random::<f32>() < self.scans.lost_fraction
                {
                    *distance_m = max_m;
                }
                if noise > 0.0 {
                    *distance_m *= (noise * (2.0 * stream.random::<f32>() - 1.0)).exp2();
                    *distance_m = distance_m.clamp(min_m, max_m);
                }
            }
            self.scans.next_s = (self.scans.next_s + self.scans.period_s).max(time_s);
            self.scans.pending.push_back((time_s, scan.clone()));
        }
        let has_arrived = |taken_s: f32| taken_s + self.scans.latency_s <= time_s + 5e-4;
        // The first one stands for those before it.
        while self.scans.pending.len() > 1 && has_arrived(self.scans.pending[1].0) {
            self.scans.pending.pop_front();
        }
        if let Some((_, arrived)) = self.scans.pending.front() {
            scan.clone_from(arrived);
        }
    }

    /// The motors regulate the measured positions.
    pub fn command(&self, target_rad: &mut [f32]) {
        for (target_rad, bias_rad) in target_rad.iter_mut().zip(&self.joint_bias_rad) {
            *target_rad -= bias_rad;
        }
    }
}

impl Odometry {
    fn measure(&mut self, position_world: &mut Point3<f32>) {
        let moved_m = match self.position_world {
            Some(before) => (position_world.xy() - before.xy()).norm(),
            None => 0.0,
        };
        self.position_world = Some(*position_world);
        self.error_m += moved_m * self.drift_per_m;
        position_world.x += self.error_m.x;
        position_world.y += self.error_m.y;
    }
}

/// Moves joints and IMU of `state` towards those of `before`; 1 is all the way.
fn blend(state: &mut RobotState, before: &RobotState, back: f32) {
    let lerp = |now: &mut f32, before: &f32| *now += back * (before - *now);
    let joints = state.joint_position_rad.iter_mut();
    joints
        .zip(&before.joint_position_rad)
        .for_each(|(now, before)| lerp(now, before));
    let joints = state.joint_velocity_radps.iter_mut();
    joints
        .zip(&before.joint_velocity_radps)
        .for_each(|(now, before)| lerp(now, before));
    state.angular_velocity_base = state
        .angular_velocity_base
        .lerp(&before.angular_velocity_base, back);
    state.orientation = state.orientation.nlerp(&before.orientation, back);
}

/// About x and then about y, rad.
fn small_rotation(x_rad: f32, y_rad: f32) -> UnitQuaternion<f32> {
    UnitQuaternion::from_axis_angle(&Vector3::x_axis(), x_rad)
        * UnitQuaternion::from_axis_angle(&Vector3::y_axis(), y_rad)
}
