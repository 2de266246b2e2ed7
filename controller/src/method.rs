use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What controls the robot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The agile policy alone.
    #[default]
    Agile,
    /// The agile policy while the reach-avoid value is safe, else the recovery policy on a searched twist.
    Abs,
    /// The recovery policy alone, on a commanded twist.
    Recovery,
}

impl Method {
    /// All methods.
    pub const ALL: [Self; 3] = [Self::Agile, Self::Abs, Self::Recovery];

    /// Its name on the command line and in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agile => "agile",
            Self::Abs => "abs",
            Self::Recovery => "recovery",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let method = Self::ALL.into_iter().find(|method| method.name() == name);
        method.ok_or_else(|| {
            format!("there is no method `{name}`, take `agile`, `abs` or `recovery`")
        })
    }
}
