//! `abs bundle`.

use std::path::PathBuf;

use policies::Bundle;

use super::{abs, assert_refused};

fn shipped(name: &str) -> String {
    format!("{}/../policies/bundles/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join("bundle")
        .join(name);
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

#[test]
fn a_bundle_is_told_in_a_line_for_each_network() {
    let told = abs(&["bundle", &shipped("go1")]);
    assert!(told.success, "{}", told.stderr);
    let lines: Vec<_> = told.stdout.lines().collect();
    assert!(
        lines[0].starts_with("for go1, policy step 0.02 s, 39 rays from -171 to 171 degrees"),
        "{}",
        lines[0]
    );
    for (line, name) in lines[1..]
        .iter()
        .zip(["agile", "rays", "reach-avoid", "recovery"])
    {
        assert!(line.starts_with(name), "{line}");
    }
    assert_eq!(lines.len(), 5);
    assert!(
        lines[3].contains("threshold 0, min_improvement -2"),
        "{}",
        lines[3]
    );
}

/// Folder of go1's bundle, as if these networks had been trained longer.
fn trained_longer(name: &str, roles: &[&str]) -> String {
    let go1 = Bundle::load(shipped("go1").as_ref()).unwrap();
    let mut longer = go1.clone();
    for role in roles {
        let mut layers = go1.layers(role).to_vec();
        layers[0].bias[0] += 0.01;
        let spec = go1.spec.networks[*role].clone();
        longer.insert(role, spec, layers).unwrap();
    }
    let folder = folder(name);
    longer.save(&folder).unwrap();
    folder.to_str().unwrap().to_owned()
}

#[test]
fn networks_of_several_bundles_make_one() {
    let out = folder("parts");
    let roles = ["recovery", "rays"];
    let (go1, longer) = (shipped("go1"), trained_longer("longer", &roles));
    let [recovery, rays] = roles.map(|role| format!("{role}={longer}"));
    let made = abs(&[
        "bundle",
        &go1,
        "--network",
        &recovery,
        "--network",
        &rays,
        "--out",
        out.to_str().unwrap(),
    ]);
    assert!(made.success, "{}", made.stderr);

    let [made, go1, longer] =
        [&out, &go1.into(), &longer.into()].map(|path: &PathBuf| Bundle::load(path).unwrap());
    for (role, from) in [("recovery", &longer), ("rays", &longer), ("agile", &go1)] {
        assert_eq!(made.spec.networks[role], from.spec.networks[role]);
        assert_eq!(made.layers(role), from.layers(role));
    }
    assert_eq!(made.spec.rays, go1.spec.rays);
}

#[test]
fn a_threshold_is_changed_and_nothing_else() {
    let out = folder("threshold");
    let arguments = [
        "bundle",
        &shipped("go1"),
        "--threshold",
        "-0.35",
        "--out",
        out.to_str().unwrap(),
    ];
    let made = abs(&arguments);
    assert!(made.success, "{}", made.stderr);
    let mut expected = Bundle::load(shipped("go1").as_ref()).unwrap();
    expected.spec.switch.as_mut().unwrap().threshold = -0.35;
    assert_eq!(Bundle::load(&out).unwrap(), expected);
    assert_refused(&arguments, &["holds a bundle already", "--out"]);
}

#[test]
fn networks_that_do_not_fit_are_refused() {
    let out = folder("refused");
    let out = out.to_str().unwrap();
    let [go1, go2, paper] = ["go1", "go2", "go1-paper"].map(shipped);
    let refuse = |arguments: &[&str], parts: &[&str]| {
        assert_refused(&[&["bundle"], arguments, &["--out", out]].concat(), parts);
    };
    let network = |role: &str, from: &str| format!("{role}={from}");
    refuse(
        &[&go1, "--network", &network("recovery", &go2)],
        &["for robot `go2`", "`go1`"],
    );
    refuse(
        &[&go1, "--network", &network("agile", &paper)],
        &["network `agile` observes", "count 11 instead of 39"],
    );
    refuse(
        &[
            &go1,
            "--network",
            &network("agile", &trained_longer("other", &["agile"])),
        ],
        &["networks.reach-avoid was trained with the agile policy"],
    );
    refuse(
        &[&go1, "--network", &network("jump", &paper)],
        &["no network `jump`, it has agile"],
    );
    refuse(&[&go1, "--network", "agile"], &["must be ROLE=DIR"]);
    refuse(
        &[&go1, "--threshold", "1.5"],
        &["threshold is 1.5", "between -1 and 1"],
    );
    refuse(&["nowhere"], &["nowhere"]);
    assert!(!std::path::Path::new(out).exists());
    assert_refused(&["bundle", &go1, "--threshold", "0"], &["--out"]);
    assert_refused(&["bundle"], &["DIR"]);
}
