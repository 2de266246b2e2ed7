//! Scenes of the test beyond the paper's.

use std::fs;

use crate::{abs, assert_refused};

#[test]
fn a_scene_is_named_in_all_that_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let eval = |flags: &[&str]| {
        let common = ["eval", "--method", "agile", "--episodes", "2"];
        abs(&[&common[..], &["--set", "eval.episode_s=0.4"], flags].concat())
    };
    let (people, cylinders) = (at("people"), at("cylinders"));
    let told = eval(&["--scene", "people", "--out", &people]);
    assert!(told.stdout.contains("scene people"), "{}", told.stderr);
    let metrics = fs::read_to_string(at("people/metrics.json")).unwrap();
    assert!(metrics.contains("\"scene\": \"people\""), "{metrics}");
    let plain = eval(&["--out", &cylinders]);
    assert!(!plain.stdout.contains("scene"), "{}", plain.stdout);
    let compared = abs(&["compare", &cylinders, &people, "--out", &at("compare")]);
    let told = "not comparable, scene people and scene cylinders";
    assert!(compared.stdout.contains(told), "{}", compared.stdout);

    // One of one's own, with the last word to `--set`.
    let mine = at("mine.toml");
    fs::write(&mine, "friction = [0.5, 0.5]\npayload_kg = [1, 3]\n").unwrap();
    let out = at("mine");
    let set = ["--set", "eval.testbed.payload_kg=[2.5, 2.5]"];
    eval(&[&["--scene", &mine, "--out", &out][..], &set].concat());
    let mut rows = csv::Reader::from_path(at("mine/episodes.csv")).unwrap();
    let header = rows.headers().unwrap().clone();
    for row in rows.records().map(Result::unwrap) {
        let column = |name: &str| header.iter().position(|column| column == name).unwrap();
        assert_eq!(&row[column("friction")], "0.5");
        assert_eq!(&row[column("payload_kg")], "2.5");
    }
}

#[test]
fn scenes_are_listed_and_drawn() {
    let list = abs(&["scenes"]).stdout;
    for name in ["cylinders", "corridor", "people"] {
        assert!(list.lines().any(|line| line.starts_with(name)), "{list}");
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let drawn = abs(&["scenes", "trap", "rough", "--out", out]);
    assert_eq!(drawn.stdout.lines().count(), 2, "{}", drawn.stderr);
    for name in ["trap.png", "rough.png"] {
        assert_eq!(&fs::read(folder.path().join(name)).unwrap()[1..4], b"PNG");
    }
}

#[test]
fn scenes_that_there_are_not_are_named_in_one_line() {
    assert_refused(
        &["eval", "--scene", "slalon"],
        &["no scene `slalon`", "cylinders, boxes, corridor, slalom"],
    );
    assert_refused(&["play", "--scene", "nowhere.toml"], &["nowhere.toml"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    let path = path.to_str().unwrap();
    fs::write(path, "obstacles = 3\n[[groups]]\nobject = []\n").unwrap();
    assert_refused(
        &["eval", "--scene", path],
        &["mine.toml, line 3: unknown field `object`"],
    );
    let set = "eval.testbed.groups=[{ parts = 3 }]";
    assert_refused(
        &["config", "eval", "--set", set],
        &["groups[0].parts: invalid type"],
    );
    // What only rapier can hold.
    let vase = "eval.testbed.groups=[{ objects = [\"cone\"] }]";
    let flags = ["--engine", "batch", "--episodes", "1", "--set", vase];
    let out = folder.path().join("out");
    let out = ["--out", out.to_str().unwrap()];
    assert_refused(
        &[&["eval"][..], &flags, &out].concat(),
        &["cylinders and boxes; use `--engine rapier`"],
    );
}
