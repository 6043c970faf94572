//! A report for programs.

use serde_json::{Value, json};

use super::report::{Entity, Report};

/// The report as JSON, with a line feed at the end.
pub(super) fn render(report: &Report) -> String {
    let sizes: serde_json::Map<String, Value> = report
        .sizes
        .iter()
        .map(|(name, bytes)| (name.replace(' ', "_"), json!(bytes)))
        .collect();
    let value = json!({
        "target": report.target,
        "cpu_features": report.cpu_features,
        "levels": report.levels.iter().map(|level| json!({
            "cpu_features": level.cpu_features,
            "file": level.file,
            "text": level.text,
        })).collect::<Vec<_>>(),
        "abi": report.abi,
        "producer": report.producer,
        "module_name": report.module_name,
        "source_sha256": report.source_sha256,
        "fuel": report.fuel,
        "functions": {
            "imported": report.functions.imported,
            "defined": report.functions.defined,
        },
        "imports": report.imports.iter().map(|import| json!({
            "module": import.module,
            "name": import.name,
            "kind": import.kind,
            "type": import.ty,
        })).collect::<Vec<_>>(),
        "exports": report.exports.iter().map(|export| json!({
            "name": export.name,
            "kind": export.kind,
            "index": export.index,
            "type": export.ty,
        })).collect::<Vec<_>>(),
        "memories": entities(&report.memories),
        "tables": entities(&report.tables),
        "globals": entities(&report.globals),
        "custom_sections": report.customs.iter().map(|custom| json!({
            "name": custom.name,
            "bytes": custom.bytes,
        })).collect::<Vec<_>>(),
        "image": report.image_runs.iter().map(|run| json!({
            "memory": run.memory,
            "offset": run.offset,
            "bytes": run.bytes,
        })).collect::<Vec<_>>(),
        "sizes": sizes,
        "verified": report.checked.as_ref().map(|checked| json!({
            "records": checked.records.records,
            "address_map_entries": checked.records.address_map_entries,
            "trap_sites": checked.records.trap_sites,
            "regions": checked.records.regions,
            "code_table_entries": checked.records.code_table_entries,
            "code": checked.code.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
        })),
    });
    format!("{value:#}\n")
}

fn entities(entities: &[Entity]) -> Vec<Value> {
    let one = |entity: &Entity| json!({ "type": entity.ty, "imported": entity.imported, "kept": entity.how });
    entities.iter().map(one).collect()
}
