use std::{fmt, str::FromStr};

use arrayvec::ArrayString;
use policies::spec::role;
use serde::{Deserialize, Serialize};

/// Longest name of a role that can be a method.
const MAX_NAME: usize = 32;

/// What controls the robot: one policy of the bundle, or the switch between two. On the command line and in files it is `abs` or the role of a
/// policy: `agile`, `recovery`, `velocity`, or whatever a bundle calls its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Method {
    /// The agile policy while the reach-avoid value is safe, else the recovery policy on a searched twist.
    Abs,
    /// The policy of this role alone, to a goal or on a commanded twist, whichever it observes.
    Policy(ArrayString<MAX_NAME>),
}

/// A name that no method can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no method; take `abs`, or the role of a policy of the bundle, e.g. `agile`")]
pub struct MethodError(String);

impl Method {
    /// The agile policy alone.
    pub fn agile() -> Self {
        Self::policy(role::AGILE)
    }

    /// The recovery policy alone, on a commanded twist.
    pub fn recovery() -> Self {
        Self::policy(role::RECOVERY)
    }

    fn policy(role: &str) -> Self {
        // The names of the roles are short.
        Self::Policy(ArrayString::from(role).unwrap_or_default())
    }

    /// Its name on the command line and in files.
    pub fn name(&self) -> &str {
        match self {
            Self::Abs => "abs",
            Self::Policy(role) => role,
        }
    }
}

impl Default for Method {
    fn default() -> Self {
        Self::agile()
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = MethodError;

    fn from_str(name: &str) -> Result<Self, MethodError> {
        if name == "abs" {
            return Ok(Self::Abs);
        }
        let is_role = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        match ArrayString::from(name) {
            Ok(role) if !name.is_empty() && name.chars().all(is_role) => Ok(Self::Policy(role)),
            _ => Err(MethodError(name.chars().take(2 * MAX_NAME).collect())),
        }
    }
}

impl TryFrom<String> for Method {
    type Error = MethodError;

    fn try_from(name: String) -> Result<Self, MethodError> {
        name.parse()
    }
}

impl From<Method> for String {
    fn from(method: Method) -> Self {
        method.name().to_owned()
    }
}
