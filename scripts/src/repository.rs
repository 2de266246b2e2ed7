//! Paths in the repository that this program was built from, or in the folder of a release.

use std::{
    convert::Infallible,
    env,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use anyhow::{Result, ensure};
use policies::bundle::MANIFEST as BUNDLE_MANIFEST;

/// The folder that holds `policies/bundles`: that of the program in a release, else the repository.
static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
    let released = env::current_exe().and_then(|path| path.canonicalize());
    let released = released
        .ok()
        .and_then(|path| Some(path.parent()?.to_owned()));
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let repository = manifest.parent().unwrap_or(manifest);
    released
        .filter(|folder| folder.join(BUNDLES).is_dir())
        .unwrap_or_else(|| repository.to_owned())
});
const BUNDLES: &str = "policies/bundles";

/// The folder that holds `policies/bundles`.
pub fn root() -> &'static Path {
    &ROOT
}

/// Path of the shipped bundle of this name, whether it exists or not.
fn bundle(name: &str) -> PathBuf {
    root().join(BUNDLES).join(name)
}

/// The rows that are compared with the paper's table: the robot's bundle always, and the one in the paper's setting where it is
/// shipped.
pub fn table(robot: &str) -> Vec<(String, PathBuf)> {
    let paper = format!("{robot}-paper");
    let rows = [robot, &paper].map(|row| (row.to_owned(), bundle(row)));
    let is_there = |path: &Path| path.join(BUNDLE_MANIFEST).exists();
    rows.into_iter()
        .filter(|(row, path)| row == robot || is_there(path))
        .collect()
}

/// The bundle that an argument names: a folder, else a shipped bundle, by its name or its path in the repository. A folder that does not
/// exist is reported by what reads it.
///
/// # Errors
/// None; `clap` asks for a result.
pub fn bundle_argument(argument: &str) -> Result<PathBuf, Infallible> {
    let given = PathBuf::from(argument);
    if given.exists() {
        return Ok(given);
    }
    let mut shipped = [bundle(argument), root().join(argument)].into_iter();
    Ok(shipped
        .find(|folder| folder.join(BUNDLE_MANIFEST).exists())
        .unwrap_or(given))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_found_by_folder_by_name_and_by_its_path_in_the_repository() {
        let find = |argument: &str| bundle_argument(argument).unwrap();
        assert_eq!(find("go2"), bundle("go2"));
        assert_eq!(find("policies/bundles/go1-paper"), bundle("go1-paper"));
        // A folder that is there wins, whatever is in it; what is nowhere stays as it is.
        assert_eq!(find("src"), Path::new("src"));
        assert_eq!(find("runs/nosuch"), Path::new("runs/nosuch"));
    }
}
