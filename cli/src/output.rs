//! Writing results: whole, or not at all.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::failure::{self, Failure, reason};

/// Where a result goes.
#[derive(Debug)]
pub(crate) enum Destination {
    /// Standard output.
    Stdout,
    /// A regular file, which appears by a rename.
    File(PathBuf),
    /// A device or pipe, which can only be written to.
    Stream(PathBuf),
}

impl Destination {
    /// Checks, before any work is done, that a file can appear at `path`.
    pub(crate) fn new(path: &Path) -> Result<Destination, Failure> {
        if path == Path::new("-") {
            return Ok(Destination::Stdout);
        }
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => Err(Failure::at(
                path,
                "is a directory; name the file to write with -o",
            )),
            // A symbolic link stays, and the file it leads to is replaced.
            Ok(found) if found.is_file() => {
                let target = fs::canonicalize(path);
                Ok(Destination::File(
                    target.map_err(|error| Failure::at(path, reason(&error)))?,
                ))
            }
            Ok(_) => Ok(Destination::Stream(path.to_owned())),
            Err(_) => {
                let parent = parent_of(path);
                if !parent.is_dir() {
                    let problem = format!("there is no directory {}", parent.display());
                    return Err(Failure::at(path, problem));
                }
                Ok(Destination::File(path.to_owned()))
            }
        }
    }

    /// Whether results go to standard output.
    #[cfg(feature = "compile")]
    pub(crate) fn is_stdout(&self) -> bool {
        matches!(self, Destination::Stdout)
    }

    /// Writes `bytes` there.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        let (path, written) = match self {
            Destination::Stdout => return failure::print(bytes),
            Destination::File(path) => (path, replace(path, bytes)),
            Destination::Stream(path) => (path, write_through(path, bytes)),
        };
        written.map_err(|error| Failure::at(path, format!("cannot be written: {}", reason(&error))))
    }
}

impl Destination {
    /// Writes `bytes` there, to be executed.
    #[cfg(feature = "compile")]
    pub(crate) fn write_program(&self, bytes: &[u8]) -> Result<(), Failure> {
        let Destination::File(path) = self else {
            return self.write(bytes);
        };
        replace_with_mode(path, bytes, 0o777)
            .map_err(|error| Failure::at(path, format!("cannot be written: {}", reason(&error))))
    }
}

fn write_through(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .open(path)?
        .write_all(bytes)
}

/// The directory that `path` is in.
fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Replaces the file at `path` by one that holds `bytes`, in one step: whoever opens it sees the
/// old or the new one, whole. On failure the old one stays.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mode = fs::metadata(path).map_or(0o666, |found| found.permissions().mode() & 0o777);
    replace_with_mode(path, bytes, mode)
}

/// As [`replace`], with these permission bits (less the process's umask).
pub(crate) fn replace_with_mode(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let (temporary, mut file) = new_file_in(parent_of(path), mode)?;
    let written = file.write_all(bytes);
    drop(file);
    let moved = written.and_then(|()| fs::rename(&temporary, path));
    if moved.is_err() {
        // What went wrong is told; what cannot be tidied up after it changes nothing.
        let _ = fs::remove_file(&temporary);
    }
    moved
}

/// A file in `dir` that nobody else has.
fn new_file_in(dir: &Path, mode: u32) -> std::io::Result<(PathBuf, fs::File)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let clock = SystemTime::now().duration_since(UNIX_EPOCH);
        let clock = clock.map_or(0, |since| since.subsec_nanos());
        let name = format!(".precast-{}-{clock}-{number}", std::process::id());
        let path = dir.join(name);
        let options = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path);
        match options {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            opened => return Ok((path, opened?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_else_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.so");
        for text in ["one", "two"] {
            Destination::new(&path)
                .unwrap()
                .write(text.as_bytes())
                .unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_symbolic_link_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        Destination::new(&link).unwrap().write(b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
    }

    #[test]
    fn devices_are_written_to() {
        Destination::new(Path::new("/dev/null"))
            .unwrap()
            .write(b"x")
            .unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn a_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Destination::new(dir.path()).is_err());
        assert!(Destination::new(&dir.path().join("no/such/out.so")).is_err());
    }
}
