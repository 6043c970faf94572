//! `make versus`: sandboxes in pools, beside Wasmtime with its pooling allocator.
//!
//! | file | what |
//! |---|---|
//! | `goals.rs` | the measures, what is to be reached, and the table |
//! | `ours.rs`, `theirs.rs` | the same few operations on either |
//! | `instances.rs` | instantiate, call, drop; on one thread and on two |
//! | `crossings.rs` | calls and traps |
//! | `exceptions.rs` | throwing and catching |
//! | `objects.rs` | garbage-collected objects |
//! | `interruption.rs` | kernels that can be stopped, beside ones that cannot |
//! | `deadlines.rs` | how late guests are stopped whose time is over |
//! | `live.rs` | how many there can be at a time, and what each takes |

pub mod crossings;
pub mod deadlines;
pub mod exceptions;
pub mod goals;
pub mod instances;
pub mod interruption;
pub mod live;
pub mod objects;
pub mod ours;
pub mod theirs;

use crate::measure::Plan;

/// How thoroughly to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// A third of the rounds.
    pub is_quick: bool,
}

impl Effort {
    /// For operations of nanoseconds.
    pub fn short(self) -> Plan {
        Plan {
            rounds: if self.is_quick { 15 } else { 61 },
            ..Plan::short()
        }
    }

    /// For operations of milliseconds.
    pub fn single(self) -> Plan {
        Plan::single(if self.is_quick { 5 } else { 21 })
    }

    /// To choose between settings.
    pub fn choosing(self) -> Plan {
        Plan {
            rounds: 9,
            ..Plan::short()
        }
    }
}
