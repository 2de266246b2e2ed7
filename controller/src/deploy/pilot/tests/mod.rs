use nalgebra::{Point2, Vector3};
use policies::{
    Goal, Layout, Linear, PolicySpec, RayScan, RaySpec,
    observation::terms,
    spec::{NetworkSpec, Provenance},
};

use super::*;
use crate::deploy::{CycleInput, DriveConfig, GoalSample, OperatorSource, RobotSample};

mod drive;
mod faults;
mod identify;
mod inputs;
mod joints;
mod motor_probe;
mod operators;
mod random;
mod states;

const START_NS: u64 = 10_000_000_000;
/// Cycles in 40 ms.
const CYCLES_40_MS: usize = 20;

fn layers(widths: &[usize]) -> Vec<Linear> {
    let layer = |pair: &[usize]| Linear {
        weight: (0..pair[0] * pair[1])
            .map(|k| 0.05 * (k as f32).sin())
            .collect(),
        bias: vec![0.0; pair[1]],
        inputs: pair[0],
    };
    widths.windows(2).map(layer).collect()
}

fn bundle(robot: &Robot) -> Bundle {
    bundle_with(robot, &RaySpec::default())
}

fn bundle_with(robot: &Robot, rays: &RaySpec) -> Bundle {
    let mut bundle = Bundle::new(PolicySpec {
        illusion_margin_m: Some(0.3),
        ..PolicySpec::new(robot, rays, 0.02)
    });
    for (role, terms) in [
        (role::AGILE, terms::agile(rays)),
        (role::RECOVERY, terms::recovery()),
    ] {
        let spec = NetworkSpec::policy(role, terms, 0.25, Provenance::default());
        let inputs = Layout::new(&spec.observations, &bundle.spec.robot, rays)
            .unwrap()
            .dim();
        bundle
            .insert(role, spec, layers(&[inputs, 16, 12]))
            .unwrap();
    }
    bundle
}

fn config() -> DeployConfig {
    DeployConfig {
        method: Method::agile(),
        stand_up: StandUpConfig {
            // It has tests of its own.
            probe_motors: false,
            ..StandUpConfig::default()
        },
        ..DeployConfig::default()
    }
}

/// A pilot, and a robot whose joints are where they are commanded.
struct Rig {
    pilot: Pilot,
    record: CycleRecord,
    history: Vec<CycleRecord>,
}

impl Rig {
    fn new() -> Self {
        Self::with(&config())
    }

    fn with(config: &DeployConfig) -> Self {
        let robot = Robot::load("go1").unwrap();
        let controller = ControllerConfig::default();
        let pilot = Pilot::new(&robot, &bundle(&robot), &controller, config).unwrap();
        let mut record = CycleRecord::default();
        let input = &mut record.input;
        input.time_ns = START_NS;
        input.robot = RobotSample {
            crc_ok: true,
            publisher: 1,
            joint_position_rad: [0.0, 1.2, -2.4].into_iter().cycle().take(12).collect(),
            joint_velocity_radps: [0.0; 12].into_iter().collect(),
            joint_torque_nm: [0.0; 12].into_iter().collect(),
            motor_temperature_c: [40.0; 12].into_iter().collect(),
            imu_orientation_wxyz: [1.0, 0.0, 0.0, 0.0],
            imu_accelerometer_mps2: Vector3::new(0.0, 0.0, 9.81),
            battery_percent: 80,
            ..RobotSample::default()
        };
        input.scan.scan = RayScan::clear(&RaySpec::default());
        input.goal = GoalSample {
            received_ns: START_NS,
            goal: Goal {
                position_world: Point2::new(4.0, 1.0),
                heading_rad: 0.0,
            },
            duration_s: 5.0,
        };
        Self {
            pilot,
            record,
            history: Vec::new(),
        }
    }

    /// A cycle with fresh samples, changed by `corrupt`.
    fn cycle_with(&mut self, corrupt: impl FnOnce(&mut CycleInput)) -> State {
        let input = &mut self.record.input;
        input.time_ns += CYCLE_NS;
        let now_ns = input.time_ns;
        input.robot.received_ns = now_ns - 100_000;
        input.robot.tick += 1;
        input.scan.received_ns = now_ns - 100_000;
        input.odometry.received_ns = now_ns - 100_000;
        input.operators_heard_ns = [now_ns - 100_000; OperatorSource::COUNT];
        input.link_alive_ns = now_ns - 100_000;
        for (position, joint) in input
            .robot
            .joint_position_rad
            .iter_mut()
            .zip(&self.record.command.joints)
        {
            if joint.stiffness > 0.0 {
                *position = joint.position_rad;
            }
        }
        let good = input.clone();
        corrupt(input);
        self.pilot.cycle(&mut self.record);
        self.history.push(self.record.clone());
        self.record.input = CycleInput {
            cycle: good.cycle + 1,
            requests: RequestSet::default(),
            missed: 0,
            ..good
        };
        self.record.status.state
    }

    fn cycle(&mut self) -> State {
        self.cycle_with(|_| {})
    }

    fn request(&mut self, request: Request) -> State {
        self.cycle_with(|input| input.requests.insert(request))
    }

    fn cycles(&mut self, count: usize) -> State {
        (0..count).map(|_| self.cycle()).last().unwrap()
    }

    /// A rig that stands, after 2 s.
    fn ready() -> Self {
        let mut rig = Self::new();
        assert_eq!(rig.cycle(), State::Damping);
        assert_eq!(rig.request(Request::Stand), State::StandUp);
        assert_eq!(rig.cycles(999), State::StandUp);
        assert_eq!(rig.cycles(2), State::Ready);
        rig
    }

    fn running() -> Self {
        let mut rig = Self::ready();
        assert_eq!(rig.request(Request::Start), State::Run);
        assert_eq!(rig.cycles(100), State::Run);
        rig
    }

    /// Asserts that all joints are damped.
    #[track_caller]
    fn assert_damped(&self) {
        assert_eq!(self.record.command.joints.len(), 12);
        for joint in &self.record.command.joints {
            assert_eq!(
                (joint.mode, joint.stiffness, joint.damping),
                (1, 0.0, 2.0),
                "{}",
                self.record.status.state.name()
            );
            assert_eq!((joint.effort_nm, joint.velocity_radps), (0.0, 0.0));
            assert!(joint.position_rad.is_finite());
        }
    }
}

#[test]
fn replay_gives_the_same_commands_bit_for_bit() {
    let mut rig = Rig::running();
    rig.cycle_with(|input| faults::inject(Fault::Shape, input));
    rig.cycles(5);
    rig.request(Request::Stop);
    rig.request(Request::Stand);
    rig.cycles(1100);
    let mut replayed = Rig::new().pilot;
    for (cycle, logged) in rig.history.iter().enumerate() {
        let mut record = CycleRecord {
            input: logged.input.clone(),
            ..CycleRecord::default()
        };
        replayed.cycle(&mut record);
        assert_eq!(
            format!("{:?} {:?}", record.command, record.status),
            format!("{:?} {:?}", logged.command, logged.status),
            "cycle {cycle}"
        );
    }
}
