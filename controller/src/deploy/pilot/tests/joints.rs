//! Joints beyond their limits, and joints that do not follow.

use super::*;

/// The calf of the first leg of a Go1 goes from -2.818 to -0.888 rad.
const CALF: usize = 2;
const UPPER_RAD: f32 = -0.888;

/// Turns the calf to `to_rad`, as fast as a joint can, and holds it there for `cycles` in all. Gives the states.
fn hold_calf(rig: &mut Rig, to_rad: f32, cycles: usize) -> Vec<State> {
    let mut at_rad = rig.record.input.robot.joint_position_rad[CALF];
    (0..cycles)
        .map(|_| {
            at_rad += (to_rad - at_rad).clamp(-0.1, 0.1);
            rig.cycle_with(|input| input.robot.joint_position_rad[CALF] = at_rad)
        })
        .collect()
}

#[test]
fn f08_a_joint_far_beyond_its_limit_is_damped_at_once() {
    let mut rig = Rig::running();
    let states = hold_calf(&mut rig, UPPER_RAD + 0.31, 40);
    assert_eq!(states.last(), Some(&State::Fault));
    assert!(rig.record.status.latched_faults.contains(Fault::JointLimit));
    assert!(!states.contains(&State::Stop), "{states:?}");
    rig.assert_damped();
}

/// The stops of a simulated robot, and the knees of a real one, give way by that much in ordinary running.
#[test]
fn a_knee_that_gives_way_goes_on() {
    let mut rig = Rig::running();
    let states = hold_calf(&mut rig, UPPER_RAD + 0.166, 1000);
    assert!(states.iter().all(|&state| state == State::Run));
    assert!(rig.record.status.faults.is_empty());
}

#[test]
fn f22_a_joint_that_stays_beyond_its_stop_makes_the_robot_brake_before_it_is_damped() {
    let mut rig = Rig::running();
    let states = hold_calf(&mut rig, UPPER_RAD + 0.25, 200);
    assert!(rig.record.status.latched_faults.contains(Fault::JointStop));
    let braking = states.iter().filter(|&&state| state == State::Stop).count();
    // From 30 to 300 ms.
    assert!((130..=137).contains(&braking), "{states:?}");
    assert_eq!(states.last(), Some(&State::Fault), "it did not come back");
    assert!(rig.record.status.latched_faults.contains(Fault::JointLimit));

    // It comes back.
    let mut rig = Rig::running();
    let states = hold_calf(&mut rig, UPPER_RAD + 0.25, 60);
    assert_eq!(states.last(), Some(&State::Stop));
    rig.record.input.robot.joint_position_rad[CALF] = UPPER_RAD + 0.25;
    hold_calf(&mut rig, -1.7, 30);
    assert_eq!(rig.cycles(300), State::Ready);
    assert!(rig.record.status.faults.is_empty());
}

#[test]
fn f23_a_joint_that_does_not_follow_ends_standing_up() {
    for joint in 0..12 {
        let mut rig = Rig::new();
        rig.cycle();
        let lying_rad = rig.record.input.robot.joint_position_rad.clone();
        assert_eq!(rig.request(Request::Stand), State::StandUp);
        // It turns the other way.
        let mut states = (0..1000).map(|_| {
            rig.cycle_with(|input| {
                let position_rad = &mut input.robot.joint_position_rad[joint];
                *position_rad = 2.0 * lying_rad[joint] - *position_rad;
            })
        });
        let fault = states.any(|state| state == State::Fault);
        // Hips and thighs hardly move while it stands up.
        assert_eq!(fault, joint % 3 == 2, "joint {joint}");
    }
    // A motor that is dead.
    let mut rig = Rig::new();
    rig.cycle();
    rig.request(Request::Stand);
    for _ in 0..1500 {
        rig.cycle_with(|input| input.robot.joint_position_rad[CALF] = -2.4);
    }
    assert_eq!(rig.record.status.state, State::Fault);
    let latched = rig.record.status.latched_faults;
    assert!(latched.contains(Fault::MotorDoesNotFollow), "{latched}");
}
