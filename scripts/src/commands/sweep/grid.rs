//! The file of a sweep: two axes, and settings in which their values stand.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use policies::file::read_text;
use serde::Deserialize;
use toml::Table;

/// Sweeps that come with the program, by name.
pub const SHIPPED: [(&str, &str); 2] = [
    (
        "pedestrians",
        include_str!("../../../sweeps/pedestrians.toml"),
    ),
    ("switch", include_str!("../../../sweeps/switch.toml")),
];
/// Values of an axis at most.
const MOST_VALUES: usize = 50;

/// Two axes, and the settings of each cell.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Name of file and folder.
    #[serde(skip)]
    pub name: String,
    /// Columns.
    pub x: Axis,
    /// Rows.
    pub y: Axis,
    /// TOML. `{x}` and `{y}` stand for the values, `{y*0.5-0.3}` for a multiple and a sum.
    settings: String,
}

/// Values of one quantity.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    /// What it is, with its unit.
    pub name: String,
    /// Its values, in order.
    pub values: Vec<f64>,
}

impl Grid {
    /// A shipped sweep, or a TOML file.
    ///
    /// # Errors
    /// One line that names the file and what is wrong.
    pub fn load(name: &str) -> Result<Self> {
        let shipped = SHIPPED.iter().find(|(shipped, _)| *shipped == name);
        let (text, short) = match shipped {
            Some((_, text)) => ((*text).to_owned(), name.to_owned()),
            None => {
                let path = Path::new(name);
                ensure!(
                    path.extension()
                        .is_some_and(|extension| extension == "toml"),
                    "there is no sweep `{name}`; there are {}, or name a TOML file",
                    SHIPPED.map(|(name, _)| name).join(", ")
                );
                let text = read_text(path).with_context(|| format!("cannot read {name}"))?;
                let stem = path.file_stem().unwrap_or_default().to_string_lossy();
                (text, stem.into_owned())
            }
        };
        let mut grid: Self = toml::from_str(&text).with_context(|| name.to_owned())?;
        grid.name = short;
        for (axis, key) in [(&grid.x, "x"), (&grid.y, "y")] {
            let count = axis.values.len();
            ensure!(
                (1..=MOST_VALUES).contains(&count),
                "{name}: {key}.values has {count} values; must be 1 to {MOST_VALUES}"
            );
        }
        let [x, y] = [&grid.x, &grid.y].map(|axis| axis.values[0]);
        grid.settings(x, y).with_context(|| name.to_owned())?;
        Ok(grid)
    }

    /// The settings of a cell.
    ///
    /// # Errors
    /// One line for a placeholder that is none, or text that is not TOML.
    pub fn settings(&self, x: f64, y: f64) -> Result<Table> {
        let mut text = String::new();
        let mut rest = self.settings.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            text += before;
            // TOML's own braces have a blank after them.
            if after.starts_with([' ', '\n']) {
                text.push('{');
                rest = after;
                continue;
            }
            let Some((placeholder, after)) = after.split_once('}') else {
                bail!("settings: `{{` without `}}`");
            };
            let value = value_of(placeholder, x, y).with_context(|| {
                format!("settings: {{{placeholder}}} is not x or y, {{y*0.5}} or {{y*0.5-0.3}}")
            })?;
            text += &format!("{value:?}");
            rest = after;
        }
        text += rest;
        text.parse().context("settings")
    }
}

/// The number that `x`, `x*FACTOR`, `x+SUM`, `x*FACTOR-SUM` stand for.
fn value_of(placeholder: &str, x: f64, y: f64) -> Option<f64> {
    let (axis, rest) = placeholder.split_at_checked(1)?;
    let value = match axis {
        "x" => x,
        "y" => y,
        _ => return None,
    };
    let (factor, sum) = match rest.strip_prefix('*') {
        // A sign after the first character belongs to the sum.
        Some(rest) => match rest.get(1..)?.find(['+', '-']) {
            Some(at) => rest.split_at(at + 1),
            None => (rest, "0"),
        },
        None if rest.is_empty() => ("1", "0"),
        None if rest.starts_with(['+', '-']) => ("1", rest),
        None => return None,
    };
    let result = value * factor.parse::<f64>().ok()? + sum.parse::<f64>().ok()?;
    // A thousandth is finer than anything that is placed by hand, and 0.1 + 0.2 stays 0.3.
    result.is_finite().then_some((result * 1e6).round() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_multiples_and_sums_of_the_values() {
        for (placeholder, expected) in [
            ("x", 2.0),
            ("y", 3.0),
            ("y*0.5", 1.5),
            ("y*-0.5", -1.5),
            ("y*-0.5+0.3", -1.2),
            ("x*0.1-0.4", -0.2),
            ("x-0.5", 1.5),
        ] {
            assert_eq!(
                value_of(placeholder, 2.0, 3.0),
                Some(expected),
                "{placeholder}"
            );
        }
        for placeholder in ["", "z", "x2", "x*", "x*y", "x*0.5-", "é", "x*é"] {
            assert_eq!(value_of(placeholder, 2.0, 3.0), None, "{placeholder}");
        }
    }

    #[test]
    fn every_shipped_sweep_is_a_grid() {
        for (name, _) in SHIPPED {
            Grid::load(name).unwrap();
        }
    }

    #[test]
    fn the_sweep_of_pedestrians_places_walls_and_pedestrians() {
        let grid = Grid::load("pedestrians").unwrap();
        let settings = grid.settings(1.5, 2.0).unwrap();
        let groups = settings["eval"]["testbed"]["groups"].as_array().unwrap();
        let range = |group: usize, key: &str| groups[group][key].as_array().unwrap().clone();
        assert_eq!(range(1, "y_m"), [1.0.into(), 1.0.into()]);
        assert_eq!(range(2, "y_m"), [(-1.0).into(), (-1.0).into()]);
        assert_eq!(range(3, "speed_mps"), [1.5.into(), 1.5.into()]);
    }
}
