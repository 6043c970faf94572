//! The machine code of one function, reduced to what an object needs of it.

use crate::error::CompileError;
use crate::helpers::Helper;
use crate::translate::Namespace;
use crate::trap;
use crate::unwind::FrameCode;
use cranelift_codegen::binemit::Reloc as RelocKind;
use cranelift_codegen::ir::{self, ExternalName, UserExternalName};
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::{CompiledCode, FinalizedMachReloc, FinalizedRelocTarget, MachTrap};
use precast_abi::addrmap;
use precast_abi::trap::TrapCode;

/// The machine code of one function.
#[derive(Debug)]
pub(crate) struct Code {
    /// Instructions and the constants behind them.
    pub(crate) bytes: Box<[u8]>,
    /// What its place must be a multiple of.
    pub(crate) align: u32,
    /// Places that depend on other functions or tables.
    pub(crate) relocs: Box<[Reloc]>,
    /// Instructions that trap by a signal, other than by an access to a guard-page memory:
    /// code offset and trap code, in order.
    pub(crate) traps: Box<[(u32, TrapCode)]>,
    /// The address map, as [`precast_abi::addrmap`] encodes it.
    pub(crate) address_map: Box<[u8]>,
    /// How to unwind it.
    pub(crate) frame: FrameCode,
}

/// Four bytes that hold the distance from themselves to a symbol, plus an addend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reloc {
    /// Code offset of the field.
    pub(crate) offset: u32,
    /// To what.
    pub(crate) target: Target,
    /// Added to the distance.
    pub(crate) addend: i32,
}

/// What a relocation refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A symbol in one of the namespaces of [`Namespace`].
    Symbol(UserExternalName),
    /// A place in the function itself.
    Local(u32),
}

/// The source location of `init` and stubs: from nowhere in the module.
const NOWHERE: u32 = u32::MAX;

impl Code {
    /// Takes what is needed, and checks that it is of the kinds that an object can hold.
    pub(crate) fn new(
        isa: &dyn TargetIsa,
        func: &ir::Function,
        compiled: &CompiledCode,
    ) -> Result<Code, CompileError> {
        let buffer = &compiled.buffer;
        let relocs = buffer.relocs();
        let relocs: Box<[Reloc]> = relocs
            .iter()
            .map(|reloc| Reloc::new(func, reloc))
            .collect::<Result<_, _>>()?;
        let dead_ends = dead_ends(&relocs);
        let live = |trap: &&MachTrap| dead_ends.binary_search(&trap.offset).is_err();
        let traps = buffer.traps();
        let frame = FrameCode::encode(isa, &buffer.unwind_info)
            .ok_or_else(|| internal("unwind information of an unknown kind"))?;
        Ok(Code {
            bytes: buffer.data().into(),
            align: buffer.alignment,
            traps: traps
                .iter()
                .filter(live)
                .filter(|trap| !trap::is_guard_page_access(trap.code))
                .map(|trap| Ok((trap.offset, trap_code(trap.code)?)))
                .collect::<Result<_, CompileError>>()?,
            address_map: address_map(compiled, traps.iter().filter(live)),
            relocs,
            frame,
        })
    }

    /// The symbols that it refers to.
    pub(crate) fn symbols(&self) -> impl Iterator<Item = UserExternalName> {
        self.relocs.iter().filter_map(|reloc| match &reloc.target {
            Target::Symbol(name) => Some(name.clone()),
            Target::Local(_) => None,
        })
    }
}

impl Reloc {
    fn new(func: &ir::Function, reloc: &FinalizedMachReloc) -> Result<Reloc, CompileError> {
        if !matches!(reloc.kind, RelocKind::X86PCRel4 | RelocKind::X86CallPCRel4) {
            return Err(internal(&format!("relocation {}", reloc.kind)));
        }
        let target = match &reloc.target {
            FinalizedRelocTarget::ExternalName(ExternalName::User(name)) => {
                Target::Symbol(func.params.user_named_funcs()[*name].clone())
            }
            FinalizedRelocTarget::ExternalName(ExternalName::LibCall(call)) => {
                let helper = Helper::for_libcall(*call)
                    .ok_or_else(|| internal(&format!("library call {call}")))?;
                Target::Symbol(Namespace::Helper.name(helper as u32))
            }
            FinalizedRelocTarget::ExternalName(name) => {
                return Err(internal(&format!("symbol {name:?}")));
            }
            FinalizedRelocTarget::Func(offset) => Target::Local(*offset),
        };
        Ok(Reloc {
            offset: reloc.offset,
            target,
            addend: i32::try_from(reloc.addend).map_err(|_| internal("a far relocation"))?,
        })
    }
}

/// Code offsets just behind calls that do not return: the traps there never execute.
fn dead_ends(relocs: &[Reloc]) -> Vec<u32> {
    let is_trap_stub = |reloc: &&Reloc| match &reloc.target {
        Target::Symbol(name) => name.namespace == Namespace::TrapStub as u32,
        Target::Local(_) => false,
    };
    let mut ends: Vec<u32> = relocs
        .iter()
        .filter(is_trap_stub)
        .map(|reloc| reloc.offset + 4)
        .collect();
    ends.sort_unstable();
    ends
}

fn trap_code(code: ir::TrapCode) -> Result<TrapCode, CompileError> {
    trap::from_cranelift(code).ok_or_else(|| internal(&format!("trap code {code}")))
}

/// The map from code to wasm, with the entries that a backtrace can ask for: the last byte of
/// each call, and each instruction that may trap.
fn address_map<'a>(
    compiled: &CompiledCode,
    traps: impl Iterator<Item = &'a MachTrap>,
) -> Box<[u8]> {
    let calls = compiled.buffer.call_sites().map(|site| site.ret_addr - 1);
    let mut points: Vec<u32> = calls.chain(traps.map(|trap| trap.offset)).collect();
    points.sort_unstable();
    points.dedup();
    let mut ranges = compiled.buffer.get_srclocs_sorted().iter().peekable();
    let mut out = Vec::new();
    let mut last = (0, 0);
    for point in points {
        while ranges.next_if(|range| range.end <= point).is_some() {}
        let Some(range) = ranges.peek().filter(|range| range.start <= point) else {
            continue;
        };
        let wasm = range.loc.bits();
        if range.loc.is_default() || wasm == NOWHERE || (wasm == last.1 && !out.is_empty()) {
            continue;
        }
        addrmap::encode(last, (point, wasm), |byte| out.push(byte));
        last = (point, wasm);
    }
    out.into()
}

fn internal(what: &str) -> CompileError {
    CompileError::Internal {
        message: format!("the code generator made {what}"),
    }
}
