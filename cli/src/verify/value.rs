//! What is known of a value in a register or on the stack.

/// Whole numbers from `low` to `high`, all multiples of `2^zeros`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) low: i64,
    pub(super) high: i64,
    pub(super) zeros: u8,
}

impl Range {
    /// One number.
    pub(super) fn exact(value: i64) -> Range {
        Range {
            low: value,
            high: value,
            zeros: value.trailing_zeros().min(63) as u8,
        }
    }

    /// From 0 to `high`.
    pub(super) fn up_to(high: i64) -> Range {
        Range {
            low: 0,
            high,
            zeros: 0,
        }
    }

    /// The number, if it is one.
    pub(super) fn as_exact(self) -> Option<i64> {
        (self.low == self.high).then_some(self.low)
    }

    pub(super) fn add(self, other: Range) -> Option<Range> {
        Some(Range {
            low: self.low.checked_add(other.low)?,
            high: self.high.checked_add(other.high)?,
            zeros: self.zeros.min(other.zeros),
        })
    }

    pub(super) fn shift_left(self, bits: u32) -> Option<Range> {
        let factor = 1i64.checked_shl(bits).filter(|factor| *factor > 0)?;
        Some(Range {
            low: self.low.checked_mul(factor)?,
            high: self.high.checked_mul(factor)?,
            zeros: (u32::from(self.zeros) + bits).min(63) as u8,
        })
    }

    fn hull(self, other: Range) -> Range {
        Range {
            low: self.low.min(other.low),
            high: self.high.max(other.high),
            zeros: self.zeros.min(other.zeros),
        }
    }

    fn contains(self, other: Range) -> bool {
        self.low <= other.low && other.high <= self.high && self.zeros <= other.zeros
    }
}

/// Any value of 32 bits, extended by zeros.
pub(super) const U32: Range = Range {
    low: 0,
    high: u32::MAX as i64,
    zeros: 0,
};

/// What instance data tells the address of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thing {
    /// Byte 0 of a memory that is not at the instance base.
    Memory,
    /// The record of an imported memory.
    MemoryDef,
    /// The record of an imported table.
    TableDef,
    /// Element 0 of a table.
    Elements,
    /// An imported global.
    Global,
    /// The array of runtime functions.
    Runtime,
    /// The heap of garbage-collected objects.
    Heap,
    /// What is known of the types of the process.
    TypeRows,
    /// The record of an exception, of so many bytes.
    Exception(i64),
}

/// What is known of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Nothing.
    Unknown,
    /// A number in a range.
    Int(Range),
    /// The instance base and a number in a range.
    Base(Range),
    /// The instance base and any number.
    Wild,
    /// Zero, or what a comparison has let through: accesses must be in the trap table.
    Compared,
    /// The stack pointer at entry and this number.
    Stack(i64),
    /// Somewhere in the frame that is being probed.
    Probing,
    /// What this register held at entry, and must hold at exit.
    Entry(u8),
    /// Where to return to.
    ReturnAddress,
    /// The caller's room for results and this number.
    ReturnArea(i64),
    /// An address in the object itself: `start`, counted from the start of the text, which an
    /// instruction names, and a number.
    Code { start: i64, offset: Range },
    /// An entry of the array of 32-bit distances at this address, one of so many.
    Distance { array: i64, count: i64 },
    /// The same, extended by zeros: not a distance yet.
    Word { array: i64, count: i64 },
    /// The code that such an entry leads to.
    Target { array: i64, count: i64 },
    /// The address of something outside, as loaded from instance data, and this number.
    Loaded(Thing, i64),
    /// The same and any number.
    Derived(Thing),
    /// The code of an import, by the distance of its slot.
    ImportCode(u32),
    /// The context of an import, by the distance of its slot.
    ImportContext(u32),
    /// A runtime function.
    RuntimeCode,
    /// The loader's trap entry.
    TrapEntry,
    /// What a function reference or an element of a table holds: code, context, or another.
    Reference,
}

impl Value {
    /// One number.
    pub(super) fn exact(value: i64) -> Value {
        Value::Int(Range::exact(value))
    }

    /// An address that an instruction names.
    pub(super) fn code(start: i64) -> Value {
        Value::Code {
            start,
            offset: Range::exact(0),
        }
    }

    /// The number, if it is one.
    pub(super) fn as_exact(self) -> Option<i64> {
        match self {
            Value::Int(range) => range.as_exact(),
            _ => None,
        }
    }

    /// Whether this is the instance base itself.
    pub(super) fn is_base(self) -> bool {
        matches!(self, Value::Base(range) if range.as_exact() == Some(0))
    }

    /// A word is a number of 32 bits to whoever does not extend its sign.
    fn as_number(self) -> Value {
        match self {
            Value::Word { .. } => Value::Int(U32),
            value => value,
        }
    }

    /// The sum of two 64-bit values.
    pub(super) fn add(self, other: Value) -> Value {
        use Value::*;
        match (self.as_number(), other.as_number()) {
            (Int(a), Int(b)) => a.add(b).map_or(Unknown, Int),
            (Base(a), Int(b)) | (Int(b), Base(a)) => a.add(b).map_or(Wild, Base),
            (Base(_) | Wild, Unknown | Int(_)) | (Unknown | Int(_), Base(_) | Wild) => Wild,
            (Stack(a), Int(b)) | (Int(b), Stack(a)) => exact_sum(a, b).map_or(Unknown, Stack),
            (ReturnArea(a), Int(b)) | (Int(b), ReturnArea(a)) => {
                exact_sum(a, b).map_or(Unknown, ReturnArea)
            }
            (Code { start, offset }, Int(b)) | (Int(b), Code { start, offset }) => {
                match offset.add(b) {
                    Some(offset) => Code { start, offset },
                    None => Unknown,
                }
            }
            (Code { start, offset }, Distance { array, count })
            | (Distance { array, count }, Code { start, offset })
                if start == array && offset.as_exact() == Some(0) =>
            {
                Target { array, count }
            }
            (Probing, Int(_)) | (Int(_), Probing) => Probing,
            (Compared, Int(b)) | (Int(b), Compared)
                if (0..4096).contains(&b.low) && b.high < 4096 =>
            {
                Compared
            }
            (Loaded(thing, a), Int(b)) | (Int(b), Loaded(thing, a)) => match exact_sum(a, b) {
                Some(offset) => Loaded(thing, offset),
                None => Derived(thing),
            },
            (Loaded(thing, _), Unknown) | (Unknown, Loaded(thing, _)) => Derived(thing),
            (Derived(thing), Unknown | Int(_)) | (Unknown | Int(_), Derived(thing)) => {
                Derived(thing)
            }
            _ => Unknown,
        }
    }

    /// What is known where it may be one or the other.
    pub(super) fn join(self, other: Value) -> Value {
        use Value::*;
        match (self, other) {
            (a, b) if a == b => a,
            (Int(a), Int(b)) => Int(a.hull(b)),
            (Base(a), Base(b)) => Base(a.hull(b)),
            (Base(_) | Wild, Base(_) | Wild) => Wild,
            (
                Code {
                    start: a,
                    offset: x,
                },
                Code {
                    start: b,
                    offset: y,
                },
            ) if a == b => Code {
                start: a,
                offset: x.hull(y),
            },
            (Loaded(a, _) | Derived(a), Loaded(b, _) | Derived(b)) if a == b => Derived(a),
            (Stack(_) | Probing, Stack(_) | Probing) => Probing,
            _ => Unknown,
        }
    }

    /// The same for a loop that has gone round often: leaves out steps on the way to the top.
    pub(super) fn widen(self, other: Value) -> Value {
        use Value::*;
        match (self, other) {
            (Int(a), Int(b)) if !a.contains(b) => match U32.contains(a) && U32.contains(b) {
                true => Int(U32),
                false => Unknown,
            },
            (Base(a), Base(b)) if !a.contains(b) => Wild,
            (Code { offset: a, .. }, Code { offset: b, .. }) if !a.contains(b) => Unknown,
            _ => self.join(other),
        }
    }

    /// What a conditional move makes of the two: zero or an address is an address that a
    /// comparison has let through.
    pub(super) fn select(self, other: Value) -> Value {
        use Value::*;
        match (self, other) {
            (Int(zero), address) | (address, Int(zero)) if zero.as_exact() == Some(0) => {
                match address {
                    Base(_)
                    | Wild
                    | Loaded(Thing::Memory, _)
                    | Derived(Thing::Memory)
                    | Compared => Compared,
                    _ => self.join(other),
                }
            }
            _ => self.join(other),
        }
    }
}

fn exact_sum(a: i64, b: Range) -> Option<i64> {
    a.checked_add(b.as_exact()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_of_32_bits_stays_within_4_gib() {
        let base = Value::Base(Range::exact(0));
        let address = base.add(Value::Int(U32)).add(Value::exact(8));
        assert_eq!(
            address,
            Value::Base(Range {
                low: 8,
                high: u32::MAX as i64 + 8,
                zeros: 0
            })
        );
        assert_eq!(base.add(Value::Unknown), Value::Wild);
        assert_eq!(Value::Wild.select(Value::exact(0)), Value::Compared);
    }

    #[test]
    fn entries_belong_to_their_own_array() {
        let entry = Value::Distance {
            array: 64,
            count: 3,
        };
        assert_eq!(
            Value::code(64).add(entry),
            Value::Target {
                array: 64,
                count: 3
            }
        );
        assert_eq!(Value::code(60).add(entry), Value::Unknown);
        let word = Value::Word {
            array: 64,
            count: 3,
        };
        let Value::Code { offset, .. } = Value::code(64).add(word) else {
            panic!("what is not extended leads nowhere")
        };
        assert_eq!(offset, U32);
        assert_eq!(
            Value::code(60).add(Value::exact(4)).add(entry),
            Value::Unknown
        );
    }

    #[test]
    fn loops_come_to_an_end() {
        let mut value = Value::exact(0);
        for step in 1..4 {
            value = value.widen(Value::exact(step));
        }
        assert_eq!(value, Value::Int(U32));
        assert_eq!(value.widen(Value::exact(-1)), Value::Unknown);
    }
}
