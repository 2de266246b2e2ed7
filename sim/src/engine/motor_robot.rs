//! One robot as its motor controllers see it: motor targets in, measurements out, at the rate of its control.

use std::collections::VecDeque;

use nalgebra::Vector3;
use policies::RaySpec;
use robots::{JointVec, Robot, RobotState};

use crate::{
    engine::{
        EngineError, EngineKind, EpisodeStart, MotorEngine, MotorTarget, PhysicsConfig,
        PhysicsState, RapierEngine, Variation, mujoco,
    },
    random::{stream, uniform},
    reality::{RealityConfig, RobotReality},
};

/// Stream of the seed for the delay of measurements; `reality` has the others.
const DELAY_STREAM: u64 = 16;

/// A simulated robot that is driven by motor targets, and differs from the simulation as a real one does.
pub struct MotorRobot {
    engine: Box<dyn MotorEngine>,
    robot: Robot,
    config: PhysicsConfig,
    physics: PhysicsState,
    steps: u64,
    /// Specific force at the origin of the base, in the base frame, m/s².
    accelerometer_mps2: Vector3<f32>,
    reality: Option<Reality>,
    /// What is on its way to the motors, oldest first, and by how many physics steps it is late.
    targets: VecDeque<Vec<MotorTarget>>,
    target_delay_steps: usize,
    variation: Variation,
    /// What is on its way from the sensors, oldest first, and by how many steps it is late.
    measured: VecDeque<RobotState>,
    measurement_delay_steps: usize,
}

/// In what the robot differs, and the seed that draws it.
struct Reality {
    config: RealityConfig,
    sensors: RobotReality,
    seed: u64,
}

impl MotorRobot {
    /// In rapier, at rest in the standing pose on flat ground. A step is a policy step of the `config`: so many physics steps
    /// as its decimation.
    ///
    /// # Errors
    /// When the robot has no joint.
    pub fn new(robot: &Robot, config: &PhysicsConfig) -> Result<Self, EngineError> {
        Self::with_engine(EngineKind::Rapier, robot, config)
    }

    /// The same in another engine.
    ///
    /// # Errors
    /// When the robot does not fit the engine, or the engine knows no motor targets.
    pub fn with_engine(
        kind: EngineKind,
        robot: &Robot,
        config: &PhysicsConfig,
    ) -> Result<Self, EngineError> {
        let engine: Box<dyn MotorEngine> = match kind {
            EngineKind::Rapier => Box::new(RapierEngine::new(robot, config, 1)?),
            EngineKind::Mujoco => mujoco::build_motors(robot, config, 1)?,
            EngineKind::Batch => {
                return Err(EngineError::Absent(
                    "the batch engine steps no single robot with motor commands; take rapier or mujoco",
                ));
            }
        };
        let mut motor_robot = Self {
            engine,
            robot: robot.clone(),
            config: config.clone(),
            physics: PhysicsState::zero(robot),
            steps: 0,
            accelerometer_mps2: Vector3::zeros(),
            reality: None,
            targets: VecDeque::new(),
            target_delay_steps: 0,
            variation: Variation::none(robot),
            measured: VecDeque::new(),
            measurement_delay_steps: 0,
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

    /// A robot that differs from the simulation, drawn by a seed and the same after every reset: its motors, joints and
    /// masses, its delays, the errors of its encoders and its IMU. Rays, odometry and blows are not this robot's.
    #[must_use]
    pub fn with_reality(mut self, config: &RealityConfig, seed: u64) -> Self {
        let late = RealityConfig {
            // Here, where it may be longer than a step.
            proprioception_delay_ms: [0.0; 2],
            ..config.clone()
        };
        self.reality = (!config.is_ideal()).then(|| Reality {
            config: config.clone(),
            sensors: RobotReality::new(&late, &self.robot, &RaySpec::default()),
            seed,
        });
        self
    }

    /// Puts the robot into another scene.
    ///
    /// # Errors
    /// When the engine does not know an obstacle, or has no stand.
    pub fn reset(&mut self, start: &EpisodeStart) -> Result<(), EngineError> {
        let mut start = start.clone();
        self.measurement_delay_steps = 0;
        if let Some(Reality {
            config,
            sensors,
            seed,
        }) = &mut self.reality
        {
            let step_s = self.config.step_s;
            config.change_dynamics(&self.robot, &mut start.dynamics, step_s, *seed);
            sensors.reset(*seed);
            let mut stream = stream(*seed, DELAY_STREAM);
            let delay_s = 1e-3 * uniform(config.proprioception_delay_ms, &mut stream);
            self.measurement_delay_steps = (delay_s / self.config.policy_step_s()).round() as usize;
        }
        let variation = start.dynamics.variation.as_deref();
        self.variation = (variation.cloned()).unwrap_or_else(|| Variation::none(&self.robot));
        self.target_delay_steps = start.dynamics.actuation_delay_steps;
        self.engine.reset(0, &start)?;
        self.settle();
        Ok(())
    }

    fn settle(&mut self) {
        self.engine.read(0, &mut self.physics);
        let orientation = self.physics.orientation;
        self.accelerometer_mps2 = orientation.inverse_transform_vector(&-self.config.gravity_mps2);
        self.steps = 0;
        self.targets.clear();
        self.measured.clear();
        self.measure();
    }

    /// One step with one target per joint.
    pub fn step(&mut self, targets: &[MotorTarget]) {
        let before = self.physics.linear_velocity_world;
        let mut positions_rad: JointVec =
            targets.iter().map(|target| target.position_rad).collect();
        if let Some(reality) = &self.reality {
            reality.sensors.command(&mut positions_rad);
        }
        for _ in 0..self.config.decimation {
            let mut newest = match self.targets.len() > self.target_delay_steps {
                true => self.targets.pop_front().unwrap_or_default(),
                false => Vec::new(),
            };
            newest.clear();
            newest.extend(targets.iter().enumerate().map(|(joint, target)| {
                let Variation {
                    strength,
                    stiffness,
                    damping,
                    ..
                } = &self.variation;
                MotorTarget {
                    position_rad: positions_rad[joint],
                    velocity_radps: target.velocity_radps,
                    torque_nm: strength[joint] * target.torque_nm,
                    stiffness: strength[joint] * stiffness[joint] * target.stiffness,
                    damping: strength[joint] * damping[joint] * target.damping,
                }
            }));
            self.targets.push_back(newest);
            // The first stands for those before it.
            self.engine.step_motors(0, &self.targets[0]);
        }
        self.steps += 1;
        self.engine.read(0, &mut self.physics);
        let step_s = self.config.policy_step_s();
        let acceleration = (self.physics.linear_velocity_world - before) / step_s;
        let orientation = self.physics.orientation;
        self.accelerometer_mps2 =
            orientation.inverse_transform_vector(&(acceleration - self.config.gravity_mps2));
        self.measure();
    }

    fn measure(&mut self) {
        let mut state = match self.measured.len() > self.measurement_delay_steps {
            true => self.measured.pop_front(),
            false => None,
        }
        .unwrap_or_else(|| RobotState::zero(self.robot.num_joints(), self.robot.num_feet()));
        self.physics.write_robot_state(&mut state);
        state
            .joint_torque_nm
            .clone_from(&self.physics.joint_torque_nm);
        if let Some(reality) = &mut self.reality {
            let time_s = self.steps as f32 * self.config.policy_step_s();
            reality.sensors.measure(time_s, &mut state);
        }
        self.measured.push_back(state);
    }

    /// State after the last step; contacts are those of its last physics step.
    pub fn physics(&self) -> &PhysicsState {
        &self.physics
    }

    /// What its encoders and its IMU say: joints, orientation and angular velocity.
    pub fn measured(&self) -> &RobotState {
        // The first stands for those before it; there always is one.
        &self.measured[0]
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
