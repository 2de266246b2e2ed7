use std::f32::consts::FRAC_PI_2;

use nalgebra::{Point2, Point3, UnitQuaternion, Vector3};

use super::*;
use crate::Goal;

fn go1() -> Robot {
    Robot::load("go1").unwrap()
}

/// The robot stands at (1, 2), faces world y, and leans by 30 degrees to its right; the goal is 3 m ahead.
fn known_state() -> (RobotState, Goal) {
    let mut state = RobotState::zero(12, 4);
    state.position_world = Point3::new(1.0, 2.0, 0.3);
    state.orientation = UnitQuaternion::from_euler_angles(30f32.to_radians(), 0.0, FRAC_PI_2);
    state.linear_velocity_base = Vector3::new(1.5, -0.25, 0.125);
    state.angular_velocity_base = Vector3::new(0.1, -0.2, 0.3);
    for (joint, value) in state.joint_position_rad.iter_mut().enumerate() {
        *value = [0.0, 0.8, -1.5][joint % 3] + 0.01 * joint as f32;
    }
    for (joint, value) in state.joint_velocity_radps.iter_mut().enumerate() {
        *value = joint as f32 - 6.0;
    }
    let goal = Goal {
        position_world: Point2::new(1.0, 5.0),
        heading_rad: FRAC_PI_2 + 0.25,
    };
    (state, goal)
}

const ACTION: [f32; 12] = [
    0.5, -1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0, -4.0, 10.0,
];
const RAYS_M: [f32; 11] = [0.05, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 6.0, 9.0, 1.0, 0.5];

fn write(layout: &Layout, state: &RobotState, goal: &Goal, rays_m: &[f32]) -> Vec<f32> {
    let mut row = vec![f32::NAN; layout.dim()];
    layout.write(
        &ObservationInput {
            state,
            foot_contact: &[true, false, false, true],
            goal: GoalYaw::new(state, goal),
            time_left_s: 4.5,
            twist: Twist {
                vx_mps: 1.0,
                vy_mps: -0.25,
                yaw_rate_radps: 2.0,
            },
            previous_action: &ACTION,
            ray_distance_m: rays_m,
            earlier_ray_distance_m: &[],
        },
        &mut row,
    );
    row
}

#[track_caller]
fn assert_close(actual: &[f32], expected: &[f32]) {
    assert_eq!(actual.len(), expected.len());
    for (index, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() < 2e-6, "element {index}: {a}, expected {e}");
    }
}

#[test]
fn a_known_state_gives_the_row_computed_by_hand() {
    let (robot, rays) = (go1(), RaySpec::default());
    let (state, goal) = known_state();
    let row = write(&Layout::agile(&robot, &rays), &state, &goal, &RAYS_M);

    let log2_six = 2.584_962_5;
    let log2_tenth = -std::f32::consts::LOG2_10;
    #[rustfmt::skip]
    let expected = [
        // Contacts, angular velocity, and gravity of a robot leaning right: down is partly along its right, -y.
        1.0, -1.0, -1.0, 1.0,
        0.1, -0.2, 0.3,
        0.0, -0.5, -0.866_025_4,
        // Goal 3 m ahead, heading error 0.25, half of the 9 s left.
        3.0, 0.0, 0.25, 0.5,
        0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.10, 0.11,
        -1.2, -1.0, -0.8, -0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0,
        0.5, -1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0, -4.0, 10.0,
        // 0.05 m is read as 0.1 m, 9 m as 6 m.
        log2_tenth, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, log2_six, log2_six, 0.0, -1.0,
    ];
    assert_close(&row, &expected);

    let row = write(&Layout::recovery(&robot, &rays), &state, &goal, &[]);
    assert_close(&row[10..13], &[1.0, -0.25, 2.0]);
    assert_close(&row[..10], &expected[..10]);
    assert_close(&row[13..], &expected[14..50]);

    let row = write(&Layout::reach_avoid(&robot, &rays), &state, &goal, &RAYS_M);
    assert_close(&row[..8], &[1.5, -0.25, 0.125, 0.1, -0.2, 0.3, 3.0, 0.0]);
    assert_close(&row[8..], &expected[50..]);
}

#[test]
fn layouts_have_the_widths_of_the_paper() {
    let (robot, rays) = (go1(), RaySpec::default());
    assert_eq!(Layout::agile(&robot, &rays).dim(), 61);
    assert_eq!(Layout::recovery(&robot, &rays).dim(), 49);
    assert_eq!(Layout::reach_avoid(&robot, &rays).dim(), 19);
    let wide = RaySpec { count: 21, ..rays };
    assert_eq!(Layout::agile(&robot, &wide).dim(), 71);
    assert_eq!(
        Layout::agile(&robot, &wide).range(Quantity::LogRays),
        Some(50..71)
    );
    assert_eq!(
        Layout::agile(&robot, &wide).range(Quantity::TwistCommand),
        None
    );
    assert_eq!(
        Layout::agile(&robot, &wide).range(Quantity::EarlierLogRays),
        None
    );
}

#[test]
fn an_earlier_scan_is_observed_beside_the_present_one() {
    let (robot, rays) = (go1(), RaySpec::default());
    let moving = RaySpec {
        earlier_steps: 20,
        ..rays.clone()
    };
    let layout = Layout::reach_avoid(&robot, &moving);
    assert_eq!(layout.range(Quantity::LogRays), Some(8..19));
    assert_eq!(layout.range(Quantity::EarlierLogRays), Some(19..30));
    let (state, goal) = known_state();
    let mut earlier_m = [4.0; 11];
    // Clipped like the present ones.
    earlier_m[10] = 9.0;
    let mut row = vec![0.0; layout.dim()];
    layout.write(
        &ObservationInput {
            state: &state,
            foot_contact: &[],
            goal: GoalYaw::new(&state, &goal),
            time_left_s: 0.0,
            twist: Twist::default(),
            previous_action: &[],
            ray_distance_m: &RAYS_M,
            earlier_ray_distance_m: &earlier_m,
        },
        &mut row,
    );
    assert_close(&row[19..29], &[2.0; 10]);
    assert_close(&row[29..], &[6_f32.log2()]);

    // Without one, the layout is what it was; how early it is belongs to its meaning.
    let later = RaySpec {
        earlier_steps: 10,
        ..rays.clone()
    };
    let still = Layout::reach_avoid(&robot, &rays);
    assert_ne!(layout.hash(), still.hash());
    assert_ne!(layout.hash(), Layout::reach_avoid(&robot, &later).hash());
    // Who goes on with the networks of a run that saw one scan knows all but the earlier.
    let expected: Vec<_> = (0..19).map(Some).chain([None; 11]).collect();
    assert_eq!(layout.same_elements(&still), expected);
}

#[test]
fn noise_is_scaled_like_its_quantity() {
    let layout = Layout::agile(&go1(), &RaySpec::default());
    let noise = layout.noise_half_width();
    let of = |quantity| noise[layout.range(quantity).unwrap()].to_vec();
    assert_close(&of(Quantity::JointVelocity), &[0.3; 12]);
    assert_close(&of(Quantity::JointPosition), &[0.01; 12]);
    assert_close(&of(Quantity::AngularVelocityBase), &[0.2; 3]);
    assert_close(&of(Quantity::ProjectedGravityBase), &[0.05; 3]);
    assert_close(&of(Quantity::LogRays), &[0.2; 11]);
    assert_close(&of(Quantity::PreviousAction), &[0.0; 12]);
    assert_close(&of(Quantity::GoalPosition), &[0.0; 2]);
}

#[test]
fn hash_tells_apart_what_changes_the_meaning() {
    let (robot, rays) = (go1(), RaySpec::default());
    let agile = Layout::agile(&robot, &rays).hash();
    assert_eq!(agile, Layout::agile(&go1(), &RaySpec::default()).hash());
    assert_eq!(agile.len(), 64);
    assert_ne!(agile, Layout::recovery(&robot, &rays).hash());

    let farther = RaySpec {
        max_m: 8.0,
        ..rays.clone()
    };
    let shifted = RaySpec {
        origin_x_m: 0.0,
        ..rays.clone()
    };
    assert_ne!(agile, Layout::agile(&robot, &farther).hash());
    assert_ne!(agile, Layout::agile(&robot, &shifted).hash());
    // The recovery policy sees no rays.
    assert_eq!(
        Layout::recovery(&robot, &rays).hash(),
        Layout::recovery(&robot, &farther).hash()
    );

    let mut crouching = robot.clone();
    crouching.control.default_position_rad[1] += 0.1;
    assert_ne!(agile, Layout::agile(&crouching, &rays).hash());
}

/// Left and right exchanged, everything that points left is negated and the rays are read backwards.
#[test]
fn a_mirrored_world_gives_the_mirrored_row() {
    let layout = Layout::agile(&go1(), &RaySpec::default());
    let (state, goal) = known_state();
    let mut mirrored = state.clone();
    mirrored.position_world.y *= -1.0;
    let (roll, pitch, yaw) = state.orientation.euler_angles();
    mirrored.orientation = UnitQuaternion::from_euler_angles(-roll, pitch, -yaw);
    mirrored.angular_velocity_base = state
        .angular_velocity_base
        .component_mul(&Vector3::new(-1.0, 1.0, -1.0));
    let goal = Goal {
        position_world: Point2::new(3.0, 4.0),
        ..goal
    };
    let mirrored_goal = Goal {
        position_world: Point2::new(3.0, -4.0),
        heading_rad: -goal.heading_rad,
    };
    let mut reversed = RAYS_M;
    reversed.reverse();

    let row = write(&layout, &state, &goal, &RAYS_M);
    let other = write(&layout, &mirrored, &mirrored_goal, &reversed);
    let signs_of = |quantity| match quantity {
        Quantity::AngularVelocityBase => vec![-1.0, 1.0, -1.0],
        Quantity::ProjectedGravityBase => vec![1.0, -1.0, 1.0],
        Quantity::GoalPosition => vec![1.0, -1.0],
        Quantity::GoalHeading => vec![-1.0],
        quantity => vec![1.0; layout.range(quantity).unwrap().len()],
    };
    for quantity in layout.quantities() {
        let range = layout.range(quantity).unwrap();
        let mut expected: Vec<f32> = row[range.clone()]
            .iter()
            .zip(signs_of(quantity))
            .map(|(v, s)| v * s)
            .collect();
        if quantity == Quantity::LogRays {
            expected.reverse();
        }
        assert_close(&other[range], &expected);
    }
}

#[test]
fn a_nan_in_the_state_stays_visible() {
    let layout = Layout::agile(&go1(), &RaySpec::default());
    let (mut state, goal) = known_state();
    let mut rays = RAYS_M;
    rays[3] = f32::NAN;
    assert!(write(&layout, &state, &goal, &rays)[53].is_nan());
    state.joint_velocity_radps[2] = f32::NAN;
    assert!(write(&layout, &state, &goal, &rays)[28].is_nan());
}

#[test]
fn the_documentation_table_counts_every_element() {
    let table = Layout::agile(&go1(), &RaySpec::default()).describe();
    assert!(table.contains("| 0–3 | foot-contact |"), "{table}");
    assert!(
        table.contains("| 13 | time-left | s |  | 0.1111 | 0 |"),
        "{table}"
    );
    assert!(
        table.contains("| 50–60 | log-rays | log2(m) | yaw | 1.0000 | 0.2 |"),
        "{table}"
    );
}

#[test]
fn the_same_elements_are_found_in_another_layout() {
    let (narrow, robot) = (RaySpec::default(), go1());
    let wide = RaySpec {
        count: 27,
        first_rad: -117_f32.to_radians(),
        last_rad: 117_f32.to_radians(),
        ..narrow.clone()
    };
    let (old, new) = (Layout::agile(&robot, &narrow), Layout::agile(&robot, &wide));
    let same = new.same_elements(&old);
    let expected: Vec<_> = (0..50)
        .map(Some)
        .chain([None; 8])
        .chain((50..61).map(Some))
        .chain([None; 8])
        .collect();
    assert_eq!(same, expected);
    // Another order, and a quantity that the other does not have.
    let (value, own) = (
        Layout::reach_avoid(&robot, &narrow),
        old.same_elements(&old),
    );
    assert_eq!(own, (0..61).map(Some).collect::<Vec<_>>());
    let same = value.same_elements(&old);
    assert_eq!(
        same[..8],
        [
            None,
            None,
            None,
            Some(4),
            Some(5),
            Some(6),
            Some(10),
            Some(11)
        ]
    );
}
