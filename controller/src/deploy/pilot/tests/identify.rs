//! Joints that are driven to be identified.

use super::*;

/// Without rays, odometry and goal, which a robot on a stand needs not.
fn without_senses(input: &mut CycleInput) {
    input.scan.received_ns = 0;
    input.odometry.received_ns = 0;
    input.goal.received_ns = 0;
}

fn driving() -> Rig {
    let mut config = config();
    config.identify.enabled = true;
    config.identify.chirp_s = 4.0;
    config.identify.joints = vec!["FR_hip_joint".to_owned(), "RL_calf_joint".to_owned()];
    let mut rig = Rig::with(&config);
    rig.cycle_with(without_senses);
    let request = |request| {
        move |input: &mut CycleInput| {
            without_senses(input);
            input.requests.insert(request);
        }
    };
    assert_eq!(rig.cycle_with(request(Request::Stand)), State::StandUp);
    while rig.cycle_with(without_senses) == State::StandUp {}
    assert_eq!(rig.cycle_with(request(Request::Start)), State::Run);
    rig
}

#[test]
fn each_joint_is_driven_and_then_the_robot_lies_damped() {
    let mut rig = driving();
    let standing = Robot::load("go1").unwrap().control.standing_position_rad;
    let mut farthest_rad = [0.0_f32; 12];
    let mut cycles = 0;
    while rig.cycle_with(without_senses) == State::Run {
        let joints = rig.record.command.joints.iter().zip(&standing);
        for (farthest, (joint, standing)) in farthest_rad.iter_mut().zip(joints) {
            *farthest = farthest.max((joint.position_rad - standing).abs());
        }
        assert_eq!(
            (rig.record.status.mode, rig.record.status.goal),
            (None, None)
        );
        cycles += 1;
    }
    // Two turns of 5 s, and a rest of 1 s.
    assert!((5480..=5520).contains(&cycles), "{cycles}");
    for (joint, farthest_rad) in farthest_rad.into_iter().enumerate() {
        let is_driven = [3, 8].contains(&joint);
        let expected = if is_driven { 0.25..0.31 } else { 0.0..0.01 };
        assert!(expected.contains(&farthest_rad), "{joint}: {farthest_rad}");
    }
    assert_eq!(rig.record.status.state, State::StopThenLieDown);
    while !rig.cycle_with(without_senses).is_damped() {}
    assert_eq!(rig.record.status.state, State::Damping);
    assert!(rig.record.status.latched_faults.is_empty());
    rig.assert_damped();
}

#[test]
fn faults_and_operators_end_it_as_they_end_a_run() {
    let mut rig = driving();
    for _ in 0..1000 {
        assert_eq!(rig.cycle_with(without_senses), State::Run);
    }
    let stopped = rig.cycle_with(|input| {
        without_senses(input);
        input.requests.insert(Request::Stop);
    });
    assert_eq!(stopped, State::Stop);

    let mut rig = driving();
    let blocked = |input: &mut CycleInput| {
        without_senses(input);
        input.robot.imu_orientation_wxyz = [0.0, 1.0, 0.0, 0.0];
    };
    assert_eq!(rig.cycle_with(blocked), State::Fault);
    assert!(rig.record.status.latched_faults.contains(Fault::Tilt));
    rig.assert_damped();
}
