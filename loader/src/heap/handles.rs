//! Objects that the host refers to, or a guest by an `externref`.
//!
//! Those of the host that were made while a function of it ran for a guest end with that function: they
//! are a stack. All others stay: in places of their own.

use precast_abi::NONE;

/// What the upper 16 bits of an `externref` are that was made of an `anyref`: no address, and no small
/// number.
const MARK: u64 = 0xe9c6;
/// The bit of such a number that says that it is a 31-bit integer itself.
const INTEGER: u64 = 1 << 47;
/// The most objects that can be referred to so in a store.
const MOST: usize = 1 << 20;

/// Objects that are referred to from outside of the heap.
#[derive(Default)]
pub(crate) struct Handles {
    /// References, and how often the place was used before.
    stack: Vec<(u64, u32)>,
    /// How many of the stack's places are in use.
    len: usize,
    /// Those that stay: of guests as `externref`s, and of the host.
    kept: Vec<u64>,
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
        self.kept.iter_mut().for_each(look);
    }

    /// The `externref` that a reference becomes, which is not null.
    pub(super) fn to_extern(&mut self, reference: u64) -> Option<u64> {
        if reference & 1 != 0 {
            return Some(MARK << 48 | INTEGER | reference);
        }
        let place = self.keep(reference)?;
        Some(MARK << 48 | u64::from(place.index))
    }

    /// The reference that an `externref` was, if it was one.
    pub(super) fn from_extern(&self, bits: u64) -> Option<u64> {
        if bits >> 48 != MARK {
            return None;
        }
        match bits & INTEGER {
            0 => self.kept.get((bits as u32) as usize).copied(),
            _ => Some(bits & 0xffff_ffff),
        }
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
    fn integers_travel_as_externrefs_in_themselves() {
        let mut handles = Handles::default();
        let bits = handles.to_extern(0xffff_ffff).expect("no room is needed");
        assert_eq!(handles.from_extern(bits), Some(0xffff_ffff));
        assert_eq!(handles.from_extern(5), None);
    }
}
