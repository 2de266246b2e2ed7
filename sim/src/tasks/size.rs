//! How training settings follow the size of the robot. They are written for go1; a robot of another size moves in the same way when lengths grow with its
//! legs, times with the root of them, and torques with weight times legs (dynamic similarity). Such a robot should earn and lose the same.

use robots::Robot;

use super::{EnvConfig, RandomizationConfig, rewards::Regularizers};

/// Size of a robot in relation to that of another one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RelativeSize {
    /// Of the legs.
    pub length: f32,
    /// Of the whole robot.
    pub mass: f32,
}

impl RelativeSize {
    /// Of `robot`, in relation to `reference`.
    pub fn of(robot: &Robot, reference: &Robot) -> Self {
        Self {
            length: robot.leg_length_m() / reference.leg_length_m(),
            mass: robot.mass_kg() / reference.mass_kg(),
        }
    }

    /// Of speeds.
    fn speed(self) -> f32 {
        self.length.sqrt()
    }

    /// Of torques.
    fn torque(self) -> f32 {
        self.mass * self.length
    }
}

impl EnvConfig {
    /// Scales what is written for the reference robot. What is a setting of the world, such as obstacles, `[reality]` or the goal, stays.
    pub fn scale_to(&mut self, size: RelativeSize) {
        scale(&mut self.agile.top_speed_mps, size.speed());
        for speed_mps in &mut self.recovery.start_vx_mps {
            scale(speed_mps, size.speed());
        }
        let tasks = [
            &mut self.agile.regularizers,
            &mut self.recovery.regularizers,
            &mut self.velocity.regularizers,
        ];
        for regularizers in tasks {
            regularizers.scale_to(size);
        }
        self.randomization.scale_to(size);
        for height_m in &mut self.rays.height_m {
            scale(height_m, size.length);
        }
    }
}

impl RandomizationConfig {
    /// Scales masses and torques that are written for the reference robot.
    pub fn scale_to(&mut self, size: RelativeSize) {
        for mass_kg in &mut self.added_base_mass_kg {
            scale(mass_kg, size.mass);
        }
        scale(&mut self.torque_noise_per_level_nm, size.torque());
    }
}

impl Regularizers {
    /// Terms are powers of torque, length and time; their weights are divided by the same powers of the size.
    fn scale_to(&mut self, size: RelativeSize) {
        let (torque, time) = (size.torque(), size.length.sqrt());
        for (weight, unit) in [
            (&mut self.torque, torque.powi(2)),
            (&mut self.torque_limit, torque),
            (&mut self.motor_power, torque / time),
            (&mut self.joint_speed, time.powi(-2)),
            (&mut self.joint_velocity_limit, time.powi(-1)),
            (&mut self.joint_acceleration, time.powi(-4)),
            (&mut self.roll_pitch_rate, time.powi(-2)),
            (&mut self.vertical_speed, size.speed().powi(2)),
            (&mut self.landing_speed, size.speed().powi(2)),
        ] {
            scale(weight, 1.0 / unit);
        }
    }
}

/// To three digits, since it is written into files that people read.
fn scale(value: &mut f32, factor: f32) {
    let exact = f64::from(*value) * f64::from(factor);
    *value = format!("{exact:.2e}").parse().unwrap_or(*value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_robot_four_times_as_long_and_64_times_as_heavy_loses_as_much() {
        let size = RelativeSize {
            length: 4.0,
            mass: 64.0,
        };
        let mut env = EnvConfig::default();
        env.randomization.added_base_mass_kg = [-1.5, 6.0];
        env.rays.height_m = [-0.15, 0.2];
        let before = env.agile.regularizers.clone();
        env.scale_to(size);
        let after = &env.agile.regularizers;
        // Torques are 256 times those of the reference, times are twice as long, speeds of joints half.
        for (after, before, unit) in [
            (after.torque, before.torque, 256.0 * 256.0),
            (after.torque_limit, before.torque_limit, 256.0),
            (after.joint_speed, before.joint_speed, 0.25),
            (after.joint_velocity_limit, before.joint_velocity_limit, 0.5),
            (
                after.joint_acceleration,
                before.joint_acceleration,
                1.0 / 16.0,
            ),
            (after.vertical_speed, before.vertical_speed, 4.0),
            (after.thigh_contact, before.thigh_contact, 1.0),
            (after.action_rate, before.action_rate, 1.0),
        ] {
            assert!(
                (after * unit / before - 1.0).abs() < 0.005,
                "{after} {before}"
            );
        }
        assert_eq!(env.randomization.added_base_mass_kg, [-96.0, 384.0]);
        assert_eq!(env.rays.height_m, [-0.6, 0.8]);
        assert_eq!(env.agile.top_speed_mps, 9.0);
        assert_eq!(env.recovery.start_vx_mps, [-1.0, 11.0]);
    }

    #[test]
    fn the_reference_has_its_own_size() {
        let go1 = Robot::load("go1").unwrap();
        let size = RelativeSize::of(&go1, &go1);
        let mut env = EnvConfig::default();
        env.scale_to(size);
        assert_eq!(env, EnvConfig::default());
    }
}
