//! Motors that answer as the one they should be, and others.

use super::*;

/// A lying robot whose motors are to be probed.
fn lying() -> Rig {
    let mut config = config();
    config.stand_up.probe_motors = true;
    let mut rig = Rig::with(&config);
    rig.cycle();
    rig
}

/// Stands up on a robot whose commands reach the joints as `wiring` says. Gives the time until it stands or is damped, s.
fn stand_up(rig: &mut Rig, wiring: impl Fn(&mut JointVec)) -> f32 {
    rig.request(Request::Stand);
    let mut cycles = 0;
    while rig.record.status.state == State::StandUp {
        rig.cycle_with(|input| wiring(&mut input.robot.joint_position_rad));
        cycles += 1;
        assert!(cycles < 5000, "it neither stands nor is damped");
    }
    cycles as f32 * 2e-3
}

#[test]
fn right_motors_are_probed_once_and_gently() {
    let mut rig = lying();
    let lying_rad = rig.record.input.robot.joint_position_rad.clone();
    let time_s = stand_up(&mut rig, |_| {});
    assert_eq!(rig.record.status.state, State::Ready);
    assert!((2.5..5.0).contains(&time_s), "{time_s}");
    // Each is led away by no more than it takes, while all others are held.
    let probing = rig.history.iter().take(((time_s - 2.0) / 2e-3) as usize);
    let mut farthest_rad = [0.0_f32; 12];
    for record in probing.filter(|record| record.status.state == State::StandUp) {
        let away_rad = record.command.joints.iter().zip(&lying_rad);
        let away_rad: Vec<f32> = away_rad
            .map(|(c, at)| (c.position_rad - at).abs())
            .collect();
        assert!(away_rad.iter().filter(|&&rad| rad > 1e-4).count() <= 1);
        for (farthest, away) in farthest_rad.iter_mut().zip(away_rad) {
            *farthest = farthest.max(away);
        }
    }
    assert!(
        farthest_rad.iter().all(|rad| (0.03..0.06).contains(rad)),
        "{farthest_rad:?}"
    );
    // Not again, unless something has happened.
    rig.request(Request::LieDown);
    rig.cycles(1000);
    assert_eq!(rig.record.status.state, State::Damping);
    let time_s = stand_up(&mut rig, |_| {});
    assert!((time_s - 2.0).abs() < 0.01, "{time_s}");
    rig.request(Request::EmergencyStop);
    rig.request(Request::Stop);
    assert!(stand_up(&mut rig, |_| {}) > 2.5);
}

#[test]
fn f25_exchanged_dead_and_reversed_motors_are_named_before_the_robot_stands_up() {
    let lying_rad = lying().record.input.robot.joint_position_rad;
    let at = |joint: usize| lying_rad[joint];
    for joint in 0..12 {
        let other = (joint + 3) % 6 + joint / 6 * 6;
        let exchanged: &dyn Fn(&mut JointVec) = &|q| q.swap(joint, other);
        let dead: &dyn Fn(&mut JointVec) = &|q| q[joint] = at(joint);
        let reversed: &dyn Fn(&mut JointVec) = &|q| q[joint] = 2.0 * at(joint) - q[joint];
        let first = joint.min(other);
        for (what, wiring, expected, moved) in [
            ("exchanged", exchanged, first, Some(first + 3)),
            ("dead", dead, joint, None),
            ("reversed", reversed, joint, Some(joint)),
        ] {
            let mut rig = lying();
            let time_s = stand_up(&mut rig, wiring);
            assert!(time_s < 3.0, "{what} {joint}: {time_s}");
            assert_eq!(rig.record.status.state, State::Fault, "{what} {joint}");
            rig.assert_damped();
            let latched = rig.record.status.latched_faults;
            assert!(latched.contains(Fault::WrongMotor), "{latched}");
            let why = Refusal::Motor {
                expected: expected as u8,
                moved: moved.map(|joint| joint as u8),
            };
            assert_eq!(
                rig.record.status.refused,
                Some((Request::Stand, why)),
                "{what} {joint}"
            );
        }
    }
}
