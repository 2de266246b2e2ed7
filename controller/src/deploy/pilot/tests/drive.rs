//! Driving by twists.

use policies::Twist;

use super::*;
use crate::deploy::TwistSample;

/// Cycles of a policy step.
const STEP: usize = CYCLES_PER_POLICY_STEP as usize;

fn twist(vx_mps: f32, vy_mps: f32, yaw_rate_radps: f32) -> Twist {
    Twist {
        vx_mps,
        vy_mps,
        yaw_rate_radps,
    }
}

/// Without rays, odometry and goal, which a policy that follows twists needs not.
fn without_senses(input: &mut CycleInput) {
    input.scan.received_ns = 0;
    input.odometry.received_ns = 0;
    input.goal.received_ns = 0;
}

fn driven() -> Rig {
    let mut rig = Rig::with(&DeployConfig {
        method: Method::recovery(),
        ..config()
    });
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

/// Cycles with this twist, just commanded.
fn drive(rig: &mut Rig, count: usize, twist: Twist) -> State {
    let with_twist = |input: &mut CycleInput| {
        without_senses(input);
        input.twist = TwistSample {
            received_ns: input.time_ns - 100_000,
            twist,
        };
    };
    (0..count)
        .map(|_| rig.cycle_with(with_twist))
        .last()
        .unwrap()
}

#[test]
fn a_twist_is_followed_from_the_next_policy_step_on_within_its_range_and_without_end() {
    let mut rig = driven();
    assert_eq!(rig.record.status.twist, Some(Twist::default()));
    // This bundle does not tell what it was trained with.
    let slow = twist(0.4, -0.2, 0.9);
    assert_eq!(drive(&mut rig, STEP, slow), State::Run);
    assert_eq!(rig.record.status.twist, Some(slow));
    let before = rig.record.command.joints.clone();
    drive(&mut rig, STEP, twist(2.0, -9.0, 0.0));
    assert_eq!(rig.record.status.twist, Some(twist(0.5, -0.3, 0.0)));
    assert_ne!(rig.record.command.joints, before, "the policy observes it");
    // Longer than any goal may take.
    assert_eq!(drive(&mut rig, 6000, slow), State::Run);
    assert!(rig.record.status.goal.is_none());
}

#[test]
fn a_twist_that_ends_or_stays_away_is_rest() {
    let mut rig = driven();
    drive(&mut rig, 50, twist(0.5, 0.0, 0.0));
    drive(&mut rig, STEP, Twist::default());
    assert_eq!(rig.record.status.twist, Some(Twist::default()));
    // Nobody commands any more, but somebody is heard.
    drive(&mut rig, 50, twist(0.5, 0.0, 0.0));
    let last = rig.record.input.twist.clone();
    let stays_away = |input: &mut CycleInput| {
        without_senses(input);
        input.twist.clone_from(&last);
    };
    for _ in 0..499 {
        rig.cycle_with(stays_away);
    }
    assert_eq!(rig.record.status.twist, Some(last.twist));
    for _ in 0..STEP {
        assert_eq!(rig.cycle_with(stays_away), State::Run);
    }
    assert_eq!(rig.record.status.twist, Some(Twist::default()));
}

#[test]
fn a_twist_that_is_not_finite_is_a_fault() {
    for wrong in [f32::NAN, f32::INFINITY] {
        let mut rig = driven();
        let fault = drive(&mut rig, 1, twist(0.0, wrong, 0.0));
        assert_eq!(fault, State::Fault);
        assert!(rig.record.status.faults.contains(Fault::NotFinite));
        rig.assert_damped();
    }
}

#[test]
fn a_stop_brakes_at_a_twist_of_zero_whatever_is_commanded() {
    let mut rig = driven();
    drive(&mut rig, 50, twist(0.5, 0.0, 0.0));
    rig.record.input.requests.insert(Request::Stop);
    assert_eq!(drive(&mut rig, 1, twist(0.5, 0.0, 0.0)), State::Stop);
    assert_eq!(rig.record.status.twist, Some(Twist::default()));
    assert_eq!(drive(&mut rig, 310, twist(0.5, 0.0, 0.0)), State::Ready);
    assert_eq!(drive(&mut rig, 500, twist(0.5, 0.0, 0.0)), State::Ready);
}

#[test]
fn a_limit_bounds_what_the_bundle_was_trained_with() {
    let robot = Robot::load("go1").unwrap();
    let mut bundle = bundle(&robot);
    let range = |limit, bundle: &Bundle, method| {
        let config = DriveConfig {
            limit,
            ..DriveConfig::default()
        };
        config.twist_range(&bundle.spec, method)
    };
    let limit = Some(twist(1.0, 1.0, 1.0));
    let of = |bundle: &Bundle, limit| range(limit, bundle, Method::recovery());
    assert_eq!(of(&bundle, None), Some(TwistRange::default()));
    assert_eq!(
        of(&bundle, limit),
        Some(TwistRange::symmetric(twist(1.0, 1.0, 1.0)))
    );
    let trained = TwistRange {
        vx_mps: [-0.5, 3.0],
        ..TwistRange::default()
    };
    let network = bundle.spec.networks.get_mut(role::RECOVERY).unwrap();
    network.twist_range = Some(trained);
    assert_eq!(of(&bundle, None), Some(trained));
    assert_eq!(of(&bundle, limit).unwrap().vx_mps, [-0.5, 1.0]);
    for runs_to_goals in [Method::agile(), Method::Abs] {
        assert_eq!(range(None, &bundle, runs_to_goals), None);
    }
}
