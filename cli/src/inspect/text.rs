//! A report for people.

use std::fmt::Write;

use super::report::{Entity, Report};

/// Writing to a string does not fail.
const STRING: &str = "a string takes everything";

/// The report as text.
pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    head(&mut out, report).expect(STRING);
    borders(&mut out, report).expect(STRING);
    contents(&mut out, report).expect(STRING);
    out
}

fn head(out: &mut String, report: &Report) -> std::fmt::Result {
    let features = match report.cpu_features.as_slice() {
        [] => "none beyond the base architecture".to_owned(),
        features => features.join(" "),
    };
    let name = match report.module_name.as_str() {
        "" => "(none)".to_owned(),
        name => escape(name),
    };
    writeln!(out, "target        {}", report.target)?;
    writeln!(out, "cpu features  {features}")?;
    for level in &report.levels {
        let (features, text) = (level.cpu_features.join(" "), level.text);
        writeln!(out, "better level  {features}: {text} bytes of text")?;
    }
    writeln!(out, "abi           {}", report.abi)?;
    writeln!(out, "producer      {}", escape(&report.producer))?;
    writeln!(out, "module name   {name}")?;
    writeln!(out, "source sha256 {}", report.source_sha256)?;
    if report.fuel {
        writeln!(out, "fuel          counted")?;
    }
    let functions = &report.functions;
    writeln!(
        out,
        "functions     {} defined, {} imported",
        functions.defined, functions.imported
    )?;
    if let Some(checked) = &report.checked {
        let records = &checked.records;
        writeln!(
            out,
            "verified      {} records, {} trap sites, {} code table entries: all sound",
            records.records, records.trap_sites, records.code_table_entries
        )?;
        for (name, count) in &checked.code {
            writeln!(out, "  {count:>12} {name}")?;
        }
    }
    Ok(())
}

fn borders(out: &mut String, report: &Report) -> std::fmt::Result {
    title(out, "imports", report.imports.len())?;
    for import in &report.imports {
        let (module, name) = (escape(&import.module), escape(&import.name));
        writeln!(out, "  {} {module}::{name} {}", import.kind, import.ty)?;
    }
    title(out, "exports", report.exports.len())?;
    for export in &report.exports {
        writeln!(
            out,
            "  {} {} {}",
            export.kind,
            escape(&export.name),
            export.ty
        )?;
    }
    Ok(())
}

fn contents(out: &mut String, report: &Report) -> std::fmt::Result {
    entities(out, "memories", &report.memories)?;
    entities(out, "tables", &report.tables)?;
    title(out, "globals", report.globals.len())?;
    title(out, "memory image", report.image_runs.len())?;
    for run in &report.image_runs {
        writeln!(
            out,
            "  memory {} at {:#x}: {} bytes",
            run.memory, run.offset, run.bytes
        )?;
    }
    title(out, "custom sections", report.customs.len())?;
    for custom in &report.customs {
        writeln!(out, "  {}: {} bytes", escape(&custom.name), custom.bytes)?;
    }
    writeln!(out, "\nsizes in bytes")?;
    for (name, bytes) in &report.sizes {
        writeln!(out, "  {name:13} {bytes}")?;
    }
    Ok(())
}

fn title(out: &mut String, name: &str, count: usize) -> std::fmt::Result {
    writeln!(out, "\n{name}: {count}")
}

fn entities(out: &mut String, name: &str, entities: &[Entity]) -> std::fmt::Result {
    title(out, name, entities.len())?;
    for (index, entity) in entities.iter().enumerate() {
        writeln!(out, "  {index}: {} ({})", entity.ty, entity.how)?;
    }
    Ok(())
}

/// Names come from modules: nothing in them may drive a terminal.
fn escape(name: &str) -> String {
    name.chars()
        .flat_map(|c| match c.is_control() {
            true => c.escape_default().collect::<Vec<_>>(),
            false => vec![c],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_cannot_drive_a_terminal() {
        assert_eq!(super::escape("a\u{1b}[31mé"), "a\\u{1b}[31mé");
    }
}
