use policies::{Activation, Bundle, Layout, Linear, Member, Provenance, RaySpec};
use rand::RngExt;
use robots::Robot;

use super::*;
use crate::random::stream;

/// A network of random weights; `scale` zero is a robot that holds its default posture.
fn bundle(robot: &Robot, scale: f32) -> Bundle {
    let ray_spec = RaySpec::default();
    let layout = Layout::agile(robot, &ray_spec);
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
    let layers = vec![layer(layout.dim(), 32), layer(32, robot.num_joints())];
    let action_scale = robot.control.action_scale;
    let provenance = Provenance::default();
    Bundle {
        agile: Some(Member::agile(
            &layout,
            action_scale,
            Activation::Elu,
            layers,
            provenance,
        )),
        ..Bundle::new(robot, &ray_spec)
    }
}

fn short(episodes: usize, episode_s: f32) -> EvalConfig {
    EvalConfig {
        episodes,
        episode_s,
        ..EvalConfig::default()
    }
}

fn evaluate(scale: f32, config: &EvalConfig, threads: usize) -> (EvalReport, Vec<EpisodeRecord>) {
    let robot = Robot::load("go1").unwrap();
    let bundle = bundle(&robot, scale);
    let evaluation = Evaluation::new(&robot, &bundle, Method::Agile, config, 3).unwrap();
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
        assert_eq!(record.outcome, Outcome::TimeOut, "{:?}", record.collision);
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
    let evaluation = Evaluation::new(&robot, &bundle, Method::Agile, &config, 3).unwrap();
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
        config.validate().unwrap_err().to_string()
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
    assert!(error(|c| c.testbed.radius_m = 0.0).contains("`radius_m` is 0"));
}
