//! `robot.toml` as it is written.

use std::{collections::BTreeSet, fmt::Display};

use serde::Deserialize;

use crate::{
    error::{Problem, RobotError},
    model::ContactClass,
    state::{MAX_FEET, MAX_JOINTS},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Description {
    pub name: String,
    pub urdf: String,
    #[serde(rename = "leg")]
    pub legs: Vec<LegDescription>,
    pub control: ControlDescription,
    pub motor: MotorDescription,
    pub contact: ContactDescription,
    pub camera: Option<CameraDescription>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LegDescription {
    pub name: String,
    pub joints: Vec<String>,
    pub foot: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ControlDescription {
    pub default_position_rad: Vec<f32>,
    pub standing_position_rad: Vec<f32>,
    pub stiffness: Vec<f32>,
    pub damping: Vec<f32>,
    pub action_scale: f32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MotorDescription {
    pub armature_kgm2: Vec<f32>,
    pub damping_nms: Vec<f32>,
    pub friction_nm: Vec<f32>,
    /// Replaces the URDF's limit.
    pub effort_limit_nm: Option<Vec<f32>>,
    /// Replaces the URDF's limit.
    pub velocity_limit_radps: Option<Vec<f32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContactDescription {
    pub base: Vec<String>,
    pub thigh: Vec<String>,
    pub calf: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CameraDescription {
    pub position_m: [f32; 3],
    pub rpy_deg: [f32; 3],
    pub width_px: usize,
    pub height_px: usize,
    pub horizontal_fov_deg: f32,
    pub range_m: [f32; 2],
}

/// The line of a TOML text that an error is about, from 1.
pub fn line_of(text: &str, error: &toml::de::Error) -> usize {
    let before = error.span().and_then(|span| text.get(..span.start));
    1 + before.map_or(0, |before| before.matches('\n').count())
}

impl Description {
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, RobotError> {
        let description: Self = toml::from_str(text).map_err(|error| RobotError::Syntax {
            place: format!("{file}:{}", line_of(text, &error)),
            message: error.message().replace('\n', " "),
        })?;
        description
            .check()
            .map_err(|problem| problem.in_file(file))?;
        Ok(description)
    }

    pub(crate) fn num_joints(&self) -> usize {
        self.legs.iter().map(|leg| leg.joints.len()).sum()
    }

    /// How contacts of a link count, if the description says so.
    pub(crate) fn contact_class(&self, link: &str) -> Option<ContactClass> {
        let is_foot = self.legs.iter().any(|leg| leg.foot == link);
        is_foot.then_some(ContactClass::Foot).or_else(|| {
            self.contact
                .lists()
                .into_iter()
                .find(|(_, _, links)| links.iter().any(|name| name == link))
                .map(|(class, _, _)| class)
        })
    }

    /// One entry per joint of the robot, from one per joint of a leg or of the robot.
    pub(crate) fn per_joint(&self, key: &str, values: &[f32]) -> Result<Vec<f32>, Problem> {
        let num_joints = self.num_joints();
        let leg_len = self.legs.first().map_or(0, |leg| leg.joints.len());
        let equal_legs = self.legs.iter().all(|leg| leg.joints.len() == leg_len);
        if values.len() == num_joints {
            Ok(values.to_vec())
        } else if equal_legs && values.len() == leg_len {
            Ok(values.repeat(self.legs.len()))
        } else {
            let expected = if equal_legs {
                format!("{leg_len} (one per joint of a leg) or {num_joints} (one per joint)")
            } else {
                format!("{num_joints} (one per joint)")
            };
            Err(Problem::VectorLength {
                key: key.to_owned(),
                len: values.len(),
                expected,
            })
        }
    }

    /// As `per_joint`, for numbers from zero to a bound.
    pub(crate) fn per_joint_up_to(
        &self,
        (most, expected): Bound,
        key: &str,
        values: &[f32],
    ) -> Result<Vec<f32>, Problem> {
        for &value in values {
            require(value >= 0.0, key, value, "zero or more")?;
            require(value <= most, key, value, expected)?;
        }
        self.per_joint(key, values)
    }

    fn check(&self) -> Result<(), Problem> {
        if self.legs.is_empty() || self.legs.len() > MAX_FEET {
            return Err(Problem::LegCount(self.legs.len()));
        }
        let num_joints = self.num_joints();
        if num_joints == 0 || num_joints > MAX_JOINTS {
            return Err(Problem::JointCount(num_joints));
        }
        for leg in &self.legs {
            if leg.joints.is_empty() {
                return Err(Problem::VectorLength {
                    key: format!("joints of leg {}", leg.name),
                    len: 0,
                    expected: "at least 1".to_owned(),
                });
            }
        }
        unique("leg", self.legs.iter().map(|leg| &leg.name))?;
        unique("joint", self.legs.iter().flat_map(|leg| &leg.joints))?;
        let feet = self.legs.iter().map(|leg| &leg.foot);
        let others = self.contact.lists().into_iter().flat_map(|list| list.2);
        unique("link", feet.chain(others))?;
        let (what, action_scale) = ("control.action_scale", self.control.action_scale);
        require(action_scale > 0.0, what, action_scale, "positive")?;
        require(action_scale <= 2.0, what, action_scale, "at most 2")
    }
}

impl ContactDescription {
    /// Class, key and links of each list.
    pub(crate) fn lists(&self) -> [(ContactClass, &'static str, &[String]); 3] {
        [
            (ContactClass::Base, "contact.base", &self.base),
            (ContactClass::Thigh, "contact.thigh", &self.thigh),
            (ContactClass::Calf, "contact.calf", &self.calf),
        ]
    }
}

/// The largest value that a robot of legs may have, and how to say so.
pub(crate) type Bound = (f32, &'static str);

/// Fails unless the condition holds, with a line that says what would be right.
pub(crate) fn require(
    condition: bool,
    what: &str,
    value: impl Display,
    expected: &'static str,
) -> Result<(), Problem> {
    if condition {
        Ok(())
    } else {
        Err(Problem::Value {
            what: what.to_owned(),
            value: value.to_string(),
            expected,
        })
    }
}

pub(crate) fn unique<'a>(
    kind: &'static str,
    names: impl Iterator<Item = &'a String>,
) -> Result<(), Problem> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(Problem::Duplicate {
                kind,
                name: name.clone(),
            });
        }
    }
    Ok(())
}
