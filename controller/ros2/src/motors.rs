//! The vendor's order of motors, and the order of our joints.

use controller::deploy::{MotorCommand, RobotSample};
use nalgebra::Vector3;
use robots::{FootVec, JointVec, MAX_JOINTS, Robot};

use crate::messages::{LowCmd, LowState, MotorCmd, MotorState};

/// Legs in the vendor's order; each has hip, thigh and calf.
const LEGS: [&str; 4] = ["FR", "FL", "RR", "RL"];
const JOINTS_PER_LEG: usize = 3;

/// A robot whose joints are not those of the vendor's interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "robot `{robot}`: {problem}; the low-level interface has legs FR, FL, RR, RL of hip, thigh and calf"
)]
pub struct MotorMapError {
    robot: String,
    problem: String,
}

/// Index of each of our joints and feet in the vendor's arrays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MotorMap {
    motors: arrayvec::ArrayVec<usize, MAX_JOINTS>,
    feet: FootVec<usize>,
}

impl MotorMap {
    /// Maps the legs by their names.
    ///
    /// # Errors
    /// A robot with other legs than the vendor's.
    pub fn new(robot: &Robot) -> Result<Self, MotorMapError> {
        let error = |problem| MotorMapError {
            robot: robot.name.clone(),
            problem,
        };
        let mut map = Self {
            motors: arrayvec::ArrayVec::new(),
            feet: FootVec::new(),
        };
        for leg in &robot.legs {
            let name = &leg.name;
            let Some(place) = LEGS.iter().position(|vendor| vendor == name) else {
                return Err(error(format!("leg `{name}` is unknown")));
            };
            if leg.joints.len() != JOINTS_PER_LEG {
                return Err(error(format!(
                    "leg `{name}` has {} joints",
                    leg.joints.len()
                )));
            }
            map.feet.push(place);
            map.motors
                .extend((0..JOINTS_PER_LEG).map(|joint| JOINTS_PER_LEG * place + joint));
        }
        Ok(map)
    }

    /// The motor of each joint.
    pub fn motors(&self) -> &[usize] {
        &self.motors
    }

    /// The sensor of each foot.
    pub fn feet(&self) -> &[usize] {
        &self.feet
    }

    /// A state message in our order. Who sent it is not checked here.
    pub fn sample(&self, state: &LowState, received_ns: u64) -> RobotSample {
        let joints = |value: fn(&MotorState) -> f32| -> JointVec {
            let motors = self.motors.iter();
            motors
                .map(|&motor| value(&state.motor_state[motor]))
                .collect()
        };
        let imu = &state.imu_state;
        RobotSample {
            received_ns,
            tick: state.tick,
            crc_ok: state.crc == state.checksum(),
            publisher: 0,
            joint_position_rad: joints(|motor| motor.q),
            joint_velocity_radps: joints(|motor| motor.dq),
            joint_torque_nm: joints(|motor| motor.tau_est),
            motor_temperature_c: joints(|motor| f32::from(motor.temperature)),
            imu_orientation_wxyz: imu.quaternion,
            imu_gyroscope_radps: Vector3::from(imu.gyroscope),
            imu_accelerometer_mps2: Vector3::from(imu.accelerometer),
            foot_force: self
                .feet
                .iter()
                .map(|&foot| f32::from(state.foot_force[foot]))
                .collect(),
            battery_percent: state.bms_state.soc,
            remote_buttons: u16::from_le_bytes([
                state.wireless_remote[2],
                state.wireless_remote[3],
            ]),
        }
    }

    /// A command in the vendor's order, with its checksum. Motors that the robot does not have stay off.
    pub fn command(&self, command: &MotorCommand) -> LowCmd {
        let mut message = LowCmd::default();
        for (&motor, joint) in self.motors.iter().zip(&command.joints) {
            message.motor_cmd[motor] = MotorCmd {
                mode: joint.mode,
                q: joint.position_rad,
                dq: joint.velocity_radps,
                tau: joint.effort_nm,
                kp: joint.stiffness,
                kd: joint.damping,
                reserve: [0; 3],
            };
        }
        message.sealed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use controller::deploy::JointCommand;

    #[test]
    fn legs_change_places_and_joints_do_not() {
        let map = MotorMap::new(&Robot::load("go1").unwrap()).unwrap();
        // Ours: FL, FR, RL, RR.
        assert_eq!(map.motors(), [3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8]);
        assert_eq!(map.feet(), [1, 0, 3, 2]);
    }

    #[test]
    fn a_state_arrives_in_our_order() {
        let map = MotorMap::new(&Robot::load("go2").unwrap()).unwrap();
        let mut state = LowState::default();
        state.motor_state[0].q = 1.0;
        state.motor_state[5].temperature = 55;
        state.foot_force = [10, 20, 30, -40];
        state.wireless_remote[2] = 0x02;
        state.wireless_remote[3] = 0x01;
        let state = state.sealed();
        let sample = map.sample(&state, 7);
        assert!(sample.crc_ok);
        assert_eq!((sample.received_ns, sample.remote_buttons), (7, 0x0102));
        assert_eq!(sample.joint_position_rad[3], 1.0, "FR hip");
        assert_eq!(sample.motor_temperature_c[2], 55.0, "FL calf");
        assert_eq!(sample.foot_force[..], [20.0, 10.0, -40.0, 30.0]);

        let mut wrong = state.clone();
        wrong.motor_state[19].reserve[0] = 1;
        assert!(!map.sample(&wrong, 0).crc_ok);
        wrong.crc = 0;
        assert!(!map.sample(&wrong, 0).crc_ok);
    }

    #[test]
    fn a_command_leaves_in_the_vendors_order_with_its_checksum() {
        let map = MotorMap::new(&Robot::load("go1").unwrap()).unwrap();
        let joint = |index: usize| JointCommand {
            mode: 1,
            position_rad: index as f32,
            velocity_radps: 0.5,
            effort_nm: 0.25,
            stiffness: 30.0,
            damping: 0.65,
        };
        let message = map.command(&MotorCommand {
            time_ns: 1,
            joints: (0..12).map(joint).collect(),
        });
        assert_eq!(message.crc, message.checksum());
        let motor = message.motor_cmd[8];
        assert_eq!((motor.mode, motor.q), (1, 11.0), "RR calf");
        assert_eq!(
            (motor.dq, motor.tau, motor.kp, motor.kd),
            (0.5, 0.25, 30.0, 0.65)
        );
        assert_eq!(message.motor_cmd[12].mode, 0);
    }

    #[test]
    fn a_robot_with_other_legs_is_named() {
        let mut robot = Robot::load("go1").unwrap();
        robot.legs[1].name = "front".to_owned();
        let error = MotorMap::new(&robot).unwrap_err().to_string();
        assert!(
            error.starts_with("robot `go1`: leg `front` is unknown"),
            "{error}"
        );
        let mut robot = Robot::load("go1").unwrap();
        robot.legs[2].joints.pop();
        let error = MotorMap::new(&robot).unwrap_err().to_string();
        assert!(error.contains("leg `RL` has 2 joints"), "{error}");
    }
}
