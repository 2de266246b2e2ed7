//! Two quantities changed together.

use std::fs;

use crate::{abs, assert_refused};

const GRID: &str = r#"
settings = """
eval.episode_s = 0.4
[reality]
target_delay_ms = [{x}, {x}]
[eval.testbed]
goal_x_m = [{y}, {y+0.5}]
"""
[x]
name = "delay, ms"
values = [0.0, 20.0]
[y]
name = "goal, m"
values = [3.0]
"#;

#[test]
fn each_cell_of_a_sweep_is_evaluated_once_with_its_own_values() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("delays.toml"), GRID).unwrap();
    let (file, out) = (at("delays.toml"), at("out"));
    let flags = ["sweep", &file, "--out", &out, "--engine", "batch"];
    let flags = [&flags[..], &["--method", "agile", "--episodes", "3"]].concat();
    let first = abs(&flags);
    assert!(first.success, "{}", first.stderr);
    assert!(
        first.stderr.contains("2 cells, 2 of them"),
        "{}",
        first.stderr
    );
    let request = fs::read_to_string(at("out/x-20-y-3/request.toml")).unwrap();
    for line in ["target_delay_ms = [20.0, 20.0]", "goal_x_m = [3.0, 3.5]"] {
        assert!(request.contains(line), "{line}: {request}");
    }
    for name in ["reach.png", "collision.png"] {
        assert_eq!(
            &fs::read(at("out").clone() + "/" + name).unwrap()[1..4],
            b"PNG"
        );
    }
    let again = abs(&[&flags[..], &["--json"]].concat());
    assert!(
        again.stderr.contains("2 cells, 0 of them"),
        "{}",
        again.stderr
    );
    let sweep: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    let cells = sweep["cells"].as_array().unwrap();
    assert_eq!((cells.len(), cells[1]["x"].as_f64()), (2, Some(20.0)));
    assert_eq!(sweep["engine"], "batch");
}

#[test]
fn a_sweep_that_does_not_fit_is_refused_in_one_line() {
    assert_refused(
        &["sweep", "pedestrian"],
        &["no sweep `pedestrian`", "pedestrians"],
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    let path = path.to_str().unwrap();
    for (from, to, parts) in [
        (
            "{y+0.5}",
            "{z}",
            ["mine.toml: settings", "{z} is not x or y"],
        ),
        ("[0.0, 20.0]", "[]", ["mine.toml", "x.values has 0 values"]),
        ("episode_s", "episodes_s", ["mine", "episodes_s"]),
        ("20.0]", "200.0]", ["x 200", "target_delay_ms"]),
    ] {
        fs::write(path, GRID.replace(from, to)).unwrap();
        assert_refused(&["sweep", path, "--method", "agile"], &parts);
    }
}
