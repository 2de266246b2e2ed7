//! Physics that can be computed by hand, the same for every engine.

mod contacts;
mod determinism;
mod flight;
mod motors;
mod support;
mod variation;

use robots::Robot;
#[cfg(feature = "mujoco")]
use sim::engine::{self, EngineKind};
use sim::engine::{BatchEngine, Engine, PhysicsConfig, RapierEngine};

/// Runs every test on an engine.
macro_rules! physics_of {
    ($engine:ident, $make:expr) => {
        mod $engine {
            physics_of! { @tests $make =>
                flight: free_fall, what_is_set_is_read;
                motors: a_pendulum_swings_with_its_period,
                    a_step_response_is_that_of_an_implicit_pd_law,
                    the_effort_limit_is_respected,
                    torque_falls_with_speed,
                    joint_limits_hold,
                    joint_friction_and_damping_brake,
                    torque_offset_and_noise_are_those_of_the_stream,
                    targets_arrive_after_the_delay;
                contacts: standing_forces_sum_to_the_weight,
                    sliding_begins_at_the_friction_angle,
                    foot_forces_account_for_the_momentum,
                    friction_stays_in_its_cone,
                    a_base_on_the_ground_has_contact,
                    a_thigh_against_a_bar_has_contact,
                    a_cylinder_stops_the_robot,
                    a_moving_cylinder_pushes,
                    a_height_field_carries_the_robot,
                    a_height_field_stops_a_fall,
                    a_robot_walks_off_a_height_field_onto_flat_ground,
                    mirrored_inputs_give_mirrored_motion,
                    feet_have_no_other_class;
                variation: a_varied_robot_moves_like_one_that_is_described_so,
                    a_variation_without_differences_changes_nothing,
                    a_varied_torque_speed_curve_holds,
                    a_blow_changes_the_velocity_at_once,
                    a_foot_that_bounces_is_not_pushed_sideways,
                    a_soft_ground_gives_way;
                determinism: a_restored_engine_goes_on_bit_for_bit,
                    a_state_of_another_size_is_refused,
                    a_robot_does_not_depend_on_the_others,
                    an_episode_depends_on_its_start_alone,
                    physics_steps_in_order_are_a_policy_step;
            }
        }
    };
    (@tests $make:expr => $($group:ident: $($name:ident),+;)+) => {
        $($(
            #[test]
            fn $name() {
                crate::$group::$name($make);
            }
        )+)+
    };
}

fn rapier(robot: &Robot, config: &PhysicsConfig, num_robots: usize) -> Box<dyn Engine> {
    Box::new(RapierEngine::new(robot, config, num_robots).expect("robot"))
}

fn batch(robot: &Robot, config: &PhysicsConfig, num_robots: usize) -> Box<dyn Engine> {
    Box::new(BatchEngine::new(robot, config, num_robots).expect("robot"))
}

#[cfg(feature = "mujoco")]
fn mujoco(robot: &Robot, config: &PhysicsConfig, num_robots: usize) -> Box<dyn Engine> {
    engine::build(EngineKind::Mujoco, robot, config, num_robots).expect("robot")
}

physics_of!(rapier, crate::rapier);
physics_of!(batch, crate::batch);
#[cfg(feature = "mujoco")]
physics_of!(mujoco, crate::mujoco);

#[test]
fn rapier_throws_back_what_it_should_and_what_it_pushes_out() {
    variation::the_ground_throws_back_what_it_should(rapier, 0.35);
}

#[test]
fn batch_throws_back_what_it_should() {
    variation::the_ground_throws_back_what_it_should(batch, 0.02);
}

#[cfg(feature = "mujoco")]
#[test]
fn mujoco_throws_back_what_it_should() {
    variation::the_ground_throws_back_what_it_should(mujoco, 0.06);
}

#[test]
fn rapier_keeps_momentum_in_flight() {
    flight::momentum_is_kept_in_flight(rapier, 0.02);
}

/// The batch engine integrates in the frame of the base, whose turning within a step is met to first order only.
#[test]
fn batch_keeps_momentum_in_flight() {
    flight::momentum_is_kept_in_flight(batch, 0.03);
}

/// MuJoCo integrates the velocity of the base's origin, not of its centre of mass.
#[cfg(feature = "mujoco")]
#[test]
fn mujoco_keeps_momentum_in_flight() {
    flight::momentum_is_kept_in_flight(mujoco, 0.03);
}

#[test]
fn tumbling_robots_stay_sound_in_rapier() {
    contacts::tumbling_robots_stay_sound(rapier, 0.02);
}

#[test]
fn tumbling_robots_stay_sound_in_the_batch_engine() {
    contacts::tumbling_robots_stay_sound(batch, 0.02);
}

/// MuJoCo finds a contact when it is there: at 8 m/s that is up to 4 cm late.
#[cfg(feature = "mujoco")]
#[test]
fn tumbling_robots_stay_sound_in_mujoco() {
    contacts::tumbling_robots_stay_sound(mujoco, 0.05);
}
