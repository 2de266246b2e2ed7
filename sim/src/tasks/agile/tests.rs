use nalgebra::{Point2, Point3};
use robots::{JointVec, RobotState};

use super::{super::rewards::SoftLimits, *};
use crate::{
    engine::PhysicsState,
    random::stream,
    scene::{ObstacleShape, Terrain},
};

/// Weighted reward terms of a go1 at the origin, facing x, with the goal at (x, y), heading 0.
struct Case {
    goal: [f32; 2],
    speed_mps: f32,
    time_left_s: f32,
    base_force_n: f32,
    calf_force_n: f32,
    end_on_collision: bool,
}

impl Case {
    fn step(&self) -> (AgileEpisode, StepOutcome, Vec<f32>) {
        let mut episode = AgileEpisode {
            goal: Goal {
                position_world: self.goal.into(),
                heading_rad: 0.0,
            },
            duration_s: 8.0,
            collided: false,
            in_scene: false,
        };
        let (terms, outcome) = self.step_of(&mut episode);
        (episode, outcome, terms)
    }

    fn step_of(&self, episode: &mut AgileEpisode) -> (Vec<f32>, StepOutcome) {
        let robot = go1();
        let mut task = AgileTask::new(&AgileConfig::default(), &robot).unwrap();
        task.config.end_on_collision = self.end_on_collision;
        task.config.rewards.approach = 10.0;
        let mut physics = PhysicsState::zero(&robot);
        physics.joint_position_rad = robot
            .control
            .standing_position_rad
            .iter()
            .copied()
            .collect();
        physics.joint_position_rad[0] += 0.3;
        physics.linear_velocity_world.x = self.speed_mps;
        physics.base_force_n = self.base_force_n;
        physics.calf_force_n[2] = self.calf_force_n;
        physics.position_world = Point3::new(0.0, 0.0, 0.3);
        let mut state = RobotState::zero(12, 4);
        physics.write_robot_state(&mut state);
        let mut terms = vec![0.0; AgileTask::reward_names().len()];
        let velocity: JointVec = [0.0; 12].into_iter().collect();
        let outcome = task.step(
            episode,
            &StepContext {
                robot: &robot,
                terrain: &Terrain::Flat,
                limits: &SoftLimits::new(&robot),
                step_s: 0.02,
                time_s: 8.0 - self.time_left_s,
                physics: &physics,
                state: &state,
                action: &[0.0; 12],
                previous_action: &[0.0; 12],
                previous_joint_velocity_radps: &velocity,
            },
            &mut terms,
        );
        (terms, outcome)
    }

    #[track_caller]
    fn expect(&self, term: &str, expected: f32) {
        let (_, _, terms) = self.step();
        let index = AgileRewards::NAMES
            .iter()
            .position(|name| *name == term)
            .unwrap();
        assert!(
            (terms[index] - expected).abs() < 1e-4,
            "{term}: {} != {expected}",
            terms[index]
        );
    }
}

fn go1() -> Arc<Robot> {
    Arc::new(Robot::load("go1").unwrap())
}

const RUNNING: Case = Case {
    goal: [3.0, 4.0],
    speed_mps: 2.25,
    time_left_s: 5.0,
    base_force_n: 0.0,
    calf_force_n: 0.0,
    end_on_collision: false,
};

#[test]
fn running_towards_the_goal_pays_for_speed_only() {
    RUNNING.expect("agile", 10.0 * 2.25 / 4.5);
    for term in [
        "soft_position",
        "tight_position",
        "heading",
        "stall",
        "stand",
        "base_contact",
    ] {
        RUNNING.expect(term, 0.0);
    }
    // Facing away: cos(bearing) = -0.8.
    Case {
        goal: [-4.0, 3.0],
        ..RUNNING
    }
    .expect("agile", 0.0);
    Case {
        goal: [-4.0, 3.0],
        speed_mps: 0.0,
        ..RUNNING
    }
    .expect("stall", -20.0);
    Case {
        goal: [4.0, 3.0],
        speed_mps: 0.0,
        ..RUNNING
    }
    .expect("stall", 0.0);
}

#[test]
fn approach_pays_for_the_part_of_the_velocity_that_leads_to_the_goal() {
    let toward = |x: f32, y: f32, expected: f32| {
        Case {
            goal: [x, y],
            ..RUNNING
        }
        .expect("approach", 10.0 * expected);
    };
    toward(3.0, 4.0, 0.6 * 2.25 / 4.5);
    // Away from the goal it costs as much, so that an arc gains nothing.
    toward(-3.0, 4.0, -0.6 * 2.25 / 4.5);
    toward(0.0, 4.0, 0.0);
    toward(0.3, 0.0, 1.0);
}

#[test]
fn the_last_seconds_pay_for_the_pose() {
    // d = 1.5: 1/(1+0.75^2) over 2 s.
    let near = Case {
        goal: [0.9, 1.2],
        time_left_s: 1.5,
        ..RUNNING
    };
    near.expect("soft_position", 60.0 / 2.0 / 1.5625);
    near.expect("tight_position", 0.0);
    near.expect("heading", 30.0 / 2.0);
    let there = Case {
        goal: [0.3, 0.0],
        time_left_s: 0.5,
        ..RUNNING
    };
    there.expect("tight_position", 60.0 / (1.0 + 0.36));
    there.expect("agile", 10.0);
    there.expect("stand", -10.0 * 0.3);
    Case {
        goal: [0.3, 0.0],
        time_left_s: 1.5,
        ..RUNNING
    }
    .expect("stand", 0.0);
}

#[test]
fn base_contact_ends_the_episode_and_costs_more_at_the_goal() {
    let fall = Case {
        base_force_n: 50.0,
        ..RUNNING
    };
    fall.expect("base_contact", -100.0);
    let (episode, outcome, _) = fall.step();
    assert!(episode.collided);
    let StepOutcome::Terminated(end) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(end.level, LevelChange::Down);
    Case {
        goal: [0.3, 0.0],
        time_left_s: 0.5,
        ..fall
    }
    .expect("base_contact", -500.0);
}

#[test]
fn a_touched_calf_ends_the_episode_only_on_request() {
    let touch = Case {
        calf_force_n: 5.0,
        ..RUNNING
    };
    let (episode, outcome, _) = touch.step();
    assert!(episode.collided);
    assert_eq!(outcome, StepOutcome::Running);
    let strict = Case {
        end_on_collision: true,
        ..touch
    };
    assert!(matches!(strict.step().1, StepOutcome::Terminated(_)));
}

#[test]
fn the_level_follows_the_final_distance() {
    for (distance, change) in [
        (0.4, LevelChange::Up),
        (1.0, LevelChange::Stay),
        (2.5, LevelChange::Down),
    ] {
        let (_, outcome, _) = Case {
            goal: [distance, 0.0],
            time_left_s: 0.0,
            ..RUNNING
        }
        .step();
        assert_eq!(outcome.end().unwrap().level, change);
    }
    assert_eq!(RUNNING.step().1, StepOutcome::Running);
}

#[test]
fn episodes_are_drawn_within_the_ranges_of_the_method() {
    let robot = go1();
    let task = AgileTask::new(&AgileConfig::default(), &robot).unwrap();
    let mut stream = stream(3, 0);
    let mut cylinders = [0; 10];
    for draw in 0..2000 {
        let level = draw % 10;
        let plan = task.plan(level, &mut stream);
        let goal = plan.episode.goal.position_world;
        assert!((1.5..=7.5).contains(&goal.x) && (-2.0..=2.0).contains(&goal.y));
        assert!((7.0..=9.0).contains(&plan.episode.duration_s));
        cylinders[level] += plan.obstacles.len();
        let start = Point2::from(plan.start_xy_m);
        for obstacle in &plan.obstacles {
            let centre = obstacle.position_world.xy();
            assert!((centre - start).norm() >= 1.1);
            assert!((centre - goal).norm() > 0.4 * 1.1 + 0.314);
        }
        for (q, default) in plan
            .joint_position_rad
            .iter()
            .zip(&robot.control.default_position_rad)
        {
            assert!((q - default).abs() <= 0.5 * default.abs() + 1e-6);
        }
    }
    // 8 cylinders, each present with probability 0.1 + 0.1 * level; 200 draws per level.
    for (level, count) in cylinders.iter().enumerate() {
        let expected = 160.0 * (1 + level) as f32;
        assert!(
            (*count as f32 - expected).abs() < 0.06 * 1600.0,
            "level {level}: {count}"
        );
    }
}

#[test]
fn moving_obstacles_pass_their_drawn_position_in_time_and_clear_start_and_goal() {
    let mut config = AgileConfig::default();
    config.obstacles.moving_fraction = 0.5;
    let (speed_mps, pace_mps) = (config.obstacles.speed_mps, config.obstacles.pace_mps);
    let task = AgileTask::new(&config, &go1()).unwrap();
    let mut stream = stream(3, 0);
    let (mut moving, mut all, mut near_goal) = (0, 0, 0);
    for _ in 0..500 {
        let plan = task.plan(5, &mut stream);
        let start = Point2::from(plan.start_xy_m);
        all += plan.obstacles.len();
        for obstacle in &plan.obstacles {
            let speed = obstacle.velocity_world.norm();
            if speed == 0.0 {
                continue;
            }
            moving += 1;
            assert!((speed_mps[0]..=speed_mps[1] + 1e-5).contains(&speed));
            // At some time it is where it was drawn, and a robot may be there too.
            let meets = |time_s: f32| {
                let at = obstacle.position_at(time_s).xy();
                let pace_mps_now = (at - start).norm() / time_s;
                (-3.0..=8.0).contains(&at.x)
                    && (-2.5..=2.5).contains(&at.y)
                    && (pace_mps[0]..=pace_mps[1]).contains(&pace_mps_now)
            };
            assert!((1..=1000).any(|step| meets(0.01 * step as f32)));
            assert!(obstacle.nearest_footprint_distance_m(&start) >= 0.5 - 1e-4);
            let goal = plan.episode.goal.position_world;
            near_goal += usize::from(obstacle.nearest_footprint_distance_m(&goal) < 0.5);
        }
    }
    // Half of them; a few find no path clear of a start that is near.
    assert!(
        (0.45..=0.52).contains(&(moving as f32 / all as f32)),
        "{moving} of {all}"
    );
    // Where paths cross everywhere, no free goal is found in 100 draws.
    assert!(near_goal < moving / 100, "{near_goal} of {moving}");
}

#[test]
fn boxes_are_as_large_as_they_say_and_leave_start_and_goal_free() {
    let mut config = AgileConfig::default();
    config.obstacles.box_fraction = 0.5;
    config.obstacles.margin_m = 0.05;
    let task = AgileTask::new(&config, &go1()).unwrap();
    let mut stream = stream(3, 0);
    let (mut boxes, mut all, mut on_goal) = (0, 0, 0);
    for _ in 0..500 {
        let plan = task.plan(5, &mut stream);
        let start = Point2::from(plan.start_xy_m);
        all += plan.obstacles.len();
        for obstacle in &plan.obstacles {
            let ObstacleShape::Box { half_extents_m: h } = obstacle.shape else {
                continue;
            };
            boxes += 1;
            // Length 0.4 to 2.4 m, width 0.1 to 0.6 m, and a margin to both sides.
            assert!((0.25..=1.25 + 1e-5).contains(&h.x), "{h}");
            assert!((0.1..=0.35 + 1e-5).contains(&h.y), "{h}");
            assert_eq!([h.z, obstacle.position_world.z], [0.5, 0.5]);
            // As much as a cylinder of 0.4 m at 1.1 m.
            assert!(obstacle.footprint_distance_m(&start) >= 0.7 - 1e-5);
            let goal = plan.episode.goal.position_world;
            on_goal += usize::from(obstacle.footprint_distance_m(&goal) < 0.35);
        }
    }
    assert!(
        (0.46..=0.54).contains(&(boxes as f32 / all as f32)),
        "{boxes} of {all}"
    );
    assert!(on_goal < boxes / 100, "{on_goal} of {boxes}");
}

#[test]
fn scenes_come_as_often_as_they_say_mirrored_in_half_of_the_cases_and_leave_the_level_as_it_is() {
    let scenes = ["halls", "crossings"].map(|scene| SceneShare {
        scene: scene.to_owned(),
        share: 0.25,
    });
    let mut config = AgileConfig {
        scenes: scenes.to_vec(),
        ..AgileConfig::default()
    };
    config.obstacles.margin_m = 0.05;
    AgileTask::validate(&config).unwrap();
    let task = AgileTask::new(&config, &go1()).unwrap();
    let mut stream = stream(3, 0);
    let (mut halls, mut crossings, mut to_the_left) = (0, 0, 0);
    for _ in 0..2000 {
        let plan = task.plan(5, &mut stream);
        if !plan.episode.in_scene {
            continue;
        }
        let moving: Vec<_> = (plan.obstacles.iter())
            .filter(|obstacle| obstacle.moves())
            .collect();
        if moving.is_empty() {
            halls += 1;
            // The four walls of the hall, of 10 and 5.8 m, and those of the passage: thicker by the margin to both sides.
            assert_eq!(plan.obstacles.len(), 8);
            let ObstacleShape::Box { half_extents_m } = plan.obstacles[4].shape else {
                panic!("a wall");
            };
            assert!((half_extents_m - Vector3::new(5.05, 0.1, 0.4)).norm() < 1e-5);
            continue;
        }
        crossings += 1;
        assert_eq!(moving.len(), 4);
        // Two walk to the left and two to the right; the first two to the left unless it is mirrored.
        let heads_left = |obstacle: &Obstacle| obstacle.velocity_world.y > 0.0;
        assert_eq!(heads_left(moving[0]), heads_left(moving[1]));
        assert_ne!(heads_left(moving[0]), heads_left(moving[2]));
        to_the_left += usize::from(heads_left(moving[0]));
        let start = Point2::from(plan.start_xy_m);
        for obstacle in moving {
            // Half a metre for what they are without the margin.
            assert!(obstacle.nearest_footprint_distance_m(&start) >= 0.45 - 1e-4);
        }
    }
    // 2000 x 0.25, and half of the latter: within three standard deviations.
    assert!((440..=560).contains(&halls), "{halls}");
    assert!((440..=560).contains(&crossings), "{crossings}");
    let half = crossings / 2;
    assert!(
        to_the_left.abs_diff(half) < 35,
        "{to_the_left} of {crossings}"
    );

    let mut case = AgileEpisode {
        goal: Goal {
            position_world: [3.0, 0.0].into(),
            heading_rad: 0.0,
        },
        duration_s: 8.0,
        collided: false,
        in_scene: true,
    };
    let level = |episode: &mut AgileEpisode| {
        let end = Case {
            time_left_s: 0.0,
            ..RUNNING
        }
        .step_of(episode)
        .1;
        end.end().unwrap().level
    };
    assert_eq!(level(&mut case), LevelChange::Stay);
    case.in_scene = false;
    assert_eq!(level(&mut case), LevelChange::Down);
}

#[test]
fn scenes_that_do_not_exist_or_come_too_often_are_refused() {
    for (scene, share, refusal) in [
        ("hall", 0.1, "there is no scene `hall`"),
        (
            "halls",
            1.1,
            "`env.scenes.share`: is 1.1, must be between 0 and 1",
        ),
        ("halls", -0.1, "must be between 0 and 1"),
    ] {
        let config = AgileConfig {
            scenes: vec![SceneShare {
                scene: scene.to_owned(),
                share,
            }],
            ..AgileConfig::default()
        };
        let error = AgileTask::validate(&config).unwrap_err().to_string();
        assert!(error.contains(refusal), "{error}");
    }
    let half = SceneShare {
        scene: "halls".to_owned(),
        share: 0.6,
    };
    let config = AgileConfig {
        scenes: vec![half.clone(), half],
        ..AgileConfig::default()
    };
    let error = AgileTask::validate(&config).unwrap_err().to_string();
    assert!(error.contains("sum of all shares"), "{error}");
}

#[test]
fn a_mirrored_scene_is_the_same_distances_away() {
    let (mut mirrored, mut other) = (0, 0);
    let config = AgileConfig {
        scenes: vec![SceneShare {
            scene: "pockets".to_owned(),
            share: 1.0,
        }],
        ..AgileConfig::default()
    };
    let scenes = Scenes::load(&config.scenes).unwrap();
    for index in 0..50 {
        let place = scenes
            .draw(CollisionMargin::default(), &mut stream(1, index))
            .unwrap();
        // The two sides of a pocket are of 1 and 1.4 m; the longer is to the right unless it is mirrored.
        let [back, left, right] = [0, 1, 2].map(|part| &place.obstacles[1 + part]);
        let along = back.orientation * Vector3::y();
        let side = |part: &Obstacle| (part.position_world - back.position_world).dot(&along);
        assert!((side(left).abs() - 1.05).abs() < 1e-4 && (side(right).abs() - 1.05).abs() < 1e-4);
        let outward = back.orientation * Vector3::x();
        let is_open_to_the_start = (left.position_world - back.position_world).dot(&outward);
        assert!((is_open_to_the_start + 0.45).abs() < 1e-4);
        match side(left) > 0.0 {
            true => other += 1,
            false => mirrored += 1,
        }
    }
    assert!(mirrored > 10 && other > 10, "{mirrored}, {other}");
}
