//! Comparing references, and finding out what they refer to.

use super::func::FuncTranslator;
use super::instance::{Region, constant_flags};
use crate::error::CompileError;
use crate::module::TypeIndex;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, BlockArg, InstBuilder, MemFlagsData, Value, types};
use precast_abi::heap::{HeapDef, TypeRow};
use precast_abi::instance::FuncRef;
use precast_abi::object::TypeKind;
use precast_abi::runtime::RuntimeFn;
use precast_abi::trap::TrapCode;
use precast_abi::types::HeapType as Heap;
use std::mem::offset_of;
use wasmparser::{HeapType, RefType};

/// What a reference may be before it is looked at.
#[derive(Clone, Copy)]
struct Source {
    nullable: bool,
    /// Whether it may be a 31-bit integer.
    integer: bool,
}

impl FuncTranslator<'_> {
    pub(super) fn translate_ref_eq(&mut self) {
        let (first, second) = self.pop2();
        let equal = self.builder.ins().icmp(IntCC::Equal, first, second);
        let equal = self.builder.ins().uextend(types::I32, equal);
        self.push1(equal);
    }

    pub(super) fn translate_ref_i31(&mut self) {
        let value = self.pop1();
        let shifted = self.builder.ins().ishl_imm_u(value, 1);
        let marked = self.builder.ins().bor_imm_u(shifted, 1);
        let reference = self.builder.ins().uextend(types::I64, marked);
        // No object: it stays as it is whatever moves.
        self.push1(reference);
    }

    pub(super) fn translate_i31_get(&mut self, signed: bool) {
        let reference = self.pop1();
        self.emit_trap_if_null(reference, TrapCode::NullReference);
        let word = self.builder.ins().ireduce(types::I32, reference);
        let ins = self.builder.ins();
        let value = match signed {
            true => ins.sshr_imm_u(word, 1),
            false => ins.ushr_imm_u(word, 1),
        };
        self.push1(value);
    }

    pub(super) fn translate_any_convert_extern(&mut self) {
        let value = self.pop1();
        let reference = self.emit_runtime_call(RuntimeFn::AnyFromExtern, &[value]);
        self.push_object(reference);
    }

    pub(super) fn translate_extern_convert_any(&mut self) {
        let reference = self.pop1();
        let value = self.emit_runtime_call(RuntimeFn::ExternFromAny, &[reference]);
        self.builder.declare_value_needs_stack_map(value);
        self.push1(value);
    }

    pub(super) fn translate_ref_test(
        &mut self,
        nullable: bool,
        ty: HeapType,
    ) -> Result<(), CompileError> {
        let reference = self.pop1();
        let [yes, no, done] = [(); 3].map(|()| self.builder.create_block());
        let result = self.builder.append_block_param(done, types::I32);
        self.emit_type_branch(reference, None, (nullable, ty), yes, no);
        for (block, value) in [(yes, 1), (no, 0)] {
            self.continue_at(block);
            let value = self.builder.ins().iconst(types::I32, value);
            self.builder.ins().jump(done, &[BlockArg::from(value)]);
        }
        self.continue_at(done);
        self.push1(result);
        Ok(())
    }

    pub(super) fn translate_ref_cast(
        &mut self,
        nullable: bool,
        ty: HeapType,
    ) -> Result<(), CompileError> {
        let reference = self.peek_n(1)[0];
        let yes = self.builder.create_block();
        let no = self.builder.create_block();
        self.builder.set_cold_block(no);
        self.emit_type_branch(reference, None, (nullable, ty), yes, no);
        self.continue_at(no);
        let trap = self.trap_block(TrapCode::CastFailure);
        self.builder.ins().jump(trap, &[]);
        self.continue_at(yes);
        Ok(())
    }

    /// Branches to `depth` if a reference is of a type, or (not `when`) if it is not.
    pub(super) fn translate_br_on_cast(
        &mut self,
        depth: u32,
        from: RefType,
        to: RefType,
        when: bool,
    ) -> Result<(), CompileError> {
        let reference = self.peek_n(1)[0];
        let taken = self.builder.create_block();
        let rest = self.builder.create_block();
        let (yes, no) = if when { (taken, rest) } else { (rest, taken) };
        let target = (to.is_nullable(), to.heap_type());
        self.emit_type_branch(reference, Some(from), target, yes, no);
        self.continue_at(taken);
        self.translate_br(depth);
        self.reachable = true;
        self.continue_at(rest);
        self.count(0);
        Ok(())
    }

    /// Goes to `yes` if a reference, which may be known to be of type `from`, is of a type, else to
    /// `no`. Nothing but the branches here lead to either.
    fn emit_type_branch(
        &mut self,
        reference: Value,
        from: Option<RefType>,
        (nullable, ty): (bool, HeapType),
        yes: Block,
        no: Block,
    ) {
        let module = self.env.module;
        let source = Source {
            nullable: from.is_none_or(|from| from.is_nullable()),
            integer: from.is_none_or(|from| {
                let heap = module.abi_heap_type(from.heap_type());
                matches!(heap, Heap::Any | Heap::Eq | Heap::I31)
            }),
        };
        if source.nullable {
            let is_null = self.builder.ins().icmp_imm_u(IntCC::Equal, reference, 0);
            let some = self.builder.create_block();
            let null = if nullable { yes } else { no };
            self.builder.ins().brif(is_null, null, &[], some, &[]);
            self.continue_at(some);
        }
        let ty = module.abi_heap_type(ty);
        match ty {
            Heap::Any | Heap::Extern | Heap::Func | Heap::Exn => {
                self.builder.ins().jump(yes, &[]);
            }
            Heap::None | Heap::NoExtern | Heap::NoFunc | Heap::NoExn => {
                self.builder.ins().jump(no, &[]);
            }
            Heap::I31 if !source.integer => {
                self.builder.ins().jump(no, &[]);
            }
            Heap::I31 => {
                let mark = self.builder.ins().band_imm_u(reference, 1);
                self.builder.ins().brif(mark, yes, &[], no, &[]);
            }
            Heap::Eq | Heap::Struct | Heap::Array | Heap::Object(_) => {
                if source.integer {
                    let integer = if ty == Heap::Eq { yes } else { no };
                    let object = self.builder.create_block();
                    let mark = self.builder.ins().band_imm_u(reference, 1);
                    self.builder.ins().brif(mark, integer, &[], object, &[]);
                    self.continue_at(object);
                }
                let object = self.emit_object(reference);
                let flags = self.instance_flags(Region::ObjectWords);
                let id = self.builder.ins().load(types::I32, flags, object, 0);
                self.emit_id_branch(id, ty, yes, no);
            }
            Heap::Concrete(_) => {
                let flags = MemFlagsData::trusted().with_readonly();
                let offset = offset_of!(FuncRef, type_id) as i32;
                let ins = self.builder.ins();
                let id = ins.load(types::I32, flags, reference, offset);
                self.emit_id_branch(id, ty, yes, no);
            }
        }
    }

    /// Goes to `yes` if the type with an identity is a subtype of another one, else to `no`.
    fn emit_id_branch(&mut self, id: Value, ty: Heap, yes: Block, no: Block) {
        let kind = match ty {
            Heap::Concrete(index) | Heap::Object(index) => {
                let holds = self.emit_is_subtype(id, TypeIndex::from_u32(index));
                self.builder.ins().brif(holds, yes, &[], no, &[]);
                return;
            }
            Heap::Struct => Some(TypeKind::Struct),
            Heap::Array => Some(TypeKind::Array),
            _ => None,
        };
        let row = self.emit_type_row(id);
        let offset = offset_of!(TypeRow, kind) as i32;
        let flags = constant_flags();
        let found = self.builder.ins().load(types::I32, flags, row, offset);
        let (condition, kind) = match kind {
            Some(kind) => (IntCC::Equal, kind as u32),
            None => (IntCC::NotEqual, TypeRow::EXTERN),
        };
        let holds = self
            .builder
            .ins()
            .icmp_imm_u(condition, found, i64::from(kind));
        self.builder.ins().brif(holds, yes, &[], no, &[]);
    }

    /// The address of what is known of a type with an identity.
    fn emit_type_row(&mut self, id: Value) -> Value {
        let rows = self.emit_heap_def(HeapDef::TYPES);
        let id = self.builder.ins().uextend(types::I64, id);
        let ins = self.builder.ins();
        let distance = ins.ishl_imm_u(id, i64::from(TypeRow::SIZE_LOG2));
        self.builder.ins().iadd(rows, distance)
    }

    /// Whether the type with an identity, 0 for none, is a subtype of a type of the module.
    pub(super) fn emit_is_subtype(&mut self, id: Value, ty: TypeIndex) -> Value {
        let expected = self.emit_type_id(ty);
        let sub = &self.env.module.types[ty].sub;
        if sub.is_final {
            return self.builder.ins().icmp(IntCC::Equal, id, expected);
        }
        if sub.depth as usize >= TypeRow::DEPTHS {
            let [id, expected] =
                [id, expected].map(|id| self.builder.ins().uextend(types::I64, id));
            return self.emit_runtime_call(RuntimeFn::IsSubtype, &[id, expected]);
        }
        let depth = sub.depth;
        let row = self.emit_type_row(id);
        let flags = constant_flags();
        let ins = self.builder.ins();
        let found = ins.load(types::I32, flags, row, TypeRow::ancestor(depth));
        self.builder.ins().icmp(IntCC::Equal, found, expected)
    }
}
