use std::f32::consts::FRAC_PI_2;

use nalgebra::{Point2, Point3, UnitQuaternion, Vector3};

use robots::Robot;

use super::*;
use crate::{Goal, RaySpec, Twist, spec::RobotSpec};

fn go1() -> Robot {
    Robot::load("go1").unwrap()
}

fn layout(terms: &[ObservationTerm], robot: &Robot, rays: &RaySpec) -> Layout {
    Layout::new(terms, &RobotSpec::from(robot), rays).unwrap()
}

fn agile(robot: &Robot, rays: &RaySpec) -> Layout {
    layout(&terms::agile(rays), robot, rays)
}

fn recovery(robot: &Robot, rays: &RaySpec) -> Layout {
    layout(&terms::recovery(), robot, rays)
}

fn reach_avoid(robot: &Robot, rays: &RaySpec) -> Layout {
    layout(&terms::reach_avoid(rays), robot, rays)
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
            previous_ray_distance_m: &[],
            reality: &[],
        },
        &mut row,
    );
    FrameHistory::new(layout).complete(layout, &mut row);
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
    let row = write(&agile(&robot, &rays), &state, &goal, &RAYS_M);

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

    let row = write(&recovery(&robot, &rays), &state, &goal, &[]);
    assert_close(&row[10..13], &[1.0, -0.25, 2.0]);
    assert_close(&row[..10], &expected[..10]);
    assert_close(&row[13..], &expected[14..50]);

    let row = write(&reach_avoid(&robot, &rays), &state, &goal, &RAYS_M);
    // Of the velocities it observes v_x, v_y and w_z alone.
    assert_close(&row[..8], &[1.5, -0.25, 0.0, 0.0, 0.0, 0.3, 3.0, 0.0]);
    assert_close(&row[8..], &expected[50..]);
}

#[test]
fn a_goal_can_be_observed_by_distance_and_bearing() {
    let (mut state, _) = known_state();
    state.orientation = UnitQuaternion::identity();
    let layout = layout(&[Quantity::GoalPolar.into()], &go1(), &RaySpec::default());
    // From (1, 2) along x: 4 m ahead and 3 m to the right.
    let goal = Goal {
        position_world: Point2::new(5.0, -1.0),
        heading_rad: 1.0,
    };
    assert_close(
        &write(&layout, &state, &goal, &[]),
        &[5.0, -(0.75_f32.atan())],
    );
}

#[test]
fn layouts_have_the_widths_of_the_paper() {
    let (robot, rays) = (go1(), RaySpec::default());
    assert_eq!(agile(&robot, &rays).dim(), 61);
    assert_eq!(recovery(&robot, &rays).dim(), 49);
    assert_eq!(reach_avoid(&robot, &rays).dim(), 19);
    let wide = RaySpec { count: 21, ..rays };
    assert_eq!(agile(&robot, &wide).dim(), 71);
    assert_eq!(agile(&robot, &wide).range(Quantity::LogRays), Some(50..71));
    assert_eq!(agile(&robot, &wide).range(Quantity::TwistCommand), None);
    assert_eq!(agile(&robot, &wide).range(Quantity::PreviousLogRays), None);
}

#[test]
fn a_previous_scan_is_observed_beside_the_present_one() {
    let (robot, rays) = (go1(), RaySpec::default());
    let moving = RaySpec {
        previous_steps: 20,
        ..rays.clone()
    };
    let layout = reach_avoid(&robot, &moving);
    assert_eq!(layout.range(Quantity::LogRays), Some(8..19));
    assert_eq!(layout.range(Quantity::PreviousLogRays), Some(19..30));
    let (state, goal) = known_state();
    let mut previous_m = [4.0; 11];
    // Clipped like the present ones.
    previous_m[10] = 9.0;
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
            previous_ray_distance_m: &previous_m,
            reality: &[],
        },
        &mut row,
    );
    assert_close(&row[19..29], &[2.0; 10]);
    assert_close(&row[29..], &[6_f32.log2()]);

    // Without one, the layout ends before it; a run that goes on from such a layout knows all elements but those of the previous scan.
    let still = reach_avoid(&robot, &rays);
    assert_eq!(still.dim(), 19);
    let expected: Vec<_> = (0..19).map(Some).chain([None; 11]).collect();
    assert_eq!(layout.same_elements(&still), expected);
}

#[test]
fn noise_is_scaled_like_its_quantity() {
    let layout = agile(&go1(), &RaySpec::default());
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

/// Left and right exchanged, everything that points left is negated and the rays are read backwards.
#[test]
fn a_mirrored_world_gives_the_mirrored_row() {
    let layout = agile(&go1(), &RaySpec::default());
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
    let layout = agile(&go1(), &RaySpec::default());
    let (mut state, goal) = known_state();
    let mut rays = RAYS_M;
    rays[3] = f32::NAN;
    assert!(write(&layout, &state, &goal, &rays)[53].is_nan());
    state.joint_velocity_radps[2] = f32::NAN;
    assert!(write(&layout, &state, &goal, &rays)[28].is_nan());
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
    let (old, new) = (agile(&robot, &narrow), agile(&robot, &wide));
    let same = new.same_elements(&old);
    let expected: Vec<_> = (0..50)
        .map(Some)
        .chain([None; 8])
        .chain((50..61).map(Some))
        .chain([None; 8])
        .collect();
    assert_eq!(same, expected);
    assert_eq!(new.without_same(&same), [(Quantity::LogRays, 16, 27)]);
    // Another order, and a quantity that the other does not have.
    let (value, own) = (reach_avoid(&robot, &narrow), old.same_elements(&old));
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

/// Two joints' worth of everything: small enough to compute by hand.
fn stacked() -> Layout {
    let terms = [
        ObservationTerm {
            scale: Some(0.5),
            clip: Some(1.0),
            ..ObservationTerm::from(Quantity::AngularVelocityBase).with_history(3)
        },
        Quantity::TimeLeft.into(),
        ObservationTerm::from(Quantity::LinearVelocityBase)
            .with_history(2)
            .with_mask(&[true, false, true]),
    ];
    layout(&terms, &go1(), &RaySpec::default())
}

fn observe(layout: &Layout, history: &mut FrameHistory, step: f32) -> Vec<f32> {
    let mut state = RobotState::zero(12, 4);
    state.angular_velocity_base = Vector3::new(step, 10.0, -10.0);
    state.linear_velocity_base = Vector3::new(step, 20.0, 0.1 * step);
    let input = ObservationInput {
        state: &state,
        foot_contact: &[],
        goal: GoalYaw::default(),
        time_left_s: 9.0,
        twist: Twist::default(),
        previous_action: &[],
        ray_distance_m: &[],
        previous_ray_distance_m: &[],
        reality: &[],
    };
    let mut row = vec![f32::NAN; layout.dim()];
    layout.write(&input, &mut row);
    history.complete(layout, &mut row);
    row
}

#[test]
fn a_history_is_oldest_first_and_begins_with_the_first_frame() {
    let layout = stacked();
    assert_eq!((layout.frame_dim(), layout.dim()), (7, 9 + 1 + 6));
    let mut history = FrameHistory::new(&layout);
    // Scaled by a half and clipped to 1; v_y is masked.
    let at = |steps: [f32; 3], step: f32| -> Vec<f32> {
        let angular = steps.iter().flat_map(|w| [0.5 * w, 1.0, -1.0]);
        let linear = [steps[1], step].into_iter().flat_map(|v| [v, 0.0, 0.1 * v]);
        angular.chain([1.0]).chain(linear).collect()
    };
    assert_close(&observe(&layout, &mut history, 1.0), &at([1.0; 3], 1.0));
    assert_close(
        &observe(&layout, &mut history, 1.5),
        &at([1.0, 1.0, 1.5], 1.5),
    );
    assert_close(
        &observe(&layout, &mut history, 0.5),
        &at([1.0, 1.5, 0.5], 0.5),
    );
    assert_close(
        &observe(&layout, &mut history, 0.2),
        &at([1.5, 0.5, 0.2], 0.2),
    );
    history.reset();
    assert_close(&observe(&layout, &mut history, 0.4), &at([0.4; 3], 0.4));
}

#[test]
fn the_newest_step_of_a_term_is_its_range_and_masks_hold_for_all() {
    let layout = stacked();
    assert_eq!(layout.range(Quantity::AngularVelocityBase), Some(6..9));
    assert_eq!(layout.range(Quantity::LinearVelocityBase), Some(13..16));
    assert_eq!(layout.masked().collect::<Vec<_>>(), [11, 14]);
    // One step of each term; none where it is masked.
    assert_close(
        &layout.noise_half_width(),
        &[0.1, 0.1, 0.1, 0.0, 0.0, 0.0, 0.0],
    );
}

#[test]
fn past_steps_are_the_same_elements_if_they_are_as_old() {
    let longer = stacked();
    let shorter = layout(
        &[
            Quantity::TimeLeft.into(),
            ObservationTerm::from(Quantity::AngularVelocityBase).with_history(2),
        ],
        &go1(),
        &RaySpec::default(),
    );
    let same = longer.same_elements(&shorter);
    let of_angular = [
        None,
        None,
        None,
        Some(1),
        Some(2),
        Some(3),
        Some(4),
        Some(5),
        Some(6),
    ];
    assert_eq!(same[..9], of_angular);
    assert_eq!(same[9..], [Some(0), None, None, None, None, None, None]);
}

#[test]
fn terms_that_cannot_be_observed_are_named() {
    let refused = |term: ObservationTerm, expected: &str| {
        let error = Layout::new(&[term], &RobotSpec::from(&go1()), &RaySpec::default());
        let message = error.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    let term = || ObservationTerm::from(Quantity::JointVelocity);
    refused(
        term().with_history(0),
        "`joint-velocity` has history 0, must be 1 to 50",
    );
    refused(term().with_history(1000), "history 1000");
    refused(
        ObservationTerm {
            scale: Some(f32::NAN),
            ..term()
        },
        "scale NaN",
    );
    refused(
        ObservationTerm {
            clip: Some(0.0),
            ..term()
        },
        "clip 0, must be above 0",
    );
    refused(
        term().with_mask(&[true; 3]),
        "mask of 3 elements, must have 12",
    );
    refused(Quantity::PreviousLogRays.into(), "rays.previous_steps");
    let twice = [term(), term()];
    let error = Layout::new(&twice, &RobotSpec::from(&go1()), &RaySpec::default());
    assert_eq!(error.unwrap_err(), TermError::Twice("joint-velocity"));
}
