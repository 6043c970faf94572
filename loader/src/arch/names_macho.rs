//! How symbols and sections are called in assembly for macOS.
#![allow(unused_macros, reason = "a CPU uses what it needs")]

/// A function's or a label's name.
macro_rules! symbol {
    ($name:literal) => {
        concat!("_", $name)
    };
}

/// A name of this crate's own.
macro_rules! mark {
    ($name:literal) => {
        concat!(
            ".private_extern _",
            $name,
            "\n.globl _",
            $name,
            "\n_",
            $name,
            ":"
        )
    };
}

/// Where a function of this crate's own begins.
macro_rules! begin {
    ($name:literal) => {
        concat!(".p2align 4\n", mark!($name))
    };
}

/// Where it ends.
macro_rules! end {
    ($name:literal) => {
        ""
    };
}

/// Code that stays together.
macro_rules! section {
    ($name:literal) => {
        ".pushsection __TEXT,__precast,regular,pure_instructions"
    };
}

/// There is no such system call: nobody keeps a signal's frame.
macro_rules! sigreturn_from_x2 {
    () => {
        "brk #1"
    };
}
