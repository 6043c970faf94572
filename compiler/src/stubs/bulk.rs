//! `memory.copy` and `memory.fill` of a length that is not known: short ones are loads and stores,
//! long ones are the loader's.
//!
//! The loader's functions cost a crossing and a look at the instance's records: some 20 ns, for what
//! are a few moves. Most copies of most programs are that short.
//!
//! A length between a power of two and the next is two moves of that power, one from the start and
//! one up to the end; above 16 bytes it is as many vectors, half of them from the start. As with
//! constant lengths, all loads come before the stores, and the store of the highest bytes before the
//! others: either all bytes are written, or none.
//!
//! # What makes it safe
//!
//! Only memory 0 with guard pages is copied in here. Indices are parameters of 32 bits, extended by
//! zeros; the distance of the second half is masked to less than [`LONGEST`]. So each access ends
//! within twice as many bytes of a 32-bit index, as one with a constant offset does, whatever the
//! length and whatever the processor speculates.

use crate::translate::c_signature;
use crate::trap::GUARD_PAGE_ACCESS;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    AbiParam, Block, Endianness, InstBuilder, MemFlagsData, Signature, Type, Value, types,
};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::FunctionBuilder;
use precast_abi::instance::InstanceHeader;
use precast_abi::runtime::RuntimeFn;

/// Bytes of the longest ranges that are no matter for the loader.
const LONGEST: u32 = 128;

/// The ranges from `at_least` bytes on, up to twice as many: as `moves` of type `ty` from the start
/// and as many up to the end.
struct Class {
    at_least: u32,
    ty: Type,
    moves: u32,
}

/// The largest first.
const CLASSES: [Class; 6] = [
    class(64, types::I8X16, 4),
    class(32, types::I8X16, 2),
    class(16, types::I8X16, 1),
    class(8, types::I64, 1),
    class(4, types::I32, 1),
    class(2, types::I16, 1),
];

const fn class(at_least: u32, ty: Type, moves: u32) -> Class {
    Class {
        at_least,
        ty,
        moves,
    }
}

/// `(base, destination, source or byte, length)`, the last three of 32 bits.
pub(crate) fn signature() -> Signature {
    let mut signature = Signature::new(CallConv::Tail);
    let params = [types::I64, types::I32, types::I32, types::I32];
    signature.params.extend(params.map(AbiParam::new));
    signature
}

/// What there is to do, and where.
struct Bulk<'a, 'b> {
    builder: &'a mut FunctionBuilder<'b>,
    /// What is written: bytes at this address, or this byte, 16 times.
    source: Source,
    to: Value,
    len: Value,
}

#[derive(Clone, Copy)]
enum Source {
    Bytes(Value),
    Byte(Value),
}

/// Copies or fills, in the function of which these are the parameters.
pub(super) fn emit(
    builder: &mut FunctionBuilder<'_>,
    c: CallConv,
    function: RuntimeFn,
    params: &[Value],
) {
    let [base, to, from, len] = *params else {
        return;
    };
    let wide = |builder: &mut FunctionBuilder<'_>, value| builder.ins().uextend(types::I64, value);
    let (to, source, len) = (wide(builder, to), wide(builder, from), wide(builder, len));
    let short = builder.create_block();
    let long = builder.create_block();
    let first = match function {
        RuntimeFn::MemoryCopy => Source::Bytes(builder.ins().iadd(base, source)),
        _ => {
            let byte = builder.ins().ireduce(types::I8, from);
            Source::Byte(builder.ins().splat(types::I8X16, byte))
        }
    };
    let start = builder.ins().iadd(base, to);
    // A length of 0 has bounds, too: it is the loader's.
    let less_one = builder.ins().iadd_imm_s(len, -1);
    let longest = i64::from(LONGEST - 1);
    let is_long = builder
        .ins()
        .icmp_imm_u(IntCC::UnsignedGreaterThan, less_one, longest);
    builder.ins().brif(is_long, long, &[], short, &[]);
    builder.switch_to_block(long);
    builder.set_cold_block(long);
    let first_operand = builder.ins().iconst(types::I64, 0);
    call_loader(
        builder,
        c,
        function,
        &[base, first_operand, to, source, len],
    );
    builder.switch_to_block(short);
    let mut bulk = Bulk {
        builder,
        source: first,
        to: start,
        len,
    };
    bulk.emit_classes();
    bulk.builder.seal_all_blocks();
}

fn call_loader(
    builder: &mut FunctionBuilder<'_>,
    c: CallConv,
    function: RuntimeFn,
    args: &[Value],
) {
    let trusted = MemFlagsData::trusted();
    let table = -(InstanceHeader::RUNTIME as i32);
    let table = builder.ins().load(types::I64, trusted, args[0], table);
    let code = builder
        .ins()
        .load(types::I64, trusted, table, function.offset());
    let signature = builder.import_signature(c_signature(c, &[types::I64; 5], &[]));
    builder.ins().call_indirect(signature, code, args);
    builder.ins().return_(&[]);
}

impl Bulk<'_, '_> {
    fn emit_classes(&mut self) {
        for class in CLASSES {
            let rest = self.emit_case(class.at_least);
            self.emit_class(&class);
            self.builder.switch_to_block(rest);
        }
        // One byte.
        let byte = self.load(types::I8, self.source, 0);
        self.store(byte, self.to, 0);
        self.builder.ins().return_(&[]);
    }

    /// Goes on with lengths from `at_least` on; the others go to the block that is answered.
    fn emit_case(&mut self, at_least: u32) -> Block {
        let (then, rest) = (self.builder.create_block(), self.builder.create_block());
        let at_least = i64::from(at_least);
        let is_less = self
            .builder
            .ins()
            .icmp_imm_u(IntCC::UnsignedLessThan, self.len, at_least);
        self.builder.ins().brif(is_less, rest, &[], then, &[]);
        self.builder.switch_to_block(then);
        rest
    }

    fn emit_class(&mut self, class: &Class) {
        let Class { ty, moves, .. } = *class;
        let size = ty.bytes();
        // From `len - at_least` on, as many bytes lie before the end. Masked: at most `at_least`.
        let behind = self
            .builder
            .ins()
            .iadd_imm_s(self.len, -i64::from(class.at_least));
        let mask = i64::from(2 * class.at_least - 1);
        let behind = self.builder.ins().band_imm_u(behind, mask);
        let late_source = match self.source {
            Source::Bytes(from) => Source::Bytes(self.builder.ins().iadd(from, behind)),
            Source::Byte(byte) => Source::Byte(byte),
        };
        let late_to = self.builder.ins().iadd(self.to, behind);
        let offsets = || (0..moves).map(move |nth| (nth * size) as i32);
        let mut values = Vec::new();
        for (source, to) in [(self.source, self.to), (late_source, late_to)] {
            for offset in offsets() {
                values.push((self.load(ty, source, offset), to, offset));
            }
        }
        for (value, to, offset) in values.into_iter().rev() {
            self.store(value, to, offset);
        }
        self.builder.ins().return_(&[]);
    }

    fn load(&mut self, ty: Type, source: Source, offset: i32) -> Value {
        match source {
            Source::Bytes(from) => self.builder.ins().load(ty, guest_flags(), from, offset),
            Source::Byte(byte) if ty.is_vector() => byte,
            Source::Byte(byte) => {
                let lanes = Type::int(ty.bits() as u16)
                    .and_then(|lane| lane.by(128 / ty.bits()))
                    .unwrap_or(types::I8X16);
                let flags = MemFlagsData::new().with_endianness(Endianness::Little);
                let lanes = self.builder.ins().bitcast(lanes, flags, byte);
                self.builder.ins().extractlane(lanes, 0)
            }
        }
    }

    fn store(&mut self, value: Value, to: Value, offset: i32) {
        self.builder.ins().store(guest_flags(), value, to, offset);
    }
}

fn guest_flags() -> MemFlagsData {
    MemFlagsData::new()
        .with_endianness(Endianness::Little)
        .with_trap_code(Some(GUARD_PAGE_ACCESS))
}
