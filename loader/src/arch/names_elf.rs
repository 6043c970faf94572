//! How symbols and sections are called in assembly for ELF systems.

/// A function's or a label's name.
macro_rules! symbol {
    ($name:literal) => {
        $name
    };
}

/// A name of this crate's own.
macro_rules! mark {
    ($name:literal) => {
        concat!(".hidden ", $name, "\n.globl ", $name, "\n", $name, ":")
    };
}

/// The same of what stands first in a section.
#[allow(unused_macros, reason = "not every CPU says which is first")]
macro_rules! first {
    ($name:literal) => {
        mark!($name)
    };
}

/// A place that only the assembly here goes to,
#[allow(unused_macros, reason = "not every CPU needs such places")]
macro_rules! place {
    ($name:literal) => {
        concat!(".L", $name, ":")
    };
}

/// and how it is called there.
#[allow(unused_macros, reason = "not every CPU needs such places")]
macro_rules! there {
    ($name:literal) => {
        concat!(".L", $name)
    };
}

/// Where a function of this crate's own begins.
macro_rules! begin {
    ($name:literal) => {
        concat!(".p2align 4\n.type ", $name, ", %function\n", mark!($name))
    };
}

/// Where it ends.
macro_rules! end {
    ($name:literal) => {
        concat!(".size ", $name, ", . - ", $name)
    };
}

/// Code that stays together.
macro_rules! section {
    ($name:literal) => {
        concat!(".pushsection .text.", $name, ", \"ax\", %progbits")
    };
}

/// Goes on with the registers in the signal frame at `x2`: the system call `rt_sigreturn` of AArch64.
macro_rules! sigreturn_from_x2 {
    () => {
        "mov sp, x2\nmov x8, #139\nsvc #0"
    };
}
