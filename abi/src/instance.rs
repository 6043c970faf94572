//! The instance as generated code sees it: what lies below the instance base.
//!
//! ```text
//!  low                                                                    high
//!  | guard | guest stack ◄── | … variable part … | InstanceHeader | memory 0 ──►
//!                                                                 ▲
//!                                                           instance base
//! ```
//!
//! The header has a fixed layout and ends at the base. The variable part (globals, tables,
//! imports, funcrefs, …) is laid out per module by the compiler, which records each distance in
//! the object's metadata.

/// Fixed part of the instance data; its last byte is the byte below the instance base.
///
/// Generated code reads `memory0`, `runtime` and `trap`, and writes nothing but `fuel`, where it
/// was compiled to count that.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct InstanceHeader {
    /// The loader's own; generated code never looks at it.
    pub loader: [u64; 10],
    /// How much more the instance may execute, where [`crate::object::ObjectHeader::FUEL`]. Code
    /// subtracts what a run of operators costs before it executes them, and traps where less
    /// than that is left.
    pub fuel: u64,
    /// Linear memory 0 where this instance defines it. `base` is then the instance base.
    pub memory0: MemoryDef,
    /// Address of the table of runtime functions, see [`crate::runtime`].
    pub runtime: u64,
    /// Address of the trap entry: `fn(base, code: u32) -> !`, C calling convention.
    pub trap: u64,
    /// Address of the activation record in force. Opaque to generated code.
    pub activation: u64,
}

impl InstanceHeader {
    /// Size in bytes.
    pub const SIZE: u32 = 128;

    /// Distance below the base of the field at `offset` in this struct.
    pub const fn distance(offset: usize) -> u32 {
        Self::SIZE - offset as u32
    }

    /// Distance of [`InstanceHeader::fuel`].
    pub const FUEL: u32 = Self::distance(core::mem::offset_of!(InstanceHeader, fuel));
    /// Distance of [`InstanceHeader::memory0`].
    pub const MEMORY0: u32 = Self::distance(core::mem::offset_of!(InstanceHeader, memory0));
    /// Distance of [`InstanceHeader::runtime`].
    pub const RUNTIME: u32 = Self::distance(core::mem::offset_of!(InstanceHeader, runtime));
    /// Distance of [`InstanceHeader::trap`].
    pub const TRAP: u32 = Self::distance(core::mem::offset_of!(InstanceHeader, trap));
    /// Distance of [`InstanceHeader::activation`].
    pub const ACTIVATION: u32 = Self::distance(core::mem::offset_of!(InstanceHeader, activation));
}

const _: () = {
    assert!(size_of::<InstanceHeader>() == 128);
    assert!(InstanceHeader::FUEL == 48);
    assert!(InstanceHeader::MEMORY0 == 40);
    assert!(InstanceHeader::RUNTIME == 24);
    assert!(InstanceHeader::TRAP == 16);
    assert!(InstanceHeader::ACTIVATION == 8);
};

/// A linear memory. The instance that defines it (or the loader) owns this record; instances
/// that import it hold its address.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryDef {
    /// Address of byte 0. Never changes once the instance runs.
    pub base: u64,
    /// Current length in bytes.
    pub len: u64,
}

/// A table that may change. Owned and imported as [`MemoryDef`] is.
///
/// The elements of a table of function references are [`FuncRef`]s held by value (all zero for
/// null); those of any other table are 8-byte references.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableDef {
    /// Address of element 0. Changes when the table grows.
    pub elements: u64,
    /// Current length in elements.
    pub len: u64,
}

/// A function that can be referred to. A `funcref` value is the address of one of these, the
/// same for the same function every time; null is 0.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuncRef {
    /// Entry point, in the wasm calling convention.
    pub code: u64,
    /// The hidden parameter to call it with: the base of the instance that defines it, or the
    /// address of a [`HostFunc`].
    pub context: u64,
    /// Process-wide identity of its type, given out by the loader; never 0.
    pub type_id: u32,
    /// Zero.
    pub reserved: u32,
    /// Address of the record that is this function's identity: the `funcref` value.
    pub identity: u64,
}

/// What an imported function's slot in the instance data holds.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportedFunc {
    /// Entry point, in the wasm calling convention.
    pub code: u64,
    /// The hidden parameter to call it with.
    pub context: u64,
}

/// A function of the host, as generated code sees it: the hidden parameter that its entry point
/// expects. What follows the first field is the loader's own.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct HostFunc {
    /// Address of `fn(host_func: *const HostFunc, values: *mut [u8; 16])`, C calling convention:
    /// arguments in, results out, in cells of [`crate::VALUE_SIZE`] bytes. It switches to the
    /// host's stack. Called by the `host_stub` of a type, see [`crate::object::TypeRecord`].
    pub call_array: u64,
}

/// An exception, as a handler finds it. Its values follow, in cells of [`crate::VALUE_SIZE`] bytes.
/// It stays until the guest throws again.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ExceptionRecord {
    /// The `exnref` value, where the handler wants one: never 0 then.
    pub reference: u64,
    /// The loader's own.
    pub loader: u64,
}

const _: () = {
    assert!(size_of::<ExceptionRecord>() == crate::VALUE_SIZE);
    assert!(size_of::<MemoryDef>() == 16);
    assert!(size_of::<TableDef>() == 16);
    assert!(size_of::<FuncRef>() == 32);
    assert!(core::mem::offset_of!(FuncRef, context) == 8);
    assert!(core::mem::offset_of!(FuncRef, type_id) == 16);
    assert!(core::mem::offset_of!(FuncRef, identity) == 24);
    assert!(size_of::<ImportedFunc>() == 16);
    assert!(size_of::<HostFunc>() == 8);
};

/// How far past the reservation of a guard-page memory nothing is ever mapped, in bytes. An
/// access whose constant offset plus width exceeds this is checked explicitly.
pub const OFFSET_GUARD: u64 = 32 << 20;

/// Address space reserved for the bytes of a guard-page memory.
pub const GUARD_RESERVATION: u64 = 4 << 30;

/// Bytes below 4 GiB that no guard-page memory grows into: code takes it that what is added to the
/// index of an access that succeeded, and is no more than this, does not wrap.
pub const GUARD_TAIL: u64 = 64 << 10;

/// Lowest bytes of the stack reservation that are never accessible. Frames larger than this
/// are probed page by page.
pub const STACK_GUARD: u64 = 64 << 10;
