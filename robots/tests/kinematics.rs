//! Foot positions and their derivatives.

use proptest::prelude::*;
use robots::Robot;

#[test]
fn go1_foot_by_hand() {
    let robot = Robot::load("go1").unwrap();
    let foot = |q: [f32; 3]| robot.legs[0].foot_position_base(&q);
    // Legs straight down: hip and thigh offsets, two links.
    let straight = foot([0.0, 0.0, 0.0]);
    assert!((straight.coords - nalgebra::vector![0.1881, 0.12675, -0.426]).norm() < 1e-6);
    // A positive thigh angle turns the leg backwards (about y), a positive hip angle moves a left leg up (about x).
    let turned = foot([0.0, std::f32::consts::FRAC_PI_2, 0.0]);
    assert!((turned.coords - nalgebra::vector![0.1881 - 0.426, 0.12675, 0.0]).norm() < 1e-6);
    let lifted = foot([std::f32::consts::FRAC_PI_2, 0.0, 0.0]);
    assert!((lifted.coords - nalgebra::vector![0.1881, 0.04675 + 0.426, 0.08]).norm() < 1e-6);
}

#[test]
fn every_leg_reads_its_own_part_of_the_joint_vector() {
    let robot = Robot::load("go2").unwrap();
    let q: Vec<f32> = (0..12).map(|i| 0.05 * i as f32).collect();
    let feet = robot.foot_positions_base(&q);
    for (index, leg) in robot.legs.iter().enumerate() {
        assert_eq!(
            feet[index],
            leg.foot_position_base(&q[3 * index..3 * index + 3])
        );
    }
    let lowest = feet.iter().map(|foot| foot.z).fold(f32::INFINITY, f32::min);
    assert!((robot.height_over_feet_m(&q) - (0.022 - lowest)).abs() < 1e-6);
}

proptest! {
    #[test]
    fn jacobian_is_the_derivative_of_the_foot_position(
        leg in 0_usize..4,
        q in [-0.8_f32..0.8, -0.5_f32..2.5, -2.6_f32..-0.9],
    ) {
        let robot = Robot::load("go2").unwrap();
        let leg = &robot.legs[leg];
        let jacobian = leg.foot_jacobian_base(&q);
        let step = 0.01;
        for joint in 0..3 {
            let at = |offset: f32| {
                let mut moved = q;
                moved[joint] += offset;
                leg.foot_position_base(&moved)
            };
            let difference = (at(step) - at(-step)) / (2.0 * step);
            prop_assert!((difference - jacobian[joint]).norm() < 1e-4);
        }
    }
}
