//! gdb's JIT interface (its manual, "JIT Compilation Interface"): a list of object files in
//! memory that a debugger attached to the host reads symbols and unwind tables from.
//!
//! The debugger wants an ELF file with absolute addresses. The object on disk has relative
//! ones, in every symbol; but in a *relocatable* file symbols count from their section, and gdb
//! takes the section's address from its header. So it gets a private mapping of the same file
//! in which a few headers are changed: the file's type, and the addresses of sections. That
//! costs two pages, whatever the size of the object:
//!
//! | section | becomes |
//! |---|---|
//! | code | one section from where the object is loaded to the end of the code, since symbols count from there; without contents, which gdb reads from the process itself |
//! | `.eh_frame` | moved to its address: its entries refer to the code by distance |
//! | symbols, strings | as they are |
//! | anything else | nothing, as it would overlap the code |
//!
//! # Safety
//!
//! The list is shared with every JIT compiler in the process that was linked with the same
//! symbols. Entries are boxed, linked in under a lock, and unlinked before they are freed.
#![allow(
    unsafe_code,
    reason = "the interface is a C list found by its symbol, and the files in it are mappings"
)]

use super::file::Format;
use super::mapped::MappedObject;
use super::record::{Record, read};
use crate::sys::Reservation;
use std::ptr;
use std::sync::{Mutex, PoisonError};

/// An object that debuggers know. Dropping it makes them forget.
#[derive(Debug)]
pub(crate) struct GdbEntry {
    entry: *mut Entry,
    _symbols: Reservation,
}

// SAFETY: `entry` is only followed under `LIST_LOCK`.
unsafe impl Send for GdbEntry {}
// SAFETY: as above, and shared references give access to nothing.
unsafe impl Sync for GdbEntry {}

/// `struct jit_code_entry` of the interface.
#[repr(C)]
struct Entry {
    next: *mut Entry,
    prev: *mut Entry,
    symbols: *const u8,
    symbols_size: u64,
}

/// `struct jit_descriptor` of the interface.
#[repr(C)]
struct Descriptor {
    version: u32,
    action: u32,
    relevant: *mut Entry,
    first: *mut Entry,
}

const NO_ACTION: u32 = 0;
const REGISTER: u32 = 1;
const UNREGISTER: u32 = 2;

// Weak, because others define the same symbols (and a debugger looks for one of them per
// program): the linker then takes one for all.
std::arch::global_asm!(
    ".pushsection .text.__jit_debug_register_code, \"ax\"",
    ".weak __jit_debug_register_code",
    ".type __jit_debug_register_code, %function",
    "__jit_debug_register_code:",
    "ret",
    ".size __jit_debug_register_code, . - __jit_debug_register_code",
    ".popsection",
    ".pushsection .data.__jit_debug_descriptor, \"aw\"",
    ".weak __jit_debug_descriptor",
    ".type __jit_debug_descriptor, %object",
    ".size __jit_debug_descriptor, 24",
    ".balign 8",
    "__jit_debug_descriptor:",
    ".long 1, 0",
    ".quad 0, 0",
    ".popsection",
);

unsafe extern "C" {
    fn __jit_debug_register_code();
    static mut __jit_debug_descriptor: Descriptor;
}

static LIST_LOCK: Mutex<()> = Mutex::new(());

impl GdbEntry {
    /// Shows an object to debuggers. `None` where it has no symbols to show or debuggers know it
    /// anyway, or there is no memory for it: nobody's module fails for that.
    pub(crate) fn register(object: &MappedObject) -> Option<GdbEntry> {
        let file = object
            .mapped_file()
            .filter(|file| file.format() == Format::Elf)?;
        let len = usize::try_from(file.len()).ok()?;
        let symbols = file.private_copy().ok()?;
        // SAFETY: the mapping is `len` bytes long, readable, writable, private, and nobody
        // else's.
        let bytes = unsafe { std::slice::from_raw_parts_mut(symbols.base().as_ptr(), len) };
        relocate(bytes, file.slide(), object.text_end())?;
        let entry = Box::into_raw(Box::new(Entry {
            next: ptr::null_mut(),
            prev: ptr::null_mut(),
            symbols: symbols.base().as_ptr(),
            symbols_size: len as u64,
        }));
        let _lock = LIST_LOCK.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the lock is held, `entry` is a live box, and so are all in the list.
        unsafe {
            let list = &raw mut __jit_debug_descriptor;
            (*entry).next = (*list).first;
            if !(*list).first.is_null() {
                (*(*list).first).prev = entry;
            }
            (*list).first = entry;
            tell(REGISTER, entry);
        }
        Some(GdbEntry {
            entry,
            _symbols: symbols,
        })
    }
}

impl Drop for GdbEntry {
    fn drop(&mut self) {
        let _lock = LIST_LOCK.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the lock is held; `entry` is in the list, its neighbours are live, and nothing
        // refers to it any more once it is unlinked and the debugger has been told.
        unsafe {
            let entry = self.entry;
            let list = &raw mut __jit_debug_descriptor;
            match (*entry).prev {
                prev if prev.is_null() => (*list).first = (*entry).next,
                prev => (*prev).next = (*entry).next,
            }
            if !(*entry).next.is_null() {
                (*(*entry).next).prev = (*entry).prev;
            }
            tell(UNREGISTER, entry);
            drop(Box::from_raw(entry));
        }
    }
}

/// Stops a debugger that is attached, so that it looks at the entry.
///
/// # Safety
///
/// `LIST_LOCK` is held and `entry` is live.
unsafe fn tell(action: u32, entry: *mut Entry) {
    // SAFETY: the caller's promise; the function called does nothing by itself.
    unsafe {
        let list = &raw mut __jit_debug_descriptor;
        (*list).action = action;
        (*list).relevant = entry;
        __jit_debug_register_code();
        (*list).action = NO_ACTION;
        (*list).relevant = ptr::null_mut();
    }
}

const ET_REL: u16 = 1;
const SECTION_SIZE: usize = 64;
const SHT_NULL: u32 = 0;
const SHT_SYMTAB: u32 = 2;
const SHT_STRTAB: u32 = 3;
const SHT_NOBITS: u32 = 8;
const SHF_ALLOC: u64 = 2;
const SHF_EXECINSTR: u64 = 4;

/// Makes a shared object into what gdb wants, see the module's documentation. `None` where its
/// section headers are not there or make no sense.
fn relocate(file: &mut [u8], slide: u64, text_end: u64) -> Option<()> {
    let table = usize::try_from(u64_at(file, 40)?).ok()?;
    let count = u16_at(file, 60)? as usize;
    let names = u16_at(file, 62)? as usize;
    if count == 0 || names >= count || u16_at(file, 58)? as usize != SECTION_SIZE {
        return None;
    }
    let end = table
        .checked_add(count * SECTION_SIZE)
        .filter(|end| *end <= file.len())?;
    let names_at = usize::try_from(u64_at(file, table + names * SECTION_SIZE + 24)?).ok()?;
    let mut has_symbols = false;
    for at in (table..end).step_by(SECTION_SIZE) {
        let name = names_at.checked_add(u32_at(file, at)? as usize)?;
        let is_frame = file.get(name..)?.starts_with(b".eh_frame\0");
        let (kind, flags) = (u32_at(file, at + 4)?, u64_at(file, at + 8)?);
        has_symbols |= kind == SHT_SYMTAB;
        if kind == SHT_SYMTAB || kind == SHT_STRTAB {
            // The strings are part of the mapped metadata; here they are only strings.
            put(file, at + 8, &(flags & !SHF_ALLOC).to_le_bytes())?;
        } else if is_frame {
            let address = u64_at(file, at + 16)?.wrapping_add(slide);
            put(file, at + 16, &address.to_le_bytes())?;
        } else if flags & SHF_EXECINSTR != 0 {
            put(file, at + 4, &SHT_NOBITS.to_le_bytes())?;
            put(file, at + 16, &slide.to_le_bytes())?;
            put(file, at + 32, &text_end.to_le_bytes())?;
        } else {
            put(file, at + 4, &SHT_NULL.to_le_bytes())?;
            put(file, at + 8, &0u64.to_le_bytes())?;
        }
    }
    put(file, 16, &ET_REL.to_le_bytes())?;
    put(file, 32, &0u64.to_le_bytes())?; // no program headers
    put(file, 54, &0u32.to_le_bytes())?;
    has_symbols.then_some(())
}

fn at<T: Record>(file: &[u8], offset: usize) -> Option<T> {
    file.get(offset..).and_then(read)
}

fn u16_at(file: &[u8], offset: usize) -> Option<u16> {
    at(file, offset)
}

fn u32_at(file: &[u8], offset: usize) -> Option<u32> {
    at(file, offset)
}

fn u64_at(file: &[u8], offset: usize) -> Option<u64> {
    at(file, offset)
}

fn put(file: &mut [u8], offset: usize, bytes: &[u8]) -> Option<()> {
    file.get_mut(offset..)?
        .get_mut(..bytes.len())?
        .copy_from_slice(bytes);
    Some(())
}
