//! Values in scripts: making arguments, judging results.

use precast::{AnyKind, Val};
use wast::core::{NanPattern, V128Pattern, WastArgCore, WastRetCore};
use wast::{WastArg, WastRet};

use super::engine::Engine;

/// The value that a script passes.
pub(super) fn argument(engine: &mut Engine, arg: &WastArg<'_>) -> Result<Val, String> {
    let WastArg::Core(arg) = arg else {
        return Err("an argument of a component".to_owned());
    };
    Ok(match arg {
        WastArgCore::I32(v) => Val::I32(*v),
        WastArgCore::I64(v) => Val::I64(*v),
        WastArgCore::F32(v) => Val::F32(v.bits),
        WastArgCore::F64(v) => Val::F64(v.bits),
        WastArgCore::V128(v) => Val::V128(u128::from_le_bytes(v.to_le_bytes())),
        WastArgCore::RefNull(heap) => null(heap)?,
        WastArgCore::RefExtern(n) => engine.extern_ref(*n),
        WastArgCore::RefHost(n) => engine.host_ref(*n)?,
    })
}

fn null(heap: &wast::core::HeapType<'_>) -> Result<Val, String> {
    use wast::core::{AbstractHeapType, HeapType};
    match heap {
        HeapType::Abstract {
            ty: AbstractHeapType::Extern | AbstractHeapType::NoExtern,
            ..
        } => Ok(Val::ExternRef(None)),
        HeapType::Abstract {
            ty: AbstractHeapType::Func | AbstractHeapType::NoFunc,
            ..
        }
        | HeapType::Concrete(_) => Ok(Val::FuncRef(None)),
        HeapType::Abstract {
            ty:
                AbstractHeapType::Any
                | AbstractHeapType::Eq
                | AbstractHeapType::I31
                | AbstractHeapType::Struct
                | AbstractHeapType::Array
                | AbstractHeapType::None,
            ..
        } => Ok(Val::AnyRef(None)),
        HeapType::Abstract {
            ty: AbstractHeapType::Exn | AbstractHeapType::NoExn,
            ..
        } => Ok(Val::ExnRef(None)),
        other => Err(format!("a null of type {other:?}")),
    }
}

/// Whether `actual` are the results that the script expects.
pub(super) fn check_results(
    engine: &Engine,
    expected: &[WastRet<'_>],
    actual: &[Val],
) -> Result<(), String> {
    let fits = expected.len() == actual.len()
        && expected
            .iter()
            .zip(actual)
            .all(|(expected, actual)| match expected {
                WastRet::Core(expected) => matches(engine, expected, actual),
                _ => false,
            });
    if fits {
        return Ok(());
    }
    Err(format!("expected {expected:?}, found {}", show_all(actual)))
}

fn matches(engine: &Engine, expected: &WastRetCore<'_>, actual: &Val) -> bool {
    match (expected, actual) {
        (WastRetCore::Either(choices), actual) => {
            choices.iter().any(|choice| matches(engine, choice, actual))
        }
        (WastRetCore::I32(e), Val::I32(a)) => e == a,
        (WastRetCore::I64(e), Val::I64(a)) => e == a,
        (WastRetCore::F32(e), Val::F32(a)) => f32_matches(e, *a),
        (WastRetCore::F64(e), Val::F64(a)) => f64_matches(e, *a),
        (WastRetCore::V128(e), Val::V128(a)) => v128_matches(e, *a),
        (
            WastRetCore::RefNull(_),
            Val::FuncRef(None) | Val::ExternRef(None) | Val::ExnRef(None) | Val::AnyRef(None),
        ) => true,
        (
            WastRetCore::RefAny
            | WastRetCore::RefEq
            | WastRetCore::RefI31
            | WastRetCore::RefStruct
            | WastRetCore::RefArray,
            Val::AnyRef(Some(value)),
        ) => engine
            .any_kind(value)
            .is_some_and(|kind| is_of_kind(expected, kind)),
        (WastRetCore::RefFunc(_), Val::FuncRef(Some(_))) => true,
        (WastRetCore::RefExtern(None), Val::ExternRef(Some(_))) => true,
        (WastRetCore::RefExtern(Some(n)), a) => engine.extern_value(a) == Some(*n),
        (WastRetCore::RefHost(n), a) => engine.extern_value(a) == Some(*n),
        _ => false,
    }
}

/// Whether an object is what the script says.
fn is_of_kind(expected: &WastRetCore<'_>, kind: AnyKind) -> bool {
    match (expected, kind) {
        (WastRetCore::RefAny, _) => true,
        (WastRetCore::RefEq, kind) => !matches!(kind, AnyKind::Extern(_)),
        (WastRetCore::RefI31, AnyKind::I31(_))
        | (WastRetCore::RefStruct, AnyKind::Struct(_))
        | (WastRetCore::RefArray, AnyKind::Array(..)) => true,
        _ => false,
    }
}

fn f32_matches(expected: &NanPattern<wast::token::F32>, actual: u32) -> bool {
    match expected {
        NanPattern::CanonicalNan => actual & 0x7fff_ffff == 0x7fc0_0000,
        NanPattern::ArithmeticNan => actual & 0x7fc0_0000 == 0x7fc0_0000,
        NanPattern::Value(value) => value.bits == actual,
    }
}

fn f64_matches(expected: &NanPattern<wast::token::F64>, actual: u64) -> bool {
    match expected {
        NanPattern::CanonicalNan => actual & (u64::MAX >> 1) == 0x7ff8_0000_0000_0000,
        NanPattern::ArithmeticNan => actual & 0x7ff8_0000_0000_0000 == 0x7ff8_0000_0000_0000,
        NanPattern::Value(value) => value.bits == actual,
    }
}

/// Lane `index` of `N` bytes.
fn lane<const N: usize>(vector: u128, index: usize) -> [u8; N] {
    let bytes = vector.to_le_bytes();
    std::array::from_fn(|i| bytes[index * N + i])
}

fn v128_matches(expected: &V128Pattern, actual: u128) -> bool {
    let lanes = |count: usize, fits: &dyn Fn(usize) -> bool| (0..count).all(fits);
    match expected {
        V128Pattern::I8x16(e) => lanes(16, &|i| i8::from_le_bytes(lane(actual, i)) == e[i]),
        V128Pattern::I16x8(e) => lanes(8, &|i| i16::from_le_bytes(lane(actual, i)) == e[i]),
        V128Pattern::I32x4(e) => lanes(4, &|i| i32::from_le_bytes(lane(actual, i)) == e[i]),
        V128Pattern::I64x2(e) => lanes(2, &|i| i64::from_le_bytes(lane(actual, i)) == e[i]),
        V128Pattern::F32x4(e) => lanes(4, &|i| {
            f32_matches(&e[i], u32::from_le_bytes(lane(actual, i)))
        }),
        V128Pattern::F64x2(e) => lanes(2, &|i| {
            f64_matches(&e[i], u64::from_le_bytes(lane(actual, i)))
        }),
    }
}

fn show_all(values: &[Val]) -> String {
    let shown: Vec<String> = values.iter().map(show).collect();
    format!("[{}]", shown.join(", "))
}

fn show(value: &Val) -> String {
    match value {
        Val::F32(bits) => format!("f32 {} ({bits:#x})", f32::from_bits(*bits)),
        Val::F64(bits) => format!("f64 {} ({bits:#x})", f64::from_bits(*bits)),
        Val::V128(bits) => format!("v128 {bits:#034x}"),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_patterns_tell_canonical_from_arithmetic() {
        assert!(f32_matches(&NanPattern::CanonicalNan, 0xffc0_0000));
        assert!(!f32_matches(&NanPattern::CanonicalNan, 0x7fc0_0001));
        assert!(f32_matches(&NanPattern::ArithmeticNan, 0x7fc0_0001));
        assert!(!f32_matches(&NanPattern::ArithmeticNan, 0x7fa0_0000));
        assert!(f64_matches(
            &NanPattern::CanonicalNan,
            0x7ff8_0000_0000_0000
        ));
        assert!(!f64_matches(
            &NanPattern::ArithmeticNan,
            0x7ff0_0000_0000_0001
        ));
    }

    #[test]
    fn lanes_are_counted_from_the_low_end() {
        assert_eq!(u16::from_le_bytes(lane(0x0002_0001, 1)), 2);
    }
}
