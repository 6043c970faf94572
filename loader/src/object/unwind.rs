//! Tells the host's unwinder how to pass guest frames, so that `std::backtrace` and panics'
//! backtraces in host functions show the host's frames on both sides of a guest.
//!
//! Every guest function keeps a frame pointer, and whoever takes a backtrace below one was called
//! by it: its prologue is done. So one rule holds for the whole text, "the caller's frame pointer
//! and the return address lie where the frame pointer points", and one entry of a few bytes is
//! registered instead of the object's own tables. Registering those would read each of them:
//! opening would no longer cost the same whatever the size.
//!
//! # Safety
//!
//! The runtime library reads the entry through the pointer it is given until it is told not to:
//! the bytes live in a box of their own, and are freed after that.
#![allow(
    unsafe_code,
    reason = "the unwinder of the C runtime has a C interface"
)]

use crate::sys::{FRAME_RULE, FrameRule, UNWINDER_TAKES_ENTRIES};

unsafe extern "C" {
    fn __register_frame(begin: *const u8);
    fn __deregister_frame(begin: *const u8);
}

/// A range of code that the unwinder knows. Dropping it makes the unwinder forget.
#[derive(Debug)]
pub(crate) struct UnwindEntry {
    bytes: Box<[u8]>,
    /// Where in `bytes` what the unwinder reads begins.
    start: usize,
}

impl UnwindEntry {
    /// Registers the code at these addresses.
    pub(crate) fn register(text_base: usize, text_len: usize) -> UnwindEntry {
        let (bytes, description) = encode(text_base as u64, text_len as u64, FRAME_RULE);
        let start = if UNWINDER_TAKES_ENTRIES {
            description
        } else {
            0
        };
        let entry = UnwindEntry { bytes, start };
        // SAFETY: the bytes are a well-formed section with its terminator, or the description in it,
        // and stay where they are until `drop` has taken them back.
        unsafe { __register_frame(entry.address()) };
        entry
    }
}

impl UnwindEntry {
    fn address(&self) -> *const u8 {
        self.bytes[self.start..].as_ptr()
    }
}

impl Drop for UnwindEntry {
    fn drop(&mut self) {
        // SAFETY: `register` registered this very pointer, once.
        unsafe { __deregister_frame(self.address()) };
    }
}

/// An `.eh_frame` section (Linux Standard Base, 10.6) with one entry for all of the text, and
/// where in it that entry is.
fn encode(text_base: u64, text_len: u64, rule: FrameRule) -> (Box<[u8]>, usize) {
    const DEF_CFA: u8 = 0x0c;
    const OFFSET: u8 = 0x80;
    let mut common = vec![0, 0, 0, 0]; // this is a common entry
    common.extend([1, 0]); // version 1, no augmentation: addresses are absolute
    common.extend([1, 0x78, rule.return_address]); // code in bytes, data in words downwards
    common.extend([DEF_CFA, rule.frame_pointer, rule.frame_size]);
    common.extend([OFFSET | rule.return_address, rule.return_address_at]);
    common.extend([OFFSET | rule.frame_pointer, rule.frame_pointer_at]);
    common.resize(common.len().next_multiple_of(8) + 4, 0); // nothing more to do

    let mut section = Vec::new();
    section.extend((common.len() as u32).to_le_bytes());
    section.extend(common);
    let description = section.len();
    let back = description as u32 + 4;
    section.extend(20u32.to_le_bytes());
    section.extend(back.to_le_bytes()); // from here back to the common entry
    section.extend(text_base.to_le_bytes());
    section.extend(text_len.to_le_bytes());
    section.extend(0u32.to_le_bytes()); // the end of the section
    (section.into_boxed_slice(), description)
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use crate::sys::{Access, Reservation};
    use std::backtrace::Backtrace;

    extern "C" fn innermost(out: &mut String) {
        *out = Backtrace::force_capture().to_string();
    }

    #[inline(never)]
    fn outermost(code: usize) -> String {
        type Entry = extern "C" fn(&mut String, extern "C" fn(&mut String));
        let mut out = String::new();
        // SAFETY: the caller gives the address of code of this type.
        let entry = unsafe { std::mem::transmute::<usize, Entry>(code) };
        entry(&mut out, innermost);
        out.push_str(""); // the call above is no tail call
        out
    }

    #[test]
    fn backtraces_pass_through_code_that_is_registered() {
        // push rbp; mov rbp, rsp; sub rsp, 64; call rsi; leave; ret
        const CODE: &[u8] = &[
            0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x40, 0xff, 0xd6, 0xc9, 0xc3,
        ];
        let memory = Reservation::new(4096).expect("address space is there");
        // SAFETY: the reservation is this test's own.
        unsafe {
            memory
                .map_zeroes(0..4096, Access::ReadWrite)
                .expect("memory is there");
            memory
                .base()
                .as_ptr()
                .copy_from_nonoverlapping(CODE.as_ptr(), CODE.len());
            memory
                .protect(0..4096, Access::ReadExecute)
                .expect("it can be executed");
        }
        let code = memory.base().addr().get();
        let entry = UnwindEntry::register(code, CODE.len());
        let trace = outermost(code);
        assert!(
            trace.contains("innermost") && trace.contains("outermost"),
            "{trace}"
        );
        drop(entry);
        let trace = outermost(code);
        assert!(
            trace.contains("innermost") && !trace.contains("outermost"),
            "{trace}"
        );
    }
}
