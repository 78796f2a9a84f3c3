//! Opens files without blocking, and only if they are files.
//!
//! Opening a FIFO blocks until its other end is opened, and reading a terminal waits for a person.
//! A path in the settings may name either by mistake, so all files of the gateway are opened here.
//! Character devices such as `/dev/null` are allowed: they are opened non-blocking.

use std::fs::{File, FileType, OpenOptions, metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// Opens a file for reading.
///
/// # Errors
/// The system's error, or `InvalidInput` if the path is not a file.
pub fn open_to_read(path: &Path) -> io::Result<File> {
    open(OpenOptions::new().read(true), path)
}

/// Opens an existing file for writing.
///
/// # Errors
/// As [`open_to_read`].
pub fn open_to_write(path: &Path) -> io::Result<File> {
    open(OpenOptions::new().write(true), path)
}

/// Opens a file for appending; creates it if it does not exist.
///
/// # Errors
/// As [`open_to_read`].
pub fn open_to_append(path: &Path) -> io::Result<File> {
    open(OpenOptions::new().create(true).append(true), path)
}

/// Creates a file for appending.
///
/// # Errors
/// As [`open_to_read`], and `AlreadyExists`.
pub fn create_new_file(path: &Path) -> io::Result<File> {
    open(OpenOptions::new().create_new(true).append(true), path)
}

/// Creates or truncates a file. `mode` sets its permissions.
///
/// # Errors
/// As [`open_to_read`].
pub fn create_file(path: &Path, mode: u32) -> io::Result<File> {
    open(OpenOptions::new().write(true).create(true).truncate(true).mode(mode), path)
}

/// Opens a destination of lines: a file, which is created if it does not exist, a device, or a FIFO
/// that has a reader. Only opening never blocks; a write to a FIFO waits for its reader.
///
/// # Errors
/// As [`open_to_read`]; a FIFO without a reader is rejected.
pub fn open_output(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    let file = match open_without_wait(&mut options, path) {
        Ok(file) => file,
        Err(error) => {
            let is_fifo = metadata(path).is_ok_and(|it| it.file_type().is_fifo());
            return Err(if is_fifo {
                refusal("expected a file, or a FIFO that somebody reads, got a FIFO without reader")
            } else {
                of_kind(path, error)
            });
        }
    };
    let kind = file.metadata()?.file_type();
    if !kind.is_fifo() {
        refuse(kind)?;
    }
    let flags = fcntl_getfl(&file)?;
    fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
    Ok(file)
}

fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = open_without_wait(options, path).map_err(|error| of_kind(path, error))?;
    refuse(file.metadata()?.file_type())?;
    Ok(file)
}

fn open_without_wait(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    options.custom_flags(flags).open(path)
}

/// An error message for a path that is not a file. For a FIFO the system reports `No such device or
/// address`.
fn of_kind(path: &Path, error: io::Error) -> io::Error {
    let kind = metadata(path).map(|it| it.file_type());
    kind.and_then(refuse)
        .err()
        .filter(|it| it.kind() == io::ErrorKind::InvalidInput)
        .unwrap_or(error)
}

fn refuse(kind: FileType) -> io::Result<()> {
    let name = if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_block_device() {
        "a block device"
    } else {
        return Ok(());
    };
    Err(refusal(&format!("expected a file, got {name}")))
}

fn refusal(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    /// A folder that is removed after the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("ringgate-file-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&path).expect("a temporary folder");
            Self(path)
        }

        fn fifo(&self) -> PathBuf {
            let path = self.0.join("fifo");
            let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
            assert!(made.success());
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn non_regular_files_are_rejected_without_blocking() {
        let folder = Folder::new("kinds");
        let socket = folder.0.join("socket");
        let _listener = UnixListener::bind(&socket).expect("a socket");
        let paths =
            [(folder.fifo(), "a FIFO"), (socket, "a socket"), (folder.0.clone(), "a directory")];
        for (path, name) in &paths {
            let opened = [
                open_to_read(path),
                open_to_write(path),
                open_to_append(path),
                create_file(path, 0o600),
                open_output(path),
            ];
            for file in opened {
                let message = file.expect_err(name).to_string();
                assert!(message.starts_with("expected a file"), "{name}: {message}");
                assert!(message.contains(name), "{name}: {message}");
            }
        }
        let absent = open_to_read(&folder.0.join("absent")).expect_err("no file");
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
        assert!(open_to_read(Path::new("/dev/null")).is_ok());
        assert!(open_output(Path::new("/dev/full")).is_ok());
    }

    #[test]
    fn fifo_with_reader_accepts_lines() {
        let folder = Folder::new("reader");
        let path = folder.fifo();
        // Open at both ends, so that neither blocks.
        let mut options = OpenOptions::new();
        let mut reader = options.read(true).write(true).open(&path).expect("both ends");
        let mut output = open_output(&path).expect("a FIFO with a reader");
        output.write_all(b"line\n").expect("room");
        let mut line = [0; 5];
        reader.read_exact(&mut line).expect("what was written");
        assert_eq!(&line, b"line\n");
        assert!(!fcntl_getfl(&output).expect("flags").contains(OFlags::NONBLOCK));
    }
}
