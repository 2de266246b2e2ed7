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
//! // A program that keeps time does this every `STEP_S` seconds.
//! robot.step();
//! assert_eq!(robot.commands(), (0, 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod camera;
mod publish;

use std::f32::consts::{PI, TAU};

use policies::{RayScan, RaySpec};
use rand::RngExt as _;
use robots::Robot;
use ros2::{
    COMMAND_TOPIC, Delivery, MotorMap, MotorMapError, NetworkError, REQUEST_TOPIC, RESPONSE_TOPIC,
    RUN_STATE_TOPIC, RaySource, Ros, Ros2Config, STATE_TOPIC,
    messages::{LaserScan, LowCmd, LowState, MotorCmd, Odometry, Request, Response, Text, Time},
    wall_ns,
};
use ros2_client::{Publisher, Subscription};
use sim::{
    engine::{EngineError, EngineKind, EpisodeStart, MotorRobot, MotorTarget, PhysicsConfig},
    random::{Stream, stream},
    reality::RealityConfig,
    scene::Obstacle,
    sensors::RayCaster,
};

use self::camera::CameraTopics;

/// Period of a step and of the state messages, s.
pub const STEP_S: f32 = 0.002;
/// The same of a bare robot, s.
const BARE_STEP_S: f32 = 0.005;
/// A stop of a bare robot gives way by this under the effort limit, rad.
const BARE_STOP_GIVES_RAD: f32 = 0.166;
/// Friction of a bare robot's feet.
const BARE_FRICTION: f32 = 0.4;
/// Physics steps within a step on a stand, where no contact limits them: motors regulate faster than they are told.
const FINE_STEPS: usize = 8;
/// Time from one laser scan to the next, s.
const SCAN_S: f32 = 0.02;
/// Time from one depth image to the next, s.
const IMAGE_S: f32 = 0.024;
/// Time from one odometry to the next, s.
const ODOMETRY_S: f32 = 0.01;
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

/// What is wrong with the robot and its sensors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SensorFaults {
    /// It publishes no states.
    pub silent: bool,
    /// It publishes the same state again and again.
    pub frozen: bool,
    /// A joint turns with 10^6 rad/s, it says.
    pub impossible_velocity: bool,
    /// The position of a joint is NaN.
    pub not_a_number: bool,
    /// The checksums of its states are wrong.
    pub wrong_checksum: bool,
    /// It publishes no scans.
    pub no_scans: bool,
    /// Its scans have no valid beam.
    pub blind: bool,
    /// It publishes no odometry.
    pub no_odometry: bool,
    /// Its odometry jumps by 3 m and back, five times a second.
    pub jumping_odometry: bool,
    /// The motors of the first two legs get each other's commands.
    pub swapped_motors: bool,
}

/// The robot and its topics. The caller keeps time: one [`step`](Self::step) every [`step_s`](Self::step_s).
pub struct Ros2Robot {
    simulated: MotorRobot,
    robot: Robot,
    config: Ros2Config,
    map: MotorMap,
    obstacles: Vec<Obstacle>,
    laser: Vec<RayCaster>,
    fan: RayScan,
    /// Period of a step, s.
    step_s: f32,
    steps: u64,
    /// The sport mode owns the joints, until it is asked to release them.
    owned: bool,
    targets: Vec<MotorTarget>,
    /// Fraction of messages that are lost, both ways.
    loss: f32,
    faults: SensorFaults,
    /// As simple simulators are.
    is_bare: bool,
    /// The last state, for one that is frozen.
    last_state: Option<LowState>,
    /// Step of the last command.
    commanded: u64,
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
                ..RaySpec::default()
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
            step_s: STEP_S,
            steps: 0,
            owned: true,
            targets: sport_targets(robot),
            loss,
            faults: SensorFaults::default(),
            is_bare: false,
            last_state: None,
            commanded: 0,
            stream: stream(0, 0),
            run_state: String::new(),
            commands_taken: 0,
            commands_refused: 0,
            topics,
        })
    }

    /// As simple simulators are: steps and states at 200 Hz, without counter, checksum and foot forces, no sport mode, stops
    /// that give way, and a smooth floor.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn bare(
        robot: &Robot,
        physics: &PhysicsConfig,
        config: &Ros2Config,
        loss: f32,
    ) -> Result<Self, Ros2RobotError> {
        let mut bare = Self::new(robot, physics, config, loss)?;
        let physics = PhysicsConfig {
            step_s: BARE_STEP_S,
            decimation: 1,
            ..physics.clone()
        };
        bare.simulated = MotorRobot::new(robot, &physics)?;
        bare.simulated.soften_stops(BARE_STOP_GIVES_RAD)?;
        bare.step_s = BARE_STEP_S;
        bare.is_bare = true;
        bare.owned = false;
        Ok(bare)
    }

    /// Period of a step and of the state messages, s.
    pub fn step_s(&self) -> f32 {
        self.step_s
    }

    /// Whether what happens every `period_s` is due in this step.
    fn is_due(&self, period_s: f32) -> bool {
        let steps = (period_s / self.step_s).round() as u64;
        self.steps.is_multiple_of(steps)
    }

    /// The robot on a stand in an engine, its physics in finer steps; [`reset`](Self::reset) has to put it there.
    ///
    /// # Errors
    /// When the engine refuses the robot.
    pub fn on_stand(
        mut self,
        engine: EngineKind,
        physics: &PhysicsConfig,
    ) -> Result<Self, Ros2RobotError> {
        let physics = PhysicsConfig {
            step_s: STEP_S / FINE_STEPS as f32,
            decimation: FINE_STEPS,
            ..physics.clone()
        };
        self.simulated = MotorRobot::with_engine(engine, &self.robot, &physics)?;
        Ok(self)
    }

    /// A robot that differs from the simulation from the next [`reset`](Self::reset) on, drawn by a seed: motors, joints, masses,
    /// delays, encoders, IMU.
    #[must_use]
    pub fn with_reality(mut self, reality: &RealityConfig, seed: u64) -> Self {
        self.simulated = self.simulated.with_reality(reality, seed);
        self
    }

    /// What is wrong with the robot and its sensors from now on.
    pub fn set_faults(&mut self, faults: SensorFaults) {
        self.faults = faults;
    }

    /// Time since the last command, s.
    pub fn command_age_s(&self) -> f32 {
        (self.steps - self.commanded) as f32 * self.step_s
    }

    /// Whether a command holds a joint at a position.
    pub fn is_held(&self) -> bool {
        !self.owned && self.targets.iter().any(|target| target.stiffness > 0.0)
    }

    /// Puts the robot into another scene, standing, its joints owned by the sport mode again.
    ///
    /// # Errors
    /// When the engine refuses an obstacle.
    pub fn reset(&mut self, start: &EpisodeStart) -> Result<(), Ros2RobotError> {
        self.place(start)?;
        self.owned = !self.is_bare;
        self.targets = sport_targets(&self.robot);
        self.run_state.clear();
        Ok(())
    }

    /// Puts the robot into another scene, standing; the owner of its joints does not change.
    ///
    /// # Errors
    /// When the engine refuses an obstacle.
    pub fn place(&mut self, start: &EpisodeStart) -> Result<(), Ros2RobotError> {
        let mut start = start.clone();
        if self.is_bare {
            start.dynamics.friction = BARE_FRICTION;
        }
        self.simulated.reset(&start)?;
        self.obstacles = start.obstacles;
        Ok(())
    }

    /// Handles what has arrived, advances the robot by [`step_s`](Self::step_s), and publishes what is due.
    pub fn step(&mut self) {
        self.take();
        self.simulated.step(&self.targets);
        self.steps += 1;
        if !self.faults.silent && !self.is_lost() {
            let state = match (self.faults.frozen, &self.last_state) {
                (true, Some(state)) => state.clone(),
                _ => self.low_state(),
            };
            self.last_state = Some(state.clone());
            // Best effort, as the robot does it.
            let _ = self.topics.states.publish(state);
        }
        let stamp = Time::from_nanos(wall_ns());
        if self.is_due(ODOMETRY_S) && !self.faults.no_odometry && !self.is_lost() {
            let _ = self.topics.odometry.publish(self.odometry(stamp));
        }
        if self.is_due(IMAGE_S)
            && !self.is_lost()
            && let Some(camera) = &mut self.topics.camera
        {
            let time_s = self.steps as f32 * self.step_s;
            camera.publish(self.simulated.physics(), &self.obstacles, time_s, stamp);
        }
        if self.is_due(SCAN_S) {
            let scan = self.scan(stamp);
            if !self.faults.no_scans && !self.is_lost() {
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
            if self.is_bare {
                continue;
            }
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
            self.commanded = self.steps;
            if self.owned {
                continue;
            }
            for (target, &motor) in self.targets.iter_mut().zip(self.map.motors()) {
                *target = motor_target(&command.motor_cmd[motor]);
            }
            if self.faults.swapped_motors {
                let per_leg = self.targets.len() / self.robot.num_feet();
                let (first, others) = self.targets.split_at_mut(per_leg);
                first.swap_with_slice(&mut others[..per_leg]);
            }
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
