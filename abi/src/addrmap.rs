//! The map from code to wasm: for each function a string of variable-length deltas.
//!
//! Entries stand in the order of code offsets. An entry says: from this code offset (relative to
//! the start of the function) up to the next entry, code comes from the wasm instruction at this
//! offset of the module file. It is read only when a trap is reported.

/// Appends one entry to `out`.
///
/// `prev` is the entry before it, or `(0, 0)` at the start of a function.
pub fn encode(prev: (u32, u32), entry: (u32, u32), mut out: impl FnMut(u8)) {
    leb(u64::from(entry.0.wrapping_sub(prev.0)), &mut out);
    let delta = i64::from(entry.1) - i64::from(prev.1);
    leb(((delta << 1) ^ (delta >> 63)) as u64, &mut out);
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
    fn leb(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..63).step_by(7) {
            let (&byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

impl Iterator for Entries<'_> {
    type Item = (u32, u32);

    fn next(&mut self) -> Option<(u32, u32)> {
        let code = self.leb()?;
        let wasm = self.leb()?;
        let delta = (wasm >> 1) as i64 ^ -((wasm & 1) as i64);
        self.at.0 = self.at.0.wrapping_add(code as u32);
        self.at.1 = (i64::from(self.at.1) + delta) as u32;
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

    #[test]
    fn entries_survive_encoding() {
        let entries = [(0, 500), (3, 498), (200, 70_000), (200_000, 1), (200_001, u32::MAX)];
        let mut bytes = Vec::new();
        let mut prev = (0, 0);
        for entry in entries {
            encode(prev, entry, |byte| bytes.push(byte));
            prev = entry;
        }
        assert_eq!(decode(&bytes).collect::<Vec<_>>(), entries);
        assert_eq!(lookup(&bytes, 2), Some(500));
        assert_eq!(lookup(&bytes, 3), Some(498));
        assert_eq!(lookup(&bytes, 199_999), Some(70_000));
        assert_eq!(lookup(&[], 0), None);
    }

    #[test]
    fn damage_ends_the_map() {
        assert_eq!(decode(&[0x80]).next(), None);
        assert_eq!(decode(&[0xff; 40]).next(), None);
    }
}
