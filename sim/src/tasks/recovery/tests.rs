use robots::JointVec;

use super::{super::rewards::SoftLimits, *};
use crate::{engine::PhysicsState, random::stream, scene::Terrain};

fn go1() -> Arc<Robot> {
    Arc::new(Robot::load("go1").unwrap())
}

/// The outcome and the weighted reward terms of a step that ends at `time_s`, of a go1 in the standing pose at (2, 0.1) m/s and 1 rad/s
/// that is to move at (1, 0) m/s and 0.5 rad/s.
fn step(
    change: impl Fn(&mut RecoveryConfig, &mut PhysicsState),
    time_s: f32,
) -> (StepOutcome, Vec<f32>) {
    let robot = go1();
    let standing = &robot.control.standing_position_rad;
    let mut physics = PhysicsState::zero(&robot);
    physics.joint_position_rad = standing.iter().copied().collect();
    physics.linear_velocity_world = Vector3::new(2.0, 0.1, 0.0);
    physics.angular_velocity_world.z = 1.0;
    let mut config = RecoveryConfig::default();
    change(&mut config, &mut physics);
    let mut state = RobotState::zero(12, 4);
    physics.write_robot_state(&mut state);
    let velocity: JointVec = [0.0; 12].into_iter().collect();
    let mut episode = RecoveryEpisode {
        command: Twist {
            vx_mps: 1.0,
            vy_mps: 0.0,
            yaw_rate_radps: 0.5,
        },
        squared_error_sum: 0.0,
        yaw_rate_error_sum: 0.0,
        counted_steps: 0,
    };
    let mut terms = vec![f32::NAN; RecoveryTask::reward_names().len()];
    let outcome = RecoveryTask::new(&config, &robot).unwrap().step(
        &mut episode,
        &StepContext {
            robot: &robot,
            terrain: &Terrain::Flat,
            limits: &SoftLimits::new(&robot),
            step_s: 0.02,
            time_s,
            physics: &physics,
            state: &state,
            action: &[0.0; 12],
            previous_action: &[0.0; 12],
            previous_joint_velocity_radps: &velocity,
        },
        &mut terms,
    );
    (outcome, terms)
}

#[track_caller]
fn expect(terms: &[f32], term: &str, expected: f32) {
    let index = RecoveryRewards::NAMES.iter().position(|name| *name == term);
    let value = terms[index.unwrap()];
    assert!(
        (value - expected).abs() < 1e-4,
        "{term}: {value} != {expected}"
    );
}

#[test]
fn tracking_and_the_pose_are_rewarded() {
    let (outcome, terms) = step(|_, p| p.joint_position_rad[4] += 0.3, 0.5);
    assert_eq!(outcome, StepOutcome::Running);
    // An error of (1, 0.1) m/s and 0.5 rad/s.
    expect(&terms, "velocity", 10.0 * (-1.01f32 / 0.25).exp());
    expect(&terms, "yaw_rate", -0.5 * 0.25);
    expect(&terms, "alive", 5.0);
    expect(&terms, "stand", -0.1 * 0.3);
    expect(&terms, "base_contact", 0.0);
    // A robot that is slower than commanded has no error along x, unless both sides count.
    let slow = |p: &mut PhysicsState| p.linear_velocity_world.x = 0.5;
    let (_, terms) = step(|_, p| slow(p), 0.5);
    expect(&terms, "velocity", 10.0 * (-0.01f32 / 0.25).exp());
    let both_sides = |c: &mut RecoveryConfig, p: &mut PhysicsState| {
        c.one_sided_vx = false;
        slow(p);
    };
    let (_, terms) = step(both_sides, 0.5);
    expect(&terms, "velocity", 10.0 * (-0.26f32 / 0.25).exp());
}

#[test]
fn the_level_follows_survival_and_the_error_of_the_second_half() {
    let fall = |_: &mut RecoveryConfig, p: &mut PhysicsState| p.base_force_n = 5.0;
    let (outcome, terms) = step(fall, 0.5);
    expect(&terms, "base_contact", -100.0);
    let StepOutcome::Terminated(end) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(end.level, LevelChange::Down);
    assert_eq!(
        end.scalars[..2],
        [("fall_rate", 1.0), ("survival_fraction", 0.25)]
    );

    let (outcome, _) = step(|_, _| {}, 2.0);
    let StepOutcome::Timeout(end) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(end.level, LevelChange::Stay);
    let (name, error) = end.scalars[2];
    assert_eq!(name, "squared_velocity_error");
    assert!((error - 1.01).abs() < 1e-4, "{error}");
    let (outcome, _) = step(|_, p| p.linear_velocity_world.x = 1.2, 2.0);
    assert_eq!(outcome.end().unwrap().level, LevelChange::Up);
}

#[test]
fn episodes_begin_in_violent_states_of_the_ranges() {
    let robot = go1();
    let task = RecoveryTask::new(&RecoveryConfig::default(), &robot).unwrap();
    let mut stream = stream(3, 0);
    let (mut fastest_mps, mut most_tilted_rad) = (0f32, 0f32);
    for _ in 0..1000 {
        let plan = task.plan(0, &mut stream);
        let command = plan.episode.command;
        assert!(command.vx_mps.abs() <= 1.5 && command.vy_mps.abs() <= 0.3);
        assert!(command.yaw_rate_radps.abs() <= 3.0);
        assert!((-0.5..=5.5).contains(&plan.linear_velocity_world.x));
        assert!(plan.angular_velocity_world.amax() <= 1.0);
        assert!(plan.joint_velocity_radps.iter().all(|v| v.abs() <= 8.0));
        let (roll, pitch, _) = plan.orientation.euler_angles();
        let tilt_rad = roll.abs().max(pitch.abs());
        assert!(tilt_rad <= 30f32.to_radians() + 1e-4);
        fastest_mps = fastest_mps.max(plan.linear_velocity_world.x);
        most_tilted_rad = most_tilted_rad.max(tilt_rad);
    }
    assert!(fastest_mps > 5.4 && most_tilted_rad > 0.5);
}
