//! What only MuJoCo does: shapes that the batch engine does not know, and what it refuses.
#![cfg(feature = "mujoco")]

use nalgebra::{Matrix3, Point3, UnitQuaternion, Vector3};
use robots::Robot;
use sim::{
    engine::{self, Engine, EngineError, EngineKind, EpisodeStart, PhysicsConfig, PhysicsState},
    scene::{Obstacle, ObstacleShape},
};

fn go1() -> Robot {
    Robot::load("go1").expect("go1")
}

fn mujoco(robot: &Robot) -> Result<Box<dyn Engine>, EngineError> {
    engine::build(EngineKind::Mujoco, robot, &PhysicsConfig::default(), 1)
}

/// Nearest to the obstacle that a robot gets which slides towards it, and the largest force on its trunk and legs.
fn slide_into(shape: ObstacleShape, turn: UnitQuaternion<f32>, centre_z_m: f32) -> (f32, f32) {
    let robot = go1();
    let mut start = EpisodeStart::standing(&robot);
    start.linear_velocity_world.x = 2.0;
    start.dynamics.friction = 0.3;
    start.obstacles.push(Obstacle {
        shape,
        position_world: Point3::new(1.0, 0.0, centre_z_m),
        orientation: turn,
        velocity_world: Vector3::zeros(),
    });
    let mut engine = mujoco(&robot).expect("robot");
    engine.reset(0, &start).expect("scene");
    let mut state = PhysicsState::zero(&robot);
    let (mut nearest_m, mut touched_n) = (f32::INFINITY, 0.0_f32);
    for _ in 0..50 {
        engine.step(&robot.control.standing_position_rad);
        engine.read(0, &mut state);
        nearest_m =
            nearest_m.min((state.position_world.xy() - Point3::new(1.0, 0.0, 0.0).xy()).norm());
        let legs = state.thigh_force_n.iter().chain(&state.calf_force_n);
        touched_n = legs.fold(touched_n.max(state.base_force_n), |a, &b| a.max(b));
    }
    (nearest_m, touched_n)
}

/// The trunk reaches 0.27 m ahead of its centre: it stops that far from a surface of radius 0.4 m.
#[test]
fn every_shape_stops_the_robot() {
    let upright = UnitQuaternion::identity();
    let tip_up = UnitQuaternion::from_euler_angles(std::f32::consts::FRAC_PI_2, 0.0, 0.0);
    let half_extents_m = Vector3::new(0.4, 0.4, 0.5);
    let (radius_m, height_m) = (0.4, 1.0);
    for (shape, turn, centre_z_m) in [
        (ObstacleShape::Cylinder { radius_m, height_m }, upright, 0.5),
        (ObstacleShape::Box { half_extents_m }, upright, 0.5),
        (ObstacleShape::Ball { radius_m }, upright, 0.3),
        // A cone of twice the height is about 0.4 m wide where the trunk meets it.
        (
            ObstacleShape::Cone {
                radius_m: 0.5,
                height_m: 1.5,
            },
            tip_up,
            0.75,
        ),
    ] {
        let what = format!("{shape:?}");
        let (nearest_m, touched_n) = slide_into(shape, turn, centre_z_m);
        assert!(touched_n > 20.0, "{what}: touched with {touched_n} N");
        assert!(
            (0.55..0.8).contains(&nearest_m),
            "{what}: the base came as near as {nearest_m} m"
        );
    }
}

#[test]
fn what_mujoco_refuses_is_told_in_one_line() {
    let robot = go1();
    let assert_told = |message: String| {
        assert_eq!(message.lines().count(), 1, "{message}");
        for part in ["go1", "MuJoCo refuses", "trunk", "inertia"] {
            assert!(message.contains(part), "`{part}` is not in: {message}");
        }
    };
    let mut engine = mujoco(&robot).expect("robot");
    let mut start = EpisodeStart::standing(&robot);
    start.dynamics.added_base_mass_kg = -100.0;
    let error = engine.reset(0, &start).expect_err("negative mass");
    assert_told(error.to_string());
    // The engine goes on with the scene that it had.
    engine.step(&robot.control.standing_position_rad);

    let mut thin = robot.clone();
    thin.base.link.inertia_kgm2 = Matrix3::from_diagonal(&Vector3::new(0.1, 0.01, 0.01));
    let error = mujoco(&thin).err().expect("no body has such an inertia");
    assert_told(error.to_string());
}
