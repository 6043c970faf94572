//! The host module `spectest` that scripts import from.

use precast::{
    Error, Extern, FuncType, Global, GlobalType, Linker, Memory, MemoryType, RefType, SharedMemory,
    Store, Table, TableType, Val, ValType,
};

/// Defines `spectest` as the specification's interpreter does.
pub(super) fn define(store: &mut Store<()>, linker: &mut Linker<()>) -> Result<(), Error> {
    use ValType::{F32, F64, I32, I64};
    let prints: [(&str, &[ValType]); 8] = [
        ("print", &[]),
        ("print_i32", &[I32]),
        ("print_i64", &[I64]),
        ("print_f32", &[F32]),
        ("print_f64", &[F64]),
        ("print_i32_f32", &[I32, F32]),
        ("print_f64_f64", &[F64, F64]),
        ("print_i64_f64", &[I64, F64]),
    ];
    for (name, params) in prints {
        let ty = FuncType::new(params.iter().copied(), []);
        linker.func_dynamic("spectest", name, ty, |_, _, _| Ok(()));
    }
    let globals = [
        ("global_i32", I32, Val::I32(666)),
        ("global_i64", I64, Val::I64(666)),
        ("global_f32", F32, Val::F32(666.6f32.to_bits())),
        ("global_f64", F64, Val::F64(666.6f64.to_bits())),
    ];
    for (name, ty, value) in globals {
        let global = Global::new(&mut *store, GlobalType::new(ty, false), value)?;
        linker.define(&*store, "spectest", name, Extern::Global(global))?;
    }
    let table_type = TableType::new(RefType::FUNCREF, 10, Some(20));
    for (name, is_64) in [("table", false), ("table64", true)] {
        let table = Table::new(
            &mut *store,
            TableType {
                is_64,
                ..table_type
            },
            Val::FuncRef(None),
        )?;
        linker.define(&*store, "spectest", name, Extern::Table(table))?;
    }
    let memory = Memory::new(&mut *store, MemoryType::new(1, Some(2)))?;
    linker.define(&*store, "spectest", "memory", Extern::Memory(memory))?;
    let shared = SharedMemory::new(MemoryType {
        shared: true,
        ..MemoryType::new(1, Some(2))
    })?;
    linker.define_shared("spectest", "shared_memory", &shared);
    Ok(())
}
