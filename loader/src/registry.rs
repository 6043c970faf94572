//! Which code is whose: the ranges of mapped objects' text, readable in a signal handler.
//!
//! # Safety
//!
//! This file holds unsafe code. Readers announce themselves in `READERS` before they load the
//! pointer to the current table and take themselves out when they are done with it. A writer
//! publishes a new table first and frees old ones only when it sees no reader after that: a reader
//! that comes later can only see the new table. (All of it sequentially consistent.)
#![allow(unsafe_code, reason = "lock-free reading from a signal handler")]

use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, Weak};

use crate::module::{Module, ModuleInner};
use crate::object::MappedObject;

/// The text of one mapped object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodeRange {
    /// First byte.
    pub(crate) start: usize,
    /// First byte past the end.
    pub(crate) end: usize,
    object: *const MappedObject,
}

// SAFETY: the pointer is followed only while the object is mapped: see `CodeRange::object`.
unsafe impl Send for CodeRange {}

impl CodeRange {
    /// The object whose text this is.
    ///
    /// # Safety
    ///
    /// The object must stay mapped for `'a`: because guest code of it runs or waits on this
    /// thread, or a store that holds it is borrowed.
    pub(crate) unsafe fn object<'a>(&self) -> &'a MappedObject {
        // SAFETY: registered objects live at least as long as they are mapped.
        unsafe { &*self.object }
    }
}

/// A range and whose it is.
#[derive(Clone, Debug)]
struct Entry {
    range: CodeRange,
    module: Weak<ModuleInner>,
}

/// In the order of addresses.
type Table = Vec<Entry>;

static TABLE: AtomicPtr<Table> = AtomicPtr::new(std::ptr::null_mut());
static READERS: AtomicUsize = AtomicUsize::new(0);
static WRITER: Mutex<Retired> = Mutex::new(Retired(Vec::new()));

/// Tables that a reader may still be looking at.
struct Retired(Vec<*mut Table>);

// SAFETY: tables are plain data and references to modules, which may be let go of on any thread.
unsafe impl Send for Retired {}

/// The range that holds `pc`. Lock-free; fit for a signal handler.
pub(crate) fn find(pc: usize) -> Option<CodeRange> {
    read(pc, |entry| entry.range)
}

/// The module that holds `pc` in its text, kept open; `None` where there is none, or where it is being
/// closed. Not for a signal handler: to let go of it may close it.
pub(crate) fn module_at(pc: usize) -> Option<Module> {
    let inner = read(pc, |entry| entry.module.upgrade())??;
    Some(Module::from_inner(inner))
}

/// What `look` makes of the entry that holds `pc`. It must not panic.
fn read<R>(pc: usize, look: impl FnOnce(&Entry) -> R) -> Option<R> {
    READERS.fetch_add(1, Ordering::SeqCst);
    // SAFETY: as the file says, no table is freed while `READERS` counts us.
    let found = unsafe { TABLE.load(Ordering::SeqCst).as_ref() }.and_then(|table| {
        let index = table
            .partition_point(|entry| entry.range.start <= pc)
            .checked_sub(1)?;
        let entry = &table[index];
        (pc < entry.range.end).then(|| look(entry))
    });
    READERS.fetch_sub(1, Ordering::SeqCst);
    found
}

/// A range that is registered until this is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    start: usize,
}

impl Registration {
    /// Registers the text of `object`, which is that of `module`.
    ///
    /// # Safety
    ///
    /// The object must stay where it is until the registration is dropped.
    pub(crate) unsafe fn new(object: &MappedObject, module: Weak<ModuleInner>) -> Registration {
        let start = object.text_base();
        let range = CodeRange {
            start,
            end: start + object.text_len(),
            object,
        };
        Registration::of(Entry { range, module })
    }

    fn of(entry: Entry) -> Registration {
        let start = entry.range.start;
        publish(|table| {
            let index = table.partition_point(|other| other.range.start < start);
            table.insert(index, entry);
        });
        Registration { start }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        publish(|table| table.retain(|entry| entry.range.start != self.start));
    }
}

fn publish(change: impl FnOnce(&mut Table)) {
    let mut retired = WRITER.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: only the holder of the lock frees tables.
    let mut table = match unsafe { TABLE.load(Ordering::SeqCst).as_ref() } {
        Some(table) => {
            let mut copy = Vec::with_capacity(table.len() + 1);
            copy.extend_from_slice(table);
            copy
        }
        None => Vec::new(),
    };
    change(&mut table);
    let old = TABLE.swap(Box::into_raw(Box::new(table)), Ordering::SeqCst);
    if !old.is_null() {
        retired.0.push(old);
    }
    if READERS.load(Ordering::SeqCst) == 0 {
        for old in retired.0.drain(..) {
            // SAFETY: came from `Box::into_raw` above, is not the current table, and there was no
            // reader after it ceased to be.
            drop(unsafe { Box::from_raw(old) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register(start: usize, end: usize) -> Registration {
        Registration::of(Entry {
            range: CodeRange {
                start,
                end,
                object: std::ptr::null(),
            },
            module: Weak::new(),
        })
    }

    #[test]
    fn ranges_are_found_while_registered() {
        let base = usize::MAX - 0x10_0000;
        let low = register(base, base + 16);
        let high = register(base + 32, base + 64);
        assert_eq!(find(base + 15).map(|r| r.start), Some(base));
        assert!(find(base + 16).is_none());
        assert!(find(base + 31).is_none());
        assert_eq!(find(base + 32).map(|r| r.start), Some(base + 32));
        drop(low);
        assert!(find(base).is_none());
        assert!(find(base + 63).is_some());
        drop(high);
        assert!(find(base + 63).is_none());
    }

    #[test]
    fn readers_and_writers_at_once() {
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    if let Some(found) = find(0x7777_0000_0008) {
                        assert_eq!(found.start, 0x7777_0000_0000);
                    }
                }
            });
            for _ in 0..200 {
                drop(register(0x7777_0000_0000, 0x7777_0000_0010));
            }
            stop.store(true, Ordering::Relaxed);
        });
    }
}
