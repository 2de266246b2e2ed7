//! Files that are whole or not there when written, and of bounded size when read.

use std::{io, io::Write as _, path::Path};

pub use robots::bounded_file::{MAX_DATA_BYTES, MAX_TEXT_BYTES, read_bytes, read_text};

/// Writes a file under a temporary name in the same folder and renames it, so that no reader sees half of it and an
/// interrupted program leaves the old one.
///
/// # Errors
/// Those of the operating system.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    // Temporary files are private by default; what we leave is an ordinary file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
