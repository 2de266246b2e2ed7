//! The configuration as a file in which every key is explained by the doc comment of its field.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use anyhow::Result;
use toml::Table;

use super::{ConfigArgs, Resolved, Task};

/// Width of the explanations, characters.
const WIDTH: usize = 100;

/// A key, as the build script finds it in the sources.
struct Key {
    path: &'static str,
    /// The doc comment in one line; then one for each word that the value can be.
    doc: &'static str,
    /// Whether it can be left out.
    optional: bool,
}

const KEYS: &[Key] = include!(concat!(env!("OUT_DIR"), "/keys.rs"));

/// What settings can be printed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Training.
    Train(Task),
    /// Evaluation.
    Eval,
    /// Recording of depth images.
    CollectDepth,
    /// A robot over ROS 2, real or simulated.
    #[cfg(feature = "ros2")]
    Deploy,
}

impl Topic {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let others = [
            Self::Eval,
            Self::CollectDepth,
            #[cfg(feature = "ros2")]
            Self::Deploy,
        ];
        let tasks = Task::all().iter().copied();
        tasks.map(Self::Train).chain(others)
    }

    /// What it is called on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train(task) => task.name(),
            Self::Eval => "eval",
            Self::CollectDepth => "collect-depth",
            #[cfg(feature = "ros2")]
            Self::Deploy => "deploy",
        }
    }

    /// The commands that use these settings.
    pub fn commands(self) -> String {
        match self {
            Self::Train(task) => format!("abs train {}", task.name()),
            Self::Eval => "abs eval, play, demo, benchmark".to_owned(),
            Self::CollectDepth => "abs collect-depth".to_owned(),
            #[cfg(feature = "ros2")]
            Self::Deploy => "abs deploy, sim-robot".to_owned(),
        }
    }

    /// Tables that are used.
    fn tables(self) -> &'static [&'static str] {
        match self {
            Self::Train(task) => match task.name() {
                "reach-avoid" => &["physics", "reach_avoid"],
                "rays" => &["depth.learning"],
                _ => &["physics", "env", "algorithm", "stages"],
            },
            Self::Eval => &["physics", "eval", "controller"],
            Self::CollectDepth => &["physics", "depth.recording"],
            #[cfg(feature = "ros2")]
            Self::Deploy => &["controller", "deploy", "ros2"],
        }
    }

    /// Whether a table is used: of the environments only what the task has.
    fn uses(self, table: &str) -> bool {
        // `env.rays` is no task's: only policies learn in an environment.
        let of_other_task = |task: &Task| {
            matches!(task, Task::Policy(_))
                && self != Self::Train(*task)
                && is_within(table, &format!("env.{}", task.name()))
        };
        let mut tables = self.tables().iter();
        tables.any(|used| is_within(table, used)) && !Task::all().iter().any(of_other_task)
    }

    /// The settings, as the flags change them.
    ///
    /// # Errors
    /// Names the file or flag, and the key, that is wrong.
    pub fn resolve(self, args: &ConfigArgs) -> Result<Resolved> {
        match self {
            Self::Train(task) => args.resolve_task(task),
            _ => args.resolve_plain(),
        }
    }
}

impl Resolved {
    /// What `topic` uses, and what was set besides, as a TOML file with explanations. With `origin` each line ends with
    /// where its value comes from.
    ///
    /// # Errors
    /// Only for values that TOML cannot hold.
    pub fn explained(&self, topic: Topic, origin: bool) -> Result<String> {
        let toml = self.config.to_toml()?;
        let mut page = Page {
            topic,
            origins: &self.origins,
            set: toml.parse()?,
            text: String::new(),
            explained: BTreeSet::new(),
        };
        let mut table = "";
        let mut skipped = false;
        for line in toml.lines() {
            if let Some(header) = line.strip_prefix('[') {
                table = header.trim_matches(['[', ']']);
                skipped = !page.is_used(table);
                if !skipped {
                    page.header(table, line);
                }
            } else if let Some((key, _)) = line.split_once(" = ")
                && !skipped
            {
                page.value(table, key, line, origin);
            }
        }
        Ok(page.text)
    }
}

struct Page<'a> {
    topic: Topic,
    origins: &'a BTreeMap<String, String>,
    /// All settings.
    set: Table,
    text: String,
    /// Keys that are not to be explained again.
    explained: BTreeSet<String>,
}

impl Page<'_> {
    /// Whether the topic uses a table, or something in it was set.
    fn is_used(&self, table: &str) -> bool {
        let mut set = self.origins.iter();
        self.topic.uses(table) || set.any(|(key, from)| from != "recipe" && is_within(key, table))
    }

    fn header(&mut self, table: &str, line: &str) {
        self.text.push('\n');
        for (end, _) in table.match_indices('.') {
            self.explain(&table[..end]);
        }
        self.explain(table);
        self.line(line);
        // What is not set has no line of its own.
        for key in KEYS.iter().filter(|key| key.optional) {
            let (parent, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
            if parent == table && !is_set(&self.set, key.path) {
                self.explain(key.path);
                self.line(&format!("# {name} is not set"));
            }
        }
    }

    fn value(&mut self, table: &str, key: &str, line: &str, origin: bool) {
        let path = match table {
            "" => key.to_owned(),
            table => format!("{table}.{key}"),
        };
        self.explain(&path);
        if !origin {
            return self.line(line);
        }
        let mut origins = self.origins.iter();
        let from = origins.find(|(set, _)| is_within(&path, set));
        let from = from.map_or("default", |(_, from)| from);
        self.line(&format!("{line}  # {from}"));
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn explain(&mut self, path: &str) {
        let Some(key) = KEYS.iter().find(|key| key.path == path) else {
            return;
        };
        if self.explained.insert(path.to_owned()) {
            for line in key.doc.lines() {
                wrap(line, &mut self.text);
            }
        }
    }
}

fn is_set(settings: &Table, path: &str) -> bool {
    let mut keys = path.split('.');
    let first = keys.next().and_then(|key| settings.get(key));
    keys.try_fold(first, |value, key| Some(value?.get(key)))
        .flatten()
        .is_some()
}

/// Whether `path` is `table` or inside it.
fn is_within(path: &str, table: &str) -> bool {
    let rest = path.strip_prefix(table);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Appends a paragraph as a comment.
fn wrap(paragraph: &str, text: &mut String) {
    // Beyond every column, so that the first word begins a line.
    let mut column = WIDTH + 1;
    for word in paragraph.split(' ') {
        let length = word.chars().count() + 1;
        if column + length > WIDTH {
            let newline = if column > WIDTH { "" } else { "\n" };
            // Writing to a string cannot fail.
            let _ = write!(text, "{newline}#");
            column = 1;
        }
        let _ = write!(text, " {word}");
        column += length;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use toml::Value;

    use super::super::Config;

    use super::*;

    fn leaves(table: &Table, prefix: &str, paths: &mut Vec<String>) {
        for (key, value) in table {
            let path = format!("{prefix}{key}");
            if let Value::Table(inner) = value {
                leaves(inner, &format!("{path}."), paths);
            }
            paths.push(path);
        }
    }

    #[test]
    fn every_key_is_explained() {
        let mut paths = Vec::new();
        let config = Table::try_from(Config::default()).unwrap();
        leaves(&config, "", &mut paths);
        assert!(paths.len() > 100, "{paths:?}");
        for path in paths {
            let key = KEYS.iter().find(|key| key.path == path);
            assert!(key.is_some_and(|key| key.doc.len() > 5), "{path}");
        }
    }

    #[test]
    fn what_is_printed_of_a_task_gives_the_same_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my.toml");
        for topic in Topic::all() {
            let before = topic.resolve(&ConfigArgs::default()).unwrap();
            for origin in [false, true] {
                let text = before.explained(topic, origin).unwrap();
                std::fs::write(&path, &text).unwrap();
                let args = ConfigArgs {
                    config: Some(path.clone()),
                    ..ConfigArgs::default()
                };
                let after = topic.resolve(&args).unwrap();
                assert_eq!(before.config, after.config, "{}", topic.name());
                assert_eq!(
                    before.config.each_stage().unwrap(),
                    after.config.each_stage().unwrap()
                );
            }
        }
    }

    #[test]
    fn a_line_is_explained_and_tells_where_it_comes_from() {
        let args = ConfigArgs {
            sets: vec!["env.agile.reach_m=0.5".into(), "eval.episodes=7".into()],
            seed: Some(3),
            ..ConfigArgs::default()
        };
        let agile = Task::named("agile").unwrap();
        let resolved = args.resolve_task(agile).unwrap();
        let text = resolved.explained(Topic::Train(agile), true).unwrap();
        for line in [
            "# Environments, over all workers.\nnum_envs = 1280  # default\n",
            "reach_m = 0.5  # --set\n",
            "seed = 3  # --seed\n",
            "episodes = 7  # --set\n",
            "# `bf16`: bfloat16.\n",
            "set.env.agile",
        ] {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
        let is_first_ray =
            |line: &str| line.starts_with("first_rad = -2.04203") && line.ends_with("# recipe");
        assert!(text.lines().any(is_first_ray), "{text}");
        assert!(!text.contains("[env.recovery]"));
        assert!(!text.contains("[ros2]"));
    }
}
