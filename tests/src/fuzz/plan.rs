//! What is done with a module: how its imports are met, which exports are called with what.

use super::rng::{Rng, mix};
use super::trace::Value;
use wasmparser::{CompositeInnerType, ExternalKind, Parser, Payload, RefType, TypeRef, ValType};

/// A value type that both engines know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the specification's")]
pub enum Kind {
    I32,
    I64,
    F32,
    F64,
    V128,
    FuncRef,
    ExternRef,
}

impl Kind {
    fn new(ty: ValType) -> Option<Kind> {
        Some(match ty {
            ValType::I32 => Kind::I32,
            ValType::I64 => Kind::I64,
            ValType::F32 => Kind::F32,
            ValType::F64 => Kind::F64,
            ValType::V128 => Kind::V128,
            ValType::Ref(RefType::FUNCREF) => Kind::FuncRef,
            ValType::Ref(RefType::EXTERNREF) => Kind::ExternRef,
            ValType::Ref(_) => return None,
        })
    }

    /// The value of this type that 128 bits stand for. References are null.
    pub fn value(self, bits: u128) -> Value {
        match self {
            Kind::I32 => Value::I32(bits as u32),
            Kind::I64 => Value::I64(bits as u64),
            Kind::F32 => Value::F32(bits as u32),
            Kind::F64 => Value::F64(bits as u64),
            Kind::V128 => Value::V128(bits),
            Kind::FuncRef | Kind::ExternRef => Value::Null,
        }
    }
}

/// A function type.
#[derive(Clone, Debug)]
pub struct Signature {
    /// Parameters.
    pub params: Vec<Kind>,
    /// Results.
    pub results: Vec<Kind>,
}

/// Something that a module imports or exports.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names are the specification's")]
pub enum Item {
    Func(Signature),
    Global {
        kind: Kind,
        mutable: bool,
    },
    Memory(wasmparser::MemoryType),
    Table {
        kind: Kind,
        ty: wasmparser::TableType,
    },
}

/// What is done with a module.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Module name, name, and what it is. Names do not repeat.
    pub imports: Vec<(String, String, Item)>,
    /// Everything that it exports.
    pub exports: Vec<(String, Item)>,
    /// Calls of exports: name, arguments, types of the results.
    pub calls: Vec<(String, Vec<Value>, Vec<Kind>)>,
}

impl Plan {
    /// The plan for a valid module; `None` where it needs what one engine lacks.
    pub fn new(wasm: &[u8], rng: &mut Rng) -> Option<Plan> {
        let mut module = Declarations::default();
        for payload in Parser::new(0).parse_all(wasm) {
            module.read(payload.ok()?)?;
        }
        module.plan(rng)
    }

    /// What a host function answers: a value that follows from the import and its arguments.
    pub fn answer(import: usize, args: &[Value], results: &[Kind]) -> Vec<Value> {
        let hash = |hash: u64, arg: &Value| {
            let bits = arg.bits();
            mix(hash ^ bits as u64 ^ (bits >> 64) as u64)
        };
        let seed = args.iter().fold(import as u64, hash);
        let mut rng = Rng::new(seed);
        results
            .iter()
            .map(|kind| argument(*kind, &mut rng))
            .collect()
    }
}

#[derive(Default)]
struct Declarations {
    /// Nothing for types that only guests know.
    types: Vec<Option<Signature>>,
    functions: Vec<u32>,
    globals: Vec<Option<Item>>,
    memories: Vec<Item>,
    tables: Vec<Option<Item>>,
    imports: Vec<(String, String, Item)>,
    exports: Vec<(String, ExternalKind, u32)>,
}

impl Declarations {
    fn read(&mut self, payload: Payload<'_>) -> Option<()> {
        match payload {
            Payload::TypeSection(types) => {
                for group in types {
                    let types = group.ok()?.into_types();
                    self.types.extend(types.map(|ty| signature(&ty)));
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    self.import(import.ok()?)?;
                }
            }
            Payload::FunctionSection(functions) => {
                for ty in functions {
                    self.functions.push(ty.ok()?);
                }
            }
            Payload::GlobalSection(globals) => {
                for global in globals {
                    self.globals.push(global_item(global.ok()?.ty));
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    self.memories.push(Item::Memory(memory.ok()?));
                }
            }
            Payload::TableSection(tables) => {
                for table in tables {
                    self.tables.push(table_item(table.ok()?.ty));
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export.ok()?;
                    self.exports
                        .push((export.name.to_owned(), export.kind, export.index));
                }
            }
            _ => {}
        }
        Some(())
    }

    fn import(&mut self, import: wasmparser::Import<'_>) -> Option<()> {
        let what = match import.ty {
            TypeRef::Func(ty) => {
                self.functions.push(ty);
                Item::Func(self.types.get(ty as usize)?.clone()?)
            }
            TypeRef::Global(ty) => {
                let item = global_item(ty)?;
                self.globals.push(Some(item.clone()));
                item
            }
            TypeRef::Memory(ty) => {
                self.memories.push(Item::Memory(ty));
                Item::Memory(ty)
            }
            TypeRef::Table(ty) => {
                let item = table_item(ty)?;
                self.tables.push(Some(item.clone()));
                item
            }
            _ => return None,
        };
        let (module, name) = (import.module.to_owned(), import.name.to_owned());
        let taken = |(m, n, _): &(String, String, Item)| *m == module && *n == name;
        if self.imports.iter().any(taken) {
            return None;
        }
        self.imports.push((module, name, what));
        Some(())
    }

    fn plan(self, rng: &mut Rng) -> Option<Plan> {
        let mut plan = Plan {
            imports: Vec::new(),
            exports: Vec::new(),
            calls: Vec::new(),
        };
        for (name, kind, index) in &self.exports {
            let Some(item) = self.item(*kind, *index as usize) else {
                continue;
            };
            if let Item::Func(ty) = &item {
                for _ in 0..2 {
                    let args = ty.params.iter().map(|kind| argument(*kind, rng));
                    plan.calls
                        .push((name.clone(), args.collect(), ty.results.clone()));
                }
            }
            plan.exports.push((name.clone(), item));
        }
        plan.imports = self.imports;
        Some(plan)
    }

    fn item(&self, kind: ExternalKind, index: usize) -> Option<Item> {
        match kind {
            ExternalKind::Func | ExternalKind::FuncExact => {
                let ty = *self.functions.get(index)?;
                Some(Item::Func(self.types.get(ty as usize)?.clone()?))
            }
            ExternalKind::Global => self.globals.get(index).cloned()?,
            ExternalKind::Memory => self.memories.get(index).cloned(),
            ExternalKind::Table => self.tables.get(index).cloned()?,
            ExternalKind::Tag => None,
        }
    }
}

fn signature(ty: &wasmparser::SubType) -> Option<Signature> {
    let CompositeInnerType::Func(ty) = &ty.composite_type.inner else {
        return None;
    };
    let kinds = |types: &[ValType]| -> Option<Vec<Kind>> {
        types.iter().map(|ty| Kind::new(*ty)).collect()
    };
    Some(Signature {
        params: kinds(ty.params())?,
        results: kinds(ty.results())?,
    })
}

fn global_item(ty: wasmparser::GlobalType) -> Option<Item> {
    Some(Item::Global {
        kind: Kind::new(ty.content_type)?,
        mutable: ty.mutable,
    })
}

fn table_item(ty: wasmparser::TableType) -> Option<Item> {
    Some(Item::Table {
        kind: Kind::new(ValType::Ref(ty.element_type))?,
        ty,
    })
}

/// A value that is often at an edge.
fn argument(kind: Kind, rng: &mut Rng) -> Value {
    const EDGES: [u64; 18] = [
        0,
        1,
        2,
        u64::MAX,
        0x7f,
        0x8000,
        0xffff,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_ffff,
        i64::MAX as u64,
        i64::MIN as u64,
        // Floats: 1.0, NaN, infinity, -2^63 and 2^31 as f64; 1.0 as f32.
        0x3ff0_0000_0000_0000,
        0x7ff8_0000_0000_0000,
        0x7ff0_0000_0000_0000,
        0xc3e0_0000_0000_0000,
        0x41e0_0000_0000_0000,
        0x3f80_0000,
    ];
    let mut half = || match rng.below(4) {
        0 => rng.next(),
        1 => rng.next() % 1000,
        _ => rng.pick(&EDGES),
    };
    let (low, high) = (half(), half());
    kind.value(u128::from(high) << 64 | u128::from(low))
}
