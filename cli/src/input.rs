//! Reading what the user named: a module in either format, or an object.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use precast::{Profile, ProfileError};

use crate::failure::{Failure, reason};

/// What a file is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An object that `precast compile` may have made.
    Object,
    /// A module: binary, or the text format, which is all the rest.
    Module,
}

/// The kind of a file that starts with `head`.
pub(crate) fn kind_of(head: &[u8]) -> Kind {
    const MACH_O: [u8; 4] = [0xcf, 0xfa, 0xed, 0xfe];
    if head.starts_with(b"\x7fELF") || head.starts_with(&MACH_O) {
        Kind::Object
    } else {
        Kind::Module
    }
}

/// What the user wants to be run.
#[derive(Debug)]
pub(crate) enum Found {
    /// A file that is an object: it can be mapped.
    ObjectFile,
    /// The bytes of anything else: of a module, or of what can be read only once.
    Bytes(Vec<u8>),
}

/// Looks at what is to be run; `-` is standard input.
pub(crate) fn look(path: &Path) -> Result<Found, Failure> {
    if path == Path::new("-") {
        return Ok(Found::Bytes(read(path)?));
    }
    let fail = |error: io::Error| Failure::at(path, reason(&error));
    let mut file = open(path)?;
    let regular = file.metadata().map_err(fail)?.is_file();
    let mut bytes = Vec::new();
    (&mut file).take(4).read_to_end(&mut bytes).map_err(fail)?;
    if regular && kind_of(&bytes) == Kind::Object {
        return Ok(Found::ObjectFile);
    }
    read_rest(path, file, &mut bytes)?;
    Ok(Found::Bytes(bytes))
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| Failure::at(path, reason(&error)))
}

/// Reads a profile; `-` is standard input.
pub(crate) fn read_profile(path: &Path) -> Result<Profile, Failure> {
    let text = String::from_utf8(read(path)?);
    let text = text.map_err(|_| Failure::at(path, ProfileError::NoProfile))?;
    Profile::parse(&text).map_err(|error| Failure::at(path, error))
}

/// Reads a whole file; `-` is standard input.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        read_rest(path, io::stdin().lock(), &mut bytes)?;
    } else {
        read_rest(path, open(path)?, &mut bytes)?;
    }
    Ok(bytes)
}

/// More than any module or object has: what is longer is a device that never ends.
const MAX_LEN: u64 = 4 << 30;

fn read_rest(path: &Path, from: impl Read, bytes: &mut Vec<u8>) -> Result<(), Failure> {
    let read = from.take(MAX_LEN).read_to_end(bytes);
    read.map_err(|error| Failure::at(path, reason(&error)))?;
    if bytes.len() as u64 >= MAX_LEN {
        return Err(Failure::at(path, "has more than 4 GiB"));
    }
    Ok(())
}

/// The binary format of the module in `bytes`, which were read from `path`.
#[cfg(feature = "compile")]
pub(crate) fn to_wasm(path: &Path, bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
    if bytes.starts_with(b"\0asm") {
        return Ok(bytes);
    }
    if kind_of(&bytes) == Kind::Object {
        return Err(Failure::at(path, "is an object already; run or inspect it"));
    }
    if bytes.is_empty() {
        return Err(Failure::at(path, "is empty, not a WebAssembly module"));
    }
    let looks_like_text = std::str::from_utf8(&bytes)
        .is_ok_and(|text| !text.contains('\0') && text.trim_start().starts_with(['(', ';']));
    if !looks_like_text {
        return Err(Failure::at(
            path,
            "is not a WebAssembly module: neither binary nor text",
        ));
    }
    match wat::parse_bytes(&bytes) {
        Ok(wasm) => Ok(wasm.into_owned()),
        Err(error) => Err(Failure::at(path, first_line(&error.to_string(), &bytes))),
    }
}

/// `wat` draws the place of an error over several lines; its first line and position say enough.
#[cfg(feature = "compile")]
fn first_line(drawn: &str, _bytes: &[u8]) -> String {
    let message = drawn.lines().next().unwrap_or("cannot be parsed");
    let place = drawn
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("--> "))
        .and_then(|place| place.strip_prefix("<anon>:"));
    match place {
        Some(place) => format!(
            "{message} (at line {})",
            place.replacen(':', ", column ", 1)
        ),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_first_bytes() {
        assert_eq!(kind_of(b"\x7fELF\x02"), Kind::Object);
        assert_eq!(kind_of(b"\0asm"), Kind::Module);
        assert_eq!(kind_of(b"(module)"), Kind::Module);
        assert_eq!(kind_of(b""), Kind::Module);
    }

    #[cfg(feature = "compile")]
    #[test]
    fn a_text_error_is_one_line_with_its_place() {
        let path = Path::new("a.wat");
        let Err(Failure::Told(message)) = to_wasm(path, b"(module\n  (fun))".to_vec()) else {
            panic!("it is wrong");
        };
        assert!(message.starts_with("a.wat: "), "{message}");
        assert!(message.ends_with("(at line 2, column 4)"), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
}
