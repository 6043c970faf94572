//! Objects that the host refers to, or a guest by an `externref`.
//!
//! Those of the host that were made while a function of it ran for a guest end with that function: they
//! are a stack. Those that the host keeps stay. What guests hold as `externref`s is a number of a
//! place here; there is no counting: when there are many, every word that such a number can be in is
//! looked at, as for exceptions (see [`crate::exception`]), and what no word names is given up.

use precast_abi::NONE;

/// What the upper 16 bits of an `externref` are that was made of an `anyref`: no address, and no small
/// number.
const MARK: u64 = 0xe9c6;
/// The bit of such a number that says that it is a 31-bit integer itself.
const INTEGER: u64 = 1 << 47;
/// What there is room for of the uses of a place.
const USES: u16 = 0x7fff;
/// The most objects that can be referred to so in a store, by guests and by the host.
const MOST: usize = 1 << 16;
/// The places of guests are looked through when there are so many for the first time.
const FIRST_LOOK: usize = 256;
/// Looking at so many words takes about as long as a conversion.
const WORDS_PER_CONVERSION: usize = 64;

/// Objects that are referred to from outside of the heap.
#[derive(Default)]
pub(crate) struct Handles {
    /// References, and how often the place was used before.
    stack: Vec<(u64, u32)>,
    /// How many of the stack's places are in use.
    len: usize,
    /// Those that the host keeps.
    kept: Vec<u64>,
    /// Those that guests hold as `externref`s.
    externs: Vec<Extern>,
    free: Vec<u32>,
    /// When to look which of them are still named.
    next_look: usize,
}

/// What an `externref` stands for.
struct Extern {
    /// 0 where the place is free.
    reference: u64,
    /// How often the place was used before.
    uses: u16,
    /// The host has its number: it stays.
    is_held: bool,
    is_reached: bool,
}

/// Names a reference on the stack of handles, or one that stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) index: u32,
    /// How often the place was used before; [`NONE`] where it is one that stays.
    pub(super) uses: u32,
}

impl Handles {
    /// A place for a reference until the stack is cut.
    pub(super) fn push(&mut self, reference: u64) -> Place {
        if self.len == self.stack.len() {
            self.stack.push((0, 0));
        }
        let (place, uses) = &mut self.stack[self.len];
        *place = reference;
        let index = self.len as u32;
        self.len += 1;
        Place { index, uses: *uses }
    }

    /// A place for a reference that stays; `None` where there are too many.
    pub(super) fn keep(&mut self, reference: u64) -> Option<Place> {
        if self.kept.len() >= MOST {
            return None;
        }
        self.kept.push(reference);
        Some(Place {
            index: self.kept.len() as u32 - 1,
            uses: NONE,
        })
    }

    /// The reference in a place.
    pub(super) fn get(&self, place: Place) -> Option<u64> {
        if place.uses == NONE {
            return self.kept.get(place.index as usize).copied();
        }
        let index = place.index as usize;
        let (reference, uses) = self.stack.get(index)?;
        (index < self.len && *uses == place.uses).then_some(*reference)
    }

    /// How many places of the stack are in use.
    pub(crate) fn mark(&self) -> usize {
        self.len
    }

    /// Gives up the places of the stack that were taken since.
    pub(crate) fn cut(&mut self, mark: usize) {
        for (_, uses) in self.stack.iter_mut().take(self.len).skip(mark) {
            *uses = uses.wrapping_add(1) & (NONE >> 1);
        }
        self.len = self.len.min(mark);
    }

    pub(super) fn for_each(&mut self, mut look: impl FnMut(&mut u64)) {
        let stack = self.stack.iter_mut().take(self.len);
        stack.for_each(|(reference, _)| look(reference));
        self.kept.iter_mut().for_each(&mut look);
        let externs = self.externs.iter_mut();
        externs.for_each(|place| look(&mut place.reference));
    }

    /// Whether it should be looked which places are still named before another one is taken.
    pub(super) fn is_full(&self) -> bool {
        self.externs.len() - self.free.len() >= self.next_look.clamp(FIRST_LOOK, MOST)
    }

    /// The `externref` that a reference becomes, which is not null.
    pub(super) fn put_extern(&mut self, reference: u64) -> Option<u64> {
        if reference & 1 != 0 {
            return Some(MARK << 48 | INTEGER | reference);
        }
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.externs.len() < MOST => {
                self.externs.push(Extern {
                    reference: 0,
                    uses: 0,
                    is_held: false,
                    is_reached: false,
                });
                self.externs.len() as u32 - 1
            }
            None => return None,
        };
        let place = &mut self.externs[index as usize];
        (place.reference, place.is_held) = (reference, false);
        Some(MARK << 48 | u64::from(place.uses & USES) << 32 | u64::from(index))
    }

    /// The place that an `externref` names, if it does.
    fn place_of(&mut self, bits: u64) -> Option<&mut Extern> {
        if bits >> 48 != MARK || bits & INTEGER != 0 {
            return None;
        }
        let place = self.externs.get_mut(bits as u32 as usize)?;
        let same = u64::from(place.uses & USES) == bits >> 32 & u64::from(USES);
        (same && place.reference != 0).then_some(place)
    }

    /// The reference that an `externref` was, if it was one.
    pub(super) fn find_extern(&mut self, bits: u64) -> Option<u64> {
        if bits >> 48 == MARK && bits & INTEGER != 0 {
            return Some(bits & 0xffff_ffff);
        }
        self.place_of(bits).map(|place| place.reference)
    }

    /// The host is given an `externref`.
    pub(crate) fn hold(&mut self, bits: u64) {
        if let Some(place) = self.place_of(bits) {
            place.is_held = true;
        }
    }

    /// Gives up what is named neither by one of `words` nor by the host.
    pub(super) fn look(&mut self, words: impl Iterator<Item = u64>) {
        for place in &mut self.externs {
            place.is_reached = place.is_held;
        }
        let mut looked_at = 0;
        for word in words {
            looked_at += 1;
            if let Some(place) = self.place_of(word) {
                place.is_reached = true;
            }
        }
        self.free.clear();
        for (index, place) in (0..).zip(&mut self.externs) {
            if !place.is_reached {
                if place.reference != 0 {
                    place.uses = place.uses.wrapping_add(1);
                }
                place.reference = 0;
                self.free.push(index);
            }
        }
        let count = self.externs.len() - self.free.len();
        self.next_look = (count * 2).max(count + looked_at / WORDS_PER_CONVERSION);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_the_stack_end_and_those_that_stay_stay() {
        let mut handles = Handles::default();
        let kept = handles.keep(8).expect("there is room");
        let mark = handles.mark();
        let place = handles.push(16);
        assert_eq!((handles.get(place), handles.get(kept)), (Some(16), Some(8)));
        handles.cut(mark);
        assert_eq!((handles.get(place), handles.get(kept)), (None, Some(8)));
        let other = handles.push(24);
        assert_eq!((handles.get(place), handles.get(other)), (None, Some(24)));
    }

    #[test]
    fn what_no_word_names_is_given_up() {
        let mut handles = Handles::default();
        let numbers: Vec<u64> = (1..=1000u64)
            .map(|n| handles.put_extern(n * 8).expect("there is room"))
            .collect();
        assert!(handles.is_full());
        handles.hold(numbers[7]);
        handles.look([numbers[3], 5, u64::MAX].into_iter());
        assert_eq!(handles.find_extern(numbers[3]), Some(4 * 8));
        assert_eq!(handles.find_extern(numbers[7]), Some(8 * 8));
        assert_eq!(handles.find_extern(numbers[8]), None);
        assert!(!handles.is_full());
        // The places are used again, under other numbers.
        let again = handles.put_extern(16).expect("there is room");
        assert_eq!(handles.externs.len(), 1000);
        assert!(!numbers.contains(&again));
    }

    #[test]
    fn integers_travel_as_externrefs_in_themselves() {
        let mut handles = Handles::default();
        let bits = handles.put_extern(0xffff_ffff).expect("no room is needed");
        assert_eq!(handles.find_extern(bits), Some(0xffff_ffff));
        assert_eq!(handles.find_extern(5), None);
    }
}
