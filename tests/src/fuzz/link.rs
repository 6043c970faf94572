//! What a second module may import from a first one.

use super::plan::{Item, Kind, Plan};
use wasm_encoder::{
    EntityType, GlobalType, ImportSection, MemoryType, Module, RefType, TableType, TypeSection,
    ValType,
};

/// The module name under which the exports of the first module are imported.
pub(super) const FIRST: &str = "first";

/// A module that imports everything that the first one exports.
pub(super) fn imports_from(first: &Plan) -> Vec<u8> {
    let (mut types, mut imports) = (TypeSection::new(), ImportSection::new());
    for (name, item) in &first.exports {
        let ty = match item {
            Item::Func(ty) => {
                let index = types.len();
                types
                    .ty()
                    .function(val_types(&ty.params), val_types(&ty.results));
                EntityType::Function(index)
            }
            Item::Global { kind, mutable } => EntityType::Global(GlobalType {
                val_type: val_type(*kind),
                mutable: *mutable,
                shared: false,
            }),
            // The generator does not accept these in a description of imports.
            Item::Memory(ty) if ty.page_size_log2.is_some() => continue,
            Item::Memory(ty) => EntityType::Memory(MemoryType {
                minimum: ty.initial,
                maximum: ty.maximum,
                memory64: ty.memory64,
                shared: ty.shared,
                page_size_log2: ty.page_size_log2,
            }),
            Item::Table { kind, ty } => EntityType::Table(TableType {
                element_type: match kind {
                    Kind::FuncRef => RefType::FUNCREF,
                    _ => RefType::EXTERNREF,
                },
                table64: ty.table64,
                minimum: ty.initial,
                maximum: ty.maximum,
                shared: ty.shared,
            }),
        };
        imports.import(FIRST, name, ty);
    }
    let mut module = Module::new();
    module.section(&types).section(&imports);
    module.finish()
}

fn val_types(kinds: &[Kind]) -> Vec<ValType> {
    kinds.iter().map(|kind| val_type(*kind)).collect()
}

fn val_type(kind: Kind) -> ValType {
    match kind {
        Kind::I32 => ValType::I32,
        Kind::I64 => ValType::I64,
        Kind::F32 => ValType::F32,
        Kind::F64 => ValType::F64,
        Kind::V128 => ValType::V128,
        Kind::FuncRef => ValType::FUNCREF,
        Kind::ExternRef => ValType::EXTERNREF,
    }
}
