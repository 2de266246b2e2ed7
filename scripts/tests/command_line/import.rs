//! `abs import`: a network from elsewhere becomes a bundle that the other commands take.

use std::{
    fs,
    path::{Path, PathBuf},
};

use policies::Bundle;

use super::{abs, assert_refused};

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join("import")
        .join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Weights of a shipped policy, which are called as PyTorch calls them.
fn weights() -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    format!("{root}/../policies/bundles/go1-paper/recovery.safetensors")
}

#[test]
fn a_written_contract_leads_to_the_bundle_that_was_trained() {
    let folder = folder("written");
    let [contract, out] = ["contract.toml", "bundle"].map(|name| folder.join(name));
    let [contract, out] = [&contract, &out].map(|path| path.to_str().unwrap());
    let written = abs(&["import", "--write-contract", contract, "--robot", "go1"]);
    assert!(written.success, "{}", written.stderr);
    assert!(
        written.stdout.contains("next: edit it, then abs import"),
        "{}",
        written.stdout
    );
    assert_refused(
        &["import", "--write-contract", contract],
        &[contract, "exists already"],
    );
    let weights = weights();
    let arguments = ["import", &weights, "--contract", contract, "--out", out];
    assert_refused(&arguments, &["`activation` is missing", "--activation"]);
    let flags = ["--activation", "elu"];
    let imported = abs(&[&arguments[..], &flags].concat());
    assert!(imported.success, "{}", imported.stderr);
    for part in [
        "elu between the layers",
        "same actions as the file within",
        "imported 20",
        &format!("next: abs eval --method recovery --bundle {out}\n"),
    ] {
        assert!(imported.stdout.contains(part), "{}", imported.stdout);
    }
    let bundle = Bundle::load(Path::new(out)).unwrap();
    let shipped = Path::new(&weights).parent().unwrap();
    let shipped = Bundle::load(shipped).unwrap();
    let [own, theirs] = [&bundle, &shipped].map(|bundle| &bundle.spec.networks["recovery"]);
    assert_eq!(own.sha256, theirs.sha256);
    assert_eq!(own.observations, theirs.observations);
    assert_eq!(bundle.spec.robot, shipped.spec.robot);
    let shown = abs(&["bundle", out]);
    assert!(imported.stdout.contains(&shown.stdout), "{}", shown.stdout);
    assert_refused(
        &[&arguments[..], &flags].concat(),
        &[out, "holds a bundle already"],
    );
}

#[test]
fn flags_come_before_the_contract() {
    let folder = folder("flags");
    let contract = folder.join("contract.toml");
    fs::write(
        &contract,
        "robot = \"go2\"\nrole = \"agile\"\nstiffness = 1.0\naction_scale = 0.1\nactivation = \"relu\"\n\
         observations = [{ term = \"foot-contact\" }, { term = \"base_ang_vel\" }, { term = \"projected_gravity\" }, { term = \"commands\" }, \
         { term = \"dof_pos\" }, { term = \"dof_vel\" }, { term = \"actions\" }]",
    )
    .unwrap();
    let out = folder.join("bundle");
    let imported = abs(&[
        "import",
        &weights(),
        "--contract",
        contract.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
        "--robot",
        "go1",
        "--role",
        "walk",
        "--stiffness",
        "40",
        "--damping",
        "1",
        "--action-scale",
        "0.5",
        "--activation",
        "silu",
        "--output-activation",
        "tanh",
        "--policy-step-s",
        "0.01",
    ]);
    assert!(imported.success, "{}", imported.stderr);
    assert!(
        imported
            .stdout
            .contains("stiffness, damping not as go1 has it")
            && imported.stdout.contains("--method walk")
            && imported.stdout.ends_with("--set physics.decimation=2\n"),
        "{}",
        imported.stdout
    );
    let bundle = Bundle::load(&out).unwrap();
    let spec = &bundle.spec;
    assert_eq!(spec.policy_step_s, 0.01);
    assert_eq!(spec.robot.stiffness, [40.0; 12]);
    assert_eq!(spec.robot.damping, [1.0; 12]);
    assert_eq!(spec.networks["walk"].activation, policies::Activation::Silu);
    bundle.check(&bundle.robot().unwrap()).unwrap();
}

#[test]
fn what_cannot_be_imported_is_one_line() {
    let folder = folder("refused");
    let out = folder.join("bundle");
    let out = out.to_str().unwrap();
    let refused = |file: &str, flags: &[&str], parts: &[&str]| {
        assert_refused(&[&["import", file, "--out", out], flags].concat(), parts);
        assert!(!Path::new(out).exists());
    };
    let weights = weights();
    refused(
        "policy.pt",
        &[],
        &["policy.pt: the name must end in .onnx or .safetensors"],
    );
    refused("missing.safetensors", &[], &["missing.safetensors: "]);
    refused(
        &weights,
        &["--activation", "elu", "--role", "agile"],
        &[
            "contract: the network takes ",
            "but the observations are 61 wide: foot-contact 4, ",
        ],
    );
    refused(&weights, &["--robot", "spot"], &["spot"]);
    refused(
        &weights,
        &["--contract", "missing.toml"],
        &["missing.toml: "],
    );
    let garbage = folder.join("garbage.onnx");
    fs::write(&garbage, "no model").unwrap();
    let garbage = garbage.to_str().unwrap();
    let reason = match cfg!(feature = "onnx") {
        true => "not a whole ONNX model",
        false => "scripts/abs import",
    };
    refused(garbage, &[], &["garbage.onnx: ", reason]);
}
