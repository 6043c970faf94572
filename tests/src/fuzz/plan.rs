//! What is done with a module: how its imports are met, which exports are called with what.

use super::rng::{Rng, mix};
use super::trace::Value;
use wasmparser::{ExternalKind, Parser, Payload, RefType, TypeRef, ValType};

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

/// Something that the module imports.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names are the specification's")]
pub enum Import {
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
    pub imports: Vec<(String, String, Import)>,
    /// Calls of exports: name, arguments, types of the results.
    pub calls: Vec<(String, Vec<Value>, Vec<Kind>)>,
    /// Exported globals.
    pub globals: Vec<String>,
    /// Exported memories.
    pub memories: Vec<String>,
    /// Exported tables.
    pub tables: Vec<String>,
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
    types: Vec<Signature>,
    functions: Vec<u32>,
    imports: Vec<(String, String, Import)>,
    exports: Vec<(String, ExternalKind, u32)>,
}

impl Declarations {
    fn read(&mut self, payload: Payload<'_>) -> Option<()> {
        match payload {
            Payload::TypeSection(types) => {
                for ty in types.into_iter_err_on_gc_types() {
                    let ty = ty.ok()?;
                    let kinds = |types: &[ValType]| -> Option<Vec<Kind>> {
                        types.iter().map(|ty| Kind::new(*ty)).collect()
                    };
                    self.types.push(Signature {
                        params: kinds(ty.params())?,
                        results: kinds(ty.results())?,
                    });
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
                Import::Func(self.types.get(ty as usize)?.clone())
            }
            TypeRef::Global(ty) => Import::Global {
                kind: Kind::new(ty.content_type)?,
                mutable: ty.mutable,
            },
            TypeRef::Memory(ty) => Import::Memory(ty),
            TypeRef::Table(ty) => Import::Table {
                kind: Kind::new(ValType::Ref(ty.element_type))?,
                ty,
            },
            _ => return None,
        };
        let (module, name) = (import.module.to_owned(), import.name.to_owned());
        let taken = |(m, n, _): &(String, String, Import)| *m == module && *n == name;
        if self.imports.iter().any(taken) {
            return None;
        }
        self.imports.push((module, name, what));
        Some(())
    }

    fn plan(self, rng: &mut Rng) -> Option<Plan> {
        let mut plan = Plan {
            imports: self.imports,
            calls: Vec::new(),
            globals: Vec::new(),
            memories: Vec::new(),
            tables: Vec::new(),
        };
        for (name, kind, index) in self.exports {
            match kind {
                ExternalKind::Func | ExternalKind::FuncExact => {
                    let ty = *self.functions.get(index as usize)?;
                    let ty = self.types.get(ty as usize)?;
                    for _ in 0..2 {
                        let args = ty.params.iter().map(|kind| argument(*kind, rng));
                        plan.calls
                            .push((name.clone(), args.collect(), ty.results.clone()));
                    }
                }
                ExternalKind::Global => plan.globals.push(name),
                ExternalKind::Memory => plan.memories.push(name),
                ExternalKind::Table => plan.tables.push(name),
                ExternalKind::Tag => return None,
            }
        }
        Some(plan)
    }
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
