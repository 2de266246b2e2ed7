use std::convert::Infallible;

use nalgebra::{Point2, Point3};
use policies::{
    Linear, PolicySpec, Quantity, RaySpec,
    observation::terms,
    policy::ACTION_CLIP,
    spec::{NetworkSpec, Provenance},
};

use super::*;

fn go1() -> Robot {
    Robot::load("go1").unwrap()
}

/// A linear policy: action j = sum of `weight` (joint, observation element, value) + 0.01 j.
fn bundle(weight: &[(usize, usize, f32)]) -> Bundle {
    let ray_spec = RaySpec::default();
    let mut linear = Linear {
        weight: vec![0.0; 12 * 61],
        bias: (0..12).map(|joint| 0.01 * joint as f32).collect(),
        inputs: 61,
    };
    for &(joint, element, value) in weight {
        linear.weight[joint * 61 + element] = value;
    }
    bundle_of(&ray_spec, vec![linear])
}

fn bundle_of(rays: &RaySpec, agile: Vec<Linear>) -> Bundle {
    let mut bundle = Bundle::new(PolicySpec::new(&go1(), rays, 0.02));
    let spec = NetworkSpec::policy(role::AGILE, terms::agile(rays), 0.25, Provenance::default());
    bundle.insert(role::AGILE, spec, agile).unwrap();
    bundle
}

fn element(quantity: Quantity) -> usize {
    let layout = bundle(&[]).spec.layout(role::AGILE).unwrap();
    layout.range(quantity).unwrap().start
}

fn controller(weight: &[(usize, usize, f32)]) -> Controller {
    agile(&bundle(weight))
}

fn agile(bundle: &Bundle) -> Controller {
    Controller::new(
        &go1(),
        bundle,
        Method::agile(),
        &ControllerConfig::default(),
    )
    .unwrap()
}

/// Standing at the origin in the default posture, the goal 2 m ahead and 1 m to the left.
fn input() -> ControlInput {
    let robot = go1();
    let mut input = ControlInput::new(&robot, &RaySpec::default());
    input.state.position_world = Point3::new(0.0, 0.0, 0.3);
    input.state.joint_position_rad = default_target(&robot).position_rad;
    input.goal.position_world = Point2::new(2.0, 1.0);
    input.time_left_s = 4.5;
    input
}

/// Action that the last target stands for.
pub(crate) fn step(controller: &mut Controller, input: &ControlInput) -> Vec<f32> {
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
pub(crate) fn assert_close(actual: f32, expected: f32) {
    assert!(
        (actual - expected).abs() < 1e-5,
        "{actual}, expected {expected}"
    );
}

#[test]
fn goal_time_and_rays_reach_the_policy() {
    let mut controller = controller(&[
        (0, element(Quantity::GoalPosition), 1.0),
        (1, element(Quantity::GoalPosition) + 1, 1.0),
        (2, element(Quantity::TimeLeft), 1.0),
        (3, element(Quantity::LogRays) + 10, 1.0),
    ]);
    let mut input = input();
    input.rays.distance_m[10] = 0.5;
    let action = step(&mut controller, &input);
    for (actual, expected) in action.iter().zip([2.0, 1.01, 0.52, -0.97, 0.04]) {
        assert_close(*actual, expected);
    }
    assert_eq!(controller.mode(), Mode::Agile);
    assert!(!controller.limited().any());
    assert_eq!(controller.target.stiffness[..], go1().control.stiffness);
    assert_eq!(controller.target.damping[..], go1().control.damping);
}

#[test]
fn what_the_rays_saw_before_reaches_the_policy_until_the_scene_changes() {
    let ray_spec = RaySpec {
        previous_steps: 3,
        ..RaySpec::default()
    };
    let layout = bundle_of(&ray_spec, Vec::new())
        .spec
        .layout(role::AGILE)
        .unwrap();
    let mut linear = Linear {
        weight: vec![0.0; 12 * layout.dim()],
        bias: vec![0.0; 12],
        inputs: layout.dim(),
    };
    // Joint 0 does what the ray ahead saw.
    linear.weight[layout.range(Quantity::PreviousLogRays).unwrap().start + 5] = 1.0;
    let bundle = bundle_of(&ray_spec, vec![linear]);
    let mut controller = self::agile(&bundle);
    let mut input = input();
    let mut see = |controller: &mut Controller, ahead_m: f32| {
        input.rays.distance_m[5] = ahead_m;
        step(controller, &input)[0]
    };
    let seen = [1.0, 2.0, 4.0, 2.0, 2.0, 2.0].map(|ahead_m| see(&mut controller, ahead_m));
    for (actual, expected) in seen.iter().zip([0.0, 0.0, 0.0, 0.0, 1.0, 2.0]) {
        assert_close(*actual, expected);
    }
    controller.enter_scene();
    assert_close(see(&mut controller, 4.0), 2.0);
    controller.reset();
    assert_close(see(&mut controller, 1.0), 0.0);
}

#[test]
fn the_clipped_action_is_observed_in_the_next_step() {
    // Joint 0 asks for 100; joint 4 repeats what joint 0 did.
    let previous = element(Quantity::PreviousAction);
    let time = element(Quantity::TimeLeft);
    let mut controller = controller(&[(0, time, 200.0), (4, previous, 0.1)]);
    assert_close(step(&mut controller, &input())[4], 0.04);
    assert_close(step(&mut controller, &input())[4], 0.04 + 0.1 * ACTION_CLIP);
    controller.reset();
    assert_close(step(&mut controller, &input())[4], 0.04);
}

#[test]
fn a_contact_counts_in_its_step_and_the_next() {
    let mut controller = controller(&[(0, element(Quantity::FootContact) + 1, 1.0)]);
    let touch = {
        let mut input = input();
        input.state.foot_contact[1] = true;
        input
    };
    let none = input();
    let actions: Vec<f32> = [&none, &touch, &none, &none]
        .into_iter()
        .map(|input| step(&mut controller, input)[0])
        .collect();
    assert_eq!(actions, [-1.0, 1.0, 1.0, -1.0]);
    step(&mut controller, &touch);
    controller.reset();
    assert_eq!(step(&mut controller, &none)[0], -1.0);
}

#[test]
fn a_fault_in_the_input_gives_damping_and_its_reason() {
    type Damage = fn(&mut ControlInput);
    let cases: [(Damage, &str); 8] = [
        (
            |input| input.rays.distance_m[3] = f32::NAN,
            "observation of log-rays is not finite",
        ),
        (
            |input| input.goal.position_world.x = f32::NAN,
            "observation of goal-position",
        ),
        (
            |input| input.goal.heading_rad = f32::INFINITY,
            "observation of goal-heading",
        ),
        (
            |input| input.time_left_s = f32::NAN,
            "observation of time-left",
        ),
        (
            |input| input.state.joint_velocity_radps[7] = f32::NAN,
            "observation of joint-velocity",
        ),
        (
            |input| input.state.angular_velocity_base.z = f32::NAN,
            "observation of angular-velocity-base",
        ),
        (
            |input| input.rays.distance_m.truncate(10),
            "input has 10 rays, must have 11",
        ),
        (
            |input| input.state.joint_position_rad.clear(),
            "input has 0 joint positions, must have 12",
        ),
    ];
    let mut controller = controller(&[]);
    for (damage, expected) in cases {
        let healthy = step(&mut controller, &input());
        let mut damaged = input();
        damage(&mut damaged);
        step(&mut controller, &damaged);
        assert_eq!(controller.mode(), Mode::Fallback);
        assert_eq!(
            controller.limited(),
            Limited {
                fallback: true,
                ..Limited::default()
            }
        );
        assert_eq!(controller.target.stiffness[..], [0.0; 12]);
        assert_eq!(controller.target.damping[..], [2.0; 12]);
        assert!(
            controller
                .target
                .position_rad
                .iter()
                .all(|value| value.is_finite())
        );
        let reason = controller.fallback_reason().unwrap().to_string();
        assert!(reason.starts_with(expected), "{reason}");

        // The next good input is answered as before, with the robot's gains.
        assert_eq!(step(&mut controller, &input()), healthy);
        assert_eq!(controller.mode(), Mode::Agile);
        assert_eq!(controller.fallback_reason(), None);
        assert_eq!(controller.target.stiffness[..], go1().control.stiffness);
    }
}

#[test]
fn a_policy_that_overflows_gives_the_fallback() {
    let goal = element(Quantity::GoalPosition);
    // The goal 2 m ahead gives infinity in the first layer, and infinity minus infinity in the second.
    let mut first = bundle(&[]).layers(role::AGILE)[0].clone();
    for output in 0..2 {
        first.weight[output * 61 + goal] = f32::MAX;
    }
    let mut second = Linear {
        weight: vec![0.0; 12 * 12],
        bias: vec![0.0; 12],
        inputs: 12,
    };
    second.weight[0] = f32::MAX;
    second.weight[1] = f32::MIN;
    let bundle = bundle_of(&RaySpec::default(), vec![first, second]);
    let mut controller = self::agile(&bundle);
    step(&mut controller, &input());
    assert_eq!(
        controller.fallback_reason(),
        Some(FallbackReason::NotFinite(NotFinite::Action))
    );
    // And the NaN is not observed as previous action.
    let mut calm = input();
    calm.goal.position_world.x = 0.0;
    step(&mut controller, &calm);
    assert_eq!(controller.fallback_reason(), None);
}

#[test]
fn clones_and_reset_controllers_repeat_every_bit() {
    let weights: Vec<_> = (0..12)
        .flat_map(|joint| (0..61).map(move |e| (joint, e, 0.03 * ((joint * 61 + e) as f32).sin())))
        .collect();
    let mut first = controller(&weights);
    let run = |controller: &mut Controller| -> Vec<Vec<u32>> {
        (0..50)
            .map(|cycle| {
                let mut input = input();
                for (joint, value) in input.state.joint_position_rad.iter_mut().enumerate() {
                    *value += 0.2 * (cycle as f32 + joint as f32).sin();
                }
                input.state.foot_contact[cycle % 4] = true;
                step(controller, &input)
                    .iter()
                    .map(|value| value.to_bits())
                    .collect()
            })
            .collect()
    };
    let mut clone = first.clone();
    let recorded = run(&mut first);
    assert_eq!(run(&mut clone), recorded);
    first.reset();
    assert_eq!(run(&mut first), recorded);
    assert_ne!(recorded[0], recorded[1]);
}

/// A link that plays back inputs and keeps the commands.
struct Recorded {
    inputs: Vec<ControlInput>,
    targets: Vec<JointTarget>,
}

impl RobotLink for Recorded {
    type Error = Infallible;

    fn read(&mut self, input: &mut ControlInput) -> Result<(), Infallible> {
        input.clone_from(&self.inputs[self.targets.len()]);
        Ok(())
    }

    fn write(&mut self, target: &JointTarget) -> Result<(), Infallible> {
        self.targets.push(target.clone());
        Ok(())
    }
}

#[test]
fn a_cycle_reads_steps_and_writes() {
    let mut later = input();
    later.time_left_s = 0.9;
    let mut link = Recorded {
        inputs: vec![input(), later],
        targets: Vec::new(),
    };
    let mut controller = controller(&[(0, element(Quantity::TimeLeft), 1.0)]);
    let mut buffer = ControlInput::new(&go1(), &RaySpec::default());
    for _ in 0..2 {
        controller.cycle(&mut link, &mut buffer).unwrap();
    }
    assert_close(link.targets[0].position_rad[0], 0.25 * 0.5);
    assert_close(link.targets[1].position_rad[0], 0.25 * 0.1);
    assert_eq!(buffer, link.inputs[1]);
}

#[test]
fn what_does_not_fit_makes_no_controller() {
    let mut other = bundle(&[]);
    other.spec.robot.name = "go2".to_owned();
    let error = |bundle: &Bundle, config: &ControllerConfig| {
        let controller = Controller::new(&go1(), bundle, Method::agile(), config);
        controller.unwrap_err().to_string()
    };
    let message = error(&other, &ControllerConfig::default());
    assert!(message.contains("trained with go2"), "{message}");
    let mut config = ControllerConfig::default();
    config.safety.effort_factor = 0.0;
    let message = error(&bundle(&[]), &config);
    assert!(message.contains("effort_factor"), "{message}");
}
