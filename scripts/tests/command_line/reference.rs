//! The reference in docs/ is what the program prints.

use std::{path::Path, process::Command};

#[test]
fn the_pages_of_commands_and_settings_are_up_to_date() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference.py");
    let output = Command::new("python3")
        .arg(script)
        .args(["--check", "--abs", env!("CARGO_BIN_EXE_abs")])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
