//! The map from code to wasm: for each function a string of variable-length deltas.
//!
//! Entries stand in the order of code offsets. An entry says: from this code offset (relative to
//! the start of the function) up to the next entry, code comes from the wasm instruction at this
//! offset of the module file. It is read only when a trap is reported.
//!
//! An entry is the two differences to the entry before it (to `(0, 0)` for the first): `code`,
//! which is not negative, and `wasm`. The first byte tells how they are written:
//!
//! | first byte `b` | then | `code` | `wasm` |
//! |---|---|---|---|
//! | below 240 | nothing | `b % 16 + 1` | `b / 16 + 1` |
//! | 240 to 254 | a byte `c` | the low 6 bits of `v` | the rest of `v`, minus 16 |
//! | 255 | two LEB128 numbers | the first | the second, in zigzag form |
//!
//! where `v` is `(b - 240) << 8 | c`. Most entries take one byte.

/// First byte of entries of two bytes; below it, entries are one byte.
const MEDIUM: u32 = 240;
/// First byte of all other entries.
const LONG: u32 = 255;
/// What is added to `wasm` in an entry of two bytes, so that it may be negative.
const MEDIUM_BIAS: i64 = 16;

/// Appends one entry to `out`.
///
/// `prev` is the entry before it, or `(0, 0)` at the start of a function.
pub fn encode(prev: (u32, u32), entry: (u32, u32), mut out: impl FnMut(u8)) {
    let code = entry.0.wrapping_sub(prev.0);
    let wasm = i64::from(entry.1) - i64::from(prev.1);
    if let (1..=16, 1..=15) = (code, wasm) {
        out(((wasm as u32 - 1) * 16 + (code - 1)) as u8);
    } else if let (0..64, 0..60) = (code, wasm + MEDIUM_BIAS) {
        let value = ((wasm + MEDIUM_BIAS) as u32) << 6 | code;
        out((MEDIUM + (value >> 8)) as u8);
        out(value as u8);
    } else {
        out(LONG as u8);
        leb(u64::from(code), &mut out);
        leb(((wasm << 1) ^ (wasm >> 63)) as u64, &mut out);
    }
}

fn leb(mut value: u64, out: &mut impl FnMut(u8)) {
    while value >= 0x80 {
        out(value as u8 | 0x80);
        value >>= 7;
    }
    out(value as u8);
}

/// Reads the entries of one function: `(code offset, wasm offset)`. Stops early at damage.
pub fn decode(bytes: &[u8]) -> Entries<'_> {
    Entries { bytes, at: (0, 0) }
}

/// Iterator over the entries of one function, see [`decode`].
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    bytes: &'a [u8],
    at: (u32, u32),
}

impl Entries<'_> {
    fn byte(&mut self) -> Option<u32> {
        let (&byte, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(u32::from(byte))
    }

    fn leb(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..63).step_by(7) {
            let byte = u64::from(self.byte()?);
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// The differences of the next entry.
    fn deltas(&mut self) -> Option<(u32, i64)> {
        let first = self.byte()?;
        if first < MEDIUM {
            return Some((first % 16 + 1, i64::from(first / 16 + 1)));
        }
        if first < LONG {
            let value = (first - MEDIUM) << 8 | self.byte()?;
            return Some((value & 63, i64::from(value >> 6) - MEDIUM_BIAS));
        }
        let code = self.leb()?;
        let wasm = self.leb()?;
        Some((code as u32, (wasm >> 1) as i64 ^ -((wasm & 1) as i64)))
    }
}

impl Iterator for Entries<'_> {
    type Item = (u32, u32);

    fn next(&mut self) -> Option<(u32, u32)> {
        let (code, wasm) = self.deltas()?;
        self.at.0 = self.at.0.wrapping_add(code);
        self.at.1 = (i64::from(self.at.1) + wasm) as u32;
        Some(self.at)
    }
}

/// The wasm offset of the instruction that the code at `code_offset` came from.
pub fn lookup(bytes: &[u8], code_offset: u32) -> Option<u32> {
    decode(bytes)
        .take_while(|entry| entry.0 <= code_offset)
        .last()
        .map(|entry| entry.1)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn encode_all(entries: &[(u32, u32)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut prev = (0, 0);
        for &entry in entries {
            encode(prev, entry, |byte| bytes.push(byte));
            prev = entry;
        }
        bytes
    }

    #[test]
    fn entries_survive_encoding() {
        let entries = [
            (0, 500),
            (3, 498),
            (200, 70_000),
            (200_000, 1),
            (200_001, u32::MAX),
        ];
        let bytes = encode_all(&entries);
        assert_eq!(decode(&bytes).collect::<Vec<_>>(), entries);
        assert_eq!(lookup(&bytes, 2), Some(500));
        assert_eq!(lookup(&bytes, 3), Some(498));
        assert_eq!(lookup(&bytes, 199_999), Some(70_000));
        assert_eq!(lookup(&[], 0), None);
    }

    #[test]
    fn all_small_differences_survive_encoding() {
        for code in 0..70 {
            for wasm in 1000 - 80..1000 + 80 {
                let entries = [(7, 1000), (7 + code, wasm)];
                let bytes = encode_all(&entries);
                assert_eq!(decode(&bytes).collect::<Vec<_>>(), entries);
            }
        }
    }

    #[test]
    fn typical_entries_take_one_byte() {
        let first = encode_all(&[(4, 1000)]).len();
        let both = encode_all(&[(4, 1000), (20, 1015)]).len();
        assert_eq!(both, first + 1);
    }

    #[test]
    fn damage_ends_the_map() {
        for damaged in [&[255][..], &[255, 0x80], &[240], &[255, 1], &[0xff; 40]] {
            assert_eq!(decode(damaged).next(), None);
        }
    }
}
