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

/// The keys of reality, each at the edge of what other projects trained for.
const KEYS: [(&str, &str, Edge); 13] = [
    ("target delay", "target_delay_ms", Edge::High),
    (
        "proprioception delay",
        "proprioception_delay_ms",
        Edge::High,
    ),
    ("low friction", "friction_factor", Edge::Low),
    ("added mass", "added_base_mass_kg", Edge::High),
    ("encoder bias", "joint_bias_rad", Edge::Whole),
    ("IMU tilt", "imu_tilt_rad", Edge::Whole),
    ("gyro bias", "gyro_bias_radps", Edge::Whole),
    ("sensor noise", "noise", Edge::Whole),
    ("slow rays", "ray_rate_hz", Edge::Low),
    ("late rays", "ray_latency_ms", Edge::High),
    ("ray noise", "ray_noise_log2", Edge::Whole),
    ("lost rays", "lost_ray_fraction", Edge::High),
    ("odometry drift", "odometry_drift", Edge::High),
];

/// All changes, the ideal robot in the paper's test first.
pub fn changes(config: &ConfigArgs) -> Result<Vec<Change>> {
    let change = |name, reality: Option<&str>, scene: Option<&str>, set: Option<String>| {
        let mut args = ConfigArgs {
            reality: reality.map(str::to_owned),
            scene: scene.map(str::to_owned),
            ..config.clone()
        };
        args.sets.extend(set);
        Change { name, args }
    };
    let mut all = vec![change("ideal", None, None, None)];
    let field = toml::Table::try_from(RealityConfig::load("field")?)?;
    for (name, key, edge) in KEYS {
        let value = match (edge, &field[key]) {
            (Edge::Low, toml::Value::Array(range)) => format!("[{0}, {0}]", range[0]),
            (Edge::High, toml::Value::Array(range)) => format!("[{0}, {0}]", range[1]),
            (_, value) => value.to_string(),
        };
        all.push(change(
            name,
            None,
            None,
            Some(format!("reality.{key}={value}")),
        ));
    }
    for level in ["lab", "field"] {
        all.push(change(level, Some(level), None, None));
    }
    for (scene, _) in TestbedConfig::shipped() {
        if scene != CYLINDERS {
            all.push(change(scene, None, Some(scene), None));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_reality_is_changed_once_and_to_its_edge() {
        let all = changes(&ConfigArgs::default()).unwrap();
        let keys = toml::Table::try_from(RealityConfig::default()).unwrap();
        assert_eq!(KEYS.len(), keys.len());
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
