//! After its construction the controller allocates nothing, neither in good steps nor in faults.

#![expect(clippy::unwrap_used, reason = "a test")]

mod allocations;

use controller::{ControlInput, Controller, ControllerConfig, Method, Mode};
use policies::{
    Bundle, Layout, PolicySpec, RaySpec,
    observation::terms,
    spec::{NetworkSpec, Provenance, role},
};
use robots::Robot;

use allocations::{ALLOCATIONS, layers};

fn bundle(robot: &Robot, rays: &RaySpec) -> Bundle {
    let mut bundle = Bundle::new(PolicySpec::new(robot, rays, 0.02));
    for (role, terms) in [
        (role::AGILE, terms::agile(rays)),
        (role::RECOVERY, terms::recovery()),
    ] {
        let spec = NetworkSpec::policy(role, terms, 0.25, Provenance::default());
        let inputs = Layout::new(&spec.observations, &bundle.spec.robot, rays)
            .unwrap()
            .dim();
        bundle
            .insert(role, spec, layers(&[inputs, 512, 256, 128, 12]))
            .unwrap();
    }
    let agile = bundle.spec.networks[role::AGILE].sha256.clone();
    let spec = NetworkSpec::value(terms::reach_avoid(rays), &agile, Provenance::default());
    // The value rises with v_x and little else.
    let inputs = Layout::new(&spec.observations, &bundle.spec.robot, rays)
        .unwrap()
        .dim();
    let mut value = layers(&[inputs, 64, 64, 1]);
    for (unit, row) in value[0].weight.chunks_exact_mut(inputs).enumerate() {
        row[0] = if unit % 2 == 0 { 1.0 } else { -1.0 };
    }
    bundle.insert(role::REACH_AVOID, spec, value).unwrap();
    bundle
}

#[test]
fn steps_and_faults_allocate_nothing() {
    for previous_steps in [0, 5] {
        check(&RaySpec {
            previous_steps,
            ..RaySpec::default()
        });
    }
}

fn check(rays: &RaySpec) {
    let robot = Robot::load("go1").unwrap();
    let bundle = bundle(&robot, rays);
    let mut config = ControllerConfig::default();
    // Any twist will do.
    config.switch.min_improvement = Some(-2.0);
    // Where this value network changes its sign does not matter, only that both policies act.
    let mut input = ControlInput::new(&robot, rays);
    let mut value_at = |vx_mps: f32| {
        let mut controller = Controller::new(&robot, &bundle, Method::Abs, &config).unwrap();
        input.state.linear_velocity_base.x = vx_mps;
        controller.step(&input.state, &input.rays, &input.goal, 9.0);
        controller.value().unwrap()
    };
    config.switch.threshold = Some(0.5 * (value_at(0.0) + value_at(3.0)));

    for (method, modes) in [
        (Method::agile(), vec![Mode::Agile, Mode::Fallback]),
        (Method::recovery(), vec![Mode::Recovery, Mode::Fallback]),
        (
            Method::Abs,
            vec![Mode::Agile, Mode::Recovery, Mode::Fallback],
        ),
    ] {
        let mut controller = Controller::new(&robot, &bundle, method, &config).unwrap();
        let mut input = ControlInput::new(&robot, rays);
        let mut counts = [0; 3];

        let before = ALLOCATIONS.get();
        for cycle in 0..200 {
            input.state.angular_velocity_base.z = if cycle % 10 == 7 { f32::NAN } else { 0.1 };
            input.state.linear_velocity_base.x = if cycle % 4 < 2 { 0.0 } else { 3.0 };
            input.time_left_s = 9.0 - 0.02 * cycle as f32;
            input.state.joint_position_rad[cycle % 12] = 0.1 * (cycle as f32).sin();
            controller.step(&input.state, &input.rays, &input.goal, input.time_left_s);
            counts[match controller.mode() {
                Mode::Agile => 0,
                Mode::Recovery => 1,
                Mode::Fallback => 2,
            }] += 1;
            if cycle == 100 {
                controller.reset();
            }
        }
        assert_eq!(ALLOCATIONS.get() - before, 0, "{method}");
        assert_eq!(counts[2], 20);
        for (mode, count) in [Mode::Agile, Mode::Recovery, Mode::Fallback]
            .iter()
            .zip(counts)
        {
            assert_eq!(modes.contains(mode), count > 0, "{method} {counts:?}");
        }
    }

    // The counter does count.
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(vec![1, 2, 3]));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}
