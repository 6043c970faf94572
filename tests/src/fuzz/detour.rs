//! Modules rewritten so that they steer around a fault of the reference.
//!
//! `wasmi` 2.0.0 fuses `select` with a comparison against zero just before it (`i32.eqz`,
//! `i32.ne`, …) and, where the compared value is in a local, then selects by whatever its condition
//! register held before. So every condition of a `select` is passed through `i32.popcnt`, which is
//! zero where the condition is.

use super::rewrite;
use wasmparser::{Operator, Result};

const POPCNT: &[u8] = &[0x69];

/// The module with `i32.popcnt` before every `select`.
pub(super) fn around_select(wasm: &[u8]) -> Result<Vec<u8>> {
    rewrite::insert(wasm, |operator| match operator {
        Operator::Select | Operator::TypedSelect { .. } => POPCNT,
        _ => &[],
    })
}
