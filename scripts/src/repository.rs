//! Paths in the repository that this program was built from.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use policies::bundle::MANIFEST as BUNDLE_MANIFEST;

/// The folder that holds `Cargo.toml`, `robots/`, `policies/`.
pub fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// Path of the bundle that is shipped for a robot, whether it exists or not.
fn bundle(robot: &str) -> PathBuf {
    root().join("policies/bundles").join(robot)
}

/// The rows of the paper's table for which bundles are shipped, with the nominal one always.
pub fn table(robot: &str) -> Vec<(String, PathBuf)> {
    let shipped = ["a", "n", "c", "lag-a", "lag-n", "lag-c"].map(|row| match row {
        "n" => (row.to_owned(), bundle(robot)),
        _ => (row.to_owned(), bundle(&format!("{robot}-{row}"))),
    });
    let is_there = |path: &Path| path.join(BUNDLE_MANIFEST).exists();
    shipped
        .into_iter()
        .filter(|(row, path)| row == "n" || is_there(path))
        .collect()
}

/// Path of the bundle that is shipped for a robot.
///
/// # Errors
/// When there is none.
pub fn shipped_bundle(robot: &str) -> Result<PathBuf> {
    let folder = bundle(robot);
    ensure!(
        folder.join(BUNDLE_MANIFEST).exists(),
        "no policy bundle is shipped for robot `{robot}`: train one, and name its folder with --bundle"
    );
    Ok(folder)
}
