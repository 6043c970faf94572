//! Code that no wasm function contains: the ways into the guest, out of it, and to a trap.
//!
//! Only the stubs that something refers to, or that the loader may need, are made.

mod bulk;

pub(crate) use bulk::signature as bulk_signature;

use crate::layout::Layout;
use crate::module::{CodeTable, FuncIndex, FuncType, ModuleInfo, TypeIndex};
use crate::translate::{Namespace, c_signature, clif_type, outward_signature, wasm_signature};
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::{
    self, AbiParam, Function, InstBuilder, MemFlagsData, Signature, StackSlotData, StackSlotKind,
    UserFuncName, Value, types,
};
use cranelift_codegen::isa::{CallConv, TargetIsa};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use precast_abi::VALUE_SIZE;
use precast_abi::instance::{HostFunc, ImportedFunc, InstanceHeader};
use precast_abi::runtime::RuntimeFn;
use precast_abi::trap::TrapCode;
use std::collections::BTreeSet;
use std::mem::offset_of;
use wasmparser::ValType;

/// A stub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stub {
    /// Traps; see [`precast_abi::object::ObjectHeader::trap_stubs`].
    Trap(TrapCode),
    /// Enters a function of a type; see [`precast_abi::object::TypeRecord::enter_stub`].
    Enter(TypeIndex),
    /// Calls the host; see [`precast_abi::object::TypeRecord::host_stub`].
    Host(TypeIndex),
    /// Calls an imported function as if it were one of the module's own.
    Import(FuncIndex),
    /// Copies within memory 0.
    Copy,
    /// Fills in memory 0.
    Fill,
}

impl Stub {
    /// Its symbol in generated code.
    pub(crate) fn symbol(self) -> ir::UserExternalName {
        match self {
            Stub::Trap(code) => Namespace::TrapStub.name(code as u32),
            Stub::Enter(ty) => Namespace::EnterStub.name(ty.as_u32()),
            Stub::Host(ty) => Namespace::HostStub.name(ty.as_u32()),
            Stub::Import(index) => Namespace::ImportThunk.name(index.as_u32()),
            Stub::Copy => Namespace::BulkStub.name(RuntimeFn::MemoryCopy as u32),
            Stub::Fill => Namespace::BulkStub.name(RuntimeFn::MemoryFill as u32),
        }
    }

    /// The stub with this symbol, if it is one.
    pub(crate) fn from_symbol(name: &ir::UserExternalName) -> Option<Stub> {
        let index = name.index as usize;
        match name.namespace {
            n if n == Namespace::TrapStub as u32 => {
                Some(Stub::Trap(TrapCode::from_u8(index.try_into().ok()?)?))
            }
            n if n == Namespace::EnterStub as u32 => Some(Stub::Enter(TypeIndex::new(index))),
            n if n == Namespace::HostStub as u32 => Some(Stub::Host(TypeIndex::new(index))),
            n if n == Namespace::ImportThunk as u32 => Some(Stub::Import(FuncIndex::new(index))),
            n if n == Namespace::BulkStub as u32 => [Stub::Copy, Stub::Fill]
                .into_iter()
                .find(|stub| stub.symbol() == *name),
            _ => None,
        }
    }

    /// Its name in the symbol table.
    pub(crate) fn display_name(self) -> String {
        match self {
            Stub::Trap(code) => format!("precast.trap[{}]", code.message()),
            Stub::Enter(ty) => format!("precast.enter[{}]", ty.as_u32()),
            Stub::Host(ty) => format!("precast.host[{}]", ty.as_u32()),
            Stub::Import(index) => format!("precast.import[{}]", index.as_u32()),
            Stub::Copy => "precast.copy".to_owned(),
            Stub::Fill => "precast.fill".to_owned(),
        }
    }

    /// Its code, before it is compiled.
    pub(crate) fn build(
        self,
        module: &ModuleInfo<'_>,
        layout: &Layout,
        isa: &dyn TargetIsa,
        context: &mut FunctionBuilderContext,
        out: &mut Function,
    ) {
        out.name = UserFuncName::User(self.symbol());
        let c = CallConv::triple_default(isa.triple());
        out.signature = match self {
            Stub::Trap(_) => {
                let mut signature = Signature::new(CallConv::Tail);
                signature.params.push(AbiParam::new(types::I64));
                signature
            }
            Stub::Enter(_) => c_signature(c, &[types::I64; 3], &[]),
            Stub::Host(ty) => wasm_signature(&module.types[ty]),
            Stub::Import(index) => wasm_signature(module.func_type(index)),
            Stub::Copy | Stub::Fill => bulk_signature(),
        };
        let mut builder = FunctionBuilder::new(out, context);
        let entry = builder.create_block();
        builder.append_block_params_for_function_params(entry);
        builder.switch_to_block(entry);
        builder.seal_block(entry);
        let params = builder.block_params(entry).to_vec();
        match self {
            Stub::Trap(code) => emit_trap(&mut builder, c, params[0], code),
            Stub::Enter(ty) => emit_enter(&mut builder, isa, &module.types[ty], &params),
            Stub::Host(ty) => emit_host(&mut builder, c, &module.types[ty], &params),
            Stub::Import(index) => {
                let slot = layout.import_slots.offset(index);
                emit_import(&mut builder, isa, module.func_type(index), slot, &params);
            }
            Stub::Copy => bulk::emit(&mut builder, c, RuntimeFn::MemoryCopy, &params),
            Stub::Fill => bulk::emit(&mut builder, c, RuntimeFn::MemoryFill, &params),
        }
        builder.finalize(isa.frontend_config());
    }
}

/// The stubs that no code names: those that code tables refer to, and those that the loader may
/// need. It enters functions that anyone can get hold of, and lets functions of the host be
/// called by types that do not travel in registers.
pub(crate) fn unnamed(module: &ModuleInfo<'_>) -> BTreeSet<Stub> {
    let mut stubs = BTreeSet::new();
    for (index, function) in module.functions.iter() {
        let ty = module.canonical(function.ty);
        if module.is_imported(index) {
            if !module.types[ty].fits_registers() {
                stubs.insert(Stub::Host(ty));
            }
        } else if function.needs_func_ref {
            stubs.insert(Stub::Enter(ty));
        }
    }
    for table in &module.code_tables {
        let symbols = table_symbols(module, table).map(|symbol| Stub::from_symbol(&symbol));
        stubs.extend(symbols.flatten());
    }
    if can_receive_functions(module) {
        for (index, ty) in module.types.iter() {
            if ty.canonical == index && !ty.fits_registers() {
                stubs.insert(Stub::Host(index));
            }
        }
    }
    stubs
}

/// What the entries of a code table refer to: the elements, and last what stands for every index
/// past the end.
pub(crate) fn table_symbols(
    module: &ModuleInfo<'_>,
    table: &CodeTable,
) -> impl Iterator<Item = ir::UserExternalName> {
    let own = table.ty;
    let trap = |code| Stub::Trap(code).symbol();
    let symbol = move |element: &Option<FuncIndex>| match *element {
        None => trap(TrapCode::UninitializedElement),
        Some(function)
            if own.is_some_and(|ty| module.canonical(module.functions[function].ty) != ty) =>
        {
            trap(TrapCode::IndirectCallTypeMismatch)
        }
        Some(function) if module.is_imported(function) => Stub::Import(function).symbol(),
        Some(function) => Namespace::Function.name(function.as_u32()),
    };
    let contents = module.tables[table.table].immutable.as_deref();
    let elements = contents.unwrap_or_default().iter().map(symbol);
    elements.chain([trap(TrapCode::UndefinedElement)])
}

/// Whether a function that is not imported by name can get into the module: by a table, a
/// parameter, a result, or a global.
fn can_receive_functions(module: &ModuleInfo<'_>) -> bool {
    let is_ref = |ty: &ValType| matches!(ty, ValType::Ref(_));
    let by_table = |table: &crate::module::Table<'_>| table.immutable.is_none();
    let by_type = |ty: &FuncType| ty.params.iter().chain(&ty.results).any(is_ref);
    module.tables.values().any(by_table)
        || module.types.values().any(by_type)
        || module.globals.values().any(|global| is_ref(&global.ty))
}

/// Flags of accesses to memory that is there and aligned: instance data and arrays of values.
fn trusted() -> MemFlagsData {
    MemFlagsData::trusted()
}

fn cell(index: usize) -> i32 {
    (index * VALUE_SIZE) as i32
}

/// `fn(base)`: tells the loader, which does not come back.
fn emit_trap(builder: &mut FunctionBuilder<'_>, c: CallConv, base: Value, code: TrapCode) {
    let signature = builder.import_signature(c_signature(c, &[types::I64, types::I32], &[]));
    let distance = -(InstanceHeader::TRAP as i32);
    let entry = builder.ins().load(types::I64, trusted(), base, distance);
    let number = builder.ins().iconst(types::I32, code as i64);
    builder
        .ins()
        .call_indirect(signature, entry, &[base, number]);
    builder.ins().trap(ir::TrapCode::unwrap_user(code as u8));
}

/// `fn(context, code, values)`: calls `code` with arguments from `values`, and leaves the
/// results there.
fn emit_enter(
    builder: &mut FunctionBuilder<'_>,
    isa: &dyn TargetIsa,
    ty: &FuncType,
    params: &[Value],
) {
    let (context, code, values) = (params[0], params[1], params[2]);
    let mut args = vec![context];
    for (index, ty) in ty.params.iter().enumerate() {
        let at = cell(index);
        args.push(builder.ins().load(clif_type(*ty), trusted(), values, at));
    }
    let signature = builder.import_signature(outward_signature(isa, ty));
    let call = builder.ins().call_indirect(signature, code, &args);
    let results = builder.inst_results(call).to_vec();
    for (index, result) in results.into_iter().enumerate() {
        builder.ins().store(trusted(), result, values, cell(index));
    }
    builder.ins().return_(&[]);
}

/// A function of type `ty` whose hidden parameter is a [`HostFunc`]: puts its arguments in an
/// array, calls `call_array`, and takes the results from there.
fn emit_host(builder: &mut FunctionBuilder<'_>, c: CallConv, ty: &FuncType, params: &[Value]) {
    let cells = ty.params.len().max(ty.results.len());
    let slot = StackSlotData::new(
        StackSlotKind::ExplicitSlot,
        (cells * VALUE_SIZE) as u32,
        VALUE_SIZE.trailing_zeros() as u8,
    );
    let slot = builder.create_sized_stack_slot(slot);
    let values = builder.ins().stack_addr(types::I64, slot, 0);
    let host_func = params[0];
    for (index, arg) in params[1..].iter().enumerate() {
        builder.ins().store(trusted(), *arg, values, cell(index));
    }
    let signature = builder.import_signature(c_signature(c, &[types::I64; 2], &[]));
    let at = offset_of!(HostFunc, call_array) as i32;
    let code = builder.ins().load(types::I64, trusted(), host_func, at);
    builder
        .ins()
        .call_indirect(signature, code, &[host_func, values]);
    let mut results = Vec::with_capacity(ty.results.len());
    for (index, ty) in ty.results.iter().enumerate() {
        let at = cell(index);
        results.push(builder.ins().load(clif_type(*ty), trusted(), values, at));
    }
    builder.ins().return_(&results);
}

/// Goes on to what the slot of an imported function holds.
fn emit_import(
    builder: &mut FunctionBuilder<'_>,
    isa: &dyn TargetIsa,
    ty: &FuncType,
    slot: i32,
    params: &[Value],
) {
    let base = params[0];
    let code_at = slot + offset_of!(ImportedFunc, code) as i32;
    let context_at = slot + offset_of!(ImportedFunc, context) as i32;
    let code = builder.ins().load(types::I64, trusted(), base, code_at);
    let context = builder.ins().load(types::I64, trusted(), base, context_at);
    let mut args = params.to_vec();
    args[0] = context;
    let signature = builder.import_signature(outward_signature(isa, ty));
    builder.ins().return_call_indirect(signature, code, &args);
}
