//! Reading the sections of a module, each validated before it is looked at.

use super::analysis;
use super::const_expr::{self, ConstValue, Init};
use super::facts::{self, Body};
use super::features;
use super::*;
use crate::error::CompileError;
use crate::options::Options;
#[cfg(test)]
use crate::options::Target;
use cranelift_codegen::entity::EntityRef;
use precast_abi::object::TypeKind;
use wasmparser::{
    CompositeInnerType, ExternalKind, KnownCustom, Name, Parser, Payload, TableInit, TypeRef,
    ValidPayload, Validator, WasmFeatures,
};

/// Source locations are 32 bits wide.
const MAX_MODULE_SIZE: u64 = u32::MAX as u64 - 1;

impl<'a> ModuleInfo<'a> {
    /// Parses, validates and analyses a module. Runs in the rayon pool it is called in.
    ///
    /// # Errors
    ///
    /// The module is invalid, uses what is not supported, or is too large.
    #[cfg(test)]
    pub(crate) fn read(wasm: &'a [u8]) -> Result<ModuleInfo<'a>, CompileError> {
        ModuleInfo::read_for(&Options::for_target(Target::X86_64_LINUX), wasm)
    }

    /// Reads a module that is to be compiled with these options.
    ///
    /// # Errors
    ///
    /// The module is invalid, uses what is not supported, or is too large.
    pub(crate) fn read_for(
        options: &Options,
        wasm: &'a [u8],
    ) -> Result<ModuleInfo<'a>, CompileError> {
        if wasm.len() as u64 > MAX_MODULE_SIZE {
            let what = "modules of 4 GiB and more are not supported".to_owned();
            return Err(CompileError::TooLarge { what });
        }
        features::refuse_component(wasm)?;
        let supported = features::supported(options);
        let features = supported.intersection(options.features.set());
        let blame = |error| {
            features::exclude(wasm, supported, options.features, &error)
                .unwrap_or_else(|| features::blame(wasm, error))
        };
        let (mut module, bodies) = read_sections(wasm, features).map_err(blame)?;
        let facts = facts::validate_bodies(bodies).map_err(blame)?;
        analysis::finish(&mut module, facts, options.target.register_results()).map_err(blame)?;
        Ok(module)
    }

    fn empty() -> Self {
        ModuleInfo {
            name: None,
            types: PrimaryMap::new(),
            imports: Vec::new(),
            functions: PrimaryMap::new(),
            tables: PrimaryMap::new(),
            memories: PrimaryMap::new(),
            globals: PrimaryMap::new(),
            tags: PrimaryMap::new(),
            exports: Vec::new(),
            elements: PrimaryMap::new(),
            data: PrimaryMap::new(),
            start: None,
            customs: Vec::new(),
            imported: Imported::default(),
            code_tables: Vec::new(),
            sole_elements: Default::default(),
            has_heap_def: false,
            makes_objects: false,
        }
    }
}

/// Reads and validates everything but the bodies of functions.
fn read_sections(
    wasm: &[u8],
    features: WasmFeatures,
) -> wasmparser::Result<(ModuleInfo<'_>, Vec<Body<'_>>)> {
    let mut module = ModuleInfo::empty();
    let mut bodies = Vec::new();
    let mut validator = Validator::new_with_features(features);
    let mut parser = Parser::new(0);
    parser.set_features(features);
    for payload in parser.parse_all(wasm) {
        let payload = payload?;
        match validator.payload(&payload)? {
            ValidPayload::Ok | ValidPayload::Parser(_) => {}
            ValidPayload::Func(func, body) => {
                module.functions[FuncIndex::from_u32(func.index)].body = Some(body.clone());
                bodies.push(Body { func, body });
            }
            ValidPayload::End(types) => module.set_canonical_types(&types),
        }
        module.read_payload(payload)?;
    }
    Ok((module, bodies))
}

impl<'a> ModuleInfo<'a> {
    fn read_payload(&mut self, payload: Payload<'a>) -> wasmparser::Result<()> {
        match payload {
            Payload::TypeSection(section) => self.read_types(section),
            Payload::ImportSection(section) => section
                .into_imports()
                .try_for_each(|import| import.map(|import| self.add_import(import))),
            Payload::FunctionSection(section) => section
                .into_iter()
                .try_for_each(|ty| ty.map(|ty| self.add_function(ty))),
            Payload::TableSection(section) => section
                .into_iter()
                .try_for_each(|table| self.add_table(table?)),
            Payload::MemorySection(section) => section
                .into_iter()
                .try_for_each(|ty| ty.map(|ty| self.add_memory(ty, false))),
            Payload::GlobalSection(section) => section
                .into_iter()
                .try_for_each(|global| self.add_global(global?)),
            Payload::TagSection(section) => section.into_iter().try_for_each(|tag| {
                self.add_tag(tag?);
                Ok(())
            }),
            Payload::ExportSection(section) => section
                .into_iter()
                .try_for_each(|export| export.map(|export| self.add_export(export))),
            Payload::ElementSection(section) => section
                .into_iter()
                .try_for_each(|segment| self.add_element_segment(segment?)),
            Payload::DataSection(section) => section
                .into_iter()
                .try_for_each(|segment| self.add_data_segment(segment?)),
            Payload::StartSection { func, .. } => {
                self.start = Some(FuncIndex::from_u32(func));
                Ok(())
            }
            Payload::CustomSection(section) => {
                self.read_custom(&section);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn read_types(&mut self, section: wasmparser::TypeSectionReader<'a>) -> wasmparser::Result<()> {
        for group in section {
            let first = self.types.next_key();
            for ty in group?.into_types() {
                let ty = self.read_type(&ty, first);
                self.types.push(ty);
            }
        }
        Ok(())
    }

    /// A type of the recursive group that begins with `group`.
    fn read_type(&self, ty: &wasmparser::SubType, group: TypeIndex) -> FuncType {
        let field = |field: &wasmparser::FieldType| Field {
            ty: field.element_type,
            mutable: field.mutable,
        };
        let mut out = FuncType::plain(Box::default(), Box::default(), self.types.next_key());
        match &ty.composite_type.inner {
            CompositeInnerType::Func(ty) => {
                (out.params, out.results) = (ty.params().into(), ty.results().into());
            }
            CompositeInnerType::Struct(ty) => {
                out.sub.kind = TypeKind::Struct;
                out.sub.fields = ty.fields.iter().map(field).collect();
            }
            CompositeInnerType::Array(ty) => {
                out.sub.kind = TypeKind::Array;
                out.sub.fields = [field(&ty.0)].into();
            }
            // All other types belong to proposals that validation refuses.
            _ => {}
        }
        let supertype = ty
            .supertype_idxs
            .first()
            .and_then(|index| index.as_module_index());
        out.sub.supertype = supertype.map(TypeIndex::from_u32);
        let above = out.sub.supertype.and_then(|index| self.types.get(index));
        out.sub.depth = above.map_or(0, |above| above.sub.depth + 1);
        out.sub.is_final = ty.is_final;
        out.sub.group = group;
        out
    }

    /// Finds out which types are the same.
    fn set_canonical_types(&mut self, types: &wasmparser::types::Types) {
        let types = types.as_ref();
        let mut first = std::collections::HashMap::new();
        for (index, ty) in self.types.iter_mut() {
            let id = types.core_type_at_in_module(index.as_u32());
            ty.canonical = *first.entry(id).or_insert(index);
        }
    }

    fn add_import(&mut self, import: wasmparser::Import<'a>) {
        let entity = match import.ty {
            TypeRef::Func(ty) | TypeRef::FuncExact(ty) => {
                self.imported.functions += 1;
                self.add_function(ty);
                Entity::Function(FuncIndex::new(self.functions.len() - 1))
            }
            TypeRef::Table(ty) => {
                self.imported.tables += 1;
                Entity::Table(self.push_table(ty, Init::Value(ConstValue::Null), true))
            }
            TypeRef::Memory(ty) => {
                self.imported.memories += 1;
                self.add_memory(ty, true);
                Entity::Memory(MemoryIndex::new(self.memories.len() - 1))
            }
            TypeRef::Global(ty) => {
                self.imported.globals += 1;
                Entity::Global(self.push_global(ty, None))
            }
            TypeRef::Tag(ty) => {
                self.imported.tags += 1;
                Entity::Tag(self.add_tag(ty))
            }
        };
        self.imports.push(Import {
            module: import.module,
            name: import.name,
            entity,
        });
    }

    fn add_function(&mut self, ty: u32) {
        self.functions.push(Function {
            ty: TypeIndex::from_u32(ty),
            body: None,
            name: None,
            export_name: None,
            needs_func_ref: false,
            callees: Box::default(),
            has_legacy_try: false,
            branch_hints: BranchHints::default(),
        });
    }

    fn add_table(&mut self, table: wasmparser::Table<'a>) -> wasmparser::Result<()> {
        let init = match table.init {
            TableInit::RefNull => Init::Value(ConstValue::Null),
            TableInit::Expr(expr) => const_expr::evaluate(expr, &self.globals)?,
        };
        self.push_table(table.ty, init, false);
        Ok(())
    }

    fn push_table(
        &mut self,
        ty: wasmparser::TableType,
        init: Init<'a>,
        imported: bool,
    ) -> TableIndex {
        self.tables.push(Table {
            elem: ty.element_type,
            holds_func_refs: self.abi_ref_type(ty.element_type).is_func_ref(),
            min: ty.initial,
            max: ty.maximum,
            index64: ty.table64,
            init,
            imported,
            exported: false,
            grown: false,
            immutable: None,
        })
    }

    fn add_memory(&mut self, ty: wasmparser::MemoryType, imported: bool) {
        let page_size_log2 = ty.page_size_log2.unwrap_or(16);
        let first_own = self.memories.is_empty() && !imported;
        let guarded = first_own && !ty.memory64 && !ty.shared && page_size_log2 == 16;
        self.memories.push(Memory {
            min: ty.initial,
            max: ty.maximum,
            index64: ty.memory64,
            page_size_log2,
            shared: ty.shared,
            imported,
            exported: false,
            grown: false,
            bounds: if guarded {
                Bounds::GuardPages
            } else {
                Bounds::Checked { capacity: 0 }
            },
            is_heap: false,
        });
    }

    fn add_global(&mut self, global: wasmparser::Global<'a>) -> wasmparser::Result<()> {
        let init = const_expr::evaluate(global.init_expr, &self.globals)?;
        self.push_global(global.ty, Some(init));
        Ok(())
    }

    fn push_global(&mut self, ty: wasmparser::GlobalType, init: Option<Init<'a>>) -> GlobalIndex {
        self.globals.push(Global {
            ty: ty.content_type,
            mutable: ty.mutable,
            exported: false,
            written: false,
            init,
        })
    }

    fn add_tag(&mut self, tag: wasmparser::TagType) -> TagIndex {
        self.tags.push(TypeIndex::from_u32(tag.func_type_idx))
    }

    fn add_export(&mut self, export: wasmparser::Export<'a>) {
        let index = export.index;
        let entity = match export.kind {
            ExternalKind::Func | ExternalKind::FuncExact => {
                let index = FuncIndex::from_u32(index);
                self.functions[index].export_name.get_or_insert(export.name);
                Entity::Function(index)
            }
            ExternalKind::Table => {
                let index = TableIndex::from_u32(index);
                self.tables[index].exported = true;
                Entity::Table(index)
            }
            ExternalKind::Memory => {
                let index = MemoryIndex::from_u32(index);
                self.memories[index].exported = true;
                Entity::Memory(index)
            }
            ExternalKind::Global => {
                let index = GlobalIndex::from_u32(index);
                self.globals[index].exported = true;
                Entity::Global(index)
            }
            ExternalKind::Tag => Entity::Tag(TagIndex::from_u32(index)),
        };
        self.exports.push(Export {
            name: export.name,
            entity,
        });
    }

    fn add_element_segment(&mut self, segment: wasmparser::Element<'a>) -> wasmparser::Result<()> {
        let mode = match segment.kind {
            wasmparser::ElementKind::Passive => ElementMode::Passive,
            wasmparser::ElementKind::Declared => ElementMode::Declared,
            wasmparser::ElementKind::Active {
                table_index,
                offset_expr,
            } => ElementMode::Active {
                table: TableIndex::from_u32(table_index.unwrap_or(0)),
                offset: const_expr::evaluate(offset_expr, &self.globals)?,
            },
        };
        let (ty, items) = self.read_elements(segment.items)?;
        self.elements.push(ElementSegment {
            ty,
            items,
            mode,
            offset: segment.range.start,
            used: false,
            folded: false,
        });
        Ok(())
    }

    fn read_elements(
        &self,
        items: wasmparser::ElementItems<'a>,
    ) -> wasmparser::Result<(RefType, ElementItems<'a>)> {
        let (ty, exprs) = match items {
            wasmparser::ElementItems::Functions(indices) => {
                let functions = indices
                    .into_iter()
                    .map(|index| Ok(Some(FuncIndex::from_u32(index?))))
                    .collect::<wasmparser::Result<_>>()?;
                let ty = RefType::FUNC;
                return Ok((ty, ElementItems::Functions(functions)));
            }
            wasmparser::ElementItems::Expressions(ty, exprs) => (ty, exprs),
        };
        let values = exprs
            .into_iter()
            .map(|expr| const_expr::evaluate(expr?, &self.globals))
            .collect::<wasmparser::Result<Vec<_>>>()?;
        let functions = values
            .iter()
            .map(|value| match value {
                Init::Value(ConstValue::Func(index)) => Some(Some(*index)),
                Init::Value(ConstValue::Null) => Some(None),
                _ => None,
            })
            .collect::<Option<Vec<_>>>();
        Ok(match functions {
            Some(functions) => (ty, ElementItems::Functions(functions)),
            None => (ty, ElementItems::Values(values)),
        })
    }

    fn add_data_segment(&mut self, segment: wasmparser::Data<'a>) -> wasmparser::Result<()> {
        let mode = match segment.kind {
            wasmparser::DataKind::Passive => DataMode::Passive,
            wasmparser::DataKind::Active {
                memory_index,
                offset_expr,
            } => DataMode::Active {
                memory: MemoryIndex::from_u32(memory_index),
                offset: const_expr::evaluate(offset_expr, &self.globals)?,
            },
        };
        self.data.push(DataSegment {
            bytes: segment.data,
            mode,
            offset: segment.range.start,
            used: false,
            folded: false,
        });
        Ok(())
    }

    /// Custom sections cannot make a module invalid: what does not read well is left out.
    fn read_custom(&mut self, section: &wasmparser::CustomSectionReader<'a>) {
        let known = section.as_known();
        if !matches!(known, KnownCustom::Name(_)) {
            self.customs.push(CustomSection {
                name: section.name(),
                bytes: section.data(),
            });
        }
        match known {
            KnownCustom::Name(names) => self.read_names(names),
            KnownCustom::BranchHints(hints) => self.read_branch_hints(hints),
            _ => {}
        }
    }

    fn read_names(&mut self, names: wasmparser::NameSectionReader<'a>) {
        for subsection in names {
            match subsection {
                Ok(Name::Module { name, .. }) => self.name = Some(name),
                Ok(Name::Function(names)) => {
                    for naming in names.map_while(Result::ok) {
                        let index = FuncIndex::from_u32(naming.index);
                        if let Some(function) = self.functions.get_mut(index) {
                            function.name = Some(naming.name);
                        }
                    }
                }
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }
    fn read_branch_hints(&mut self, section: wasmparser::BranchHintSectionReader<'a>) {
        for entry in section.into_iter().map_while(Result::ok) {
            if let Some(function) = self.functions.get_mut(FuncIndex::from_u32(entry.func)) {
                let hints = entry.hints.into_iter().map_while(Result::ok);
                function.branch_hints = BranchHints::new(hints);
            }
        }
    }
}
