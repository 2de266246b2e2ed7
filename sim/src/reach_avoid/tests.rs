use controller::{ControlInput, Controller, ControllerConfig, Method};
use nalgebra::{Point2, UnitQuaternion, Vector3};
use policies::{
    Bundle, Layout, Linear, PolicySpec, Quantity, RayScan, RaySpec,
    observation::{ObservationTerm, terms},
    reach_avoid::Rollouts,
    spec::{NetworkSpec, Provenance, role},
};
use rand::RngExt;
use robots::{Robot, RobotState};

use super::{
    RolloutConfig, RolloutRecorder,
    plan::{Planner, RolloutPlan},
};
use crate::{
    engine::{self, EngineKind, PhysicsConfig, PhysicsState},
    episode::SimLink,
    random::stream,
    sensors::RayCaster,
};

const STEP_S: f32 = 0.02;

/// A network of random weights; `scale` zero is a robot that holds its default posture.
fn bundle(robot: &Robot, scale: f32) -> Bundle {
    let ray_spec = RaySpec::default();
    let mut stream = stream(5, 0);
    let mut draw = |count| -> Vec<f32> {
        let mut draw = || scale * (stream.random::<f32>() - 0.5);
        (0..count).map(|_| draw()).collect()
    };
    let joints = robot.num_joints();
    let mut bundle = Bundle::new(PolicySpec::new(robot, &ray_spec, STEP_S));
    let mut insert = |role, terms: Vec<ObservationTerm>, layer| {
        let scale = robot.control.action_scale;
        let spec = NetworkSpec::policy(role, terms, scale, Provenance::default());
        bundle.insert(role, spec, vec![layer]).unwrap();
    };
    let layer = Linear {
        inputs: 61,
        weight: draw(61 * joints),
        bias: draw(joints),
    };
    insert(role::AGILE, terms::agile(&ray_spec), layer);
    let layer = Linear {
        inputs: 49,
        weight: vec![0.0; 49 * joints],
        bias: vec![0.0; joints],
    };
    insert(role::RECOVERY, terms::recovery(), layer);
    bundle
}

/// Nothing but one kind of start.
fn only(running: f32, random_velocity: f32, testbed: f32, anywhere: f32) -> RolloutConfig {
    RolloutConfig {
        running_fraction: running,
        random_velocity_fraction: random_velocity,
        testbed_fraction: testbed,
        anywhere_fraction: anywhere,
        recovering_fraction: 0.0,
        ..RolloutConfig::default()
    }
}

fn plans(config: &RolloutConfig, count: u64) -> Vec<RolloutPlan> {
    let robot = Robot::load("go1").unwrap();
    let planner = Planner::new(&robot, &bundle(&robot, 0.3), config, STEP_S).unwrap();
    let plan = |episode| planner.plan(3, episode).unwrap();
    (0..count).map(plan).collect()
}

#[test]
fn starts_keep_to_the_configuration() {
    for RolloutPlan {
        run_up, recorded, ..
    } in plans(&only(0.0, 1.0, 0.5, 1.0), 300)
    {
        assert!(run_up.is_none());
        let start = &recorded.physics;
        assert_eq!(start.obstacles.len(), 8);
        let velocity_base = start.orientation.inverse() * start.linear_velocity_world;
        assert!((-1.0..=2.0).contains(&velocity_base.x) && velocity_base.y.abs() <= 0.5);
        assert!(velocity_base.z.abs() < 1e-5 && start.angular_velocity_world.z.abs() <= 3.0);
        let to_goal = recorded.goal.position_world - start.position_world.xy();
        let forward = start.orientation * Vector3::x();
        assert!(forward.xy().angle(&to_goal) <= 1.5 + 1e-4);
        let place = start.position_world.xy();
        let distances = start
            .obstacles
            .iter()
            .map(|o| o.footprint_distance_m(&place));
        let nearest_m = distances.fold(f32::INFINITY, f32::min);
        // Where no free place is found, the scene's own start is.
        assert!(nearest_m >= 0.4 || place.coords.norm() < 0.8, "{nearest_m}");
    }
    for RolloutPlan {
        run_up, recorded, ..
    } in plans(&only(1.0, 0.0, 0.5, 0.5), 100)
    {
        let (before, steps) = run_up.unwrap();
        assert!((15..=150).contains(&steps));
        assert!(recorded.duration_s >= 7.0 - 3.0 && before.duration_s >= 7.0);
    }
    let plans = plans(&RolloutConfig::default(), 1000);
    let running = plans.iter().filter(|plan| plan.run_up.is_some()).count();
    assert!((540..660).contains(&running), "{running}");
}

#[test]
fn the_recovery_policy_hands_over_to_the_agile_one() {
    let robot = Robot::load("go1").unwrap();
    let bundle = bundle(&robot, 0.3);
    let mut config = RolloutConfig {
        recovering_fraction: 1.0,
        ..only(0.0, 0.0, 1.0, 0.0)
    };
    config.agile.episode_s = [0.5, 0.5];
    config.run_up_s = [0.02, 0.06];
    config.recovering_s = [0.2, 0.2];
    for RolloutPlan { recovering, .. } in self::plans(&config, 50) {
        let (twist, steps) = recovering.unwrap();
        assert_eq!(steps, 10);
        assert!(twist.vx_mps.abs() <= 1.5 && twist.yaw_rate_radps.abs() <= 3.0);
    }
    // Standing still (its recovery policy keeps the default posture) nothing is collided with; what follows is
    // recorded, until the time of the scene is up.
    let physics = PhysicsConfig::default();
    let recorder = RolloutRecorder::new(&robot, &bundle, &config, &physics, 3).unwrap();
    let rollouts = recorder.record(0..4).unwrap();
    assert_eq!(rollouts.num_episodes(), 4);
    for episode in 0..4 {
        let rows = rollouts.rows(episode).len();
        assert!(rollouts.collided(episode) || rows == 25 - 10 + 1, "{rows}");
    }
    // Without a recovery policy there is nobody to begin with.
    let mut alone = bundle;
    alone.spec.networks.remove(role::RECOVERY);
    let planner = Planner::new(&robot, &alone, &config, STEP_S).unwrap();
    assert!((0..50).all(|n| planner.plan(3, n).unwrap().recovering.is_none()));
}

#[test]
fn a_running_robot_keeps_its_motion_in_another_scene() {
    let robot = Robot::load("go1").unwrap();
    let plan = &plans(&only(1.0, 0.0, 1.0, 1.0), 1)[0].recorded;
    let mut running = PhysicsState::zero(&robot);
    running.position_world = Point2::new(40.0, -3.0).to_homogeneous().into();
    running.position_world.z = 0.31;
    running.orientation = UnitQuaternion::from_euler_angles(0.1, -0.2, 2.0);
    running.linear_velocity_world = Vector3::new(-1.0, 2.5, 0.3);
    running.angular_velocity_world = Vector3::new(0.4, -0.5, 1.6);
    running.joint_velocity_radps[4] = 7.0;
    let start = super::plan::running(&plan.physics, &running);
    assert_eq!(start.position_world.xy(), plan.physics.position_world.xy());
    assert_eq!(start.position_world.z, 0.31);
    assert_eq!(start.joint_velocity_radps, running.joint_velocity_radps);
    let base = |v: &Vector3<f32>, q: &UnitQuaternion<f32>| q.inverse_transform_vector(v);
    let moved = base(&start.linear_velocity_world, &start.orientation);
    let before = base(&running.linear_velocity_world, &running.orientation);
    assert!((moved - before).norm() < 1e-5);
    let turned = base(&start.angular_velocity_world, &start.orientation);
    let before = base(&running.angular_velocity_world, &running.orientation);
    assert!((turned - before).norm() < 1e-5);
    let (roll, pitch, yaw) = start.orientation.euler_angles();
    assert!((roll - 0.1).abs() < 1e-5 && (pitch + 0.2).abs() < 1e-5);
    let expected_yaw = plan.physics.orientation.euler_angles().2;
    assert!((yaw - expected_yaw).abs() < 1e-5);
}

/// The same episode, step by step with the parts that a robot would have.
#[test]
fn rows_are_what_the_controller_sees() {
    let robot = Robot::load("go1").unwrap();
    let bundle = bundle(&robot, 0.3);
    let mut config = RolloutConfig {
        engine: EngineKind::Rapier,
        ..only(0.0, 1.0, 1.0, 1.0)
    };
    config.agile.episode_s = [0.5, 0.5];
    config.run_up_s = [0.02, 0.06];
    let physics = PhysicsConfig::default();
    let recorder = RolloutRecorder::new(&robot, &bundle, &config, &physics, 3).unwrap();
    let rollouts = recorder.record(1..2).unwrap();
    let planner = Planner::new(&robot, &bundle, &config, STEP_S).unwrap();
    let plan = planner.plan(3, 1).unwrap().recorded;

    let mut engine =
        engine::build(EngineKind::Rapier, &robot, &PhysicsConfig::default(), 1).unwrap();
    engine.reset(0, &plan.physics).unwrap();
    let mut controller = Controller::new(
        &robot,
        &bundle,
        Method::agile(),
        &ControllerConfig::default(),
    )
    .unwrap();
    let mut link = SimLink::new(&robot, &bundle.spec.rays, None);
    link.reset(&plan.physics.obstacles, plan.goal, plan.duration_s, 0);
    let mut input = ControlInput::new(&robot, &bundle.spec.rays);
    let mut physics = PhysicsState::zero(&robot);
    let mut state = RobotState::zero(robot.num_joints(), robot.num_feet());
    let mut scan = RayScan::clear(&bundle.spec.rays);
    let rows = rollouts.rows(0);
    assert!(rows.len() > 1 && rows.len() <= 26);
    for row in rows.clone() {
        engine.read(0, &mut physics);
        physics.write_robot_state(&mut state);
        let observation = rollouts.observation(row);
        // Of the velocities the value observes v_x, v_y and w_z alone.
        let (v, w) = (state.linear_velocity_base, state.angular_velocity_base);
        assert_eq!(observation[..6], [v.x, v.y, 0.0, 0.0, 0.0, w.z]);
        let goal = plan.goal.position_world;
        let distance_m = (state.position_world.xy() - goal).norm();
        assert!((observation[6].hypot(observation[7]) - distance_m).abs() < 1e-5);
        assert_eq!(rollouts.goal_distances_m(0)[row], distance_m);
        let obstacles = &plan.physics.obstacles;
        RayCaster::new(&bundle.spec.rays).cast(&state, obstacles, 0.0, &mut scan);
        for (log, distance_m) in observation[8..].iter().zip(&scan.distance_m) {
            assert_eq!(*log, distance_m.log2());
        }
        let touches = physics.collision().is_some();
        // Nothing is known of touches before the first step.
        let is_last = row + 1 == rows.end;
        assert!(row == 0 || touches == (rollouts.collided(0) && is_last));

        link.sense(&physics, 0.02 * row as f32);
        let Ok(()) = controller.cycle(&mut link, &mut input);
        engine.step(link.target_rad());
    }
    assert!(rollouts.collided(0) || rows.len() == 26);
}

#[test]
fn illusions_hide_what_is_behind_the_goal() {
    let robot = Robot::load("go1").unwrap();
    let record = |illusion: bool| {
        let mut bundle = bundle(&robot, 0.0);
        bundle.spec.illusion_margin_m = illusion.then_some(0.3);
        let mut config = only(0.0, 0.0, 1.0, 1.0);
        config.agile.episode_s = [0.1, 0.1];
        config.run_up_s = [0.02, 0.06];
        let physics = PhysicsConfig::default();
        let recorder = RolloutRecorder::new(&robot, &bundle, &config, &physics, 3).unwrap();
        recorder.record(0..30).unwrap()
    };
    let rays = RaySpec::default();
    let terms = terms::reach_avoid(&rays);
    let layout = Layout::new(&terms, &(&robot).into(), &rays).unwrap();
    let rays = layout.range(Quantity::LogRays).unwrap();
    let (honest, illusion) = (record(false), record(true));
    let mut replaced = 0;
    for row in 0..honest.num_rows() {
        let bound_m = honest.observation(row)[6].hypot(honest.observation(row)[7]) + 0.3;
        let pairs = honest.observation(row)[rays.clone()].iter();
        for (honest, seen) in pairs.zip(&illusion.observation(row)[rays.clone()]) {
            if honest.exp2() < bound_m {
                assert_eq!(honest, seen);
            } else {
                assert!(seen.exp2() > bound_m - 1e-4 && seen <= honest);
                replaced += usize::from(seen != honest);
            }
        }
    }
    assert!(replaced > 0);
}

#[test]
fn episodes_depend_on_the_seed_and_their_number_alone() {
    let robot = Robot::load("go1").unwrap();
    let bundle = bundle(&robot, 0.5);
    let record = |seed: u64, threads: usize, parts: &[std::ops::Range<u64>]| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        // Who collides while recovering is not recorded, so nobody does.
        let mut config = RolloutConfig {
            recovering_fraction: 0.0,
            ..RolloutConfig::default()
        };
        config.agile.episode_s = [1.0, 1.5];
        config.run_up_s = [0.1, 0.3];
        let physics = PhysicsConfig::default();
        let recorder = RolloutRecorder::new(&robot, &bundle, &config, &physics, seed).unwrap();
        let mut all = Rollouts::new(recorder.layout().dim());
        for part in parts {
            let part = pool
                .as_ref()
                .unwrap()
                .install(|| recorder.record(part.clone()));
            all.append(&part.unwrap());
        }
        all
    };
    let once = record(7, 1, std::slice::from_ref(&(0..80)));
    assert_eq!(once.num_episodes(), 80);
    assert_eq!(once, record(7, 3, &[0..11, 11..80]));
    assert_ne!(once, record(8, 1, std::slice::from_ref(&(0..80))));
}

#[test]
fn impossible_settings_are_named() {
    let error = |change: fn(&mut RolloutConfig)| {
        let mut config = RolloutConfig::default();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    assert!(
        error(|c| c.running_fraction = 1.5)
            .contains("`reach_avoid.rollouts.running_fraction` is 1.5")
    );
    assert!(
        error(|c| c.random_velocity_fraction = 0.9)
            .contains("running_fraction + random_velocity_fraction")
    );
    assert!(error(|c| c.run_up_s = [1.0, 8.0]).contains("shorter than `agile.episode_s`"));
    assert!(error(|c| c.randomization.joint_bias_rad = [-0.1, 0.1]).contains("encoders are exact"));
    assert!(error(|c| c.agile.goal_x_m = [2.0, 1.0]).contains("agile.goal_x_m"));
    assert!(error(|c| c.testbed.obstacles.radius_m = 0.0).contains("radius_m"));
    assert!(error(|c| c.clearance_m = f32::NAN).contains("clearance_m"));
}
