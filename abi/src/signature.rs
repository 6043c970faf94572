//! Where the signature of an object is: behind everything else in the file.
//!
//! ```text
//!  | the object | signature: text of a minisign file | Tail |
//!  '---signed---'
//! ```
//!
//! Readers of objects that know nothing of signatures see bytes that no segment and no section
//! covers.

/// Ends a file that is signed.
pub const MAGIC: [u8; 8] = *b"PCSIGNED";

/// What is between the signature and [`MAGIC`]: how long the signature is, and [`FORMAT`].
const TAIL: usize = 16;

/// The only format there is: minisign's.
pub const FORMAT: u32 = 1;

/// The longest signature in bytes, with all of its comments.
pub const MAX_LEN: usize = 8192;

/// A file, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts<'a> {
    /// All of it is the object.
    Unsigned,
    /// It has a signature.
    Signed {
        /// The bytes that are signed.
        object: &'a [u8],
        /// The signature, as minisign writes it to a file of its own.
        signature: &'a str,
    },
    /// It ends as signed files do, and is none.
    Damaged,
}

/// Takes a file apart.
pub fn split(file: &[u8]) -> Parts<'_> {
    let Some(rest) = file.strip_suffix(&MAGIC) else {
        return Parts::Unsigned;
    };
    let signed = rest
        .split_last_chunk::<4>()
        .filter(|(_, format)| u32::from_le_bytes(**format) == FORMAT)
        .and_then(|(rest, _)| rest.split_last_chunk::<4>())
        .and_then(|(rest, len)| {
            let len = u32::from_le_bytes(*len) as usize;
            let at = rest.len().checked_sub(len).filter(|_| len <= MAX_LEN)?;
            let (object, signature) = rest.split_at(at);
            Some((object, core::str::from_utf8(signature).ok()?))
        });
    match signed {
        Some((object, signature)) => Parts::Signed { object, signature },
        None => Parts::Damaged,
    }
}

/// What stands behind a signature of `len` bytes.
pub fn tail(len: u32) -> [u8; TAIL] {
    let mut bytes = [0; TAIL];
    bytes[..4].copy_from_slice(&len.to_le_bytes());
    bytes[4..8].copy_from_slice(&FORMAT.to_le_bytes());
    bytes[8..].copy_from_slice(&MAGIC);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_together_is_taken_apart() {
        let mut file = [0; 3 + 4 + TAIL];
        file[..3].copy_from_slice(b"elf");
        file[3..7].copy_from_slice(b"sign");
        file[7..].copy_from_slice(&tail(4));
        let expected = Parts::Signed {
            object: b"elf",
            signature: "sign",
        };
        assert_eq!(split(&file), expected);
        assert_eq!(split(b"elf"), Parts::Unsigned);
        assert_eq!(split(&MAGIC), Parts::Damaged);
        // Longer than the file; another format; no text.
        for (at, byte) in [(7, 8), (9, 1), (11, 2), (4, 0xff)] {
            let mut damaged = file;
            damaged[at] = byte;
            assert_eq!(split(&damaged), Parts::Damaged, "{at}");
        }
    }
}
