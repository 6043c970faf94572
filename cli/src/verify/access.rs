//! Judging one access to memory by what is known of its address.

use super::facts::{Cell, Facts, Signature};
use super::report::{CodeReport, Problem};
use super::state::State;
use super::value::{Range, Thing, Value};
use precast_abi::heap::HeapHeader;
use precast_abi::trap::TrapCode;

/// An access of a known number of bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access {
    pub(super) address: Value,
    pub(super) size: i64,
    pub(super) writes: bool,
    /// Text offset of the instruction.
    pub(super) site: u32,
}

/// Counts an access that may be made, or says why it may not.
pub(super) fn judge(
    facts: &Facts<'_>,
    signature: Signature,
    state: &State,
    access: Access,
    report: &mut CodeReport,
) -> Result<(), Problem> {
    let count = match access.address {
        Value::Stack(offset) => {
            judge_stack(signature, state, offset, access.size)?;
            &mut report.stack_accesses
        }
        // The probe of a large frame touches the stack pointer's own place and nothing else.
        Value::Probing if state.stack_pointer().is_none() => &mut report.stack_accesses,
        Value::ReturnArea(offset) => {
            let size = signature.return_area.unwrap_or(0);
            let fits = access.writes && offset >= 0 && offset + access.size <= size;
            require(fits, Problem::PastFrame)?;
            &mut report.stack_accesses
        }
        Value::Base(range) if range.high < 0 => {
            let offset = range.as_exact().ok_or(Problem::BadInstanceAccess)?;
            judge_instance(facts, offset, access)?;
            &mut report.instance_accesses
        }
        Value::Base(range) => {
            let end = range
                .high
                .checked_add(access.size)
                .ok_or(Problem::PastGuard)?;
            require(range.low >= 0 && end <= facts.memory0, Problem::PastGuard)?;
            &mut report.memory_accesses
        }
        Value::Code { start, offset } => {
            require(!access.writes, Problem::WriteToCode)?;
            judge_constant(facts, start, offset, access.size)?;
            &mut report.constant_accesses
        }
        Value::Compared => {
            judge_compared(facts, access.site)?;
            &mut report.compared_accesses
        }
        // What is out of bounds whatever the index: the access faults at once.
        Value::Int(range) if range.low >= 0 && range.high < 4096 => {
            judge_compared(facts, access.site)?;
            &mut report.compared_accesses
        }
        Value::Loaded(thing, offset) => {
            judge_loaded(thing, offset, access)?;
            &mut report.indirect_accesses
        }
        Value::Derived(thing) => {
            judge_derived(thing, access)?;
            &mut report.indirect_accesses
        }
        Value::Unknown | Value::Reference
            if !access.writes && facts.has_references && access.size <= 16 =>
        {
            &mut report.reference_accesses
        }
        _ => return Err(Problem::WildAccess),
    };
    *count += 1;
    Ok(())
}

/// Between the stack pointer and the last parameter on the stack.
fn judge_stack(signature: Signature, state: &State, offset: i64, size: i64) -> Result<(), Problem> {
    let low = state.stack_pointer().ok_or(Problem::PastFrame)?;
    let high = 8 + signature.stack_bytes;
    require(offset >= low && offset + size <= high, Problem::PastFrame)
}

/// Within the instance data; writes only to what is the code's.
fn judge_instance(facts: &Facts<'_>, offset: i64, access: Access) -> Result<(), Problem> {
    let inside = offset >= -i64::from(facts.header.layout.size) && offset + access.size <= 0;
    require(inside, Problem::BadInstanceAccess)?;
    let activation = facts.cell((-offset) as u32) == Some(Cell::Activation);
    require(!activation, Problem::BadInstanceAccess)?;
    let allowed = !access.writes || facts.is_writable(offset..offset + access.size);
    require(allowed, Problem::WriteToInstance)
}

/// A constant in the text, or an entry or a type number of a code table at a multiple of its size.
fn judge_constant(facts: &Facts<'_>, start: i64, offset: Range, size: i64) -> Result<(), Problem> {
    let (low, high) = (offset.low, offset.high.saturating_add(size));
    require(low >= 0, Problem::PastCode)?;
    let in_text = facts.text_offset(start).is_some()
        && facts.text_offset(start.saturating_add(high) - 1).is_some();
    let in_table = facts.code_table(start).is_some_and(|table| {
        let numbers = 4 * table.entries;
        let is_entry = high <= numbers && size == 4 && offset.zeros >= 2;
        let is_number = table.shared
            && (numbers..=numbers + 2 * table.entries).contains(&high)
            && low >= numbers
            && size == 2
            && offset.zeros >= 1;
        is_entry || is_number
    });
    require(in_text || in_table, Problem::PastCode)
}

/// The trap table has this site as an access out of bounds.
fn judge_compared(facts: &Facts<'_>, site: u32) -> Result<(), Problem> {
    let listed = facts.metadata.trap_at(site) == Some(TrapCode::MemoryOutOfBounds);
    require(listed, Problem::NotInTrapTable)
}

/// At a constant distance from an address that instance data tells.
fn judge_loaded(thing: Thing, offset: i64, access: Access) -> Result<(), Problem> {
    let end = offset.saturating_add(access.size);
    let allowed = offset >= 0
        && match thing {
            Thing::MemoryDef | Thing::TableDef => !access.writes && end <= 16,
            Thing::Global => end <= 16,
            Thing::Runtime => {
                !access.writes && end <= 8 * precast_abi::runtime::RuntimeFn::COUNT as i64
            }
            Thing::Elements => end <= 32,
            Thing::Exception(size) => !access.writes && end <= size,
            // Where the next object is to be made, and where it must end.
            Thing::Heap if access.writes => offset == i64::from(HeapHeader::NEXT) && end <= 16,
            Thing::Heap => offset >= i64::from(HeapHeader::NEXT) && end <= 24,
            // Only through a comparison, or by a number.
            Thing::Memory | Thing::TypeRows => false,
        };
    require(allowed, Problem::WildAccess)
}

/// At a distance that is not known: of an element, whose index a branch has checked, of an object, or of
/// what is known of its type.
fn judge_derived(thing: Thing, access: Access) -> Result<(), Problem> {
    let allowed = match thing {
        Thing::Elements | Thing::Heap => access.size <= 16,
        Thing::TypeRows => !access.writes && access.size == 4,
        _ => false,
    };
    require(allowed, Problem::WildAccess)
}

fn require(holds: bool, problem: Problem) -> Result<(), Problem> {
    if holds { Ok(()) } else { Err(problem) }
}
