//! Lists of the numbers of places, shared by threads without locks.
//!
//! Each is a stack (R. K. Treiber, 1986) for each shard: a thread takes from and gives to its own
//! shard first, so that threads rarely meet, and what was given back last, whose memory is still in
//! the cache, is taken first.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::Places;

/// A list that takes nothing any more.
const CLOSED: u64 = u64::MAX;

/// One above the number of the first place, 0 where there is none; in the upper half a count of
/// changes, so that a head that was seen before is not mistaken for the same list.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Shard(AtomicU64);

/// The link of a place: one above the number of the next place in its list. Each place is in one list
/// at most.
#[derive(Debug, Default)]
pub(super) struct Link(AtomicU32);

/// See the file's documentation.
#[derive(Debug)]
pub(crate) struct List {
    shards: Box<[Shard]>,
    places: Places,
}

/// How many threads give back places at the same time without meeting.
pub(crate) fn default_shards() -> usize {
    std::thread::available_parallelism().map_or(8, |count| count.get().next_power_of_two() * 2)
}

thread_local! {
    static OWN: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// A number of the calling thread, to choose a shard by.
#[inline]
fn own_number() -> usize {
    let number = OWN.get();
    if number != usize::MAX {
        return number;
    }
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed) as usize;
    OWN.set(number);
    number
}

impl List {
    /// An empty list. `shards` is a power of two.
    pub(super) fn new(shards: usize, places: &Places) -> List {
        List {
            places: Arc::clone(places),
            shards: (0..shards.max(1)).map(|_| Shard::default()).collect(),
        }
    }

    fn own(&self) -> usize {
        own_number() & (self.shards.len() - 1)
    }

    /// Takes a place that the calling thread, or one of its shard, gave.
    #[inline]
    pub(crate) fn take(&self) -> Option<u32> {
        self.take_from(self.own())
    }

    /// Takes a place whoever gave it.
    #[cold]
    pub(crate) fn take_any(&self) -> Option<u32> {
        let own = self.own();
        (0..self.shards.len())
            .find_map(|step| self.take_from((own + step) & (self.shards.len() - 1)))
    }

    #[inline]
    fn take_from(&self, shard: usize) -> Option<u32> {
        let head = &self.shards[shard].0;
        let mut seen = head.load(Ordering::Acquire);
        loop {
            if seen == CLOSED {
                return None;
            }
            let place = (seen as u32).checked_sub(1)?;
            // Another thread may have taken the place by now: then the link is stale, and the
            // exchange fails because the count has changed.
            let next = self.places[place as usize].next.0.load(Ordering::Relaxed);
            let new = next_count(seen) | u64::from(next);
            match head.compare_exchange_weak(seen, new, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Some(place),
                Err(other) => seen = other,
            }
        }
    }

    /// Gives a place. `false` where the list is closed: the place stays the caller's.
    ///
    /// Once it is given nothing of the caller's may be used of it, or of what it alone keeps alive.
    #[inline]
    pub(crate) fn give(&self, place: u32) -> bool {
        let head = &self.shards[self.own()].0;
        let mut seen = head.load(Ordering::Relaxed);
        loop {
            if seen == CLOSED {
                return false;
            }
            self.places[place as usize]
                .next
                .0
                .store(seen as u32, Ordering::Relaxed);
            let new = next_count(seen) | u64::from(place + 1);
            match head.compare_exchange_weak(seen, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(other) => seen = other,
            }
        }
    }

    /// Closes the list for good and calls `found` with each place that was in it.
    pub(crate) fn close(&self, mut found: impl FnMut(u32)) {
        for shard in &self.shards {
            let head = shard.0.swap(CLOSED, Ordering::AcqRel);
            if head == CLOSED {
                continue;
            }
            let mut next = head as u32;
            while let Some(place) = next.checked_sub(1) {
                next = self.places[place as usize].next.0.load(Ordering::Relaxed);
                found(place);
            }
        }
    }
}

/// The count of changes after that of `head`. Never all ones, which would look like [`CLOSED`].
fn next_count(head: u64) -> u64 {
    (((head >> 32) + 1) % u64::from(u32::MAX)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::PlaceCell;

    fn places(count: u32) -> Places {
        (0..count).map(|_| PlaceCell::default()).collect()
    }

    #[test]
    fn what_was_given_last_is_taken_first() {
        let list = List::new(4, &places(3));
        assert!((0..3).all(|place| list.give(place)));
        assert_eq!(
            [(); 4].map(|()| list.take()),
            [Some(2), Some(1), Some(0), None]
        );
    }

    #[test]
    fn closed_lists_take_nothing() {
        let list = List::new(1, &places(3));
        assert!(list.give(0) && list.give(1));
        let mut found = Vec::new();
        list.close(|place| found.push(place));
        list.close(|_| unreachable!("it is closed already"));
        assert_eq!(found, [1, 0]);
        assert!(!list.give(2));
        assert_eq!(list.take_any(), None);
    }

    #[test]
    fn no_place_is_given_to_two_threads() {
        const PLACES: u32 = 5;
        let list = List::new(2, &places(PLACES));
        (0..PLACES).for_each(|place| assert!(list.give(place)));
        let users: Vec<_> = (0..PLACES).map(|_| AtomicU32::new(0)).collect();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50_000 {
                        let Some(place) = list.take_any() else {
                            continue;
                        };
                        let users = &users[place as usize];
                        assert_eq!(users.fetch_add(1, Ordering::SeqCst), 0);
                        users.fetch_sub(1, Ordering::SeqCst);
                        assert!(list.give(place));
                    }
                });
            }
        });
        let mut left: Vec<_> = std::iter::from_fn(|| list.take_any()).collect();
        left.sort_unstable();
        assert_eq!(left, (0..PLACES).collect::<Vec<_>>());
    }
}
