//! Settings in layers: defaults, then a file, then single ones. Unknown keys are errors.

mod former;

use std::path::Path;

use robots::line_of;
use serde::{Serialize, de::DeserializeOwned};
use toml::{Table, Value};

use crate::file::read_text;

/// Tables in tables that a key may name.
const MAX_DEPTH: usize = 32;
/// Bytes up to which a key is compared with the known ones; none is as long.
const LONGEST_KEY: usize = 120;

/// A setting that cannot be, and where it was set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(String);

/// `base` with what the TOML file at `path` says.
///
/// # Errors
/// Names the file, and the line or key that is wrong.
pub fn with_file<T: Serialize + DeserializeOwned>(
    base: &T,
    path: &Path,
) -> Result<T, SettingsError> {
    let layer = read(path).and_then(|layer| overlaid(base, layer));
    layer.map_err(|error| SettingsError(format!("{}: {error}", path.display())))
}

/// `base` with one more setting, `key=value`.
///
/// # Errors
/// Names the key that is wrong.
pub fn with_set<T: Serialize + DeserializeOwned>(base: &T, set: &str) -> Result<T, SettingsError> {
    let layer = parse_set(set).and_then(|layer| overlaid(base, layer));
    layer.map_err(|error| SettingsError(format!("--set {}: {error}", abbreviated(set))))
}

/// What an error says of a text that may be endless.
fn abbreviated(text: &str) -> String {
    match text.char_indices().nth(LONGEST_KEY) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// `base` overwritten by `layer`; tables are merged, everything else is replaced.
///
/// # Errors
/// Names the key that is wrong.
pub fn overlaid<T: Serialize + DeserializeOwned>(
    base: &T,
    layer: Table,
) -> Result<T, SettingsError> {
    if let Some(explanation) = former::explain(&layer) {
        return Err(SettingsError(explanation));
    }
    let known = Table::try_from(base)
        .map_err(|error| SettingsError(format!("the settings do not fit into TOML: {error}")))?;
    let mut merged = known.clone();
    merge(&mut merged, layer);
    serde_path_to_error::deserialize(Value::Table(merged)).map_err(|error| {
        let path = error.path().to_string();
        SettingsError(match is_known(&known, &path) {
            true => format!("{path}: {}", error.inner().message()),
            false => unknown_key(&known, &path),
        })
    })
}

/// The first key that differs between two tables, with both values.
pub fn first_difference(a: &Table, b: &Table) -> Option<Difference> {
    difference_in("", a, b)
}

/// A key with two values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The key, with dots.
    pub key: String,
    /// Both values as TOML; `nothing` where it is not there.
    pub values: [String; 2],
}

fn difference_in(prefix: &str, a: &Table, b: &Table) -> Option<Difference> {
    a.keys().chain(b.keys()).find_map(|name| {
        let key = format!("{prefix}{name}");
        match [a.get(name), b.get(name)] {
            [Some(Value::Table(a)), Some(Value::Table(b))] => {
                difference_in(&format!("{key}."), a, b)
            }
            [a, b] if a == b => None,
            values => Some(Difference {
                key,
                values: values.map(|value| value.map_or("nothing".to_owned(), Value::to_string)),
            }),
        }
    })
}

/// The TOML file at `path`.
///
/// # Errors
/// When it cannot be read, or the line that is no TOML.
pub fn read(path: &Path) -> Result<Table, SettingsError> {
    let text = read_text(path)
        .map_err(|error| SettingsError(format!("cannot read the config: {error}")))?;
    parse(&text)
}

/// TOML.
///
/// # Errors
/// The line that is none.
pub fn parse(text: &str) -> Result<Table, SettingsError> {
    text.parse::<Table>().map_err(|error| {
        let line = line_of(text, &error);
        SettingsError(format!("line {line}: {}", error.message()))
    })
}

/// Overwrites single settings; tables are merged, everything else is replaced.
fn merge(target: &mut Table, layer: Table) {
    for (key, value) in layer {
        match (target.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(layer)) => merge(inner, layer),
            (_, value) => {
                target.insert(key, value);
            }
        }
    }
}

/// `a.b=c` as the table `{ a = { b = c } }`. A value that is not TOML is taken as a string.
///
/// # Errors
/// Without a `=`.
pub fn parse_set(set: &str) -> Result<Table, SettingsError> {
    let Some((path, text)) = set.split_once('=') else {
        let expected = "expected KEY=VALUE, e.g. deploy.method=agile";
        return Err(SettingsError(expected.to_owned()));
    };
    let value = format!("value = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.trim().to_owned()));
    if path.split('.').count() > MAX_DEPTH {
        let refusal = format!("a key of more than {MAX_DEPTH} parts");
        return Err(SettingsError(refusal));
    }
    let mut keys = path.trim().rsplit('.').map(str::trim);
    let last = keys.next().unwrap_or_default();
    let mut table = Table::from_iter([(last.to_owned(), value)]);
    for key in keys {
        table = Table::from_iter([(key.to_owned(), Value::Table(table))]);
    }
    Ok(table)
}

fn is_known(known: &Table, path: &str) -> bool {
    // An element of an array stands for the array.
    let mut keys = (path.split('.').filter(|key| *key != "?"))
        .map(|key| key.split('[').next().unwrap_or_default());
    let Some(first) = keys.next() else {
        return true;
    };
    let mut value = known.get(first);
    for key in keys {
        value = match value {
            Some(Value::Table(table)) => table.get(key),
            // Inside an array or a scalar there are no keys to know.
            other => return other.is_some(),
        };
    }
    value.is_some()
}

fn unknown_key(known: &Table, path: &str) -> String {
    if path.len() > LONGEST_KEY {
        let key = abbreviated(path);
        return format!("unknown key `{key}` (`abs config TASK` lists all keys)");
    }
    let mut keys = Vec::new();
    collect_keys(known, "", &mut keys);
    let nearest = keys
        .iter()
        .map(|key| (strsim::damerau_levenshtein(key, path), key))
        .min();
    match nearest {
        Some((distance, key)) if distance <= 2 + path.len() / 3 => {
            format!(
                "unknown key `{path}`; did you mean `{key}`? (`abs config TASK` lists all keys)"
            )
        }
        _ => format!("unknown key `{path}` (`abs config TASK` lists all keys)"),
    }
}

fn collect_keys(table: &Table, prefix: &str, keys: &mut Vec<String>) {
    for (key, value) in table {
        let path = format!("{prefix}{key}");
        if let Value::Table(inner) = value {
            collect_keys(inner, &format!("{path}."), keys);
        }
        keys.push(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_takes_toml_values_and_bare_words() {
        let parsed = |text: &str| parse_set(text).unwrap().to_string().trim().to_owned();
        assert_eq!(parsed("a=1"), "a = 1");
        assert_eq!(parsed("a = 1.5"), "a = 1.5");
        assert_eq!(parsed("a.b.c=[1, 2]"), "[a.b]\nc = [1, 2]");
        assert_eq!(parsed("a=go1"), "a = \"go1\"");
        assert_eq!(parsed("a=\"true\""), "a = \"true\"");
        assert_eq!(parsed("a=/x=y z"), "a = \"/x=y z\"");
    }

    #[test]
    fn the_first_key_that_differs_is_named() {
        let difference = |a: &str, b: &str| {
            let [a, b] = [a, b].map(|text| text.parse().unwrap());
            let difference = first_difference(&a, &b)?;
            Some(format!("{} {:?}", difference.key, difference.values))
        };
        assert_eq!(difference("a = 1\n[b]\nc = 2", "a = 1\n[b]\nc = 2"), None);
        assert_eq!(
            difference("a = 1\n[b.d]\nc = 2", "a = 1\n[b.d]\nc = 3").unwrap(),
            r#"b.d.c ["2", "3"]"#
        );
        assert_eq!(
            difference("a = 1", "a = 1\nb = \"x\"").unwrap(),
            r#"b ["nothing", "\"x\""]"#
        );
    }

    #[test]
    fn endless_keys_are_refused_at_once() {
        #[derive(Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Known {
            seed: u32,
        }
        let long = "é".repeat(100_000);
        let deep = "a.".repeat(100_000) + "a";
        let start = std::time::Instant::now();
        let refusal = |key: &str| {
            let error = with_set(&Known { seed: 1 }, &format!("{key}=1"));
            error.err().unwrap().to_string()
        };
        assert!(refusal(&long).contains(": unknown key `ééé"));
        assert!(refusal(&deep).ends_with("...: a key of more than 32 parts"));
        for key in [&long, &deep, &format!("seed.{long}")] {
            assert!(refusal(key).len() < 1000, "{}", refusal(key));
            // A file may nest no deeper than the TOML parser allows.
            let parsed = parse(&format!("{key} = 1"));
            let error = parsed.and_then(|layer| overlaid(&Known { seed: 1 }, layer));
            let text = error.err().unwrap().to_string();
            assert!(text.len() < 1000 && !text.contains('\n'), "{text}");
        }
        assert!(start.elapsed().as_secs() < 2);
    }

    #[test]
    fn far_away_keys_are_not_suggested() {
        let known = "[env]\nnum_envs = 3".parse::<Table>().unwrap();
        assert!(unknown_key(&known, "env.nun_envs").contains("did you mean `env.num_envs`"));
        assert!(unknown_key(&known, "num_envs").contains("did you mean `env.num_envs`"));
        assert!(!unknown_key(&known, "banana").contains("did you mean"));
    }
}
