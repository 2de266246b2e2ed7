use std::f32::consts::PI;

use super::*;
use crate::{
    engine::{self, EngineKind, PhysicsConfig, PhysicsState},
    eval::{Outcome, Trial},
};

fn scenes(seed: u64) -> Vec<TestScene> {
    let config = TestbedConfig::default();
    (0..500)
        .map(|index| TestScene::new(seed, index, &config).unwrap())
        .collect()
}

#[test]
fn scenes_keep_to_the_paper() {
    for scene in scenes(1) {
        assert_eq!(scene.obstacles.len(), 8);
        let goal = scene.goal.position_world;
        assert!((6.0..=7.5).contains(&goal.x) && goal.y.abs() <= 1.5);
        assert!(scene.start_world.coords.amax() <= 0.1);
        assert!(scene.start_yaw_rad.abs() <= PI);
        assert!((0.4..=1.1).contains(&scene.friction));
        for obstacle in &scene.obstacles {
            let p = obstacle.position_world;
            assert_eq!(p.z, 0.5, "stands on the ground");
            assert!((1.5..=7.0).contains(&p.x));
            let to_goal = (p.xy() - goal).norm();
            assert!(to_goal >= 0.4 * 1.1 + 0.314, "goal inside an obstacle");
            let off_passage = (p.y - scene.passage.y_m(p.x)).abs();
            assert!(off_passage > 0.7499, "{off_passage}");
        }
    }
}

#[test]
fn the_passage_joins_start_and_goal_and_is_wide_enough_for_a_robot() {
    let mut narrowest_m = f32::INFINITY;
    for scene in scenes(2) {
        let (start, goal) = (scene.start_world, scene.goal.position_world);
        assert!((scene.passage.y_m(start.x) - start.y).abs() < 1e-5);
        assert!((scene.passage.y_m(goal.x) - goal.y).abs() < 1e-5);
        for step in 0..=200 {
            let x = start.x + (goal.x - start.x) * step as f32 / 200.0;
            let on_passage = Point2::new(x, scene.passage.y_m(x));
            for obstacle in &scene.obstacles {
                let gap = (obstacle.position_world.xy() - on_passage).norm() - 0.4;
                narrowest_m = narrowest_m.min(gap);
            }
        }
    }
    assert!(
        narrowest_m > 0.05,
        "narrowest half passage: {narrowest_m} m"
    );
}

#[test]
fn obstacles_and_headings_fill_their_ranges() {
    let scenes = scenes(3);
    let obstacles = scenes.iter().flat_map(|s| &s.obstacles);
    let mean_x = obstacles.map(|o| o.position_world.x).sum::<f32>() / 4000.0;
    assert!((mean_x - 4.25).abs() < 0.1, "mean x of obstacles {mean_x}");
    let mean_yaw = scenes.iter().map(|s| s.start_yaw_rad.abs()).sum::<f32>() / 500.0;
    assert!((mean_yaw - PI / 2.0).abs() < 0.2, "mean |yaw| {mean_yaw}");
}

#[test]
fn a_scene_depends_on_seed_and_index_only() {
    let config = TestbedConfig::default();
    let draw = |seed, index| format!("{:?}", TestScene::new(seed, index, &config).unwrap());
    assert_eq!(draw(7, 3), draw(7, 3));
    assert_ne!(draw(7, 3), draw(7, 4));
    assert_ne!(draw(7, 3), draw(8, 3));
}

#[test]
fn impossible_testbeds_are_named() {
    let error = |config: TestbedConfig| TestScene::new(0, 0, &config).unwrap_err().to_string();
    let reversed = TestbedConfig {
        goal_y_m: [1.0, -1.0],
        ..Default::default()
    };
    assert!(error(reversed).contains("`goal_y_m` is [1, -1]"));
    let behind = TestbedConfig {
        goal_x_m: [0.0, 1.0],
        ..Default::default()
    };
    assert!(error(behind).contains("goal_x_m"));
    let crowded = TestbedConfig {
        obstacles: CylinderConfig {
            count: 400,
            ..Default::default()
        },
        passage_m: 0.0,
        ..Default::default()
    };
    assert!(error(crowded).contains("no free goal"));
    let flat = TestbedConfig {
        obstacles: CylinderConfig {
            radius_m: 0.0,
            ..Default::default()
        },
        ..Default::default()
    };
    assert!(error(flat).contains("radius_m"));
}

#[test]
fn older_keys_of_scene_files_are_refused_with_the_new_ones() {
    let error = |text| {
        TestbedConfig::parse(text, "my.toml", "my")
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error("start_xy_m = 0.1\nobstacle_x_m = [1, 2]"),
        "scene my.toml, line 2: `obstacle_x_m` was renamed to `obstacles.x_m`"
    );
    assert!(error("obstacles = 3").contains("`obstacles.count`"));
}

fn load(name: &str) -> TestbedConfig {
    TestbedConfig::load(name).unwrap()
}

/// Least distance of an obstacle's outline from a point over an episode, m.
fn nearest_m(obstacle: &Obstacle, point: &Point2<f32>) -> f32 {
    let times = (0..=450).map(|step| 0.02 * step as f32);
    times
        .map(|time_s| {
            let now = Obstacle {
                position_world: obstacle.position_at(time_s),
                ..obstacle.clone()
            };
            now.footprint_distance_m(point)
        })
        .fold(f32::INFINITY, f32::min)
}

#[test]
fn every_shipped_scene_leaves_start_and_goal_free() {
    let mut names = Vec::new();
    for (name, about) in TestbedConfig::shipped().chain(TestbedConfig::for_training()) {
        names.push(name);
        assert!(about.ends_with('.'), "{name}: {about}");
        let config = load(name);
        assert_eq!(config.name, name);
        for index in 0..200 {
            let scene = TestScene::new(1, index, &config).unwrap();
            for obstacle in &scene.obstacles {
                let gaps = [scene.start_world, scene.goal.position_world]
                    .map(|point| nearest_m(obstacle, &point));
                assert!(
                    gaps.iter().all(|gap_m| *gap_m > 0.35),
                    "{name} {index}: {obstacle:?} comes within {gaps:?} m"
                );
            }
        }
    }
    assert_eq!(names[0], CYLINDERS);
    assert_eq!(load(CYLINDERS), TestbedConfig::default());
}

#[test]
fn scenes_with_a_passage_keep_it_open() {
    for name in ["boxes", "furniture"] {
        let config = load(name);
        for index in 0..50 {
            let scene = TestScene::new(2, index, &config).unwrap();
            assert!(scene.obstacles.len() >= 8);
            let [start, goal] = [scene.start_world.x, scene.goal.position_world.x];
            for step in 0..=300 {
                let x = start + (goal - start) * step as f32 / 300.0;
                let point = Point2::new(x, scene.passage.y_m(x));
                let gaps = scene
                    .obstacles
                    .iter()
                    .map(|o| o.footprint_distance_m(&point));
                let gap_m = gaps.fold(f32::INFINITY, f32::min);
                assert!(gap_m > 0.37, "{name} {index}: {gap_m} m at x = {x}");
            }
        }
    }
}

#[test]
fn what_a_scene_adds_depends_on_seed_and_index_only_and_leaves_the_paper_s_draws() {
    for name in ["people", "rough", "furniture", "payload"] {
        let config = load(name);
        let draw = |seed, index| format!("{:?}", TestScene::new(seed, index, &config).unwrap());
        assert_eq!(draw(7, 3), draw(7, 3));
        assert_ne!(draw(7, 3), draw(7, 4));
        assert_ne!(draw(7, 3), draw(8, 3));
    }
    for index in 0..50 {
        let [plain, loaded] = [CYLINDERS, "payload"]
            .map(|name| TestScene::new(1, index, &load(name)).unwrap())
            .map(|scene| TestScene {
                payload_kg: 0.0,
                ..scene
            });
        assert_eq!(format!("{plain:?}"), format!("{loaded:?}"));
    }
}

#[test]
fn pedestrians_cross_the_passage_and_go_on() {
    let config = load("people");
    let mut all_crossing = 0;
    for index in 0..200 {
        let scene = TestScene::new(1, index, &config).unwrap();
        let side = |person: &Obstacle, time_s: f32| {
            let at = person.position_at(time_s);
            at.y > scene.passage.y_m(at.x)
        };
        let crossing = (scene.obstacles.iter())
            .filter(|person| side(person, 0.0) != side(person, 6.0))
            .count();
        assert!(crossing >= 1, "only {crossing} of 3 cross in scene {index}");
        all_crossing += crossing;
        for person in &scene.obstacles {
            let speed_mps = person.velocity_world.norm();
            assert!((0.499..2.001).contains(&speed_mps), "{speed_mps}");
        }
    }
    assert!(all_crossing > 550, "{all_crossing} of 600 cross");
}

/// A pedestrian at (3, 0.2) after 2 s, along y at 1 m/s.
fn crossing() -> TestbedConfig {
    let text = "obstacles.count = 0
        goal_x_m = [7, 7]
        groups = [{ x_m = [3, 3], y_m = [0.2, 0.2], yaw_rad = [1.5707964, 1.5707964],
                    speed_mps = [1, 1], at_s = [2, 2],
                    parts = [{ cylinder = { radius_m = 0.3, height_m = 1.7 } }] }]";
    toml::from_str(text).unwrap()
}

#[test]
fn a_person_is_where_speed_and_time_say() {
    let scene = TestScene::new(1, 0, &crossing()).unwrap();
    let [person] = scene.obstacles.as_slice() else {
        panic!("{:?}", scene.obstacles);
    };
    for (time_s, y) in [(0.0, -1.8), (2.0, 0.2), (5.0, 3.2)] {
        let at = person.position_at(time_s);
        assert!((at - Point3::new(3.0, y, 0.85)).norm() < 1e-5, "{at}");
    }
}

/// Runs a robot that stands still in the scene, in every engine of this build.
fn stand(scene: &TestScene, episode_s: f32) -> Vec<(Trial, PhysicsState)> {
    let robot = Robot::load("go1").unwrap();
    let engines = EngineKind::ALL.iter().copied();
    let engines = engines.filter(|kind| cfg!(feature = "mujoco") || *kind != EngineKind::Mujoco);
    let run = |kind| {
        let physics = PhysicsConfig::default();
        let mut engine = engine::build(kind, &robot, &physics, 1).unwrap();
        engine.reset(0, &scene.start(&robot)).unwrap();
        let mut trial = Trial::new(scene, episode_s, 0.65);
        let mut state = PhysicsState::zero(&robot);
        loop {
            engine.step(&robot.control.standing_position_rad);
            engine.read(0, &mut state);
            if trial.observe(&robot, &state, physics.policy_step_s()) {
                return (trial, state);
            }
        }
    };
    engines.map(run).collect()
}

#[test]
fn a_pedestrian_that_meets_the_robot_is_a_collision() {
    let mut scene = TestScene::new(1, 0, &crossing()).unwrap();
    scene.start_yaw_rad = 0.0;
    scene.start_world = Point2::new(3.0, 0.2);
    for (trial, _) in stand(&scene, 4.0) {
        assert_eq!(trial.outcome(), Outcome::Collision);
        // Its side, 0.1 to 0.25 m from its middle, is met by the person's, 0.3 m from theirs.
        let time_s = trial.time_s();
        assert!((1.4..1.7).contains(&time_s), "{time_s} s");
    }
    scene.start_world = Point2::new(2.0, 0.2);
    for (trial, _) in stand(&scene, 4.0) {
        assert_eq!(trial.outcome(), Outcome::Timeout, "{:?}", trial.collided());
    }
}

#[test]
fn the_feet_carry_the_payload() {
    let mut scene = TestScene::new(1, 0, &load(CYLINDERS)).unwrap();
    let carried_n = |scene: &TestScene| -> Vec<f32> {
        let runs = stand(scene, 2.0).into_iter();
        let feet = runs.map(|(_, state)| state.foot_force_world);
        feet.map(|forces| forces.iter().map(|force| force.z).sum())
            .collect()
    };
    let without = carried_n(&scene);
    scene.payload_kg = 6.0;
    for (with, without) in carried_n(&scene).into_iter().zip(without) {
        let payload_kg = (with - without) / 9.81;
        assert!((payload_kg - 6.0).abs() < 0.3, "{payload_kg} kg");
    }
}

#[test]
fn rough_ground_is_flat_at_the_start_and_as_high_as_it_says() {
    for index in 0..20 {
        let scene = TestScene::new(1, index, &load("rough")).unwrap();
        let Terrain::HeightField(field) = scene.terrain.as_ref() else {
            panic!("flat");
        };
        let highest_m = field.heights_m.iter().copied().fold(0.0, f32::max);
        assert!((0.029..=0.07).contains(&highest_m), "{highest_m}");
        for step in 0..63 {
            let (sin, cos) = (0.1 * step as f32).sin_cos();
            let at = scene.start_world + 0.7 * Vector2::new(cos, sin);
            assert_eq!(scene.terrain.height_m(at.x, at.y), 0.0);
        }
    }
}

#[test]
fn scenes_of_one_s_own_say_what_is_wrong() {
    let folder = std::env::temp_dir().join(format!("scenes-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("mine.toml");
    let load = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap();
        TestbedConfig::load(path).map_err(|error| error.to_string().replace(path, "FILE"))
    };
    assert_eq!(load("obstacles.count = 3").unwrap().name, "mine");
    assert!(
        load("obstacles = 3")
            .unwrap_err()
            .contains("`obstacles.count`")
    );
    let error = |text: &str| load(text).unwrap_err();
    assert!(error("\nobstacle = 3").starts_with("scene FILE, line 2: unknown field `obstacle`"));
    assert!(error("[[groups]]\nsize = 3").contains("line 2: unknown field `size`"));
    assert_eq!(
        error("[[groups]]\nparts = [{ box = { size_m = [1, 0, 1] } }]"),
        "scene FILE: `groups[0].parts[0].size_m` is 0, must be positive"
    );
    assert_eq!(
        error("[[groups]]\nx_m = [3, 2]\nobjects = [\"chair\"]"),
        "scene FILE: `groups[0].x_m` is [3, 2], must be [low, high]"
    );
    assert_eq!(
        error("[[groups]]"),
        "scene FILE: `groups[0].parts` is empty, must be what it is made of, or `objects` is"
    );
    // Numbers that no episode needs, and that took for ever to draw.
    assert_eq!(
        error("obstacles.x_m = [1.6, 1e10]"),
        "scene FILE: `obstacles.x_m` is [1.6, 10000000000], must be within -100 and 100"
    );
    let huge = "[[groups]]\nparts = [{ box = { size_m = [9e18, 1, 1] } }]";
    assert!(
        error(huge)
            .ends_with("`groups[0].parts[0].size_m` is 9000000000000000000, must be at most 100")
    );
    assert!(
        error("[[groups]]\nparts = [{ box = { size_m = [1, 1, 1], at_m = [nan, 0, 0] } }]")
            .contains("at_m")
    );
    assert!(error("passage_m = 1e9").contains("from 0 to 100"));
    let many = "[[groups]]\ncount = 1000000000000\nobjects = [\"chair\"]";
    assert!(error(many).contains("obstacles in all, must be at most 500"));
    let inside = "[[groups]]\nx_m = [0, 0]\ny_m = [0, 0]\nobjects = [\"table\"]";
    let error = TestScene::new(1, 0, &load(inside).unwrap()).unwrap_err();
    assert!(error.to_string().starts_with("`groups[0]` leaves no free"));
    std::fs::remove_dir_all(&folder).unwrap();
    let error = TestbedConfig::load("slalon").unwrap_err().to_string();
    assert!(error.starts_with("there is no scene `slalon`; there are cylinders, boxes,"));
}
