//! What the crossings of every CPU are written with: where things are in the loader's own records,
//! statuses, and the loader's functions that guest code reaches.

/// `global_asm!` with these operands beside its own. What is `Saved`, and its offset `SAVED` in the
/// activation, is said where it is used: that is each CPU's own.
macro_rules! crossings_asm {
    (@landing $field:ident) => {
        offset_of!(crate::activation::Activation, landing)
            + offset_of!(crate::activation::Landing, $field)
    };
    ($($assembly:tt)*) => {
        std::arch::global_asm!(
            $($assembly)*
            host_sp = const offset_of!(crate::activation::Activation, host_sp),
            guest_fp = const offset_of!(crate::activation::Activation, guest_fp),
            exit = const offset_of!(crate::activation::Activation, exit),
            host_calls = const offset_of!(crate::activation::Activation, host_calls),
            landing_pc = const crossings_asm!(@landing pc),
            landing_fp = const crossings_asm!(@landing fp),
            landing_code = const crossings_asm!(@landing code),
            saved_int = const SAVED + offset_of!(Saved, int),
            saved_float = const SAVED + offset_of!(Saved, float),
            host_activation = const offset_of!(crate::host::record::HostRecord, activation),
            call_registers = const offset_of!(crate::host::record::HostRecord, call_registers),
            call_array = const offset_of!(crate::host::record::HostRecord, call_values),
            activation = const precast_abi::instance::InstanceHeader::ACTIVATION,
            idle = const crate::activation::IDLE,
            thrown = const crate::activation::Reason::THROWN.bit(),
            returned = const super::RETURNED,
            trapped = const super::TRAPPED,
            left = const super::LEFT,
            barred = const super::BARRED,
            preempted = const super::PREEMPTED,
            memory_grow = sym crate::runtime::memory_grow,
            memory_copy = sym crate::runtime::memory_copy,
            memory_fill = sym crate::runtime::memory_fill,
            memory_init = sym crate::runtime::memory_init,
            data_drop = sym crate::runtime::data_drop,
            table_grow = sym crate::runtime::table_grow,
            table_fill = sym crate::runtime::table_fill,
            table_copy = sym crate::runtime::table_copy,
            table_init = sym crate::runtime::table_init,
            elem_drop = sym crate::runtime::elem_drop,
            atomic_wait32 = sym crate::wait::atomic_wait32,
            atomic_wait64 = sym crate::wait::atomic_wait64,
            atomic_notify = sym crate::wait::atomic_notify,
            heap_alloc = sym crate::heap::runtime::heap_alloc,
            array_new = sym crate::heap::runtime::array_new,
            array_copy = sym crate::heap::runtime::array_copy,
            array_init_data = sym crate::heap::runtime::array_init_data,
            array_init_elem = sym crate::heap::runtime::array_init_elem,
            array_new_data = sym crate::heap::runtime::array_new_data,
            array_new_elem = sym crate::heap::runtime::array_new_elem,
            any_from_extern = sym crate::heap::runtime::any_from_extern,
            extern_from_any = sym crate::heap::runtime::extern_from_any,
            is_subtype = sym crate::heap::runtime::is_subtype,
            throw = sym crate::throw::throw,
            throw_ref = sym crate::throw::throw_ref,
            throw_from_host = sym crate::throw::throw_from_host,
            on_fault = sym crate::signals::on_fault,
        );
    };
}
