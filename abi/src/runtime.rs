//! Functions of the loader that generated code may call.
//!
//! [`crate::instance::InstanceHeader::runtime`] is the address of an array of code addresses,
//! indexed by [`RuntimeFn`]. Each is called with the C calling convention, the instance base
//! first, switches to the host's stack by itself, and either returns or leaves the guest with a
//! trap. New functions are added at the end.

/// Numbers of the runtime functions.
///
/// `base` is the instance base; `pair(a, b)` is `a << 32 | b`; every other argument is a `u64`.
/// Memory, table and segment numbers are indices into the module's index spaces.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeFn {
    /// `(base, memory, delta_pages) -> old_pages`, or `u64::MAX` where it cannot grow.
    MemoryGrow = 0,
    /// `(base, pair(dst_memory, src_memory), dst, src, len)`. Traps out of bounds.
    MemoryCopy = 1,
    /// `(base, memory, dst, byte, len)`. Traps out of bounds.
    MemoryFill = 2,
    /// `(base, pair(memory, data_segment), dst, src, len)`. Traps out of bounds.
    MemoryInit = 3,
    /// `(base, data_segment)`.
    DataDrop = 4,
    /// `(base, table, init, delta) -> old_len`, or `u64::MAX` where it cannot grow.
    TableGrow = 5,
    /// `(base, table, dst, value, len)`. Traps out of bounds.
    TableFill = 6,
    /// `(base, pair(dst_table, src_table), dst, src, len)`. Traps out of bounds.
    TableCopy = 7,
    /// `(base, pair(table, element_segment), dst, src, len)`. Traps out of bounds.
    TableInit = 8,
    /// `(base, element_segment)`.
    ElemDrop = 9,
    /// `(base, memory, index, offset, expected, timeout) -> outcome`, on 4 bytes: since version 1.2.
    /// Address and alignment are checked; an unshared memory traps. `timeout` is in nanoseconds,
    /// signed, without end where negative; `outcome` 0 woken, 1 not equal, 2 timed out.
    AtomicWait32 = 10,
    /// The same on 8 bytes.
    AtomicWait64 = 11,
    /// `(base, memory, index, offset, count) -> woken`: since version 1.2. Wakes up to `count`
    /// waiters, the longest waiting first.
    AtomicNotify = 12,
    /// `(base, tag, values) -> !`: throws an exception whose values lie in cells of
    /// [`crate::VALUE_SIZE`] bytes from `values` on. It goes on at a handler, or leaves the guest.
    Throw = 13,
    /// `(base, exnref) -> !`: the same with an exception that was caught. Traps if it is null.
    ThrowRef = 14,
    /// `(base, size, type_id) -> ref`: room for an object of `size` bytes, a multiple of 8, whose
    /// header has the process-wide identity `type_id`; its other bytes may be anything. This and the
    /// functions that follow since version 1.3. All that make objects may move those that there are
    /// (see [`crate::heap`]), and trap where the heap is exhausted.
    HeapAlloc = 15,
    /// `(base, type, len) -> ref`: an array of the module's type with this index, all zero.
    ArrayNew = 16,
    /// `(base, type, pair(dst_ref, src_ref), dst, src, len)`: `type` is that of the destination.
    /// Traps out of bounds, as all that follow.
    ArrayCopy = 17,
    /// `(base, pair(type, data_segment), ref, dst, src, len)`.
    ArrayInitData = 18,
    /// `(base, pair(type, element_segment), ref, dst, src, len)`.
    ArrayInitElem = 19,
    /// `(base, pair(type, data_segment), src, len) -> ref`.
    ArrayNewData = 20,
    /// `(base, pair(type, element_segment), src, len) -> ref`.
    ArrayNewElem = 21,
    /// `(base, externref) -> ref`: `any.convert_extern`.
    AnyFromExtern = 22,
    /// `(base, ref) -> externref`: `extern.convert_any`.
    ExternFromAny = 23,
    /// `(base, type_id, type_id) -> 0 or 1`: whether the first identity is that of a subtype of the
    /// second. Needed for types deeper than [`crate::heap::TypeRow`] tells of.
    IsSubtype = 24,
}

impl RuntimeFn {
    /// How many there are.
    pub const COUNT: usize = 25;

    /// Byte offset of this function in the table.
    pub const fn offset(self) -> i32 {
        self as i32 * 8
    }
}
