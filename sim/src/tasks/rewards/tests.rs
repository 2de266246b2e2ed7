use robots::Robot;

use super::*;

/// A go1 in its default posture whose state the test changes before it evaluates one term.
fn value(term: fn(&StepContext) -> f32, change: impl Fn(&mut PhysicsState)) -> f32 {
    let robot = Robot::load("go1").unwrap();
    let mut physics = PhysicsState::zero(&robot);
    physics.joint_position_rad = robot.control.default_position_rad.iter().copied().collect();
    for force in &mut physics.foot_force_world {
        *force = Vector3::new(0.0, 0.0, 30.0);
    }
    change(&mut physics);
    let mut state = RobotState::zero(12, 4);
    physics.write_robot_state(&mut state);
    let previous_velocity: JointVec = [1.0; 12].into_iter().collect();
    term(&StepContext {
        robot: &robot,
        terrain: &Terrain::Flat,
        limits: &SoftLimits::new(&robot),
        step_s: 0.02,
        time_s: 1.0,
        physics: &physics,
        state: &state,
        action: &[0.5; 12],
        previous_action: &[0.25; 12],
        previous_joint_velocity_radps: &previous_velocity,
    })
}

#[track_caller]
fn close(actual: f32, expected: f32) {
    assert!(
        (actual - expected).abs() < 1e-4 * expected.abs().max(1.0),
        "{actual} != {expected}"
    );
}

#[test]
fn contacts_are_counted_per_body() {
    let touch = |p: &mut PhysicsState| {
        p.thigh_force_n[0] = 2.0;
        p.thigh_force_n[1] = 0.9;
        p.calf_force_n[3] = 1.1;
    };
    close(value(thigh_contact, touch), 1.0);
    close(value(calf_contact, touch), 1.0);
    close(
        value(foot_horizontal_contact, |p| {
            p.foot_horizontal_excess_n = 10.5
        }),
        1.0,
    );
    close(
        value(foot_horizontal_contact, |p| {
            p.foot_horizontal_excess_n = 9.5
        }),
        0.0,
    );
}

#[test]
fn motion_is_squared_in_the_base_frame() {
    // Rolled by 90 degrees, world z is base y.
    let roll = |p: &mut PhysicsState| {
        p.orientation =
            nalgebra::UnitQuaternion::from_euler_angles(std::f32::consts::FRAC_PI_2, 0.0, 0.0);
        p.linear_velocity_world = Vector3::new(0.0, -3.0, 5.0);
        p.angular_velocity_world = Vector3::new(1.0, 0.0, 2.0);
    };
    close(value(vertical_speed, roll), 9.0);
    close(value(roll_pitch_rate, roll), 1.0 + 4.0);
    close(value(tilt, roll), 1.0);
}

#[test]
fn joints_are_summed() {
    close(value(torque, |p| p.joint_torque_nm.fill(2.0)), 48.0);
    close(
        value(motor_power, |p| {
            p.joint_torque_nm.fill(2.0);
            p.joint_velocity_radps.fill(3.0);
            // A motor that brakes.
            p.joint_torque_nm[5] = -20.0;
        }),
        66.0,
    );
    close(
        value(joint_speed, |p| p.joint_velocity_radps.fill(3.0)),
        108.0,
    );
    // From 1 to 1.5 rad/s within 0.02 s: 25 rad/s².
    close(
        value(joint_acceleration, |p| p.joint_velocity_radps.fill(1.5)),
        12.0 * 625.0,
    );
    close(value(action_rate, |_| {}), 12.0 * 0.0625);
    // Go1's hip torque limit is 23.7 N·m; the penalty begins at 85% of it.
    close(
        value(torque_limit, |p| p.joint_torque_nm[0] = -23.7),
        0.15 * 23.7,
    );
}

#[test]
fn soft_position_limits_are_at_95_percent_of_the_range() {
    let robot = Robot::load("go1").unwrap();
    let hip = robot.joints().next().unwrap();
    let middle = 0.5 * (hip.lower_rad + hip.upper_rad);
    let half = 0.5 * (hip.upper_rad - hip.lower_rad);
    close(
        value(joint_position_limit, |p| {
            p.joint_position_rad[0] = middle + half
        }),
        0.05 * half,
    );
    close(
        value(joint_position_limit, |p| p.joint_position_rad[0] = middle),
        0.0,
    );
}

#[test]
fn abduction_counts_the_hips() {
    // The standing hips are at zero.
    let spread = |p: &mut PhysicsState| {
        p.joint_position_rad[0] = 0.3;
        p.joint_position_rad[9] = -0.4;
    };
    close(value(abduction, spread), 0.25);
}

#[test]
fn feet_that_land_are_slow() {
    let robot = Robot::load("go1").unwrap();
    let standing_m = robot.height_over_feet_m(&robot.control.default_position_rad);
    let passes = |height_m: f32| {
        move |p: &mut PhysicsState| {
            p.position_world.z = standing_m + height_m;
            p.linear_velocity_world = Vector3::new(1.0, 0.0, -2.0);
            p.foot_force_world.fill(Vector3::zeros());
        }
    };
    // Four feet at 1 and 2 m/s: in full on the ground, a third of it 2 cm above, none 3 cm above.
    let feet = robot.foot_positions_base(&robot.control.default_position_rad);
    assert!(feet.iter().all(|foot| (foot.z - feet[0].z).abs() < 1e-4));
    for (height_m, expected) in [(-0.001, 20.0), (0.02, 20.0 / 3.0), (0.031, 0.0)] {
        let actual = value(landing_speed, passes(height_m));
        assert!((actual - expected).abs() < 0.1, "{height_m}: {actual}");
    }
    // Feet that rise cost nothing, but one that still touches slips.
    let rises = |touching: usize| {
        move |p: &mut PhysicsState| {
            passes(-0.001)(p);
            p.linear_velocity_world.z = 2.0;
            for force in &mut p.foot_force_world[..touching] {
                force.z = 5.0;
            }
        }
    };
    close(value(landing_speed, rises(0)), 0.0);
    close(value(landing_speed, rises(1)), 5.0);
}

#[test]
fn flying_is_having_no_foot_on_the_ground() {
    close(value(fly, |_| {}), 0.0);
    close(
        value(fly, |p| {
            p.foot_force_world
                .iter_mut()
                .for_each(|f| *f = Vector3::zeros())
        }),
        1.0,
    );
}

#[test]
fn weights_multiply_and_keep_the_order_of_the_names() {
    let robot = Robot::load("go1").unwrap();
    let physics = PhysicsState {
        foot_horizontal_excess_n: 20.0,
        ..PhysicsState::zero(&robot)
    };
    let state = RobotState::zero(12, 4);
    let velocity: JointVec = [0.0; 12].into_iter().collect();
    let context = StepContext {
        robot: &robot,
        terrain: &Terrain::Flat,
        limits: &SoftLimits::new(&robot),
        step_s: 0.02,
        time_s: 0.1,
        physics: &physics,
        state: &state,
        action: &[0.0; 12],
        previous_action: &[0.0; 12],
        previous_joint_velocity_radps: &velocity,
    };
    let mut terms = vec![f32::NAN; Regularizers::NAMES.len()];
    Regularizers::default().evaluate(&context, &mut terms);
    let at = |name: &str| terms[Regularizers::NAMES.iter().position(|n| *n == name).unwrap()];
    assert_eq!(at("foot_horizontal_contact"), -100.0);
    assert_eq!(at("thigh_contact"), 0.0);
    assert!(context.physics.collision().is_some());
}
