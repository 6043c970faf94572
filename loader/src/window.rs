//! The writable window of a pooled slot: which pages its guest may have written.
//!
//! ```text
//!   stack    low             stack_top    base                                  base + len
//!   | none   | writable stack | instance data | writable | read-only | writable | read-only |
//!            '-- always writable -------------'  ranges[0]            ranges[1]
//! ```
//!
//! A slot starts *open*: all of its stack and memory may be written, and nobody knows what was.
//! When its guest is done, the pages that it wrote are looked for, and only those stay writable
//! from then on: the slot is *narrow*. Restoring it is copying these few pages, without asking the
//! system for anything. A write elsewhere faults; the signal handler makes the page writable, and
//! the guest goes on. Where that happens too often, the slot is opened again.
//!
//! What a memory grows by is no part of the window, and inaccessible until it does: given back and
//! guarded, which costs system calls each time. Where a guest grows its memory to the same length
//! again and again, and the CPU has protection keys, these pages are *keyed* instead:
//!
//! ```text
//!   base       base + first length       keyed
//!   | window                | window, behind the key of pools | guarded or nothing |
//! ```
//!
//! They stay what they are, and are restored as those before them, but a thread has no right to them
//! unless it runs the guest of a store whose memory has grown over all of them. That right is in
//! a register of the thread: each entry of a store with keyed pages sets it to what the store's
//! state says and puts back what it was (`crate::entry`), and growing sets it. Nothing but the
//! exactness of bounds rests on it: what a guest wrote there is restored whoever wrote it.
//!
//! # Safety
//!
//! This file holds unsafe code: it changes the access of pages of the slot and writes to them. The
//! window belongs to whoever has the store; while its guest runs, or host code of its thread writes
//! to its memory, the thread's signal handler may widen it. Fields are atomic because of that
//! handler, not because of other threads.
#![allow(unsafe_code, reason = "pages of a slot are protected and restored")]

use std::ops::Range;
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use crate::slot;
use crate::sys::{self, Access};

/// Most runs of writable pages of memory: each costs two mappings.
pub(crate) const MAX_RANGES: usize = 4;
/// Most pages of memory, and of stack, that a narrow window holds: restoring more costs more than
/// finding out what was written.
pub(crate) const MAX_PAGES: usize = 64;

/// Keyed pages are behind their key.
const ON: u8 = 0;
/// Some of them may not be.
const PARTLY: u8 = 1;
/// None of them is.
const OFF: u8 = 2;

/// Who is to read a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// The calling thread, and the system calls that it makes.
    Here,
    /// Any thread.
    Anywhere,
}

/// See the file's documentation.
#[derive(Debug)]
pub(crate) struct Window {
    page: usize,
    /// Lowest byte of the guest stack.
    stack: usize,
    /// First byte of the page that instance data begins in: the stack ends in it or below.
    stack_end: usize,
    base: usize,
    /// Bytes from the base that are accessible whatever the length of the memory.
    committed: usize,
    /// First byte past the memory as it was at first, where what it grows by becomes accessible only
    /// then: that is given back afterwards, and no part of the window.
    grown: usize,
    /// From there up to here pages that memory does not have now are guarded, not unmapped: cheaper to
    /// get back.
    guarded: AtomicUsize,
    /// First byte past the keyed pages; 0 where there are none.
    keyed: AtomicUsize,
    /// Whether the memory has grown over them.
    is_key_open: AtomicBool,
    /// Whether their key was taken off, for the time until the slot is restored: [`ON`], [`PARTLY`] or
    /// [`OFF`].
    key: AtomicU8,
    is_narrow: AtomicBool,
    /// Whether it is wider than when the segments to restore were worked out.
    is_wider: AtomicBool,
    low: AtomicUsize,
    ranges: [(AtomicUsize, AtomicUsize); MAX_RANGES],
    count: AtomicUsize,
    /// Where the next fault is expected if writes go on in a row, and how many pages to open then.
    next: AtomicUsize,
    ahead: AtomicUsize,
}

impl Window {
    /// The window of a slot, open.
    pub(crate) fn new(
        stack: usize,
        stack_top: usize,
        base: usize,
        committed: usize,
        len: usize,
    ) -> Window {
        let page = sys::page_size();
        let grown = match committed {
            0 => base + len.next_multiple_of(page),
            _ => usize::MAX,
        };
        Window {
            page,
            stack,
            stack_end: stack_top & !(page - 1),
            base,
            committed,
            grown,
            guarded: AtomicUsize::new(grown),
            keyed: AtomicUsize::new(0),
            is_key_open: AtomicBool::new(false),
            key: AtomicU8::new(ON),
            is_narrow: AtomicBool::new(false),
            is_wider: AtomicBool::new(false),
            low: AtomicUsize::new(stack),
            ranges: Default::default(),
            count: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            ahead: AtomicUsize::new(0),
        }
    }

    pub(crate) fn is_narrow(&self) -> bool {
        self.is_narrow.load(Relaxed)
    }

    /// Whether it became wider since this was asked last.
    pub(crate) fn take_wider(&self) -> bool {
        // Plain loads and stores: only this thread and its handler use it.
        let wider = self.is_wider.load(Relaxed);
        if wider {
            self.is_wider.store(false, Relaxed);
        }
        wider
    }

    /// See the field.
    pub(crate) fn guarded(&self) -> usize {
        self.guarded.load(Relaxed)
    }

    /// Where guarded pages end from now on.
    pub(crate) fn set_guarded(&self, end: usize) {
        self.guarded.store(end, Relaxed);
    }

    /// Lowest byte of the stack that may have been written.
    pub(crate) fn low(&self) -> usize {
        self.low.load(Relaxed)
    }

    /// The writable runs of memory, in rising order, of a narrow window.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let count = self.count.load(Relaxed).min(MAX_RANGES);
        self.ranges[..count]
            .iter()
            .map(|(start, end)| start.load(Relaxed)..end.load(Relaxed))
    }

    /// First byte past the accessible memory.
    pub(crate) fn end(&self) -> usize {
        // SAFETY: windows are those of living instances.
        let len = unsafe { slot::header(self.base) }.memory0.len as usize;
        self.base + len.max(self.committed).next_multiple_of(self.page)
    }

    /// See the field `grown`.
    pub(crate) fn first_grown(&self) -> usize {
        self.grown
    }

    /// First byte that is no part of the window whatever the length of the memory.
    fn limit(&self) -> usize {
        self.grown.max(self.keyed())
    }

    /// First byte past the pages of the window.
    fn window_end(&self) -> usize {
        self.end().min(self.grown).max(self.keyed())
    }

    /// See the field.
    #[inline]
    pub(crate) fn keyed(&self) -> usize {
        self.keyed.load(Relaxed)
    }

    /// Whether a thread that runs the guest has the right to keyed pages.
    #[inline]
    pub(crate) fn is_key_open(&self) -> bool {
        self.is_key_open.load(Relaxed)
    }

    /// Whether there are keyed pages whose key was taken off, at least in part.
    pub(crate) fn is_key_off(&self) -> bool {
        self.key.load(Acquire) != ON
    }

    /// The memory has grown over all keyed pages, or not any more. The right of the thread that runs
    /// the guest is the caller's concern.
    pub(crate) fn set_key_open(&self, open: bool) {
        self.is_key_open.store(open, Relaxed);
    }

    /// Makes what was accessible because the memory has grown, up to `end`, keyed: `ranges` are the
    /// window's from now on, within the memory up to there. They are writable, and all other pages
    /// only readable. `false` where the system refuses: then the slot is of no use any more.
    pub(crate) fn add_key(&self, end: usize, ranges: &[Range<usize>]) -> bool {
        let all = self.grown..end;
        // SAFETY: pages of the slot, whose guest does not run and to which nobody refers.
        if !unsafe { sys::keys::protect_keyed(all, Access::Read, true) } {
            return false;
        }
        self.keyed.store(end, Relaxed);
        let low = self.low();
        ranges.iter().all(|range| {
            // SAFETY: see above; access is only added.
            unsafe { sys::protect_pages(range.clone(), Access::ReadWrite) }
        }) && self.narrow(low, ranges)
    }

    /// Makes keyed pages accessible as those are that memory has just grown by. `false` where the
    /// system refuses: then it is to be tried again before the guest runs with a memory that has
    /// grown.
    pub(crate) fn remove_key(&self) -> bool {
        let keyed = self.grown..self.keyed();
        self.key.store(PARTLY, Release);
        // SAFETY: pages of the slot; access is only added.
        if !unsafe { sys::keys::protect_keyed(keyed, Access::ReadWrite, false) } {
            return false;
        }
        self.keyed.store(0, Relaxed);
        self.is_key_open.store(false, Relaxed);
        self.key.store(ON, Release);
        let count = self.count.load(Relaxed).min(MAX_RANGES);
        let within = |range: &Range<usize>| range.start < self.grown;
        self.count
            .store(self.ranges().take_while(within).count(), Relaxed);
        for (_, end) in &self.ranges[..count] {
            end.store(end.load(Relaxed).min(self.grown), Relaxed);
        }
        self.is_wider.store(true, Relaxed);
        true
    }

    /// Makes all of the memory readable to those: if need be, by taking the key off for the time until
    /// the slot is restored. `false` where the system refuses.
    #[inline]
    pub(crate) fn make_readable(&self, to: Readers) -> bool {
        !self.is_key_open()
            || self.key.load(Acquire) == OFF
            || (to == Readers::Here && sys::keys::is_open())
            || self.take_key_off()
    }

    /// May be called on several threads at a time, as long as no guest runs.
    #[cold]
    fn take_key_off(&self) -> bool {
        let (mut at, end) = (self.grown, self.keyed());
        let mut done = true;
        // Unless another thread has done it: whoever has is not to find it undone.
        let _ = self.key.compare_exchange(ON, PARTLY, AcqRel, Acquire);
        for range in self.ranges() {
            if range.end <= at {
                continue;
            }
            let (start, range_end) = (range.start.max(at), range.end);
            // SAFETY: pages of the slot, which keep the access that they have.
            done &= unsafe { sys::keys::protect_keyed(at..start, Access::Read, false) };
            let inside = start..range_end;
            // SAFETY: see above.
            done &= unsafe { sys::keys::protect_keyed(inside, Access::ReadWrite, false) };
            at = range_end;
        }
        let access = match self.is_narrow() {
            true => Access::Read,
            false => Access::ReadWrite,
        };
        // SAFETY: see above.
        done &= unsafe { sys::keys::protect_keyed(at..end, access, false) };
        if done {
            self.key.store(OFF, Release);
        }
        done
    }

    /// Makes `len` bytes at `start` writable, where they lie in the memory.
    #[inline]
    pub(crate) fn make_writable(&self, start: usize, len: usize) -> bool {
        if !self.is_narrow() || len == 0 || start >= self.limit() {
            return true;
        }
        let inside = |range: Range<usize>| range.start <= start && start + len <= range.end;
        self.ranges().any(inside) || self.make_writable_slowly(start, len)
    }

    #[cold]
    fn make_writable_slowly(&self, start: usize, len: usize) -> bool {
        let end = (start + len).min(self.limit());
        let mut at = start & !(self.page - 1);
        while at < end && self.is_narrow() {
            let known = self.ranges().find(|range| range.contains(&at));
            at = match known {
                Some(range) => range.end,
                None if self.widen_memory(at, (end - at).div_ceil(self.page)) => continue,
                None => return false,
            };
        }
        true
    }

    /// Whether a fault at `address` was a write that the window did not expect, and may go on now.
    /// Fit for a signal handler.
    pub(crate) fn widen(&self, address: usize) -> bool {
        if !self.is_narrow() {
            return false;
        }
        if (self.stack..self.low()).contains(&address) {
            return self.widen_stack(address);
        }
        if !(self.base..self.end()).contains(&address)
            || self.ranges().any(|range| range.contains(&address))
        {
            return false;
        }
        let at = address & !(self.page - 1);
        // Writes in a row: each fault opens twice as many pages as the one before.
        let ahead = match at == self.next.load(Relaxed) {
            true => self.ahead.load(Relaxed) * 2,
            false => 1,
        };
        self.ahead.store(ahead, Relaxed);
        self.widen_memory(at, ahead)
    }

    fn widen_stack(&self, address: usize) -> bool {
        let low = self.low();
        let used = self.stack_end - low;
        let new = (address & !(self.page - 1))
            .min(low.saturating_sub(used))
            .max(self.stack);
        if (self.stack_end - new) / self.page > MAX_PAGES {
            return self.open();
        }
        self.is_wider.store(true, Relaxed);
        // SAFETY: pages of the slot's stack; access is only added.
        if !unsafe { sys::protect_pages(new..low, Access::ReadWrite) } {
            return self.open();
        }
        self.low.store(new, Relaxed);
        true
    }

    /// Makes `pages` pages from `at` on writable, or as many as there are before the next range.
    fn widen_memory(&self, at: usize, pages: usize) -> bool {
        let memory_end = self.end();
        let mut end = at
            .saturating_add(pages * self.page)
            .min(memory_end)
            .min(self.limit());
        let mut total = 0;
        let count = self.count.load(Relaxed);
        let mut position = count;
        for (index, range) in self.ranges().enumerate() {
            total += range.len();
            if range.start > at {
                end = end.min(range.start);
                position = position.min(index);
            }
        }
        if at >= end {
            return false;
        }
        let joins_before = position > 0 && self.ranges[position - 1].1.load(Relaxed) == at;
        let joins_after = position < count && self.ranges[position].0.load(Relaxed) == end;
        let full = count == MAX_RANGES && !joins_before && !joins_after;
        if full || (total + end - at) / self.page > MAX_PAGES {
            return self.open();
        }
        // SAFETY: pages of the slot's memory; access is only added.
        if !unsafe { sys::protect_pages(at..end, Access::ReadWrite) } {
            return self.open();
        }
        self.is_wider.store(true, Relaxed);
        self.next.store(end, Relaxed);
        match (joins_before, joins_after) {
            (true, true) => {
                let last = self.ranges[position].1.load(Relaxed);
                self.ranges[position - 1].1.store(last, Relaxed);
                self.remove(position, count);
            }
            (true, false) => self.ranges[position - 1].1.store(end, Relaxed),
            (false, true) => self.ranges[position].0.store(at, Relaxed),
            (false, false) => self.insert(position, count, at..end),
        }
        true
    }

    fn insert(&self, position: usize, count: usize, range: Range<usize>) {
        for index in (position..count).rev() {
            let (start, end) = &self.ranges[index];
            let (to_start, to_end) = &self.ranges[index + 1];
            to_start.store(start.load(Relaxed), Relaxed);
            to_end.store(end.load(Relaxed), Relaxed);
        }
        self.ranges[position].0.store(range.start, Relaxed);
        self.ranges[position].1.store(range.end, Relaxed);
        self.count.store(count + 1, Relaxed);
    }

    fn remove(&self, position: usize, count: usize) {
        for index in position + 1..count {
            let (start, end) = &self.ranges[index];
            let (to_start, to_end) = &self.ranges[index - 1];
            to_start.store(start.load(Relaxed), Relaxed);
            to_end.store(end.load(Relaxed), Relaxed);
        }
        self.count.store(count - 1, Relaxed);
    }

    /// Makes everything writable. `false` where the system refuses. Fit for a signal handler.
    pub(crate) fn open(&self) -> bool {
        if !self.is_narrow() {
            return true;
        }
        // SAFETY: pages of the slot; access is only added. The neighbours have it already, so that
        // mappings only become fewer. Keyed pages stay behind their key.
        let end = self.end().max(self.keyed());
        // SAFETY: see above.
        let opened = unsafe { sys::protect_pages(self.stack..end, Access::ReadWrite) };
        if opened {
            self.is_narrow.store(false, Relaxed);
            self.low.store(self.stack, Relaxed);
            self.count.store(0, Relaxed);
        }
        opened
    }

    /// Leaves only the stack from `low` on and `ranges` of the memory writable: in rising order, at
    /// most [`MAX_RANGES`], of whole pages, and not touching. `false` where the system refuses: then
    /// the window may be anything and must be opened.
    pub(crate) fn narrow(&self, low: usize, ranges: &[Range<usize>]) -> bool {
        let mut at = self.base;
        let end = self.window_end();
        let low = low.clamp(self.stack, self.stack_end);
        // From here on a failure leaves pages that are less accessible than `open` says.
        self.is_narrow.store(true, Relaxed);
        self.is_wider.store(true, Relaxed);
        self.low.store(low, Relaxed);
        self.count.store(0, Relaxed);
        self.next.store(0, Relaxed);
        // SAFETY: pages of the slot, whose guest does not run and to which nobody refers.
        let mut done = unsafe { sys::protect_pages(self.stack..low, Access::None) };
        for range in ranges.iter().take(MAX_RANGES) {
            // SAFETY: see above.
            done &= unsafe { sys::protect_pages(at..range.start, Access::Read) };
            self.insert(
                self.count.load(Relaxed),
                self.count.load(Relaxed),
                range.clone(),
            );
            at = range.end;
        }
        // SAFETY: see above.
        done && unsafe { sys::protect_pages(at..end, Access::Read) }
    }
}
