//! A `robot.toml` with other numbers of control, its comments and its order kept.

use toml_edit::{Array, DocumentMut, Item, value};

use crate::{error::RobotError, load::RobotFiles, model::Control};

impl RobotFiles {
    /// The same robot with other default and standing positions, gains and action scale.
    ///
    /// # Errors
    /// One line when `robot.toml` is not TOML.
    pub fn with_control(&self, control: &Control) -> Result<Self, RobotError> {
        let syntax = |message: &dyn ToString| RobotError::Syntax {
            place: self.description_place().to_owned(),
            message: message.to_string().replace('\n', " "),
        };
        let mut document: DocumentMut = self
            .description()
            .parse()
            .map_err(|error: toml_edit::TomlError| syntax(&error.message()))?;
        let table = document
            .get_mut("control")
            .and_then(Item::as_table_mut)
            .ok_or_else(|| syntax(&"[control] is not a table of its own"))?;
        for (key, values) in [
            ("default_position_rad", &control.default_position_rad),
            ("standing_position_rad", &control.standing_position_rad),
            ("stiffness", &control.stiffness),
            ("damping", &control.damping),
        ] {
            table[key] = value(
                values
                    .iter()
                    .map(|number| short(*number))
                    .collect::<Array>(),
            );
        }
        table["action_scale"] = value(short(control.action_scale));
        Ok(self.with_description(document.to_string()))
    }
}

/// The float64 that is written with the fewest digits: 0.65 for 0.65_f32.
fn short(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_gains_leave_the_rest_as_it_is_written() {
        let files = RobotFiles::read("go1").unwrap();
        let mut control = files.robot().unwrap().control;
        control.stiffness = vec![35.0; 12];
        control.damping[3] = 0.7;
        control.action_scale = 0.5;
        let edited = files.with_control(&control).unwrap();
        let (before, after) = (files.robot().unwrap(), edited.robot().unwrap());
        assert_eq!(after.control, control);
        assert_eq!(
            robots_without_control(after),
            robots_without_control(before),
            "all but [control]"
        );
        let text = edited.description();
        assert!(text.contains("# Unitree Go1."), "{text}");
        assert!(text.contains("action_scale = 0.5\n"), "{text}");
        assert!(text.contains("0.65, 0.65, 0.65, 0.7, "), "{text}");
    }

    fn robots_without_control(robot: crate::Robot) -> crate::Robot {
        let go1 = crate::Robot::load("go1").expect("go1 is shipped");
        crate::Robot {
            control: go1.control,
            ..robot
        }
    }
}
