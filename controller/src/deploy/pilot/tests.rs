use nalgebra::{Point2, Vector3};
use policies::{
    Goal, Layout, Linear, PolicySpec, RaySpec,
    observation::terms,
    spec::{NetworkSpec, Provenance},
};

use super::*;
use crate::deploy::{CycleInput, FAULTS, Response, RobotSample};

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
    let mut bundle = Bundle::new(PolicySpec::new(robot, rays, 0.02));
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
        ..DeployConfig::default()
    }
}

/// A pilot and the simplest robot: its joints are where they are commanded.
struct Rig {
    pilot: Pilot,
    record: CycleRecord,
    history: Vec<CycleRecord>,
}

impl Rig {
    fn new() -> Self {
        let robot = Robot::load("go1").unwrap();
        let pilot = Pilot::new(
            &robot,
            &bundle(&robot),
            &ControllerConfig::default(),
            &config(),
        )
        .unwrap();
        let mut record = CycleRecord::default();
        let input = &mut record.input;
        input.time_ns = START_NS;
        input.robot = RobotSample {
            crc_ok: true,
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

    /// A cycle in which everything is fresh, apart from what `spoil` does to it.
    fn cycle_with(&mut self, spoil: impl FnOnce(&mut CycleInput)) -> State {
        let input = &mut self.record.input;
        input.time_ns += CYCLE_NS;
        let now_ns = input.time_ns;
        input.robot.received_ns = now_ns - 100_000;
        input.robot.tick += 1;
        input.scan.received_ns = now_ns - 100_000;
        input.odometry.received_ns = now_ns - 100_000;
        input.operator_heard_ns = now_ns - 100_000;
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
        spoil(input);
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

    /// Standing, after 2 s.
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

    /// All joints are damped, and nothing else.
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

/// Makes the input of a cycle show a fault.
fn inject(id: FaultId, input: &mut CycleInput) {
    // As far in the past as shows within 40 ms.
    let past = |age_ns: u64| START_NS.max(input.time_ns - age_ns);
    match id {
        FaultId::NoState => input.robot.received_ns = 0,
        FaultId::StaleState => input.robot.received_ns = 1,
        FaultId::StaleRays => input.scan.received_ns = past(310_000_000),
        FaultId::StaleOdometry => input.odometry.received_ns = past(310_000_000),
        FaultId::NotFinite => input.robot.imu_gyroscope_radps.y = f32::NAN,
        FaultId::WrongCrc => input.robot.crc_ok = false,
        // A roll of 1.1 rad.
        FaultId::Tilt => {
            input.robot.imu_orientation_wxyz = [0.55f32.cos(), 0.55f32.sin(), 0.0, 0.0];
        }
        // The calf of a Go1 goes from -2.818 to -0.888 rad.
        FaultId::JointLimit => input.robot.joint_position_rad[2] = -0.73,
        FaultId::MotorTemperature => input.robot.motor_temperature_c[7] = 86.0,
        FaultId::LowBattery => input.robot.battery_percent = 9,
        FaultId::MissedDeadlines => input.missed = 1,
        FaultId::LostOperator => input.operator_heard_ns = past(1_010_000_000),
        FaultId::LinkDead => input.link_alive_ns = past(31_000_000),
        FaultId::GoalRange => input.goal.goal.position_world.x = 10.1,
        FaultId::Shape => drop(input.scan.scan.distance_m.pop()),
        FaultId::Clock => input.time_ns = START_NS,
        FaultId::EmergencyStop => input.requests.insert(Request::EmergencyStop),
        FaultId::OtherRobot => panic!("never gets to a cycle"),
    }
}

#[test]
fn every_fault_leads_to_its_command_within_40_ms() {
    for row in &FAULTS {
        let id = row.id;
        // These two have tests of their own.
        if matches!(id, FaultId::OtherRobot | FaultId::NoState) {
            continue;
        }
        let mut rig = Rig::running();
        let expected = match row.response {
            Response::Stop => State::Stop,
            Response::LieDown => State::StopThenLieDown,
            Response::Damp => State::Fault,
            Response::NoStart => unreachable!(),
        };
        let cycles = (1..=CYCLES_40_MS)
            .find(|_| rig.cycle_with(|input| inject(id, input)) == expected)
            .unwrap_or_else(|| panic!("{id}: {}", rig.record.status.faults));
        assert!(
            rig.record.status.latched_faults.contains(id),
            "{id}: {}",
            rig.record.status.latched_faults
        );
        let immediate = !matches!(
            id,
            FaultId::StaleState | FaultId::WrongCrc | FaultId::MissedDeadlines
        );
        assert!(cycles == 1 || !immediate, "{id} took {cycles} cycles");
        match row.response {
            Response::Damp => rig.assert_damped(),
            Response::LieDown => {
                // 0.6 s of braking, 1.5 s of lying down.
                for _ in 0..299 {
                    rig.cycle_with(|input| inject(id, input));
                }
                assert_eq!(rig.record.status.state, State::StopThenLieDown, "{id}");
                for _ in 0..760 {
                    rig.cycle_with(|input| inject(id, input));
                }
                assert_eq!(rig.record.status.state, State::Damping, "{id}");
                rig.assert_damped();
            }
            Response::Stop => {
                let state = rig.cycles(310);
                assert_eq!(state, State::Ready);
            }
            Response::NoStart => {}
        }
    }
}

#[test]
fn f01_without_a_state_the_joints_are_damped_and_the_robot_does_not_stand_up() {
    let mut rig = Rig::new();
    for _ in 0..100 {
        let state = rig.cycle_with(|input| {
            inject(FaultId::NoState, input);
            input.requests.insert(Request::Stand);
        });
        assert_eq!(state, State::Damping);
        rig.assert_damped();
        assert!(rig.record.status.faults.contains(FaultId::NoState));
    }
}

#[test]
fn f18_a_bundle_of_another_robot_is_refused_before_the_first_command() {
    let bundle = bundle(&Robot::load("go1").unwrap());
    let go2 = Robot::load("go2").unwrap();
    let error = Pilot::new(&go2, &bundle, &ControllerConfig::default(), &config()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("go1") && text.contains("go2"), "{text}");
}

#[test]
fn after_a_fault_only_a_stop_when_it_is_over_gives_the_robot_back() {
    let mut rig = Rig::running();
    let tilt = |input: &mut CycleInput| inject(FaultId::Tilt, input);
    assert_eq!(rig.cycle_with(tilt), State::Fault);
    for request in Request::ALL {
        let state = rig.cycle_with(|input| {
            tilt(input);
            input.requests.insert(request);
        });
        assert_eq!(
            state,
            State::Fault,
            "{request:?} with the fault still there"
        );
    }
    assert_eq!(rig.cycles(100), State::Fault);
    assert_eq!(rig.request(Request::Stand), State::Fault);
    assert!(rig.record.status.faults.is_empty());
    assert!(rig.record.status.latched_faults.contains(FaultId::Tilt));
    assert_eq!(rig.request(Request::Stop), State::Damping);
    assert!(rig.record.status.latched_faults.is_empty());
    assert_eq!(rig.request(Request::Stand), State::StandUp);
}

#[test]
fn emergency_stop_works_in_every_state_and_from_the_remote() {
    let mut rig = Rig::new();
    rig.cycle();
    assert_eq!(rig.request(Request::EmergencyStop), State::Fault);
    rig.assert_damped();
    let mut rig = Rig::ready();
    assert_eq!(rig.request(Request::EmergencyStop), State::Fault);
    rig.assert_damped();
    let mut rig = Rig::running();
    // L2 and B.
    assert_eq!(
        rig.cycle_with(|input| input.robot.remote_buttons = 0x0220),
        State::Fault
    );
    rig.assert_damped();
}

#[test]
fn not_finite_input_of_every_kind_damps() {
    type Spoil = fn(&mut CycleInput);
    let spoils: [(&str, Spoil); 8] = [
        ("position", |i| i.robot.joint_position_rad[3] = f32::NAN),
        ("velocity", |i| {
            i.robot.joint_velocity_radps[3] = f32::INFINITY;
        }),
        ("torque", |i| i.robot.joint_torque_nm[3] = f32::NAN),
        ("rotation", |i| i.robot.imu_orientation_wxyz = [0.0; 4]),
        ("acceleration", |i| {
            i.robot.imu_accelerometer_mps2.x = f32::NAN;
        }),
        ("temperature", |i| i.robot.motor_temperature_c[0] = f32::NAN),
        ("ray", |i| i.scan.scan.distance_m[0] = f32::NAN),
        ("odometry", |i| i.odometry.position_world.x = f32::NAN),
    ];
    for (what, spoil) in spoils {
        let mut rig = Rig::running();
        assert_eq!(rig.cycle_with(spoil), State::Fault, "{what}");
        assert!(rig.record.status.faults.contains(FaultId::NotFinite));
        rig.assert_damped();
        // It is not remembered.
        assert_eq!(rig.cycles(2), State::Fault);
        assert!(rig.record.status.faults.is_empty(), "{what}");
    }
}

#[test]
fn a_state_that_comes_but_does_not_change_is_stale() {
    let mut rig = Rig::running();
    let frozen = rig.record.input.robot.clone();
    let cycles = (1..=CYCLES_40_MS)
        .find(|_| {
            rig.cycle_with(|input| {
                let received_ns = input.robot.received_ns;
                input.robot = frozen.clone();
                input.robot.received_ns = received_ns;
            }) == State::Fault
        })
        .unwrap();
    assert!(rig.record.status.faults.contains(FaultId::StaleState));
    assert!(cycles >= 10, "20 ms are allowed");
    // Without a counter, a robot that stands may well show the same numbers.
    let mut rig = Rig::ready();
    for _ in 0..100 {
        let state = rig.cycle_with(|input| input.robot.tick = 0);
        assert_eq!(state, State::Ready);
    }
}

#[test]
fn thirty_percent_lost_messages_are_no_fault() {
    let mut rig = Rig::running();
    let mut random = 1u32;
    let mut last = rig.record.input.robot.clone();
    for _ in 0..1000 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let lost = random >> 24 < 77;
        let state = rig.cycle_with(|input| {
            if lost {
                input.robot.clone_from(&last);
            }
            last.clone_from(&input.robot);
        });
        assert_eq!(state, State::Run, "{}", rig.record.status.faults);
    }
}

#[test]
fn missed_deadlines_are_forgiven_when_they_are_few() {
    let mut rig = Rig::running();
    // One in twenty-five, for 1.5 s.
    for cycle in 0..750 {
        let state = rig.cycle_with(|input| input.missed = u32::from(cycle % 25 == 0));
        assert_eq!(state, State::Run);
    }
    assert_eq!(rig.record.status.overruns, 30);
}

#[test]
fn a_run_ends_when_its_time_is_over_and_a_new_goal_prolongs_it() {
    let mut rig = Rig::running();
    assert_eq!(rig.record.status.mode, Some(crate::Mode::Agile));
    assert_eq!(rig.cycles(2380), State::Run);
    assert!(rig.record.status.time_left_s < 0.05);
    // After nearly 5 s another goal comes.
    let goal = GoalSample {
        received_ns: rig.record.input.time_ns,
        duration_s: 1.0,
        ..rig.record.input.goal.clone()
    };
    rig.record.input.goal = goal;
    assert_eq!(rig.cycles(490), State::Run);
    assert_eq!(rig.cycles(20), State::Stop);
    assert_eq!(rig.record.status.mode, Some(crate::Mode::Recovery));
    assert_eq!(rig.cycles(300), State::Ready);
    assert_eq!(rig.record.status.mode, None);
}

#[test]
fn a_policy_acts_every_tenth_cycle_and_its_target_is_held() {
    let mut rig = Rig::ready();
    rig.request(Request::Start);
    let first = rig.record.command.clone();
    let mut changes = Vec::new();
    let mut last = first;
    for cycle in 1..=40 {
        // The simplest robot is where it is commanded, so let it turn to give the policy something new.
        rig.cycle_with(|input| input.robot.imu_gyroscope_radps.z = 0.01 * cycle as f32);
        if rig.record.command.joints != last.joints {
            changes.push(cycle);
        }
        last = rig.record.command.clone();
    }
    assert_eq!(changes, [10, 20, 30, 40]);
    let robot = Robot::load("go1").unwrap();
    assert_eq!(last.joints[0].stiffness, robot.control.stiffness[0]);
}

#[test]
fn rays_that_end_behind_the_goal_are_seen_shortened_as_in_training() {
    let mut rig = Rig::ready();
    rig.record.input.goal.goal.position_world = Point2::new(1.0, 0.0);
    rig.record.input.scan.scan.distance_m[..3].fill(0.8);
    assert_eq!(rig.request(Request::Start), State::Run);
    let seen = &rig.pilot.seen_rays.distance_m;
    assert_eq!(seen[..3], [0.8; 3]);
    assert!(
        seen[3..].iter().all(|ray| (1.2..6.0).contains(ray)),
        "{seen:?}"
    );
    assert_eq!(rig.record.status.rays.distance_m[3..], [6.0; 8]);
}

#[test]
fn rays_beside_a_cameras_view_are_those_that_it_saw_before() {
    let (mut rig, robot) = (Rig::new(), Robot::load("go1").unwrap());
    let fan = RaySpec {
        count: 27,
        first_rad: -117_f32.to_radians(),
        last_rad: 117_f32.to_radians(),
        ..RaySpec::default()
    };
    let camera = RaySpec::default();
    let mut bundle = bundle_with(&robot, &fan);
    let spec = NetworkSpec::rays(&camera, Vec::new(), Provenance::default());
    bundle.insert(role::RAYS, spec, Vec::new()).unwrap();
    let (controller, config) = (ControllerConfig::default(), config());
    rig.pilot = Pilot::new(&robot, &bundle, &controller, &config).unwrap();
    let mut seen = RayScan::clear(&camera);
    seen.distance_m[10] = 1.0;
    rig.cycle_with(|input| input.scan.scan = seen);
    let rays = &rig.record.status.rays.distance_m;
    assert_eq!((rays.len(), rays[18]), (27, 1.0));
    // An eighth of a turn to the right: what was 45 degrees to the left is 90 degrees to the left.
    let half_rad = -22.5_f32.to_radians();
    rig.cycle_with(|input| {
        input.robot.imu_orientation_wxyz = [half_rad.cos(), 0.0, 0.0, half_rad.sin()];
        input.scan.scan = RayScan::clear(&camera);
    });
    let rays = &rig.record.status.rays.distance_m;
    let nearest = |rays: &[f32]| rays.iter().copied().fold(f32::INFINITY, f32::min);
    assert!((rays[23] - 1.0).abs() < 0.1, "{rays:?}");
    assert_eq!(nearest(&rays[..18]), 6.0);

    // A scanner that sees the whole fan needs no memory; any other number of rays is a fault.
    rig.cycle_with(|input| input.scan.scan = RayScan::clear(&fan));
    assert_eq!(nearest(&rig.record.status.rays.distance_m), 6.0);
    rig.cycle_with(|input| input.scan.scan.distance_m.clear());
    assert!(rig.record.status.faults.contains(FaultId::Shape));
}

#[test]
fn the_last_command_before_the_motors_is_limited() {
    // The robot stands up from a pose at a stop, with a leg that does not follow.
    let mut rig = Rig::new();
    rig.cycle();
    rig.request(Request::Stand);
    let mut limited = false;
    for _ in 0..1000 {
        rig.cycle_with(|input| input.robot.joint_position_rad[2] = -0.9);
        limited |= rig.record.status.limited.effort;
        let joint = rig.record.command.joints[2];
        // The calf motor of a Go1 has 35.55 N·m, and a quarter more may be asked for.
        let effort_nm = joint.stiffness * (joint.position_rad + 0.9);
        assert!(effort_nm.abs() <= 1.25 * 35.55 + 1e-2, "{effort_nm}");
    }
    assert!(limited);
}

#[test]
fn the_log_run_again_gives_the_same_commands_bit_for_bit() {
    let mut rig = Rig::running();
    rig.cycle_with(|input| inject(FaultId::Shape, input));
    rig.cycles(5);
    rig.request(Request::Stop);
    rig.request(Request::Stand);
    rig.cycles(1100);
    let mut again = Rig::new().pilot;
    for (cycle, logged) in rig.history.iter().enumerate() {
        let mut record = CycleRecord {
            input: logged.input.clone(),
            ..CycleRecord::default()
        };
        again.cycle(&mut record);
        assert_eq!(
            format!("{:?} {:?}", record.command, record.status),
            format!("{:?} {:?}", logged.command, logged.status),
            "cycle {cycle}"
        );
    }
}
