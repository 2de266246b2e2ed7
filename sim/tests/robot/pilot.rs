//! A whole run from lying to lying, at 500 Hz, with noisy sensors and nothing but them.

use std::path::Path;

use controller::{
    ControllerConfig, Method,
    deploy::{
        CYCLE_NS, CycleRecord, DeployConfig, GoalSample, Pilot, Request, RequestSet, State,
        TwistSample,
    },
};
use nalgebra::{Point2, Vector3};
use policies::{Bundle, Goal, Twist};
use robots::{JointVec, Robot, RobotState};
use sim::{
    engine::{Engine, EpisodeStart, PhysicsConfig, PhysicsState, RapierEngine},
    scene::Obstacle,
    sensors::RayCaster,
};

use crate::sensors::Sensors;

const CYCLE_S: f32 = CYCLE_NS as f32 * 1e-9;

struct Rig {
    pilot: Pilot,
    engine: RapierEngine,
    sensors: Sensors,
    caster: RayCaster,
    obstacles: Vec<Obstacle>,
    truth: PhysicsState,
    state: RobotState,
    record: CycleRecord,
    /// Forces on base, thighs and calves in this cycle, N.
    collision_n: f32,
}

impl Rig {
    /// A Go1 that lies with folded legs before one cylinder.
    fn new() -> Self {
        let cylinder = Obstacle::cylinder(2.2, 0.9, 0.4, 1.0);
        Self::with("go1", Method::Abs, vec![cylinder])
    }

    /// A Go1 that lies with folded legs among obstacles, and runs this shipped bundle.
    fn with(bundle: &str, method: Method, obstacles: Vec<Obstacle>) -> Self {
        let robot = Robot::load("go1").expect("go1");
        let bundles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/bundles");
        let bundle = Bundle::load(&bundles.join(bundle)).expect("the shipped bundle");
        let config = DeployConfig {
            method,
            ..DeployConfig::default()
        };
        let pilot = Pilot::new(&robot, &bundle, &ControllerConfig::default(), &config)
            .expect("it fits the robot");
        let physics = PhysicsConfig {
            step_s: CYCLE_S,
            decimation: 1,
            ..PhysicsConfig::default()
        };
        let mut engine = RapierEngine::new(&robot, &physics, 1).expect("rapier");
        let mut start = EpisodeStart::standing(&robot);
        start.joint_position_rad.clone_from(pilot.crouch_rad());
        start.position_world.z = robot.height_over_feet_m(&start.joint_position_rad);
        start.obstacles.clone_from(&obstacles);
        engine.reset(0, &start).expect("scene");
        let mut truth = PhysicsState::zero(&robot);
        engine.read(0, &mut truth);
        let mut record = CycleRecord::default();
        record.input.time_ns = 1_000_000_000;
        record.input.scan.scan.distance_m = [6.0; 11].into_iter().collect();
        Self {
            pilot,
            engine,
            sensors: Sensors::new(true, 3),
            caster: RayCaster::new(&bundle.spec.rays),
            obstacles,
            truth,
            state: RobotState::zero(12, 4),
            record,
            collision_n: 0.0,
        }
    }

    /// Runs so many cycles; the request comes in the first of them.
    fn cycles(&mut self, count: usize, request: Option<Request>) -> State {
        for index in 0..count {
            let input = &mut self.record.input;
            input.time_ns += CYCLE_NS;
            input.requests = RequestSet::default();
            if let (0, Some(request)) = (index, request) {
                input.requests.insert(request);
            }
            let now_ns = input.time_ns;
            (input.operators_heard_ns, input.link_alive_ns) = ([0, now_ns, 0], now_ns);
            let tick = input.robot.tick + 1;
            input.robot = self.sensors.sample(&self.truth, CYCLE_S);
            input.robot.tick = tick;
            input.robot.crc_ok = true;
            input.robot.received_ns = now_ns;
            if input.cycle.is_multiple_of(20) {
                self.truth.write_robot_state(&mut self.state);
                self.caster
                    .cast(&self.state, &self.obstacles, 0.0, &mut input.scan.scan);
                input.scan.received_ns = now_ns;
            }
            self.pilot.cycle(&mut self.record);
            self.record.input.cycle += 1;
            assert!(
                self.record.status.latched_faults.is_empty(),
                "{} in {}",
                self.record.status.latched_faults,
                self.record.status.state.name()
            );
            // The engine has gains of its own; where there is no stiffness the joints are left where they are.
            let joints = self.record.command.joints.iter();
            let target: JointVec = joints
                .zip(&self.truth.joint_position_rad)
                .map(|(joint, &now_rad)| {
                    if joint.stiffness > 0.0 {
                        joint.position_rad
                    } else {
                        now_rad
                    }
                })
                .collect();
            self.engine.step(&target);
            self.engine.read(0, &mut self.truth);
            let limbs = self
                .truth
                .thigh_force_n
                .iter()
                .chain(&self.truth.calf_force_n);
            self.collision_n = limbs.copied().fold(self.truth.base_force_n, f32::max);
        }
        self.record.status.state
    }

    fn goal(&mut self, x_m: f32, y_m: f32, duration_s: f32) {
        self.record.input.goal = GoalSample {
            received_ns: self.record.input.time_ns,
            goal: Goal {
                position_world: Point2::new(x_m, y_m),
                heading_rad: 0.0,
            },
            duration_s,
        };
    }

    /// Follows a twist for 2 s, and returns the mean velocity in the base frame and the mean yaw rate in the second half.
    fn follow(&mut self, twist: [f32; 3]) -> [f32; 3] {
        const HALF: usize = 500;
        let mut sum = Vector3::zeros();
        for cycle in 0..2 * HALF {
            let [vx_mps, vy_mps, yaw_rate_radps] = twist;
            self.record.input.twist = TwistSample {
                received_ns: self.record.input.time_ns,
                twist: Twist {
                    vx_mps,
                    vy_mps,
                    yaw_rate_radps,
                },
            };
            assert_eq!(self.cycles(1, None), State::Run);
            if cycle >= HALF {
                self.truth.write_robot_state(&mut self.state);
                let linear = self.state.linear_velocity_base;
                let yaw_rate = self.state.angular_velocity_base.z;
                sum += Vector3::new(linear.x, linear.y, yaw_rate);
            }
        }
        (sum / HALF as f32).into()
    }

    fn height_m(&self) -> f32 {
        self.truth.position_world.z
    }

    fn speed_mps(&self) -> f32 {
        self.truth.linear_velocity_world.norm()
    }

    /// Cosine of the tilt.
    fn upright(&self) -> f32 {
        (self.truth.orientation * Vector3::z()).z
    }

    fn stand_up(&mut self) {
        assert_eq!(self.cycles(50, None), State::Damping);
        assert!(self.height_m() < 0.2, "it lies: {}", self.height_m());
        self.cycles(1, Some(Request::Stand));
        assert_eq!(self.cycles(1500, None), State::Ready);
        assert!(self.height_m() > 0.24, "it stands: {}", self.height_m());
    }
}

#[test]
fn from_lying_to_the_goal_and_back_to_lying() {
    let mut rig = Rig::new();
    rig.stand_up();
    rig.goal(4.0, 0.5, 5.0);
    assert_eq!(rig.cycles(1, Some(Request::Start)), State::Run);
    let mut fastest_mps: f32 = 0.0;
    while rig.cycles(1, None) == State::Run {
        assert!(
            rig.collision_n < 1.0,
            "it collides with {} N",
            rig.collision_n
        );
        fastest_mps = fastest_mps.max(rig.speed_mps());
    }
    let missed_m = (rig.truth.position_world.xy() - Point2::new(4.0, 0.5)).norm();
    println!("{missed_m} m from the goal, at most {fastest_mps} m/s");
    assert!(
        missed_m < 0.65 && fastest_mps > 1.5,
        "{missed_m} {fastest_mps}"
    );
    assert_eq!(rig.record.status.state, State::Stop);
    assert_eq!(rig.cycles(1000, None), State::Ready);
    let (speed_mps, height_m) = (rig.speed_mps(), rig.height_m());
    println!("stands at {height_m} m, {speed_mps} m/s");
    assert!(speed_mps < 0.1 && height_m > 0.22, "{speed_mps} {height_m}");
    assert_eq!(rig.cycles(1, Some(Request::LieDown)), State::LieDown);
    assert_eq!(rig.cycles(1500, None), State::Damping);
    assert!(rig.height_m() < 0.2 && rig.upright() > 0.95);
}

#[test]
fn a_robot_that_is_told_to_lie_down_while_it_runs_brakes_and_does_not_fall() {
    let mut rig = Rig::new();
    rig.stand_up();
    rig.goal(7.0, 0.0, 5.0);
    rig.cycles(1, Some(Request::Start));
    assert_eq!(rig.cycles(750, None), State::Run);
    assert!(rig.speed_mps() > 1.5, "it runs: {}", rig.speed_mps());
    assert_eq!(
        rig.cycles(1, Some(Request::LieDown)),
        State::StopThenLieDown
    );
    let mut upright: f32 = 1.0;
    for _ in 0..1500 {
        rig.cycles(1, None);
        upright = upright.min(rig.upright());
    }
    assert_eq!(rig.record.status.state, State::Damping);
    println!("least upright {upright}");
    assert!(upright > 0.85, "{upright}");
    assert!(rig.height_m() < 0.2 && rig.speed_mps() < 0.1);
}

#[test]
fn a_robot_that_is_driven_follows_each_twist_and_halts() {
    let velocity = "velocity".parse().expect("a role");
    let mut rig = Rig::with("go1-velocity", velocity, Vec::new());
    rig.stand_up();
    assert_eq!(rig.cycles(1, Some(Request::Start)), State::Run);
    for twist in [
        [0.0, 0.0, 0.0],
        [0.5, 0.0, 0.0],
        [2.0, 0.0, 0.0],
        [0.0, 0.0, 0.0],
        [-1.0, 0.0, 0.0],
        [0.0, 0.5, 0.0],
        [0.0, 0.0, 1.0],
        [1.0, 0.0, -1.0],
        [0.0, 0.0, 0.0],
    ] {
        let followed = rig.follow(twist);
        println!("{twist:?}: {followed:.2?}");
        for (commanded, followed) in twist.iter().zip(followed) {
            assert!((commanded - followed).abs() < 0.3, "{twist:?} {followed}");
        }
        assert!(rig.upright() > 0.9);
    }
    // From its largest speed it brakes by the same policy.
    rig.follow([2.0, 0.0, 0.0]);
    assert_eq!(rig.cycles(1, Some(Request::Stop)), State::Stop);
    assert_eq!(rig.cycles(1000, None), State::Ready);
    let (speed_mps, height_m) = (rig.speed_mps(), rig.height_m());
    assert!(speed_mps < 0.1 && height_m > 0.22, "{speed_mps} {height_m}");
}
