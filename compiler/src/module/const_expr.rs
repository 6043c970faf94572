//! Constant expressions: evaluated now as far as their values are known now.

use super::{FuncIndex, Global, GlobalIndex};
use cranelift_codegen::entity::{EntityRef, PrimaryMap};
use wasmparser::{ConstExpr, Operator};

/// The value of an initialiser.
#[derive(Clone)]
pub(crate) enum Init<'a> {
    /// Known now.
    Value(ConstValue),
    /// Known at instantiation: it reads an imported global, or one that depends on such.
    Expr(ConstExpr<'a>),
}

/// A value that is known when the module is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConstValue {
    I32(i32),
    I64(i64),
    /// The bits of an `f32`.
    F32(u32),
    /// The bits of an `f64`.
    F64(u64),
    V128([u8; 16]),
    /// A null reference of any type.
    Null,
    /// A reference to a function: known, but with another address in each instance.
    Func(FuncIndex),
}

impl ConstValue {
    /// The value as it lies in a global's cell; `None` where that differs between instances.
    pub(crate) fn bytes(self) -> Option<[u8; 16]> {
        let low = |value: u64| u128::from(value).to_le_bytes();
        Some(match self {
            ConstValue::I32(value) => low(u64::from(value as u32)),
            ConstValue::I64(value) => low(value as u64),
            ConstValue::F32(bits) => low(u64::from(bits)),
            ConstValue::F64(bits) => low(bits),
            ConstValue::V128(bytes) => bytes,
            ConstValue::Null => [0; 16],
            ConstValue::Func(_) => return None,
        })
    }

    /// The value as an address or index; `None` for anything but integers.
    pub(crate) fn index(self) -> Option<u64> {
        match self {
            ConstValue::I32(value) => Some(u64::from(value as u32)),
            ConstValue::I64(value) => Some(value as u64),
            _ => None,
        }
    }
}

/// Evaluates a validated expression as far as it is known now.
pub(super) fn evaluate<'a>(
    expr: ConstExpr<'a>,
    globals: &PrimaryMap<GlobalIndex, Global<'a>>,
) -> wasmparser::Result<Init<'a>> {
    let mut stack: Vec<ConstValue> = Vec::new();
    for op in expr.get_operators_reader() {
        let op = op?;
        if matches!(op, Operator::End) {
            break;
        }
        if step(&op, &mut stack, globals).is_none() {
            return Ok(Init::Expr(expr));
        }
    }
    Ok(match stack.pop() {
        Some(value) => Init::Value(value),
        None => Init::Expr(expr),
    })
}

/// Executes one operator; `None` where its value is not known now.
fn step(
    op: &Operator<'_>,
    stack: &mut Vec<ConstValue>,
    globals: &PrimaryMap<GlobalIndex, Global<'_>>,
) -> Option<()> {
    let value = match *op {
        Operator::I32Const { value } => ConstValue::I32(value),
        Operator::I64Const { value } => ConstValue::I64(value),
        Operator::F32Const { value } => ConstValue::F32(value.bits()),
        Operator::F64Const { value } => ConstValue::F64(value.bits()),
        Operator::V128Const { value } => ConstValue::V128(*value.bytes()),
        Operator::RefNull { .. } => ConstValue::Null,
        Operator::RefFunc { function_index } => {
            ConstValue::Func(FuncIndex::from_u32(function_index))
        }
        Operator::GlobalGet { global_index } => {
            let global = globals.get(GlobalIndex::new(global_index as usize))?;
            // Validation allows immutable globals only.
            match global.init {
                Some(Init::Value(value)) if !global.mutable => value,
                _ => return None,
            }
        }
        _ => arithmetic(op, stack.pop()?, stack.pop()?)?,
    };
    stack.push(value);
    Some(())
}

/// Executes an operator on two operands, the upper of the stack first.
fn arithmetic(op: &Operator<'_>, right: ConstValue, left: ConstValue) -> Option<ConstValue> {
    Some(match (op, left, right) {
        (Operator::I32Add, ConstValue::I32(a), ConstValue::I32(b)) => {
            ConstValue::I32(a.wrapping_add(b))
        }
        (Operator::I32Sub, ConstValue::I32(a), ConstValue::I32(b)) => {
            ConstValue::I32(a.wrapping_sub(b))
        }
        (Operator::I32Mul, ConstValue::I32(a), ConstValue::I32(b)) => {
            ConstValue::I32(a.wrapping_mul(b))
        }
        (Operator::I64Add, ConstValue::I64(a), ConstValue::I64(b)) => {
            ConstValue::I64(a.wrapping_add(b))
        }
        (Operator::I64Sub, ConstValue::I64(a), ConstValue::I64(b)) => {
            ConstValue::I64(a.wrapping_sub(b))
        }
        (Operator::I64Mul, ConstValue::I64(a), ConstValue::I64(b)) => {
            ConstValue::I64(a.wrapping_mul(b))
        }
        _ => return None,
    })
}
