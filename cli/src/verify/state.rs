//! What is known at one place of the code: registers, stack slots, and the last comparison.

use super::value::{Range, Value};
use iced_x86::{ConditionCode, Register};
use std::collections::BTreeMap;

pub(super) const RSP: usize = 4;
const RBX: usize = 3;
pub(super) const RBP: usize = 5;
const RAX: usize = 0;
const RSI: usize = 6;
const RDI: usize = 7;

/// Registers that a function leaves as it found them: rbx, rbp, r12 to r15.
pub(super) const CALLEE_SAVED: [usize; 6] = [RBX, RBP, 12, 13, 14, 15];

/// A comparison of 64 bits, or of values that fit into 32, whose flags are still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    /// The registers that hold each side, as bits.
    pub(super) sides: [u16; 2],
    /// The stack slots that hold the same.
    pub(super) slots: [Option<i64>; 2],
    pub(super) values: [Value; 2],
}

/// What is known at one place of the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) registers: [Value; 16],
    /// Values of eight bytes, by their distance from the stack pointer at entry.
    pub(super) slots: BTreeMap<i64, Value>,
    pub(super) flags: Option<Comparison>,
    /// The stack slot that a register is a copy of.
    pub(super) origins: [Option<i64>; 16],
}

impl State {
    /// At the entry of a function. `returns_in_memory`: its first parameter is where to.
    pub(super) fn at_entry(returns_in_memory: bool) -> State {
        let mut registers = [Value::Unknown; 16];
        for register in CALLEE_SAVED {
            registers[register] = Value::Entry(register as u8);
        }
        registers[RSP] = Value::Stack(0);
        let base = Value::Base(Range::exact(0));
        if returns_in_memory {
            registers[RDI] = Value::ReturnArea(0);
            registers[RSI] = base;
        } else {
            registers[RDI] = base;
        }
        let slots = BTreeMap::from([(0, Value::ReturnAddress)]);
        State {
            registers,
            slots,
            flags: None,
            origins: [None; 16],
        }
    }

    /// The number of a general register of any width.
    pub(super) fn number(register: Register) -> Option<usize> {
        register.is_gpr().then(|| register.full_register().number())
    }

    pub(super) fn get(&self, register: Register) -> Value {
        State::number(register).map_or(Value::Unknown, |number| self.registers[number])
    }

    pub(super) fn set(&mut self, number: usize, value: Value) {
        self.registers[number] = value;
        self.origins[number] = None;
        for side in self.flags.iter_mut().flat_map(|flags| &mut flags.sides) {
            *side &= !(1 << number);
        }
    }

    /// Notes that one register has become a copy of another.
    pub(super) fn copied(&mut self, from: usize, to: usize) {
        self.origins[to] = self.origins[from];
        for side in self.flags.iter_mut().flat_map(|flags| &mut flags.sides) {
            *side |= (*side >> from & 1) << to;
        }
    }

    /// Distance of the stack pointer from where it was at entry, where known.
    pub(super) fn stack_pointer(&self) -> Option<i64> {
        match self.registers[RSP] {
            Value::Stack(offset) => Some(offset),
            _ => None,
        }
    }

    /// The context that a call would pass, and the one after it for functions that return their
    /// results in memory.
    pub(super) fn context(&self) -> [Value; 2] {
        [self.registers[RDI], self.registers[RSI]]
    }

    /// Forgets what is stored in these bytes of the stack.
    pub(super) fn forget(&mut self, start: i64, end: i64) {
        let stays = |slot: i64| slot + 8 <= start || slot >= end;
        self.slots.retain(|slot, _| stays(*slot));
        let slots = self.flags.iter_mut().flat_map(|flags| &mut flags.slots);
        for origin in self.origins.iter_mut().chain(slots) {
            *origin = origin.filter(|slot| stays(*slot));
        }
    }

    /// Forgets what a callee may change.
    pub(super) fn after_call(&mut self) {
        for number in 0..16 {
            if number != RSP && !CALLEE_SAVED.contains(&number) {
                self.registers[number] = Value::Unknown;
                self.origins[number] = None;
            }
        }
        self.flags = None;
        if let Some(stack_pointer) = self.stack_pointer() {
            self.slots.retain(|slot, _| *slot >= stack_pointer);
        }
    }

    /// Control comes to a handler of exceptions, with this stack and frame pointer.
    pub(super) fn enter_handler(&mut self, (sp, fp): (i64, i64), exception: Value) {
        self.registers = [Value::Unknown; 16];
        self.origins = [None; 16];
        self.flags = None;
        self.registers[RSP] = Value::Stack(sp);
        self.registers[RBP] = Value::Stack(fp);
        self.registers[RAX] = exception;
    }

    /// Whether the caller finds its registers and return address as it left them.
    pub(super) fn is_restored(&self) -> bool {
        let registers = CALLEE_SAVED
            .iter()
            .all(|number| self.registers[*number] == Value::Entry(*number as u8));
        let returns = self
            .stack_pointer()
            .and_then(|offset| self.slots.get(&offset));
        registers && returns == Some(&Value::ReturnAddress)
    }

    /// What is known of a register if this condition of the last comparison holds.
    pub(super) fn refined(&self, number: usize, condition: ConditionCode) -> Value {
        let value = self.registers[number];
        let Some(flags) = self.flags else {
            return value;
        };
        let [left, right] = flags.values;
        let is_side = |side: usize| {
            let same_slot =
                flags.slots[side].is_some() && flags.slots[side] == self.origins[number];
            flags.sides[side] & 1 << number != 0 || same_slot
        };
        if is_side(0) {
            below(value, right, condition)
        } else if is_side(1) {
            below(value, left, swap(condition))
        } else {
            value
        }
    }

    /// Applies what a taken branch says of the registers that were compared.
    pub(super) fn assume(&mut self, condition: ConditionCode) {
        for number in 0..16 {
            self.registers[number] = self.refined(number, condition);
        }
    }

    /// Takes in what is known on another way here; says whether anything has changed.
    pub(super) fn merge(&mut self, other: &State, widen: bool) -> bool {
        let before = self.clone();
        let combine = if widen { Value::widen } else { Value::join };
        for (mine, theirs) in self.registers.iter_mut().zip(&other.registers) {
            *mine = combine(*mine, *theirs);
        }
        self.slots.retain(|slot, _| other.slots.contains_key(slot));
        for (slot, mine) in &mut self.slots {
            *mine = combine(*mine, other.slots[slot]);
        }
        for (mine, theirs) in self.origins.iter_mut().zip(&other.origins) {
            *mine = mine.filter(|_| mine == theirs);
        }
        if self.flags != other.flags {
            self.flags = None;
        }
        *self != before
    }
}

/// What is known of a value that compares so (unsigned) with another.
fn below(value: Value, other: Value, condition: ConditionCode) -> Value {
    let Value::Int(bound) = other else {
        let equal = condition == ConditionCode::e && matches!(other, Value::Stack(_));
        return if equal { other } else { value };
    };
    if bound.low < 0 {
        return value;
    }
    let high = match condition {
        ConditionCode::b => bound.high - 1,
        ConditionCode::be => bound.high,
        ConditionCode::e => bound.high,
        _ => return value,
    };
    match value {
        Value::Unknown => Value::Int(Range::up_to(high.max(0))),
        Value::Int(range) if range.low >= 0 => {
            // Where nothing is left, control does not come here, and any range will do.
            Value::Int(Range {
                low: range.low.min(high),
                high: range.high.min(high),
                zeros: 0,
            })
        }
        _ => value,
    }
}

/// The condition with the sides of the comparison changed.
fn swap(condition: ConditionCode) -> ConditionCode {
    match condition {
        ConditionCode::a => ConditionCode::b,
        ConditionCode::ae => ConditionCode::be,
        ConditionCode::b => ConditionCode::a,
        ConditionCode::be => ConditionCode::ae,
        other => other,
    }
}

/// The opposite condition.
pub(super) fn negate(condition: ConditionCode) -> ConditionCode {
    match condition {
        ConditionCode::a => ConditionCode::be,
        ConditionCode::ae => ConditionCode::b,
        ConditionCode::b => ConditionCode::ae,
        ConditionCode::be => ConditionCode::a,
        ConditionCode::e => ConditionCode::ne,
        ConditionCode::ne => ConditionCode::e,
        _ => ConditionCode::None,
    }
}
