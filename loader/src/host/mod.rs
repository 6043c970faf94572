//! Functions of the host that guests can call.
//!
//! [`record`] is what generated code sees of one, [`typed`] makes them of closures whose types are
//! known, [`dynamic`] of closures that take and give [`crate::Val`]s, [`raw`] of plain
//! `extern "C"` functions.

pub(crate) mod dynamic;
pub(crate) mod raw;
pub(crate) mod record;
pub(crate) mod typed;
