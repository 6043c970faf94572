//! What the loader needs of an operating system and a CPU: the whole contract.
//!
//! An operating system is a module that provides, under these names:
//!
//! | item | promise |
//! |---|---|
//! | [`Reservation::new`]`(len)` | `len` bytes of address space (rounded up to pages) that nothing else uses, not accessible, costing no memory; given back on drop |
//! | [`Reservation::map_file`] | puts a page-aligned part of a file there, privately: writes never reach the file |
//! | [`Reservation::protect`] | changes the access of mapped pages |
//! | [`Reservation::part`] | a part of it, for one of many users |
//! | [`Reservation::clear`], [`Reservation::discard`] | gives pages back: inaccessible, or as new |
//! | [`Reservation::guard`], [`Reservation::unguard`] | makes pages inaccessible without splitting a mapping, where the system can, and accessible again |
//! | [`protect_pages`] | as `protect`, in a signal handler |
//! | [`keys`] | pages that a thread opens and closes for itself; a system without such has no key |
//! | [`PageAccount`] | tells which pages were written, where the system knows |
//! | [`Mappings`], [`address_space_limit`] | how many mappings and how much address space there may be |
//! | [`map_whole_file`] | a private, writable mapping of a file, or of the pages from one on, anywhere |
//! | [`open_read`], [`len`], [`read_at`] | a file for reading only, its length, some of its bytes; descriptors are not inherited by child processes |
//! | [`admit_code`] | shows a file's code signature to the system, where it wants one before it executes code from a file |
//! | [`sealed_bytes`], [`sealed_copy`] | a file in memory that no one can write, shrink or grow any more |
//! | [`page_size`], [`SMALLEST_PAGE`] | the size of a page; the smallest that the target can have |
//! | [`SignalStack::install`] | an alternate signal stack for the calling thread, taken out on drop |
//! | [`stack_bounds`], [`thread_id`] | the calling thread's own stack and number |
//! | [`INTERRUPT`], [`interrupt_thread`], [`ticket`] | a signal that is ignored by default, sending it to one thread with a number, and that number in the handler |
//! | [`refused_access`], [`was_sent`], [`SignalMask`] | what a signal says: whether memory may not be accessed, whether a process sent it; what the kernel looks at of a set of signals |
//! | [`new_event`], [`raise_event`], [`lower_event`] | a descriptor that is readable while it is raised |
//! | [`UNWINDER_TAKES_ENTRIES`] | whether the runtime's unwinder is given single frame descriptions, or a whole section of them |
//! | [`sync_threads`] | a memory barrier on every thread of the process |
//! | [`monotonic`], [`thread_cpu_time`] | clocks that a signal handler may read |
//! | [`wait_while`], [`wake_one`], [`be_a_watchdog`] | sleeping until a word changes or time is over, on time |
//! | `signal_state`, `signal_frame_size` | what a thread's saved context says of its signals; how large one can be. For `arch`, where a thread can be given one |
//!
//! and a CPU is a module that provides `ARCH`, `features()`, the bits of [`precast_abi::cpu`]
//! that it has, `has_landing_pads()`, and [`FRAME_RULE`], where a function with a frame pointer keeps its caller's. No access can be asked for that is writable and executable
//! at once: [`Access`] has no such value.
//!
//! `cfg` stands here and nowhere else.

#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
use macos as os;
#[cfg(target_os = "macos")]
mod macos_thread;
#[cfg(target_os = "macos")]
use macos_thread as os_thread;
#[cfg(target_os = "macos")]
mod macos_pages;
#[cfg(target_os = "macos")]
use macos_pages as os_pages;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as os;
#[cfg(target_os = "linux")]
mod linux_thread;
#[cfg(target_os = "linux")]
use linux_thread as os_thread;
#[cfg(target_os = "linux")]
mod linux_pages;
#[cfg(target_os = "linux")]
use linux_pages as os_pages;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) mod linux_x86_64_keys;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) use linux_x86_64_keys as keys;

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub(crate) mod no_keys;
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub(crate) use no_keys as keys;

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
use x86_64 as cpu;
#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "aarch64")]
use aarch64 as cpu;
#[cfg(target_arch = "riscv64")]
mod riscv64;
#[cfg(target_arch = "riscv64")]
use riscv64 as cpu;

pub(crate) use os::{
    Reservation, admit_code, len, map_whole_file, open_read, page_size, read_at, sealed_bytes,
    sealed_copy,
};

pub(crate) use os_pages::{Mappings, PageAccount, address_space_limit, protect_pages};
pub(crate) use os_thread::UNWINDER_TAKES_ENTRIES;
pub(crate) use os_thread::{
    INTERRUPT, SignalMask, SignalStack, be_a_watchdog, interrupt_thread, lower_event, monotonic,
    new_event, raise_event, refused_access, stack_bounds, sync_threads, thread_cpu_time, thread_id,
    ticket, wait_while, wake_one, was_sent,
};
#[cfg(target_os = "linux")]
pub(crate) use os_thread::{signal_frame_size, signal_state};

use precast_abi::object::{Arch, Os};

pub(crate) use cpu::FRAME_RULE;

/// No page of any supported target is smaller. Objects are aligned to the largest.
pub(crate) const SMALLEST_PAGE: usize = 4096;

/// No process has more address space, in bytes.
pub(crate) const ADDRESS_SPACE: u64 = 1 << 47;

/// Why an access to memory was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "not every system makes each difference")]
pub(crate) enum Refused {
    /// Nothing is mapped there.
    Absent,
    /// What is mapped there may not be accessed so.
    Forbidden,
    /// What is mapped there is behind a protection key that the thread has no right to.
    Keyed,
}

/// What mapped pages may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing.
    None,
    /// Reading.
    Read,
    /// Reading and writing.
    ReadWrite,
    /// Reading and executing.
    ReadExecute,
    /// The same, where indirect branches must arrive at landing pads if the CPU knows of such.
    ReadExecutePads,
}

/// Where a function with a frame pointer keeps what its caller needs, in DWARF's numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameRule {
    /// Number of the frame pointer.
    pub(crate) frame_pointer: u8,
    /// Number of the return address.
    pub(crate) return_address: u8,
    /// Bytes from the frame pointer up to the frame of the caller.
    pub(crate) frame_size: u8,
    /// The return address lies this many words below the caller's frame.
    pub(crate) return_address_at: u8,
    /// The caller's frame pointer lies this many words below the caller's frame.
    pub(crate) frame_pointer_at: u8,
}

/// The machine this process runs on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    pub(crate) arch: Arch,
    pub(crate) os: Os,
    /// Bits of [`precast_abi::cpu`].
    pub(crate) cpu_features: u64,
}

/// The machine this process runs on. Cheap after the first call.
pub(crate) fn host() -> Host {
    Host {
        arch: cpu::ARCH,
        os: os::OS,
        cpu_features: cpu::features(),
    }
}

/// `len` rounded up to whole pages; `None` beyond the address space.
pub(crate) fn round_up_to_page(len: usize) -> Option<usize> {
    len.checked_next_multiple_of(page_size())
}
