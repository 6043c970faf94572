//! Rotations of lanes by whole bytes.
//!
//! WebAssembly shifts lanes but does not rotate them: ciphers do it by two shifts and a disjunction.
//! By a multiple of eight bits it is a shuffle of bytes, which x86-64 has in one instruction since
//! SSSE3.

use super::immediates::constant;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::{
    ConstantData, Endianness, Function, Inst, InstBuilder, InstructionData, MemFlagsData, Opcode,
    Type, Value, ValueDef, types,
};

/// Bytes of a vector.
const BYTES: u8 = 16;

/// A rotation to the left.
struct Rotation {
    inst: Inst,
    value: Value,
    lane_bytes: u8,
    by: u8,
}

pub(super) fn run(func: &mut Function) {
    let blocks = func.layout.blocks();
    let insts = blocks.flat_map(|block| func.layout.block_insts(block));
    let rotations: Vec<Rotation> = insts.filter_map(|inst| rotation(func, inst)).collect();
    for rotation in rotations {
        rewrite(func, &rotation);
    }
}

/// The rotation that a disjunction makes.
fn rotation(func: &Function, inst: Inst) -> Option<Rotation> {
    let InstructionData::Binary {
        opcode: Opcode::Bor,
        args: [left, right],
    } = func.dfg.insts[inst]
    else {
        return None;
    };
    let (left, right) = (shift(func, left)?, shift(func, right)?);
    let (up, down) = match (left.opcode, right.opcode) {
        (Opcode::Ishl, Opcode::Ushr) => (left, right),
        (Opcode::Ushr, Opcode::Ishl) => (right, left),
        _ => return None,
    };
    let bits = up.ty.lane_bits() as u8;
    let fits = up.ty == down.ty && up.value == down.value && up.by + down.by == bits;
    (fits && up.by.is_multiple_of(8)).then_some(Rotation {
        inst,
        value: up.value,
        lane_bytes: bits / 8,
        by: up.by / 8,
    })
}

/// A shift of all lanes, by less than their bits.
struct Shift {
    opcode: Opcode,
    ty: Type,
    value: Value,
    by: u8,
}

fn shift(func: &Function, value: Value) -> Option<Shift> {
    let value = without_casts(func, value);
    let ValueDef::Result(inst, 0) = func.dfg.value_def(value) else {
        return None;
    };
    let InstructionData::Binary {
        opcode,
        args: [shifted, by],
    } = func.dfg.insts[inst]
    else {
        return None;
    };
    let ty = func.dfg.value_type(value);
    let by = constant(func, by)? as u64 % u64::from(ty.lane_bits());
    (ty.bits() == 128 && ty.is_vector()).then_some(Shift {
        opcode,
        ty,
        value: without_casts(func, shifted),
        by: by as u8,
    })
}

/// The same bits, whatever their lanes.
fn without_casts(func: &Function, mut value: Value) -> Value {
    while let ValueDef::Result(inst, 0) = func.dfg.value_def(value)
        && let InstructionData::LoadNoOffset {
            opcode: Opcode::Bitcast,
            arg,
            ..
        } = func.dfg.insts[inst]
        && func.dfg.value_type(arg).is_vector()
    {
        value = arg;
    }
    value
}

/// For each byte of the result, which one of the value it is.
fn mask(lane_bytes: u8, by: u8) -> Vec<u8> {
    let source = |byte: u8| {
        let place = byte % lane_bytes;
        byte - place + (place + lane_bytes - by) % lane_bytes
    };
    (0..BYTES).map(source).collect()
}

fn rewrite(func: &mut Function, rotation: &Rotation) {
    let result = func.dfg.first_result(rotation.inst);
    let ty = func.dfg.value_type(result);
    let bytes = mask(rotation.lane_bytes, rotation.by);
    let mask = func.dfg.immediates.push(ConstantData::from(bytes));
    let little = MemFlagsData::new().with_endianness(Endianness::Little);
    let mut cursor = FuncCursor::new(func).at_inst(rotation.inst);
    cursor.set_srcloc(cursor.func.srcloc(rotation.inst));
    let value = match cursor.func.dfg.value_type(rotation.value) {
        types::I8X16 => rotation.value,
        _ => cursor.ins().bitcast(types::I8X16, little, rotation.value),
    };
    cursor.func.dfg.clear_results(rotation.inst);
    if ty == types::I8X16 {
        cursor.ins().with_result(result).shuffle(value, value, mask);
    } else {
        let shuffled = cursor.ins().shuffle(value, value, mask);
        let ins = cursor.ins().with_result(result);
        ins.bitcast(ty, little, shuffled);
    }
    func.layout.remove_inst(rotation.inst);
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn masks_rotate() {
        for lane_bytes in [2u8, 4, 8] {
            for by in 1..lane_bytes {
                // The low bytes of what 64 bits are after the rotation, each lane by itself.
                let bytes: Vec<u8> = (0..16).collect();
                let rotated: Vec<u8> = bytes
                    .chunks(lane_bytes.into())
                    .flat_map(|lane| {
                        let mut lane = lane.to_vec();
                        lane.rotate_right(by.into());
                        lane
                    })
                    .collect();
                assert_eq!(mask(lane_bytes, by), rotated);
            }
        }
    }
}
