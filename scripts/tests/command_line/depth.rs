//! Depth images: recorded, looked at, learned from.

use std::{fs, path::Path};

use crate::{abs, assert_refused};

/// Records a few images into the folder.
fn collect(folder: &str, more: &[&str]) -> String {
    let outcome = abs(&collecting(folder, more));
    assert!(outcome.success, "{}", outcome.stderr);
    outcome.stdout
}

fn collecting<'a>(folder: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let small = [
        "collect-depth",
        "--out",
        folder,
        "--set",
        "depth.recording.train_scenes=4",
        "--set",
        "depth.recording.test_scenes=2",
        "--set",
        "depth.recording.duration_s=1.5",
        "--set",
        "depth.recording.objects=[4, 6]",
    ];
    [&small[..], more].concat()
}

/// Number of images of a split, as the manifest has them.
fn images(folder: &Path, split: &str) -> u64 {
    let text = fs::read_to_string(folder.join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let files = manifest["files"].as_array().unwrap().iter();
    let files = files.filter(|file| file["split"] == split);
    files.map(|file| file["images"].as_u64().unwrap()).sum()
}

#[test]
fn images_are_recorded_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let name = data.to_str().unwrap();
    let told = collect(name, &[]);
    let (train, test) = (images(&data, "train"), images(&data, "test"));
    assert!(train >= 8 && test >= 4, "{train} {test}");
    let expected = format!("{train} images for training, {test} for testing, in {name}\n");
    assert_eq!(told, expected);

    let picture = folder.path().join("some.png");
    let out = picture.to_str().unwrap();
    let drawn = abs(&["view-depth", name, "--count", "3", "--out", out]);
    assert_eq!(drawn.stdout, format!("{out}\n"), "{}", drawn.stderr);
    let some = fs::read(&picture).unwrap();
    assert_eq!(&some[1..4], b"PNG");
    let first = ["--train", "--count", "3", "--first", "1"];
    let drawn = abs(&[&["view-depth", name, "--out", out][..], &first].concat());
    assert!(drawn.success, "{}", drawn.stderr);
    assert_ne!(fs::read(&picture).unwrap(), some);

    let beyond = train.to_string();
    assert_refused(
        &["view-depth", name, "--train", "--first", &beyond],
        &[&format!(
            "there are {train} images to learn from, none from {train} on"
        )],
    );
}

#[test]
fn a_recording_goes_on_where_a_file_is_missing_and_a_cut_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let name = data.to_str().unwrap();
    collect(name, &[]);
    let [train, test] = ["train", "test"].map(|s| data.join(format!("{s}-000000.safetensors")));
    let read = || [&train, &test].map(|file| fs::read(file).unwrap());
    let whole = read();

    fs::write(&test, &whole[1][..whole[1].len() / 2]).unwrap();
    let out = folder.path().join("some.png");
    assert_refused(
        &["view-depth", name, "--out", out.to_str().unwrap()],
        &["test-000000.safetensors", "not a whole file", "remove it"],
    );
    // What is there is left as it is.
    let time = |file: &Path| fs::metadata(file).unwrap().modified().unwrap();
    let before = time(&train);
    fs::remove_file(&test).unwrap();
    collect(name, &[]);
    assert!(read() == whole, "the same images again");
    assert_eq!(time(&train), before);
}

#[test]
fn images_of_another_recording_camera_or_robot_are_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let name = data.to_str().unwrap();
    let nowhere = folder.path().join("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    assert_refused(
        &["view-depth", nowhere],
        &[nowhere, "no depth images", "abs collect-depth"],
    );
    let setting = ["--set", "depth.recording.interval_s=[0.8, 0.4]"];
    assert_refused(
        &collecting(name, &setting),
        &["depth.recording.interval_s", "[0.8, 0.4]", "[low, high]"],
    );
    collect(name, &[]);
    assert_refused(
        &collecting(name, &["--seed", "2"]),
        &[name, "another camera, robot, policy, seed", "another --out"],
    );

    let manifest = data.join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let wider = text.replace("\"horizontal_fov_rad\": 1.7", "\"horizontal_fov_rad\": 1.8");
    assert_ne!(wider, text);
    fs::write(&manifest, wider).unwrap();
    assert_refused(&["view-depth", name], &[name, "another camera"]);
    fs::write(&manifest, &text[..text.len() / 2]).unwrap();
    assert_refused(&["view-depth", name], &["manifest.json"]);
}

#[cfg(feature = "train")]
#[test]
fn rays_are_learned_from_images_and_a_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (data, run) = (at("data"), at("run"));
    collect(&data, &[]);
    let learn = ["--set", "depth.learning.batch_size=4"];
    let fresh = ["train", "rays", "--data", &data, "--out", &run];
    let outcome = abs(&[&fresh[..], &learn, &["--set", "depth.learning.epochs=1"]].concat());
    assert!(outcome.success, "{}", outcome.stderr);
    assert!(
        outcome.stdout.contains("mean squared error, log2"),
        "{}",
        outcome.stdout
    );
    let metrics = fs::read_to_string(at("run/metrics.json")).unwrap();
    for part in ["\"network\": \"tsdf\"", "unseen kinds", "by_distance"] {
        assert!(metrics.contains(part), "{metrics}");
    }
    for picture in ["examples.png", "worst.png", "errors.png"] {
        assert_eq!(
            &fs::read(folder.path().join("run").join(picture)).unwrap()[1..4],
            b"PNG"
        );
    }
    let bundle = at("run/bundle");
    let loaded = policies::Bundle::load(bundle.as_ref()).unwrap();
    assert!(loaded.ray_network().is_ok());
    let weights = || fs::read(at("run/bundle/rays.safetensors")).unwrap();
    let before = weights();
    let more = [
        "train",
        "--resume",
        &run,
        "--set",
        "depth.learning.epochs=2",
    ];
    let outcome = abs(&more);
    assert!(outcome.success, "{}", outcome.stderr);
    assert_ne!(weights(), before);

    let few = ["--set", "depth.learning.batch_size=4000"];
    let outcome = abs(&[
        &["train", "rays", "--data", &data, "--out", &at("few")],
        &few[..],
    ]
    .concat());
    assert!(
        !outcome.success && outcome.stderr.contains("too few"),
        "{}",
        outcome.stderr
    );
}
