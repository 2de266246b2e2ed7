//! States and odometry that no robot can be in, and more than one robot.

use super::*;

#[test]
fn f19_one_implausible_state_is_passed_over_and_many_are_damped() {
    type Corrupt = fn(&mut CycleInput);
    let corrupts: [(&str, Corrupt); 7] = [
        ("speed", |i| i.robot.joint_velocity_radps[3] = -1e6),
        ("speed", |i| i.robot.joint_velocity_radps[3] = 61.0),
        ("position", |i| i.robot.joint_position_rad[4] += 1.5),
        ("torque", |i| i.robot.joint_torque_nm[3] = 1e4),
        ("rotation", |i| i.robot.imu_gyroscope_radps.x = 100.0),
        ("force", |i| i.robot.imu_accelerometer_mps2.x = 1e5),
        ("tick", |i| i.robot.tick += 100_000),
    ];
    for (what, corrupt) in corrupts {
        let mut rig = Rig::running();
        assert_eq!(rig.cycle_with(corrupt), State::Run, "{what}");
        assert_eq!(rig.cycles(100), State::Run, "{what}");
        assert!(rig.record.status.faults.is_empty());
        let estimate = rig.record.status.estimate.clone();
        assert!(
            estimate.linear_velocity_base.norm() < 0.1,
            "{what}: {estimate:?}"
        );

        let before = rig.record.command.clone();
        let cycles = (1..=CYCLES_40_MS).find(|_| rig.cycle_with(corrupt) == State::Fault);
        assert!(
            cycles.is_some_and(|cycles| cycles >= 10),
            "{what}: {cycles:?}"
        );
        let latched = rig.record.status.latched_faults;
        assert!(
            latched.contains(Fault::ImplausibleState),
            "{what}: {latched}"
        );
        rig.assert_damped();
        assert_ne!(before, rig.record.command);
    }
}

#[test]
fn a_speed_that_changes_as_no_motor_can_change_it_is_passed_over() {
    let mut rig = Rig::running();
    rig.record.input.robot.joint_velocity_radps[2] = 30.0;
    assert_eq!(rig.cycle(), State::Run);
    // The calf of a Go1 has 20 rad/s; this is a change of 60 rad/s in 2 ms.
    rig.cycle_with(|input| input.robot.joint_velocity_radps[2] = -30.0);
    let velocity_radps = rig.record.status.estimate.joint_velocity_radps[2];
    assert_eq!(velocity_radps, 30.0);
}

#[test]
fn a_counter_that_goes_back_is_a_robot_that_has_restarted() {
    let mut rig = Rig::running();
    rig.record.input.robot.tick = 5;
    for cycle in 0..9 {
        assert_eq!(rig.cycle(), State::Run, "{cycle}");
    }
    assert_eq!(rig.cycles(5), State::Fault);
    // It is the robot from now on.
    assert!(rig.record.status.faults.is_empty());
    assert_eq!(rig.request(Request::Stop), State::Damping);
    assert_eq!(rig.request(Request::Stand), State::StandUp);
}

#[test]
fn f20_a_second_publisher_of_states_damps_and_one_after_the_other_does_not() {
    let mut rig = Rig::running();
    // One message of seven.
    let mut states = (0..20).map(|cycle| {
        rig.cycle_with(|input| {
            if cycle % 7 == 6 {
                input.robot.publisher = 2;
                input.robot.joint_position_rad[0] += 0.2;
            }
        })
    });
    assert!(states.any(|state| state == State::Fault));
    assert!(
        rig.record
            .status
            .latched_faults
            .contains(Fault::ForeignState)
    );
    assert_eq!(
        rig.record.status.estimate.joint_position_rad[0],
        rig.record.input.robot.joint_position_rad[0]
    );
    // It goes on for a second after the last of them.
    assert_eq!(rig.cycles(100), State::Fault);
    assert!(rig.record.status.faults.contains(Fault::ForeignState));
    assert_eq!(rig.cycles(500), State::Fault);
    assert!(rig.record.status.faults.is_empty());

    // The robot was silent for 0.3 s, and comes back as another publisher.
    let mut rig = Rig::ready();
    for _ in 0..150 {
        rig.cycle_with(|input| input.robot.received_ns = 1);
    }
    rig.record.input.robot.publisher = 2;
    assert_eq!(rig.cycle(), State::Fault);
    assert!(rig.record.status.faults.is_empty());
}

#[test]
fn f21_with_a_second_commander_the_robot_does_not_stand_up() {
    let mut rig = Rig::new();
    rig.record.input.second_commander = true;
    rig.cycle();
    assert_eq!(rig.request(Request::Stand), State::Damping);
    assert!(matches!(
        rig.record.status.refused,
        Some((Request::Stand, Refusal::Faults(faults))) if faults.contains(Fault::SecondCommander)
    ));
}

#[test]
fn f24_odometry_that_jumps_or_is_in_unknown_frames_is_not_used() {
    let mut rig = Rig::running();
    rig.record.input.odometry.position_world.x = 3.0;
    assert_eq!(rig.cycle(), State::StopThenLieDown);
    assert!(
        rig.record
            .status
            .latched_faults
            .contains(Fault::ImplausibleOdometry)
    );
    assert!(rig.record.status.estimate.position_world.x < 0.5);
    // From now on it is the world frame.
    rig.cycle();
    assert!((rig.record.status.estimate.position_world.x - 3.0).abs() < 1e-3);

    let mut rig = Rig::ready();
    rig.record.input.odometry.known_frames = false;
    assert_eq!(rig.cycle(), State::Ready);
    assert_eq!(rig.request(Request::Start), State::Ready);
    assert!(
        rig.record
            .status
            .faults
            .contains(Fault::ImplausibleOdometry)
    );
}

#[test]
fn f24_an_odometry_that_begins_on_the_way_ends_the_run_for_its_goal_is_elsewhere() {
    let mut rig = Rig::new();
    let without = |input: &mut CycleInput| input.odometry.received_ns = 0;
    for request in [Request::Stand, Request::Start] {
        rig.cycle_with(without);
        rig.cycle_with(|input| {
            without(input);
            input.requests.insert(request);
        });
        for _ in 0..1000 {
            rig.cycle_with(without);
        }
    }
    assert_eq!(rig.record.status.state, State::Run);
    rig.record.input.odometry.position_world.x = 3.0;
    assert_eq!(rig.cycle(), State::StopThenLieDown);
    let status = &rig.record.status;
    assert!(status.latched_faults.contains(Fault::ImplausibleOdometry));
    assert!((status.estimate.position_world.x - 3.0).abs() < 1e-3);
}

#[test]
fn between_two_scans_the_rays_move_with_the_robot() {
    let mut rig = Rig::running();
    let rays = RaySpec::default();
    let wall = |ahead_m: f32| RayScan {
        distance_m: rays.directions().map(|ray| ahead_m / ray.x).collect(),
    };
    rig.record.input.scan.scan = wall(2.0);
    rig.cycle();
    let arrived_ns = rig.record.input.scan.received_ns;
    // 20 cm in 0.2 s.
    for _ in 0..100 {
        let odometry = &mut rig.record.input.odometry;
        odometry.position_world.x += 0.002;
        odometry.linear_velocity_base.x = 1.0;
        let state = rig.cycle_with(|input| input.scan.received_ns = arrived_ns);
        assert_eq!(state, State::Run);
    }
    let seen_m = &rig.pilot.rays.observed.distance_m;
    let expected_m = wall(1.8).distance_m;
    // The outermost rays look past the end of what was seen.
    for ray in 1..expected_m.len() - 1 {
        let off_m = seen_m[ray] - expected_m[ray];
        assert!(off_m.abs() < 0.03, "ray {ray}: {seen_m:?}");
    }
}

#[test]
fn a_battery_that_was_reported_and_is_zero_is_empty() {
    let mut rig = Rig::new();
    rig.record.input.robot.battery_percent = 0;
    rig.cycles(10);
    assert!(rig.record.status.faults.is_empty(), "never reported");
    let mut rig = Rig::ready();
    rig.record.input.robot.battery_percent = 0;
    assert_eq!(rig.cycle(), State::LieDown);
    assert!(rig.record.status.latched_faults.contains(Fault::LowBattery));
}

#[test]
fn after_a_fault_and_after_a_restart_of_the_robot_the_estimate_starts_anew() {
    let mut rig = Rig::running();
    // The estimate goes astray: the robot slides, says its accelerometer.
    for _ in 0..15 {
        rig.cycle_with(|input| input.robot.imu_accelerometer_mps2.x = 100.0);
    }
    let emergency_stop = rig.request(Request::EmergencyStop);
    assert_eq!(emergency_stop, State::Fault);
    assert_eq!(rig.cycles(300), State::Fault);
    let estimate = &rig.record.status.estimate;
    assert!(estimate.linear_velocity_base.norm() < 0.01, "{estimate:?}");
    assert_eq!(rig.request(Request::Stop), State::Damping);
    rig.cycles(2);
    let estimate = &rig.record.status.estimate;
    assert!(
        estimate.position_world.xy().coords.norm() < 1e-3,
        "{estimate:?}"
    );

    // The peer restarts in a run, and stands elsewhere with another heading.
    let mut rig = Rig::running();
    for _ in 0..250 {
        rig.cycle_with(|input| input.robot.received_ns = 1);
    }
    let half_rad = 0.8f32;
    rig.record.input.robot.imu_orientation_wxyz = [half_rad.cos(), 0.0, 0.0, half_rad.sin()];
    rig.record.input.robot.tick = 1;
    assert_eq!(rig.cycles(2), State::Fault);
    assert!(rig.record.status.faults.is_empty());
    assert_eq!(rig.request(Request::Stop), State::Damping);
    assert_eq!(rig.request(Request::Stand), State::StandUp);
    rig.cycles(1010);
    assert_eq!(rig.request(Request::Start), State::Run);
    let estimate = &rig.record.status.estimate;
    assert!(estimate.linear_velocity_base.norm() < 0.05, "{estimate:?}");
}
