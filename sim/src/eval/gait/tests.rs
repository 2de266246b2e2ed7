use nalgebra::{Point3, Vector3};

use super::*;
use crate::engine::{self, Engine, EngineKind};

fn go1() -> Robot {
    Robot::load("go1").unwrap()
}

fn meter<'a>(robot: &'a Robot, start: &EpisodeStart) -> GaitMeter<'a> {
    GaitMeter::new(robot, start, &PhysicsConfig::default())
}

/// In the standing pose, `height_m` higher than it stands, with no force on any foot.
fn airborne(robot: &Robot, height_m: f32) -> PhysicsState {
    let start = EpisodeStart::standing(robot);
    let mut physics = PhysicsState::zero(robot);
    physics.joint_position_rad = start.joint_position_rad;
    let standing_m = robot.height_over_feet_m(&physics.joint_position_rad);
    physics.position_world = Point3::new(0.0, 0.0, standing_m + height_m);
    physics
}

fn touching(mut physics: PhysicsState) -> PhysicsState {
    physics.foot_force_world.fill(Vector3::new(0.0, 0.0, 30.0));
    physics
}

fn engines() -> impl Iterator<Item = EngineKind> {
    let has_mujoco = cfg!(feature = "mujoco");
    let all = EngineKind::ALL.iter().copied();
    all.filter(move |kind| has_mujoco || *kind != EngineKind::Mujoco)
}

/// Holds the standing pose for so many policy steps.
fn simulate(kind: EngineKind, robot: &Robot, start: &EpisodeStart, steps: usize) -> GaitSums {
    let physics = PhysicsConfig::default();
    let mut engine: Box<dyn Engine> = engine::build(kind, robot, &physics, 1).unwrap();
    engine.reset(0, start).unwrap();
    let mut state = PhysicsState::zero(robot);
    let mut meter = meter(robot, start).above(-1.0);
    let target_rad = &robot.control.standing_position_rad;
    for _ in 0..steps {
        meter.command(target_rad);
        for step in 0..physics.decimation {
            engine.physics_step(target_rad, step);
            engine.read(0, &mut state);
            meter.observe(&state);
        }
    }
    meter.finish()
}

#[test]
fn a_dropped_robot_touches_down_at_the_root_of_2_g_h_in_all_engines() {
    let robot = go1();
    let standing = EpisodeStart::standing(&robot);
    let over_feet_m = robot.height_over_feet_m(&standing.joint_position_rad);
    for kind in engines() {
        for height_m in [0.05, 0.1] {
            let mut start = standing.clone();
            start.position_world.z = over_feet_m + height_m;
            let fall_s = (2.0 * height_m / 9.81_f32).sqrt();
            let steps = (fall_s / 0.02) as usize + 2;
            let gait = simulate(kind, &robot, &start, steps).report().unwrap();
            let (found, expected) = (gait.touchdown_speed_mps.unwrap(), 9.81 * fall_s);
            // Up to two physics steps of the fall come after the last one that is seen, or before.
            let tolerance = 2.0 * 9.81 * 0.005;
            assert!(
                (found as f32 - expected).abs() < tolerance,
                "{kind}, {height_m} m: {found}, expected {expected}"
            );
            let p95 = gait.touchdown_speed_p95_mps.unwrap();
            assert!((p95 as f32 - expected).abs() < tolerance + 0.05, "{kind}");
            // The largest height is that after the first physics step.
            let clearance_m = gait.swing_clearance_p5_m.unwrap() as f32;
            assert!(
                (clearance_m - height_m).abs() < 0.001,
                "{kind}: {clearance_m}"
            );
        }
    }
}

#[test]
fn a_standing_robot_neither_slips_nor_works_in_any_engine() {
    let robot = go1();
    let start = EpisodeStart::standing(&robot);
    for kind in engines() {
        let settled = simulate(kind, &robot, &start, 50).report().unwrap();
        let longer = simulate(kind, &robot, &start, 150).report().unwrap();
        // What the robot does while it settles is in both.
        let later = |of: fn(&GaitReport) -> f64| {
            (longer.moving_s * of(&longer) - settled.moving_s * of(&settled))
                / (longer.moving_s - settled.moving_s)
        };
        let power_w = later(|gait| gait.mechanical_power_w);
        assert!(power_w.abs() < 0.2, "{kind}: {power_w} W");
        let slip_mps = later(|gait| gait.slip_mps.unwrap());
        assert!(slip_mps.abs() < 0.005, "{kind}: {slip_mps} m/s");
        assert_eq!(longer.target_reversal_fraction, 0.0);
        assert_eq!(longer.velocity_limit_fraction, 0.0);
    }
}

#[test]
fn nothing_is_measured_of_a_robot_that_does_not_move() {
    let robot = go1();
    let start = EpisodeStart::standing(&robot);
    let mut meter = meter(&robot, &start);
    let mut physics = touching(airborne(&robot, 0.0));
    physics.linear_velocity_world = Vector3::new(0.3, 0.39, 5.0);
    meter.command(&robot.control.standing_position_rad);
    meter.observe(&physics);
    assert_eq!(meter.finish().report(), None);
}

#[test]
fn changes_of_targets_that_reverse_are_counted_joint_by_joint() {
    let robot = go1();
    let start = EpisodeStart::standing(&robot);
    let mut meter = meter(&robot, &start).above(-1.0);
    let mut target_rad = start.joint_position_rad.clone();
    // Joint 0: up, down, down, up: of three pairs of changes two reverse. Joint 1: up, up, still, up: one pair, no reversal,
    // as the pairs with a change of zero do not count. The others keep still.
    for (first, second) in [(0.0, 0.0), (0.1, 0.1), (-0.1, 0.2), (-0.2, 0.2), (0.0, 0.3)] {
        target_rad[0] = first;
        target_rad[1] = 0.8 + second;
        meter.command(&target_rad);
    }
    let sums = meter.finish();
    assert_eq!((sums.changes, sums.reversals), (4, 2));
    assert_eq!((sums.targets, sums.targets_beyond), (60, 0));
}

#[test]
fn targets_beyond_the_limits_are_counted_and_those_of_knees_apart() {
    let robot = go1();
    let start = EpisodeStart::standing(&robot);
    let mut meter = meter(&robot, &start).above(-1.0);
    let mut target_rad = start.joint_position_rad.clone();
    let joints: Vec<_> = robot.joints().collect();
    target_rad[0] = joints[0].upper_rad + 0.01;
    target_rad[2] = joints[2].lower_rad - 0.01;
    target_rad[5] = joints[5].upper_rad + 0.01;
    target_rad[8] = joints[8].upper_rad;
    meter.command(&target_rad);
    let gait = meter.finish();
    assert_eq!((gait.targets, gait.targets_beyond), (12, 3));
    assert_eq!((gait.knee_targets, gait.knee_targets_beyond), (4, 2));
}

#[test]
fn a_made_up_trace_has_its_clearances_speeds_and_slip() {
    let robot = go1();
    let start = EpisodeStart::standing(&robot);
    let mut meter = meter(&robot, &start);
    let speed = Vector3::new(1.2, 0.0, 0.0);
    let mut observe = |height_m: f32, fall_mps: f32, touches: bool| {
        let mut physics = airborne(&robot, height_m);
        physics.linear_velocity_world = speed + Vector3::new(0.0, 0.0, -fall_mps);
        meter.observe(&if touches { touching(physics) } else { physics });
    };
    observe(0.0, 0.0, true);
    // Swings of 20 peaks, 1 mm to 20 mm, that end at 0.9 m/s down and 1.2 m/s along: 1.5 m/s.
    for k in 1..=20 {
        for height_m in [0.3, 1.0, 0.7, 0.2] {
            observe(0.001 * height_m * k as f32, 0.9, false);
        }
        observe(0.0, 0.0, true);
        // A bounce of 15 ms is no swing.
        for _ in 0..3 {
            observe(0.0002, 7.0, false);
        }
        observe(0.0, 0.0, true);
    }
    let gait = meter.finish().report().unwrap();
    let near = |found: f64, expected: f64, tolerance: f64| {
        assert!(
            (found - expected).abs() < tolerance,
            "{found}, expected {expected}"
        );
    };
    near(gait.touchdown_speed_mps.unwrap(), 1.5, 1e-5);
    near(gait.touchdown_vertical_mps.unwrap(), 0.9, 1e-5);
    near(gait.touchdown_speed_p95_mps.unwrap(), 1.5, 0.05);
    // 5% of 20 swings: the lowest.
    near(gait.swing_clearance_p5_m.unwrap(), 0.001, 0.0006);
    // All points of a robot that moves as a whole slip.
    near(gait.slip_mps.unwrap(), 1.2, 1e-5);
    // The step is an f32.
    near(gait.moving_s, 0.005 * (1.0 + 20.0 * 9.0), 1e-6);
}

#[test]
fn a_foot_that_rolls_does_not_slip() {
    let robot = go1();
    let start = EpisodeStart::standing(&robot);
    let physics = touching(airborne(&robot, 0.0));
    // The whole robot turns about the axis through the lowest points of its front feet.
    let spin_radps = Vector3::new(0.0, 2.0, 0.0);
    let front = &robot.legs[0];
    let foot = front.foot_position_base(&physics.joint_position_rad[..3]);
    let pivot_base = foot.coords - Vector3::new(0.0, 0.0, front.foot.radius);
    let turning = PhysicsState {
        angular_velocity_world: spin_radps,
        linear_velocity_world: -spin_radps.cross(&pivot_base),
        ..physics
    };
    let (point, velocity) = turning.foot_sole_world(front, 0..3);
    assert!(point.z.abs() < 1e-5 && velocity.norm() < 1e-5, "{velocity}");
    // A joint that turns moves it as the Jacobian of the foot's centre and the turn of the calf say.
    let mut bending = turning;
    bending.joint_velocity_radps[2] = 3.0;
    let (_, velocity) = bending.foot_sole_world(front, 0..3);
    let centre = front.foot_jacobian_base(&bending.joint_position_rad[..3])[2] * 3.0;
    let of_radius = Vector3::new(0.0, 3.0, 0.0).cross(&Vector3::new(0.0, 0.0, -front.foot.radius));
    assert!((velocity - centre - of_radius).norm() < 1e-4, "{velocity}");
    assert!(meter(&robot, &start).finish().report().is_none());
}

#[test]
fn power_limits_and_cost_of_transport_are_by_their_definitions() {
    let robot = go1();
    let start = EpisodeStart::standing(&robot);
    let mut meter = meter(&robot, &start);
    let mut physics = touching(airborne(&robot, 0.0));
    physics.linear_velocity_world = Vector3::new(0.0, 2.0, 0.0);
    // 60 W drive, 40 W brake.
    (physics.joint_torque_nm[0], physics.joint_velocity_radps[0]) = (20.0, 3.0);
    (physics.joint_torque_nm[1], physics.joint_velocity_radps[1]) = (-20.0, 2.0);
    let knee = robot.joints().nth(2).unwrap();
    physics.joint_torque_nm[2] = -knee.effort_limit_nm;
    physics.joint_velocity_radps[5] = knee.velocity_limit_radps;
    for _ in 0..10 {
        meter.observe(&physics);
    }
    let gait = meter.finish().report().unwrap();
    assert!((gait.mechanical_power_w - 60.0).abs() < 1e-4);
    let weight_n = 9.81 * f64::from(robot.mass_kg());
    assert!((gait.cost_of_transport - 60.0 / (2.0 * weight_n)).abs() < 1e-5);
    assert!((gait.effort_limit_fraction - 1.0 / 12.0).abs() < 1e-9);
    assert!((gait.velocity_limit_fraction - 1.0 / 12.0).abs() < 1e-9);
}

#[test]
fn sums_of_episodes_add_up() {
    let robot = go1();
    let start = EpisodeStart::standing(&robot);
    let run = |steps| {
        let mut meter = meter(&robot, &start);
        for step in 0..steps {
            let mut physics = airborne(&robot, 0.002 * (step % 8) as f32);
            physics.linear_velocity_world.x = 1.0;
            if step % 8 == 0 {
                physics = touching(physics);
            }
            meter.observe(&physics);
        }
        meter.finish()
    };
    let (one, three) = (run(80), run(240));
    let mut sum = GaitSums::default();
    for _ in 0..3 {
        sum.add(&one);
    }
    let (sum, three) = (sum.report().unwrap(), three.report().unwrap());
    assert!((sum.moving_s - three.moving_s).abs() < 1e-9);
    assert_eq!(sum.slip_mps, three.slip_mps);
    // Each starts on its feet, so the last swing of each has no end.
    assert_eq!(sum.touchdown_speed_mps, Some(1.0));
    assert_eq!(sum.swing_clearance_p5_m, three.swing_clearance_p5_m);
}
