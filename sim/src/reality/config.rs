//! Ranges of all in which a robot differs from the simulation, and the named levels.

use std::{io, path::PathBuf};

use policies::file::read_text;
use robots::line_of;
use serde::{Deserialize, Serialize};

/// In what a robot differs from the simulation. Ranges are [low, high], drawn anew for every episode, and
/// some within one. By default there is no difference, as in the paper's test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RealityConfig {
    /// Delay between a joint target and its use, ms, at most 100. The engine rounds it to physics steps.
    pub target_delay_ms: [f32; 2],
    /// Each policy step reaches the motors later by up to this, ms, at most 20: drawn anew in each.
    pub target_jitter_ms: f32,
    /// Delay of joint and IMU measurements, ms, at most a policy step of 20.
    pub proprioception_delay_ms: [f32; 2],
    /// Factor on the friction coefficient of the scene, above 0.
    pub friction_factor: [f32; 2],
    /// Mass added to the trunk, besides that of the scene, kg.
    pub added_base_mass_kg: [f32; 2],
    /// Where the added mass sits from the trunk's centre of mass, along x and along y of the base, m; what is taken away is
    /// taken from everywhere.
    pub payload_xy_m: [f32; 2],
    /// The same along z, m.
    pub payload_z_m: [f32; 2],
    /// Factor on mass and inertia of each link of the legs.
    pub link_mass_factor: [f32; 2],
    /// Where the centre of mass of the trunk lies from where it should, along each axis of the base, m.
    pub com_offset_m: [f32; 2],
    /// Factor on all that a motor gives, gains and effort limit, of each joint.
    pub motor_strength: [f32; 2],
    /// Factor on the stiffness of each joint's PD law.
    pub stiffness_factor: [f32; 2],
    /// Factor on the damping of each joint's PD law.
    pub damping_factor: [f32; 2],
    /// Fraction of the velocity limit up to which motors give their whole torque, which then falls to none at the limit;
    /// 1 stands for no fall.
    pub full_effort_until: [f32; 2],
    /// Factor on the rotor inertia of each joint.
    pub armature_factor: [f32; 2],
    /// Dry friction of each joint besides that of its description, N·m.
    pub joint_friction_nm: [f32; 2],
    /// Viscous damping of each joint besides that of its description, N·m·s/rad.
    pub joint_damping_nms: [f32; 2],
    /// Fraction of the speed of an impact that returns, 0 to 1.
    pub restitution: [f32; 2],
    /// Time constant of contacts as MuJoCo defines it, ms, at most 50; 0 stands for the hardest that an engine has.
    pub contact_softness_ms: [f32; 2],
    /// Horizontal change of the trunk's velocity by a blow, m/s.
    pub push_mps: [f32; 2],
    /// Time between blows, s, at least 0.1.
    pub push_interval_s: [f32; 2],
    /// Error of each joint encoder, rad: measured = true + error.
    pub joint_bias_rad: [f32; 2],
    /// Angle by which the IMU is mounted askew, about x and about y of the base, rad.
    pub imu_tilt_rad: [f32; 2],
    /// Constant error of each component of the measured angular velocity, rad/s.
    pub gyro_bias_radps: [f32; 2],
    /// Factor on the sensor noise of the observation table, 0 or more: joints, angular velocity, gravity.
    pub noise: f32,
    /// Scans per second; 0 stands for one in every policy step.
    pub ray_rate_hz: [f32; 2],
    /// Age of a scan when it arrives, ms, at most 500.
    pub ray_latency_ms: [f32; 2],
    /// Half-width of the uniform noise on the base-2 logarithm of each distance, 0 to 1.
    pub ray_noise_log2: f32,
    /// Fraction of the rays of a scan that return nothing and read as free, 0 to 1.
    pub lost_ray_fraction: [f32; 2],
    /// Error of the estimated position as a fraction of the path, 0 to 1, in a direction that is drawn with it.
    pub odometry_drift: [f32; 2],
    /// Position estimates per second; 0 stands for one in every policy step.
    pub odometry_rate_hz: [f32; 2],
    /// Age of a position estimate when it arrives, ms, at most 500.
    pub odometry_latency_ms: [f32; 2],
    /// Time after which delays, rates and latencies of measurements, scans and position estimates are drawn anew within an
    /// episode, s, at least 0.1; 0 stands for never.
    pub redraw_interval_s: [f32; 2],
}

impl Default for RealityConfig {
    fn default() -> Self {
        Self {
            target_delay_ms: [0.0; 2],
            target_jitter_ms: 0.0,
            proprioception_delay_ms: [0.0; 2],
            friction_factor: [1.0; 2],
            added_base_mass_kg: [0.0; 2],
            payload_xy_m: [0.0; 2],
            payload_z_m: [0.0; 2],
            link_mass_factor: [1.0; 2],
            com_offset_m: [0.0; 2],
            motor_strength: [1.0; 2],
            stiffness_factor: [1.0; 2],
            damping_factor: [1.0; 2],
            full_effort_until: [1.0; 2],
            armature_factor: [1.0; 2],
            joint_friction_nm: [0.0; 2],
            joint_damping_nms: [0.0; 2],
            restitution: [0.0; 2],
            contact_softness_ms: [0.0; 2],
            push_mps: [0.0; 2],
            push_interval_s: [3.0; 2],
            joint_bias_rad: [0.0; 2],
            imu_tilt_rad: [0.0; 2],
            gyro_bias_radps: [0.0; 2],
            noise: 0.0,
            ray_rate_hz: [0.0; 2],
            ray_latency_ms: [0.0; 2],
            ray_noise_log2: 0.0,
            lost_ray_fraction: [0.0; 2],
            odometry_drift: [0.0; 2],
            odometry_rate_hz: [0.0; 2],
            odometry_latency_ms: [0.0; 2],
            redraw_interval_s: [0.0; 2],
        }
    }
}

/// Name and file of each level; the first is the default.
const LEVELS: [(&str, &str); 3] = [
    (
        "ideal",
        "# The paper's test: a robot that does not differ from the simulation.",
    ),
    ("lab", include_str!("../../reality/lab.toml")),
    ("field", include_str!("../../reality/field.toml")),
];

/// Why there is no such reality.
#[derive(Debug, thiserror::Error)]
pub enum RealityError {
    /// A range is reversed, not finite or out of bounds.
    #[error("`reality.{key}` is {value}, must be {expected}")]
    Range {
        /// Key of the configuration.
        key: &'static str,
        /// What it holds.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// No such level.
    #[error("there is no reality `{name}`; there are {known}, and files that end in .toml")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A file that cannot be read.
    #[error("cannot read the reality {path}: {source}")]
    Read {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that is no reality.
    #[error("reality {name}, line {line}: {message}")]
    Parse {
        /// Name or path.
        name: String,
        /// Line of the file.
        line: usize,
        /// What is wrong.
        message: String,
    },
}

impl RealityConfig {
    /// Name of each level, and what it is.
    pub fn levels() -> impl Iterator<Item = (&'static str, &'static str)> {
        LEVELS.iter().map(|(name, text)| {
            let first = text.lines().next().unwrap_or_default();
            (*name, first.trim_start_matches(['#', ' ']))
        })
    }

    /// The level that this is, or `own`.
    pub fn label(&self) -> &'static str {
        let mut levels = LEVELS.iter().map(|(name, _)| *name);
        let is_this = |name: &&str| Self::load(name).is_ok_and(|level| level == *self);
        levels.find(is_this).unwrap_or("own")
    }

    /// Whether the robot does not differ from the simulation.
    pub fn is_ideal(&self) -> bool {
        *self == Self::default()
    }

    /// A named level, or a TOML file: what it does not say does not differ from the simulation.
    ///
    /// # Errors
    /// One line for a name that nothing has, or the line or key of the file that is wrong.
    pub fn load(name_or_path: &str) -> Result<Self, RealityError> {
        let path = PathBuf::from(name_or_path);
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let text = read_text(&path).map_err(|source| RealityError::Read {
                path: path.clone(),
                source,
            })?;
            return Self::parse(&text, name_or_path);
        }
        match LEVELS.iter().find(|(name, _)| *name == name_or_path) {
            Some((name, text)) => Self::parse(text, name),
            None => Err(RealityError::Unknown {
                name: name_or_path.to_owned(),
                known: LEVELS.map(|(name, _)| name).join(", "),
            }),
        }
    }

    fn parse(text: &str, name: &str) -> Result<Self, RealityError> {
        let config: Self = toml::from_str(text).map_err(|error| RealityError::Parse {
            name: name.to_owned(),
            line: line_of(text, &error),
            message: error.message().to_owned(),
        })?;
        config.validate()?;
        Ok(config)
    }

    /// Checks all ranges.
    ///
    /// # Errors
    /// The first key that is out of range.
    pub fn validate(&self) -> Result<(), RealityError> {
        for (key, [low, high], [least, most]) in [
            ("target_delay_ms", self.target_delay_ms, [0.0, 100.0]),
            (
                "proprioception_delay_ms",
                self.proprioception_delay_ms,
                [0.0, 20.0],
            ),
            ("friction_factor", self.friction_factor, [0.01, 10.0]),
            ("added_base_mass_kg", self.added_base_mass_kg, [-5.0, 50.0]),
            ("payload_xy_m", self.payload_xy_m, [-0.5, 0.5]),
            ("payload_z_m", self.payload_z_m, [-0.5, 0.5]),
            ("link_mass_factor", self.link_mass_factor, [0.1, 10.0]),
            ("com_offset_m", self.com_offset_m, [-0.5, 0.5]),
            ("motor_strength", self.motor_strength, [0.1, 10.0]),
            ("stiffness_factor", self.stiffness_factor, [0.1, 10.0]),
            ("damping_factor", self.damping_factor, [0.1, 10.0]),
            ("full_effort_until", self.full_effort_until, [0.05, 1.0]),
            ("armature_factor", self.armature_factor, [0.1, 10.0]),
            ("joint_friction_nm", self.joint_friction_nm, [0.0, 20.0]),
            ("joint_damping_nms", self.joint_damping_nms, [0.0, 20.0]),
            ("restitution", self.restitution, [0.0, 1.0]),
            ("contact_softness_ms", self.contact_softness_ms, [0.0, 50.0]),
            ("push_mps", self.push_mps, [0.0, 5.0]),
            ("push_interval_s", self.push_interval_s, [0.1, 1000.0]),
            ("joint_bias_rad", self.joint_bias_rad, [-0.5, 0.5]),
            ("imu_tilt_rad", self.imu_tilt_rad, [-0.5, 0.5]),
            ("gyro_bias_radps", self.gyro_bias_radps, [-2.0, 2.0]),
            ("ray_rate_hz", self.ray_rate_hz, [0.0, 1000.0]),
            ("ray_latency_ms", self.ray_latency_ms, [0.0, 500.0]),
            ("lost_ray_fraction", self.lost_ray_fraction, [0.0, 1.0]),
            ("odometry_drift", self.odometry_drift, [0.0, 1.0]),
            ("odometry_rate_hz", self.odometry_rate_hz, [0.0, 1000.0]),
            (
                "odometry_latency_ms",
                self.odometry_latency_ms,
                [0.0, 500.0],
            ),
            ("redraw_interval_s", self.redraw_interval_s, [0.0, 1000.0]),
        ] {
            // False for NaN.
            if !(least <= low && low <= high && high <= most) {
                return Err(RealityError::Range {
                    key,
                    value: format!("[{low}, {high}]"),
                    expected: format!("[low, high] within {least} and {most}"),
                });
            }
        }
        let [soonest_s, latest_s] = self.redraw_interval_s;
        if latest_s > 0.0 && soonest_s < 0.1 {
            return Err(RealityError::Range {
                key: "redraw_interval_s",
                value: format!("[{soonest_s}, {latest_s}]"),
                expected: "[0, 0], or from 0.1 s on".to_owned(),
            });
        }
        for (key, value, most) in [
            ("target_jitter_ms", self.target_jitter_ms, 20.0),
            ("noise", self.noise, 10.0),
            ("ray_noise_log2", self.ray_noise_log2, 1.0),
        ] {
            if !(0.0..=most).contains(&value) {
                return Err(RealityError::Range {
                    key,
                    value: value.to_string(),
                    expected: format!("between 0 and {most}"),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_grow_from_ideal_to_field() {
        let load = |name| RealityConfig::load(name).unwrap();
        let (ideal, lab, field) = (load("ideal"), load("lab"), load("field"));
        assert_eq!(ideal, RealityConfig::default());
        assert_eq!(RealityConfig::levels().count(), 3);
        assert_eq!(
            [&ideal, &lab, &field].map(RealityConfig::label),
            ["ideal", "lab", "field"]
        );
        let own = RealityConfig {
            noise: 0.7,
            ..lab.clone()
        };
        assert_eq!(own.label(), "own");
        assert!(field.target_delay_ms[1] > lab.target_delay_ms[1]);
        assert!(field.ray_latency_ms[1] > lab.ray_latency_ms[1]);
        assert!(field.noise > lab.noise && lab.noise > ideal.noise);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refused = |text: &str| RealityConfig::parse(text, "mine").unwrap_err().to_string();
        assert_eq!(
            refused("target_delay_ms = [20.0, 5.0]"),
            "`reality.target_delay_ms` is [20, 5], must be [low, high] within 0 and 100"
        );
        assert!(refused("target_delay_ms = [-1.0, 5.0]").contains("within 0 and 100"));
        assert!(refused("target_delay_ms = [0.0, 101.0]").contains("within 0 and 100"));
        assert!(refused("noise = nan").contains("`reality.noise` is NaN"));
        let unknown = refused("\nwind = 3");
        assert!(
            unknown.starts_with("reality mine, line 2: unknown field `wind`"),
            "{unknown}"
        );
        assert_eq!(
            refused("redraw_interval_s = [0.0, 2.0]"),
            "`reality.redraw_interval_s` is [0, 2], must be [0, 0], or from 0.1 s on"
        );
        let name = RealityConfig::load("mars").unwrap_err().to_string();
        assert_eq!(
            name,
            "there is no reality `mars`; there are ideal, lab, field, and files that end in .toml"
        );
    }
}
