//! `memory.copy` and `memory.fill` of few bytes, as loads and stores.
//!
//! The loader's functions cost a crossing: some 20 ns, for what are a few moves.
//!
//! The specification lets either all bytes be written or none, and bounds are those of the whole
//! ranges. So all loads come first, overlap or not; and the store of the highest bytes comes before
//! the others: a memory is one piece that starts at 0, so that if those are in it, all are. (A store
//! that is partly out of bounds writes nothing, here as anywhere.)

/// What needs more moves is left to the loader. As vectors, these fill half of the registers of
/// x86-64.
const MOST_MOVES: u64 = 8;

/// One move: where its bytes start, and how many there are: 1, 2, 4, 8 or 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Distance from the start.
    pub(crate) offset: i32,
    /// Number of bytes.
    pub(crate) size: u32,
}

/// The moves that `len` bytes become, of at most `most` bytes each (a power of two), the highest
/// first; none if the loader is to be called. They overlap where that makes them fewer.
pub(crate) fn chunks(len: u64, most: u32) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    if len == 0 || len > MOST_MOVES * u64::from(most) {
        return chunks;
    }
    let largest = 1 << len.ilog2().min(most.ilog2());
    let mut end = len as u32;
    while end > 0 {
        // What is left may take a smaller move.
        let size = largest.min(end.next_power_of_two());
        let offset = end.saturating_sub(size);
        chunks.push(Chunk {
            offset: offset as i32,
            size,
        });
        end = offset;
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_all_bytes_and_no_others_and_end_first() {
        let lens = |most: u32| (1..=MOST_MOVES * u64::from(most)).map(move |len| (len, most));
        for (len, most) in lens(16).chain(lens(8)) {
            let chunks = chunks(len, most);
            let first = chunks[0];
            assert_eq!(first.offset as u64 + u64::from(first.size), len);
            let mut covered = vec![false; len as usize];
            for chunk in &chunks {
                assert!(chunk.size.is_power_of_two() && chunk.size <= most);
                let start = usize::try_from(chunk.offset).expect("not before the start");
                covered[start..start + chunk.size as usize].fill(true);
            }
            assert_eq!(covered, vec![true; len as usize], "{chunks:?}");
            assert!(
                chunks.len() as u64 <= len.div_ceil(most.into()) + 1,
                "{chunks:?}"
            );
        }
    }

    #[test]
    fn nothing_and_much_are_left_to_the_loader() {
        assert_eq!(chunks(0, 16), []);
        assert_eq!(chunks(129, 16), []);
        assert_eq!(chunks(65, 8), []);
        assert_eq!(chunks(u64::MAX, 16), []);
    }
}
