//! Estimate of base pose, base velocity and foot contacts.
//!
//! The linear Kalman filter of Bledt et al. 2018 ("MIT Cheetah 3: Design and Control of a Robust, Dynamic Quadruped
//! Robot", section V-B), after Bloesch et al. 2012: a foot on the ground does not move. The orientation R is that of the
//! IMU. The state is the base position p, its velocity v and the foot positions p_i, all in the world frame:
//!
//! ```text
//! prediction    p' = v,   v' = R f + g,   p_i' = 0 (plus the rolling of the foot)
//! measurement   p_i - p = R k_i(q)                                    for every foot
//!               v = -R (J_i q' + w x k_i(q)) + roll_i                 for every foot on the ground
//!               p_i,z = foot radius                                   for every foot on the ground
//! ```
//!
//! f is the specific force of the accelerometer, w the angular velocity, k_i and J_i position and Jacobian of the foot. A
//! foot is a ball that rolls, so on the ground its centre moves with roll_i = (R w_calf) x (radius z); in the air it has a
//! large process noise. The horizontal position drifts by a random walk, so that the estimate follows an odometry. The
//! noise is isotropic and uncorrelated between the axes, so the filter splits into three, one per axis, each updated with
//! one measurement at a time: no matrix is inverted.

mod axis;
mod contact;

use nalgebra::{Point3, Quaternion, UnitQuaternion, Vector3};
use robots::{FootVec, Leg, Robot, RobotState};

use self::{
    axis::AxisFilter,
    contact::{ContactEvidence, ContactSensor},
};
use super::{EstimatorConfig, OdometrySample, RobotSample};

const GRAVITY_MPS2: f64 = 9.81;
/// Plausible intervals between two samples, s.
const INTERVAL_S: [f32; 2] = [5e-4, 0.05];
/// Largest acceleration that is integrated, m/s²: an impact of a foot stays below.
const MAX_ACCELERATION_MPS2: f64 = 150.0;
/// A robot that moves less than this for so long is at rest: rotation, joint speeds, and difference of the specific force
/// from gravity.
const REST_S: f32 = 0.3;
const REST_ROTATION_RADPS: f32 = 0.1;
const REST_JOINT_RADPS: f32 = 0.3;
const REST_FORCE_MPS2: f32 = 0.5;
/// Random walk of a foot in the air, m/√s.
const FOOT_IN_AIR: f64 = 30.0;
/// Bounds of the load of a foot, relative to half of the weight. The higher the load, the less the foot slips.
const MIN_LOAD: f32 = 0.1;
const MAX_LOAD: f32 = 2.0;

/// Estimates a [`RobotState`] from the measurements of a robot. Does not allocate after construction.
#[derive(Clone, Debug)]
pub struct Estimator {
    legs: Vec<Leg>,
    standing_height_m: f32,
    /// Load of a foot in a trot, half of the weight, N.
    trot_load_n: f32,
    config: EstimatorConfig,
    /// World axes x, y, z.
    axes: [AxisFilter; 3],
    contacts: ContactSensor,
    /// Heading of the IMU's level frame in the world frame, rad; unknown before the first sample.
    heading_offset_rad: Option<f32>,
    /// Whether the world frame is that of an odometry.
    placed: bool,
    /// For how long the robot has not moved, s.
    still_s: f32,
}

/// Motion of a leg in one sample.
#[derive(Clone, Copy, Debug, Default)]
struct LegMotion {
    /// Foot centre in the base frame, m.
    position_base: Vector3<f32>,
    /// Its velocity relative to the base, m/s.
    velocity_base: Vector3<f32>,
    /// Angular velocity of the last link relative to the base, rad/s.
    angular_velocity_base: Vector3<f32>,
    /// Ground force on the foot, from the joint torques, in the base frame, N.
    force_base: Vector3<f32>,
}

impl Estimator {
    /// An estimator for a robot.
    pub fn new(robot: &Robot, config: &EstimatorConfig) -> Self {
        let num_feet = robot.num_feet();
        Self {
            legs: robot.legs.clone(),
            standing_height_m: robot.control.standing_height_m,
            trot_load_n: 0.5 * robot.mass_kg() * GRAVITY_MPS2 as f32,
            config: config.clone(),
            axes: std::array::from_fn(|_| AxisFilter::new(num_feet)),
            contacts: ContactSensor::new(num_feet, config),
            heading_offset_rad: None,
            placed: false,
            still_s: 0.0,
        }
    }

    /// Starts anew: the next sample defines the world frame, or the next odometry.
    pub fn restart(&mut self) {
        self.heading_offset_rad = None;
        self.still_s = 0.0;
        self.contacts.restart();
        self.forget_odometry();
    }

    /// The next odometry replaces the world frame by its own.
    pub fn forget_odometry(&mut self) {
        self.placed = false;
    }

    /// Updates the estimate with a sample `interval_s` after the one before, and writes it to `state`, which has the robot's
    /// numbers of joints and feet. The first sample defines the world frame: its origin is under the robot, its x axis
    /// along the heading. All numbers must be finite.
    pub fn update(&mut self, sample: &RobotSample, interval_s: f32, state: &mut RobotState) {
        let imu = rotation(sample.imu_orientation_wxyz);
        let first = self.heading_offset_rad.is_none();
        let offset_rad = *self
            .heading_offset_rad
            .get_or_insert_with(|| -heading_rad(&imu));
        let orientation = UnitQuaternion::from_axis_angle(&Vector3::z_axis(), offset_rad) * imu;
        let angular_velocity = sample.imu_gyroscope_radps;

        let mut motions = [LegMotion::default(); robots::MAX_FEET];
        let mut begin = 0;
        for (leg, motion) in self.legs.iter().zip(&mut motions) {
            let range = begin..begin + leg.joints.len();
            begin = range.end;
            *motion = LegMotion::new(
                leg,
                &sample.joint_position_rad[range.clone()],
                &sample.joint_velocity_radps[range.clone()],
                &sample.joint_torque_nm[range],
            );
        }
        let motions = &motions[..self.legs.len()];
        let vertical_force_n: FootVec<f32> = motions
            .iter()
            .map(|motion| (orientation * motion.force_base).z)
            .collect();
        let velocity_world =
            Vector3::from(self.axes.each_ref().map(|axis| axis.velocity_mps() as f32));
        let foot_speed_mps: FootVec<f32> = motions
            .iter()
            .map(|motion| {
                let against_base = orientation * motion.velocity_with(&angular_velocity);
                (velocity_world + against_base).norm()
            })
            .collect();
        let evidence = ContactEvidence {
            sensor: &sample.foot_force,
            vertical_force_n: &vertical_force_n,
            foot_speed_mps: &foot_speed_mps,
        };
        self.contacts
            .update(&evidence, interval_s, &mut state.foot_contact);
        let load: FootVec<f64> = vertical_force_n
            .iter()
            .map(|force_n| f64::from((force_n / self.trot_load_n).clamp(MIN_LOAD, MAX_LOAD)))
            .collect();

        if first {
            self.start(&orientation, motions);
        } else {
            let interval_s = f64::from(interval_s.clamp(INTERVAL_S[0], INTERVAL_S[1]));
            self.predict(
                sample,
                &orientation,
                motions,
                &state.foot_contact,
                interval_s,
            );
        }
        self.correct(
            &orientation,
            &angular_velocity,
            motions,
            &state.foot_contact,
            &load,
        );
        if self.is_at_rest(sample, interval_s) {
            self.axes.iter_mut().for_each(AxisFilter::rest);
        }

        let position = self.axes.each_ref().map(|axis| axis.position_m() as f32);
        let velocity = self.axes.each_ref().map(|axis| axis.velocity_mps() as f32);
        state.position_world = Point3::from(position);
        state.orientation = orientation;
        state.linear_velocity_base = orientation.inverse_transform_vector(&Vector3::from(velocity));
        state.angular_velocity_base = angular_velocity;
        state
            .joint_position_rad
            .clone_from(&sample.joint_position_rad);
        state
            .joint_velocity_radps
            .clone_from(&sample.joint_velocity_radps);
        state.joint_torque_nm.clone_from(&sample.joint_torque_nm);
    }

    /// Updates the estimate, and `state` with it, with an odometry `interval_s` after the one before. The first one replaces
    /// the world frame by its own; then it returns true. All numbers must be finite.
    pub fn fuse(
        &mut self,
        odometry: &OdometrySample,
        interval_s: f32,
        state: &mut RobotState,
    ) -> bool {
        let Some(offset_rad) = &mut self.heading_offset_rad else {
            return false;
        };
        let is_first = !self.placed;
        let orientation = rotation(odometry.orientation_wxyz);
        let error_rad = wrap(heading_rad(&orientation) - heading_rad(&state.orientation));
        let fraction = if self.placed {
            interval_s / (interval_s + self.config.odometry_heading_s)
        } else {
            1.0
        };
        *offset_rad = wrap(*offset_rad + fraction * error_rad);
        let turn = UnitQuaternion::from_axis_angle(&Vector3::z_axis(), fraction * error_rad);
        if !self.placed {
            // The velocity turns with the frame; the feet follow with the next sample.
            let velocity_world = turn * (state.orientation * state.linear_velocity_base);
            for (index, axis) in self.axes.iter_mut().enumerate() {
                axis.place(
                    f64::from(odometry.position_world[index]),
                    f64::from(velocity_world[index]),
                );
            }
            self.placed = true;
        }
        state.orientation = turn * state.orientation;
        let velocity_world = state.orientation * odometry.linear_velocity_base;
        let position_variance = f64::from(self.config.odometry_position_m).powi(2);
        let velocity_variance = f64::from(self.config.odometry_velocity_mps).powi(2);
        for (index, axis) in self.axes.iter_mut().enumerate() {
            let position_m = f64::from(odometry.position_world[index]);
            axis.measure_position(position_m, position_variance);
            axis.measure_velocity(f64::from(velocity_world[index]), velocity_variance);
            state.position_world[index] = axis.position_m() as f32;
        }
        is_first
    }

    /// Whether the robot lies or stands still. Feet say nothing about a robot that lies on its belly.
    fn is_at_rest(&mut self, sample: &RobotSample, interval_s: f32) -> bool {
        let force_mps2 = sample.imu_accelerometer_mps2.norm() - GRAVITY_MPS2 as f32;
        let mut joints = sample.joint_velocity_radps.iter();
        let is_still = sample.imu_gyroscope_radps.norm() < REST_ROTATION_RADPS
            && force_mps2.abs() < REST_FORCE_MPS2
            && joints.all(|velocity_radps| velocity_radps.abs() < REST_JOINT_RADPS);
        self.still_s = match is_still {
            true => self.still_s + interval_s,
            false => 0.0,
        };
        self.still_s > REST_S
    }

    fn start(&mut self, orientation: &UnitQuaternion<f32>, motions: &[LegMotion]) {
        // A lying robot touches the ground with its lowest foot, or with the trunk, below standing height.
        let lowest_m = motions
            .iter()
            .zip(&self.legs)
            .map(|(motion, leg)| leg.foot.radius - (orientation * motion.position_base).z)
            .fold(0.0, f32::max);
        let height_m = lowest_m.min(self.standing_height_m);
        for (index, axis) in self.axes.iter_mut().enumerate() {
            let base_m = if index == 2 { f64::from(height_m) } else { 0.0 };
            let feet = motions
                .iter()
                .map(|motion| base_m + f64::from((orientation * motion.position_base)[index]));
            axis.start(base_m, feet);
        }
    }

    fn predict(
        &mut self,
        sample: &RobotSample,
        orientation: &UnitQuaternion<f32>,
        motions: &[LegMotion],
        contact: &FootVec<bool>,
        interval_s: f64,
    ) {
        let mut acceleration = (orientation * sample.imu_accelerometer_mps2).cast::<f64>();
        acceleration.z -= GRAVITY_MPS2;
        acceleration.apply(|a| *a = a.clamp(-MAX_ACCELERATION_MPS2, MAX_ACCELERATION_MPS2));
        let mut roll = [Vector3::zeros(); robots::MAX_FEET];
        let mut foot_walk = [0.0; robots::MAX_FEET];
        for (foot, motion) in motions.iter().enumerate() {
            let on_ground = contact[foot];
            if on_ground {
                roll[foot] =
                    self.rolling_mps(foot, orientation, &sample.imu_gyroscope_radps, motion);
            }
            foot_walk[foot] = if on_ground {
                f64::from(self.config.foot_slip).powi(2)
            } else {
                FOOT_IN_AIR.powi(2)
            };
        }
        let density = f64::from(self.config.accelerometer).powi(2);
        let drift = f64::from(self.config.drift).powi(2);
        for axis in &mut self.axes[..2] {
            axis.drift(drift * interval_s);
        }
        for (index, axis) in self.axes.iter_mut().enumerate() {
            axis.predict(acceleration[index], density, interval_s);
            for foot in 0..motions.len() {
                axis.move_foot(
                    foot,
                    f64::from(roll[foot][index]) * interval_s,
                    foot_walk[foot] * interval_s,
                );
            }
        }
    }

    fn correct(
        &mut self,
        orientation: &UnitQuaternion<f32>,
        angular_velocity: &Vector3<f32>,
        motions: &[LegMotion],
        contact: &FootVec<bool>,
        load: &FootVec<f64>,
    ) {
        let position_variance = f64::from(self.config.foot_position_m).powi(2);
        let velocity_variance = f64::from(self.config.foot_velocity_mps).powi(2);
        let height_variance = f64::from(self.config.ground_height_m).powi(2);
        for (foot, motion) in motions.iter().enumerate() {
            let from_base = orientation * motion.position_base;
            let velocity = self.rolling_mps(foot, orientation, angular_velocity, motion)
                - orientation * motion.velocity_with(angular_velocity);
            let velocity_variance = velocity_variance / load[foot].powi(2);
            for (index, axis) in self.axes.iter_mut().enumerate() {
                axis.measure_foot(foot, f64::from(from_base[index]), position_variance);
                if contact[foot] {
                    axis.measure_velocity(f64::from(velocity[index]), velocity_variance);
                }
            }
            if contact[foot] {
                let radius_m = f64::from(self.legs[foot].foot.radius);
                self.axes[2].measure_foot_height(foot, radius_m, height_variance);
            }
        }
    }

    /// Velocity of the centre of a foot that rolls on level ground, in the world frame, m/s.
    fn rolling_mps(
        &self,
        foot: usize,
        orientation: &UnitQuaternion<f32>,
        angular_velocity: &Vector3<f32>,
        motion: &LegMotion,
    ) -> Vector3<f32> {
        let calf = orientation * (angular_velocity + motion.angular_velocity_base);
        calf.cross(&(self.legs[foot].foot.radius * Vector3::z()))
    }
}

impl LegMotion {
    /// Velocity of the foot relative to the base's origin, without the rotation of the base frame, m/s.
    fn velocity_with(&self, angular_velocity: &Vector3<f32>) -> Vector3<f32> {
        self.velocity_base + angular_velocity.cross(&self.position_base)
    }

    fn new(leg: &Leg, position_rad: &[f32], velocity_radps: &[f32], torque_nm: &[f32]) -> Self {
        let foot = leg.foot_position_base(position_rad);
        let mut motion = Self {
            position_base: foot.coords,
            ..Self::default()
        };
        // J' f = -torque has one solution only for legs of three joints; the damped least-squares one is
        // f = -(J J' + e)^-1 J torque.
        let mut square = nalgebra::Matrix3::from_diagonal_element(1e-4);
        let mut moment = Vector3::zeros();
        for (index, (joint, pose)) in leg
            .joints
            .iter()
            .zip(leg.link_poses_base(position_rad))
            .enumerate()
        {
            let axis = pose.rotation * joint.axis.into_inner();
            let column = axis.cross(&(foot - Point3::from(pose.translation.vector)));
            motion.velocity_base += column * velocity_radps[index];
            motion.angular_velocity_base += axis * velocity_radps[index];
            moment += column * torque_nm[index];
            square += column * column.transpose();
        }
        if let Some(inverse) = square.try_inverse() {
            motion.force_base = -inverse * moment;
        }
        motion
    }
}

fn rotation([w, x, y, z]: [f32; 4]) -> UnitQuaternion<f32> {
    UnitQuaternion::from_quaternion(Quaternion::new(w, x, y, z))
}

fn heading_rad(orientation: &UnitQuaternion<f32>) -> f32 {
    let forward = orientation * Vector3::x();
    forward.y.atan2(forward.x)
}

fn wrap(angle_rad: f32) -> f32 {
    use std::f32::consts::TAU;
    angle_rad - TAU * (angle_rad / TAU).round()
}

#[cfg(test)]
mod tests;
