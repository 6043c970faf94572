//! Bringing a slot into its first state: nothing that its user wrote is left.
//!
//! Instance data is copied from what it was; the pages of stack and memory that may have been
//! written are found in one of three ways:
//! - the slot's window is narrow: they are what is in it;
//! - it is open, and the system tells which were written. What the last user changed of them
//!   becomes the window, if it is little;
//! - the system does not tell: all of them are given back.
//!
//! # Safety
//!
//! This file holds unsafe code: it writes to instance data, stack and memory of a slot whose guest
//! does not run, and to which no one refers: its caller has the store exclusively.
#![allow(unsafe_code, reason = "pages of a slot are restored")]

use std::ops::Range;

use super::PoolInner;
use crate::error::Error;
use crate::instantiate::{InstanceData, is_mapped};
use crate::memory::{Home, MemoryEntity, shift};
use crate::module::Module;
use crate::store::StoreCore;
use crate::sys::{self, Access, PageAccount, keys};
use crate::window::{MAX_PAGES, MAX_RANGES, Window};

/// How slots of a pool are brought into their first state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetStrategy {
    /// By what is fastest for how a guest behaves.
    #[default]
    Auto,
    /// By copying the pages in a window that is learned: no system call, but a fault where a guest
    /// writes to a page for the first time.
    Window,
    /// By asking the system each time which pages were written (Linux 6.7 or newer).
    Scan,
    /// By giving all of the memory back.
    Discard,
}

/// How a slot was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Window,
    Scan,
    Discard,
}

/// Bytes that a memory grew by of which each page is guarded for itself, when they are taken back.
const MOST_GUARDED: usize = 1 << 20;
/// A slot whose window was opened this often in a row stays open.
const OPENED_TOO_OFTEN: u32 = 3;
/// One that had keyed pages this often, which had to be given up, gets no more.
const KEYED_TOO_OFTEN: u32 = 3;

/// What is needed to restore a slot.
#[derive(Debug)]
pub(super) struct Reset {
    /// What guest code may change of the instance data, as it was, up to the base.
    pristine: Box<[u8]>,
    base: usize,
    stack: usize,
    stack_top: usize,
    /// First byte past the memory as it was.
    memory_end: usize,
    images: Box<[Image]>,
    other_images: Box<[Image]>,
    /// What to copy or clear of a narrow window.
    segments: Box<[Segment]>,
    /// What the store had at first.
    memories: usize,
    tables: usize,
    memory_bytes: u64,
    table_elements: u64,
    /// Whether a table or another memory than the first lies outside of the slot.
    has_more: bool,
    /// Whether the slot's window has mappings of the pool's.
    pub(super) has_mappings: bool,
    opened: u32,
    keyed_often: u32,
    /// First byte past the memory as the last user left it that has grown it.
    grown_before: usize,
}

/// Initial contents of a piece of memory 0.
#[derive(Clone, Copy, Debug)]
struct Image {
    start: usize,
    len: usize,
    /// Where they are mapped for reading.
    bytes: usize,
    /// Whether giving pages back brings them back.
    is_mapped: bool,
}

/// Bytes to restore, from `from` or, if that is 0, with zeros.
#[derive(Clone, Copy, Debug)]
struct Segment {
    to: usize,
    from: usize,
    len: usize,
}

impl Segment {
    /// # Safety
    ///
    /// The bytes must be writable and no one may refer to them; those at `from` readable.
    #[inline]
    unsafe fn restore(&self) {
        let to = std::ptr::with_exposed_provenance_mut::<u8>(self.to);
        // SAFETY: the caller's promise.
        unsafe {
            match self.from {
                0 => to.write_bytes(0, self.len),
                from => {
                    let from = std::ptr::with_exposed_provenance::<u8>(from);
                    to.copy_from_nonoverlapping(from, self.len);
                }
            }
        }
    }

    /// # Safety
    ///
    /// The bytes must be readable, and those at `from`.
    unsafe fn is_restored(&self) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            let to = bytes(self.to, self.len);
            match self.from {
                0 => to.iter().all(|&byte| byte == 0),
                from => to == bytes(from, self.len),
            }
        }
    }
}

/// # Safety
///
/// The bytes must be readable, and not be written for `'a`.
unsafe fn bytes<'a>(start: usize, len: usize) -> &'a [u8] {
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance(start), len) }
}

impl Reset {
    /// Remembers the first state of a store that has one instance, in a slot of a pool, whose code
    /// has not run.
    pub(super) fn new(core: &StoreCore, module: &Module) -> Result<Reset, Error> {
        debug_assert!(core.rare.is_none(), "nothing was made but the instance");
        let instance = &core.instances[0];
        let region = &instance.slot.region;
        let size = module.metadata().header().layout.mutable as usize;
        // SAFETY: the part of the instance data that may change ends at the base; no guest runs.
        let pristine = unsafe { bytes(region.base - size, size) }.into();
        let own = core.memories.first().filter(|memory| memory.is_in_slot());
        let len = own.map_or(0, |memory| memory.def().len.max(memory.committed) as usize);
        let has_more = core.memories.iter().any(|memory| !memory.is_in_slot())
            || core.tables.iter().any(|table| table.storage.is_some());
        Ok(Reset {
            pristine,
            base: region.base,
            stack: region.stack,
            stack_top: region.stack_top,
            memory_end: region.base + len.next_multiple_of(sys::page_size()),
            images: images(module, core, true)?,
            other_images: images(module, core, false)?,
            segments: Box::default(),
            memories: core.memories.len(),
            tables: core.tables.len(),
            memory_bytes: core.memory_bytes,
            table_elements: core.table_elements,
            has_more,
            has_mappings: false,
            opened: 0,
            keyed_often: 0,
            grown_before: 0,
        })
    }

    /// Restores the store. `None` where the system refuses.
    #[inline]
    pub(super) fn run<T>(&mut self, core: &mut StoreCore, pool: &PoolInner<T>) -> Option<Way> {
        core.activation.renew();
        core.renew_id();
        let mut opened = self.open_key(core)?;
        if self.has_grown(core) {
            self.shrink(core, pool)?;
            if opened.is_none() {
                // It may have some by now.
                opened = self.open_key(core)?;
            }
        }
        let to = std::ptr::with_exposed_provenance_mut::<u8>(self.base - self.pristine.len());
        // SAFETY: the instance data, of which this was taken.
        unsafe { to.copy_from_nonoverlapping(self.pristine.as_ptr(), self.pristine.len()) };
        let instance = &core.instances[0];
        let window = instance.window.as_deref()?;
        let way = if window.is_narrow() {
            self.by_window(window);
            Way::Window
        } else {
            self.open_window(instance, window, pool)?
        };
        drop(opened);
        Some(way)
    }

    /// Opens keyed pages to this thread, if there are any; they are not any more, if they can be that
    /// no longer. `None` where the system refuses.
    #[inline]
    #[allow(clippy::option_option, reason = "nothing to open is no failure")]
    fn open_key(&mut self, core: &StoreCore) -> Option<Option<keys::Opened>> {
        let window = core.instances[0].window.as_deref()?;
        if window.keyed() == 0 {
            return Some(None);
        }
        if window.is_key_off() || !window.is_narrow() {
            self.keyed_often += 1;
            let instance = &core.instances[0];
            instance.remove_key(&core.activation, window).ok()?;
            core.activation.limits_changed();
            // What was keyed is guarded now, and no user has grown over that.
            self.grown_before = 0;
            return Some(None);
        }
        Some(Some(keys::Opened::new()))
    }

    #[inline]
    fn by_window(&mut self, window: &Window) {
        if window.take_wider() {
            self.plan(window);
        }
        for segment in &self.segments {
            // SAFETY: within the window, which is writable; images stay mapped.
            unsafe { segment.restore() };
        }
    }

    /// Works out what to restore of a narrow window.
    #[cold]
    fn plan(&mut self, window: &Window) {
        let stack = Segment {
            to: window.low(),
            from: 0,
            len: self.stack_top - window.low(),
        };
        let mut segments = vec![stack];
        for range in window.ranges() {
            self.each_segment(range, |segment| segments.push(segment));
        }
        self.segments = segments.into();
    }

    /// Calls `f` with the pieces of a range of memory, each of an image or of zeros.
    fn each_segment(&self, range: Range<usize>, mut f: impl FnMut(Segment)) {
        let mut at = range.start;
        for image in &self.images {
            let start = image.start.max(at);
            let end = (image.start + image.len).min(range.end);
            if start >= end {
                continue;
            }
            if at < start {
                f(Segment {
                    to: at,
                    from: 0,
                    len: start - at,
                });
            }
            f(Segment {
                to: start,
                from: image.bytes + (start - image.start),
                len: end - start,
            });
            at = end;
        }
        if at < range.end {
            f(Segment {
                to: at,
                from: 0,
                len: range.end - at,
            });
        }
    }

    /// Restores a slot whose window is open, and narrows it if that promises to pay.
    #[cold]
    fn open_window<T>(
        &mut self,
        instance: &InstanceData,
        window: &Window,
        pool: &PoolInner<T>,
    ) -> Option<Way> {
        let account = pool.account.as_ref().filter(|account| account.is_own());
        let strategy = pool.options.strategy;
        let way = match account {
            Some(account) if strategy != ResetStrategy::Discard => {
                let written = self.by_scan(instance, account, pool.options.keep_resident)?;
                let narrows = match strategy {
                    ResetStrategy::Auto => self.opened < OPENED_TOO_OFTEN,
                    other => other == ResetStrategy::Window,
                };
                if narrows {
                    self.narrow(window, written, pool)?;
                }
                Way::Scan
            }
            _ => {
                self.by_discard(instance)?;
                if strategy == ResetStrategy::Window {
                    let nothing = Written {
                        low: self.stack_top,
                        ..Written::default()
                    };
                    self.narrow(window, nothing, pool)?;
                }
                Way::Discard
            }
        };
        Some(way)
    }

    /// Restores what the system says was written; answers what was not as it should be.
    fn by_scan(
        &self,
        instance: &InstanceData,
        account: &PageAccount,
        keep_resident: usize,
    ) -> Option<Written> {
        let page = sys::page_size();
        let mut runs = Vec::new();
        // The page that instance data begins in is always written.
        let last = self.stack_top & !(page - 1);
        account
            .written(self.stack..last, |run| runs.push(run))
            .ok()?;
        let low = runs.first().map_or(last, |run| run.start);
        // SAFETY: the slot's stack, which is accessible: the window is open.
        unsafe { zeros(low, self.stack_top - low).restore() };
        runs.clear();
        let end = self.memory_end;
        account.written(self.base..end, |run| runs.push(run)).ok()?;
        let mut written = Written {
            low,
            ..Written::default()
        };
        let mut kept = 0;
        for run in runs {
            kept += run.len();
            let gives_back = kept > keep_resident && self.can_discard(&run);
            if gives_back {
                written.too_much = true;
                self.discard(instance, run)?;
                continue;
            }
            for at in run.step_by(page) {
                self.restore_page(at, page, &mut written);
            }
        }
        Some(written)
    }

    fn restore_page(&self, at: usize, page: usize, written: &mut Written) {
        let mut changed = false;
        self.each_segment(at..at + page, |segment| {
            // SAFETY: a page of the slot's memory, which is accessible: the window is open.
            unsafe {
                if !segment.is_restored() {
                    changed = true;
                    segment.restore();
                }
            }
        });
        if changed {
            written.add(at..at + page);
        }
    }

    /// Whether giving back the pages of a run restores them.
    fn can_discard(&self, run: &Range<usize>) -> bool {
        self.images.iter().all(|image| {
            image.is_mapped || image.start >= run.end || image.start + image.len <= run.start
        })
    }

    fn discard(&self, instance: &InstanceData, run: Range<usize>) -> Option<()> {
        if run.is_empty() {
            return Some(());
        }
        let start = instance.slot.region.start;
        let range = run.start - start..run.end - start;
        // SAFETY: pages of the slot, to which no one refers.
        unsafe { instance.slot.reservation.discard(range) }.ok()
    }

    /// Gives back stack and memory, and copies what does not come back by itself.
    fn by_discard(&self, instance: &InstanceData) -> Option<()> {
        let page = sys::page_size();
        let last = self.stack_top & !(page - 1);
        self.discard(instance, self.stack..last)?;
        // SAFETY: the end of the stack, in the page where instance data begins.
        unsafe { zeros(last, self.stack_top - last).restore() };
        self.discard(instance, self.base..self.memory_end)?;
        for image in self.images.iter().filter(|image| !image.is_mapped) {
            let segment = Segment {
                to: image.start,
                from: image.bytes,
                len: image.len,
            };
            // SAFETY: within the memory, which is accessible: the window is open.
            unsafe { segment.restore() };
        }
        Some(())
    }

    /// Narrows the window to what was written, unless that is too much.
    fn narrow<T>(&mut self, window: &Window, written: Written, pool: &PoolInner<T>) -> Option<()> {
        let page = sys::page_size();
        let deep = self.stack_top - written.low > MAX_PAGES * page;
        let Some(ranges) = written.into_ranges(page).filter(|_| !deep) else {
            self.opened += 1;
            return Some(());
        };
        if !self.has_mappings {
            if !pool.take_mappings() {
                self.opened = OPENED_TOO_OFTEN;
                return Some(());
            }
            self.has_mappings = true;
        }
        let low = ranges.low & !(page - 1);
        if window.narrow(low, &ranges.memory) {
            Some(())
        } else {
            self.opened = OPENED_TOO_OFTEN;
            window.open().then_some(())
        }
    }

    /// Whether the store has anything that it did not have at first.
    #[inline]
    fn has_grown(&self, core: &StoreCore) -> bool {
        self.has_more
            || core.memory_bytes != self.memory_bytes
            || core.table_elements != self.table_elements
            || core.instances.len() != 1
            || core.memories.len() != self.memories
            || core.tables.len() != self.tables
            || core.rare.is_some()
            || core.handles.get().is_some()
    }

    /// Takes away what the store did not have at first.
    #[cold]
    fn shrink<T>(&mut self, core: &mut StoreCore, pool: &PoolInner<T>) -> Option<()> {
        core.memories.truncate(self.memories);
        core.tables.truncate(self.tables);
        if core.instances.len() > 1 {
            core.activation
                .keep_region(core.instances[0].slot.region.start);
            core.instances.truncate(1);
        }
        core.rare = None;
        core.handles.take();
        core.heap = core.heap.filter(|heap| (*heap as usize) < self.memories);
        core.memory_bytes = self.memory_bytes;
        core.table_elements = self.table_elements;
        for memory in &core.memories {
            if memory.is_in_slot() {
                self.shrink_memory(core, memory, pool)?;
            } else {
                self.restore_other_memory(memory)?;
            }
        }
        core.tables.iter_mut().try_for_each(|table| {
            // SAFETY: no guest runs, and the definition is about to be restored.
            unsafe { table.restore(&mut self.pristine, self.base) }
        })
    }
}

impl Reset {
    /// Takes back what memory 0 has grown by.
    fn shrink_memory<T>(
        &mut self,
        core: &StoreCore,
        memory: &MemoryEntity,
        pool: &PoolInner<T>,
    ) -> Option<()> {
        let page = sys::page_size();
        let end = self.base + (memory.def().len as usize).next_multiple_of(page);
        let instance = &core.instances[0];
        let window = instance.window.as_ref()?;
        window.set_key_open(false);
        let begin = self.memory_end.max(window.keyed());
        if end <= begin {
            return Some(());
        }
        let as_before = std::mem::replace(&mut self.grown_before, end) == end;
        if as_before
            && self.may_be_keyed(end, window, pool)
            && self.add_key(end, core, window, pool)?
        {
            return Some(());
        }
        let start = instance.slot.region.start;
        let guarded = begin - start..end - start;
        if guarded.len() <= MOST_GUARDED {
            // SAFETY: pages of the slot, to which no one refers.
            let done = unsafe { instance.slot.reservation.guard(guarded) };
            if done.is_ok() {
                window.set_guarded(window.guarded().max(end));
                return Some(());
            }
        }
        if begin < window.guarded() {
            // Guards that are still there would stay, whatever the access.
            let guarded = begin - start..window.guarded() - start;
            instance.slot.reservation.unguard(guarded).ok()?;
        }
        let end = end.max(window.guarded());
        self.discard(instance, begin..end)?;
        // SAFETY: pages of the slot, to which no one refers.
        let done = unsafe { sys::protect_pages(begin..end, Access::None) };
        window.set_guarded(self.memory_end);
        done.then_some(())
    }

    /// Whether pages that the memory has grown by can have a key: they are guarded otherwise, and its
    /// window is known.
    fn may_be_keyed<T>(&self, end: usize, window: &Window, pool: &PoolInner<T>) -> bool {
        let strategy = pool.options.strategy;
        window.keyed() == 0
            && window.guarded() >= end
            && window.is_narrow()
            && end - self.memory_end <= MOST_GUARDED
            && self.keyed_often < KEYED_TOO_OFTEN
            && pool.options.protection_keys
            && matches!(strategy, ResetStrategy::Auto | ResetStrategy::Window)
            && keys::have_key()
    }

    /// Keeps what the memory has grown by as keyed pages. Says whether the window has room for those of
    /// them that were written.
    #[cold]
    fn add_key<T>(
        &mut self,
        end: usize,
        core: &StoreCore,
        window: &Window,
        pool: &PoolInner<T>,
    ) -> Option<bool> {
        self.keyed_often += 1;
        let page = sys::page_size();
        let Some(account) = pool.account.as_ref().filter(|account| account.is_own()) else {
            return Some(false);
        };
        let memory: Vec<_> = window.ranges().collect();
        let mut written = Written {
            pages: memory.iter().map(|range| range.len() / page).sum(),
            memory,
            ..Written::default()
        };
        let add = |run: Range<usize>| run.step_by(page).for_each(|at| written.add(at..at + page));
        account.written(self.memory_end..end, add).ok()?;
        let Some(ranges) = written.into_ranges(page) else {
            return Some(false);
        };
        if !window.add_key(end, &ranges.memory) {
            return None;
        }
        core.activation.set_keyed(window);
        self.keyed_often -= 1;
        Some(true)
    }

    /// Restores a memory that lies outside of the slot.
    fn restore_other_memory(&self, memory: &MemoryEntity) -> Option<()> {
        let Home::Own(reservation) = &memory.home else {
            return Some(());
        };
        let page = sys::page_size();
        let len = (memory.def().len as usize).next_multiple_of(page);
        let declared = memory.declared;
        let least = shift(declared.min, declared.page_size_log2)? as usize;
        let least = least.next_multiple_of(page);
        if len == 0 {
            return Some(());
        }
        // SAFETY: the memory is the store's, and no one refers to it.
        unsafe { reservation.discard(0..len) }.ok()?;
        if least < len {
            // SAFETY: see above.
            unsafe { reservation.protect(least..len, Access::None) }.ok()?;
        }
        let start = reservation.base().addr().get();
        let images = self.other_images.iter().filter(|image| !image.is_mapped);
        for image in images.filter(|image| (start..start + len).contains(&image.start)) {
            let segment = Segment {
                to: image.start,
                from: image.bytes,
                len: image.len,
            };
            // SAFETY: within the memory, which is accessible.
            unsafe { segment.restore() };
        }
        Some(())
    }

    /// Makes the instance data as it is now that which is restored, if all else is as it was.
    pub(super) fn keep_instance_data(&mut self, core: &StoreCore) -> bool {
        let window = core.instances[0].window.as_deref();
        if self.has_grown(core) || !self.is_memory_clean(window) {
            return false;
        }
        // SAFETY: the instance data, whose guest does not run.
        let now = unsafe { bytes(self.base - self.pristine.len(), self.pristine.len()) };
        self.pristine.copy_from_slice(now);
        true
    }

    /// Whether every byte is as it was at first.
    pub(super) fn is_clean(&self, core: &StoreCore) -> bool {
        let instance = &core.instances[0];
        let Some(window) = &instance.window else {
            return false;
        };
        let low = window.low();
        let size = self.pristine.len();
        // SAFETY: the instance data.
        let data = unsafe { bytes(self.base - size, size) };
        // SAFETY: the accessible stack.
        let stack = unsafe { zeros(low, self.stack_top - low).is_restored() };
        data == &*self.pristine && stack && self.is_memory_clean(Some(window))
    }

    fn is_memory_clean(&self, window: Option<&Window>) -> bool {
        let mut is_clean = true;
        let keyed = window.map_or(0, Window::keyed);
        let _opened = (keyed != 0).then(keys::Opened::new);
        self.each_segment(self.base..self.memory_end.max(keyed), |segment| {
            // SAFETY: the accessible memory, whose guest does not run.
            is_clean = is_clean && unsafe { segment.is_restored() };
        });
        is_clean
    }
}

fn zeros(to: usize, len: usize) -> Segment {
    Segment { to, from: 0, len }
}

/// The images of memories in the slot, or of those outside of it.
fn images(module: &Module, core: &StoreCore, in_slot: bool) -> Result<Box<[Image]>, Error> {
    let metadata = module.metadata();
    let mut images = Vec::new();
    for index in 0..metadata.header().image_runs.len {
        let run = metadata.image_run(index)?;
        let memory = &core.memories[core.instances[0].memories[run.memory as usize] as usize];
        if memory.is_in_slot() != in_slot {
            continue;
        }
        let bytes = module
            .image()
            .ok_or_else(|| super::refused("map", std::io::ErrorKind::OutOfMemory.into()))?;
        let bytes = &bytes[run.image_offset as usize..][..run.len as usize];
        images.push(Image {
            start: memory.raw().0.addr() + run.memory_offset as usize,
            len: bytes.len(),
            bytes: bytes.as_ptr().expose_provenance(),
            is_mapped: is_mapped(module, &run, memory),
        });
    }
    images.sort_unstable_by_key(|image| image.start);
    Ok(images.into())
}

/// What was not as it should be.
#[derive(Default)]
struct Written {
    /// Lowest page of the stack.
    low: usize,
    memory: Vec<Range<usize>>,
    pages: usize,
    /// Whether there was more than was looked at.
    too_much: bool,
}

impl Written {
    fn add(&mut self, page: Range<usize>) {
        self.pages += 1;
        self.too_much |= self.pages > MAX_PAGES;
        match self.memory.last_mut() {
            Some(last) if last.end == page.start => last.end = page.end,
            _ => self.memory.push(page),
        }
    }

    /// As few ranges as a window has, if they hold no more than it may.
    fn into_ranges(mut self, page: usize) -> Option<Written> {
        if self.too_much {
            return None;
        }
        while self.memory.len() > MAX_RANGES {
            let gap = |index: &usize| self.memory[*index].start - self.memory[index - 1].end;
            let closest = (1..self.memory.len()).min_by_key(gap)?;
            let joined = self.memory.remove(closest);
            self.memory[closest - 1].end = joined.end;
        }
        let bytes: usize = self.memory.iter().map(Range::len).sum();
        (bytes <= MAX_PAGES * page).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 4096;

    fn written(pages: &[usize]) -> Option<Vec<(usize, usize)>> {
        let mut written = Written::default();
        for page in pages {
            written.add(page * PAGE..(page + 1) * PAGE);
        }
        let ranges = written.into_ranges(PAGE)?.memory;
        Some(
            ranges
                .into_iter()
                .map(|r| (r.start / PAGE, r.end / PAGE))
                .collect(),
        )
    }

    #[test]
    fn few_ranges_hold_what_was_written() {
        assert_eq!(written(&[]), Some(vec![]));
        assert_eq!(written(&[0, 1, 2]), Some(vec![(0, 3)]));
        assert_eq!(written(&[0, 2, 3, 7]), Some(vec![(0, 1), (2, 4), (7, 8)]));
        let far = written(&[0, 10, 20, 25, 35]).expect("little enough");
        assert_eq!(far, [(0, 1), (10, 11), (20, 26), (35, 36)]);
    }

    #[test]
    fn too_much_is_no_window() {
        let pages: Vec<usize> = (0..MAX_PAGES).collect();
        assert_eq!(written(&pages), Some(vec![(0, MAX_PAGES)]));
        let pages: Vec<usize> = (0..=MAX_PAGES).collect();
        assert_eq!(written(&pages), None);
        assert_eq!(
            written(&[0, 100, 200, 300, 400]),
            None,
            "joined it is too much"
        );
    }
}
