//! Joints and motors, on the hinge of [`crate::support::hinge`].

use robots::JointVec;
use sim::engine::{MotorConfig, PhysicsConfig, torque_noise};

use crate::support::{
    GRAVITY, KNEE, Make, Single, assert_close, every_step, hinge, weightless, zeros,
};

pub fn a_pendulum_swings_with_its_period(make: Make) {
    let hinge = hinge();
    let config = every_step(PhysicsConfig::default());
    let mut start = hinge.start();
    let amplitude_rad = 0.1_f32;
    start.joint_position_rad[KNEE] = amplitude_rad;
    let target = zeros(&hinge.robot);
    let mut single = Single::new(make, &hinge.robot, &config, &start);
    let mut down_crossings_s = Vec::new();
    let mut before = amplitude_rad;
    for step in 0..1500 {
        let now = single.step(&target).joint_position_rad[KNEE];
        if before > 0.0 && now <= 0.0 {
            down_crossings_s.push((step as f32 + before / (before - now)) * config.step_s);
        }
        before = now;
    }
    let periods = down_crossings_s.len() - 1;
    let measured_s = (down_crossings_s[periods] - down_crossings_s[0]) / periods as f32;
    let stiffness = hinge.mass_kg * GRAVITY * hinge.length_m;
    let expected_s = std::f32::consts::TAU
        * (hinge.inertia_kgm2 / stiffness).sqrt()
        * (1.0 + amplitude_rad.powi(2) / 16.0);
    assert!(periods >= 4);
    assert_close(measured_s, expected_s, 0.005 * expected_s, "period, s");
}

/// A step response is that of a damped oscillator, solved implicitly: the closed form of one step is
/// v' = (v + dt/I kp (target - q)) / (1 + dt kd/I + dt² kp/I), q' = q + dt v'.
pub fn a_step_response_is_that_of_an_implicit_pd_law(make: Make) {
    let mut hinge = hinge();
    let (kp, kd) = (30.0, 0.65);
    hinge.robot.control.stiffness[KNEE] = kp;
    hinge.robot.control.damping[KNEE] = kd;
    let config = every_step(weightless());
    let (dt, inertia) = (config.step_s, hinge.inertia_kgm2);
    let mut target = zeros(&hinge.robot);
    target[KNEE] = 0.5;
    let mut single = Single::new(make, &hinge.robot, &config, &hinge.start());
    let (mut position, mut velocity) = (0.0_f32, 0.0_f32);
    for step in 0..60 {
        let before = position;
        velocity = (velocity + dt / inertia * kp * (0.5 - position))
            / (1.0 + dt * kd / inertia + dt * dt * kp / inertia);
        position += dt * velocity;
        let state = single.step(&target);
        let what = format!("step {step}");
        assert_close(state.joint_position_rad[KNEE], position, 2e-3, &what);
        assert_close(state.joint_velocity_radps[KNEE], velocity, 0.05, &what);
        let torque_nm = kp * (0.5 - before - dt * velocity) - kd * velocity;
        assert_close(state.joint_torque_nm[KNEE], torque_nm, 0.05, &what);
    }
    assert_close(position, 0.5, 0.01, "the closed form itself");
}

pub fn the_effort_limit_is_respected(make: Make) {
    let mut hinge = hinge();
    hinge.robot.control.stiffness[KNEE] = 100.0;
    hinge.robot.legs[0].joints[KNEE].effort_limit_nm = 2.0;
    let config = every_step(weightless());
    let mut target = zeros(&hinge.robot);
    target[KNEE] = 5.0;
    let mut single = Single::new(make, &hinge.robot, &config, &hinge.start());
    for step in 1..=20 {
        let state = single.step(&target);
        assert_close(state.joint_torque_nm[KNEE], 2.0, 1e-3, "torque");
        let expected = 2.0 / hinge.inertia_kgm2 * config.step_s * step as f32;
        assert_close(
            state.joint_velocity_radps[KNEE],
            expected,
            0.01 * expected,
            "speed",
        );
    }
}

pub fn torque_falls_with_speed(make: Make) {
    let mut hinge = hinge();
    hinge.robot.control.stiffness[KNEE] = 100.0;
    let knee = &mut hinge.robot.legs[0].joints[KNEE];
    (knee.effort_limit_nm, knee.velocity_limit_radps) = (2.0, 10.0);
    let mut config = every_step(weightless());
    config.motor = MotorConfig {
        full_effort_until: 0.5,
    };
    let mut start = hinge.start();
    start.joint_velocity_radps[KNEE] = 7.5;
    let mut target = zeros(&hinge.robot);
    target[KNEE] = 5.0;
    let mut single = Single::new(make, &hinge.robot, &config, &start);
    assert_close(
        single.step(&target).joint_torque_nm[KNEE],
        1.0,
        0.01,
        "torque at 75% speed",
    );
    target[KNEE] = 50.0;
    let speed = single.run(100, &target).joint_velocity_radps[KNEE];
    assert_close(speed, 10.0, 0.05, "speed without load");
}

pub fn joint_limits_hold(make: Make) {
    let mut hinge = hinge();
    hinge.robot.control.stiffness[KNEE] = 30.0;
    hinge.robot.control.damping[KNEE] = 0.65;
    let knee = &mut hinge.robot.legs[0].joints[KNEE];
    (knee.lower_rad, knee.upper_rad, knee.effort_limit_nm) = (-0.4, 0.3, 5.0);
    let mut target = zeros(&hinge.robot);
    let mut single = Single::new(make, &hinge.robot, &weightless(), &hinge.start());
    for (wanted, limit) in [(1.5, 0.3), (-1.5, -0.4)] {
        target[KNEE] = wanted;
        let farthest = (0..50)
            .map(|_| single.step(&target).joint_position_rad[KNEE] * wanted.signum())
            .fold(f32::NEG_INFINITY, f32::max);
        // It arrives at about 15 rad/s, 0.08 rad per physics step.
        assert!(
            farthest < limit * wanted.signum() + 0.1,
            "went to {farthest}"
        );
        let at_rest = single.state.joint_position_rad[KNEE];
        assert_close(at_rest, limit, 0.02, "at the stop");
    }
}

pub fn joint_friction_and_damping_brake(make: Make) {
    let mut hinge = hinge();
    let config = every_step(weightless());
    let mut start = hinge.start();
    start.joint_velocity_radps[KNEE] = 5.0;
    let target = zeros(&hinge.robot);

    hinge.robot.legs[0].joints[KNEE].friction_nm = 0.2;
    let mut single = Single::new(make, &hinge.robot, &config, &start);
    let expected = 5.0 - 0.2 / hinge.inertia_kgm2 * 20.0 * config.step_s;
    let speed = single.run(20, &target).joint_velocity_radps[KNEE];
    assert_close(
        speed,
        expected,
        0.02 * expected,
        "speed against dry friction",
    );
    let speed = single.run(100, &target).joint_velocity_radps[KNEE];
    assert!(speed.abs() < 1e-3, "dry friction stops it: {speed}");

    let knee = &mut hinge.robot.legs[0].joints[KNEE];
    (knee.friction_nm, knee.damping_nms) = (0.0, 0.05);
    let mut single = Single::new(make, &hinge.robot, &config, &start);
    let speed = single.run(20, &target).joint_velocity_radps[KNEE];
    let expected = 5.0 / (1.0 + config.step_s * 0.05 / hinge.inertia_kgm2).powi(20);
    assert_close(speed, expected, 0.01 * expected, "speed against damping");
}

pub fn torque_offset_and_noise_are_those_of_the_stream(make: Make) {
    let hinge = hinge();
    let config = every_step(weightless());
    let mut start = hinge.start();
    start.dynamics.noise_seed = 99;
    start.dynamics.torque_offset_nm[KNEE] = 0.2;
    start.dynamics.torque_noise_nm[KNEE] = 0.5;
    let target = zeros(&hinge.robot);
    let mut single = Single::new(make, &hinge.robot, &config, &start);
    let mut velocity = 0.0;
    for step in 0..100 {
        let state = single.step(&target);
        let expected = 0.2 + 0.5 * torque_noise(99, step, KNEE as u32);
        assert_close(state.joint_torque_nm[KNEE], expected, 2e-3, "torque");
        velocity += config.step_s * expected / hinge.inertia_kgm2;
        assert_close(
            state.joint_velocity_radps[KNEE],
            velocity,
            0.02 * velocity.abs() + 0.01,
            "speed",
        );
    }
}

pub fn targets_arrive_after_the_delay(make: Make) {
    let mut hinge = hinge();
    hinge.robot.control.stiffness[KNEE] = 30.0;
    hinge.robot.control.damping[KNEE] = 0.65;
    let config = every_step(weightless());
    let mut start = hinge.start();
    let target = |step: usize| -> JointVec {
        let mut target = zeros(&hinge.robot);
        target[KNEE] = 0.1 * step as f32;
        target
    };
    let mut prompt = Single::new(make, &hinge.robot, &config, &start);
    start.dynamics.actuation_delay_steps = 3;
    let mut late = Single::new(make, &hinge.robot, &config, &start);
    let mut prompt_rad = Vec::new();
    for step in 0..30 {
        prompt_rad.push(prompt.step(&target(step)).joint_position_rad[KNEE]);
        let late_rad = late.step(&target(step)).joint_position_rad[KNEE];
        let expected = if step < 3 { 0.0 } else { prompt_rad[step - 3] };
        assert_close(late_rad, expected, 1e-5, "delayed position");
    }

    // With four physics steps per policy step a delay of two reaches into the middle of the policy step.
    let coarse = weightless();
    start.dynamics.actuation_delay_steps = 2;
    let mut late = Single::new(make, &hinge.robot, &coarse, &start);
    let mut reference = Single::new(make, &hinge.robot, &config, &start);
    for policy_step in 0..10 {
        let now = target(policy_step);
        late.step(&now);
        reference.run(4, &now);
        assert_close(
            late.state.joint_position_rad[KNEE],
            reference.state.joint_position_rad[KNEE],
            1e-5,
            "decimated position",
        );
    }
}
