use controller::{ControllerConfig, Method, Mode};
use policies::{
    Bundle, Linear, PolicySpec, RaySpec, Twist,
    observation::terms,
    spec::{NetworkSpec, Provenance, SwitchSpec, role},
};
use rand::RngExt;
use robots::Robot;

use super::*;
use crate::{
    engine::{EngineKind, PhysicsConfig},
    random::stream,
};

/// Networks of random weights; `scale` zero is a robot that holds its default posture, in every mode. The value is
/// tanh(2 - log2 of the ray ahead): safe where there is more than about 4 m of free way.
fn bundle(robot: &Robot, scale: f32) -> Bundle {
    let ray_spec = RaySpec::default();
    let mut stream = stream(5, 0);
    let mut layer = |inputs: usize, outputs: usize| {
        let mut draw = |count| -> Vec<f32> {
            (0..count)
                .map(|_| scale * (stream.random::<f32>() - 0.5))
                .collect()
        };
        Linear {
            inputs,
            weight: draw(inputs * outputs),
            bias: draw(outputs),
        }
    };
    let action_scale = robot.control.action_scale;
    let mut bundle = Bundle::new(PolicySpec {
        illusion_margin_m: Some(0.3),
        ..PolicySpec::new(robot, &ray_spec, 0.02)
    });
    for (role, terms, inputs) in [
        (role::AGILE, terms::agile(&ray_spec), 61),
        (role::RECOVERY, terms::recovery(), 49),
    ] {
        let spec = NetworkSpec::policy(role, terms, action_scale, Provenance::default());
        let layers = vec![layer(inputs, 32), layer(32, robot.num_joints())];
        bundle.insert(role, spec, layers).unwrap();
    }
    let mut value = Linear {
        inputs: 19,
        weight: vec![0.0; 19],
        bias: vec![2.0],
    };
    value.weight[13] = -1.0;
    let agile = bundle.spec.networks[role::AGILE].sha256.clone();
    let spec = NetworkSpec::value(terms::reach_avoid(&ray_spec), &agile, Provenance::default());
    bundle.insert(role::REACH_AVOID, spec, vec![value]).unwrap();
    // Recovery acts on any twist: what decides is the value alone.
    bundle.spec.switch = Some(SwitchSpec {
        min_improvement: -2.0,
        ..SwitchSpec::default()
    });
    bundle
}

fn short(episodes: usize, episode_s: f32) -> EvalConfig {
    EvalConfig {
        episodes,
        episode_s,
        ..EvalConfig::default()
    }
}

fn evaluate(scale: f32, config: &EvalConfig, threads: usize) -> (EvalReport, Vec<EpisodeRecord>) {
    evaluate_method(Method::agile(), scale, config, threads)
}

fn evaluate_method(
    method: Method,
    scale: f32,
    config: &EvalConfig,
    threads: usize,
) -> (EvalReport, Vec<EpisodeRecord>) {
    let robot = Robot::load("go1").unwrap();
    let bundle = bundle(&robot, scale);
    let (controller, physics) = (ControllerConfig::default(), PhysicsConfig::default());
    let evaluation =
        Evaluation::new(&robot, &bundle, method, config, &physics, &controller, 3).unwrap();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap();
    pool.install(|| evaluation.report(&|| ())).unwrap()
}

#[test]
fn a_standing_robot_neither_collides_nor_moves() {
    let (report, records) = evaluate(0.0, &short(6, 2.0), 2);
    for record in &records {
        assert_eq!(record.outcome, Outcome::Timeout, "{:?}", record.collision);
        assert_eq!(record.steps, 100);
        let to_goal_m = (record.scene.goal.position_world - record.scene.start_world).norm();
        assert!((record.final_distance_m - to_goal_m).abs() < 0.1);
        assert!(record.mean_speed_mps < 0.1);
    }
    assert_eq!(report.time_out_rate, 1.0);
    assert_eq!(
        [report.mean_speed, report.peak_speed],
        [0.0, 0.0],
        "none has reached"
    );
}

#[test]
fn a_robot_that_stands_at_the_goal_has_reached_it() {
    let mut config = short(2, 1.0);
    config.reach_m = 8.0;
    let (report, _) = evaluate(0.0, &config, 2);
    assert_eq!(report.reach_rate, 1.0);
}

#[test]
fn flailing_legs_collide_and_that_ends_the_episode() {
    let (report, records) = evaluate(3.0, &short(8, 4.0), 2);
    assert!(report.collision_rate > 0.5, "{report:?}");
    let ended = records.iter().filter(|r| r.outcome == Outcome::Collision);
    for record in ended {
        let collision = record.collision.as_ref().unwrap();
        assert!((collision.time_s - 0.02 * record.steps as f32).abs() < 1e-4);
        assert!(record.steps < 200, "episode {}", record.scene.index);
    }
}

#[test]
fn results_do_not_depend_on_threads_or_neighbours() {
    let config = short(10, 1.0);
    let key = |records: &[EpisodeRecord]| -> Vec<_> {
        let bits = |r: &EpisodeRecord| {
            let speeds = [r.mean_speed_mps, r.peak_speed_mps, r.final_distance_m];
            (r.scene.index, r.outcome, r.steps, speeds.map(f32::to_bits))
        };
        records.iter().map(bits).collect()
    };
    let (_, one) = evaluate(1.0, &config, 1);
    let (_, two) = evaluate(1.0, &config, 2);
    assert_eq!(key(&one), key(&two));

    let robot = Robot::load("go1").unwrap();
    let bundle = bundle(&robot, 1.0);
    let (controller, physics) = (ControllerConfig::default(), PhysicsConfig::default());
    let evaluation = Evaluation::new(
        &robot,
        &bundle,
        Method::agile(),
        &config,
        &physics,
        &controller,
        3,
    )
    .unwrap();
    let alone = evaluation.run(&[7, 2], true, &|| ()).unwrap();
    assert_eq!(
        key(&alone),
        [key(&one)[7], key(&one)[2]],
        "traced or not, alone or not"
    );
    let trace = &alone[0].trace;
    assert_eq!(trace.len(), alone[0].steps + 1, "start and every step");
    assert_eq!(trace[0].time_s, 0.0);
    assert_eq!(
        trace[trace.len() - 1].goal_distance_m,
        alone[0].final_distance_m
    );
}

#[test]
fn rates_sum_to_one_and_intervals_hold_them() {
    let (report, _) = evaluate(3.0, &short(8, 4.0), 2);
    let sum = report.reach_rate + report.collision_rate + report.time_out_rate;
    assert!((sum - 1.0).abs() < 1e-12);
    let [low, high] = report.collision_ci95;
    assert!(low < report.collision_rate && report.collision_rate <= high);
    assert!(report.steps_per_second > 0.0);
}

/// Textbook values: Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
#[test]
fn wilson_intervals_are_those_of_the_textbook() {
    for (hits, of, low, high) in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ] {
        let [l, h] = wilson_ci95(hits, of);
        assert!(
            (l - low).abs() < 6e-5 && (h - high).abs() < 6e-5,
            "{hits}/{of}: [{l}, {h}]"
        );
    }
    assert_eq!(wilson_ci95(0, 0), [0.0, 1.0]);
}

#[test]
fn settings_out_of_range_are_named() {
    let error = |change: fn(&mut EvalConfig)| {
        let mut config = EvalConfig::default();
        change(&mut config);
        config
            .validate(&PhysicsConfig::default())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error(|c| c.episodes = 0),
        "`eval.episodes` is 0, must be at least 1"
    );
    assert_eq!(
        error(|c| c.reach_m = -1.0),
        "`eval.reach_m` is -1, must be positive"
    );
    assert!(error(|c| c.episode_s = 0.001).contains("at least one policy step"));
    assert!(error(|c| c.testbed.obstacles.radius_m = 0.0).contains("`obstacles.radius_m` is 0"));
}

#[test]
fn agile_and_abs_run_the_same_episodes_and_differ_where_the_switch_acts() {
    let (config, robot) = (short(4, 1.0), Robot::load("go1").unwrap());
    let bundle = bundle(&robot, 0.3);
    let run = |method, threshold| {
        let (mut controller, physics) = (ControllerConfig::default(), PhysicsConfig::default());
        controller.switch.threshold = threshold;
        // Any twist will do.
        controller.switch.min_improvement = Some(-2.0);
        let evaluation =
            Evaluation::new(&robot, &bundle, method, &config, &physics, &controller, 3).unwrap();
        evaluation.run(&[0, 1, 2, 3], true, &|| ()).unwrap()
    };
    let path = |record: &EpisodeRecord| -> Vec<_> {
        record
            .trace
            .iter()
            .map(|step| step.state.position_world)
            .collect()
    };
    let agile = run(Method::agile(), None);
    for (threshold, recovers) in [(0.9999, false), (-0.9999, true)] {
        for (abs, agile) in run(Method::Abs, Some(threshold)).iter().zip(&agile) {
            assert_eq!(abs.scene.goal, agile.scene.goal);
            assert_eq!(abs.scene.noise_seed, agile.scene.noise_seed);
            assert_eq!(path(abs) == path(agile), !recovers);
            assert_eq!(abs.recovery_steps, if recovers { abs.steps } else { 0 });
            assert_eq!(abs.trace.len(), abs.steps + 1);
            for step in &abs.trace {
                assert_eq!(step.mode == Mode::Recovery, recovers);
                assert_eq!(step.twist.is_some(), recovers);
            }
        }
    }
    for record in &agile {
        assert!(record.recovery_steps == 0 && record.trace[0].value.is_none());
    }
}

#[test]
fn every_decision_in_the_trace_is_the_one_that_its_value_asks_for() {
    let (report, records) = evaluate_method(Method::Abs, 0.3, &short(8, 1.0), 2);
    let switch = report.switch.unwrap();
    let steps: usize = records.iter().map(|r| r.steps).sum();
    let recovery: usize = records.iter().map(|r| r.recovery_steps).sum();
    assert_eq!(switch.recovery_fraction, recovery as f64 / steps as f64);
    assert!(recovery > 0 && recovery < steps, "{switch:?}");

    let robot = Robot::load("go1").unwrap();
    let (bundle, config) = (bundle(&robot, 0.3), short(8, 1.0));
    let (controller, physics) = (ControllerConfig::default(), PhysicsConfig::default());
    let evaluation = Evaluation::new(
        &robot,
        &bundle,
        Method::Abs,
        &config,
        &physics,
        &controller,
        3,
    )
    .unwrap();
    for (traced, record) in (evaluation
        .run(&[0, 1, 2, 3, 4, 5, 6, 7], true, &|| ())
        .unwrap())
    .iter()
    .zip(&records)
    {
        let mut counted = 0;
        for step in &traced.trace[..traced.steps] {
            let value = step.value.unwrap();
            assert!((value - (2.0 - step.ray_distance_m[5].log2()).tanh()).abs() < 1e-5);
            let expected = if value < -0.05 {
                Mode::Agile
            } else {
                Mode::Recovery
            };
            assert_eq!(step.mode, expected);
            counted += usize::from(step.mode == Mode::Recovery);
        }
        assert_eq!(counted, record.recovery_steps);
    }
}

#[test]
fn the_switch_is_summarized_by_its_definitions() {
    let (_, mut records) = evaluate_method(Method::Abs, 0.0, &short(4, 0.4), 2);
    let set = |record: &mut EpisodeRecord, outcome, recovery_steps, false_safe| {
        (record.outcome, record.recovery_steps, record.false_safe) =
            (outcome, recovery_steps, false_safe);
    };
    set(&mut records[0], Outcome::Reach, 5, false);
    set(&mut records[1], Outcome::Collision, 10, false);
    set(&mut records[2], Outcome::Collision, 0, true);
    set(&mut records[3], Outcome::Timeout, 0, false);
    let of = |method| {
        let report = EvalReport::new("go1", method, EngineKind::Rapier, 3, &records, 1.0);
        serde_json::to_value(report).unwrap()
    };
    let abs = of(Method::Abs);
    assert_eq!(abs["method"], "abs");
    assert_eq!(abs["recovery_fraction"], 15.0 / 80.0);
    assert_eq!(abs["recovery_episodes"], 2);
    assert_eq!(abs["recovery_episode_safe_rate"], 0.5);
    assert_eq!(abs["false_safe_rate"], 0.25);
    let agile = of(Method::agile());
    assert!(agile.get("recovery_fraction").is_none());
    for json in [abs, agile] {
        let back: EvalReport = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(back).unwrap(), json);
    }
}

#[test]
fn recovery_has_no_goal_to_run_to() {
    let robot = Robot::load("go1").unwrap();
    let (bundle, config) = (bundle(&robot, 0.0), short(1, 1.0));
    let (controller, physics) = (ControllerConfig::default(), PhysicsConfig::default());
    let error = Evaluation::new(
        &robot,
        &bundle,
        Method::recovery(),
        &config,
        &physics,
        &controller,
        3,
    )
    .err()
    .unwrap();
    assert!(error.to_string().contains("it tracks twists"), "{error}");
}

/// A robot that stands and does nothing follows the stop command alone.
#[test]
fn a_standing_robot_has_the_errors_of_standing() {
    let robot = Robot::load("go1").unwrap();
    let bundle = bundle(&robot, 0.0);
    let recovery = RecoveryTestConfig {
        trial_s: 1.0,
        trials: 2,
        vx_mps: vec![0.0, 1.5],
        vy_mps: vec![0.0],
        yaw_rate_radps: vec![-3.0, 0.0],
        braking_mps: vec![0.5],
        ..RecoveryTestConfig::default()
    };
    let config = EvalConfig {
        recovery,
        ..EvalConfig::default()
    };
    let (controller, physics) = (ControllerConfig::default(), PhysicsConfig::default());
    let evaluation = RecoveryEvaluation::new(
        &robot,
        &bundle,
        Method::recovery(),
        &config,
        &physics,
        &controller,
        1,
    )
    .unwrap();
    let report = evaluation.report(None, &|| ()).unwrap();
    assert_eq!((report.episodes, evaluation.trials(None)), (10, 10));
    assert_eq!(report.survival_rate, 1.0, "{report:?}");
    let close = |found: f64, expected: f64| {
        assert!(
            (found - expected).abs() < 0.05,
            "{found}, expected {expected}: {report:?}"
        );
    };
    // Four of five cases are from rest: two ask for 1.5 m/s, two for -3 rad/s.
    close(report.mean_vx_error, 2.0 * 1.5 / 5.0);
    close(report.mean_yaw_rate_error, 2.0 * 3.0 / 5.0);
    close(report.mean_vy_error, 0.0);
    let braking = &report.cases[4];
    assert_eq!(braking.start_vx_mps, 0.5);
    let way_m = braking.stopping_distance_m.unwrap();
    assert!(way_m > 0.005 && way_m < 0.3, "{way_m}");
    assert!(
        report.cases[..4]
            .iter()
            .all(|case| case.stopping_distance_m.is_none())
    );

    let command = Twist {
        vx_mps: 1.0,
        ..Twist::default()
    };
    let one = evaluation.report(Some(command), &|| ()).unwrap();
    assert_eq!((one.cases.len(), one.episodes), (1, 2));
    close(one.mean_velocity_error, 1.0);
}
