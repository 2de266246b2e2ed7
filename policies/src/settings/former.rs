//! Keys of earlier versions, and what became of them.

use toml::{Table, Value};

/// What became of a key.
enum Fate {
    /// It has another name.
    Renamed(&'static str),
    /// It is gone; why, or what to do instead.
    Removed(&'static str),
}
use Fate::{Removed, Renamed};

/// Former keys. A leading `*` stands for any beginning, and in the new name for the same one. A table stands for all that is in it.
const FORMER: &[(&str, Fate)] = &[
    ("*.rays.earlier_steps", Renamed("*.rays.previous_steps")),
    ("*.min_gain", Renamed("*.min_improvement")),
    ("*.held_out_share", Renamed("*.held_out_fraction")),
    ("*.flip_share", Renamed("*.flip_fraction")),
    ("*.blur_share", Renamed("*.blur_fraction")),
    ("*.noise_share", Renamed("*.noise_fraction")),
    ("*.erase_share", Renamed("*.erase_fraction")),
    (
        "*.measured_twist",
        Removed("the mask of the value's observation terms says what it observes"),
    ),
    ("deploy.illusion_margin_m", Removed("the bundle says it")),
    ("eval.illusion", Removed("the bundle says it")),
    ("eval.illusion_margin_m", Removed("the bundle says it")),
    (
        "reach_avoid.rollouts.illusion",
        Removed("the bundle says it"),
    ),
    (
        "reach_avoid.rollouts.illusion_margin_m",
        Removed("the bundle says it"),
    ),
    ("eval.physics", Renamed("physics")),
    ("reach_avoid.rollouts.physics", Renamed("physics")),
    ("depth.recording.physics", Renamed("physics")),
    (
        "*.testbed.radius_m",
        Renamed("*.testbed.obstacles.radius_m"),
    ),
    (
        "*.testbed.height_m",
        Renamed("*.testbed.obstacles.height_m"),
    ),
    ("*.testbed.obstacle_x_m", Renamed("*.testbed.obstacles.x_m")),
    ("*.testbed.obstacle_y_m", Renamed("*.testbed.obstacles.y_m")),
    (
        "*.rollouts.testbed_share",
        Renamed("*.rollouts.testbed_fraction"),
    ),
    (
        "*.rollouts.anywhere_share",
        Renamed("*.rollouts.anywhere_fraction"),
    ),
    (
        "*.rollouts.running_share",
        Renamed("*.rollouts.running_fraction"),
    ),
    (
        "*.rollouts.recovering_share",
        Renamed("*.rollouts.recovering_fraction"),
    ),
    (
        "*.rollouts.thrown_share",
        Renamed("*.rollouts.random_velocity_fraction"),
    ),
    (
        "*.rollouts.thrown_vx_mps",
        Renamed("*.rollouts.random_vx_mps"),
    ),
    (
        "*.rollouts.thrown_vy_mps",
        Renamed("*.rollouts.random_vy_mps"),
    ),
    (
        "*.rollouts.thrown_yaw_rate_radps",
        Renamed("*.rollouts.random_yaw_rate_radps"),
    ),
    ("*.recording.abs_share", Renamed("*.recording.abs_fraction")),
    (
        "*.recording.realism_share",
        Renamed("*.recording.realism_fraction"),
    ),
    ("*.walking_share", Renamed("*.moving_fraction")),
    ("*.box_share", Renamed("*.box_fraction")),
    (
        "*.level_down_lived",
        Renamed("*.level_down_survival_fraction"),
    ),
    ("env.physics", Renamed("physics")),
];

/// What became of the former keys in `layer`, in one line; nothing where there are none.
pub(super) fn explain(layer: &Table) -> Option<String> {
    let mut found = Vec::new();
    collect(layer, "", FORMER, &mut found);
    (!found.is_empty()).then(|| found.join("; "))
}

fn collect(layer: &Table, prefix: &str, former: &[(&str, Fate)], found: &mut Vec<String>) {
    for (key, value) in layer {
        let path = format!("{prefix}{key}");
        let fate = former.iter().find_map(|(old, fate)| {
            let beginning = match old.strip_prefix('*') {
                Some(end) => path.strip_suffix(end)?,
                None => (path == *old).then_some("")?,
            };
            Some((beginning, fate))
        });
        match (fate, value) {
            (Some((beginning, Renamed(new))), _) => {
                let new = new.replacen('*', beginning, 1);
                found.push(format!("`{path}` was renamed to `{new}`"));
            }
            (Some((_, Removed(why))), _) => found.push(format!("`{path}` is gone: {why}")),
            (None, Value::Table(inner)) => collect(inner, &format!("{path}."), former, found),
            (None, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[(&str, Fate)] = &[
        ("env.physics", Renamed("physics")),
        (
            "*.obstacles.walking_share",
            Renamed("*.obstacles.moving_fraction"),
        ),
        ("preset", Removed("write its settings")),
    ];

    fn found(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        collect(&text.parse().unwrap(), "", TABLE, &mut found);
        found
    }

    #[test]
    fn every_former_key_of_a_file_is_told_with_its_new_name() {
        assert_eq!(
            found(
                "preset = 3
                [env.physics]
                step_s = 0.005
                [env.agile.obstacles]
                walking_share = 0.5
                count = 8"
            ),
            [
                "`env.agile.obstacles.walking_share` was renamed to `env.agile.obstacles.moving_fraction`",
                "`env.physics` was renamed to `physics`",
                "`preset` is gone: write its settings",
            ]
        );
    }

    #[test]
    fn keys_that_only_look_like_former_ones_are_not() {
        assert!(found("physics.step_s = 1.0\nwalking_share = 0.5\n[env]\npreset = 1").is_empty());
    }
}
