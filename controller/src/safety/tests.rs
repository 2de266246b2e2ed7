use policies::policy::default_target;
use proptest::prelude::*;

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
        assert!(limited.velocity && !limited.effort, "{limited:?}");
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

/// From a joint far out of its range, a target returns at the largest allowed rate and not in one step.
#[test]
fn the_largest_change_holds_over_all_other_limits() {
    let (robot, mut state, mut target) = standing();
    let config = SafetyConfig::default();
    let mut limiter = SafetyLimiter::per_control_cycle(&robot, &config, POLICY_STEP_S).unwrap();
    let joint = &robot.legs[0].joints[FL_HIP];
    let change_rad = 0.5 * 4.0 * joint.velocity_limit_radps * POLICY_STEP_S;
    state.joint_position_rad[FL_HIP] = 20.0;
    let limited = limiter.limit(&state, &mut target);
    assert!(limited.velocity && limited.effort && limited.position);
    assert_close(target.position_rad[FL_HIP], 20.0 - change_rad);
}

/// A standing robot reports an impossible velocity with a correct checksum.
#[test]
fn no_velocity_moves_a_target_past_the_measured_position() {
    let (robot, mut state, asked) = standing();
    let config = SafetyConfig::default();
    for velocity_radps in [1e6, -1e6] {
        let mut limiter = SafetyLimiter::per_control_cycle(&robot, &config, POLICY_STEP_S).unwrap();
        state.joint_velocity_radps.fill(velocity_radps);
        for _ in 0..10 {
            let mut target = asked.clone();
            limiter.limit(&state, &mut target);
            assert_eq!(target.position_rad, state.joint_position_rad);
        }
    }
}

proptest! {
    #[test]
    fn no_inputs_make_a_target_change_more_than_allowed(
        cycles in prop::collection::vec((any_vec(), any_vec(), any_vec(), any_gain(), any_gain()), 2..20),
        config in any_config(),
    ) {
        let robot = Robot::load("go1").unwrap();
        let mut limiter = SafetyLimiter::per_control_cycle(&robot, &config, POLICY_STEP_S).unwrap();
        let mut previous: Option<JointVec> = None;
        for (position_rad, velocity_radps, target_rad, stiffness, damping) in cycles {
            let mut state = RobotState::zero(12, 4);
            state.joint_position_rad = position_rad.into_iter().collect();
            state.joint_velocity_radps = velocity_radps.into_iter().collect();
            let mut target = JointTarget {
                position_rad: target_rad.into_iter().collect(),
                stiffness: [stiffness; 12].into_iter().collect(),
                damping: [damping; 12].into_iter().collect(),
            };
            let limited = limiter.limit(&state, &mut target);
            if limited.fallback {
                prop_assert_eq!(&target.stiffness[..], &[0.0; 12]);
                previous = None;
                continue;
            }
            // Beyond these, rounding is all there is.
            let is_measurable = state.joint_position_rad.iter().all(|value| value.abs() < 100.0)
                && stiffness < 1000.0
                && damping < 1000.0;
            if is_measurable && !limited.velocity && !limited.position {
                let power_w = driving_w(&state, &target);
                prop_assert!(power_w <= 1.001 * config.power_w, "{power_w} W");
            }
            let from = previous.as_ref().unwrap_or(&state.joint_position_rad);
            for ((joint, from_rad), to_rad) in robot.joints().zip(from).zip(&target.position_rad) {
                let allowed_rad = 0.5 * config.velocity_factor * joint.velocity_limit_radps * POLICY_STEP_S;
                let rounding_rad = 1e-6 * from_rad.abs() + 1e-5;
                prop_assert!((to_rad - from_rad).abs() <= allowed_rad + rounding_rad, "{from_rad} to {to_rad}");
            }
            previous = Some(target.position_rad.clone());
        }
    }
}

/// Mechanical power of the joints that drive, W.
fn driving_w(state: &RobotState, target: &JointTarget) -> f32 {
    let of_joint = |joint: usize| {
        let offset_rad = target.position_rad[joint] - state.joint_position_rad[joint];
        let velocity_radps = state.joint_velocity_radps[joint];
        let effort_nm =
            target.stiffness[joint] * offset_rad - target.damping[joint] * velocity_radps;
        (effort_nm * velocity_radps).max(0.0)
    };
    (0..12).map(of_joint).sum()
}

#[test]
fn the_joints_together_may_not_ask_for_more_power_than_allowed() {
    let (robot, mut state, asked) = standing();
    let config = SafetyConfig {
        power_w: 500.0,
        ..SafetyConfig::default()
    };
    let mut limiter = SafetyLimiter::per_control_cycle(&robot, &config, POLICY_STEP_S).unwrap();
    // Eleven joints drive with 30 (0.4) - 0.65 * 8 = 6.8 N·m at 8 rad/s, 54 W each; one brakes.
    state.joint_velocity_radps.fill(8.0);
    let mut target = asked.clone();
    for position_rad in &mut target.position_rad {
        *position_rad += 0.4;
    }
    target.position_rad[FL_HIP] = asked.position_rad[FL_HIP] - 0.3;
    let limited = limiter.limit(&state, &mut target);
    let only_power = Limited {
        power: true,
        ..Limited::default()
    };
    assert_eq!(limited, only_power);
    assert!((200.0..=500.0).contains(&driving_w(&state, &target)));
    assert_close(
        target.position_rad[FL_HIP],
        asked.position_rad[FL_HIP] - 0.3,
    );
    assert!(target.position_rad[FL_CALF] > asked.position_rad[FL_CALF] + 0.2);
}

/// Ordinary numbers, enormous ones, and what is no number.
fn any_number() -> impl Strategy<Value = f32> {
    prop_oneof![
        20 => -3.0f32..3.0,
        4 => -1e6f32..1e6,
        1 => any::<f32>(),
    ]
}

fn any_vec() -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(any_number(), 12)
}

/// All that [`SafetyConfig::validate`] allows.
fn any_config() -> impl Strategy<Value = SafetyConfig> {
    let settings = (0.1f32..=100.0, 1.0f32..=10.0, 100.0f32..=2e4, 0.5f32..=20.0);
    settings.prop_map(
        |(velocity_factor, effort_factor, power_w, damping_nms)| SafetyConfig {
            velocity_factor,
            effort_factor,
            power_w,
            damping_nms,
        },
    )
}

fn any_gain() -> impl Strategy<Value = f32> {
    prop_oneof![8 => 0.0f32..100.0, 1 => Just(0.0), 1 => any::<f32>()]
}

#[test]
fn anything_not_finite_gives_damping_at_the_measured_positions() {
    let damaged: [fn(&mut RobotState, &mut JointTarget); 8] = [
        |_, target| target.stiffness[3] = -30.0,
        |_, target| target.damping[0] = -0.1,
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
    let (robot, mut state, mut good) = standing();
    let mut limiter = limiter(&robot);
    state.joint_position_rad[FL_HIP] = -1.6;
    good.position_rad[FL_HIP] = -1.6;
    let mut target = good.clone();
    limiter.limit(&state, &mut target);
    target.position_rad[0] = f32::NAN;
    limiter.limit(&state, &mut target);
    // The joint has moved meanwhile, farther than a target may move in a cycle from the last one sent.
    state.joint_position_rad[FL_HIP] = 1.6;
    let mut target = good;
    target.position_rad[FL_HIP] = 1.6;
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
                power_w: f32::INFINITY,
                ..ok.clone()
            },
            "controller.safety.power_w is inf, must be from 100 to 20000",
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
