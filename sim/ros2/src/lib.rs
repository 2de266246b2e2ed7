//! A simulated robot behind the DDS topics of a Unitree Go2: motor commands in; state, laser scans or depth images, and
//! odometry out.
//!
//! ```
//! use robots::Robot;
//! use ros2::Ros2Config;
//! use sim::engine::PhysicsConfig;
//! use sim_ros2::Ros2Robot;
//!
//! let config = Ros2Config { domain: 97, interface: "lo".to_owned(), ..Ros2Config::default() };
//! let mut robot = Ros2Robot::new(&Robot::load("go1")?, &PhysicsConfig::default(), &config, 0.0)?;
//! // A program that keeps time does this every `STEP_S`.
//! robot.step();
//! assert_eq!(robot.commands(), (0, 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod camera;

use std::f32::consts::{PI, TAU};

use nalgebra::UnitQuaternion;
use policies::{RayScan, RaySpec};
use rand::RngExt as _;
use robots::{Robot, RobotState};
use ros2::{
    COMMAND_TOPIC, Delivery, MotorMap, MotorMapError, NetworkError, REQUEST_TOPIC, RESPONSE_TOPIC,
    RUN_STATE_TOPIC, RaySource, Ros, Ros2Config, STATE_TOPIC,
    messages::{
        BmsState, Header, ImuState, LaserScan, LowCmd, LowState, MotorCmd, MotorState, Odometry,
        Point, Pose, PoseWithCovariance, Quaternion, Request, Response, Text, Time, Twist,
        TwistWithCovariance, Vector3,
    },
    wall_ns,
};
use ros2_client::{Publisher, Subscription};
use sim::{
    engine::{EngineError, EpisodeStart, MotorRobot, MotorTarget, PhysicsConfig},
    random::{Stream, stream},
    scene::Obstacle,
    sensors::RayCaster,
};

use self::camera::CameraTopics;

/// Period of a step and of the state messages, s.
pub const STEP_S: f32 = 0.002;
/// Steps from one laser scan to the next: 50 Hz.
const SCAN_STEPS: u64 = 10;
/// Steps from one depth image to the next: 42 Hz.
const IMAGE_STEPS: u64 = 12;
/// Steps from one odometry to the next: 100 Hz.
const ODOMETRY_STEPS: u64 = 5;
/// Beams of a scan; half a degree apart.
const BEAMS: usize = 720;
/// Beams that are cast together.
const FAN: usize = 60;
/// Range of the laser, m.
const LASER_RANGE_M: f32 = 20.0;
/// Gains with which the sport mode holds the standing pose.
const SPORT_STIFFNESS: f32 = 60.0;
const SPORT_DAMPING: f32 = 3.0;
/// Damping of motors without a command, N·m·s/rad.
const IDLE_DAMPING: f32 = 1.0;

/// Why the robot cannot be simulated.
#[derive(Debug, thiserror::Error)]
pub enum Ros2RobotError {
    /// The engine refuses robot or scene.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The robot has other legs than the vendor's.
    #[error(transparent)]
    Motors(#[from] MotorMapError),
    /// The network cannot be joined.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

/// The robot and its topics. The caller keeps time: one [`step`](Self::step) every [`STEP_S`].
pub struct Ros2Robot {
    simulated: MotorRobot,
    robot: Robot,
    config: Ros2Config,
    map: MotorMap,
    obstacles: Vec<Obstacle>,
    laser: Vec<RayCaster>,
    fan: RayScan,
    steps: u64,
    /// The sport mode owns the joints, until it is asked to release them.
    owned: bool,
    targets: Vec<MotorTarget>,
    /// Fraction of messages that are lost, both ways.
    loss: f32,
    publishes_odometry: bool,
    stream: Stream,
    /// The state that the controlling program publishes.
    run_state: String,
    commands_taken: u64,
    commands_refused: u64,
    topics: Topics,
}

struct Topics {
    states: Publisher<LowState>,
    scans: Publisher<LaserScan>,
    /// For rays from depth images.
    camera: Option<CameraTopics>,
    odometry: Publisher<Odometry>,
    responses: Publisher<Response>,
    commands: Subscription<LowCmd>,
    requests: Subscription<Request>,
    run_state: Subscription<Text>,
    /// Keeps the node alive.
    _ros: Ros,
}

impl Ros2Robot {
    /// A robot that stands on empty ground, its joints owned by the sport mode.
    ///
    /// # Errors
    /// When the robot or the network cannot be used.
    pub fn new(
        robot: &Robot,
        physics: &PhysicsConfig,
        config: &Ros2Config,
        loss: f32,
    ) -> Result<Self, Ros2RobotError> {
        let physics = PhysicsConfig {
            step_s: STEP_S,
            decimation: 1,
            ..physics.clone()
        };
        let mut ros = Ros::open(&config.network(), "simulated_robot")?;
        let topics = Topics {
            states: ros.publish(STATE_TOPIC, Delivery::Newest)?,
            scans: ros.publish(&config.scan_topic, Delivery::Newest)?,
            camera: match (config.rays, &robot.camera) {
                (RaySource::Depth, Some(camera)) => {
                    Some(CameraTopics::new(&mut ros, camera, config)?)
                }
                _ => None,
            },
            odometry: ros.publish(&config.odometry_topic, Delivery::Newest)?,
            responses: ros.publish(RESPONSE_TOPIC, Delivery::Reliable)?,
            commands: ros.subscribe(COMMAND_TOPIC, Delivery::Newest)?,
            requests: ros.subscribe(REQUEST_TOPIC, Delivery::Reliable)?,
            run_state: ros.subscribe(RUN_STATE_TOPIC, Delivery::Reliable)?,
            _ros: ros,
        };
        let step_rad = TAU / BEAMS as f32;
        let fans = (0..BEAMS / FAN).map(|fan| {
            let first_rad = -PI + (fan * FAN) as f32 * step_rad;
            RayCaster::new(&RaySpec {
                count: FAN,
                first_rad,
                last_rad: first_rad + (FAN - 1) as f32 * step_rad,
                origin_x_m: 0.0,
                min_m: 0.01,
                max_m: LASER_RANGE_M,
                previous_steps: 0,
            })
        });
        Ok(Self {
            simulated: MotorRobot::new(robot, &physics)?,
            map: MotorMap::new(robot)?,
            robot: robot.clone(),
            config: config.clone(),
            obstacles: Vec::new(),
            laser: fans.collect(),
            fan: RayScan::default(),
            steps: 0,
            owned: true,
            targets: sport_targets(robot),
            loss,
            publishes_odometry: true,
            stream: stream(0, 0),
            run_state: String::new(),
            commands_taken: 0,
            commands_refused: 0,
            topics,
        })
    }

    /// The same without odometry: the controlling program has its own estimate only.
    #[must_use]
    pub fn without_odometry(mut self) -> Self {
        self.publishes_odometry = false;
        self
    }

    /// Puts the robot into another scene, standing, its joints owned by the sport mode again.
    ///
    /// # Errors
    /// When the engine refuses an obstacle.
    pub fn reset(&mut self, start: &EpisodeStart) -> Result<(), Ros2RobotError> {
        self.place(start)?;
        self.owned = true;
        self.targets = sport_targets(&self.robot);
        self.run_state.clear();
        Ok(())
    }

    /// Puts the robot into another scene, standing; the owner of its joints does not change.
    ///
    /// # Errors
    /// When the engine refuses an obstacle.
    pub fn place(&mut self, start: &EpisodeStart) -> Result<(), Ros2RobotError> {
        self.simulated.reset(start)?;
        self.obstacles.clone_from(&start.obstacles);
        Ok(())
    }

    /// Handles what has arrived, advances the robot by [`STEP_S`], and publishes what is due.
    pub fn step(&mut self) {
        self.take();
        self.simulated.step(&self.targets);
        self.steps += 1;
        let state = self.low_state();
        if !self.is_lost() {
            // Best effort, as the robot does it.
            let _ = self.topics.states.publish(state);
        }
        let stamp = Time::from_nanos(wall_ns());
        if self.publishes_odometry && self.steps.is_multiple_of(ODOMETRY_STEPS) && !self.is_lost() {
            let _ = self.topics.odometry.publish(self.odometry(stamp));
        }
        if self.steps.is_multiple_of(IMAGE_STEPS)
            && !self.is_lost()
            && let Some(camera) = &mut self.topics.camera
        {
            let time_s = self.steps as f32 * STEP_S;
            camera.publish(self.simulated.physics(), &self.obstacles, time_s, stamp);
        }
        if self.steps.is_multiple_of(SCAN_STEPS) {
            let scan = self.scan(stamp);
            if !self.is_lost() {
                let _ = self.topics.scans.publish(scan);
            }
        }
    }

    /// The robot in the simulation.
    pub fn simulated(&self) -> &MotorRobot {
        &self.simulated
    }

    /// The state that the controlling program publishes; empty before the first message.
    pub fn run_state(&self) -> &str {
        &self.run_state
    }

    /// Number of commands that were executed, and of those refused for a wrong checksum.
    pub fn commands(&self) -> (u64, u64) {
        (self.commands_taken, self.commands_refused)
    }

    fn is_lost(&mut self) -> bool {
        self.loss > 0.0 && self.stream.random::<f32>() < self.loss
    }

    fn take(&mut self) {
        while let Ok(Some((text, _))) = self.topics.run_state.take() {
            self.run_state = text.data;
        }
        while let Ok(Some((request, _))) = self.topics.requests.take() {
            let (code, data) = match request.header.identity.api_id {
                Request::CHECK_MODE if self.owned => (0, r#"{"form":"0","name":"normal"}"#),
                Request::CHECK_MODE => (0, r#"{"form":"0","name":""}"#),
                Request::RELEASE_MODE => {
                    if self.owned {
                        self.owned = false;
                        self.targets = idle_targets(&self.robot);
                    }
                    (0, "")
                }
                _ => (7001, ""),
            };
            let _ = self
                .topics
                .responses
                .publish(Response::new(&request, code, data));
        }
        while let Ok(Some((command, _))) = self.topics.commands.take() {
            if self.is_lost() {
                continue;
            }
            if command.crc != command.checksum() {
                self.commands_refused += 1;
                continue;
            }
            self.commands_taken += 1;
            if self.owned {
                continue;
            }
            for (target, &motor) in self.targets.iter_mut().zip(self.map.motors()) {
                *target = motor_target(&command.motor_cmd[motor]);
            }
        }
    }

    fn low_state(&self) -> LowState {
        let physics = self.simulated.physics();
        let orientation = &physics.orientation;
        let gyroscope = orientation.inverse_transform_vector(&physics.angular_velocity_world);
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
            tick: (self.steps as u32).wrapping_mul((STEP_S * 1e3) as u32),
            power_v: 29.0,
            ..LowState::default()
        };
        for (joint, &motor) in self.map.motors().iter().enumerate() {
            state.motor_state[motor] = MotorState {
                mode: MotorCmd::ENABLED,
                q: physics.joint_position_rad[joint],
                dq: physics.joint_velocity_radps[joint],
                tau_est: physics.joint_torque_nm[joint],
                temperature: 35,
                ..MotorState::default()
            };
        }
        for (force, &foot) in physics.foot_force_world.iter().zip(self.map.feet()) {
            // Saturates, as the sensor does.
            state.foot_force[foot] = force.norm() as i16;
        }
        state.sealed()
    }

    fn odometry(&self, stamp: Time) -> Odometry {
        let physics = self.simulated.physics();
        let orientation = &physics.orientation;
        let linear = orientation.inverse_transform_vector(&physics.linear_velocity_world);
        let angular = orientation.inverse_transform_vector(&physics.angular_velocity_world);
        let p = physics.position_world;
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
    fn scan(&mut self, stamp: Time) -> LaserScan {
        let physics = self.simulated.physics();
        let mut state = RobotState::zero(self.robot.num_joints(), self.robot.num_feet());
        state.position_world = physics.position_world;
        state.orientation = physics.orientation;
        let time_s = self.steps as f32 * STEP_S;
        let mut ranges = Vec::with_capacity(BEAMS);
        for caster in &self.laser {
            caster.cast(&state, &self.obstacles, time_s, &mut self.fan);
            let hit = |&distance_m: &f32| match distance_m < LASER_RANGE_M {
                true => distance_m,
                false => f32::INFINITY,
            };
            ranges.extend(self.fan.distance_m.iter().map(hit));
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
            scan_time: SCAN_STEPS as f32 * STEP_S,
            range_min: 0.0,
            range_max: LASER_RANGE_M,
            ranges,
            intensities: Vec::new(),
        }
    }
}

/// The target of a motor; the vendor's values for "no control" switch the term off.
fn motor_target(command: &MotorCmd) -> MotorTarget {
    if command.mode != MotorCmd::ENABLED {
        return MotorTarget {
            damping: IDLE_DAMPING,
            ..MotorTarget::default()
        };
    }
    let no_position = command.q == MotorCmd::NO_POSITION;
    let no_velocity = command.dq == MotorCmd::NO_VELOCITY;
    MotorTarget {
        position_rad: if no_position { 0.0 } else { command.q },
        velocity_radps: if no_velocity { 0.0 } else { command.dq },
        torque_nm: command.tau,
        stiffness: if no_position { 0.0 } else { command.kp },
        damping: if no_velocity { 0.0 } else { command.kd },
    }
}

fn sport_targets(robot: &Robot) -> Vec<MotorTarget> {
    let standing = robot.control.standing_position_rad.iter();
    standing
        .map(|&position_rad| MotorTarget {
            position_rad,
            stiffness: SPORT_STIFFNESS,
            damping: SPORT_DAMPING,
            ..MotorTarget::default()
        })
        .collect()
}

fn idle_targets(robot: &Robot) -> Vec<MotorTarget> {
    let idle = MotorTarget {
        damping: IDLE_DAMPING,
        ..MotorTarget::default()
    };
    vec![idle; robot.num_joints()]
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
