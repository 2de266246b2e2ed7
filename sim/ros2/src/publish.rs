//! What the robot publishes.

use std::f32::consts::{PI, TAU};

use nalgebra::UnitQuaternion;
use robots::RobotState;
use ros2::messages::{
    BmsState, Header, ImuState, LaserScan, LowState, MotorCmd, MotorState, Odometry, Point, Pose,
    PoseWithCovariance, Quaternion, Time, Twist, TwistWithCovariance, Vector3,
};

use super::{BEAMS, LASER_RANGE_M, Ros2Robot, SCAN_S};

impl Ros2Robot {
    pub(super) fn low_state(&self) -> LowState {
        let (physics, measured) = (self.simulated.physics(), self.simulated.measured());
        let orientation = &measured.orientation;
        let gyroscope = measured.angular_velocity_base;
        let (roll, pitch, yaw) = orientation.euler_angles();
        let mut state = LowState {
            imu_state: ImuState {
                quaternion: [orientation.w, orientation.i, orientation.j, orientation.k],
                gyroscope: gyroscope.into(),
                accelerometer: self.simulated.accelerometer_mps2().into(),
                rpy: [roll, pitch, yaw],
                temperature: 40,
            },
            bms_state: BmsState {
                soc: 95,
                ..BmsState::default()
            },
            // In ms.
            tick: (self.steps as u32).wrapping_mul((self.step_s * 1e3) as u32),
            power_v: 29.0,
            ..LowState::default()
        };
        for (joint, &motor) in self.map.motors().iter().enumerate() {
            state.motor_state[motor] = MotorState {
                mode: MotorCmd::ENABLED,
                q: measured.joint_position_rad[joint],
                dq: measured.joint_velocity_radps[joint],
                tau_est: measured.joint_torque_nm[joint],
                temperature: 35,
                ..MotorState::default()
            };
        }
        let first = self.map.motors()[0];
        if self.faults.impossible_velocity {
            state.motor_state[first].dq = 1e6;
        }
        if self.faults.not_a_number {
            state.motor_state[first].q = f32::NAN;
        }
        if self.is_bare {
            state.tick = 0;
            return state;
        }
        for (force, &foot) in physics.foot_force_world.iter().zip(self.map.feet()) {
            // Saturates, as the sensor does.
            state.foot_force[foot] = force.norm() as i16;
        }
        state = state.sealed();
        if self.faults.wrong_checksum {
            state.crc ^= 1;
        }
        state
    }

    pub(super) fn odometry(&self, stamp: Time) -> Odometry {
        let physics = self.simulated.physics();
        let orientation = &physics.orientation;
        let linear = orientation.inverse_transform_vector(&physics.linear_velocity_world);
        let angular = orientation.inverse_transform_vector(&physics.angular_velocity_world);
        let mut p = physics.position_world;
        if self.faults.jumping_odometry && self.steps.is_multiple_of(100) {
            p.x += 3.0;
        }
        Odometry {
            header: Header {
                stamp,
                frame_id: self.config.world_frame.clone(),
            },
            child_frame_id: self.config.base_frame.clone(),
            pose: PoseWithCovariance {
                pose: Pose {
                    position: Point {
                        x: p.x.into(),
                        y: p.y.into(),
                        z: p.z.into(),
                    },
                    orientation: quaternion(orientation),
                },
                covariance: [0.0; 36],
            },
            twist: TwistWithCovariance {
                twist: Twist {
                    linear: vector(&linear),
                    angular: vector(&angular),
                },
                covariance: [0.0; 36],
            },
        }
    }

    /// A level scan around the base at its height.
    pub(super) fn scan(&mut self, stamp: Time) -> LaserScan {
        let physics = self.simulated.physics();
        let mut state = RobotState::zero(self.robot.num_joints(), self.robot.num_feet());
        state.position_world = physics.position_world;
        state.orientation = physics.orientation;
        let time_s = self.steps as f32 * self.step_s;
        let mut ranges = Vec::with_capacity(BEAMS);
        for caster in &self.laser {
            caster.cast(&state, &self.obstacles, time_s, &mut self.fan);
            let hit = |&distance_m: &f32| match distance_m < LASER_RANGE_M {
                true => distance_m,
                false => f32::INFINITY,
            };
            ranges.extend(self.fan.distance_m.iter().map(hit));
        }
        if self.faults.blind {
            ranges.fill(f32::NAN);
        }
        let step_rad = TAU / BEAMS as f32;
        LaserScan {
            header: Header {
                stamp,
                frame_id: self.config.lidar.level_frame.clone(),
            },
            angle_min: -PI,
            angle_max: -PI + (BEAMS - 1) as f32 * step_rad,
            angle_increment: step_rad,
            time_increment: 0.0,
            scan_time: SCAN_S,
            range_min: 0.0,
            range_max: LASER_RANGE_M,
            ranges,
            intensities: Vec::new(),
        }
    }
}

fn vector(vector: &nalgebra::Vector3<f32>) -> Vector3 {
    Vector3 {
        x: vector.x.into(),
        y: vector.y.into(),
        z: vector.z.into(),
    }
}

fn quaternion(q: &UnitQuaternion<f32>) -> Quaternion {
    Quaternion {
        x: q.i.into(),
        y: q.j.into(),
        z: q.k.into(),
        w: q.w.into(),
    }
}
