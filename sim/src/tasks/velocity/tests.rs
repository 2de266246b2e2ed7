use robots::{JointVec, RobotState};

use super::{super::rewards::SoftLimits, *};
use crate::{engine::PhysicsState, random::stream, scene::Terrain};

const FORWARD: Twist = Twist {
    vx_mps: 1.0,
    vy_mps: 0.0,
    yaw_rate_radps: 1.0,
};

fn go1() -> Arc<Robot> {
    Arc::new(Robot::load("go1").unwrap())
}

/// An episode of one command, of a go1 whose feet are on the ground.
fn episode(command: Twist) -> VelocityEpisode {
    VelocityEpisode {
        commands: vec![(10.0, command)],
        air_s: [0.0; 4].into_iter().collect(),
        velocity_error_sum: 0.0,
        yaw_rate_error_sum: 0.0,
    }
}

/// The outcome and the weighted reward terms of a step of a level go1 that ends at `time_s`; `change` makes its state from the standing pose.
fn step(
    episode: &mut VelocityEpisode,
    time_s: f32,
    change: impl Fn(&mut PhysicsState),
) -> (StepOutcome, Vec<f32>) {
    let robot = go1();
    let standing = &robot.control.standing_position_rad;
    let mut physics = PhysicsState::zero(&robot);
    physics.joint_position_rad = standing.iter().copied().collect();
    for force in &mut physics.foot_force_world {
        *force = Vector3::new(0.0, 0.0, 30.0);
    }
    change(&mut physics);
    let mut state = RobotState::zero(12, 4);
    physics.write_robot_state(&mut state);
    let velocity: JointVec = [0.0; 12].into_iter().collect();
    let mut terms = vec![f32::NAN; VelocityTask::reward_names().len()];
    let outcome = VelocityTask::new(&VelocityConfig::default(), &robot)
        .unwrap()
        .step(
            episode,
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
    let index = VelocityRewards::NAMES.iter().position(|name| *name == term);
    let value = terms[index.unwrap()];
    assert!(
        (value - expected).abs() < 1e-4,
        "{term}: {value} != {expected}"
    );
}

#[test]
fn tracking_pays_by_the_squared_error_over_the_variance() {
    let (_, terms) = step(&mut episode(FORWARD), 1.0, |p| {
        p.linear_velocity_world = Vector3::new(1.0, 0.0, 0.0);
        p.angular_velocity_world.z = 1.0;
    });
    expect(&terms, "linear_velocity", 15.0);
    expect(&terms, "yaw_rate", 7.5);
    // An error of (0.3, 0.4) m/s is one standard deviation, as is 0.5 rad/s.
    let (outcome, terms) = step(&mut episode(FORWARD), 1.0, |p| {
        p.linear_velocity_world = Vector3::new(0.7, 0.4, 0.0);
        p.angular_velocity_world.z = 0.5;
    });
    expect(&terms, "linear_velocity", 15.0 * (-1f32).exp());
    expect(&terms, "yaw_rate", 7.5 * (-1f32).exp());
    assert_eq!(outcome, StepOutcome::Running);
}

#[test]
fn steps_are_paid_when_the_foot_touches_down() {
    let mut episode = episode(FORWARD);
    let lift = |p: &mut PhysicsState| p.foot_force_world[1] = Vector3::zeros();
    // 15 steps of 0.02 s in the air, then down: 0.3 s, of which 0.25 s are asked for.
    for count in 1..=15 {
        let (_, terms) = step(&mut episode, 0.02 * count as f32, lift);
        expect(&terms, "air_time", 0.0);
    }
    let (_, terms) = step(&mut episode, 0.32, |_| {});
    expect(&terms, "air_time", 50.0 * 0.05);
    // It is on the ground.
    expect(&step(&mut episode, 0.34, |_| {}).1, "air_time", 0.0);
    // A short step costs, and a long one earns no more than twice the time.
    episode.air_s[1] = 0.1;
    expect(
        &step(&mut episode, 0.36, |_| {}).1,
        "air_time",
        -50.0 * 0.15,
    );
    episode.air_s[1] = 3.0;
    expect(&step(&mut episode, 0.38, |_| {}).1, "air_time", 50.0 * 0.25);
}

#[test]
fn a_robot_that_is_to_stand_keeps_the_standing_pose() {
    let mut standing = episode(Twist::default());
    standing.air_s[0] = 0.5;
    let lean = |p: &mut PhysicsState| p.joint_position_rad[4] += 0.3;
    let (_, terms) = step(&mut standing, 1.0, lean);
    expect(&terms, "stand_still", -0.3);
    expect(&terms, "air_time", 0.0);
    let (_, terms) = step(&mut episode(FORWARD), 1.0, lean);
    expect(&terms, "stand_still", 0.0);
}

#[test]
fn a_fall_terminates_and_the_clock_times_out() {
    let fall = |p: &mut PhysicsState| p.base_force_n = 50.0;
    let (outcome, terms) = step(&mut episode(FORWARD), 1.0, fall);
    expect(&terms, "base_contact", -100.0);
    let StepOutcome::Terminated(end) = outcome else {
        panic!("{outcome:?}");
    };
    // A tenth of the episode.
    assert_eq!(end.level, LevelChange::Down);
    assert_eq!(
        end.scalars[..2],
        [("fall_rate", 1.0), ("survival_fraction", 0.1)]
    );
    // A fall late in the episode leaves the level.
    let (outcome, _) = step(&mut episode(FORWARD), 9.0, fall);
    assert_eq!(outcome.end().unwrap().level, LevelChange::Stay);
    assert_eq!(
        step(&mut episode(FORWARD), 9.98, |_| {}).0,
        StepOutcome::Running
    );
    let (outcome, _) = step(&mut episode(FORWARD), 10.0, |_| {});
    assert!(matches!(outcome, StepOutcome::Timeout(_)));
}

#[test]
fn the_level_rises_with_a_small_mean_error() {
    for (mean_error_mps, level) in [(0.25, LevelChange::Up), (0.4, LevelChange::Stay)] {
        let mut episode = episode(FORWARD);
        // 499 steps before the last, which has the error of the command, 1 m/s.
        episode.velocity_error_sum = 500.0 * mean_error_mps - 1.0;
        let (outcome, _) = step(&mut episode, 10.0, |_| {});
        let end = outcome.end().unwrap();
        assert_eq!(end.level, level);
        let (name, value) = end.scalars[2];
        assert_eq!(name, "velocity_error_mps");
        assert!((value - mean_error_mps).abs() < 1e-4, "{value}");
    }
}

#[test]
fn commands_are_drawn_within_their_ranges_and_some_are_to_stand() {
    let task = VelocityTask::new(&VelocityConfig::default(), &go1()).unwrap();
    let mut stream = stream(3, 0);
    let (mut all, mut standing, mut fast) = (0, 0, 0);
    for _ in 0..1000 {
        let episode = task.plan(0, &mut stream).episode;
        let mut begin_s = 0.0;
        for &(until_s, command) in &episode.commands {
            assert!((2.0..=5.0 + 1e-5).contains(&(until_s - begin_s)));
            assert!((-1.0..=2.0).contains(&command.vx_mps));
            assert!((-0.8..=0.8).contains(&command.vy_mps));
            assert!((-2.0..=2.0).contains(&command.yaw_rate_radps));
            // It holds from the step at which it begins.
            assert_eq!(episode.command(begin_s), command);
            assert_eq!(episode.command(until_s - 1e-3), command);
            all += 1;
            standing += usize::from(command == Twist::default());
            fast += usize::from(command.vx_mps > 1.0);
            begin_s = until_s;
        }
        assert!(begin_s >= 10.0);
    }
    let fraction = |count: usize| count as f32 / all as f32;
    assert!(
        (0.08..0.12).contains(&fraction(standing)),
        "{standing} of {all}"
    );
    // A third of the commands that are not to stand.
    assert!((0.27..0.33).contains(&fraction(fast)), "{fast} of {all}");
}

#[test]
fn settings_out_of_range_are_named() {
    for (change, key) in [
        (
            (|c| c.command_s = [0.0, 1.0]) as fn(&mut VelocityConfig),
            "command_s",
        ),
        (|c| c.vx_mps = [1.0, -1.0], "vx_mps"),
        (|c| c.stand_probability = 1.5, "stand_probability"),
        (|c| c.velocity_std_mps = 0.0, "velocity_std_mps"),
    ] {
        let mut config = VelocityConfig::default();
        change(&mut config);
        let error = VelocityTask::validate(&config).unwrap_err().to_string();
        assert!(error.contains(&format!("`env.{key}`")), "{error}");
    }
}
