//! What a run looks like from outside, so that two runs can be compared.

use super::Coverage;
use precast_abi::trap::TrapCode;

/// A value, bit for bit. Of references only whether they are null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the specification's")]
pub enum Value {
    I32(u32),
    I64(u64),
    F32(u32),
    F64(u64),
    V128(u128),
    Null,
    NotNull,
}

impl Value {
    /// Its bits.
    pub fn bits(self) -> u128 {
        match self {
            Value::I32(x) | Value::F32(x) => x.into(),
            Value::I64(x) | Value::F64(x) => x.into(),
            Value::V128(x) => x,
            Value::Null => 0,
            Value::NotNull => 1,
        }
    }
}

/// Something that can be seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The guest called the host: number of the import, arguments.
    HostCall(usize, Vec<Value>),
    /// Instantiation trapped.
    NotInstantiated(TrapCode),
    /// An export was called: its name, and what came of it.
    Called(String, Result<Vec<Value>, TrapCode>),
    /// Value of a global.
    Global(String, Value),
    /// Length in bytes and hash of a memory.
    Memory(String, usize, u64),
    /// Which elements of a table are not null.
    Table(String, Vec<bool>),
}

/// Everything that could be seen, in order.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// What happened.
    pub events: Vec<Event>,
}

impl Trace {
    pub(super) fn push(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Counts what happened.
    pub fn coverage(&self) -> Coverage {
        let mut coverage = Coverage::default();
        for event in &self.events {
            match event {
                Event::HostCall(..) => coverage.host_calls += 1,
                Event::NotInstantiated(_) => coverage.not_instantiated += 1,
                Event::Called(_, Ok(_)) => coverage.returned += 1,
                Event::Called(_, Err(_)) => coverage.trapped += 1,
                _ => {}
            }
        }
        coverage
    }
}

/// FNV-1a.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// The first difference between two runs.
///
/// Stacks need not be of the same size: from an exhausted one on, nothing is compared.
pub(super) fn compare(expected: &Trace, actual: &Trace) -> Result<(), String> {
    let mut actual_events = actual.events.iter();
    for (number, expected) in expected.events.iter().enumerate() {
        let Some(actual) = actual_events.next() else {
            return Err(format!(
                "event {number}: expected {expected:?}, got nothing"
            ));
        };
        if is_exhaustion(expected) || is_exhaustion(actual) {
            return Ok(());
        }
        if expected != actual {
            return Err(format!(
                "event {number}: expected {expected:x?}, got {actual:x?}"
            ));
        }
    }
    match actual_events.next() {
        Some(actual) => Err(format!("expected nothing more, got {actual:x?}")),
        None => Ok(()),
    }
}

fn is_exhaustion(event: &Event) -> bool {
    matches!(
        event,
        Event::NotInstantiated(TrapCode::StackOverflow)
            | Event::Called(_, Err(TrapCode::StackOverflow))
    )
}
