//! Robots that differ from their description, blows, and what the ground is like.

use nalgebra::{Matrix3, Vector3};
use robots::Robot;
use sim::engine::{EpisodeStart, PhysicsConfig, Variation};

use crate::support::{
    GRAVITY, KNEE, Make, Single, assert_close, every_step, go1, hinge, weightless,
};

/// Each joint by another factor.
fn by_joint(robot: &Robot, of: impl Fn(f32) -> f32) -> robots::JointVec {
    (0..robot.num_joints())
        .map(|joint| of(joint as f32 / robot.num_joints() as f32))
        .collect()
}

/// A variation, and the description that says the same.
fn varied(robot: &Robot) -> (Variation, f32, Robot) {
    let mut variation = Variation::none(robot);
    variation.strength = by_joint(robot, |at| 0.8 + 0.4 * at);
    variation.stiffness = by_joint(robot, |at| 1.2 - 0.3 * at);
    variation.damping = by_joint(robot, |at| 0.7 + 0.5 * at);
    variation.armature = by_joint(robot, |at| 0.5 + 2.0 * at);
    variation.added_friction_nm = by_joint(robot, |at| 0.4 * at);
    variation.added_damping_nms = by_joint(robot, |at| 0.1 * (1.0 - at));
    variation.link_mass = by_joint(robot, |at| 1.3 - 0.5 * at);
    variation.base_com_offset_m = Vector3::new(0.03, -0.02, 0.01);
    variation.added_mass_offset_m = Vector3::new(0.1, 0.05, 0.08);

    let mut described = robot.clone();
    let joints = described.legs.iter_mut().flat_map(|leg| &mut leg.joints);
    for (index, joint) in joints.enumerate() {
        joint.effort_limit_nm *= variation.strength[index];
        joint.armature_kgm2 *= variation.armature[index];
        joint.friction_nm += variation.added_friction_nm[index];
        joint.damping_nms += variation.added_damping_nms[index];
        joint.link.mass_kg *= variation.link_mass[index];
        joint.link.inertia_kgm2 *= variation.link_mass[index];
        described.control.stiffness[index] *=
            variation.strength[index] * variation.stiffness[index];
        described.control.damping[index] *= variation.strength[index] * variation.damping[index];
    }
    // A payload of 2 kg, as a point, beside a base that is heavier by as much: two bodies about their common centre.
    let (payload_kg, base) = (2.0, &mut described.base.link);
    let total_kg = base.mass_kg + payload_kg;
    let arm = variation.added_mass_offset_m;
    let com = arm * (payload_kg / total_kg);
    let about = |mass_kg: f32, at: Vector3<f32>| {
        (Matrix3::identity() * at.norm_squared() - at * at.transpose()) * mass_kg
    };
    base.inertia_kgm2 *= total_kg / base.mass_kg;
    base.inertia_kgm2 += about(base.mass_kg, com) + about(payload_kg, arm - com);
    base.com += com + variation.base_com_offset_m;
    base.mass_kg = total_kg;
    (variation, payload_kg, described)
}

pub fn a_varied_robot_moves_like_one_that_is_described_so(make: Make) {
    let robot = go1();
    let (variation, payload_kg, described) = varied(&robot);
    let mut start = EpisodeStart::standing(&robot);
    start.linear_velocity_world = Vector3::new(0.5, 0.2, 0.0);
    let config = PhysicsConfig::default();
    let mut expected = Single::new(make, &described, &config, &start);
    let mut nominal = Single::new(make, &robot, &config, &start);
    start.dynamics.variation = Some(Box::new(variation));
    start.dynamics.added_base_mass_kg = payload_kg;
    let mut single = Single::new(make, &robot, &config, &start);
    let mut target = robot.control.standing_position_rad.clone();
    for step in 0..25 {
        let phase = 0.4 * step as f32;
        for (joint, target) in target.iter_mut().enumerate() {
            *target += 0.1 * (phase + joint as f32).sin();
        }
        let (is, should) = (single.step(&target), expected.step(&target));
        for joint in 0..robot.num_joints() {
            let (is, should) = (
                is.joint_position_rad[joint],
                should.joint_position_rad[joint],
            );
            assert_close(is, should, 2e-3, &format!("step {step}, joint {joint}"));
        }
        let apart = is.position_world - should.position_world;
        assert!(apart.norm() < 1e-3, "step {step}: {apart} apart");
        nominal.step(&target);
    }
    let apart = nominal.state.position_world - single.state.position_world;
    assert!(apart.norm() > 5e-3, "the variation does nothing: {apart}");
}

pub fn a_variation_without_differences_changes_nothing(make: Make) {
    let robot = go1();
    let mut start = EpisodeStart::standing(&robot);
    start.dynamics.added_base_mass_kg = 1.0;
    let run = |start: &EpisodeStart| {
        let config = PhysicsConfig::default();
        let mut single = Single::new(make, &robot, &config, start);
        single.run(30, &robot.control.standing_position_rad).clone()
    };
    let without = run(&start);
    let mut variation = Variation::none(&robot);
    start.dynamics.variation = Some(Box::new(variation.clone()));
    let apart = run(&start).position_world - without.position_world;
    assert!(apart.norm() < 1e-5, "{apart}");
    variation.strength.fill(0.5);
    start.dynamics.variation = Some(Box::new(variation));
    assert!(run(&start).position_world.z < without.position_world.z - 0.01);
}

pub fn a_varied_torque_speed_curve_holds(make: Make) {
    let mut hinge = hinge();
    hinge.robot.control.stiffness[KNEE] = 100.0;
    let knee = &mut hinge.robot.legs[0].joints[KNEE];
    (knee.effort_limit_nm, knee.velocity_limit_radps) = (2.0, 10.0);
    let mut start = hinge.start();
    start.joint_velocity_radps[KNEE] = 7.5;
    let mut variation = Variation::none(&hinge.robot);
    variation.full_effort_until = 0.5;
    start.dynamics.variation = Some(Box::new(variation));
    let mut target = vec![0.0; 12];
    target[KNEE] = 5.0;
    let config = every_step(weightless());
    let mut single = Single::new(make, &hinge.robot, &config, &start);
    let torque_nm = single.step(&target).joint_torque_nm[KNEE];
    assert_close(torque_nm, 1.0, 0.01, "torque at 75% speed");
}

pub fn a_blow_changes_the_velocity_at_once(make: Make) {
    let robot = go1();
    let mut start = EpisodeStart::standing(&robot);
    start.position_world.z = 2.0;
    let mut single = Single::new(make, &robot, &weightless(), &start);
    single.engine.push(0, Vector3::new(0.8, -0.5, 0.0));
    let state = single.run(1, &robot.control.standing_position_rad);
    // The blow is on the base alone: within the policy step it has begun to pull its legs along.
    let velocity = state.linear_velocity_world;
    assert!(velocity.x > 0.3 && velocity.x < 0.81, "{velocity}");
    assert!((velocity.y / velocity.x + 0.625).abs() < 0.05, "{velocity}");
}

/// Two tonnes on a box that falls 5 cm.
fn fallen(make: Make, change: impl FnOnce(&mut EpisodeStart)) -> (f32, f32) {
    let hinge = hinge();
    let mut start = hinge.start();
    start.position_world.z = 0.65;
    change(&mut start);
    let config = every_step(PhysicsConfig::default());
    let mut single = Single::new(make, &hinge.robot, &config, &start);
    let mut fastest_up_mps = 0_f32;
    for _ in 0..200 {
        let state = single.step(&[0.0; 12]);
        fastest_up_mps = fastest_up_mps.max(state.linear_velocity_world.z);
    }
    (fastest_up_mps, single.run(200, &[0.0; 12]).position_world.z)
}

/// `excess` is the most that an engine throws back beyond what it should, as a fraction of the speed of the impact.
pub fn the_ground_throws_back_what_it_should(make: Make, excess: f32) {
    let impact_mps = (2.0 * GRAVITY * 0.05_f32).sqrt();
    let (dead_mps, _) = fallen(make, |_| ());
    assert!(dead_mps < 0.12 * impact_mps, "{dead_mps}");
    for restitution in [0.2, 0.5, 0.8] {
        let (up_mps, _) = fallen(make, |start| start.dynamics.restitution = restitution);
        let beyond = up_mps / impact_mps - restitution;
        assert!(
            (-0.02..excess).contains(&beyond),
            "{restitution}: {beyond} beyond"
        );
    }
}

/// Coulomb's law holds for a foot that bounces, too: on flat ground with a friction below 2 nothing pushes it sideways.
pub fn a_foot_that_bounces_is_not_pushed_sideways(make: Make) {
    let robot = go1();
    let mut landings = 0;
    for fall in 0..40 {
        let mut start = EpisodeStart::standing(&robot);
        start.position_world.z += 0.05;
        start.linear_velocity_world.x = 0.1 * fall as f32;
        start.dynamics.friction = 1.1;
        start.dynamics.restitution = 0.3;
        let mut single = Single::new(make, &robot, &PhysicsConfig::default(), &start);
        let mut target = robot.control.standing_position_rad.clone();
        for step in 0..50 {
            for (joint, target) in target.iter_mut().enumerate() {
                *target += 0.15 * (0.4 * step as f32 + (2 + fall) as f32 * joint as f32).sin();
            }
            let state = single.step(&target);
            let on_ground = |force: &Vector3<f32>| force.z > 50.0;
            landings += usize::from(state.foot_force_world.iter().any(on_ground));
            let excess_n = state.foot_horizontal_excess_n;
            assert!(excess_n < 1.0, "fall {fall}, step {step}: {excess_n} N");
        }
    }
    assert!(
        landings > 200,
        "{landings} policy steps with a foot on the ground"
    );
}

/// A contact with time constant T at rest: a mass m is carried by 9 m / T² times the depth. How four corners share one mass is
/// left to the engine.
pub fn a_soft_ground_gives_way(make: Make) {
    let (_, hard_m) = fallen(make, |_| ());
    assert_close(hard_m, 0.6, 2e-3, "height on hard ground");
    let (_, soft_m) = fallen(make, |start| start.dynamics.contact_softness_s = 0.03);
    let depth_m = hard_m - soft_m;
    let expected_m = GRAVITY * 0.03 * 0.03 / 9.0;
    assert!(
        (0.1..1.7).contains(&(depth_m / expected_m)),
        "{depth_m} m, {expected_m} m of one mass on one spring"
    );
}
