//! Tags and exceptions, as an embedder holds them, and the exceptions that a store keeps.
//!
//! Most exceptions are caught by clauses that take their values and nothing else: those are never
//! kept. One that a guest holds a reference to has a place in the store's list, and the `exnref`
//! is the number of that place, with marks that tell it from other numbers. There is no counting:
//! when the list has grown enough, every word that a reference can be in is looked at, and what no
//! word names is given up. A word that looks like a reference and is none keeps an exception for
//! longer than need be, and nothing else.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering};

use precast_abi::NONE;

use crate::error::{Error, UseError};
use crate::store::{AsStore, AsStoreMut, StoreCore};
use crate::trap::Backtrace;
use crate::types::{FuncType, ValType};
use crate::value::{Cell, Val};

/// The most exceptions that can be referred to in a store,
const MAX_EXCEPTIONS: usize = 1 << 16;
/// and the most cells that they have, all together.
const MAX_CELLS: usize = 1 << 20;
/// The list is looked through when it has so many exceptions for the first time.
const FIRST_LOOK: usize = 256;
/// Looking at so many words takes about as long as throwing once.
const WORDS_PER_THROW: usize = 64;

/// The identity of a kind of exceptions, in some store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag {
    pub(crate) store: NonZeroU64,
    pub(crate) id: TagId,
}

/// A tag within its store: the number of the instance that defines it ([`NONE`] for the host), and
/// its index there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TagId {
    pub(crate) instance: u32,
    pub(crate) index: u32,
}

impl Tag {
    /// A tag of the host's own. Exceptions of it carry values of the types of `ty`'s parameters.
    ///
    /// # Errors
    ///
    /// If `ty` has results.
    pub fn new(mut store: impl AsStoreMut, ty: FuncType) -> Result<Tag, Error> {
        if !ty.results().is_empty() {
            let reason = "a tag has no results";
            return Err(UseError::BadType { reason }.into());
        }
        let mut store = store.as_store_mut();
        let core = store.core_mut();
        let tags = &mut core.rare_mut().tags;
        let index = u32::try_from(tags.len()).expect("fewer than 2^32 tags");
        tags.push(ty);
        Ok(Tag {
            store: core.id,
            id: TagId {
                instance: NONE,
                index,
            },
        })
    }

    /// Its type: the values of its exceptions are the parameters.
    ///
    /// # Errors
    ///
    /// If it belongs to another store.
    pub fn ty(&self, store: impl AsStore) -> Result<FuncType, Error> {
        let core = store.as_store().into_core();
        core.check(self.store)?;
        core.tag_type(self.id)
            .ok_or_else(|| UseError::OutOfBounds.into())
    }
}

impl StoreCore {
    /// The type of a tag of this store.
    pub(crate) fn tag_type(&self, tag: TagId) -> Option<FuncType> {
        if tag.instance == NONE {
            return self.rare.as_ref()?.tags.get(tag.index as usize).copied();
        }
        let instance = self.instances.get(tag.instance as usize)?;
        let types = instance.module.tag_types().ok()?;
        types.get(tag.index as usize).copied()
    }

    /// The exception whose `exnref` value this is. The host has it from now on: it stays.
    pub(crate) fn exn_from_bits(&self, bits: u64) -> Option<ExnRef> {
        let exceptions = &self.rare.as_ref()?.exceptions;
        let kept = exceptions.get(bits)?;
        kept.is_held.store(true, Ordering::Relaxed);
        Some(ExnRef {
            store: self.id,
            bits,
        })
    }
}

/// An exception that a guest can hold, as a value. One that the host has been given lives as long
/// as its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExnRef {
    pub(crate) store: NonZeroU64,
    pub(crate) bits: u64,
}

impl ExnRef {
    /// The exception.
    ///
    /// # Errors
    ///
    /// If it belongs to another store.
    pub fn exception(&self, store: impl AsStore) -> Result<Exception, Error> {
        let core = store.as_store().into_core();
        core.check(self.store)?;
        let exceptions = core.rare.as_ref().map(|rare| &rare.exceptions);
        let kept = exceptions.and_then(|exceptions| exceptions.get(self.bits));
        let kept = kept.ok_or(UseError::OutOfBounds)?;
        Ok(Exception::from_cells(
            core,
            kept.tag,
            kept.ty,
            kept.values(),
        ))
    }
}

/// An exception that no guest has caught, or that the host throws.
///
/// A function of the host throws it by returning it as its error, also one that it has got from a
/// guest that it called itself.
pub struct Exception {
    inner: Box<Inner>,
}

struct Inner {
    tag: Tag,
    ty: FuncType,
    values: Vec<Val>,
    backtrace: Backtrace,
}

impl Exception {
    /// An exception of `tag` that carries `values`.
    ///
    /// # Errors
    ///
    /// If the tag or one of the values belongs to another store, or the values are not what the
    /// tag asks for.
    pub fn new(store: impl AsStore, tag: Tag, values: &[Val]) -> Result<Exception, Error> {
        let core = store.as_store().into_core();
        core.check(tag.store)?;
        let ty = core.tag_type(tag.id).ok_or(UseError::OutOfBounds)?;
        let expected = ty.params().len();
        if values.len() != expected {
            return Err(UseError::ValueCount {
                expected,
                found: values.len(),
                of: "values",
            }
            .into());
        }
        for (value, ty) in values.iter().zip(ty.params()) {
            value.to_cell(*ty, core)?;
        }
        Ok(Exception::with(tag, ty, values.to_vec()))
    }

    fn with(tag: Tag, ty: FuncType, values: Vec<Val>) -> Exception {
        Exception {
            inner: Box::new(Inner {
                tag,
                ty,
                values,
                backtrace: Backtrace::default(),
            }),
        }
    }

    /// What was thrown with these cells, which guest code of the store wrote.
    pub(crate) fn from_cells(core: &StoreCore, tag: TagId, ty: FuncType, cells: &[Cell]) -> Self {
        let values = ty.params().iter().zip(cells);
        let values = values.map(|(ty, cell)| Val::from_cell(*cell, *ty, core));
        let tag = Tag {
            store: core.id,
            id: tag,
        };
        Exception::with(tag, ty, values.collect())
    }

    /// Its tag.
    pub fn tag(&self) -> Tag {
        self.inner.tag
    }

    /// The values that it carries.
    pub fn values(&self) -> &[Val] {
        &self.inner.values
    }

    /// The calls that led to where it was thrown, or where the host threw it on. Empty before it
    /// has left a guest.
    pub fn backtrace(&self) -> &Backtrace {
        &self.inner.backtrace
    }

    /// Says where it was thrown, if that is not known.
    pub(crate) fn set_backtrace(&mut self, backtrace: impl FnOnce() -> Backtrace) {
        if self.inner.backtrace.frames().is_empty() {
            self.inner.backtrace = backtrace();
        }
    }

    /// Its values, in cells.
    pub(crate) fn to_cells(&self, core: &StoreCore) -> Result<Vec<Cell>, Error> {
        core.check(self.inner.tag.store)?;
        let values = self.inner.values.iter().zip(self.inner.ty.params());
        values.map(|(value, ty)| value.to_cell(*ty, core)).collect()
    }

    /// The type of its tag.
    pub(crate) fn ty(&self) -> FuncType {
        self.inner.ty
    }
}

impl std::fmt::Debug for Exception {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exception")
            .field("tag", &self.inner.tag)
            .field("values", &self.inner.values)
            .field("backtrace", &self.inner.backtrace)
            .finish()
    }
}

impl std::fmt::Display for Exception {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("uncaught exception")
    }
}

impl std::error::Error for Exception {}

/// The exceptions of a store.
#[derive(Default)]
pub(crate) struct Exceptions {
    /// What handlers that keep no reference find the values in.
    passing: Vec<Cell>,
    kept: Vec<Place>,
    free: Vec<u32>,
    /// How many are kept, and how many cells they have.
    count: usize,
    cells: usize,
    /// When to look which of them are still referred to.
    next_look: usize,
}

/// A place for an exception that is kept.
struct Place {
    /// How often the place was used before.
    uses: u16,
    kept: Option<Kept>,
}

/// An exception that is kept.
pub(crate) struct Kept {
    /// The record that handlers see: see [`precast_abi::instance::ExceptionRecord`].
    record: Box<[Cell]>,
    pub(crate) tag: TagId,
    pub(crate) ty: FuncType,
    /// The host has it.
    is_held: AtomicBool,
    is_reached: bool,
}

impl Kept {
    pub(crate) fn values(&self) -> &[Cell] {
        &self.record[1..]
    }

    /// The address of its record, for guest code.
    pub(crate) fn address(&self) -> u64 {
        self.record.as_ptr().expose_provenance() as u64
    }
}

/// What the upper 16 bits of each `exnref` are: no address, and no small number.
const MARK: u64 = 0xe9c5;

fn reference(index: usize, uses: u16) -> u64 {
    MARK << 48 | u64::from(uses) << 32 | (index as u64 + 1)
}

/// The place that a reference names, if it looks like one.
fn place_of(bits: u64) -> Option<(usize, u16)> {
    if bits >> 48 != MARK {
        return None;
    }
    let index = (bits as u32).checked_sub(1)?;
    Some((index as usize, (bits >> 32) as u16))
}

impl Exceptions {
    /// The exception with this `exnref`.
    pub(crate) fn get(&self, bits: u64) -> Option<&Kept> {
        let (index, uses) = place_of(bits)?;
        let place = self.kept.get(index).filter(|place| place.uses == uses)?;
        place.kept.as_ref()
    }

    /// Leaves values where a handler finds them that keeps no reference: the address of a record.
    pub(crate) fn pass(&mut self, values: impl ExactSizeIterator<Item = Cell>) -> u64 {
        self.passing.clear();
        self.passing.push(Cell::default());
        self.passing.extend(values);
        self.passing.as_ptr().expose_provenance() as u64
    }

    /// Whether an exception of so many values can be kept before it is looked which are still
    /// referred to.
    pub(crate) fn has_room(&self, values: usize) -> bool {
        self.count < self.next_look.max(FIRST_LOOK) && self.fits(values)
    }

    fn fits(&self, values: usize) -> bool {
        self.count < MAX_EXCEPTIONS && self.cells + values < MAX_CELLS
    }

    /// Keeps an exception: the address of its record. `None` where there are too many.
    pub(crate) fn keep(
        &mut self,
        tag: TagId,
        ty: FuncType,
        values: impl ExactSizeIterator<Item = Cell>,
    ) -> Option<u64> {
        if !self.fits(values.len()) {
            return None;
        }
        let cells = values.len() + 1;
        let index = match self.free.pop() {
            Some(index) => index as usize,
            None => {
                self.kept.push(Place {
                    uses: 0,
                    kept: None,
                });
                self.kept.len() - 1
            }
        };
        let place = &mut self.kept[index];
        let mut record = Vec::with_capacity(cells);
        record.push(Cell([reference(index, place.uses), 0]));
        record.extend(values);
        let kept = place.kept.insert(Kept {
            record: record.into(),
            tag,
            ty,
            is_held: AtomicBool::new(false),
            is_reached: false,
        });
        self.count += 1;
        self.cells += cells;
        Some(kept.address())
    }

    /// Gives up what is not referred to: neither by one of `words`, nor by the host, nor by what is.
    pub(crate) fn look(&mut self, words: impl Iterator<Item = u64>) {
        let mut waiting = Vec::new();
        for (index, place) in self.kept.iter_mut().enumerate() {
            let Some(kept) = &mut place.kept else {
                continue;
            };
            kept.is_reached = kept.is_held.load(Ordering::Relaxed);
            if kept.is_reached {
                waiting.push(index);
            }
        }
        let mut looked_at = 0;
        for word in words {
            looked_at += 1;
            waiting.extend(self.reach(word));
        }
        while let Some(index) = waiting.pop() {
            let Some(kept) = &self.kept[index].kept else {
                continue;
            };
            let words: Vec<u64> = kept.references().collect();
            waiting.extend(words.into_iter().filter_map(|word| self.reach(word)));
        }
        for (index, place) in self.kept.iter_mut().enumerate() {
            if let Some(kept) = place.kept.take_if(|kept| !kept.is_reached) {
                self.count -= 1;
                self.cells -= kept.record.len();
                place.uses = place.uses.wrapping_add(1);
                self.free.push(index as u32);
            }
        }
        self.next_look = (self.count * 2).max(self.count + looked_at / WORDS_PER_THROW);
        self.next_look = self.next_look.min(MAX_EXCEPTIONS);
    }

    /// What kept exceptions carry, as words.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> {
        let kept = self.kept.iter().filter_map(|place| place.kept.as_ref());
        kept.flat_map(|kept| kept.values().iter().map(|cell| cell.0[0]))
    }

    /// Shows the references into the heap that kept exceptions carry.
    pub(crate) fn for_each_heap_ref(&mut self, mut look: impl FnMut(&mut u64)) {
        for kept in self.kept.iter_mut().filter_map(|place| place.kept.as_mut()) {
            let ty = kept.ty;
            for (cell, ty) in kept.record[1..].iter_mut().zip(ty.params()) {
                if matches!(ty, ValType::Ref(ty) if ty.is_any()) {
                    look(&mut cell.0[0]);
                }
            }
        }
    }

    /// Marks the exception that a word names: its place, if it was not marked before.
    fn reach(&mut self, word: u64) -> Option<usize> {
        let (index, uses) = place_of(word)?;
        let place = self
            .kept
            .get_mut(index)
            .filter(|place| place.uses == uses)?;
        let kept = place.kept.as_mut()?;
        let is_new = !std::mem::replace(&mut kept.is_reached, true);
        is_new.then_some(index)
    }
}

impl Kept {
    /// The values that refer to exceptions.
    fn references(&self) -> impl Iterator<Item = u64> {
        let values = self.ty.params().iter().zip(self.values());
        let is_exn = |ty: &ValType| matches!(ty, ValType::Ref(ty) if ty.is_exn());
        values.filter_map(move |(ty, cell)| is_exn(ty).then_some(cell.0[0]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: TagId = TagId {
        instance: 0,
        index: 0,
    };

    fn exn() -> ValType {
        ValType::Ref(crate::types::RefType::EXNREF)
    }

    fn keep(exceptions: &mut Exceptions, ty: FuncType, value: u64) -> u64 {
        let values = [Cell([value, 0])];
        let values = values.into_iter().take(ty.params().len());
        let values: Vec<_> = values.collect();
        let before: Vec<u64> = bits(exceptions);
        exceptions.keep(TAG, ty, values.into_iter()).expect("room");
        let mut after = bits(exceptions);
        after.retain(|bits| !before.contains(bits));
        after[0]
    }

    fn bits(exceptions: &Exceptions) -> Vec<u64> {
        let kept = exceptions
            .kept
            .iter()
            .filter_map(|place| place.kept.as_ref());
        kept.map(|kept| kept.record[0].0[0]).collect()
    }

    #[test]
    fn what_is_referred_to_stays_and_so_does_what_it_refers_to() {
        let mut exceptions = Exceptions::default();
        let plain = FuncType::new([ValType::I64], []);
        let chain = FuncType::new([exn()], []);
        let inner = keep(&mut exceptions, plain, 7);
        let outer = keep(&mut exceptions, chain, inner);
        let other = keep(&mut exceptions, plain, inner);
        exceptions.look([1, outer, u64::MAX, 0].into_iter());
        assert!(exceptions.get(inner).is_some() && exceptions.get(outer).is_some());
        assert!(exceptions.get(other).is_none());
        exceptions.look([other].into_iter());
        assert!(bits(&exceptions).is_empty());
        assert_eq!((exceptions.count, exceptions.cells), (0, 0));
    }

    #[test]
    fn a_place_that_is_used_again_is_not_what_it_was() {
        let mut exceptions = Exceptions::default();
        let ty = FuncType::new([], []);
        let first = keep(&mut exceptions, ty, 0);
        exceptions.look(std::iter::empty());
        let second = keep(&mut exceptions, ty, 0);
        assert_eq!(place_of(first).map(|p| p.0), place_of(second).map(|p| p.0));
        assert_ne!(first, second);
        assert!(exceptions.get(first).is_none());
        exceptions.look([first].into_iter());
        assert!(exceptions.get(second).is_none());
    }

    #[test]
    fn there_is_an_end_to_them() {
        let mut exceptions = Exceptions::default();
        let ty = FuncType::new([], []);
        for _ in 0..MAX_EXCEPTIONS {
            assert!(exceptions.keep(TAG, ty, std::iter::empty()).is_some());
        }
        assert!(exceptions.keep(TAG, ty, std::iter::empty()).is_none());
        exceptions.look(std::iter::empty());
        let values = || vec![Cell::default(); 1000].into_iter();
        let mut kept = 0;
        while exceptions.keep(TAG, ty, values()).is_some() {
            kept += 1;
        }
        assert!((1..=MAX_CELLS / 1000).contains(&kept));
    }
}
