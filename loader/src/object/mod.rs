//! Objects: reading them, checking them, mapping them, and telling debuggers about them.
//!
//! ```text
//!            elf
//! bytes ──file──┤────► regions ──header──► ObjectHeader ──metadata──► records, one by one
//!           macho                               │
//!                                            mapped ──► text R-X, metadata R--
//!
//! metadata in the program ──header──► linked ──► text and image, where the linker put them
//! ```
//!
//! Nothing is executed or mapped executable before `file` and `header` are content.

mod code_tables;
mod elf;
mod error;
mod file;
#[cfg(target_os = "linux")]
mod gdb;
mod header;
mod levels;
mod linked;
mod lookup;
mod macho;
mod mapped;
mod metadata;
#[cfg(not(target_os = "linux"))]
mod no_gdb;
#[cfg(not(target_os = "linux"))]
use no_gdb as gdb;
mod record;
mod regions;
mod unwind;
mod verify;
mod view;

#[cfg(test)]
mod synthetic;
#[cfg(test)]
mod tests;

pub use error::{Damage, Fault, Foreign, Looks, MissingFeatures, OpenError, Part};
pub use lookup::CodeLocation;
pub(crate) use mapped::MappedObject;
pub use metadata::Metadata;
pub use verify::Report;
pub use view::ObjectView;
