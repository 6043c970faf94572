//! A run by the interpreter `wasmi`.

use super::Scene;
use super::detour;
use super::link::FIRST;
use super::plan::{Item, Kind, Plan, Signature};
use super::trace::{self, Event, Trace, Value};
use precast_abi::trap::TrapCode;
use wasmi::errors::{ErrorKind, InstantiationError};
use wasmi::{
    Caller, Config, Engine, Extern, ExternRef, F32, F64, Func, FuncType, Global, Instance, Linker,
    Memory, MemoryType, Module, Mutability, Nullable, Ref, RefType, Store, Table, TableType, V128,
    Val, ValType,
};

/// Runs the scenes in one store. `Ok(None)` where the interpreter lacks something.
pub(super) fn run(scenes: &[Scene]) -> Result<Option<Trace>, String> {
    let engine = Engine::new(&config());
    let mut store = Store::new(&engine, Trace::default());
    let mut modules = Vec::new();
    for scene in scenes {
        let wasm = detour::around_select(&scene.wasm).map_err(text)?;
        let Ok(module) = Module::new(&engine, &wasm) else {
            return Ok(None);
        };
        modules.push(module);
    }
    let (mut imports, mut instances) = (Vec::new(), Vec::new());
    for (Scene { plan, .. }, module) in scenes.iter().zip(&modules) {
        let linker = link(&mut store, plan, instances.first(), &mut imports)?;
        match linker.instantiate_and_start(&mut store, module) {
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
        observe_exports(&mut store, instance, plan);
    }
    for (name, value) in imports {
        observe(&mut store, &name, value);
    }
    Ok(Some(store.into_data()))
}

/// Meets the imports of a plan: from the first instance, or from the host.
fn link(
    store: &mut Store<Trace>,
    plan: &Plan,
    first: Option<&Instance>,
    imports: &mut Vec<(String, Extern)>,
) -> Result<Linker<Trace>, String> {
    let mut linker = Linker::new(store.engine());
    for (number, (module, name, item)) in plan.imports.iter().enumerate() {
        let value = match first {
            Some(first) if module == FIRST => first
                .get_export(&*store, name)
                .ok_or("the first module lacks an export")?,
            _ => provide(store, number, item)?,
        };
        linker.define(module, name, value).map_err(text)?;
        imports.push((format!("{module}.{name}"), value));
    }
    Ok(linker)
}

fn config() -> Config {
    let mut config = Config::default();
    config
        .wasm_memory64(true)
        .wasm_multi_memory(true)
        .wasm_custom_page_sizes(true)
        .wasm_tail_call(true)
        .wasm_extended_const(true)
        .wasm_wide_arithmetic(true)
        .wasm_simd(true);
    config
}

fn call_all(store: &mut Store<Trace>, instance: Instance, plan: &Plan) -> Result<(), String> {
    for (name, args, results) in &plan.calls {
        let func = instance
            .get_func(&*store, name)
            .ok_or("a function is not there")?;
        let args: Vec<Val> = args
            .iter()
            .zip(func.ty(&*store).params())
            .map(from_value)
            .collect();
        let mut values: Vec<Val> = results.iter().map(|kind| zero(*kind)).collect();
        let outcome = match func.call(&mut *store, &args, &mut values) {
            Ok(()) => Ok(values.iter().map(to_value).collect()),
            Err(error) => Err(trap_code(&error)?),
        };
        store.data_mut().push(Event::Called(name.clone(), outcome));
        observe_exports(store, instance, plan);
    }
    Ok(())
}

fn observe_exports(store: &mut Store<Trace>, instance: Instance, plan: &Plan) {
    for (name, _) in &plan.exports {
        if let Some(value) = instance.get_export(&*store, name) {
            observe(store, name, value);
        }
    }
}

fn observe(store: &mut Store<Trace>, name: &str, value: Extern) {
    let name = name.to_owned();
    let event = match value {
        Extern::Global(global) => Event::Global(name, to_value(&global.get(&*store))),
        Extern::Memory(memory) => {
            let data = memory.data(&*store);
            Event::Memory(name, data.len(), trace::hash(data))
        }
        Extern::Table(table) => {
            let is_some = |index| match table.get(&*store, index) {
                Some(Ref::Func(func)) => !func.is_null(),
                Some(Ref::Extern(value)) => !value.is_null(),
                None => false,
            };
            Event::Table(name, (0..table.size(&*store)).map(is_some).collect())
        }
        Extern::Func(_) => return,
    };
    store.data_mut().push(event);
}

fn provide(store: &mut Store<Trace>, number: usize, import: &Item) -> Result<Extern, String> {
    Ok(match import {
        Item::Func(ty) => provide_func(store, number, ty.clone()).into(),
        Item::Global { kind, mutable } => {
            let value = kind.value(number as u128 + 1);
            let value = from_value((&value, &val_type(*kind)));
            let mutability = if *mutable {
                Mutability::Var
            } else {
                Mutability::Const
            };
            Global::new(store, value, mutability).into()
        }
        Item::Memory(ty) => {
            let mut builder = MemoryType::builder();
            builder
                .memory64(ty.memory64)
                .min(ty.initial)
                .max(ty.maximum);
            if let Some(log2) = ty.page_size_log2 {
                builder.page_size_log2(log2 as u8);
            }
            let ty = builder.build().map_err(text)?;
            Memory::new(store, ty).map_err(text)?.into()
        }
        Item::Table { kind, ty } => {
            let (element, null) = match kind {
                Kind::FuncRef => (RefType::Func, Ref::Func(Nullable::Null)),
                _ => (RefType::Extern, Ref::Extern(Nullable::Null)),
            };
            let ty = if ty.table64 {
                TableType::new64(element, ty.initial, ty.maximum)
            } else {
                let maximum = ty.maximum.map(|max| max as u32);
                TableType::new(element, ty.initial as u32, maximum)
            };
            Table::new(store, ty, null).map_err(text)?.into()
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

fn val_type(kind: Kind) -> ValType {
    match kind {
        Kind::I32 => ValType::I32,
        Kind::I64 => ValType::I64,
        Kind::F32 => ValType::F32,
        Kind::F64 => ValType::F64,
        Kind::V128 => ValType::V128,
        Kind::FuncRef => ValType::FuncRef,
        Kind::ExternRef => ValType::ExternRef,
    }
}

fn zero(kind: Kind) -> Val {
    Val::default_for_ty(val_type(kind))
}

fn from_value((value, ty): (&Value, &ValType)) -> Val {
    match *value {
        Value::I32(x) => Val::I32(x as i32),
        Value::I64(x) => Val::I64(x as i64),
        Value::F32(x) => Val::F32(F32::from_bits(x)),
        Value::F64(x) => Val::F64(F64::from_bits(x)),
        Value::V128(x) => Val::V128(V128::from(x)),
        Value::Null | Value::NotNull => Val::default_for_ty(*ty),
    }
}

fn to_value(value: &Val) -> Value {
    fn reference(is_null: bool) -> Value {
        if is_null { Value::Null } else { Value::NotNull }
    }
    match value {
        Val::I32(x) => Value::I32(*x as u32),
        Val::I64(x) => Value::I64(*x as u64),
        Val::F32(x) => Value::F32(x.to_bits()),
        Val::F64(x) => Value::F64(x.to_bits()),
        Val::V128(x) => Value::V128(x.as_u128()),
        Val::FuncRef(x) => reference(x.is_null()),
        Val::ExternRef(x) => reference(<Nullable<ExternRef>>::is_null(x)),
    }
}

/// Our code for the interpreter's. It does not tell two kinds of table traps apart.
fn trap_code(error: &wasmi::Error) -> Result<TrapCode, String> {
    use wasmi::TrapCode as Theirs;
    if let ErrorKind::Instantiation(InstantiationError::ElementSegmentDoesNotFit { .. }) =
        error.kind()
    {
        return Ok(TrapCode::TableOutOfBounds);
    }
    let code = error
        .as_trap_code()
        .ok_or_else(|| format!("the interpreter failed: {error}"))?;
    Ok(match code {
        Theirs::UnreachableCodeReached => TrapCode::Unreachable,
        Theirs::MemoryOutOfBounds => TrapCode::MemoryOutOfBounds,
        Theirs::TableOutOfBounds => TrapCode::TableOutOfBounds,
        Theirs::IndirectCallToNull => TrapCode::UninitializedElement,
        Theirs::IntegerDivisionByZero => TrapCode::IntegerDivideByZero,
        Theirs::IntegerOverflow => TrapCode::IntegerOverflow,
        Theirs::BadConversionToInteger => TrapCode::InvalidConversionToInteger,
        Theirs::StackOverflow => TrapCode::StackOverflow,
        Theirs::BadSignature => TrapCode::IndirectCallTypeMismatch,
        other => return Err(format!("the interpreter stopped: {other}")),
    })
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
