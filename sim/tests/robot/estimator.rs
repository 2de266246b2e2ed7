//! The robot's own estimate of its velocity and position beside the simulated truth, at a run.

use std::path::Path;

use controller::{
    Controller, ControllerConfig, Method,
    deploy::{Estimator, EstimatorConfig},
};
use nalgebra::{Point2, Vector2};
use policies::{Bundle, Goal, RayScan};
use robots::{JointVec, Robot, RobotState};
use sim::engine::{Engine, EpisodeStart, PhysicsConfig, PhysicsState, RapierEngine};

use crate::sensors::Sensors;

#[derive(Debug)]
struct Errors {
    mean_speed_mps: f32,
    velocity_rms_mps: f32,
    path_m: f32,
    drift_m: f32,
    wrong_contact_fraction: f32,
}

/// Eight seconds with the shipped agile policy on the estimate, the goal always six metres ahead.
fn run(foot_sensors: bool, seed: u64) -> Errors {
    let robot = Robot::load("go1").expect("go1");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/bundles/go1");
    let bundle = Bundle::load(&folder).expect("the shipped bundle");
    let config = ControllerConfig::default();
    let mut controller =
        Controller::new(&robot, &bundle, Method::agile(), &config).expect("it fits the robot");
    let mut estimator = Estimator::new(&robot, &EstimatorConfig::default());
    let mut estimate = RobotState::zero(robot.num_joints(), robot.num_feet());
    let rays = RayScan::clear(&bundle.spec.rays);
    let mut goal = Goal {
        position_world: Point2::origin(),
        heading_rad: 0.0,
    };

    let physics = PhysicsConfig {
        decimation: 1,
        ..PhysicsConfig::default()
    };
    let mut engine = RapierEngine::new(&robot, &physics, 1).expect("rapier");
    engine
        .reset(0, &EpisodeStart::standing(&robot))
        .expect("scene");
    let mut truth = PhysicsState::zero(&robot);
    engine.read(0, &mut truth);
    let mut sensors = Sensors::new(foot_sensors, seed);
    estimator.update(&sensors.sample(&truth, physics.step_s), 0.0, &mut estimate);

    let mut errors = Errors {
        mean_speed_mps: 0.0,
        velocity_rms_mps: 0.0,
        path_m: 0.0,
        drift_m: 0.0,
        wrong_contact_fraction: 0.0,
    };
    let (mut squares, mut moving, mut contacts) = (0.0, 0, 0);
    let mut target_rad = JointVec::new();
    let steps = 1600;
    for step in 0..steps {
        if step % 4 == 0 {
            let ahead_m = Vector2::new(6.0, 0.0);
            goal.position_world = estimate.position_world.xy() + ahead_m;
            let target = controller.step(&estimate, &rays, &goal, 5.0);
            target_rad.clone_from(&target.position_rad);
        }
        engine.step(&target_rad);
        engine.read(0, &mut truth);
        estimator.update(
            &sensors.sample(&truth, physics.step_s),
            physics.step_s,
            &mut estimate,
        );

        let velocity_base = truth
            .orientation
            .inverse_transform_vector(&truth.linear_velocity_world);
        errors.path_m += truth.linear_velocity_world.xy().norm() * physics.step_s;
        // The first second is the start.
        if step >= 200 {
            moving += 1;
            errors.mean_speed_mps += velocity_base.x;
            squares += (estimate.linear_velocity_base - velocity_base).norm_squared();
        }
        for (estimated, force) in estimate.foot_contact.iter().zip(&truth.foot_force_world) {
            contacts += 1;
            errors.wrong_contact_fraction +=
                f32::from(u8::from(*estimated != (force.norm() > 1.0)));
        }
    }
    errors.mean_speed_mps /= moving as f32;
    errors.velocity_rms_mps = (squares / moving as f32).sqrt();
    errors.wrong_contact_fraction /= contacts as f32;
    errors.drift_m = (estimate.position_world.xy() - truth.position_world.xy()).norm();
    println!("foot sensors {foot_sensors}: {errors:?}");
    errors
}

#[test]
fn velocity_and_position_at_a_run_with_and_without_foot_sensors() {
    for foot_sensors in [true, false] {
        let errors = run(foot_sensors, 1);
        assert!(errors.mean_speed_mps > 2.3, "{errors:?}");
        assert!(errors.velocity_rms_mps <= 0.15, "{errors:?}");
        assert!(errors.drift_m <= 0.05 * errors.path_m, "{errors:?}");
    }
}
