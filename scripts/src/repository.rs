//! Places in the repository that this program was built from.

use std::path::{Path, PathBuf};

/// The folder that holds `Cargo.toml`, `robots/`, `policies/`.
pub fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// The policy bundle that is shipped for a robot, whether it exists or not.
pub fn bundle(robot: &str) -> PathBuf {
    root().join("policies/bundles").join(robot)
}
