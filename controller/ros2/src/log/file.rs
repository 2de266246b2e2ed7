//! The file of a log: `.part` while it is written. Nothing is written through a link, or over another file unasked.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// Path of an unfinished log.
pub fn partial_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Creates the unfinished log.
///
/// # Errors
/// Those of the operating system, or what is in the way and may not be overwritten.
pub(super) fn create(path: &Path, overwrite: bool) -> io::Result<File> {
    let partial = partial_path(path);
    if overwrite {
        match fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    } else if let Some(there) = [path, &partial]
        .iter()
        .find(|p| p.symlink_metadata().is_ok())
    {
        return Err(in_the_way(there));
    }
    // A link is something that exists, wherever it points.
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&partial);
    file.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => in_the_way(&partial),
        _ => error,
    })
}

/// Gives the log its name.
///
/// # Errors
/// Those of the operating system, or when something has taken the name meanwhile.
pub(super) fn publish(path: &Path, overwrite: bool) -> io::Result<()> {
    let partial = partial_path(path);
    if !overwrite {
        match renameat_with(CWD, &partial, CWD, path, RenameFlags::NOREPLACE) {
            Err(rustix::io::Errno::EXIST) => {
                return Err(io::Error::other(format!(
                    "{} has appeared meanwhile; the log is {}",
                    path.display(),
                    partial.display()
                )));
            }
            // Not every file system knows it.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) if !path.exists() => {}
            result => return result.map_err(Into::into),
        }
    }
    fs::rename(&partial, path)
}

fn in_the_way(path: &Path) -> io::Error {
    let path = path.display();
    io::Error::new(
        io::ErrorKind::AlreadyExists,
        format!("{path} is there already; choose another name, or replace it with --overwrite"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_replaced_unasked_or_written_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("run.mcap");
        let partial = partial_path(&log);
        let victim = folder.path().join("victim");
        let refusal = || {
            let text = create(&log, false).unwrap_err().to_string();
            assert!(text.ends_with(
                "is there already; choose another name, or replace it with --overwrite"
            ));
            text
        };
        fs::write(&victim, "precious").unwrap();
        for overwrite in [false, true] {
            std::os::unix::fs::symlink(&victim, &partial).unwrap();
            match overwrite {
                false => assert!(refusal().contains("run.mcap.part")),
                true => drop(create(&log, true).unwrap()),
            }
            fs::remove_file(&partial).unwrap();
        }
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");

        fs::write(&log, "old").unwrap();
        assert!(!refusal().contains(".part"));
        fs::write(&partial, "unfinished").unwrap();
        let text = publish(&log, false).unwrap_err().to_string();
        assert!(text.contains("has appeared meanwhile"), "{text}");
        assert_eq!(fs::read_to_string(&log).unwrap(), "old");
        publish(&log, true).unwrap();
        assert_eq!(fs::read_to_string(&log).unwrap(), "unfinished");
        fs::remove_file(&log).unwrap();
        drop(create(&log, false).unwrap());
        publish(&log, false).unwrap();
        assert!(log.exists() && !partial.exists());
    }
}
