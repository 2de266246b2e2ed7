use super::*;
use crate::deploy::faults::{FAULTS, Response};

/// Makes the input of a cycle show a fault.
pub(super) fn inject(id: Fault, input: &mut CycleInput) {
    // Old enough to be detected within 40 ms.
    let past = |age_ns: u64| START_NS.max(input.time_ns - age_ns);
    match id {
        Fault::NoState => input.robot.received_ns = 0,
        Fault::StaleState => input.robot.received_ns = 1,
        Fault::StaleRays => input.scan.received_ns = past(310_000_000),
        Fault::StaleOdometry => input.odometry.received_ns = past(310_000_000),
        Fault::NotFinite => input.robot.imu_gyroscope_radps.y = f32::NAN,
        Fault::WrongCrc => input.robot.crc_ok = false,
        // A roll of 1.1 rad.
        Fault::Tilt => {
            input.robot.imu_orientation_wxyz = [0.55f32.cos(), 0.55f32.sin(), 0.0, 0.0];
        }
        Fault::MotorTemperature => input.robot.motor_temperature_c[7] = 86.0,
        Fault::LowBattery => input.robot.battery_percent = 9,
        Fault::MissedDeadlines => input.missed = 1,
        Fault::LostOperator => input.operators_heard_ns[1] = past(1_010_000_000),
        Fault::LinkDead => input.link_alive_ns = past(31_000_000),
        Fault::GoalRange => input.goal.goal.position_world.x = 10.1,
        Fault::Shape => drop(input.scan.scan.distance_m.pop()),
        Fault::Clock => input.time_ns = START_NS,
        Fault::EmergencyStop => input.requests.insert(Request::EmergencyStop),
        Fault::OtherRobot => panic!("no pilot is made"),
        Fault::ImplausibleState => input.robot.joint_velocity_radps[4] = 1e6,
        Fault::ForeignState => input.robot.publisher = 2,
        Fault::SecondCommander => input.second_commander = true,
        Fault::ImplausibleOdometry => input.odometry.linear_velocity_base.x = 9.0,
        Fault::JointLimit | Fault::JointStop | Fault::MotorDoesNotFollow | Fault::WrongMotor => {
            panic!("takes longer than a cycle")
        }
    }
}

#[test]
fn every_fault_leads_to_its_command_within_40_ms() {
    for row in &FAULTS {
        let id = row.id;
        // They have tests of their own.
        if matches!(
            id,
            Fault::OtherRobot
                | Fault::NoState
                | Fault::JointLimit
                | Fault::JointStop
                | Fault::MotorDoesNotFollow
                | Fault::WrongMotor
        ) {
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
            Fault::StaleState | Fault::WrongCrc | Fault::MissedDeadlines | Fault::ImplausibleState
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
            inject(Fault::NoState, input);
            input.requests.insert(Request::Stand);
        });
        assert_eq!(state, State::Damping);
        rig.assert_damped();
        assert!(rig.record.status.faults.contains(Fault::NoState));
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
fn after_a_fault_the_robot_obeys_again_only_after_a_stop() {
    let mut rig = Rig::running();
    let tilt = |input: &mut CycleInput| inject(Fault::Tilt, input);
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
    assert!(rig.record.status.latched_faults.contains(Fault::Tilt));
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
    type Corrupt = fn(&mut CycleInput);
    let corrupts: [(&str, Corrupt); 8] = [
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
    for (what, corrupt) in corrupts {
        let mut rig = Rig::running();
        assert_eq!(rig.cycle_with(corrupt), State::Fault, "{what}");
        assert!(rig.record.status.faults.contains(Fault::NotFinite));
        rig.assert_damped();
        // The value is not kept.
        assert_eq!(rig.cycles(2), State::Fault);
        assert!(rig.record.status.faults.is_empty(), "{what}");
    }
}

#[test]
fn a_state_that_arrives_but_does_not_change_is_stale() {
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
    assert!(rig.record.status.faults.contains(Fault::StaleState));
    assert!(cycles >= 10, "20 ms are allowed");
    // Without a counter, a standing robot may send equal states.
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
fn few_missed_deadlines_are_forgiven() {
    let mut rig = Rig::running();
    // One in twenty-five, for 1.5 s.
    for cycle in 0..750 {
        let state = rig.cycle_with(|input| input.missed = u32::from(cycle % 25 == 0));
        assert_eq!(state, State::Run);
    }
    assert_eq!(rig.record.status.overruns, 30);
}
