use nalgebra::Point3;
use robots::JointVec;

use super::*;

fn standing(robot: &Robot) -> RobotSample {
    let joint_position_rad: JointVec = robot
        .control
        .standing_position_rad
        .iter()
        .copied()
        .collect();
    let zeros: JointVec = std::iter::repeat_n(0.0, 12).collect();
    RobotSample {
        received_ns: 1,
        crc_ok: true,
        joint_position_rad,
        joint_velocity_radps: zeros.clone(),
        joint_torque_nm: zeros,
        imu_orientation_wxyz: [1.0, 0.0, 0.0, 0.0],
        imu_accelerometer_mps2: Vector3::new(0.0, 0.0, 9.81),
        foot_force: [30.0; 4].into_iter().collect(),
        ..RobotSample::default()
    }
}

fn go1() -> (Robot, Estimator, RobotState) {
    let robot = Robot::load("go1").unwrap();
    let estimator = Estimator::new(&robot, &EstimatorConfig::default());
    let state = RobotState::zero(12, 4);
    (robot, estimator, state)
}

#[test]
fn a_standing_robot_stays_where_it_is_with_its_heading_as_the_worlds() {
    let (robot, mut estimator, mut state) = go1();
    let mut sample = standing(&robot);
    let half_rad = 0.5f32;
    sample.imu_orientation_wxyz = [half_rad.cos(), 0.0, 0.0, half_rad.sin()];
    for _ in 0..5000 {
        estimator.update(&sample, 0.002, &mut state);
    }
    assert!(state.yaw_rad().abs() < 1e-5);
    assert!(state.linear_velocity_base.norm() < 1e-3);
    let expected = Point3::new(0.0, 0.0, robot.control.standing_height_m);
    assert!((state.position_world - expected).norm() < 2e-3, "{state:?}");
    assert_eq!(state.foot_contact.as_slice(), [true; 4]);
}

#[test]
fn torques_that_carry_the_weight_give_its_force() {
    let robot = Robot::load("go1").unwrap();
    let leg = &robot.legs[0];
    let position_rad = &robot.control.standing_position_rad[..3];
    let force = Vector3::new(5.0, -3.0, 30.0);
    // By virtual work, the torques that balance a force of the ground.
    let torque_nm: Vec<f32> = leg
        .foot_jacobian_base(position_rad)
        .iter()
        .map(|column| -column.dot(&force))
        .collect();
    let motion = LegMotion::new(leg, position_rad, &[0.0; 3], &torque_nm);
    // The damping of the solution takes a percent.
    assert!(
        (motion.force_base - force).norm() < 0.7,
        "{}",
        motion.force_base
    );
}

#[test]
fn motion_of_a_leg_is_the_derivative_of_its_kinematics() {
    let robot = Robot::load("go1").unwrap();
    let leg = &robot.legs[1];
    let (position_rad, velocity_radps) = ([0.1, 0.9, -1.6], [1.0, -2.0, 3.0]);
    let motion = LegMotion::new(leg, &position_rad, &velocity_radps, &[0.0; 3]);
    let moved: Vec<f32> = position_rad
        .iter()
        .zip(&velocity_radps)
        .map(|(position, velocity)| position + 1e-3 * velocity)
        .collect();
    let difference =
        (leg.foot_position_base(&moved) - leg.foot_position_base(&position_rad)) / 1e-3;
    assert!((difference - motion.velocity_base).norm() < 5e-3);
    // Thigh and calf turn about the same axis.
    let hip = nalgebra::UnitQuaternion::from_axis_angle(&Vector3::x_axis(), 0.1);
    let expected = Vector3::x() + hip * Vector3::y();
    assert!((motion.angular_velocity_base - expected).norm() < 1e-5);
}

#[test]
fn the_first_odometry_places_the_world_and_later_ones_pull() {
    let (robot, mut estimator, mut state) = go1();
    let sample = standing(&robot);
    estimator.update(&sample, 0.0, &mut state);
    let half_rad = std::f32::consts::FRAC_PI_4;
    let mut odometry = OdometrySample {
        received_ns: 1,
        position_world: Point3::new(4.0, -2.0, 0.3),
        orientation_wxyz: [half_rad.cos(), 0.0, 0.0, half_rad.sin()],
        ..OdometrySample::default()
    };
    estimator.fuse(&odometry, 0.0, &mut state);
    let place = |state: &RobotState| [state.position_world.x, state.position_world.y];
    assert_eq!(place(&state), [4.0, -2.0]);
    assert!((state.yaw_rad() - 2.0 * half_rad).abs() < 1e-5);

    // Now the odometry says half a metre more, again and again: the estimate follows.
    odometry.position_world.x = 4.5;
    for cycle in 0..2000 {
        estimator.update(&sample, 0.002, &mut state);
        if cycle % 20 == 0 {
            estimator.fuse(&odometry, 0.04, &mut state);
        }
    }
    let [x_m, y_m] = place(&state);
    assert!(
        (x_m - 4.5).abs() < 0.05 && (y_m + 2.0).abs() < 0.05,
        "{x_m} {y_m}"
    );
    assert!((state.yaw_rad() - 2.0 * half_rad).abs() < 1e-3);
}

/// A robot that stands still, through `disturb`: the greatest speed from `from` cycles on, m/s.
fn speed_after(disturb: impl Fn(usize, &mut RobotSample), from: usize, until: usize) -> f32 {
    let (robot, mut estimator, mut state) = go1();
    let mut fastest = 0.0f32;
    for cycle in 0..until {
        let mut sample = standing(&robot);
        // Never still: the filter, and not the detection of rest, has to come back.
        sample.joint_velocity_radps[0] = if cycle % 2 == 0 { 0.4 } else { -0.4 };
        disturb(cycle, &mut sample);
        estimator.update(&sample, 0.002, &mut state);
        if cycle >= from {
            fastest = fastest.max(state.linear_velocity_base.norm());
        }
    }
    fastest
}

#[test]
fn samples_of_an_accelerometer_that_are_wrong_do_not_lock_the_estimate_out() {
    for wrong_mps2 in [-1e5, 300.0, 1e5] {
        let hit = |cycle: usize, sample: &mut RobotSample| {
            if cycle == 500 {
                sample.imu_accelerometer_mps2.x = wrong_mps2;
            }
        };
        assert!(speed_after(hit, 501, 502) < 0.5, "one sample");
        assert!(speed_after(hit, 1000, 1500) < 0.1, "{wrong_mps2}");
        // For 50 ms, until 7.5 m/s: back within two seconds.
        let hit = |cycle: usize, sample: &mut RobotSample| {
            if (500..525).contains(&cycle) {
                sample.imu_accelerometer_mps2.x = wrong_mps2;
            }
        };
        assert!(speed_after(hit, 1500, 2000) < 0.1, "{wrong_mps2}");
    }
}

#[test]
fn a_joint_that_is_wrong_now_and_then_does_not_take_the_estimate_with_it() {
    let hit = |cycle: usize, sample: &mut RobotSample| {
        if cycle.is_multiple_of(50) {
            sample.joint_velocity_radps[1] = 25.0;
        }
    };
    let fastest = speed_after(hit, 500, 3000);
    assert!(fastest < 0.35, "{fastest}");
}

#[test]
fn a_robot_that_lies_still_is_at_rest_whatever_was_before() {
    let (robot, mut estimator, mut state) = go1();
    let mut sample = standing(&robot);
    estimator.update(&sample, 0.0, &mut state);
    // It is thrown, and lands on its belly: no foot carries anything, and the accelerometer is off by 0.3 m/s².
    sample.foot_force.fill(0.0);
    sample.imu_gyroscope_radps.x = 1.0;
    sample.imu_accelerometer_mps2 = Vector3::new(10.0, 0.0, 9.81);
    (0..100).for_each(|_| estimator.update(&sample, 0.002, &mut state));
    assert!(state.linear_velocity_base.norm() > 1.0);
    sample.imu_gyroscope_radps.x = 0.05;
    sample.imu_accelerometer_mps2 = Vector3::new(0.3, 0.0, 9.81);
    (0..160).for_each(|_| estimator.update(&sample, 0.002, &mut state));
    let place = state.position_world;
    for _ in 0..5000 {
        estimator.update(&sample, 0.002, &mut state);
        assert!(state.linear_velocity_base.norm() < 1e-2, "{state:?}");
    }
    assert!((state.position_world - place).norm() < 0.02);
}

#[test]
fn a_new_start_has_a_world_frame_of_its_own_and_odometry_places_it() {
    let (robot, mut estimator, mut state) = go1();
    let mut sample = standing(&robot);
    estimator.update(&sample, 0.0, &mut state);
    let odometry = OdometrySample {
        received_ns: 1,
        position_world: Point3::new(4.0, -2.0, 0.3),
        ..OdometrySample::default()
    };
    estimator.fuse(&odometry, 0.0, &mut state);
    // The robot has restarted, and its inertial sensor with another heading.
    let half_rad = 0.7f32;
    sample.imu_orientation_wxyz = [half_rad.cos(), 0.0, 0.0, half_rad.sin()];
    estimator.restart();
    estimator.update(&sample, 5.0, &mut state);
    assert!(state.yaw_rad().abs() < 1e-5 && state.position_world.xy().coords.norm() < 1e-5);
    assert!(state.linear_velocity_base.norm() < 1e-3);
    estimator.fuse(&odometry, 0.1, &mut state);
    assert!((state.position_world.x - 4.0).abs() < 1e-5);
}
