//! How symbols and sections are called in assembly for macOS.

/// What stands first in a section. A linker takes from one such symbol to the next for a thing that it
/// may move or leave out, so there is one for all that stays together.
macro_rules! first {
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

/// A name of this crate's own, in what stays together with what is first.
macro_rules! mark {
    ($name:literal) => {
        concat!(".alt_entry _", $name, "\n", first!($name))
    };
}

/// A place that only the assembly here goes to,
macro_rules! place {
    ($name:literal) => {
        concat!("L", $name, ":")
    };
}

/// and how it is called there.
macro_rules! there {
    ($name:literal) => {
        concat!("L", $name)
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
