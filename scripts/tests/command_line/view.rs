//! `--view` where there is no display, no port, or no place for the file.

use std::{net::TcpListener, path::Path, process::Command};

/// Runs `abs` where there is no display.
fn refusal(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_abs"))
        .args(arguments)
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .output()
        .unwrap();
    assert!(!output.status.success(), "{arguments:?} succeeds");
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

#[test]
#[cfg(not(feature = "viewer"))]
fn a_program_without_viewer_says_how_to_get_one() {
    for command in [
        &["play", "--view"][..],
        &["eval", "--view", "web"],
        &["view", "out.rrd"],
    ] {
        assert_says(&refusal(command), &["without the viewer", "scripts/abs"]);
    }
}

#[test]
fn a_view_is_where_it_can_be() {
    let text = refusal(&["play", "--view", "run.mcap"]);
    assert_says(&text, &["--view", "run.mcap", "`web`", ".rrd"]);
    assert_says(
        &refusal(&["play", "--view", "web:80"]),
        &["web:80", "1024 to 65534"],
    );
}

#[test]
#[cfg(feature = "viewer")]
fn what_is_missing_for_a_view_is_told_before_the_work() {
    let text = refusal(&["play", "--view"]);
    assert_says(&text, &["no display", "--view web", "--view FILE.rrd"]);

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let text = refusal(&["eval", "--view", &format!("web:{port}")]);
    assert_says(&text, &[&port.to_string(), "in use", "--view web:PORT"]);

    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("folder.rrd");
    std::fs::create_dir(&place).unwrap();
    let text = refusal(&["play", "--view", place.to_str().unwrap()]);
    assert_says(&text, &["folder.rrd", "is a folder"]);
    let text = refusal(&["play", "--view", "/proc/none/a.rrd"]);
    assert_says(&text, &["/proc/none/a.rrd", "cannot write"]);

    let text = refusal(&["view", "/no/such.rrd", "web"]);
    assert_says(&text, &["/no/such.rrd", "cannot read"]);
}

#[test]
#[cfg(feature = "viewer")]
fn an_episode_is_written_to_a_file_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("play.rrd");
    let outcome = crate::abs(&[
        "play",
        "--method",
        "agile",
        "--view",
        file.to_str().unwrap(),
    ]);
    assert!(outcome.success, "{}", outcome.stderr);
    assert_eq!(outcome.stdout.lines().count(), 1, "{}", outcome.stdout);
    let bytes = std::fs::read(&file).unwrap();
    assert!(
        bytes.starts_with(b"RRF2") && bytes.len() > 100_000,
        "{} bytes",
        bytes.len()
    );
    let names = std::fs::read_dir(folder.path()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(names, [Path::new(&file)]);
}
