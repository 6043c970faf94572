//! The machine code of one function, reduced to what an object needs of it.

use crate::error::CompileError;
use crate::exception_sites::{self, ExceptionSite};
use crate::helpers::Helper;
use crate::isa;
use crate::passes::Positions;
use crate::placement::{self, Phases};
use crate::reloc::{Field, Reloc, Target};
use crate::translate::Namespace;
use crate::trap;
use crate::unwind::FrameCode;
use cranelift_codegen::binemit::Reloc as RelocKind;
use cranelift_codegen::ir::{self, ExternalName, UserExternalName};
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::{CompiledCode, FinalizedMachReloc, FinalizedRelocTarget, MachTrap};
use precast_abi::addrmap;
use precast_abi::object::Arch;
use precast_abi::trap::TrapCode;

/// The machine code of one function.
#[derive(Debug)]
pub(crate) struct Code {
    /// Instructions and the constants behind them.
    pub(crate) bytes: Box<[u8]>,
    /// What its place must be a multiple of.
    pub(crate) align: u32,
    /// Where in a line of the processor's cache it should start.
    pub(crate) phases: Phases,
    /// Places that depend on other functions or tables.
    pub(crate) relocs: Box<[Reloc]>,
    /// Instructions that trap by a signal, other than by an access to a guard-page memory:
    /// code offset and trap code, in order.
    pub(crate) traps: Box<[(u32, TrapCode)]>,
    /// The address map, as [`precast_abi::addrmap`] encodes it.
    pub(crate) address_map: Box<[u8]>,
    /// How to unwind it.
    pub(crate) frame: FrameCode,
    /// Calls whose exceptions it may catch, in order.
    pub(crate) exception_sites: Box<[ExceptionSite]>,
    /// Where it holds references into the heap during calls, in order.
    pub(crate) stack_maps: Box<[StackMap]>,
}

/// Where a function holds references into the heap during a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StackMap {
    /// Code offset of the call's return address.
    pub(crate) return_offset: u32,
    /// As objects have it, see [`precast_abi::object::ObjectHeader::stack_map_words`].
    pub(crate) words: Box<[u32]>,
}

/// The stack maps of a function.
fn stack_maps(compiled: &CompiledCode) -> Box<[StackMap]> {
    let maps = compiled.buffer.user_stack_maps().iter();
    let mut maps: Box<[StackMap]> = maps
        .map(|(return_offset, frame_size, map)| {
            let mut offsets: Vec<u32> = map.entries().map(|(_, offset)| offset).collect();
            offsets.sort_unstable();
            offsets.dedup();
            let head = [*frame_size, offsets.len() as u32];
            StackMap {
                return_offset: *return_offset,
                words: head.into_iter().chain(offsets).collect(),
            }
        })
        .filter(|map| map.words.len() > 2)
        .collect();
    maps.sort_by_key(|map| map.return_offset);
    maps
}

/// The source location of `init` and stubs: from nowhere in the module.
const NOWHERE: u32 = u32::MAX;

impl Code {
    /// Takes what is needed, and checks that it is of the kinds that an object can hold.
    pub(crate) fn new(
        isa: &dyn TargetIsa,
        func: &ir::Function,
        compiled: &CompiledCode,
        positions: &Positions,
    ) -> Result<Code, CompileError> {
        let buffer = &compiled.buffer;
        let relocs = buffer.relocs();
        let relocs: Box<[Reloc]> = relocs
            .iter()
            .map(|reloc| Reloc::new(func, reloc, relocs))
            .collect::<Result<_, _>>()?;
        let dead_ends = dead_ends(&relocs);
        let live = |trap: &&MachTrap| dead_ends.binary_search(&trap.offset).is_err();
        let traps = buffer.traps();
        let arch = isa::arch(isa);
        let frame = FrameCode::encode(arch, isa, &buffer.unwind_info)
            .ok_or_else(|| internal("unwind information of an unknown kind"))?;
        Ok(Code {
            bytes: with_landing_pad(arch, buffer.data()),
            align: buffer.alignment,
            phases: placement::phases(
                &compiled.bb_starts,
                &compiled.bb_edges,
                buffer.data().len() as u32,
                buffer.alignment,
            ),
            traps: traps
                .iter()
                .filter(live)
                .filter(|trap| !trap::is_guard_page_access(trap.code))
                .map(|trap| Ok((trap.offset, trap_code(trap.code)?)))
                .collect::<Result<_, CompileError>>()?,
            address_map: address_map(compiled, traps.iter().filter(live), positions),
            relocs,
            frame,
            exception_sites: exception_sites::of(compiled)
                .ok_or_else(|| internal("an exception site of an unknown kind"))?,
            stack_maps: stack_maps(compiled),
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
    /// `all` are the relocations of the function, in the order of their places.
    fn new(
        func: &ir::Function,
        reloc: &FinalizedMachReloc,
        all: &[FinalizedMachReloc],
    ) -> Result<Reloc, CompileError> {
        let unknown = || internal(&format!("relocation {}", reloc.kind));
        if reloc.kind == RelocKind::RiscvPCRelLo12I {
            // It names the instruction that has the upper part, and that names the target.
            let FinalizedRelocTarget::Func(upper) = reloc.target else {
                return Err(unknown());
            };
            let of_upper = |other: &&FinalizedMachReloc| {
                other.offset == upper && other.kind == RelocKind::RiscvPCRelHi20
            };
            let upper_part = all.iter().find(of_upper).ok_or_else(unknown)?;
            let back = reloc.offset.checked_sub(upper).ok_or_else(unknown)?;
            return Ok(Reloc {
                offset: reloc.offset,
                field: Field::Low12 { back },
                ..Reloc::new(func, upper_part, all)?
            });
        }
        let field = Field::new(reloc.kind).ok_or_else(unknown)?;
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
            field,
            target,
            addend: i32::try_from(reloc.addend).map_err(|_| internal("a far relocation"))?,
        })
    }
}

/// The bytes of a function whose first instruction takes whoever comes by an indirect branch.
///
/// On AArch64 what Cranelift puts there, `bti c`, takes calls. Tail calls through a register are
/// jumps, though: `bti jc` takes both.
fn with_landing_pad(arch: Arch, bytes: &[u8]) -> Box<[u8]> {
    const BTI_C: [u8; 4] = 0xd503_245f_u32.to_le_bytes();
    const BTI_JC: [u8; 4] = 0xd503_24df_u32.to_le_bytes();
    let mut bytes: Box<[u8]> = bytes.into();
    if arch == Arch::Aarch64 && bytes.starts_with(&BTI_C) {
        bytes[..4].copy_from_slice(&BTI_JC);
    }
    bytes
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
        .map(|reloc| reloc.offset + reloc.field.call_len())
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
    positions: &Positions,
) -> Box<[u8]> {
    let calls = compiled.buffer.call_sites().map(|site| site.ret_addr - 1);
    let mut points: Vec<u32> = calls.chain(traps.map(|trap| trap.offset)).collect();
    points.sort_unstable();
    points.dedup();
    let mut ranges = compiled.buffer.get_srclocs_sorted().iter().peekable();
    let mut out = Vec::new();
    let mut encoder = addrmap::Encoder::default();
    let mut last = NOWHERE;
    for point in points {
        while ranges.next_if(|range| range.end <= point).is_some() {}
        let Some(range) = ranges.peek().filter(|range| range.start <= point) else {
            continue;
        };
        let location = range.loc.bits();
        if range.loc.is_default() || location == NOWHERE || location == last {
            continue;
        }
        let (wasm, chain) = positions.resolve(location);
        encoder.entry(point, wasm, &chain, |byte| out.push(byte));
        last = location;
    }
    out.into()
}

fn internal(what: &str) -> CompileError {
    CompileError::Internal {
        message: format!("the code generator made {what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::compile_module;
    use crate::layout::Layout;
    use crate::module::ModuleInfo;
    use crate::options::{OptLevel, Options};
    use crate::translate::Env;
    use std::collections::BTreeSet;

    /// The machine code of a module's functions and stubs.
    fn compile(wasm: &[u8], opt: OptLevel) -> Vec<(UserExternalName, Code)> {
        let options = Options {
            opt,
            cpu: crate::Cpu::BASELINE,
            ..Options::default()
        };
        let isa = crate::isa::build(&options).unwrap();
        let lowering = crate::isa::build_lowering(&options).unwrap();
        let plain = crate::isa::build(&Options {
            opt: OptLevel::None,
            ..options
        });
        let plain = plain.unwrap();
        let module = ModuleInfo::read(wasm).unwrap();
        let layout = Layout::new(&module, 0).unwrap();
        let env = Env {
            module: &module,
            layout: &layout,
            isa: &*isa,
            plain: &*plain,
            lowering: &*lowering,
            fuel: false,
            collects: true,
            counters: None,
            profile: None,
            passes: crate::passes::Passes::ALL.at(opt),
            level: opt,
        };
        let pool = crate::thread_pool(1).unwrap();
        compile_module(&env, &pool, None, BTreeSet::new(), &|_| {}).unwrap()
    }

    /// The code of function 0.
    fn compile_first(wat: &str, opt: OptLevel) -> (Vec<u8>, Code) {
        let wasm = wat::parse_str(wat).unwrap();
        let code = compile(&wasm, opt).remove(0).1;
        (wasm, code)
    }

    /// The opcodes at the offsets that an address map names.
    fn opcodes(wasm: &[u8], code: &Code) -> BTreeSet<u8> {
        let entries = addrmap::decode(&code.address_map);
        entries.map(|(_, offset)| wasm[offset as usize]).collect()
    }

    const UNREACHABLE: u8 = 0x00;
    const CALL: u8 = 0x10;
    const I32_LOAD: u8 = 0x28;
    const I64_STORE: u8 = 0x37;
    const I32_DIV_S: u8 = 0x6d;

    #[test]
    fn loads_and_stores_of_guard_pages_are_no_traps_but_have_a_place() {
        let wat = "(module (memory 1) (func (param i32) (result i32)
            (i64.store (local.get 0) (i64.const 1)) (i32.load (local.get 0))))";
        for opt in [OptLevel::None, OptLevel::Speed, OptLevel::Size] {
            let (wasm, code) = compile_first(wat, opt);
            assert!(code.traps.is_empty(), "{:?}", code.traps);
            assert_eq!(opcodes(&wasm, &code), [I32_LOAD, I64_STORE].into());
        }
    }

    #[test]
    fn loads_of_checked_memories_are_traps() {
        let wat = "(module (memory i64 1) (func (param i64) (result i32)
            (i32.load (local.get 0))))";
        for opt in [OptLevel::None, OptLevel::Speed] {
            let (wasm, code) = compile_first(wat, opt);
            let codes: Vec<_> = code.traps.iter().map(|(_, code)| *code).collect();
            assert_eq!(codes, [TrapCode::MemoryOutOfBounds]);
            assert_eq!(opcodes(&wasm, &code), [I32_LOAD].into());
        }
    }

    #[test]
    fn explicit_traps_have_a_place_and_no_entry() {
        let wat = "(module (func $f (param i32) (result i32)
            (if (local.get 0) (then unreachable)) (i32.const 1)))";
        for opt in [OptLevel::None, OptLevel::Speed] {
            let (wasm, code) = compile_first(wat, opt);
            assert!(code.traps.is_empty(), "{:?}", code.traps);
            assert_eq!(opcodes(&wasm, &code), [UNREACHABLE].into());
            let stub = Namespace::TrapStub.name(TrapCode::Unreachable as u32);
            assert!(code.symbols().any(|name| name == stub));
        }
    }

    #[test]
    fn calls_and_divisions_have_a_place() {
        let wat = "(module (func $f (param i32 i32) (result i32)
            (i32.div_s (call $f (local.get 1) (local.get 0)) (local.get 1))))";
        for opt in [OptLevel::None, OptLevel::Speed] {
            let (wasm, code) = compile_first(wat, opt);
            assert!(!code.traps.is_empty());
            for (offset, trap) in &code.traps {
                let division = [TrapCode::IntegerDivideByZero, TrapCode::IntegerOverflow];
                assert!(division.contains(trap), "{trap}");
                let (place, _) = addrmap::lookup(&code.address_map, *offset).unwrap();
                assert_eq!(wasm[place as usize], I32_DIV_S);
            }
            assert_eq!(opcodes(&wasm, &code), [CALL, I32_DIV_S].into());
        }
    }

    #[test]
    fn a_stub_is_made_for_each_symbol_that_code_names() {
        let wat = "(module (table 1 funcref) (memory 1)
            (func (param f32 i32) (result i32) (if (local.get 1) (then unreachable))
                (table.set (i32.const 0) (ref.null func))
                (i32.trunc_f32_s (f32.nearest (local.get 0)))))";
        let wasm = wat::parse_str(wat).unwrap();
        let pieces = compile(&wasm, OptLevel::Speed);
        let made: Vec<_> = pieces.iter().map(|(name, _)| name).collect();
        for (_, code) in &pieces {
            for name in code.symbols() {
                assert!(made.contains(&&name), "{name}");
            }
        }
        assert!(made.len() >= 3);
    }

    /// The allocator that makes the best of registers would take minutes over much more of this.
    #[test]
    fn functions_of_too_many_block_parameters_are_not_optimised() {
        let nest = |loops: usize, locals: usize| {
            let step: String = (0..locals)
                .map(|local| {
                    format!("(local.set {local} (i32.add (local.get {local}) (i32.const 1)))")
                })
                .collect();
            let ends = "(br_if 0 (local.get 0)))".repeat(loops);
            format!(
                "(module (func (param {}) {}{ends}))",
                "i32 ".repeat(locals),
                format!("(loop {step}").repeat(loops)
            )
        };
        let code = |wat: &str, opt| compile_first(wat, opt).1.bytes;
        let same = |wat: &str| code(wat, OptLevel::Speed) == code(wat, OptLevel::None);
        assert!(same(&nest(20, 200)));
        assert!(!same(&nest(2, 20)));
    }
}
