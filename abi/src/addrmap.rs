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
//!
//! Where the low 6 bits of `v` are 0, it is no entry but says that what follows comes from another
//! function, which was inlined, or no longer does. The rest of `v` is
//!
//! - 0 to 7: one more than so many inlined functions end here. `wasm` counts from the call of the
//!   outermost of them.
//! - 16: one begins. Three LEB128 numbers in zigzag form follow: its index less that of the
//!   inlined function around it (less 0 if there is none), the offset of the call
//!   less that of the entry before, and what `wasm` counts from less the offset of the call.
//!
//! Inlined functions are nested no deeper than [`MAX_DEPTH`].

/// How deep inlined functions may be nested.
pub const MAX_DEPTH: usize = 8;

/// First byte of entries of two bytes; below it, entries are one byte.
const MEDIUM: u32 = 240;
/// First byte of all other entries.
const LONG: u32 = 255;
/// What is added to `wasm` in an entry of two bytes, so that it may be negative.
const MEDIUM_BIAS: i64 = 16;
/// What begins an inlined function, in place of `wasm`.
const ENTER: u32 = 16;

/// A call in whose place the code of the callee stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// Index of the function that was called.
    pub function: u32,
    /// Offset of the call in the module file.
    pub call: u32,
}

/// Sites one within the other, the outermost first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chain {
    sites: [Site; MAX_DEPTH],
    depth: u8,
}

impl PartialEq for Chain {
    fn eq(&self, other: &Chain) -> bool {
        self.sites() == other.sites()
    }
}

impl Eq for Chain {}

impl Chain {
    /// The sites.
    pub fn sites(&self) -> &[Site] {
        // The depth is never more than there is room for.
        self.sites.get(..usize::from(self.depth)).unwrap_or(&[])
    }

    /// Goes one deeper. Returns whether there was room.
    pub fn push(&mut self, site: Site) -> bool {
        let Some(room) = self.sites.get_mut(usize::from(self.depth)) else {
            return false;
        };
        *room = site;
        self.depth += 1;
        true
    }

    /// Goes back to so many sites, and returns the outermost of those that are left.
    fn truncate(&mut self, depth: usize) -> Option<Site> {
        let outermost = self.sites().get(depth).copied()?;
        self.depth = depth as u8;
        Some(outermost)
    }

    fn innermost_function(&self) -> u32 {
        self.sites().last().map_or(0, |site| site.function)
    }
}

/// Writes the map of one function.
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    at: (u32, u32),
    chain: Chain,
}

impl Encoder {
    /// Appends an entry for code that comes from the function itself (an empty chain) or from
    /// one that was inlined. `out` takes the bytes.
    pub fn entry(&mut self, code: u32, wasm: u32, chain: &Chain, mut out: impl FnMut(u8)) {
        let (old, new) = (self.chain.sites(), chain.sites());
        let same = old.iter().zip(new).take_while(|(a, b)| a == b).count();
        let left = old.len() - same;
        if left > 0 {
            control(left as u32 - 1, &mut out);
            if let Some(site) = self.chain.truncate(same) {
                self.at.1 = site.call;
            }
        }
        for (depth, site) in new.iter().enumerate().skip(same) {
            control(ENTER, &mut out);
            // The next entry takes one byte, or the next call is near.
            let from = match new.get(depth + 1) {
                Some(inner) => inner.call,
                None => wasm.wrapping_sub(1),
            };
            let outer = self.chain.innermost_function();
            zigzag(difference(site.function, outer), &mut out);
            zigzag(difference(site.call, self.at.1), &mut out);
            zigzag(difference(from, site.call), &mut out);
            self.chain.push(*site);
            self.at.1 = from;
        }
        deltas(self.at, (code, wasm), out);
        self.at = (code, wasm);
    }
}

fn difference(a: u32, b: u32) -> i64 {
    i64::from(a) - i64::from(b)
}

fn control(number: u32, out: &mut impl FnMut(u8)) {
    let value = number << 6;
    out((MEDIUM + (value >> 8)) as u8);
    out(value as u8);
}

/// Writes the differences between two entries.
fn deltas(prev: (u32, u32), entry: (u32, u32), mut out: impl FnMut(u8)) {
    let code = entry.0.wrapping_sub(prev.0);
    let wasm = difference(entry.1, prev.1);
    if let (1..=16, 1..=15) = (code, wasm) {
        out(((wasm as u32 - 1) * 16 + (code - 1)) as u8);
    } else if let (1..64, 0..60) = (code, wasm + MEDIUM_BIAS) {
        let value = ((wasm + MEDIUM_BIAS) as u32) << 6 | code;
        out((MEDIUM + (value >> 8)) as u8);
        out(value as u8);
    } else {
        out(LONG as u8);
        leb(u64::from(code), &mut out);
        zigzag(wasm, &mut out);
    }
}

fn zigzag(value: i64, out: &mut impl FnMut(u8)) {
    leb(((value << 1) ^ (value >> 63)) as u64, out);
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
    Entries {
        bytes,
        at: (0, 0),
        chain: Chain::default(),
        changes: 0,
    }
}

/// Iterator over the entries of one function, see [`decode`].
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    bytes: &'a [u8],
    at: (u32, u32),
    chain: Chain,
    /// How often the chain has changed.
    changes: usize,
}

impl Entries<'_> {
    /// Where the code of the last entry was inlined.
    pub fn inlined(&self) -> &Chain {
        &self.chain
    }

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

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.leb()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// `base` plus the next number.
    fn offset(&mut self, base: u32) -> Option<u32> {
        let value = self.zigzag()?;
        Some(i64::from(base).wrapping_add(value) as u32)
    }

    /// Inlined functions end, or one begins.
    fn control(&mut self, number: u32) -> Option<()> {
        self.changes += 1;
        if number == ENTER {
            let function = self.offset(self.chain.innermost_function())?;
            let call = self.offset(self.at.1)?;
            self.at.1 = self.offset(call)?;
            return self.chain.push(Site { function, call }).then_some(());
        }
        let left = number as usize + 1;
        let depth = self.chain.sites().len().checked_sub(left)?;
        self.at.1 = self.chain.truncate(depth)?.call;
        Some(())
    }

    /// The differences of the next entry.
    fn deltas(&mut self) -> Option<(u32, i64)> {
        loop {
            let first = self.byte()?;
            if first < MEDIUM {
                return Some((first % 16 + 1, i64::from(first / 16 + 1)));
            }
            if first == LONG {
                return Some((self.leb()? as u32, self.zigzag()?));
            }
            let value = (first - MEDIUM) << 8 | self.byte()?;
            if value & 63 != 0 {
                return Some((value & 63, i64::from(value >> 6) - MEDIUM_BIAS));
            }
            self.control(value >> 6)?;
        }
    }
}

impl Iterator for Entries<'_> {
    type Item = (u32, u32);

    fn next(&mut self) -> Option<(u32, u32)> {
        let Some((code, wasm)) = self.deltas() else {
            self.bytes = &[];
            return None;
        };
        self.at.0 = self.at.0.wrapping_add(code);
        self.at.1 = i64::from(self.at.1).wrapping_add(wasm) as u32;
        Some(self.at)
    }
}

/// The wasm offset of the instruction that the code at `code_offset` came from, and where that
/// was inlined.
pub fn lookup(bytes: &[u8], code_offset: u32) -> Option<(u32, Chain)> {
    let mut entries = decode(bytes);
    let mut found = None;
    // Chains are large: they are copied where they change.
    let (mut chain, mut changes) = (Chain::default(), 0);
    while let Some((code, wasm)) = entries.next() {
        if code > code_offset {
            break;
        }
        if entries.changes != changes {
            (chain, changes) = (entries.chain, entries.changes);
        }
        found = Some(wasm);
    }
    found.map(|wasm| (wasm, chain))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn chain(sites: &[(u32, u32)]) -> Chain {
        let mut chain = Chain::default();
        for &(function, call) in sites {
            assert!(chain.push(Site { function, call }));
        }
        chain
    }

    fn encode_all(entries: &[(u32, u32)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::default();
        for &(code, wasm) in entries {
            encoder.entry(code, wasm, &Chain::default(), |byte| bytes.push(byte));
        }
        bytes
    }

    fn wasm_at(bytes: &[u8], code: u32) -> Option<u32> {
        lookup(bytes, code).map(|(wasm, _)| wasm)
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
        assert_eq!(wasm_at(&bytes, 2), Some(500));
        assert_eq!(wasm_at(&bytes, 3), Some(498));
        assert_eq!(wasm_at(&bytes, 199_999), Some(70_000));
        assert_eq!(wasm_at(&[], 0), None);
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
    fn chains_survive_encoding() {
        let deep: Vec<(u32, u32)> = (0..8).map(|n| (n, 40 * n)).collect();
        let entries = [
            (5, 100, chain(&[])),
            (9, 7000, chain(&[(3, 104)])),
            (12, 7003, chain(&[(3, 104)])),
            (20, 30, chain(&[(3, 104), (70_000, 7007)])),
            (30, 7009, chain(&[(3, 104)])),
            (31, 7009, chain(&[(3, 105)])),
            (33, u32::MAX, chain(&deep)),
            (34, 0, chain(&deep)),
            (40, 0, chain(&[(u32::MAX, u32::MAX)])),
            (44, 107, chain(&[])),
        ];
        let mut bytes = Vec::new();
        let mut encoder = Encoder::default();
        for (code, wasm, chain) in &entries {
            encoder.entry(*code, *wasm, chain, |byte| bytes.push(byte));
        }
        let mut decoded = decode(&bytes);
        for (code, wasm, chain) in entries {
            assert_eq!(decoded.next(), Some((code, wasm)));
            assert_eq!(decoded.inlined(), &chain);
            assert_eq!(lookup(&bytes, code), Some((wasm, chain)));
        }
        assert_eq!(decoded.next(), None);
    }

    #[test]
    fn typical_entries_take_one_byte() {
        let first = encode_all(&[(4, 1000)]).len();
        let both = encode_all(&[(4, 1000), (20, 1015)]).len();
        assert_eq!(both, first + 1);
    }

    #[test]
    fn damage_ends_the_map() {
        let begin = [244, 0, 0, 0, 0];
        let too_deep = begin.repeat(MAX_DEPTH + 1);
        let left_twice = [&begin[..], &[240, 0, 240, 0, 0]].concat();
        for damaged in [
            &[255][..],
            &[255, 0x80],
            &[240],
            &[255, 1],
            &[0xff; 40],
            &[240, 0, 0],
            &[243, 192, 0],
            &[244, 0, 0, 0],
            &too_deep,
            &left_twice,
        ] {
            assert_eq!(decode(damaged).next(), None, "{damaged:?}");
        }
    }
}
