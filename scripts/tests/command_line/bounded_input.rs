//! Input without end: devices, pipes, huge files and keys are refused at once.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    process::Command,
    time::{Duration, Instant},
};

use crate::assert_refused;

/// A busy machine needs a part of it to start the program.
const SOON: Duration = Duration::from_secs(5);

#[track_caller]
fn refused_soon(arguments: &[&str], parts: &[&str]) {
    let start = Instant::now();
    assert_refused(arguments, parts);
    assert!(
        start.elapsed() < SOON,
        "{arguments:?}: {:?}",
        start.elapsed()
    );
}

#[test]
fn devices_pipes_and_huge_files_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let [device, pipe, sparse] = ["device.toml", "pipe.toml", "sparse.toml"].map(at);
    symlink("/dev/zero", &device).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    // It takes no space.
    File::create(&sparse).unwrap().set_len(10 << 30).unwrap();
    for (file, reason) in [
        (&device, "is no regular file"),
        (&pipe, "is no regular file"),
        (&sparse, "is too large, 10737418240 bytes; must be at most"),
    ] {
        refused_soon(&["config", "agile", "--config", file], &[file, reason]);
        refused_soon(&["eval", "--scene", file], &[file, reason]);
        // In the place of a file of a folder.
        for (name, command) in [
            ("bundle.toml", &["bundle"][..]),
            ("manifest.json", &["view-depth"]),
            ("robot.toml", &["bench", "sim", "--robot"]),
        ] {
            let place = at("place");
            fs::create_dir(&place).unwrap();
            symlink(file, format!("{place}/{name}")).unwrap();
            refused_soon(&[command, &[&place]].concat(), &[&place]);
            fs::remove_dir_all(&place).unwrap();
        }
    }
    if cfg!(feature = "ros2") {
        refused_soon(&["replay", &device], &[&device, "is no regular file"]);
        refused_soon(&["replay", &pipe], &[&pipe, "is no regular file"]);
        refused_soon(&["replay", &sparse], &[&sparse, "is no MCAP file"]);
    }
}

#[test]
fn endless_keys_are_refused_in_a_short_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.toml");
    let file = path.to_str().unwrap();
    let [long, deep] = ["a".repeat(100_000), "a.".repeat(50_000) + "a"];
    for key in [&long, &deep] {
        refused_soon(
            &["config", "agile", "--set", &format!("{key}=1")],
            &["--set a"],
        );
        for command in [&["config", "agile", "--config"][..], &["eval", "--scene"]] {
            fs::write(&path, format!("{key} = 1")).unwrap();
            refused_soon(&[command, &[file]].concat(), &[file]);
        }
    }
}
