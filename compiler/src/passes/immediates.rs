//! Narrow stores of constants as stores of narrow constants.
//!
//! Cranelift stores a constant from the instruction itself if it is as wide as the store. For
//! `istore8` and `istore16`, which is what wasm's narrow stores are, it fills a register first, each time.

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::immediates::Offset32;
use cranelift_codegen::ir::{
    Function, Inst, InstBuilder, InstructionData, MemFlags, Opcode, Type, Value, ValueDef, types,
};

/// A store of the lower bits of a constant.
struct Narrow {
    inst: Inst,
    flags: MemFlags,
    ty: Type,
    constant: i64,
    address: Value,
    offset: Offset32,
}

pub(super) fn run(func: &mut Function) {
    let mut stores = Vec::new();
    for block in func.layout.blocks() {
        let insts = func.layout.block_insts(block);
        stores.extend(insts.filter_map(|inst| narrow(func, inst)));
    }
    for store in stores {
        let mut cursor = FuncCursor::new(func).at_inst(store.inst);
        cursor.set_srcloc(cursor.func.srcloc(store.inst));
        let value = cursor.ins().iconst(store.ty, store.constant);
        cursor.func.dfg.insts[store.inst] = InstructionData::Store {
            opcode: Opcode::Store,
            args: [value, store.address],
            flags: store.flags,
            offset: store.offset,
        };
    }
}

fn narrow(func: &Function, inst: Inst) -> Option<Narrow> {
    let InstructionData::Store {
        opcode,
        args: [value, address],
        flags,
        offset,
    } = func.dfg.insts[inst]
    else {
        return None;
    };
    let (ty, mask) = match opcode {
        Opcode::Istore8 => (types::I8, 0xff),
        Opcode::Istore16 => (types::I16, 0xffff),
        Opcode::Istore32 => (types::I32, 0xffff_ffff),
        _ => return None,
    };
    let constant = constant(func, value)? & mask;
    Some(Narrow {
        inst,
        flags,
        ty,
        constant,
        address,
        offset,
    })
}

/// The value of an `iconst`.
pub(super) fn constant(func: &Function, value: Value) -> Option<i64> {
    let ValueDef::Result(inst, 0) = func.dfg.value_def(value) else {
        return None;
    };
    match func.dfg.insts[inst] {
        InstructionData::UnaryImm {
            opcode: Opcode::Iconst,
            imm,
        } => Some(imm.bits()),
        _ => None,
    }
}
