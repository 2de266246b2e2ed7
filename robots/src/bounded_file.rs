//! Files of bounded size: a device, a named pipe or a huge file is an error, not a hang or the end of the memory.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

/// Most bytes of a text of settings: TOML, JSON.
pub const MAX_TEXT_BYTES: u64 = 4 << 20;
/// Most bytes of a file of weights, images or environments.
pub const MAX_DATA_BYTES: u64 = 256 << 20;

/// The contents of a regular file of at most `max_bytes`.
///
/// # Errors
/// Those of the operating system, or when it is no regular file or holds more.
pub fn read_bytes(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let too_large = |bytes: u64| {
        let message = format!("is too large, {bytes} bytes; must be at most {max_bytes}");
        Err(io::Error::new(io::ErrorKind::FileTooLarge, message))
    };
    let len = file.metadata()?.len();
    if len > max_bytes {
        return too_large(len);
    }
    let mut bytes = Vec::with_capacity(len as usize);
    // It may grow meanwhile.
    file.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return too_large(bytes.len() as u64);
    }
    Ok(bytes)
}

/// The text in a regular file of at most [`MAX_TEXT_BYTES`].
///
/// # Errors
/// Those of [`read_bytes`], or when it is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read_bytes(path, MAX_TEXT_BYTES)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "is not UTF-8 text"))
}

/// Opens a regular file for reading.
///
/// # Errors
/// Those of the operating system, or when it is something else.
pub fn open(path: &Path) -> io::Result<File> {
    // Asked before it is opened, since opening a named pipe waits for its other end.
    match fs::metadata(path)?.is_file() {
        true => File::open(path),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "is no regular file",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_up_to_the_bound_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "12345678").unwrap();
        assert_eq!(read_bytes(&path, 8).unwrap(), b"12345678");
        let refusal = |path: &Path, max| read_bytes(path, max).unwrap_err().to_string();
        assert_eq!(
            refusal(&path, 7),
            "is too large, 8 bytes; must be at most 7"
        );
        for other in [folder.path(), Path::new("/dev/zero")] {
            assert_eq!(refusal(other, 7), "is no regular file");
        }
        // A sparse file takes no space.
        File::create(&path).unwrap().set_len(10 << 30).unwrap();
        assert!(refusal(&path, MAX_DATA_BYTES).starts_with("is too large, 10737418240 bytes"));
        // Files of the kernel say that they are empty.
        assert!(
            !read_bytes(Path::new("/proc/self/stat"), 4096)
                .unwrap()
                .is_empty()
        );
        fs::write(&path, [0xff]).unwrap();
        assert_eq!(
            read_text(&path).unwrap_err().to_string(),
            "is not UTF-8 text"
        );
    }

    #[test]
    fn a_named_pipe_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        assert_eq!(
            read_text(&path).unwrap_err().to_string(),
            "is no regular file"
        );
    }
}
