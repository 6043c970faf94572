//! A run by us: compiled, mapped, called.

use super::Scene;
use super::link::FIRST;
use super::plan::{Item, Kind, Plan, Signature};
use super::rng::Rng;
use super::trace::{self, Event, Trace, Value};
use crate::trusted::{self, Refusal};
use precast::{
    Caller, Error, Extern, Func, FuncType, Global, GlobalType, HeapType, Instance, Linker, Memory,
    MemoryType, Module, ObjectView, Profile, RefType, Store, StoreOptions, Table, TableType, Val,
    ValType,
};
use precast_abi::trap::TrapCode;
use precast_compiler::{CompileError, Cpu, OptLevel, Options, Pass, Passes};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How a module is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// As on the command line.
    pub cpu: &'static str,
    /// Optimisation.
    pub opt: OptLevel,
    /// Whether memory 0 has less address space than guard pages need.
    pub compact: bool,
    /// Whether fuel is counted, of which there is plenty.
    pub fuel: bool,
    /// The optimisations of our own.
    pub passes: Passes,
    /// Whether it counts what it executes.
    pub instrument: bool,
    /// Whether it is made from a profile, of counts that mean nothing.
    pub profile: bool,
    /// Whether garbage is collected whenever an object is made.
    pub collect_always: bool,
}

/// As much as a 32-bit memory can have without guard pages.
const COMPACT: u64 = (4 << 30) - (64 << 10);

impl Variant {
    /// One of all that this machine can run.
    pub fn choose(rng: &mut Rng) -> Variant {
        let v3 = Cpu::X86_64_V3.features();
        let has_v3 = Cpu::native().features() & v3 == v3;
        let v3 = if has_v3 { "x86-64-v3" } else { "x86-64-v2" };
        Variant {
            cpu: rng.pick(&["baseline", "x86-64-v2", v3, "native"]),
            opt: rng.pick(&[
                OptLevel::None,
                OptLevel::Speed,
                OptLevel::Speed,
                OptLevel::Size,
            ]),
            compact: rng.below(3) == 0,
            fuel: rng.below(4) == 0,
            passes: choose_passes(rng),
            instrument: rng.below(8) == 0,
            profile: rng.below(4) == 0,
            collect_always: rng.below(2) == 0,
        }
    }

    pub(super) fn options(self) -> Result<Options, String> {
        Ok(Options {
            cpu: Cpu::parse(self.cpu).map_err(text)?,
            opt: self.opt,
            memory_reservation: self.compact.then_some(COMPACT),
            // Arrays as large as there can be end soon.
            gc_heap: Some(1 << 20),
            fuel: self.fuel,
            passes: self.passes,
            instrument: self.instrument,
            jobs: 1,
            ..Options::default()
        })
    }
}

/// All passes half of the time, and else each with an even chance.
fn choose_passes(rng: &mut Rng) -> Passes {
    if rng.below(2) == 0 {
        return Passes::ALL;
    }
    let chosen = Pass::ALL.into_iter().filter(|_| rng.below(2) == 0);
    chosen.fold(Passes::NONE, |passes, (pass, _)| passes.with(pass))
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--cpu {}, {:?}", self.cpu, self.opt)?;
        for (on, name) in [
            (self.compact, ", compact"),
            (self.fuel, ", fuel"),
            (self.instrument, ", instrument"),
            (self.profile, ", profile"),
            (self.collect_always, ", collecting always"),
        ] {
            f.write_str(if on { name } else { "" })?;
        }
        for (pass, _) in Pass::ALL {
            if !self.passes.has(pass) {
                write!(f, ", --without {pass}")?;
            }
        }
        Ok(())
    }
}

/// Compiles what need not be a module, and opens what comes of it.
pub(super) fn compile_whatever_it_is(wasm: &[u8], variant: Variant) -> Result<(), String> {
    match open(wasm, variant)? {
        Ok(_) => Ok(()),
        Err(Refusal::Compile(CompileError::Internal { message })) => Err(message),
        Err(Refusal::Compile(error)) if error.to_string().contains('\n') => {
            Err(format!("more than one line: {error}"))
        }
        Err(Refusal::Compile(_)) => Ok(()),
        Err(Refusal::Open(error)) => Err(format!("our own object is refused: {error}")),
    }
}

/// Compiles and opens. A panic of the compiler is the outer error.
fn open(wasm: &[u8], variant: Variant) -> Result<Result<Module, Refusal>, String> {
    let mut options = variant.options()?;
    catch_unwind(AssertUnwindSafe(|| {
        if variant.profile {
            options.profile = meaningless_profile(wasm);
        }
        trusted::open(wasm, &options)
    }))
    .map_err(|_| "the compiler panicked".to_owned())
}

/// A profile of the module whose counts are nothing but numbers; `None` if it is none.
fn meaningless_profile(wasm: &[u8]) -> Option<Profile> {
    let options = Options {
        instrument: true,
        opt: OptLevel::None,
        ..Options::default()
    };
    let object = precast_compiler::compile(wasm, &options).ok()?.bytes;
    let view = ObjectView::parse(&object).ok()?;
    let header = view.metadata().header();
    let mut rng = Rng::new(wasm.len() as u64);
    let mut count = || [0, 1, 2, 9, 1000, u64::MAX][rng.below(6)];
    let counts = (0..header.counter_count).map(|_| count()).collect();
    Some(Profile::new(header.source_hash, counts))
}

/// Runs the scenes in one store.
pub(super) fn run(scenes: &[Scene], variant: Variant) -> Result<Trace, String> {
    let options = StoreOptions {
        collect_always: variant.collect_always,
        ..StoreOptions::default()
    };
    let mut store = Store::with_options(Trace::default(), options);
    let (mut imports, mut instances) = (Vec::new(), Vec::new());
    for Scene { wasm, plan } in scenes {
        let module = match open(wasm, variant)? {
            // Its memory is too large from the start.
            Err(Refusal::Compile(CompileError::Options { .. })) if variant.compact => {
                let compact = false;
                open(wasm, Variant { compact, ..variant })?.map_err(text)?
            }
            other => other.map_err(text)?,
        };
        let linker = link(&mut store, plan, instances.first(), &mut imports)?;
        match linker.instantiate(&mut store, &module) {
            Ok(instance) => {
                instances.push(instance);
                call_all(&mut store, instance, plan)?;
            }
            Err(error) => {
                let code = trap_code(&error)?;
                store.data_mut().push(Event::NotInstantiated(code));
                break;
            }
        }
    }
    for (Scene { plan, .. }, instance) in scenes.iter().zip(instances) {
        observe_exports(&mut store, instance, plan)?;
    }
    for (name, value) in imports {
        observe(&mut store, &name, value)?;
    }
    Ok(store.into_data())
}

/// Meets the imports of a plan: from the first instance, or from the host.
fn link(
    store: &mut Store<Trace>,
    plan: &Plan,
    first: Option<&Instance>,
    imports: &mut Vec<(String, Extern)>,
) -> Result<Linker<Trace>, String> {
    let mut linker = Linker::new();
    for (number, (module, name, item)) in plan.imports.iter().enumerate() {
        let value = match first {
            Some(first) if module == FIRST => first
                .export(&*store, name)
                .ok_or("the first module lacks an export")?,
            _ => provide(store, number, item)?,
        };
        linker.define(&*store, module, name, value).map_err(text)?;
        imports.push((format!("{module}.{name}"), value));
    }
    Ok(linker)
}

fn call_all(store: &mut Store<Trace>, instance: Instance, plan: &Plan) -> Result<(), String> {
    for (name, args, results) in &plan.calls {
        let Some(Extern::Func(func)) = instance.export(&*store, name) else {
            return Err(format!("{name} is not there"));
        };
        let ty = func.ty(&*store).map_err(text)?;
        let args: Vec<Val> = args.iter().zip(ty.params()).map(from_value).collect();
        let mut values: Vec<Val> = results.iter().map(|kind| zero(*kind)).collect();
        let outcome = match func.call(&mut *store, &args, &mut values) {
            Ok(()) => Ok(values.iter().map(to_value).collect()),
            Err(error) => Err(trap_code(&error)?),
        };
        store.data_mut().push(Event::Called(name.clone(), outcome));
        observe_exports(store, instance, plan)?;
    }
    Ok(())
}

fn observe_exports(
    store: &mut Store<Trace>,
    instance: Instance,
    plan: &Plan,
) -> Result<(), String> {
    for (name, _) in &plan.exports {
        if let Some(value) = instance.export(&*store, name) {
            observe(store, name, value)?;
        }
    }
    Ok(())
}

fn observe(store: &mut Store<Trace>, name: &str, value: Extern) -> Result<(), String> {
    let name = name.to_owned();
    let event = match value {
        Extern::Global(global) => {
            let value = global.get(&*store).map_err(text)?;
            Event::Global(name, to_value(&value))
        }
        Extern::Memory(memory) => {
            let data = memory.data(&*store).map_err(text)?;
            Event::Memory(name, data.len(), trace::hash(data))
        }
        Extern::Table(table) => {
            let mut elements = Vec::new();
            for index in 0..table.size(&*store).map_err(text)? {
                let element = table.get(&*store, index).map_err(text)?;
                elements.push(element.map(|value| to_value(&value)) == Some(Value::NotNull));
            }
            Event::Table(name, elements)
        }
        Extern::Func(_) | Extern::Tag(_) => return Ok(()),
    };
    store.data_mut().push(event);
    Ok(())
}

fn provide(store: &mut Store<Trace>, number: usize, import: &Item) -> Result<Extern, String> {
    Ok(match import {
        Item::Func(ty) => Extern::Func(provide_func(store, number, ty.clone())),
        Item::Global { kind, mutable } => {
            let value = kind.value(number as u128 + 1);
            let ty = val_type(*kind);
            let value = from_value((&value, &ty));
            let ty = GlobalType::new(ty, *mutable);
            Extern::Global(Global::new(store, ty, value).map_err(text)?)
        }
        Item::Memory(ty) => {
            let ty = MemoryType {
                min: ty.initial,
                max: ty.maximum,
                is_64: ty.memory64,
                shared: ty.shared,
                page_size_log2: ty.page_size_log2.unwrap_or(16),
            };
            Extern::Memory(Memory::new(store, ty).map_err(text)?)
        }
        Item::Table { kind, ty } => {
            let ty = TableType {
                element: ref_type(*kind),
                min: ty.initial,
                max: ty.maximum,
                is_64: ty.table64,
            };
            Extern::Table(Table::new(store, ty, zero(*kind)).map_err(text)?)
        }
    })
}

fn provide_func(store: &mut Store<Trace>, number: usize, ty: Signature) -> Func {
    let types = |kinds: &[Kind]| kinds.iter().map(|kind| val_type(*kind)).collect::<Vec<_>>();
    let func_type = FuncType::new(types(&ty.params), types(&ty.results));
    let call = move |mut caller: Caller<'_, Trace>, args: &[Val], results: &mut [Val]| {
        let args: Vec<Value> = args.iter().map(to_value).collect();
        let answer = Plan::answer(number, &args, &ty.results);
        for ((result, value), kind) in results.iter_mut().zip(&answer).zip(&ty.results) {
            *result = from_value((value, &val_type(*kind)));
        }
        caller.data_mut().push(Event::HostCall(number, args));
        Ok(())
    };
    Func::new(store, func_type, call)
}

fn ref_type(kind: Kind) -> RefType {
    let heap = match kind {
        Kind::FuncRef => HeapType::Func,
        _ => HeapType::Extern,
    };
    RefType {
        nullable: true,
        heap,
    }
}

fn val_type(kind: Kind) -> ValType {
    match kind {
        Kind::I32 => ValType::I32,
        Kind::I64 => ValType::I64,
        Kind::F32 => ValType::F32,
        Kind::F64 => ValType::F64,
        Kind::V128 => ValType::V128,
        Kind::FuncRef | Kind::ExternRef => ValType::Ref(ref_type(kind)),
    }
}

fn zero(kind: Kind) -> Val {
    from_value((&kind.value(0), &val_type(kind)))
}

fn from_value((value, ty): (&Value, &ValType)) -> Val {
    match *value {
        Value::I32(x) => Val::I32(x as i32),
        Value::I64(x) => Val::I64(x as i64),
        Value::F32(x) => Val::F32(x),
        Value::F64(x) => Val::F64(x),
        Value::V128(x) => Val::V128(x),
        Value::Null | Value::NotNull => match ty {
            ValType::Ref(RefType {
                heap: HeapType::Extern,
                ..
            }) => Val::ExternRef(None),
            _ => Val::FuncRef(None),
        },
    }
}

fn to_value(value: &Val) -> Value {
    fn reference(is_null: bool) -> Value {
        if is_null { Value::Null } else { Value::NotNull }
    }
    match *value {
        Val::I32(x) => Value::I32(x as u32),
        Val::I64(x) => Value::I64(x as u64),
        Val::F32(x) => Value::F32(x),
        Val::F64(x) => Value::F64(x),
        Val::V128(x) => Value::V128(x),
        Val::FuncRef(func) => reference(func.is_none()),
        Val::ExternRef(value) => reference(value.is_none()),
        Val::ExnRef(value) => reference(value.is_none()),
        Val::AnyRef(value) => reference(value.is_none()),
    }
}

/// The interpreter does not tell a call through an index past the table from other accesses
/// there: neither do we.
fn trap_code(error: &Error) -> Result<TrapCode, String> {
    match error {
        Error::Trap(trap) => Ok(match trap.code() {
            TrapCode::UndefinedElement => TrapCode::TableOutOfBounds,
            code => code,
        }),
        // The interpreter has none: they only need to be told from traps.
        Error::Exception(_) => Ok(TrapCode::ExceptionsExhausted),
        error => Err(format!("we failed: {error}")),
    }
}

fn text(error: impl fmt::Display) -> String {
    error.to_string()
}
