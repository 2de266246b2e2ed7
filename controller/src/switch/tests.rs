use nalgebra::{Point2, Point3};
use policies::{Activation, GoalYaw, Linear, Member, Provenance, RaySpec, ReachAvoidMember, Twist};
use proptest::prelude::*;

use super::*;
use crate::{ControlInput, Controller, ControllerConfig, Fault, Method, Mode};

fn go1() -> Robot {
    Robot::load("go1").unwrap()
}

/// A linear network; `weight` is (output, input, value).
fn linear(inputs: usize, outputs: usize, weight: &[(usize, usize, f32)]) -> Linear {
    let mut linear = Linear {
        weight: vec![0.0; inputs * outputs],
        bias: vec![0.0; outputs],
        inputs,
    };
    for &(output, input, value) in weight {
        linear.weight[output * inputs + input] = value;
    }
    linear
}

fn start(layout: &Layout, quantity: Quantity) -> usize {
    layout.range(quantity).unwrap().start
}

/// Agile: action 0 is 0.5, action 1 the previous action 0. Recovery: actions 2, 3, 4 are the twist, action 1 the
/// previous action 0, action 0 is 0.25. Value: tanh(v_x - 1 + v_z + w_y).
fn bundle() -> Bundle {
    let (robot, rays) = (go1(), RaySpec::default());
    let [agile, recovery, value] = [
        Layout::agile(&robot, &rays),
        Layout::recovery(&robot, &rays),
        Layout::reach_avoid(&robot, &rays),
    ];
    let mut agile_linear = linear(61, 12, &[(1, start(&agile, Quantity::PreviousAction), 1.0)]);
    agile_linear.bias[0] = 0.5;
    let twist = start(&recovery, Quantity::TwistCommand);
    let mut recovery_linear = linear(
        49,
        12,
        &[
            (1, start(&recovery, Quantity::PreviousAction), 1.0),
            (2, twist, 1.0),
            (3, twist + 1, 1.0),
            (4, twist + 2, 1.0),
        ],
    );
    recovery_linear.bias[0] = 0.25;
    let mut value_linear = linear(19, 1, &[(0, 0, 1.0), (0, 2, 1.0), (0, 4, 1.0)]);
    value_linear.bias[0] = -1.0;
    let policy = |make: fn(&Layout, f32, Activation, Vec<Linear>, Provenance) -> Member,
                  layout: &Layout,
                  linear: Linear| {
        make(
            layout,
            0.25,
            Activation::Elu,
            vec![linear],
            Provenance::default(),
        )
    };
    let agile = policy(Member::agile, &agile, agile_linear);
    Bundle {
        reach_avoid: Some(ReachAvoidMember::new(
            &value,
            agile.weights_hash().unwrap(),
            vec![value_linear],
            Provenance::default(),
        )),
        agile: Some(agile),
        recovery: Some(policy(Member::recovery, &recovery, recovery_linear)),
        ..Bundle::new(&robot, &rays)
    }
}

fn controller(switch: SwitchConfig) -> Controller {
    let config = ControllerConfig {
        switch,
        ..ControllerConfig::default()
    };
    Controller::new(&go1(), &bundle(), Method::Abs, &config).unwrap()
}

/// A twist is reached at once.
fn at_once() -> SwitchConfig {
    let mut config = SwitchConfig::default();
    config.search.response_s = 0.0;
    config
}

/// Running ahead at `vx_mps`, the goal 5 m ahead.
fn input(vx_mps: f32) -> ControlInput {
    let robot = go1();
    let mut input = ControlInput::new(&robot, &RaySpec::default());
    input.state.position_world = Point3::new(0.0, 0.0, 0.3);
    input.state.joint_position_rad = policies::default_target(&robot).position_rad;
    input.state.linear_velocity_base.x = vx_mps;
    input.goal.position_world = Point2::new(5.0, 0.0);
    input.time_left_s = 4.5;
    input
}

/// Action that the target of a step stands for.
fn step(controller: &mut Controller, input: &ControlInput) -> Vec<f32> {
    let default_rad = go1().control.default_position_rad;
    controller
        .step(&input.state, &input.rays, &input.goal, input.time_left_s)
        .position_rad
        .iter()
        .zip(default_rad)
        .map(|(target_rad, default_rad)| (target_rad - default_rad) / 0.25)
        .collect()
}

#[track_caller]
fn assert_close(actual: f32, expected: f32) {
    assert!(
        (actual - expected).abs() < 1e-5,
        "{actual}, expected {expected}"
    );
}

#[test]
fn the_agile_policy_acts_below_the_threshold_and_recovery_from_there_on() {
    let mut controller = controller(at_once());
    let slow = step(&mut controller, &input(0.9));
    assert_eq!((controller.mode(), controller.twist()), (Mode::Agile, None));
    assert_close(controller.value().unwrap(), (-0.1f32).tanh());
    assert_close(slow[0], 0.5);

    let fast = step(&mut controller, &input(3.0));
    assert_eq!(controller.mode(), Mode::Recovery);
    assert_close(controller.value().unwrap(), 2f32.tanh());
    let twist = controller.twist().unwrap();
    assert!(twist.vx_mps > 0.0 && twist.vx_mps < 0.95, "{twist:?}");
    assert_close(fast[0], 0.25);
    for (action, command) in
        fast[2..5]
            .iter()
            .zip([twist.vx_mps, twist.vy_mps, twist.yaw_rate_radps])
    {
        assert_close(*action, command);
    }

    // The threshold itself is not safe.
    let mut at_zero = self::controller(SwitchConfig {
        threshold: Some(0.0),
        ..at_once()
    });
    step(&mut at_zero, &input(1.0));
    assert_eq!(
        (at_zero.value(), at_zero.mode()),
        (Some(0.0), Mode::Recovery)
    );
}

#[test]
fn each_policy_observes_the_action_that_the_other_applied() {
    let mut controller = controller(SwitchConfig::default());
    assert_close(step(&mut controller, &input(3.0))[1], 0.0);
    // Recovery's 0.25 is seen by agile, and agile's 0.5 by recovery.
    assert_close(step(&mut controller, &input(0.0))[1], 0.25);
    assert_close(step(&mut controller, &input(3.0))[1], 0.5);
    controller.reset();
    assert_eq!((controller.value(), controller.twist()), (None, None));
    assert_close(step(&mut controller, &input(0.0))[1], 0.0);
}

#[test]
fn the_threshold_is_the_bundles_unless_the_config_has_one() {
    let mut bundle = bundle();
    bundle.reach_avoid.as_mut().unwrap().threshold = -0.5;
    let mode = |threshold| {
        let mut config = ControllerConfig::default();
        config.switch.threshold = threshold;
        let mut controller = Controller::new(&go1(), &bundle, Method::Abs, &config).unwrap();
        step(&mut controller, &input(0.8));
        controller.mode()
    };
    assert_eq!(mode(None), Mode::Recovery);
    assert_eq!(mode(Some(-0.1)), Mode::Agile);
}

#[test]
fn recovery_acts_only_on_a_twist_that_is_better_by_enough() {
    // At 3 m/s the value is tanh(2); braking to rest leads to one between 0 and -0.9.
    let acts = |min_gain| {
        let mut controller = controller(SwitchConfig {
            min_gain: Some(min_gain),
            ..at_once()
        });
        step(&mut controller, &input(3.0));
        assert_close(controller.value().unwrap(), 2f32.tanh());
        controller.mode() == Mode::Recovery
    };
    assert!(acts(-2.0) && acts(0.1) && acts(1.0));
    assert!(!acts(1.9));

    // Where nothing is set, the bundle says it.
    let mut bundle = bundle();
    let mut bundled = |min_gain| {
        bundle.reach_avoid.as_mut().unwrap().min_gain = min_gain;
        let config = ControllerConfig {
            switch: at_once(),
            ..ControllerConfig::default()
        };
        let mut controller = Controller::new(&go1(), &bundle, Method::Abs, &config).unwrap();
        step(&mut controller, &input(3.0));
        controller.mode()
    };
    assert_eq!((bundled(1.0), bundled(1.9)), (Mode::Recovery, Mode::Agile));
}

#[test]
fn with_hysteresis_recovery_holds_on() {
    // tanh(-0.3) = -0.29 lies between -0.05 - 0.4 and -0.05.
    let modes = |hysteresis| {
        let mut controller = controller(SwitchConfig {
            hysteresis,
            ..at_once()
        });
        [0.7, 3.0, 0.7, 0.2, 0.7].map(|vx_mps| {
            step(&mut controller, &input(vx_mps));
            controller.mode()
        })
    };
    let (a, r) = (Mode::Agile, Mode::Recovery);
    assert_eq!(modes(0.0), [a, r, a, a, a]);
    assert_eq!(modes(0.4), [a, r, r, a, a]);
}

#[test]
fn the_value_sees_the_measured_vertical_and_tilting_speed_only_if_asked() {
    let mut input = input(0.0);
    input.state.linear_velocity_base.z = 2.0;
    input.state.angular_velocity_base.y = 3.0;
    let value = |measured_twist| {
        let mut controller = controller(SwitchConfig {
            measured_twist,
            ..SwitchConfig::default()
        });
        step(&mut controller, &input);
        controller.value().unwrap()
    };
    assert_close(value(false), (-1f32).tanh());
    assert_close(value(true), 4f32.tanh());
}

#[test]
fn what_is_not_finite_gives_the_fallback_whichever_policy_acts() {
    type Damage = fn(&mut ControlInput);
    let cases: [(Damage, &str); 4] = [
        (
            |input| input.state.linear_velocity_base.x = f32::NAN,
            "observation of linear-velocity-base is not finite",
        ),
        (
            |input| input.state.linear_velocity_base.z = f32::INFINITY,
            "observation of linear-velocity-base is not finite",
        ),
        (
            |input| input.rays.distance_m[4] = f32::NAN,
            "observation of log-rays is not finite",
        ),
        (
            |input| input.state.joint_velocity_radps[0] = f32::NAN,
            "observation of joint-velocity is not finite",
        ),
    ];
    for vx_mps in [0.0, 3.0] {
        let mut controller = controller(SwitchConfig::default());
        for (damage, expected) in cases {
            let mut damaged = input(vx_mps);
            damage(&mut damaged);
            step(&mut controller, &damaged);
            assert_eq!(controller.mode(), Mode::Fallback);
            assert_eq!(controller.fault().unwrap().to_string(), expected);
            assert_eq!((controller.value(), controller.twist()), (None, None));
            step(&mut controller, &input(vx_mps));
            assert_ne!(controller.mode(), Mode::Fallback);
        }
    }
}

#[test]
fn a_value_that_overflows_gives_the_fallback() {
    let mut bundle = bundle();
    let value = bundle.reach_avoid.as_mut().unwrap();
    let first = linear(19, 2, &[(0, 0, f32::MAX), (1, 0, f32::MAX)]);
    let second = linear(2, 1, &[(0, 0, f32::MAX), (0, 1, f32::MIN)]);
    value.layers = vec![first, second];
    let config = ControllerConfig::default();
    let mut controller = Controller::new(&go1(), &bundle, Method::Abs, &config).unwrap();
    step(&mut controller, &input(3.0));
    assert_eq!(controller.fault(), Some(Fault::NotFinite(NotFinite::Value)));
}

#[test]
fn recovery_alone_follows_its_command() {
    let config = ControllerConfig::default();
    let mut controller = Controller::new(&go1(), &bundle(), Method::Recovery, &config).unwrap();
    assert_eq!(step(&mut controller, &input(0.0))[2..5], [0.0; 3]);
    let twist = Twist {
        vx_mps: -0.5,
        vy_mps: 0.125,
        yaw_rate_radps: 2.0,
    };
    controller.set_command(Some(twist));
    controller.reset();
    let action = step(&mut controller, &input(0.0));
    for (action, expected) in action[2..5].iter().zip([-0.5, 0.125, 2.0]) {
        assert_close(*action, expected);
    }
    assert_eq!(
        (controller.mode(), controller.twist()),
        (Mode::Recovery, Some(twist))
    );
    assert_eq!(controller.value(), None);
}

#[test]
fn networks_that_the_method_needs_and_that_are_missing_are_named() {
    let error = |edit: fn(&mut Bundle), method| {
        let mut bundle = bundle();
        edit(&mut bundle);
        let controller = Controller::new(&go1(), &bundle, method, &ControllerConfig::default());
        controller.map(|_| ()).map_err(|error| error.to_string())
    };
    for (edit, name) in [
        ((|b| b.agile = None) as fn(&mut Bundle), "[agile]"),
        (|b| b.recovery = None, "[recovery]"),
        (|b| b.reach_avoid = None, "[reach_avoid]"),
    ] {
        let message = error(edit, Method::Abs).unwrap_err();
        assert!(message.contains(&format!("no {name} network")), "{message}");
    }
    let only_agile: fn(&mut Bundle) = |b| (b.recovery, b.reach_avoid) = (None, None);
    assert_eq!(error(only_agile, Method::Agile), Ok(()));
    assert_eq!(error(|b| b.agile = None, Method::Recovery), Ok(()));
}

#[test]
fn settings_out_of_range_are_named() {
    let error = |edit: fn(&mut SwitchConfig)| {
        let mut config = ControllerConfig::default();
        edit(&mut config.switch);
        let controller = Controller::new(&go1(), &bundle(), Method::Abs, &config);
        controller.unwrap_err().to_string()
    };
    for (edit, expected) in [
        (
            (|c| c.threshold = Some(1.0)) as fn(&mut SwitchConfig),
            "controller.switch.threshold is 1, must be between -1 and 1, like the value",
        ),
        (
            |c| c.threshold = Some(f32::NAN),
            "controller.switch.threshold is NaN, must be between -1 and 1, like the value",
        ),
        (
            |c| c.hysteresis = -0.1,
            "controller.switch.hysteresis is -0.1, must be 0 or more and below 1",
        ),
        (
            |c| c.min_gain = Some(2.0),
            "controller.switch.min_gain is 2, must be -2 or more and below 2",
        ),
        (
            |c| c.search.response_s = -1.0,
            "controller.switch.search.response_s is -1, must be 0 or more and finite",
        ),
        (
            |c| c.search.limit.vy_mps = 0.0,
            "controller.switch.search.limit.vy_mps is 0, must be positive and finite",
        ),
        (
            |c| c.search.limit.yaw_rate_radps = f32::INFINITY,
            "controller.switch.search.limit.yaw_rate_radps is inf, must be positive and finite",
        ),
        (
            |c| c.search.steps = 1000,
            "controller.switch.search.steps is 1000, must be 1 to 100",
        ),
        (
            |c| c.search.margin = f32::NAN,
            "controller.switch.search.margin is NaN, must be 0 or more and finite",
        ),
    ] {
        assert_eq!(error(edit), expected);
    }
}

proptest! {
    /// Whatever the network, the twist is in the box, and its value is the one reported.
    #[test]
    fn the_search_stays_in_the_box(
        weights in prop::collection::vec(-3f32..3.0, 6 * 8 + 8),
        row in prop::collection::vec(-10f32..10.0, 6),
        (x_m, y_m) in (-8f32..8.0, -8f32..8.0),
        threshold in -0.99f32..0.99,
    ) {
        let hidden = Linear { weight: weights[..48].to_vec(), bias: vec![0.5; 8], inputs: 6 };
        let output = Linear { weight: weights[48..].to_vec(), bias: vec![0.1], inputs: 8 };
        let mut value = ReachAvoidValue::new(vec![hidden, output]).unwrap();
        let indices = TwistIndices { linear_velocity: 0, angular_velocity: 3 };
        let config = TwistSearchConfig::default();
        let limit = config.limit;
        let mut search = TwistSearch::new(config, indices, 6);
        let goal = GoalYaw { x_m, y_m, heading_error_rad: 0.0 };
        let found = search.search(&mut value, &row, &goal, threshold);
        let Twist { vx_mps, vy_mps, yaw_rate_radps } = found.twist;
        prop_assert!(vx_mps.abs() <= limit.vx_mps && vy_mps.abs() <= limit.vy_mps);
        prop_assert!(yaw_rate_radps.abs() <= limit.yaw_rate_radps);
        let at = [vx_mps, vy_mps, row[2], row[3], row[4], yaw_rate_radps];
        prop_assert_eq!(value.value(&at), found.value);
        prop_assert_eq!(found.safe, found.value < threshold);
        // Never worse than to clip the current twist.
        let clip = |x: f32, limit: f32| x.clamp(-limit, limit);
        let clipped = [
            clip(row[0], limit.vx_mps),
            clip(row[1], limit.vy_mps),
            row[2],
            row[3],
            row[4],
            clip(row[5], limit.yaw_rate_radps),
        ];
        let start = value.value(&clipped);
        prop_assert!(found.safe || found.value <= start);
    }
}
