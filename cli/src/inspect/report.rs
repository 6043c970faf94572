//! What there is to say about an object.

use precast::ObjectView;
use precast::object::{Damage, Fault, Metadata, Part};
use precast_abi::cpu;
use precast_abi::object::{Arch, ExternKind, MemoryRecord, ObjectHeader, Os, TableRecord};

use super::{Checked, types};

/// An object in words and numbers.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) target: String,
    pub(super) cpu_features: Vec<&'static str>,
    /// What else the file has, for better CPUs.
    pub(super) levels: Vec<Level>,
    pub(super) abi: String,
    pub(super) producer: String,
    pub(super) module_name: String,
    pub(super) source_sha256: String,
    /// Whether the code counts what it executes.
    pub(super) fuel: bool,
    pub(super) functions: Functions,
    pub(super) imports: Vec<Import>,
    pub(super) exports: Vec<Export>,
    pub(super) memories: Vec<Entity>,
    pub(super) tables: Vec<Entity>,
    pub(super) globals: Vec<Entity>,
    pub(super) customs: Vec<Custom>,
    pub(super) image_runs: Vec<Run>,
    pub(super) sizes: Vec<(&'static str, u64)>,
    /// What `--verify` looked at, if it did.
    pub(super) checked: Option<Checked>,
}

/// An object for better CPUs.
#[derive(Debug)]
pub(super) struct Level {
    pub(super) cpu_features: Vec<&'static str>,
    pub(super) file: u64,
    pub(super) text: u64,
}

#[derive(Debug)]
pub(super) struct Functions {
    pub(super) imported: u32,
    pub(super) defined: u32,
}

#[derive(Debug)]
pub(super) struct Import {
    pub(super) module: String,
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) ty: String,
}

#[derive(Debug)]
pub(super) struct Export {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) index: u32,
    pub(super) ty: String,
}

/// A memory, table or global.
#[derive(Debug)]
pub(super) struct Entity {
    pub(super) imported: bool,
    pub(super) ty: String,
    /// How it is kept.
    pub(super) how: &'static str,
}

#[derive(Debug)]
pub(super) struct Custom {
    pub(super) name: String,
    pub(super) bytes: usize,
}

/// A piece of a memory's initial contents.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) memory: u32,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

impl Report {
    /// Reads all of `view`, whose file has `levels` beside; `checked` is what verification counted.
    pub(super) fn new(
        view: &ObjectView<'_>,
        levels: &[ObjectView<'_>],
        checked: Option<Checked>,
    ) -> Result<Report, Damage> {
        let data = view.metadata();
        let header = data.header();
        Ok(Report {
            target: target(header.arch, header.os),
            cpu_features: features(header.arch, header.cpu_features),
            levels: levels.iter().map(level).collect(),
            abi: format!("{}.{}", header.version.major, header.version.minor),
            producer: data.producer()?.to_owned(),
            module_name: data.module_name()?.to_owned(),
            source_sha256: header
                .source_hash
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            fuel: header.flags & ObjectHeader::FUEL != 0,
            functions: Functions {
                imported: header.imported_functions,
                defined: header.functions.len - header.imported_functions.min(header.functions.len),
            },
            imports: all(header.imports.len, |index| import(&data, index))?,
            exports: all(header.exports.len, |index| export(&data, index))?,
            memories: all(header.memories.len, |index| memory(&data, index))?,
            tables: all(header.tables.len, |index| table(&data, index))?,
            globals: all(header.globals.len, |index| global(&data, index))?,
            customs: all(header.customs.len, |index| custom(&data, index))?,
            image_runs: all(header.image_runs.len, |index| run(&data, index))?,
            sizes: sizes(view, &data)?,
            checked,
        })
    }
}

fn level(view: &ObjectView<'_>) -> Level {
    let metadata = view.metadata();
    let header = metadata.header();
    Level {
        cpu_features: features(header.arch, header.cpu_features),
        file: view.bytes().len() as u64,
        text: view.text().len() as u64,
    }
}

fn all<T>(len: u32, one: impl FnMut(u32) -> Result<T, Damage>) -> Result<Vec<T>, Damage> {
    (0..len).map(one).collect()
}

/// Every architecture, with its name.
const ARCHS: [(Arch, &str); 3] = [
    (Arch::X86_64, "x86_64"),
    (Arch::Aarch64, "aarch64"),
    (Arch::Riscv64, "riscv64"),
];

fn target(arch: u16, os: u16) -> String {
    let mut archs = ARCHS.into_iter();
    let arch = archs.find_map(|(known, name)| (known as u16 == arch).then_some(name));
    let os = [(Os::Linux, "linux"), (Os::Macos, "macos")]
        .into_iter()
        .find_map(|(known, name)| (known as u16 == os).then_some(name));
    format!("{}-{}", arch.unwrap_or("unknown"), os.unwrap_or("unknown"))
}

fn features(arch: u16, bits: u64) -> Vec<&'static str> {
    let arch = ARCHS.into_iter().find(|(known, _)| *known as u16 == arch);
    let known = arch.map_or(&[][..], |(arch, _)| cpu::features(arch));
    let had = known.iter().filter(|(feature, _)| bits & feature != 0);
    had.map(|(_, name)| *name).collect()
}

fn import(data: &Metadata<'_>, index: u32) -> Result<Import, Damage> {
    let import = data.import(index)?;
    let (kind, ty) = extern_type(data, import.kind, import.index, Part::Import)?;
    Ok(Import {
        module: data.name(import.module, Part::Import, index)?.to_owned(),
        name: data.name(import.name, Part::Import, index)?.to_owned(),
        kind,
        ty,
    })
}

fn export(data: &Metadata<'_>, index: u32) -> Result<Export, Damage> {
    let export = data.export(index)?;
    let (kind, ty) = extern_type(data, export.kind, export.index, Part::Export)?;
    let name = data.name(export.name, Part::Export, index)?.to_owned();
    Ok(Export {
        name,
        kind,
        index: export.index,
        ty,
    })
}

/// Kind and type, in words, of what an import or export refers to.
fn extern_type(
    data: &Metadata<'_>,
    kind: u32,
    index: u32,
    part: Part,
) -> Result<(&'static str, String), Damage> {
    let unknown = Damage {
        part,
        index: None,
        fault: Fault::BadValue,
    };
    Ok(match ExternKind::from_u32(kind).ok_or(unknown)? {
        ExternKind::Function => (
            "function",
            types::function(data, data.function(index)?.type_index)?,
        ),
        ExternKind::Table => ("table", types::table(&data.table(index)?)),
        ExternKind::Memory => ("memory", types::memory(&data.memory(index)?)),
        ExternKind::Global => ("global", types::global(&data.global(index)?)),
        ExternKind::Tag => ("tag", types::function(data, data.tag(index)?.type_index)?),
    })
}

fn memory(data: &Metadata<'_>, index: u32) -> Result<Entity, Damage> {
    let memory: MemoryRecord = data.memory(index)?;
    let imported = index < data.header().imported_memories;
    let how = match memory.reservation {
        _ if imported => "imported, every access checked",
        0 if memory.capacity > 0 => "compact, every access checked",
        0 => "every access checked",
        _ => "guard pages, no checks",
    };
    Ok(Entity {
        imported,
        ty: types::memory(&memory),
        how,
    })
}

fn table(data: &Metadata<'_>, index: u32) -> Result<Entity, Damage> {
    let table: TableRecord = data.table(index)?;
    let imported = index < data.header().imported_tables;
    let how = match table.flags & TableRecord::IMMUTABLE {
        _ if imported => "imported",
        0 => "one for each instance",
        _ => "read-only, shared by all instances",
    };
    Ok(Entity {
        imported,
        ty: types::table(&table),
        how,
    })
}

fn global(data: &Metadata<'_>, index: u32) -> Result<Entity, Damage> {
    let global = data.global(index)?;
    let imported = index < data.header().imported_globals;
    Ok(Entity {
        imported,
        ty: types::global(&global),
        how: if imported { "imported" } else { "own" },
    })
}

fn custom(data: &Metadata<'_>, index: u32) -> Result<Custom, Damage> {
    let (name, bytes) = data.custom(index)?;
    Ok(Custom {
        name: name.to_owned(),
        bytes: bytes.len(),
    })
}

fn run(data: &Metadata<'_>, index: u32) -> Result<Run, Damage> {
    let run = data.image_run(index)?;
    Ok(Run {
        memory: run.memory,
        offset: run.memory_offset,
        bytes: run.len,
    })
}

/// Bytes of the parts of the file.
fn sizes(view: &ObjectView<'_>, data: &Metadata<'_>) -> Result<Vec<(&'static str, u64)>, Damage> {
    let header = data.header();
    let mut maps = 0;
    for index in header.imported_functions..header.functions.len {
        maps += u64::from(data.function(index)?.addr_map.len);
    }
    Ok(vec![
        ("file", view.bytes().len() as u64),
        ("text", header.text.size),
        ("metadata", u64::from(header.metadata_size)),
        ("address maps", maps),
        ("trap sites", u64::from(header.trap_offsets.len) * 5),
        ("code tables", u64::from(header.code_tables.len)),
        ("memory image", header.image.size),
        ("instance data", u64::from(header.layout.size)),
    ])
}
