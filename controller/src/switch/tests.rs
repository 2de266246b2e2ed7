use nalgebra::{Point2, Point3};
use policies::{
    GoalYaw, Linear, PolicySpec, Quantity, RaySpec, Twist,
    observation::{ObservationTerm, terms},
    spec::{NetworkSpec, Provenance, SwitchOverrides, role},
};
use proptest::prelude::*;

use super::*;
use crate::controller::tests::{assert_close, step};
use crate::{ControlInput, Controller, ControllerConfig, FallbackReason, Method, Mode};

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
    let mut bundle = Bundle::new(PolicySpec::new(&robot, &rays, 0.02));
    let policy = |role, terms| NetworkSpec::policy(role, terms, 0.25, Provenance::default());
    let layout_of =
        |terms: &[ObservationTerm]| Layout::new(terms, &bundle.spec.robot, &rays).unwrap();
    let (agile, recovery) = (
        layout_of(&terms::agile(&rays)),
        layout_of(&terms::recovery()),
    );
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
    let spec = policy(role::AGILE, terms::agile(&rays));
    bundle
        .insert(role::AGILE, spec, vec![agile_linear])
        .unwrap();
    let spec = policy(role::RECOVERY, terms::recovery());
    bundle
        .insert(role::RECOVERY, spec, vec![recovery_linear])
        .unwrap();
    insert_value(&mut bundle, vec![value_linear]);
    bundle
}

fn insert_value(bundle: &mut Bundle, layers: Vec<Linear>) {
    let agile = bundle.spec.networks[role::AGILE].sha256.clone();
    let spec = NetworkSpec::value(
        terms::reach_avoid(&RaySpec::default()),
        &agile,
        Provenance::default(),
    );
    bundle.insert(role::REACH_AVOID, spec, layers).unwrap();
}

/// What the bundle says of its switch.
fn switch_of(bundle: &mut Bundle) -> &mut SwitchSpec {
    bundle.spec.switch.get_or_insert_default()
}

fn controller(switch: SwitchOverrides) -> Controller {
    let config = ControllerConfig {
        switch,
        ..ControllerConfig::default()
    };
    Controller::new(&go1(), &bundle(), Method::Abs, &config).unwrap()
}

/// A twist is reached at once.
fn at_once() -> SwitchOverrides {
    let mut config = SwitchOverrides::default();
    config.search.response_s = Some(0.0);
    config
}

/// Running ahead at `vx_mps`, the goal 5 m ahead.
fn input(vx_mps: f32) -> ControlInput {
    let robot = go1();
    let mut input = ControlInput::new(&robot, &RaySpec::default());
    input.state.position_world = Point3::new(0.0, 0.0, 0.3);
    input.state.joint_position_rad = policies::policy::default_target(&robot).position_rad;
    input.state.linear_velocity_base.x = vx_mps;
    input.goal.position_world = Point2::new(5.0, 0.0);
    input.time_left_s = 4.5;
    input
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
    let mut at_zero = self::controller(SwitchOverrides {
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
    let mut controller = controller(SwitchOverrides::default());
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
    switch_of(&mut bundle).threshold = -0.5;
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
    let acts = |min_improvement| {
        let mut controller = controller(SwitchOverrides {
            min_improvement: Some(min_improvement),
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
    let mut bundled = |min_improvement| {
        switch_of(&mut bundle).min_improvement = min_improvement;
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
        let mut controller = controller(SwitchOverrides {
            hysteresis: Some(hysteresis),
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
fn the_value_observes_the_vertical_and_tilting_speed_only_if_its_terms_are_not_masked() {
    let mut input = input(0.0);
    input.state.linear_velocity_base.z = 2.0;
    input.state.angular_velocity_base.y = 3.0;
    let value = |masked: bool| {
        let mut bundle = bundle();
        let network = bundle.spec.networks.get_mut(role::REACH_AVOID).unwrap();
        if !masked {
            network
                .observations
                .iter_mut()
                .for_each(|term| term.mask.clear());
        }
        let config = ControllerConfig::default();
        let mut controller = Controller::new(&go1(), &bundle, Method::Abs, &config).unwrap();
        step(&mut controller, &input);
        controller.value().unwrap()
    };
    assert_close(value(true), (-1f32).tanh());
    assert_close(value(false), 4f32.tanh());
}

/// The agile policy acts on joint 0 by its angular velocity two steps ago, whoever acted then.
#[test]
fn a_history_holds_the_steps_in_which_the_other_policy_acted() {
    let mut bundle = bundle();
    let mut spec = bundle.spec.networks[role::AGILE].clone();
    spec.observations = vec![ObservationTerm::from(Quantity::AngularVelocityBase).with_history(3)];
    bundle
        .insert(role::AGILE, spec, vec![linear(9, 12, &[(0, 0, 1.0)])])
        .unwrap();
    let agile = bundle.spec.networks[role::AGILE].sha256.clone();
    let value = bundle.spec.networks.get_mut(role::REACH_AVOID).unwrap();
    value.output = policies::spec::Output::Value {
        policy_sha256: agile,
    };
    let config = ControllerConfig {
        switch: at_once(),
        ..ControllerConfig::default()
    };
    let mut controller = Controller::new(&go1(), &bundle, Method::Abs, &config).unwrap();
    let mut acted = |vx_mps, roll_radps| {
        let mut input = input(vx_mps);
        input.state.angular_velocity_base.x = roll_radps;
        (step(&mut controller, &input)[0], controller.mode())
    };
    assert_eq!(acted(0.0, 0.5), (0.5, Mode::Agile));
    assert_eq!(acted(3.0, 0.25).1, Mode::Recovery);
    assert_eq!(acted(3.0, 0.75).1, Mode::Recovery);
    assert_eq!(acted(0.0, 0.0), (0.25, Mode::Agile));
    assert_eq!(acted(0.0, 0.0), (0.75, Mode::Agile));
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
        let mut controller = controller(SwitchOverrides::default());
        for (damage, expected) in cases {
            let mut damaged = input(vx_mps);
            damage(&mut damaged);
            step(&mut controller, &damaged);
            assert_eq!(controller.mode(), Mode::Fallback);
            assert_eq!(controller.fallback_reason().unwrap().to_string(), expected);
            assert_eq!((controller.value(), controller.twist()), (None, None));
            step(&mut controller, &input(vx_mps));
            assert_ne!(controller.mode(), Mode::Fallback);
        }
    }
}

#[test]
fn a_value_that_overflows_gives_the_fallback() {
    let mut bundle = bundle();
    let first = linear(19, 2, &[(0, 0, f32::MAX), (1, 0, f32::MAX)]);
    let second = linear(2, 1, &[(0, 0, f32::MAX), (0, 1, f32::MIN)]);
    insert_value(&mut bundle, vec![first, second]);
    let config = ControllerConfig::default();
    let mut controller = Controller::new(&go1(), &bundle, Method::Abs, &config).unwrap();
    step(&mut controller, &input(3.0));
    assert_eq!(
        controller.fallback_reason(),
        Some(FallbackReason::NotFinite(NotFinite::Value))
    );
}

#[test]
fn recovery_alone_follows_its_command() {
    let config = ControllerConfig::default();
    let mut controller = Controller::new(&go1(), &bundle(), Method::recovery(), &config).unwrap();
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
    fn without(bundle: &mut Bundle, role: &str) {
        bundle.spec.networks.remove(role);
    }
    for (edit, name) in [
        ((|b| without(b, role::AGILE)) as fn(&mut Bundle), "agile"),
        (|b| without(b, role::RECOVERY), "recovery"),
        (|b| without(b, role::REACH_AVOID), "reach-avoid"),
    ] {
        let message = error(edit, Method::Abs).unwrap_err();
        assert!(
            message.contains(&format!("no network `{name}`")),
            "{message}"
        );
    }
    let only_agile: fn(&mut Bundle) = |b| b.spec.networks.retain(|role, _| role == role::AGILE);
    assert_eq!(error(only_agile, Method::agile()), Ok(()));
    assert_eq!(
        error(|b| without(b, role::AGILE), Method::recovery()),
        Ok(())
    );
}

#[test]
fn settings_out_of_range_are_named() {
    let error = |edit: fn(&mut SwitchOverrides)| {
        let mut config = ControllerConfig::default();
        edit(&mut config.switch);
        let controller = Controller::new(&go1(), &bundle(), Method::Abs, &config);
        controller.unwrap_err().to_string()
    };
    fn limit() -> Twist {
        SwitchSpec::default().search.limit
    }
    for (edit, expected) in [
        (
            (|c| c.threshold = Some(1.0)) as fn(&mut SwitchOverrides),
            "controller.switch.threshold is 1, must be between -1 and 1, like the value",
        ),
        (
            |c| c.threshold = Some(f32::NAN),
            "controller.switch.threshold is NaN, must be between -1 and 1, like the value",
        ),
        (
            |c| c.hysteresis = Some(-0.1),
            "controller.switch.hysteresis is -0.1, must be 0 or more and below 1",
        ),
        (
            |c| c.min_improvement = Some(2.0),
            "controller.switch.min_improvement is 2, must be -2 or more and below 2",
        ),
        (
            |c| c.search.response_s = Some(-1.0),
            "controller.switch.search.response_s is -1, must be 0 or more and finite",
        ),
        (
            |c| {
                c.search.limit = Some(Twist {
                    vy_mps: 0.0,
                    ..limit()
                })
            },
            "controller.switch.search.limit.vy_mps is 0, must be positive and finite",
        ),
        (
            |c| {
                c.search.limit = Some(Twist {
                    yaw_rate_radps: f32::INFINITY,
                    ..limit()
                })
            },
            "controller.switch.search.limit.yaw_rate_radps is inf, must be positive and finite",
        ),
        (
            |c| c.search.steps = Some(1000),
            "controller.switch.search.steps is 1000, must be 1 to 100",
        ),
        (
            |c| c.search.margin = Some(f32::NAN),
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
        let indices = crate::twist_search::TwistIndices { linear_velocity: 0, angular_velocity: 3 };
        let config = SwitchSpec::default().search;
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
