//! In what a robot differs from the simulation: late and weak motors, late eyes, errors of its sensors, a pose that drifts, blows.
//!
//! What concerns the physics goes into the [`Dynamics`] of an episode (`physics`); the rest stands between the engine and the
//! controller, so that it is the same for all engines.

mod config;
mod late;
mod physics;
#[cfg(test)]
mod tests;

pub use config::{RealityConfig, RealityError};

use std::f32::consts::TAU;

use nalgebra::{Point2, Point3, UnitQuaternion, Vector2, Vector3};
use policies::{Quantity, RayScan, RaySpec, observation::REALITY_DIM, rays::HeldScan};
use rand::RngExt;
use robots::{JointVec, Robot, RobotState};
use serde::{Deserialize, Serialize};

use self::late::Late;
use crate::{
    engine::Dynamics,
    random::{Stream, stream, uniform},
};

/// Streams of an episode's seed; stream 0 is that of the illusion, and `physics` has more.
const SENSOR_STREAM: u64 = 1;
const PUSH_STREAM: u64 = 4;
const REDRAW_STREAM: u64 = 5;

/// Where [`RobotReality::known_delays`] are in [`RobotReality::known`].
pub(crate) const KNOWN_DELAYS: std::ops::Range<usize> = 2..5;

/// What one robot meets in one episode: the errors of its sensors, and blows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RobotReality {
    config: RealityConfig,
    rays: RaySpec,
    stream: Stream,
    joint_bias_rad: JointVec,
    gyro_bias_radps: Vector3<f32>,
    imu_tilt: UnitQuaternion<f32>,
    delay_s: f32,
    /// True state of the policy step before, with its time, s.
    before: Option<(f32, RobotState)>,
    lost_ray_fraction: f32,
    scans: Late<RayScan>,
    held_scan: HeldScan,
    /// When the held scan was taken.
    held_since_s: Option<f32>,
    odometry: Odometry,
    /// Blows on the trunk.
    pushes: Recurring,
    /// Draws within an episode.
    redraws: Recurring,
}

/// A position estimate that drifts along the path.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Odometry {
    drift_per_m: Vector2<f32>,
    position_world: Option<Point3<f32>>,
    error_m: Vector2<f32>,
    estimates: Late<Point2<f32>>,
}

/// Something that happens again and again within an episode, after drawn intervals.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Recurring {
    stream: Stream,
    next_s: f32,
}

impl RobotReality {
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
            lost_ray_fraction: 0.0,
            scans: Late::default(),
            held_scan: HeldScan::new(rays),
            held_since_s: None,
            odometry: Odometry::default(),
            pushes: pushes(config, 0),
            redraws: redraws(config, 0),
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
        self.scans = Late::new(rate_hz, uniform(config.ray_latency_ms, &mut stream));
        self.held_since_s = None;
        self.lost_ray_fraction = uniform(config.lost_ray_fraction, &mut stream);
        let heading_rad = uniform([0.0, TAU], &mut stream);
        let drift = uniform(config.odometry_drift, &mut stream);
        let rate_hz = uniform(config.odometry_rate_hz, &mut stream);
        self.odometry = Odometry {
            drift_per_m: drift * Vector2::new(heading_rad.cos(), heading_rad.sin()),
            estimates: Late::new(rate_hz, uniform(config.odometry_latency_ms, &mut stream)),
            ..Odometry::default()
        };
        self.pushes = pushes(config, seed);
        self.redraws = redraws(config, seed);
        self.stream = stream;
    }

    /// [`Quantity::Reality`] of the episode that begins with this physics, each number about 1 at its edge.
    pub fn known(&self, dynamics: &Dynamics, physics_step_s: f32) -> [f32; REALITY_DIM] {
        let [delay, latency, period] = self.known_delays();
        let target_delay_s = dynamics.actuation_delay_steps as f32 * physics_step_s;
        let strength = dynamics.variation.as_ref().map_or(1.0, |variation| {
            let strength = &variation.strength;
            strength.iter().sum::<f32>() / strength.len() as f32
        });
        [
            target_delay_s / 0.02,
            dynamics.delay_jitter_steps,
            delay,
            latency,
            period,
            dynamics.friction,
            dynamics.added_base_mass_kg / 5.0,
            (strength - 1.0) / 0.1,
            dynamics.contact_softness_s / 0.02,
            dynamics.restitution / 0.3,
        ]
    }

    /// The part of [`Self::known`] that may change within an episode, [`KNOWN_DELAYS`].
    pub fn known_delays(&self) -> [f32; 3] {
        let (latency_s, period_s) = (self.scans.latency_s(), self.scans.period_s());
        [self.delay_s / 0.02, latency_s / 0.1, period_s / 0.1]
    }

    fn redraw_if_due(&mut self, time_s: f32) {
        let config = &self.config;
        let Some(stream) = self.redraws.due(time_s, config.redraw_interval_s) else {
            return;
        };
        self.delay_s = 1e-3 * uniform(config.proprioception_delay_ms, stream);
        let rate_hz = uniform(config.ray_rate_hz, stream);
        self.scans
            .change(rate_hz, uniform(config.ray_latency_ms, stream));
        let rate_hz = uniform(config.odometry_rate_hz, stream);
        self.odometry
            .estimates
            .change(rate_hz, uniform(config.odometry_latency_ms, stream));
    }

    /// Turns the true state at a time of the episode into what is measured then, once per policy step.
    pub fn measure(&mut self, time_s: f32, state: &mut RobotState) {
        self.redraw_if_due(time_s);
        let now = state.clone();
        if let Some((before_s, before)) = &self.before
            && self.delay_s > 0.0
            && time_s > *before_s
        {
            let back = (self.delay_s / (time_s - before_s)).min(1.0);
            blend(state, before, back);
        }
        self.odometry.measure(time_s, &mut state.position_world);
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

    /// Takes `scan` if one is due, and replaces it by the one that has arrived, as it looks from the measured `state`.
    pub fn scan(&mut self, time_s: f32, state: &RobotState, scan: &mut RayScan) {
        if self.scans.is_due(time_s) {
            let RaySpec { min_m, max_m, .. } = self.rays;
            let (stream, noise) = (&mut self.stream, self.config.ray_noise_log2);
            let lost = self.lost_ray_fraction;
            for distance_m in &mut scan.distance_m {
                if lost > 0.0 && stream.random::<f32>() < lost {
                    *distance_m = max_m;
                }
                if noise > 0.0 {
                    *distance_m *= (noise * (2.0 * stream.random::<f32>() - 1.0)).exp2();
                    *distance_m = distance_m.clamp(min_m, max_m);
                }
            }
            self.scans.take(time_s, scan.clone());
        }
        if let Some((taken_s, arrived)) = self.scans.arrived(time_s)
            && self.held_since_s != Some(taken_s)
        {
            self.held_since_s = Some(taken_s);
            self.held_scan.take(state, arrived);
        }
        self.held_scan.seen_from(state, scan);
    }

    /// The blow that falls at this time of the episode, asked for once per policy step: a change of velocity, world frame,
    /// m/s.
    pub fn push(&mut self, time_s: f32) -> Option<Vector3<f32>> {
        let config = &self.config;
        if config.push_mps[1] <= 0.0 {
            return None;
        }
        let stream = self.pushes.due(time_s, config.push_interval_s)?;
        let speed_mps = uniform(config.push_mps, stream);
        let heading_rad = uniform([0.0, TAU], stream);
        Some(speed_mps * Vector3::new(heading_rad.cos(), heading_rad.sin(), 0.0))
    }

    /// The motors regulate the measured positions.
    pub fn command(&self, target_rad: &mut [f32]) {
        for (target_rad, bias_rad) in target_rad.iter_mut().zip(&self.joint_bias_rad) {
            *target_rad -= bias_rad;
        }
    }
}

impl Recurring {
    fn new(mut stream: Stream, first_s: [f32; 2]) -> Self {
        Self {
            next_s: uniform(first_s, &mut stream),
            stream,
        }
    }

    /// Its stream when it is due, once per interval; never, if the longest is nothing.
    fn due(&mut self, time_s: f32, interval_s: [f32; 2]) -> Option<&mut Stream> {
        if interval_s[1] <= 0.0 || time_s < self.next_s {
            return None;
        }
        self.next_s += uniform(interval_s, &mut self.stream);
        Some(&mut self.stream)
    }
}

/// The first blow falls anywhere in the first interval, so that robots of a batch do not stumble together.
fn pushes(config: &RealityConfig, seed: u64) -> Recurring {
    Recurring::new(stream(seed, PUSH_STREAM), [0.0, config.push_interval_s[1]])
}

/// The first one comes after a whole interval.
fn redraws(config: &RealityConfig, seed: u64) -> Recurring {
    Recurring::new(stream(seed, REDRAW_STREAM), config.redraw_interval_s)
}

impl Odometry {
    fn measure(&mut self, time_s: f32, position_world: &mut Point3<f32>) {
        let moved_m = match self.position_world {
            Some(before) => (position_world.xy() - before.xy()).norm(),
            None => 0.0,
        };
        self.position_world = Some(*position_world);
        self.error_m += moved_m * self.drift_per_m;
        let estimate = position_world.xy() + self.error_m;
        if self.estimates.is_due(time_s) {
            self.estimates.take(time_s, estimate);
        }
        if let Some((_, arrived)) = self.estimates.arrived(time_s) {
            position_world.x = arrived.x;
            position_world.y = arrived.y;
        }
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
