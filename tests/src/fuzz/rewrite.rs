//! Small changes to modules.

use wasm_encoder::{ExportKind, ExportSection, Section};
use wasmparser::{ExternalKind, FunctionBody, Operator, Parser, Payload, Result, TypeRef};

const CODE_SECTION: u8 = 10;

/// The module with these bytes before each operator.
pub(super) fn insert(
    wasm: &[u8],
    before: impl Fn(&Operator<'_>) -> &'static [u8],
) -> Result<Vec<u8>> {
    let mut bodies = Vec::new();
    let mut section = None;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::CodeSectionStart {
                unchecked_range, ..
            } => section = Some(unchecked_range),
            Payload::CodeSectionEntry(body) => bodies.push(insert_in_body(wasm, &body, &before)?),
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

fn insert_in_body(
    wasm: &[u8],
    body: &FunctionBody<'_>,
    before: &impl Fn(&Operator<'_>) -> &'static [u8],
) -> Result<Vec<u8>> {
    let range = body.range();
    let mut done = range.start as usize;
    let mut out = Vec::new();
    let mut reader = body.get_operators_reader()?;
    while !reader.eof() {
        let at = reader.original_position() as usize;
        let operator = reader.read()?;
        out.extend(&wasm[done..at]);
        out.extend(before(&operator));
        done = at;
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

/// The module whose indirect calls take one of the first eight elements: most would be out of
/// bounds otherwise.
pub(super) fn call_near(wasm: &[u8]) -> Result<Vec<u8>> {
    /// `i32.const 7` `i32.and`.
    const AND_7: &[u8] = &[0x41, 7, 0x71];
    /// `i64.const 7` `i64.and`.
    const AND_7_WIDE: &[u8] = &[0x42, 7, 0x83];
    let is_wide = wide_tables(wasm)?;
    insert(wasm, |operator| match operator {
        Operator::CallIndirect { table_index, .. }
        | Operator::ReturnCallIndirect { table_index, .. } => {
            let wide = is_wide.get(*table_index as usize).copied();
            if wide == Some(true) {
                AND_7_WIDE
            } else {
                AND_7
            }
        }
        _ => &[],
    })
}

/// Whether the indices of each table are 64 bits wide.
fn wide_tables(wasm: &[u8]) -> Result<Vec<bool>> {
    let mut tables = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    if let TypeRef::Table(ty) = import?.ty {
                        tables.push(ty.table64);
                    }
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    tables.push(table?.ty.table64);
                }
            }
            _ => {}
        }
    }
    Ok(tables)
}

/// The module without its exports of tables, so that no one can change those that it does not
/// change itself.
pub(super) fn hide_tables(wasm: &[u8]) -> Result<Vec<u8>> {
    for payload in Parser::new(0).parse_all(wasm) {
        let Payload::ExportSection(exports) = payload? else {
            continue;
        };
        let range = exports.range();
        let mut kept = ExportSection::new();
        for export in exports {
            let export = export?;
            let kind = match export.kind {
                ExternalKind::Func => ExportKind::Func,
                ExternalKind::Memory => ExportKind::Memory,
                ExternalKind::Global => ExportKind::Global,
                _ => continue,
            };
            kept.export(export.name, kind, export.index);
        }
        let mut out = wasm[..header_of(wasm, range.start as usize)].to_vec();
        kept.append_to(&mut out);
        out.extend(&wasm[range.end as usize..]);
        return Ok(out);
    }
    Ok(wasm.to_vec())
}

/// What [`fill_tables`] needs to know of a module.
#[derive(Default)]
struct Tables {
    /// The tables: length, if they are of functions, and whether their indices are wide.
    tables: Vec<(Option<u64>, bool)>,
    functions: usize,
    /// Number and bytes of the element segments.
    elements: (u32, Vec<u8>),
    /// Where the element section is, or would be.
    place: (usize, usize),
}

/// The module whose tables of functions start with functions of all kinds, and go on with what
/// they had.
pub(super) fn fill_tables(wasm: &[u8]) -> Result<Vec<u8>> {
    const ELEMENT_SECTION: u8 = 9;
    let found = Tables::find(wasm)?;
    let (count, old) = &found.elements;
    let mut segments = Vec::new();
    let mut added = 0;
    for (number, &(len, wide)) in found.tables.iter().enumerate() {
        let Some(len) = len.filter(|_| found.functions > 0) else {
            continue;
        };
        added += 1;
        // Active, with a table; `const 0` `end`; function indices.
        segments.push(2);
        leb(number, &mut segments);
        segments.extend([if wide { 0x42 } else { 0x41 }, 0, 0x0b, 0]);
        let len = len.min(6) as usize;
        leb(len, &mut segments);
        for n in 0..len {
            leb((n * 3 + number) % found.functions, &mut segments);
        }
    }
    let mut contents = Vec::new();
    leb(*count as usize + added, &mut contents);
    contents.extend(old);
    contents.extend(segments);
    let mut out = wasm[..found.place.0].to_vec();
    out.push(ELEMENT_SECTION);
    leb(contents.len(), &mut out);
    out.extend(contents);
    out.extend(&wasm[found.place.1..]);
    Ok(out)
}

impl Tables {
    fn find(wasm: &[u8]) -> Result<Tables> {
        let mut found = Tables {
            place: (wasm.len(), wasm.len()),
            ..Tables::default()
        };
        for payload in Parser::new(0).parse_all(wasm) {
            found.read(wasm, payload?)?;
        }
        Ok(found)
    }

    fn read(&mut self, wasm: &[u8], payload: Payload<'_>) -> Result<()> {
        match payload {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    match import?.ty {
                        TypeRef::Table(ty) => self.tables.push((None, ty.table64)),
                        TypeRef::Func(_) => self.functions += 1,
                        _ => {}
                    }
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    let ty = table?.ty;
                    let is_func = ty.element_type == wasmparser::RefType::FUNCREF;
                    self.tables
                        .push((is_func.then_some(ty.initial), ty.table64));
                }
            }
            Payload::FunctionSection(functions) => self.functions += functions.count() as usize,
            Payload::ElementSection(section) => {
                let range = section.range();
                let (start, end) = (range.start as usize, range.end as usize);
                let count = wasm[start..end]
                    .iter()
                    .take_while(|byte| **byte >= 0x80)
                    .count()
                    + 1;
                self.elements = (section.count(), wasm[start + count..end].to_vec());
                self.place = (header_of(wasm, start), end);
            }
            Payload::DataCountSection { range, .. } => self.place_before(wasm, range.start),
            Payload::CodeSectionStart {
                unchecked_range, ..
            } => self.place_before(wasm, unchecked_range.start),
            Payload::DataSection(section) => self.place_before(wasm, section.range().start),
            _ => {}
        }
        Ok(())
    }

    fn place_before(&mut self, wasm: &[u8], contents: u64) {
        if self.place.0 == wasm.len() {
            let place = header_of(wasm, contents as usize);
            self.place = (place, place);
        }
    }
}
