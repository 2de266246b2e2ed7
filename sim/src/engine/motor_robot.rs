//! One robot as its motor controllers see it: motor targets in, joints and inertial sensor out, at the rate of the physics.

use nalgebra::Vector3;
use robots::Robot;

use crate::engine::{
    Engine as _, EngineError, EpisodeStart, MotorTarget, PhysicsConfig, PhysicsState, RapierEngine,
};

/// A robot in rapier, driven by motor targets.
pub struct MotorRobot {
    engine: RapierEngine,
    physics: PhysicsState,
    step_s: f32,
    gravity_mps2: Vector3<f32>,
    /// Specific force at the origin of the base, in the base frame, m/s².
    accelerometer_mps2: Vector3<f32>,
}

impl MotorRobot {
    /// At rest in the standing pose on flat ground. Of the `config`, the physics step is the rate.
    ///
    /// # Errors
    /// When the robot has no joint.
    pub fn new(robot: &Robot, config: &PhysicsConfig) -> Result<Self, EngineError> {
        let mut motor_robot = Self {
            engine: RapierEngine::new(robot, config, 1)?,
            physics: PhysicsState::zero(robot),
            step_s: config.step_s,
            gravity_mps2: config.gravity_mps2,
            accelerometer_mps2: Vector3::zeros(),
        };
        motor_robot.settle();
        Ok(motor_robot)
    }

    /// Lets the stops of all joints give way, by this angle under the effort limit, rad. At first they do not.
    ///
    /// # Errors
    /// When the robot has no joint.
    pub fn soften_stops(&mut self, gives_rad: f32) -> Result<(), EngineError> {
        self.engine.soften_stops(gives_rad)
    }

    /// Puts the robot into another scene.
    ///
    /// # Errors
    /// When the engine does not know an obstacle.
    pub fn reset(&mut self, start: &EpisodeStart) -> Result<(), EngineError> {
        self.engine.reset(0, start)?;
        self.settle();
        Ok(())
    }

    fn settle(&mut self) {
        self.engine.read(0, &mut self.physics);
        let orientation = self.physics.orientation;
        self.accelerometer_mps2 = orientation.inverse_transform_vector(&-self.gravity_mps2);
    }

    /// One physics step with one target per joint.
    pub fn step(&mut self, targets: &[MotorTarget]) {
        let before = self.physics.linear_velocity_world;
        self.engine.step_motors(0, targets);
        self.engine.read(0, &mut self.physics);
        let acceleration = (self.physics.linear_velocity_world - before) / self.step_s;
        let orientation = self.physics.orientation;
        self.accelerometer_mps2 =
            orientation.inverse_transform_vector(&(acceleration - self.gravity_mps2));
    }

    /// State after the last step; contacts are those of that step.
    pub fn physics(&self) -> &PhysicsState {
        &self.physics
    }

    /// What the accelerometer measured over the last step, in the base frame, m/s².
    pub fn accelerometer_mps2(&self) -> Vector3<f32> {
        self.accelerometer_mps2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> PhysicsConfig {
        PhysicsConfig {
            step_s: 0.002,
            decimation: 1,
            ..PhysicsConfig::default()
        }
    }

    fn hold(robot: &Robot, stiffness: f32, damping: f32) -> Vec<MotorTarget> {
        let target = |&position_rad: &f32| MotorTarget {
            position_rad,
            stiffness,
            damping,
            ..MotorTarget::default()
        };
        let standing = &robot.control.standing_position_rad;
        standing.iter().map(target).collect()
    }

    #[test]
    fn held_in_its_pose_it_stands_and_measures_gravity() {
        let robot = Robot::load("go1").unwrap();
        let mut simulated = MotorRobot::new(&robot, &config()).unwrap();
        let targets = hold(&robot, 60.0, 2.0);
        for _ in 0..1000 {
            simulated.step(&targets);
        }
        let physics = simulated.physics();
        let height_m = physics.position_world.z;
        let standing_m = robot.control.standing_height_m;
        assert!((height_m - standing_m).abs() < 0.04, "{height_m}");
        let up_n: f32 = physics.foot_force_world.iter().map(|force| force.z).sum();
        let weight_n = 9.81 * robot.mass_kg();
        assert!((up_n / weight_n - 1.0).abs() < 0.05, "{up_n} of {weight_n}");
        let measured = simulated.accelerometer_mps2();
        assert!(
            (measured.norm() - 9.81).abs() < 0.3 && measured.z > 9.0,
            "{measured}"
        );
    }

    #[test]
    fn with_damping_alone_it_sinks_slowly_to_the_ground() {
        let robot = Robot::load("go1").unwrap();
        let mut simulated = MotorRobot::new(&robot, &config()).unwrap();
        let targets = hold(&robot, 0.0, 5.0);
        let mut fastest_mps = 0_f32;
        for _ in 0..1500 {
            simulated.step(&targets);
            fastest_mps = fastest_mps.max(-simulated.physics().linear_velocity_world.z);
        }
        let height_m = simulated.physics().position_world.z;
        assert!(height_m < 0.18, "{height_m}");
        assert!(fastest_mps < 1.0, "{fastest_mps}");
        assert!(simulated.physics().is_finite());
    }

    #[test]
    fn a_soft_stop_gives_way_by_its_angle_under_the_effort_limit() {
        let robot = Robot::load("go2").unwrap();
        let weightless = PhysicsConfig {
            gravity_mps2: Vector3::zeros(),
            step_s: 0.005,
            ..config()
        };
        let mut start = EpisodeStart::standing(&robot);
        start.position_world.z = 2.0;
        let knee = robot.joints().nth(2).unwrap();
        let beyond_rad = |gives_rad: Option<f32>| {
            let mut simulated = MotorRobot::new(&robot, &weightless).unwrap();
            if let Some(gives_rad) = gives_rad {
                simulated.soften_stops(gives_rad).unwrap();
            }
            simulated.reset(&start).unwrap();
            let mut targets = hold(&robot, 100.0, 5.0);
            targets[2] = MotorTarget {
                torque_nm: knee.effort_limit_nm,
                ..MotorTarget::default()
            };
            for _ in 0..400 {
                simulated.step(&targets);
            }
            let torque_nm = simulated.physics().joint_torque_nm[2];
            assert!(
                (torque_nm / knee.effort_limit_nm - 1.0).abs() < 0.02,
                "{torque_nm}"
            );
            simulated.physics().joint_position_rad[2] - knee.upper_rad
        };
        let soft_rad = beyond_rad(Some(0.15));
        assert!((soft_rad - 0.15).abs() < 0.01, "{soft_rad}");
        let hard_rad = beyond_rad(None);
        assert!(hard_rad < 0.02, "{hard_rad}");
    }

    #[test]
    fn torque_and_velocity_targets_act_on_a_joint_in_the_air() {
        let robot = Robot::load("go1").unwrap();
        let weightless = PhysicsConfig {
            gravity_mps2: Vector3::zeros(),
            ..config()
        };
        let mut start = EpisodeStart::standing(&robot);
        start.position_world.z = 2.0;
        let mut simulated = MotorRobot::new(&robot, &weightless).unwrap();
        simulated.reset(&start).unwrap();
        let mut targets = hold(&robot, 0.0, 0.0);
        // A velocity target with damping alone turns the calf towards it.
        targets[2] = MotorTarget {
            velocity_radps: 2.0,
            damping: 5.0,
            ..MotorTarget::default()
        };
        // A torque of 1 N·m against a dry friction of 0.2 N·m turns the hip of the other side.
        targets[3] = MotorTarget {
            torque_nm: 1.0,
            ..MotorTarget::default()
        };
        for _ in 0..25 {
            simulated.step(&targets);
        }
        let velocity = &simulated.physics().joint_velocity_radps;
        assert!((velocity[2] - 2.0).abs() < 0.3, "{velocity:?}");
        assert!(velocity[3] > 0.5, "{velocity:?}");
        let torque = &simulated.physics().joint_torque_nm;
        assert!((torque[3] - 1.0).abs() < 0.05, "{torque:?}");
    }
}
