//! What can be trained.

use std::sync::LazyLock;

use anyhow::{Context, Result};
use clap::{ValueEnum, builder::PossibleValue};
use serde::{Deserialize, Serialize};
use sim::tasks::{TASKS, TaskEntry};

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Task {
    /// A policy, by reinforcement: a row of the table of tasks.
    Policy(&'static TaskEntry),
    /// The reach-avoid value of a policy.
    ReachAvoid,
    /// The network that predicts rays from depth images.
    Rays,
}

static ALL: LazyLock<Vec<Task>> = LazyLock::new(|| {
    let policies = TASKS.iter().map(Task::Policy);
    policies.chain([Task::ReachAvoid, Task::Rays]).collect()
});

impl Task {
    /// All of them.
    pub fn all() -> &'static [Self] {
        &ALL
    }

    /// The task of this name.
    ///
    /// # Errors
    /// When there is none: the names of those that there are.
    pub fn named(name: &str) -> Result<Self> {
        let found = Self::all().iter().copied().find(|task| task.name() == name);
        found.with_context(|| {
            let names: Vec<_> = Self::all().iter().map(|task| task.name()).collect();
            format!("there is no task `{name}`; there are {}", names.join(", "))
        })
    }

    /// Name on the command line and in run folders.
    pub fn name(self) -> &'static str {
        match self {
            Self::Policy(task) => task.name,
            Self::ReachAvoid => "reach-avoid",
            Self::Rays => "rays",
        }
    }

    fn summary(self) -> &'static str {
        match self {
            Self::Policy(task) => task.summary,
            Self::ReachAvoid => {
                "The value that tells whether the agile policy will reach its goal without a collision"
            }
            Self::Rays => "The network that predicts rays from depth images",
        }
    }

    /// What `--preset paper` has for it besides the common settings, as TOML.
    ///
    /// # Errors
    /// When it is not in the paper.
    pub(super) fn paper(self) -> Result<&'static str> {
        let paper = match self {
            Self::Policy(task) => task.paper,
            Self::ReachAvoid | Self::Rays => Some(""),
        };
        paper.with_context(|| format!("--preset paper: `{}` is not in the paper", self.name()))
    }

    /// How it is trained unless told otherwise, as TOML: what differs from the defaults.
    pub(super) fn recipe(self) -> &'static str {
        match self {
            Self::Policy(task) => task.recipe,
            Self::ReachAvoid => include_str!("../../recipes/reach-avoid.toml"),
            Self::Rays => "",
        }
    }
}

impl Default for Task {
    /// The first of the table.
    fn default() -> Self {
        Self::Policy(&TASKS[0])
    }
}

impl TryFrom<String> for Task {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::named(&name).map_err(|error| error.to_string())
    }
}

impl From<Task> for &'static str {
    fn from(task: Task) -> Self {
        task.name()
    }
}

impl ValueEnum for Task {
    fn value_variants<'a>() -> &'a [Self] {
        Self::all()
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()).help(self.summary()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_found_by_name_and_others_are_told_which_there_are() {
        for task in Task::all() {
            assert_eq!(Task::named(task.name()).unwrap(), *task);
        }
        let error = Task::try_from("jump".to_owned()).unwrap_err();
        assert!(
            error.starts_with("there is no task `jump`; there are agile, recovery"),
            "{error}"
        );
        assert!(error.ends_with("reach-avoid, rays"), "{error}");
    }
}
