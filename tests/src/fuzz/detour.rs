//! Modules rewritten so that they steer around a fault of the reference.
//!
//! `wasmi` 2.0.0 fuses `select` with a comparison against zero just before it (`i32.eqz`,
//! `i32.ne`, …) and, where the compared value is in a local, then selects by whatever its condition
//! register held before. So every condition of a `select` is passed through `i32.popcnt`, which is
//! zero where the condition is.

use wasmparser::{FunctionBody, Operator, Parser, Payload, Result};

const POPCNT: u8 = 0x69;
const CODE_SECTION: u8 = 10;

/// The module with `i32.popcnt` before every `select`.
pub(super) fn around_select(wasm: &[u8]) -> Result<Vec<u8>> {
    let mut bodies = Vec::new();
    let mut section = None;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::CodeSectionStart {
                unchecked_range, ..
            } => section = Some(unchecked_range),
            Payload::CodeSectionEntry(body) => bodies.push(rewrite(wasm, &body)?),
            _ => {}
        }
    }
    let Some(section) = section else {
        return Ok(wasm.to_vec());
    };
    let mut contents = Vec::new();
    leb(bodies.len(), &mut contents);
    for body in bodies {
        leb(body.len(), &mut contents);
        contents.extend(body);
    }
    let mut out = wasm[..header_of(wasm, section.start as usize)].to_vec();
    out.push(CODE_SECTION);
    leb(contents.len(), &mut out);
    out.extend(contents);
    out.extend(&wasm[section.end as usize..]);
    Ok(out)
}

/// Where the section starts whose contents start at `contents`: its number is the last byte of
/// its value before the size, and the size has no byte without its upper bit but the last.
fn header_of(wasm: &[u8], contents: usize) -> usize {
    let mut at = contents - 2;
    while wasm[at] & 0x80 != 0 {
        at -= 1;
    }
    at
}

fn rewrite(wasm: &[u8], body: &FunctionBody<'_>) -> Result<Vec<u8>> {
    let range = body.range();
    let mut done = range.start as usize;
    let mut out = Vec::new();
    let mut reader = body.get_operators_reader()?;
    while !reader.eof() {
        let at = reader.original_position() as usize;
        if let Operator::Select | Operator::TypedSelect { .. } = reader.read()? {
            out.extend(&wasm[done..at]);
            out.push(POPCNT);
            done = at;
        }
    }
    out.extend(&wasm[done..range.end as usize]);
    Ok(out)
}

fn leb(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
