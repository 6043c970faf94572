//! A look at the machine code of an object: is it of the form that the compiler makes, and can it
//! reach nothing but what is its own?
//!
//! Every function is followed from its entry, instruction by instruction, with what is known of
//! each register and stack slot: a number in a range, the instance base and a number in a range,
//! an address loaded from instance data, and so on ([`value`]). With that, every access to memory,
//! every call, jump and return is judged ([`access`], [`flow`]).
//!
//! # What it proves, for each function
//!
//! - Accesses to a memory 0 with guard pages end within reservation and guard, whatever the index.
//! - Accesses to instance data are at constant distances; writes go to globals and element
//!   segments only.
//! - Accesses to the stack stay within the frame and the parameters; the caller's registers and
//!   return address are restored before every return and tail call.
//! - Calls and jumps lead to entry points, with the right context; tables of jumps stay within the
//!   function; indices into code tables are bounded.
//! - Handlers of exceptions find the frame and the instance base where the object says, and read no
//!   more of an exception than there is. They are followed as all other code.
//! - No instruction that is not on a list ([`permitted`]), nor one of a CPU feature that the object
//!   does not ask for.
//!
//! # What it does not prove
//!
//! - That comparisons of checked memories are right: an access whose address went through a
//!   conditional move with zero and that is in the trap table is counted as *compared*.
//! - That indices into tables that can change were compared, and that what is used as a function
//!   reference is one: these are counted as *indirect* and *reference*.
//! - That references to objects are such, and that indices into arrays were compared: accesses to the heap
//!   are among the *indirect* ones.
//! - Anything of the stubs between functions, of helpers, and of `init`: the bytes are counted. Two
//!   stubs access memory: those for short copies and fills.
//! - That a function keeps to its type, beyond where its parameters and results lie.
//! - Anything about speculation.

mod access;
mod facts;
mod flow;
mod permitted;
mod report;
mod state;
mod step;
#[cfg(all(test, feature = "compile"))]
mod tests;
mod value;

use report::{CodeReport, Finding};

use facts::Facts;
use flow::Function;
use precast::object::{Damage, ObjectView};
use precast_abi::object::Arch;

/// Findings beyond this many are not collected.
const MAX_FINDINGS: usize = 20;

/// Looks at the code of an object that has passed [`ObjectView::verify`], and counts, by name. Of
/// another CPU's code nothing is known: there is nothing to count.
///
/// # Errors
///
/// What the first finding is, and how many there are.
pub(crate) fn code(view: &ObjectView<'_>) -> Result<Vec<(&'static str, u64)>, String> {
    if view.metadata().header().arch != Arch::X86_64 as u16 {
        return Ok(Vec::new());
    }
    let (report, findings) = verify_code(view).map_err(|damage| damage.to_string())?;
    match findings.as_slice() {
        [] => Ok(report.counts().to_vec()),
        [one] => Err(format!("the code is not what the compiler makes: {one}")),
        [first, more @ ..] => Err(format!(
            "the code is not what the compiler makes: {first}, and {} functions more",
            more.len()
        )),
    }
}

/// Looks at all functions of an object that has passed [`ObjectView::verify`]. The findings are at
/// most one per function, and twenty.
fn verify_code(view: &ObjectView<'_>) -> Result<(CodeReport, Vec<Finding>), Damage> {
    let facts = Facts::new(view)?;
    let header = facts.header;
    let mut report = CodeReport {
        other_text_bytes: header.text.size,
        ..CodeReport::default()
    };
    let mut findings = Vec::new();
    for index in header.imported_functions..header.functions.len {
        let record = facts.metadata.function(index)?;
        if record.text_size == 0 {
            continue;
        }
        let signature = facts.signature(record.type_index)?;
        let (of_function, finding) = Function::new(&facts, &record, signature).check(index);
        report.add(&of_function);
        report.other_text_bytes -= u64::from(record.text_size);
        findings.extend(finding);
        if findings.len() >= MAX_FINDINGS {
            break;
        }
    }
    Ok((report, findings))
}
