//! The assembly of every CPU, by its symbols: the crossings between host and guest.
//!
//! # Safety
//!
//! This file declares what assembly defines. Guest code alone calls the crossings, and by their
//! addresses; what may be called from here says what it asks for where it is called.
#![allow(
    unsafe_code,
    reason = "functions in assembly are foreign to the compiler"
)]

use precast_abi::runtime::RuntimeFn;

#[allow(
    improper_ctypes,
    reason = "the assembly uses addresses and the fields it knows only"
)]
unsafe extern "C" {
    safe static precast_crossings_start: u8;
    safe static precast_crossings_end: u8;
    pub(super) fn precast_enter_direct();
    pub(super) fn precast_preempt();
    pub(super) fn precast_leave();
    fn precast_trap();
    /// Handler of faults.
    pub(crate) fn precast_fault(
        signal: libc::c_int,
        info: *mut libc::siginfo_t,
        raw: *mut libc::c_void,
    );
    fn precast_host_registers();
    fn precast_host_array();
    fn precast_rt_memory_grow();
    fn precast_rt_memory_copy();
    fn precast_rt_memory_fill();
    fn precast_rt_memory_init();
    fn precast_rt_data_drop();
    fn precast_rt_table_grow();
    fn precast_rt_table_fill();
    fn precast_rt_table_copy();
    fn precast_rt_table_init();
    fn precast_rt_elem_drop();
    fn precast_rt_atomic_wait32();
    fn precast_rt_atomic_wait64();
    fn precast_rt_atomic_notify();
    fn precast_rt_throw();
    fn precast_rt_throw_ref();
    fn precast_rt_heap_alloc();
    fn precast_rt_array_new();
    fn precast_rt_array_copy();
    fn precast_rt_array_init_data();
    fn precast_rt_array_init_elem();
    fn precast_rt_array_new_data();
    fn precast_rt_array_new_elem();
    fn precast_rt_any_from_extern();
    fn precast_rt_extern_from_any();
    fn precast_rt_is_subtype();
}

/// Entry point of host functions whose types travel in registers.
pub(crate) fn host_call_registers() -> usize {
    precast_host_registers as *const () as usize
}

/// Entry point of host functions for the objects' `host_stub`s.
pub(crate) fn host_call_array() -> usize {
    precast_host_array as *const () as usize
}

/// What [`InstanceHeader::trap`](precast_abi::instance::InstanceHeader::trap) holds.
pub(crate) fn trap_entry() -> usize {
    precast_trap as *const () as usize
}

/// Code addresses, by [`RuntimeFn`].
#[repr(transparent)]
pub(crate) struct RuntimeTable([unsafe extern "C" fn(); RuntimeFn::COUNT]);

static RUNTIME: RuntimeTable = RuntimeTable([
    precast_rt_memory_grow,
    precast_rt_memory_copy,
    precast_rt_memory_fill,
    precast_rt_memory_init,
    precast_rt_data_drop,
    precast_rt_table_grow,
    precast_rt_table_fill,
    precast_rt_table_copy,
    precast_rt_table_init,
    precast_rt_elem_drop,
    precast_rt_atomic_wait32,
    precast_rt_atomic_wait64,
    precast_rt_atomic_notify,
    precast_rt_throw,
    precast_rt_throw_ref,
    precast_rt_heap_alloc,
    precast_rt_array_new,
    precast_rt_array_copy,
    precast_rt_array_init_data,
    precast_rt_array_init_elem,
    precast_rt_array_new_data,
    precast_rt_array_new_elem,
    precast_rt_any_from_extern,
    precast_rt_extern_from_any,
    precast_rt_is_subtype,
]);

/// What [`InstanceHeader::runtime`](precast_abi::instance::InstanceHeader::runtime) holds.
pub(crate) fn runtime_table() -> usize {
    &raw const RUNTIME as usize
}

/// Whether `pc` is in the assembly.
pub(crate) fn is_crossing(pc: usize) -> bool {
    (&raw const precast_crossings_start as usize..&raw const precast_crossings_end as usize)
        .contains(&pc)
}
