use nalgebra::UnitQuaternion;
use rand::RngExt;

use super::*;
use crate::random::stream;

fn cast(state: &RobotState, obstacles: &[Obstacle], time_s: f32) -> Vec<f32> {
    cast_with(&RaySpec::default(), state, obstacles, time_s)
}

fn cast_with(spec: &RaySpec, state: &RobotState, obstacles: &[Obstacle], time_s: f32) -> Vec<f32> {
    let mut scan = RayScan::clear(spec);
    RayCaster::new(spec).cast(state, obstacles, time_s, &mut scan);
    scan.distance_m.to_vec()
}

fn robot_at(x: f32, y: f32, yaw: f32) -> RobotState {
    let mut state = RobotState::zero(12, 4);
    state.position_world = Point3::new(x, y, 0.3);
    state.orientation = UnitQuaternion::from_euler_angles(0.0, 0.0, yaw);
    state
}

/// The nearest hit of many of rapier's rays in each sector, at many heights.
fn cast_by_rapier(
    spec: &RaySpec,
    state: &RobotState,
    obstacles: &[Obstacle],
    time_s: f32,
) -> Vec<f32> {
    let caster = RayCaster::new(spec);
    let (base, heading) = caster.base_and_heading(state);
    let even = |count: usize, low: f32, high: f32| {
        let step = (high - low) / count.saturating_sub(1).max(1) as f32;
        (0..count).map(move |index| low + index as f32 * step)
    };
    let half_width_rad = 0.5 * spec.width_rad;
    let [low_m, high_m] = spec.height_m;
    let (across, heights) = if half_width_rad > 0.0 {
        (101, 31)
    } else {
        (1, 1)
    };
    let nearest = |ray: usize| {
        let mut nearest_m = spec.max_m;
        for obstacle in obstacles {
            let position = obstacle.position_at(time_s);
            for aside_rad in even(across, -half_width_rad, half_width_rad) {
                let (sin, cos) = (spec.angle_rad(ray) + aside_rad).sin_cos();
                let direction = Vector3::new(
                    heading.x * cos - heading.y * sin,
                    heading.y * cos + heading.x * sin,
                    0.0,
                );
                for height_m in even(heights, low_m, high_m) {
                    let origin = base + Vector3::new(0.0, 0.0, height_m);
                    let hit = cast_ray(obstacle, &position, &origin, &direction, nearest_m);
                    nearest_m = hit.unwrap_or(nearest_m);
                }
            }
        }
        nearest_m.max(spec.min_m)
    };
    (0..spec.count).map(nearest).collect()
}

#[test]
fn a_collision_margin_is_not_seen() {
    let thin = [
        Obstacle::cylinder(2.0, 0.3, 0.4, 1.0),
        Obstacle {
            shape: ObstacleShape::Box {
                half_extents_m: Vector3::new(0.1, 0.6, 0.5),
            },
            orientation: UnitQuaternion::from_euler_angles(0.0, 0.0, 0.4),
            ..Obstacle::cylinder(1.5, -0.6, 0.4, 1.0)
        },
        Obstacle {
            velocity_world: Vector3::new(0.0, 1.0, 0.0),
            ..Obstacle::cylinder(1.8, 1.4, 0.4, 1.0)
        },
    ];
    let margin = CollisionMargin {
        all_m: 0.05,
        moving_m: 0.2,
    };
    let thick = thin.clone().map(|obstacle| obstacle.thicker(margin));
    let radius_m = |obstacle: &Obstacle| match obstacle.shape {
        ObstacleShape::Cylinder { radius_m, .. } => radius_m,
        _ => f32::NAN,
    };
    assert_eq!(radius_m(&thick[0]), 0.4 + 0.05);
    assert_eq!(radius_m(&thick[2]), 0.4 + 0.25);
    let (spec, state) = (RaySpec::default(), robot_at(0.0, 0.0, 0.0));
    let mut scan = RayScan::clear(&spec);
    let caster = RayCaster::new(&spec).with_collision_margin(margin);
    caster.cast(&state, &thick, 0.0, &mut scan);
    let seen = cast(&state, &thin, 0.0);
    let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5;
    assert!(scan.distance_m.iter().zip(&seen).all(close), "{scan:?}");
    for (obstacle, thicker) in thin.into_iter().zip(thick) {
        assert_ne!(
            cast(&state, &[thicker], 0.0),
            cast(&state, &[obstacle], 0.0)
        );
    }
}

#[test]
fn a_cylinder_ahead_is_seen_from_behind_the_base() {
    let obstacles = [Obstacle::cylinder(2.0, 0.0, 0.4, 1.0)];
    let distances = cast(&robot_at(0.0, 0.0, 0.0), &obstacles, 0.0);
    assert!((distances[5] - 1.65).abs() < 1e-5, "{distances:?}");
    assert_eq!(distances[0], 6.0);
    assert_eq!(distances[4], distances[6]);
}

#[test]
fn the_first_ray_looks_to_the_right() {
    let obstacles = [Obstacle::cylinder(1.95, -2.0, 0.4, 1.0)];
    let distances = cast(&robot_at(0.0, 0.0, 0.0), &obstacles, 0.0);
    let expected = 8.0_f32.sqrt() - 0.4;
    assert!((distances[0] - expected).abs() < 1e-5, "{distances:?}");
    assert_eq!(distances[10], 6.0);
}

#[test]
fn the_closed_form_agrees_with_rapier() {
    let mut stream = stream(7, 0);
    for _ in 0..200 {
        let mut draw = |low: f32, high: f32| low + (high - low) * stream.random::<f32>();
        let state = {
            let mut state = robot_at(draw(-1.0, 1.0), draw(-1.0, 1.0), draw(-3.2, 3.2));
            let tilt = UnitQuaternion::from_euler_angles(draw(-0.4, 0.4), draw(-0.4, 0.4), 0.0);
            state.orientation *= tilt;
            state
        };
        let obstacles: Vec<Obstacle> = (0..8)
            .map(|index| {
                // Some below the rays, none with its top at their very height.
                let height = [draw(0.1, 0.29), draw(0.31, 1.0)][usize::from(draw(0.0, 1.0) > 0.2)];
                let mut cylinder =
                    Obstacle::cylinder(draw(-4.0, 4.0), draw(-4.0, 4.0), draw(0.05, 0.6), height);
                cylinder.velocity_world = Vector3::new(draw(-1.0, 1.0), draw(-1.0, 1.0), 0.0);
                if index % 2 == 0 {
                    return cylinder;
                }
                Obstacle {
                    shape: ObstacleShape::Box {
                        half_extents_m: Vector3::new(
                            draw(0.05, 1.0),
                            draw(0.05, 0.5),
                            0.5 * height,
                        ),
                    },
                    orientation: UnitQuaternion::from_euler_angles(0.0, 0.0, draw(-3.2, 3.2)),
                    ..cylinder
                }
            })
            .collect();
        let exact = cast(&state, &obstacles, 0.7);
        let queried = cast_by_rapier(&RaySpec::default(), &state, &obstacles, 0.7);
        for (a, b) in exact.iter().zip(&queried) {
            // Rays that graze a cylinder have a distance of infinite slope.
            assert!(
                (a - b).abs() < 5e-3,
                "closed form {exact:?}, rapier {queried:?}"
            );
        }
    }
}

#[test]
fn a_box_is_seen_where_it_is_after_it_has_moved() {
    let wall = Obstacle {
        shape: ObstacleShape::Box {
            half_extents_m: Vector3::new(0.1, 5.0, 1.0),
        },
        position_world: Point3::new(3.0, 0.0, 0.5),
        orientation: UnitQuaternion::identity(),
        velocity_world: Vector3::new(-1.0, 0.0, 0.0),
    };
    let distances = cast(&robot_at(0.0, 0.0, 0.0), &[wall], 1.0);
    assert!((distances[5] - 1.95).abs() < 1e-5, "{distances:?}");
    assert!((distances[0] - 1.95 * 2.0_f32.sqrt()).abs() < 1e-4);
}

#[test]
fn rays_pass_over_low_and_under_high_obstacles_and_ignore_what_is_behind() {
    let mut high = Obstacle::cylinder(2.0, 0.0, 0.4, 1.0);
    high.position_world.z = 1.0;
    let obstacles = [
        Obstacle::cylinder(2.0, 0.0, 0.4, 0.2),
        Obstacle::cylinder(-2.0, 0.0, 0.4, 1.0),
        high,
    ];
    let distances = cast(&robot_at(0.0, 0.0, 0.0), &obstacles, 0.0);
    assert_eq!(distances, vec![6.0; 11]);
}

#[test]
fn distances_are_clipped() {
    let near = [Obstacle::cylinder(0.44, 0.0, 0.4, 1.0)];
    let within = [Obstacle::cylinder(0.1, 0.0, 0.4, 1.0)];
    let far = [Obstacle::cylinder(7.0, 0.0, 0.4, 1.0)];
    let state = robot_at(0.0, 0.0, 0.0);
    assert_eq!(cast(&state, &near, 0.0)[5], 0.1);
    assert_eq!(cast(&state, &within, 0.0), vec![0.1; 11]);
    assert_eq!(cast(&state, &far, 0.0), vec![6.0; 11]);
}

#[test]
fn a_ray_with_a_width_is_the_nearest_of_the_lines_within_it() {
    let spec = RaySpec {
        count: 27,
        first_rad: -2.042,
        last_rad: 2.042,
        height_m: [-0.15, 0.15],
        width_rad: 0.157,
        ..RaySpec::default()
    };
    let mut stream = stream(8, 0);
    let mut within = 0;
    for _ in 0..40 {
        let mut draw = |low: f32, high: f32| low + (high - low) * stream.random::<f32>();
        let state = robot_at(draw(-1.0, 1.0), draw(-1.0, 1.0), draw(-3.2, 3.2));
        let (size, height_m) = (draw(0.02, 0.5), draw(0.1, 0.6));
        let along_y = UnitQuaternion::from_euler_angles(FRAC_PI_2, 0.0, 0.0);
        let turned = UnitQuaternion::from_euler_angles(0.0, 0.0, draw(-3.2, 3.2));
        let half_extents_m = Vector3::new(size, draw(0.02, 1.0), 0.5 * height_m);
        for (shape, orientation) in [
            (
                ObstacleShape::Cylinder {
                    radius_m: size,
                    height_m,
                },
                UnitQuaternion::identity(),
            ),
            (ObstacleShape::Box { half_extents_m }, turned),
            (ObstacleShape::Ball { radius_m: size }, turned),
            (
                ObstacleShape::Cone {
                    radius_m: size,
                    height_m: height_m + size,
                },
                along_y,
            ),
        ] {
            let obstacle = Obstacle {
                shape,
                orientation,
                position_world: Point3::new(draw(-3.0, 3.0), draw(-3.0, 3.0), draw(0.0, 0.7)),
                velocity_world: Vector3::new(draw(-1.0, 1.0), draw(-1.0, 1.0), 0.0),
            };
            let obstacles = [obstacle];
            let exact = cast_with(&spec, &state, &obstacles, 0.7);
            let sampled = cast_by_rapier(&spec, &state, &obstacles, 0.7);
            for (ray, (exact_m, sampled_m)) in exact.iter().zip(&sampled).enumerate() {
                assert!(
                    (exact_m - sampled_m).abs() < 0.02,
                    "ray {ray} is {exact_m} m, the nearest of many lines {sampled_m} m, {obstacles:?}, {state:?}"
                );
                within += usize::from(*exact_m < spec.max_m);
            }
        }
    }
    assert!(within > 200, "{within} rays met anything");
}

#[test]
fn a_post_between_two_lines_is_seen_by_a_ray_with_a_width() {
    let post = [Obstacle::cylinder(2.0, 0.1, 0.02, 1.0)];
    let state = robot_at(0.0, 0.0, 0.0);
    assert_eq!(cast(&state, &post, 0.0), vec![6.0; 11]);
    let wide = RaySpec {
        width_rad: RaySpec::default().step_rad(),
        ..RaySpec::default()
    };
    let seen = cast_with(&wide, &state, &post, 0.0);
    let expected_m = 2.05_f32.hypot(0.1) - 0.02;
    assert!((seen[5] - expected_m).abs() < 1e-5, "{seen:?}");
    assert!(seen[..5].iter().chain(&seen[6..]).all(|m| *m == 6.0));
}

#[test]
fn a_seat_over_the_base_is_seen_where_heights_count() {
    let mut seat = Obstacle::cylinder(2.0, 0.0, 0.3, 0.04);
    seat.position_world.z = 0.42;
    let state = robot_at(0.0, 0.0, 0.0);
    let up_to = |high_m| RaySpec {
        height_m: [-0.15, high_m],
        ..RaySpec::default()
    };
    let ahead_m = |high_m| cast_with(&up_to(high_m), &state, &[seat.clone()], 0.0)[5];
    assert_eq!(ahead_m(0.05), 6.0);
    assert!((ahead_m(0.15) - 1.75).abs() < 1e-5);
}
