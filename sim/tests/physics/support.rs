//! Robots, scenes and small helpers of the physics tests.

use nalgebra::{Matrix3, Point3, Vector3};
use robots::{CollisionShape, ContactClass, JointVec, Robot, Shape};
use sim::engine::{Engine, EpisodeStart, PhysicsConfig, PhysicsState};

/// Builds the engine under test.
pub type Make = fn(&Robot, &PhysicsConfig, usize) -> Box<dyn Engine>;

pub const GRAVITY: f32 = 9.81;

pub fn go1() -> Robot {
    Robot::load("go1").expect("go1")
}

pub fn weightless() -> PhysicsConfig {
    PhysicsConfig {
        gravity_mps2: Vector3::zeros(),
        ..PhysicsConfig::default()
    }
}

/// One policy step per physics step.
pub fn every_step(mut config: PhysicsConfig) -> PhysicsConfig {
    config.decimation = 1;
    config
}

/// go1 on a base of two tonnes, with legs that touch nothing, have no friction or damping and are held straight down by
/// very strong motors, but for the knee of the first leg, whose calf is a pendulum: an independent hinge.
pub struct Hinge {
    pub robot: Robot,
    /// Mass of the pendulum, kg.
    pub mass_kg: f32,
    /// Distance of its centre of mass from the hinge, m.
    pub length_m: f32,
    /// Inertia about the hinge, rotor included, kg·m².
    pub inertia_kgm2: f32,
}

/// The joint of the pendulum.
pub const KNEE: usize = 2;

pub fn hinge() -> Hinge {
    let mut robot = go1();
    robot.base.link.mass_kg = 2000.0;
    robot.base.link.com = Point3::origin();
    robot.base.link.inertia_kgm2 = Matrix3::from_diagonal_element(1000.0);
    let box_of = |half_extents| CollisionShape {
        origin: nalgebra::Isometry3::identity(),
        shape: Shape::Box { half_extents },
        class: ContactClass::Base,
    };
    robot.base.link.shapes = vec![box_of(Vector3::new(0.5, 0.5, 0.6))];
    for joint in robot.legs.iter_mut().flat_map(|leg| &mut leg.joints) {
        joint.link.shapes.clear();
        joint.damping_nms = 0.0;
        joint.friction_nm = 0.0;
        (joint.lower_rad, joint.upper_rad) = (-6.0, 6.0);
        joint.effort_limit_nm = 1e5;
        joint.velocity_limit_radps = 1e4;
    }
    let calf = &mut robot.legs[0].joints[KNEE].link;
    calf.com = Point3::new(0.0, 0.0, -0.12);
    calf.inertia_kgm2 = Matrix3::from_diagonal_element(0.003);
    let (mass_kg, length_m) = (calf.mass_kg, 0.12);
    let inertia_kgm2 =
        0.003 + mass_kg * length_m * length_m + robot.legs[0].joints[KNEE].armature_kgm2;
    robot.control.stiffness.fill(1e5);
    robot.control.damping.fill(1e3);
    robot.control.stiffness[KNEE] = 0.0;
    robot.control.damping[KNEE] = 0.0;
    Hinge {
        robot,
        mass_kg,
        length_m,
        inertia_kgm2,
    }
}

impl Hinge {
    /// At rest on the ground, all joints at zero.
    pub fn start(&self) -> EpisodeStart {
        let mut start = EpisodeStart::standing(&self.robot);
        start.position_world.z = 0.6;
        start.joint_position_rad = zeros(&self.robot);
        start
    }
}

pub fn zeros(robot: &Robot) -> JointVec {
    std::iter::repeat_n(0.0, robot.num_joints()).collect()
}

/// One robot, started.
pub struct Single {
    pub engine: Box<dyn Engine>,
    pub state: PhysicsState,
}

impl Single {
    pub fn new(make: Make, robot: &Robot, config: &PhysicsConfig, start: &EpisodeStart) -> Self {
        let mut engine = make(robot, config, 1);
        engine.reset(0, start).expect("scene");
        let mut state = PhysicsState::zero(robot);
        engine.read(0, &mut state);
        Self { engine, state }
    }

    pub fn step(&mut self, target_rad: &[f32]) -> &PhysicsState {
        self.engine.step(target_rad);
        self.engine.read(0, &mut self.state);
        &self.state
    }

    /// Steps for some time with one target.
    pub fn run(&mut self, policy_steps: usize, target_rad: &[f32]) -> &PhysicsState {
        for _ in 0..policy_steps {
            self.engine.step(target_rad);
        }
        self.engine.read(0, &mut self.state);
        &self.state
    }

    pub fn total_foot_force(&self) -> Vector3<f32> {
        self.state.foot_force_world.iter().sum()
    }
}

pub fn assert_close(actual: f32, expected: f32, tolerance: f32, what: &str) {
    assert!(
        (actual - expected).abs() <= tolerance,
        "{what}: {actual}, expected {expected} within {tolerance}"
    );
}
