//! What is changed, one at a time.

use anyhow::Result;
use sim::{
    reality::RealityConfig,
    scene::{CYLINDERS, TestbedConfig},
};

use crate::config::ConfigArgs;

/// A change, and the flags that make it.
pub struct Change {
    pub name: &'static str,
    pub args: ConfigArgs,
}

/// Which part of a range of `field` is tested.
#[derive(Clone, Copy)]
enum Edge {
    Low,
    High,
    Whole,
}

/// The keys of reality at the edge of what other projects trained for, and what they are called. Keys that do nothing alone
/// come with the others.
const ROWS: [(&str, &[(&str, Edge)]); 31] = [
    ("target delay", &[("target_delay_ms", Edge::High)]),
    ("target jitter", &[("target_jitter_ms", Edge::Whole)]),
    (
        "proprioception delay",
        &[("proprioception_delay_ms", Edge::High)],
    ),
    ("low friction", &[("friction_factor", Edge::Low)]),
    ("added mass", &[("added_base_mass_kg", Edge::High)]),
    (
        "payload aside",
        &[
            ("added_base_mass_kg", Edge::High),
            ("payload_xy_m", Edge::Whole),
        ],
    ),
    (
        "payload on top",
        &[
            ("added_base_mass_kg", Edge::High),
            ("payload_z_m", Edge::High),
        ],
    ),
    ("link masses", &[("link_mass_factor", Edge::Whole)]),
    ("centre of mass", &[("com_offset_m", Edge::Whole)]),
    ("weak motors", &[("motor_strength", Edge::Low)]),
    ("soft gains", &[("stiffness_factor", Edge::Low)]),
    ("less damping", &[("damping_factor", Edge::Low)]),
    ("torque-speed curve", &[("full_effort_until", Edge::Low)]),
    ("heavy rotors", &[("armature_factor", Edge::High)]),
    ("joint friction", &[("joint_friction_nm", Edge::High)]),
    ("joint damping", &[("joint_damping_nms", Edge::High)]),
    ("bouncing ground", &[("restitution", Edge::High)]),
    ("soft ground", &[("contact_softness_ms", Edge::High)]),
    (
        "pushes",
        &[("push_mps", Edge::High), ("push_interval_s", Edge::Low)],
    ),
    ("encoder bias", &[("joint_bias_rad", Edge::Whole)]),
    ("IMU tilt", &[("imu_tilt_rad", Edge::Whole)]),
    ("gyro bias", &[("gyro_bias_radps", Edge::Whole)]),
    ("sensor noise", &[("noise", Edge::Whole)]),
    ("slow rays", &[("ray_rate_hz", Edge::Low)]),
    ("late rays", &[("ray_latency_ms", Edge::High)]),
    ("ray noise", &[("ray_noise_log2", Edge::Whole)]),
    ("lost rays", &[("lost_ray_fraction", Edge::High)]),
    ("odometry drift", &[("odometry_drift", Edge::High)]),
    ("slow odometry", &[("odometry_rate_hz", Edge::Low)]),
    ("late odometry", &[("odometry_latency_ms", Edge::High)]),
    (
        "changing delays",
        &[
            ("proprioception_delay_ms", Edge::Whole),
            ("ray_latency_ms", Edge::Whole),
            ("redraw_interval_s", Edge::Low),
        ],
    ),
];

/// The row that others are compared with.
pub const IDEAL: &str = "ideal";

/// All changes, the ideal robot in the paper's test first.
pub fn changes(config: &ConfigArgs) -> Result<Vec<Change>> {
    let change = |name, reality: Option<&str>, scene: Option<&str>| {
        let args = ConfigArgs {
            reality: reality.map(str::to_owned),
            scene: scene.map(str::to_owned),
            ..config.clone()
        };
        Change { name, args }
    };
    let mut all = vec![change(IDEAL, None, None)];
    let field = toml::Table::try_from(RealityConfig::load("field")?)?;
    for (name, keys) in ROWS {
        let mut row = change(name, None, None);
        for (key, edge) in keys {
            let value = match (edge, &field[*key]) {
                (Edge::Low, toml::Value::Array(range)) => format!("[{0}, {0}]", range[0]),
                (Edge::High, toml::Value::Array(range)) => format!("[{0}, {0}]", range[1]),
                (_, value) => value.to_string(),
            };
            row.args.sets.push(format!("reality.{key}={value}"));
        }
        all.push(row);
    }
    for level in ["lab", "field"] {
        all.push(change(level, Some(level), None));
    }
    for (scene, _) in TestbedConfig::shipped() {
        if scene != CYLINDERS {
            all.push(change(scene, None, Some(scene)));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_key_of_reality_is_changed_to_its_edge() {
        let all = changes(&ConfigArgs::default()).unwrap();
        let keys = toml::Table::try_from(RealityConfig::default()).unwrap();
        let changed: BTreeSet<&str> = (ROWS.iter())
            .flat_map(|(_, keys)| keys.iter().map(|(key, _)| *key))
            .collect();
        assert_eq!(changed.len(), keys.len());
        let resolved = |name: &str| {
            let change = all.iter().find(|change| change.name == name).unwrap();
            change.args.resolve().unwrap()
        };
        assert!(resolved("ideal").reality.is_ideal());
        assert_eq!(resolved("late rays").reality.ray_latency_ms, [150.0, 150.0]);
        assert_eq!(resolved("low friction").reality.friction_factor, [0.5, 0.5]);
        assert_eq!(
            resolved("encoder bias").reality.joint_bias_rad,
            [-0.05, 0.05]
        );
        assert_eq!(resolved("lab").reality.label(), "lab");
        assert_eq!(resolved("people").eval.testbed.name, "people");
        for change in &all[1..] {
            let config = change.args.resolve().unwrap();
            let is_changed = !config.reality.is_ideal() || config.eval.testbed.name != CYLINDERS;
            assert!(is_changed, "{}", change.name);
        }
    }
}
