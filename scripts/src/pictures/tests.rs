//! Every picture, drawn from invented episodes.

use std::f32::consts::PI;

use controller::{Method, Mode};
use nalgebra::{Point3, UnitQuaternion};
use policies::{RaySpec, Twist, observation::terms, training::Times};
use robots::{ContactClass, Robot, RobotState};
use sim::{
    engine::EngineKind,
    eval::{
        CaseReport, Collision, EpisodeRecord, EvalReport, GaitSums, RaySource, RecoveryReport,
        TraceStep,
    },
    reality::RealityConfig,
    scene::{Obstacle, TestScene, TestbedConfig},
};

use super::{top_view::closest_step, *};

/// The policy steps in which the invented robots recover.
fn recovers(step: usize) -> bool {
    step % 126 < 63
}

/// A robot that trots along the passage, faster and faster.
fn episode(index: u64, outcome: Outcome, robot: &Robot) -> EpisodeRecord {
    let scene = TestScene::new(1, index, &TestbedConfig::default()).unwrap();
    let goal = scene.goal.position_world;
    let last = if outcome == Outcome::Collision {
        130
    } else {
        220
    };
    let mut trace: Vec<TraceStep> = Vec::new();
    for step in 0..=last {
        let time_s = 0.02 * step as f32;
        let share = (step as f32 / 200.0).powi(2).min(1.0);
        let x = scene.start_world.x + share * (goal.x - scene.start_world.x);
        let position = Point3::new(x, scene.passage.y_m(x), 0.3 + 0.01 * (25.0 * time_s).sin());
        let moved = trace
            .last()
            .map(|before| position - before.state.position_world);
        let turn_in = (1.0 - time_s).max(0.0);
        let yaw_rad = match moved {
            Some(moved) if moved.xy().norm() > 1e-4 => {
                moved.y.atan2(moved.x) * (1.0 - turn_in) + turn_in * scene.start_yaw_rad
            }
            _ => scene.start_yaw_rad,
        };
        let swing = |leg: usize| (16.0 * time_s + [0.0, PI, PI, 0.0][leg]).sin();
        let joints = robot.control.standing_position_rad.iter().enumerate();
        trace.push(TraceStep {
            time_s,
            state: RobotState {
                position_world: position,
                orientation: UnitQuaternion::from_euler_angles(0.0, 0.05, yaw_rad),
                joint_position_rad: joints
                    .map(|(j, q)| q + if j % 3 > 0 { 0.25 * swing(j / 3) } else { 0.0 })
                    .collect(),
                ..RobotState::zero(robot.num_joints(), robot.num_feet())
            },
            yaw_rad,
            speed_mps: moved.map_or(0.0, |moved| moved.xy().norm() / 0.02),
            goal_distance_m: (goal - position.xy()).norm(),
            ray_distance_m: (0..11).map(|ray| 1.0 + 0.5 * ray as f32).collect(),
            mode: if recovers(step) {
                Mode::Recovery
            } else {
                Mode::Agile
            },
            value: Some((0.05 * step as f32).sin()),
            twist: recovers(step).then_some(Twist {
                vx_mps: 1.0,
                vy_mps: 0.1,
                yaw_rate_radps: -1.5,
            }),
        });
    }
    let end = trace[trace.len() - 1].clone();
    EpisodeRecord {
        scene,
        outcome,
        steps: last,
        final_distance_m: end.goal_distance_m,
        mean_speed_mps: 2.1,
        peak_speed_mps: 3.4,
        arrival: None,
        recovery_steps: (0..last).filter(|step| recovers(*step)).count(),
        false_safe: false,
        collision: (outcome == Outcome::Collision).then(|| Collision {
            time_s: end.time_s,
            class: ContactClass::Thigh,
            body: "FL thigh".to_owned(),
            position_world: end.state.position_world,
        }),
        paper_outcome: outcome,
        gait: GaitSums::default(),
        trace,
    }
}

fn report(reach: f64, collision: f64) -> EvalReport {
    EvalReport {
        scene: sim::scene::CYLINDERS.to_owned(),
        robot: "go1".to_owned(),
        method: Method::agile(),
        engine: EngineKind::Rapier,
        episodes: 2000,
        seed: 1,
        reach_rate: reach,
        collision_rate: collision,
        time_out_rate: 1.0 - reach - collision,
        reach_ci95: [reach - 0.02, reach + 0.02],
        collision_ci95: [collision - 0.018, collision + 0.018],
        time_out_ci95: [0.005, 0.02],
        mean_speed: 2.0,
        peak_speed: 3.4,
        time_to_goal_s: Some(3.1),
        path_ratio: Some(1.1),
        steps_per_second: 1.0,
        rays: RaySource::Exact,
        reality: RealityConfig::default(),
        gait: None,
        paper_rule: None,
        switch: None,
    }
}

/// Bell-shaped numbers without chance.
fn bell(middle: f32, width: f32, count: usize) -> Vec<f32> {
    let phase = |i: usize, step: f32| (i as f32 * step).fract() - 0.5;
    (0..count)
        .map(|i| middle + width * (phase(i, 0.618) + phase(i, 0.414) + phase(i, 0.732)))
        .collect()
}

/// The pictures lie in the target folder afterwards, for a look.
fn save(image: &Image, name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-pictures");
    let path = folder.join(name);
    image.save(&path).unwrap();
    let decoder = png::Decoder::new(std::io::BufReader::new(fs::File::open(&path).unwrap()));
    let info = decoder.read_info().unwrap().info().clone();
    assert_eq!([info.width, info.height], [image.width, image.height]);
}

/// Whether some pixel has nearly this colour.
fn shows(image: &Image, color: RGBColor) -> bool {
    let near = |a: u8, b: u8| a.abs_diff(b) < 6;
    let mut pixels = image.rgb.chunks_exact(3);
    pixels.any(|p| near(p[0], color.0) && near(p[1], color.1) && near(p[2], color.2))
}

#[test]
fn outcomes_are_bars_of_one_evaluation_and_intervals_of_several() {
    let image = outcome_bars("go1, agile policy: 2000 episodes", &report(0.773, 0.217)).unwrap();
    save(&image, "outcomes.png");
    assert!(
        !shows(&image, series(1)),
        "a single evaluation is coloured by outcome"
    );
    let names = ["agile", "abs-n", "go1 among people, threshold -0.48"];
    let evaluations = names.map(str::to_owned).into_iter();
    let reports = [
        report(0.773, 0.217),
        report(0.791, 0.057),
        report(0.97, 0.02),
    ];
    let evaluations: Vec<_> = evaluations.zip(reports).collect();
    let image = outcome_intervals("Outcomes, 2000 episodes each", &evaluations).unwrap();
    save(&image, "outcomes-3.png");
    assert!((0..3).all(|row| shows(&image, series(row))));
}

#[test]
fn speed_stands_against_collision() {
    let mut evaluations: Vec<_> = (0..9)
        .map(|index| {
            let rate = 0.012 + 0.004 * f64::from(index % 4);
            let report = EvalReport {
                mean_speed: 2.3 + 0.02 * f64::from(index),
                collision_ci95: [0.9 * rate, 1.1 * rate],
                ..report(0.95, rate)
            };
            (format!("variant {index}"), report)
        })
        .collect();
    evaluations[0].1.collision_rate = 0.0;
    evaluations[0].1.collision_ci95 = [0.0, 0.004];
    for (paper, name) in [(false, "tradeoff.png"), (true, "tradeoff-paper.png")] {
        let title = "Speed against collision";
        let image = speed_against_collision(title, &evaluations, paper).unwrap();
        save(&image, name);
        assert!((0..9).all(|dot| shows(&image, series(dot))));
    }
}

#[test]
fn a_vector_file_has_the_size_the_texts_and_the_font_of_the_style() {
    let svg = vector([300, 200], |area, scale| {
        draw_title(area, scale, "reach < 1")?;
        let corners = [(0, 0), (scale.px(300.0), scale.px(200.0))];
        area.draw(&Rectangle::new(corners, scale.line(1.0, INK)))?;
        Ok(())
    })
    .unwrap();
    for part in [
        "width=\"300pt\" height=\"200pt\" viewBox=\"0 0 1200 800\"",
        "reach &lt; 1",
        "font-family=\"Helvetica, Arial, sans-serif\"",
        "</svg>",
    ] {
        assert!(svg.contains(part), "{part} in {svg}");
    }
}

#[test]
fn tracking_shows_cases_and_falls() {
    let case = |vx_mps: f32, falls| CaseReport {
        start_vx_mps: 0.0,
        command: Twist {
            vx_mps,
            vy_mps: 0.2 * vx_mps,
            yaw_rate_radps: 2.0 * vx_mps,
        },
        trials: 4,
        falls,
        mean_vx_mps: Some(0.9 * f64::from(vx_mps)),
        mean_vy_mps: Some(0.15 * f64::from(vx_mps)),
        mean_yaw_rate_radps: (falls < 4).then_some(1.8 * f64::from(vx_mps)),
        worst_tilt_rad: 0.1,
        stopping_distance_m: None,
    };
    let cases = [-1.5, -0.5, 0.0, 0.5, 1.5].map(|vx_mps| case(vx_mps, 0));
    let report = RecoveryReport {
        robot: "go1".to_owned(),
        method: Method::recovery(),
        engine: EngineKind::Rapier,
        episodes: 28,
        seed: 1,
        gait: None,
        reality: RealityConfig::default(),
        survival_rate: 0.9,
        mean_vx_error: 0.1,
        mean_vy_error: 0.1,
        mean_velocity_error: 0.1,
        mean_yaw_rate_error: 0.1,
        cases: cases
            .into_iter()
            .chain([case(1.0, 1), case(-1.0, 4)])
            .collect(),
    };
    save(
        &twist_tracking("go1, recovery policy", &report).unwrap(),
        "tracking.png",
    );
}

#[test]
fn speed_histograms_show_full_and_empty_evaluations() {
    let speeds = |name: &str, count| Speeds {
        name: name.to_owned(),
        mean_mps: bell(2.1, 0.9, count),
        peak_mps: bell(3.4, 0.8, count),
    };
    let image = speed_histograms("Speed on the way to the goal", &[speeds("a", 1500)]).unwrap();
    save(&image, "speeds.png");
    let both = [speeds("agile", 1500), speeds("standing", 0)];
    save(
        &speed_histograms("Speed on the way to the goal", &both).unwrap(),
        "speeds-2.png",
    );
    // A robot that a simulation has thrown away.
    let mut thrown = speeds("a", 20);
    thrown.mean_mps[0] = 1e9;
    thrown.peak_mps[0] = 3e10;
    speed_histograms("Speed on the way to the goal", &[thrown]).unwrap();
}

#[test]
fn episodes_are_seen_from_above() {
    let robot = Robot::load("go1").unwrap();
    let outcomes = [Outcome::Reach, Outcome::Collision, Outcome::Timeout];
    let records: Vec<_> = (0..12)
        .map(|index| episode(index, outcomes[index as usize % 3], &robot))
        .collect();
    let sheet = contact_sheet("go1, agile policy", &records, 4, 0.65).unwrap();
    save(&sheet, "episodes.png");
    assert!(shows(&sheet, COLLISION), "the collision is marked");
    save(
        &top_view("Episode 1", &records[1], 0.65).unwrap(),
        "episode.png",
    );
}

#[test]
fn who_walks_is_shown_where_the_robot_met_him() {
    let robot = Robot::load("go1").unwrap();
    let mut record = episode(0, Outcome::Reach, &robot);
    let met = record.trace[120].clone();
    let mut walker = Obstacle::cylinder(
        met.state.position_world.x,
        met.state.position_world.y,
        0.3,
        1.7,
    );
    walker.velocity_world.y = -1.5;
    walker.position_world.y += 1.5 * met.time_s;
    let step = closest_step(&walker, &record.trace).unwrap();
    assert_eq!(step.time_s, met.time_s);
    record.scene.obstacles = vec![walker];
    let image = top_view("Somebody crosses", &record, 0.65).unwrap();
    assert!(shows(&image, COLLISION));
    save(&image, "crossing.png");
}

#[test]
fn an_episode_becomes_an_animation() {
    let robot = Robot::load("go1").unwrap();
    let record = episode(1, Outcome::Collision, &robot);
    let film = Film {
        title: "go1, episode 1".to_owned(),
        robot: &robot,
        record: &record,
        rays: &RaySpec::default(),
        reach_m: 0.65,
        threshold: Some(-0.05),
    };
    let frame = film.draw_last_frame().unwrap();
    save(&frame, "play.png");
    assert!(shows(&frame, RECOVERY), "recovery is marked");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-pictures/play.gif");
    film.save_gif(&path).unwrap();
    let mut decoder = gif::DecodeOptions::new()
        .read_info(fs::File::open(path).unwrap())
        .unwrap();
    let mut hundredths = 0;
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        hundredths += u32::from(frame.delay);
    }
    assert_eq!(
        hundredths,
        65 * 4 + 150,
        "2.6 s at 25 frames per second, the last held"
    );
}

#[test]
fn learning_curves_show_every_scalar() {
    let names = [
        "episode/reach_rate",
        "episode/collision_rate",
        "curriculum/level",
        "reward/agile",
        "reward/soft_position",
        "reward/torque",
        "learner/kl",
        "learner/learning_rate",
        "learner/std",
    ];
    let run = |name: &str, lag: f64| Curves {
        name: name.to_owned(),
        scalars: (names.iter().enumerate())
            .map(|(i, scalar)| {
                let noise = |x: f64| ((x * 12.9898 + i as f64).sin() * 43758.5453).fract() * 0.1;
                let value = |x: f64| 1.0 - (-x / lag).exp() + noise(x);
                let points = (0..500).map(|k| (k as f64 * 61440.0, value(k as f64)));
                (scalar.to_string(), points.collect())
            })
            .collect(),
    };
    let image = learning_curves("Learning", &[run("seed 1", 60.0), run("seed 2", 120.0)]).unwrap();
    save(&image, "curves.png");
    assert!(shows(&image, series(0)) && shows(&image, series(1)));
    assert!(learning_curves("Empty", &[]).is_err());
}

#[test]
fn a_value_is_shown_around_obstacles_and_against_what_happened() {
    use policies::{
        Layout, Linear,
        reach_avoid::{ReachAvoidValue, Rollouts, ValueReport},
    };
    let robot = Robot::load("go1").unwrap();
    let rays = RaySpec::default();
    let layout = Layout::new(&terms::reach_avoid(&rays), &(&robot).into(), &rays).unwrap();
    // Speed is bad, and so is a short ray ahead.
    let mut weight = vec![0.0; 19];
    (weight[0], weight[13]) = (0.5, -1.0);
    let layers = vec![Linear {
        weight,
        bias: vec![0.3],
        inputs: 19,
    }];
    let mut plane = ValuePlane {
        value: ReachAvoidValue::new(layers).unwrap(),
        layout,
        robot: &robot,
        rays: &rays,
        threshold: -0.05,
    };
    let image = value_planes("go1: reach-avoid value", &mut plane).unwrap();
    save(&image, "value.png");
    assert!(shows(&image, REACH), "the goal");

    let mut rollouts = Rollouts::new(1);
    for (index, value) in bell(0.0, 1.2, 3000).into_iter().enumerate() {
        let reaches = (index % 97) as f32 / 97.0 > 0.5 * (1.0 + value);
        let distance_m = if reaches { 0.1 } else { 3.0 };
        rollouts.push_episode(&[value], &[distance_m], !reaches && index % 5 > 0);
    }
    let layers = [Linear {
        weight: vec![1.0],
        bias: vec![0.0],
        inputs: 1,
    }];
    let report = ValueReport::new(&layers, &rollouts, 0..3000, -0.05, 0.02).unwrap();
    let image = reliability("go1: predicted value against what happened", &report).unwrap();
    save(&image, "reliability.png");
    assert!(shows(&image, series(0)));
}

#[test]
fn time_bars_divide_their_width_like_the_time() {
    let mut times = Times::default();
    for (name, time_s) in [
        ("physics", 2.5),
        ("rays", 0.5),
        ("rewards", 0.0),
        ("update", 7.0),
    ] {
        times.add(name, time_s);
    }
    let bars = [
        ("first".to_owned(), times.clone()),
        ("second".to_owned(), times),
    ];
    let image = time_bars("Where the time goes", &bars).unwrap();
    save(&image, "times.png");
    // The upper edge of the first bar, above the numbers; 1 point is 2 pixels.
    let row = 3 * image.width as usize * 2 * 61;
    let pixels = image.rgb[row..][..3 * image.width as usize].chunks_exact(3);
    let colored: Vec<_> = pixels.filter(|p| p.iter().any(|c| *c < 200)).collect();
    let share_of = |color: RGBColor| {
        let mixed = |c: u8| (0.85 * f64::from(c) + 0.15 * 255.0) as u8;
        let near = |a: u8, b: u8| a.abs_diff(mixed(b)) < 6;
        let is = |p: &&&[u8]| near(p[0], color.0) && near(p[1], color.1) && near(p[2], color.2);
        colored.iter().filter(is).count() as f64 / colored.len() as f64
    };
    for (part, share) in [(0, 0.25), (1, 0.05), (2, 0.0), (3, 0.7)] {
        let drawn = share_of(series(part));
        assert!((drawn - share).abs() < 0.01, "{part}: {drawn} of {share}");
    }
}
