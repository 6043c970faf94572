//! What one instruction does to what is known.

use super::access::{Access, judge};
use super::facts::{Cell, Facts, Signature};
use super::permitted::is_conditional_move;
use super::report::{CodeReport, Problem};
use super::state::{Comparison, RSP, State, negate};
use super::value::{Range, Thing, U32, Value};
use iced_x86::{
    Instruction, InstructionInfoFactory, MemorySize, Mnemonic, OpAccess, OpKind, Register,
    UsedMemory,
};

/// Judges every access of an instruction, and applies it. Control flow is not its business.
pub(super) struct Step<'a, 'b> {
    pub(super) facts: &'b Facts<'a>,
    pub(super) signature: Signature,
    pub(super) infos: InstructionInfoFactory,
}

impl Step<'_, '_> {
    pub(super) fn apply(
        &mut self,
        state: &mut State,
        instruction: &Instruction,
        report: &mut CodeReport,
    ) -> Result<(), Problem> {
        let site = instruction.ip() as u32;
        let info = self.infos.info(instruction);
        let mut stored = Vec::new();
        for memory in info.used_memory() {
            let Some((reads, writes)) = access_of(memory.access()) else {
                continue;
            };
            let address = address_of(state, memory, instruction)?;
            let size = memory.memory_size().size() as i64;
            if size == 0 {
                return Err(Problem::ForbiddenInstruction);
            }
            // What a call pushes is the callee's.
            if instruction.mnemonic() == Mnemonic::Call && writes && !reads {
                continue;
            }
            let access = Access {
                address,
                size,
                writes,
                site,
            };
            if instruction.mnemonic() == Mnemonic::Push && writes {
                // Below the stack pointer as it is, and at it as it will be.
                report.stack_accesses += 1;
            } else {
                judge(self.facts, self.signature, state, access, report)?;
            }
            if writes && let Value::Stack(offset) = address {
                stored.push((offset, size));
            }
        }
        let result = self.result(state, instruction);
        let comparison = comparison(state, instruction);
        let source = stored_register(instruction);
        let value = source.map_or(Value::Unknown, |number| state.registers[number]);
        let copy = copied(state, instruction);
        for (offset, size) in stored {
            state.forget(offset, offset + size);
            if size == 8 {
                state.slots.insert(offset, value);
                if let Some(number) = source {
                    state.origins[number] = Some(offset);
                }
            }
        }
        self.write_registers(state, instruction, result);
        match copy {
            Some((to, Copied::Slot(slot))) => state.origins[to] = Some(slot),
            Some((to, Copied::Register(from))) if from != to => state.copied(from, to),
            _ => {}
        }
        if instruction.rflags_modified() != 0 {
            state.flags = comparison;
        }
        Ok(())
    }

    /// Registers that the instruction writes: the first operand's gets `result`, where that is
    /// known; all others are forgotten.
    fn write_registers(
        &mut self,
        state: &mut State,
        instruction: &Instruction,
        result: Option<Value>,
    ) {
        let stack_pointer = stack_pointer_after(state, instruction);
        let target = match instruction.op_count() {
            0 => None,
            _ if instruction.op0_kind() == OpKind::Register => {
                State::number(instruction.op0_register())
            }
            _ => None,
        };
        let info = self.infos.info(instruction);
        let written: Vec<Register> = info
            .used_registers()
            .iter()
            .filter(|used| {
                matches!(
                    used.access(),
                    OpAccess::Write
                        | OpAccess::ReadWrite
                        | OpAccess::CondWrite
                        | OpAccess::ReadCondWrite
                )
            })
            .map(|used| used.register())
            .collect();
        for register in written {
            let Some(number) = State::number(register) else {
                continue;
            };
            let value = match result {
                Some(value) if Some(number) == target => value,
                _ if number == RSP => stack_pointer,
                // Writes of 32 bits clear the upper half; iced tells of the whole register.
                _ if Some(number) == target && instruction.op0_register().is_gpr32() => {
                    Value::Int(U32)
                }
                _ => Value::Unknown,
            };
            state.set(number, value);
        }
    }

    /// What the first operand becomes, where that is followed.
    fn result(&self, state: &State, instruction: &Instruction) -> Option<Value> {
        if instruction.op_count() == 0 || instruction.op0_kind() != OpKind::Register {
            return None;
        }
        let target = instruction.op0_register();
        if !target.is_gpr64() && !target.is_gpr32() {
            return None;
        }
        let value = match instruction.mnemonic() {
            Mnemonic::Mov => self.source(state, instruction, 1),
            Mnemonic::Movzx => Value::Int(Range::up_to(match operand_size(instruction, 1) {
                1 => 0xff,
                _ => 0xffff,
            })),
            Mnemonic::Movsxd if target.is_gpr64() => self.sign_extended(state, instruction),
            Mnemonic::Lea => effective_address(state, instruction),
            Mnemonic::Add => state.get(target).add(self.source(state, instruction, 1)),
            Mnemonic::Sub => difference(state, instruction, self.source(state, instruction, 1)),
            Mnemonic::And => masked(state.get(target), self.source(state, instruction, 1)),
            Mnemonic::Shl => shifted(state.get(target), self.source(state, instruction, 1)),
            Mnemonic::Shr => shifted_down(state.get(target), self.source(state, instruction, 1)),
            Mnemonic::Xor if same_registers(instruction) => Value::exact(0),
            Mnemonic::Pop => self.popped(state),
            // With a source of zero these leave what was there.
            Mnemonic::Bsf | Mnemonic::Bsr => return Some(Value::Unknown),
            _ if is_conditional_move(instruction) => selected(state, instruction),
            _ => Value::Unknown,
        };
        Some(if target.is_gpr32() {
            low_half(value)
        } else {
            value
        })
    }

    /// What an operand holds before the instruction.
    fn source(&self, state: &State, instruction: &Instruction, operand: u32) -> Value {
        match instruction.op_kind(operand) {
            OpKind::Register => {
                let register = instruction.op_register(operand);
                match register.is_gpr64() {
                    true => state.get(register),
                    false => low_half(state.get(register)),
                }
            }
            OpKind::Memory => self.loaded(state, instruction),
            _ => match instruction.try_immediate(operand) {
                Ok(value) => Value::exact(value as i64),
                Err(_) => Value::Unknown,
            },
        }
    }

    /// What a load gives.
    fn loaded(&self, state: &State, instruction: &Instruction) -> Value {
        match operand_size(instruction, 1) {
            8 => self.loaded_word(state, effective_address(state, instruction)),
            4 => match entry_of_array(effective_address(state, instruction)) {
                Some((array, count)) => Value::Word { array, count },
                None => Value::Int(U32),
            },
            2 => Value::Int(Range::up_to(0xffff)),
            1 => Value::Int(Range::up_to(0xff)),
            _ => Value::Unknown,
        }
    }

    /// The address that an indirect call or jump through memory goes to.
    pub(super) fn loaded_code(&self, state: &State, instruction: &Instruction) -> Value {
        self.loaded_word(state, effective_address(state, instruction))
    }

    /// What the eight bytes at an address hold.
    fn loaded_word(&self, state: &State, address: Value) -> Value {
        match address {
            Value::Stack(offset) => state.slots.get(&offset).copied().unwrap_or(Value::Unknown),
            Value::Base(range) => match range.as_exact() {
                Some(offset) if offset < 0 => self.cell(offset),
                _ => Value::Unknown,
            },
            Value::Loaded(Thing::MemoryDef, 0) => Value::Loaded(Thing::Memory, 0),
            Value::Loaded(Thing::TableDef, 0) => Value::Loaded(Thing::Elements, 0),
            Value::Loaded(Thing::Runtime, _) => Value::RuntimeCode,
            // A record may be met anywhere in a table: its first two words are code and context,
            // and what else is loaded is only ever compared or used as a reference.
            Value::Loaded(Thing::Elements, _) | Value::Derived(Thing::Elements) => Value::Reference,
            Value::Unknown => Value::Reference,
            _ => Value::Unknown,
        }
    }

    fn cell(&self, offset: i64) -> Value {
        let Ok(distance) = u32::try_from(-offset) else {
            return Value::Unknown;
        };
        match self.facts.cell(distance) {
            Some(Cell::Address(thing)) => Value::Loaded(thing, 0),
            Some(Cell::OwnBase) => Value::Base(Range::exact(0)),
            Some(Cell::ImportCode) => Value::ImportCode(distance),
            Some(Cell::ImportContext) => Value::ImportContext(distance + 8),
            Some(Cell::TrapEntry) => Value::TrapEntry,
            Some(Cell::Activation) | None => Value::Unknown,
        }
    }

    /// What 32 bits become whose sign is extended, if they are an entry of an array of distances.
    fn sign_extended(&self, state: &State, instruction: &Instruction) -> Value {
        let word = match instruction.op1_kind() {
            OpKind::Memory => self.loaded(state, instruction),
            OpKind::Register => self.source(state, instruction, 1),
            _ => return Value::Unknown,
        };
        match word {
            Value::Word { array, count } => Value::Distance { array, count },
            _ => Value::Unknown,
        }
    }

    fn popped(&self, state: &State) -> Value {
        let slot = state
            .stack_pointer()
            .and_then(|offset| state.slots.get(&offset));
        slot.copied().unwrap_or(Value::Unknown)
    }
}

/// Whether an access reads and whether it writes; `None` for addresses that are only computed.
fn access_of(access: OpAccess) -> Option<(bool, bool)> {
    Some(match access {
        OpAccess::None | OpAccess::NoMemAccess => return None,
        OpAccess::Read | OpAccess::CondRead => (true, false),
        OpAccess::Write | OpAccess::CondWrite => (false, true),
        OpAccess::ReadWrite | OpAccess::ReadCondWrite => (true, true),
    })
}

fn address_of(
    state: &State,
    memory: &UsedMemory,
    instruction: &Instruction,
) -> Result<Value, Problem> {
    let segment = instruction.segment_prefix();
    if segment != Register::None || memory.index().is_vector_register() {
        return Err(Problem::ForbiddenInstruction);
    }
    if instruction.is_ip_rel_memory_operand()
        && memory.displacement() == instruction.ip_rel_memory_address()
    {
        return Ok(Value::code(memory.displacement() as i64));
    }
    Ok(sum(
        state,
        memory.base(),
        memory.index(),
        memory.scale(),
        memory.displacement(),
    ))
}

/// The address that the memory operand of an instruction says.
fn effective_address(state: &State, instruction: &Instruction) -> Value {
    sum(
        state,
        instruction.memory_base(),
        instruction.memory_index(),
        instruction.memory_index_scale(),
        instruction.memory_displacement64(),
    )
}

fn sum(state: &State, base: Register, index: Register, scale: u32, displacement: u64) -> Value {
    if base == Register::RIP || base == Register::EIP {
        return Value::code(displacement as i64);
    }
    let base_value = match base {
        Register::None => Value::exact(0),
        register if register.is_gpr64() => state.get(register),
        // 32-bit addresses: the sum is cut to 32 bits, and no base address survives that.
        _ => return Value::Unknown,
    };
    let index_value = match index {
        Register::None => Value::exact(0),
        register => scaled(state.get(register), scale),
    };
    let address = base_value.add(index_value);
    if displacement == 0 {
        address
    } else {
        address.add(Value::exact(displacement as i64))
    }
}

fn scaled(value: Value, scale: u32) -> Value {
    match value {
        _ if scale == 1 => value,
        Value::Int(range) => range
            .shift_left(scale.trailing_zeros())
            .map_or(Value::Unknown, Value::Int),
        _ => Value::Unknown,
    }
}

/// The array of 32-bit distances that an entry at this address belongs to, and how many it has.
fn entry_of_array(address: Value) -> Option<(i64, i64)> {
    let Value::Code { start, offset } = address else {
        return None;
    };
    let is_entry = offset.zeros >= 2 && offset.low >= 0;
    is_entry.then_some((start, offset.high / 4 + 1))
}

/// The lower 32 bits, zero-extended.
fn low_half(value: Value) -> Value {
    match value {
        Value::Word { .. } => value,
        Value::Int(range) if range.low >= 0 && range.high <= u32::MAX.into() => value,
        _ => Value::Int(U32),
    }
}

fn difference(state: &State, instruction: &Instruction, right: Value) -> Value {
    if same_registers(instruction) {
        return Value::exact(0);
    }
    match right.as_exact().and_then(i64::checked_neg) {
        Some(negative) => state
            .get(instruction.op0_register())
            .add(Value::exact(negative)),
        None => Value::Unknown,
    }
}

fn masked(value: Value, mask: Value) -> Value {
    let bound = |value| match value {
        Value::Int(range) if range.low >= 0 => Some(range.high),
        _ => None,
    };
    match (bound(value), bound(mask)) {
        (Some(a), Some(b)) => Value::Int(Range::up_to(a.min(b))),
        (Some(a), None) | (None, Some(a)) => Value::Int(Range::up_to(a)),
        (None, None) => Value::Unknown,
    }
}

fn shifted(value: Value, bits: Value) -> Value {
    match (value, bits.as_exact()) {
        (Value::Int(range), Some(bits @ 0..63)) => range
            .shift_left(bits as u32)
            .map_or(Value::Unknown, Value::Int),
        _ => Value::Unknown,
    }
}

fn shifted_down(value: Value, bits: Value) -> Value {
    match (value, bits.as_exact()) {
        (Value::Int(range), Some(bits @ 0..64)) if range.low >= 0 => {
            Value::Int(Range::up_to(range.high >> bits))
        }
        (_, Some(bits @ 1..64)) => Value::Int(Range::up_to((u64::MAX >> bits) as i64)),
        _ => Value::Unknown,
    }
}

/// What a conditional move leaves in its first operand.
fn selected(state: &State, instruction: &Instruction) -> Value {
    let condition = instruction.condition_code();
    let side = |operand: u32, condition| match State::number(instruction.op_register(operand)) {
        Some(number) if instruction.op_kind(operand) == OpKind::Register => {
            state.refined(number, condition)
        }
        _ => Value::Unknown,
    };
    let (kept, moved) = (side(0, negate(condition)), side(1, condition));
    match instruction.op0_register().is_gpr32() {
        true => low_half(kept).join(low_half(moved)),
        false => kept.select(moved),
    }
}

fn same_registers(instruction: &Instruction) -> bool {
    instruction.op_count() == 2
        && instruction.op1_kind() == OpKind::Register
        && instruction.op0_register() == instruction.op1_register()
}

/// What a comparison compares, where its flags say something about whole registers.
fn comparison(state: &State, instruction: &Instruction) -> Option<Comparison> {
    if instruction.mnemonic() != Mnemonic::Cmp {
        return None;
    }
    let size = operand_size(instruction, 0);
    let side = |operand: u32| match instruction.op_kind(operand) {
        OpKind::Register => {
            let register = instruction.op_register(operand);
            (State::number(register), state.get(register))
        }
        OpKind::Memory => (None, Value::Unknown),
        _ => {
            let immediate = instruction.try_immediate(operand).unwrap_or(u64::MAX);
            (None, Value::exact(immediate as i64))
        }
    };
    let (left, right) = (side(0), side(1));
    let is_half = |value| matches!(value, Value::Int(range) if range.low >= 0 && range.high <= u32::MAX.into());
    let says_all = size == 8 || size == 4 && is_half(left.1) && is_half(right.1);
    let sides = [left.0, right.0].map(|side| side.map_or(0, |number: usize| 1 << number));
    let slots = [left.0, right.0].map(|side| side.and_then(|number| state.origins[number]));
    says_all.then_some(Comparison {
        sides,
        slots,
        values: [left.1, right.1],
    })
}

/// The register whose 64 bits an instruction stores.
fn stored_register(instruction: &Instruction) -> Option<usize> {
    let register = match instruction.mnemonic() {
        Mnemonic::Push if instruction.op0_kind() == OpKind::Register => instruction.op0_register(),
        Mnemonic::Mov if instruction.op1_kind() == OpKind::Register => instruction.op1_register(),
        _ => return None,
    };
    State::number(register).filter(|_| register.is_gpr64())
}

/// What a register becomes a copy of.
enum Copied {
    Register(usize),
    Slot(i64),
}

/// The register that becomes a copy, and of what.
fn copied(state: &State, instruction: &Instruction) -> Option<(usize, Copied)> {
    let is_copy = instruction.mnemonic() == Mnemonic::Mov
        && instruction.op0_kind() == OpKind::Register
        && instruction.op0_register().is_gpr64();
    let to = State::number(instruction.op0_register()).filter(|_| is_copy)?;
    let source = match instruction.op1_kind() {
        OpKind::Register => Copied::Register(State::number(instruction.op1_register())?),
        OpKind::Memory => match effective_address(state, instruction) {
            Value::Stack(offset) => Copied::Slot(offset),
            _ => return None,
        },
        _ => return None,
    };
    Some((to, source))
}

fn stack_pointer_after(state: &State, instruction: &Instruction) -> Value {
    match instruction.mnemonic() {
        // What a callee leaves is settled where the call is.
        Mnemonic::Call | Mnemonic::Ret => state.registers[RSP],
        _ => state.registers[RSP].add(Value::exact(instruction.stack_pointer_increment().into())),
    }
}

/// Bytes of an operand.
fn operand_size(instruction: &Instruction, operand: u32) -> usize {
    match instruction.op_kind(operand) {
        OpKind::Register => instruction.op_register(operand).size(),
        OpKind::Memory => match instruction.memory_size() {
            MemorySize::Unknown => 0,
            size => size.size(),
        },
        _ => match instruction.op0_kind() {
            OpKind::Register => instruction.op0_register().size(),
            _ => instruction.memory_size().size(),
        },
    }
}
