//! Import of descriptions as makers write them, and of faulty ones.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod faults;
mod meshes;
mod mjcf;
mod quadruped;
mod robots_as_made;

use std::{fs, path::Path};

use robots::{
    Robot,
    import::{Import, ImportOptions, Severity, import},
};

/// Imports a text.
fn import_text(text: &str) -> Import {
    import_bytes(text.as_bytes())
}

fn import_bytes(bytes: &[u8]) -> Import {
    let folder = tempfile::tempdir().expect("a folder");
    import_in(folder.path(), bytes)
}

/// Imports a file in a folder, where its meshes may be.
fn import_in(folder: &Path, bytes: &[u8]) -> Import {
    let file = folder.join("maker.urdf");
    fs::write(&file, bytes).expect("a file");
    import(&file, &ImportOptions::default())
}

/// The robot; a failed import is printed.
#[track_caller]
fn imported(result: Import) -> Robot {
    let lines = lines(&result);
    match result.robot {
        Some((robot, _)) => robot,
        None => panic!("not imported:\n{lines}"),
    }
}

/// All findings, a line each.
fn lines(result: &Import) -> String {
    result
        .findings
        .iter()
        .map(|finding| format!("{finding}\n"))
        .collect()
}

/// The one error, without the file's folder.
#[track_caller]
fn only_error(result: &Import) -> String {
    let errors: Vec<_> = result
        .findings
        .iter()
        .filter(|f| f.severity == Severity::Error)
        .collect();
    assert!(result.robot.is_none());
    assert_eq!(errors.len(), 1, "{}", lines(result));
    errors[0].text.clone()
}
