//! Places in the repository that this program was built from.

use std::path::{Path, PathBuf};

#[cfg(feature = "ros2")]
use anyhow::{Result, ensure};

/// The folder that holds `Cargo.toml`, `robots/`, `policies/`.
pub fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// The policy bundle that is shipped for a robot, whether it exists or not.
pub fn bundle(robot: &str) -> PathBuf {
    root().join("policies/bundles").join(robot)
}

/// The policy bundle that is shipped for a robot.
///
/// # Errors
/// When there is none.
#[cfg(feature = "ros2")]
pub fn shipped_bundle(robot: &str) -> Result<PathBuf> {
    let folder = bundle(robot);
    ensure!(
        folder.join("bundle.toml").exists(),
        "no policy bundle is shipped for robot `{robot}`: train one, and name its folder with --bundle"
    );
    Ok(folder)
}
