use policies::policy::default_target;

use super::*;

const POLICY_STEP_S: f32 = 0.02;
const FL_HIP: usize = 0;
const FL_CALF: usize = 2;

/// go1 standing still in its default posture, and the target that keeps it there.
fn standing() -> (Robot, RobotState, JointTarget) {
    let robot = Robot::load("go1").unwrap();
    let target = default_target(&robot);
    let mut state = RobotState::zero(12, 4);
    state.joint_position_rad = target.position_rad.clone();
    (robot, state, target)
}

fn limiter(robot: &Robot) -> SafetyLimiter {
    SafetyLimiter::per_policy_step(robot, &SafetyConfig::default(), POLICY_STEP_S).unwrap()
}

#[track_caller]
fn assert_close(actual: f32, expected: f32) {
    assert!(
        (actual - expected).abs() < 1e-4,
        "{actual}, expected {expected}"
    );
}

#[test]
fn an_ordinary_target_passes_unchanged() {
    let (robot, state, mut target) = standing();
    let mut limiter = limiter(&robot);
    for cycle in 0..100 {
        // Actions of up to +/-3 that change by up to 4 in a cycle: what a running policy does.
        for (joint, position_rad) in target.position_rad.iter_mut().enumerate() {
            let action = 3.0 * (0.7 * cycle as f32 + joint as f32).sin();
            *position_rad = robot.control.default_position_rad[joint] + 0.25 * action;
        }
        let asked = target.clone();
        assert!(!limiter.limit(&state, &mut target).any());
        assert_eq!(target, asked);
    }
}

#[test]
fn a_target_may_not_jump() {
    let (robot, state, mut target) = standing();
    let config = SafetyConfig {
        velocity_factor: 1.0,
        ..SafetyConfig::default()
    };
    let mut limiter = SafetyLimiter::per_policy_step(&robot, &config, POLICY_STEP_S).unwrap();
    let velocity_limit = robot.legs[0].joints[FL_HIP].velocity_limit_radps;
    let change_rad = velocity_limit * 0.02;
    // In the first cycle from the measured position, then from the last target.
    for cycle in 1..=2 {
        target.position_rad[FL_HIP] = 10.0;
        let limited = limiter.limit(&state, &mut target);
        assert_eq!(
            limited,
            Limited {
                velocity: true,
                ..Limited::default()
            }
        );
        assert_close(target.position_rad[FL_HIP], cycle as f32 * change_rad);
    }
    // After a reset again from the measured position.
    limiter.reset();
    target.position_rad[FL_HIP] = -10.0;
    limiter.limit(&state, &mut target);
    assert_close(target.position_rad[FL_HIP], -change_rad);
}

#[test]
fn a_target_may_not_ask_for_more_effort_than_allowed() {
    let (robot, mut state, mut target) = standing();
    let config = SafetyConfig {
        effort_factor: 1.0,
        velocity_factor: 100.0,
        ..SafetyConfig::default()
    };
    let mut limiter = SafetyLimiter::per_control_cycle(&robot, &config, POLICY_STEP_S).unwrap();
    let effort_nm = robot.legs[0].joints[FL_CALF].effort_limit_nm;

    state.joint_velocity_radps[FL_CALF] = 5.0;
    target.position_rad[FL_CALF] = 1.0;
    let limited = limiter.limit(&state, &mut target);
    assert!(limited.effort && !limited.velocity);
    // The PD law then gives exactly the limit: 30 (target - q) - 0.65 * 5.
    let torque_nm =
        30.0 * (target.position_rad[FL_CALF] - state.joint_position_rad[FL_CALF]) - 0.65 * 5.0;
    assert_close(torque_nm, effort_nm);
}

#[test]
fn a_target_stays_within_the_position_limits_and_full_effort_beyond() {
    let (robot, mut state, mut target) = standing();
    let mut limiter = limiter(&robot);
    let joint = &robot.legs[0].joints[FL_HIP];
    state.joint_position_rad[FL_HIP] = joint.upper_rad;
    target.position_rad[FL_HIP] = joint.upper_rad + 2.0;
    let limited = limiter.limit(&state, &mut target);
    assert_eq!(
        limited,
        Limited {
            position: true,
            ..Limited::default()
        }
    );
    assert_close(
        target.position_rad[FL_HIP],
        joint.upper_rad + joint.effort_limit_nm / robot.control.stiffness[FL_HIP],
    );

    state.joint_position_rad[FL_HIP] = joint.lower_rad;
    limiter.reset();
    target.position_rad[FL_HIP] = joint.lower_rad - 2.0;
    assert!(limiter.limit(&state, &mut target).position);
    assert_close(
        target.position_rad[FL_HIP],
        joint.lower_rad - joint.effort_limit_nm / robot.control.stiffness[FL_HIP],
    );
}

/// Even where the joint was thrown far out of its range, so that the effort bound alone would follow it there.
#[test]
fn the_position_limit_holds_over_all_others() {
    let (robot, mut state, mut target) = standing();
    let joint = &robot.legs[0].joints[FL_HIP];
    let upper_rad = joint.upper_rad + joint.effort_limit_nm / robot.control.stiffness[FL_HIP];
    state.joint_position_rad[FL_HIP] = 20.0;
    let config = SafetyConfig::default();
    let mut limiter = SafetyLimiter::per_control_cycle(&robot, &config, POLICY_STEP_S).unwrap();
    let limited = limiter.limit(&state, &mut target);
    assert!(limited.velocity && limited.effort && limited.position);
    assert_close(target.position_rad[FL_HIP], upper_rad);
}

#[test]
fn anything_not_finite_gives_damping_at_the_measured_positions() {
    let damaged: [fn(&mut RobotState, &mut JointTarget); 6] = [
        |_, target| target.position_rad[3] = f32::NAN,
        |_, target| target.stiffness[3] = f32::INFINITY,
        |_, target| target.damping[0] = f32::NAN,
        |state, _| state.joint_velocity_radps[5] = f32::NEG_INFINITY,
        |_, target| target.position_rad.truncate(11),
        |state, _| state.joint_position_rad[4] = f32::NAN,
    ];
    for damage in damaged {
        let (robot, mut state, mut target) = standing();
        for position_rad in &mut state.joint_position_rad {
            *position_rad += 0.125;
        }
        damage(&mut state, &mut target);
        let limited = limiter(&robot).limit(&state, &mut target);
        assert_eq!(
            limited,
            Limited {
                fallback: true,
                ..Limited::default()
            }
        );
        assert_eq!(target.stiffness[..], [0.0; 12]);
        assert_eq!(target.damping[..], [2.0; 12]);
        assert_eq!(target.position_rad.len(), 12);
        for joint in 0..12 {
            let default_rad = robot.control.default_position_rad[joint];
            let measured = state.joint_position_rad[joint].is_finite();
            let expected = if measured {
                default_rad + 0.125
            } else {
                default_rad
            };
            assert_eq!(target.position_rad[joint], expected);
        }
    }
}

#[test]
fn after_a_fallback_targets_start_from_the_measured_positions() {
    let (robot, mut state, good) = standing();
    let mut limiter = limiter(&robot);
    let mut target = good.clone();
    limiter.limit(&state, &mut target);
    target.position_rad[0] = f32::NAN;
    limiter.limit(&state, &mut target);
    // The joint has moved meanwhile, farther than a target may move in a cycle from the last one sent.
    state.joint_position_rad[FL_HIP] = 6.0;
    let mut target = good;
    target.position_rad[FL_HIP] = 6.0;
    assert!(!limiter.limit(&state, &mut target).velocity);
}

#[test]
fn settings_out_of_range_are_named() {
    let robot = Robot::load("go1").unwrap();
    let ok = SafetyConfig::default();
    for (config, expected) in [
        (
            SafetyConfig {
                velocity_factor: f32::INFINITY,
                ..ok.clone()
            },
            "controller.safety.velocity_factor is inf, must be from 0.1 to 100",
        ),
        (
            SafetyConfig {
                effort_factor: 0.5,
                ..ok.clone()
            },
            "controller.safety.effort_factor is 0.5, must be from 1 to 10",
        ),
        (
            SafetyConfig {
                damping_nms: f32::NAN,
                ..ok.clone()
            },
            "controller.safety.damping_nms is NaN",
        ),
        (
            SafetyConfig {
                damping_nms: 0.0,
                ..ok.clone()
            },
            "controller.safety.damping_nms is 0, must be from 0.5 to 20",
        ),
    ] {
        let limiter = SafetyLimiter::per_policy_step(&robot, &config, POLICY_STEP_S);
        let message = limiter.unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}");
    }
}
