//! Explicit traps: cold blocks at the end of the function, one per site.
//!
//! A site branches to a block of its own, which calls the stub of its trap code. The return
//! address tells the loader which site it was.

use super::env::Namespace;
use super::func::FuncTranslator;
use crate::trap::to_cranelift;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    self, AbiParam, Block, InstBuilder, Signature, SourceLoc, Value, types,
};
use cranelift_codegen::isa::CallConv;
use precast_abi::trap::TrapCode;

/// The trap sites of a function that still wait for their block to be filled.
#[derive(Default)]
pub(crate) struct TrapSites {
    sites: Vec<(Block, TrapCode, SourceLoc)>,
}

impl FuncTranslator<'_> {
    /// Traps if `condition` is not zero.
    pub(super) fn emit_trap_if(&mut self, condition: Value, code: TrapCode) {
        let trap = self.trap_block(code);
        let rest = self.builder.create_block();
        self.builder.ins().brif(condition, trap, &[], rest, &[]);
        self.continue_at(rest);
    }

    /// Traps if the reference is null.
    pub(super) fn emit_trap_if_null(&mut self, reference: Value, code: TrapCode) {
        let is_null = self.builder.ins().icmp_imm_u(IntCC::Equal, reference, 0);
        self.emit_trap_if(is_null, code);
    }

    /// Traps here and now.
    pub(super) fn emit_trap(&mut self, code: TrapCode) {
        let trap = self.trap_block(code);
        self.builder.ins().jump(trap, &[]);
        self.set_unreachable();
    }

    /// A new cold block that traps with `code` on behalf of the current operator.
    pub(super) fn trap_block(&mut self, code: TrapCode) -> Block {
        let block = self.builder.create_block();
        let location = self.builder.srcloc();
        self.traps.sites.push((block, code, location));
        block
    }

    /// Goes on in `block`, whose predecessors are all known.
    pub(super) fn continue_at(&mut self, block: Block) {
        self.builder.switch_to_block(block);
        self.builder.seal_block(block);
    }

    /// Fills the blocks of all trap sites.
    pub(super) fn emit_trap_blocks(&mut self) {
        for (block, code, location) in std::mem::take(&mut self.traps.sites) {
            self.builder.set_cold_block(block);
            self.continue_at(block);
            self.builder.set_srcloc(location);
            let stub = self.trap_stub(code);
            self.builder.ins().call(stub, &[self.base]);
            self.builder.ins().trap(to_cranelift(code));
        }
    }

    fn trap_stub(&mut self, code: TrapCode) -> ir::FuncRef {
        let mut signature = Signature::new(CallConv::Tail);
        signature.params.push(AbiParam::new(types::I64));
        self.import(Namespace::TrapStub, code as u32, signature)
    }

    /// The function with this symbol, which lies in the same object.
    pub(super) fn import(
        &mut self,
        namespace: Namespace,
        index: u32,
        signature: Signature,
    ) -> ir::FuncRef {
        let key = (namespace as u32, index);
        if let Some(function) = self.cache.functions.get(&key) {
            return *function;
        }
        let name = namespace.name(index);
        let name = self.builder.func.declare_imported_user_function(name);
        let signature = self.builder.import_signature(signature);
        let function = self.builder.import_function(ir::ExtFuncData {
            name: ir::ExternalName::user(name),
            signature,
            colocated: true,
            patchable: false,
        });
        self.cache.functions.insert(key, function);
        function
    }
}
