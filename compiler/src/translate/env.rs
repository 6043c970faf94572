//! What translation needs to know besides the function itself.

use crate::layout::Layout;
use crate::module::ModuleInfo;
use crate::options::OptLevel;
use crate::passes::Passes;
use crate::profile::{Counters, ModuleProfile};
use cranelift_codegen::ir::{Function, UserExternalName};
use cranelift_codegen::isa::TargetIsa;

/// What translation needs to know besides the function itself. Shared by all threads.
#[derive(Clone, Copy)]
pub(crate) struct Env<'a> {
    /// The module.
    pub(crate) module: &'a ModuleInfo<'a>,
    /// Layout of its instances.
    pub(crate) layout: &'a Layout,
    /// What the code is for.
    pub(crate) isa: &'a dyn TargetIsa,
    /// The same without optimisation, for functions that take too long with it.
    pub(crate) plain: &'a dyn TargetIsa,
    /// The same for functions that are optimised already.
    pub(crate) lowering: &'a dyn TargetIsa,
    /// Whether to count what is executed.
    pub(crate) fuel: bool,
    /// Whether objects may be collected, and move, during calls.
    pub(crate) collects: bool,
    /// The optimisations that run.
    pub(crate) passes: Passes,
    /// The counters, where what is executed is to be counted.
    pub(crate) counters: Option<&'a Counters>,
    /// What was counted before.
    pub(crate) profile: Option<&'a ModuleProfile<'a>>,
    /// What they are for.
    pub(crate) level: OptLevel,
}

/// Functions whose blocks have more parameters than this, all together, are compiled without
/// optimisation: the time of the register allocator grows with the square of their number, and
/// is some seconds here. (The largest function of CPython has 8,000 of them.)
pub(crate) const MAX_BLOCK_PARAMS: usize = if cfg!(test) { 3_000 } else { 30_000 };

impl<'a> Env<'a> {
    /// The code generator for a function. Depends on nothing but the function itself.
    pub(crate) fn isa_for(&self, function: &Function) -> &'a dyn TargetIsa {
        let blocks = function.layout.blocks();
        let params = blocks.map(|block| function.dfg.num_block_params(block));
        match params.sum::<usize>() > MAX_BLOCK_PARAMS {
            true => self.plain,
            false => self.isa,
        }
    }
}

/// Namespaces of the symbols in generated code: what the index of a name counts.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Namespace {
    /// A defined function, by its index in the function index space.
    Function = 0,
    /// The stub that traps with the code of this number.
    TrapStub = 1,
    /// A read-only array, by its index in [`ModuleInfo::code_tables`].
    CodeTable = 2,
    /// The stub that calls a function of the host, by the index of its type.
    HostStub = 3,
    /// The stub that enters the guest, by the index of the type.
    EnterStub = 4,
    /// The function that finishes instantiation.
    Init = 5,
    /// The stub that calls an imported function, by its index in the function index space.
    ImportThunk = 6,
    /// A helper that is compiled into the object, by its number.
    Helper = 7,
    /// The stub for short ranges of a runtime function, by that one's number.
    BulkStub = 8,
}

impl Namespace {
    /// The name of the `index`th symbol here.
    pub(crate) fn name(self, index: u32) -> UserExternalName {
        UserExternalName::new(self as u32, index)
    }
}
