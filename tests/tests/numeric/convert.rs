//! Conversions: trapping, saturating, and between floats.

use super::edges;
use super::harness::{Outcome, for_each_variant, module_of};
use precast::Val;
use precast_abi::trap::TrapCode::{IntegerOverflow, InvalidConversionToInteger};

/// The integer that `x` truncates to, if the type from `min` to `max` holds it.
fn truncate(x: f64, min: f64, end: f64, bits: impl Fn(f64) -> u128) -> Outcome {
    if x.is_nan() {
        return Err(InvalidConversionToInteger);
    }
    let whole = x.trunc();
    if whole < min || whole >= end {
        return Err(IntegerOverflow);
    }
    Ok(vec![bits(whole)])
}

const TWO_31: f64 = 2147483648.0;
const TWO_32: f64 = 4294967296.0;
const TWO_63: f64 = 9223372036854775808.0;
const TWO_64: f64 = 18446744073709551616.0;

/// What each integer type makes of a float: trapping, and saturating.
type Truncation = (&'static str, fn(f64) -> Outcome, fn(f64) -> u128);

const TRUNCATIONS: [Truncation; 4] = [
    (
        "i32_s",
        |x| truncate(x, -TWO_31, TWO_31, |x| (x as i32 as u32).into()),
        |x| (x as i32 as u32).into(),
    ),
    (
        "i32_u",
        |x| truncate(x, 0.0, TWO_32, |x| (x as u32).into()),
        |x| (x as u32).into(),
    ),
    (
        "i64_s",
        |x| truncate(x, -TWO_63, TWO_63, |x| (x as i64 as u64).into()),
        |x| (x as i64 as u64).into(),
    ),
    (
        "i64_u",
        |x| truncate(x, 0.0, TWO_64, |x| (x as u64).into()),
        |x| (x as u64).into(),
    ),
];

#[test]
fn floats_to_integers_trap_or_saturate_as_specified() {
    let mut names = Vec::new();
    for (name, ..) in TRUNCATIONS {
        let (int, sign) = name.split_once('_').expect("a type and a sign");
        for float in ["f32", "f64"] {
            names.push((format!("{int}.trunc_{float}_{sign}"), float, int));
            names.push((format!("{int}.trunc_sat_{float}_{sign}"), float, int));
        }
    }
    let types: Vec<_> = names
        .iter()
        .map(|(name, float, int)| (name.as_str(), [*float], [*int]))
        .collect();
    let operators: Vec<(&str, &[&str], &[&str])> = types
        .iter()
        .map(|(name, float, int)| (*name, &float[..], &int[..]))
        .collect();
    let singles = edges::f32()
        .into_iter()
        .map(|bits| (Val::F32(bits), f32::from_bits(bits).into()));
    let doubles = edges::f64()
        .into_iter()
        .map(|bits| (Val::F64(bits), f64::from_bits(bits)));
    let inputs = [
        ("f32", singles.collect::<Vec<_>>()),
        ("f64", doubles.collect::<Vec<_>>()),
    ];
    for_each_variant(&module_of(&operators), |variant, caller| {
        for (name, trapping, saturating) in TRUNCATIONS {
            let (int, sign) = name.split_once('_').expect("a type and a sign");
            for (float, inputs) in &inputs {
                for (arg, x) in inputs {
                    let name = format!("{int}.trunc_{float}_{sign}");
                    let actual = caller.call(&name, &[*arg]);
                    assert_eq!(actual, trapping(*x), "{variant}: {name} {arg:x?}");
                    let name = format!("{int}.trunc_sat_{float}_{sign}");
                    let actual = caller.get(&name, &[*arg]);
                    assert_eq!(actual, saturating(*x), "{variant}: {name} {arg:x?}");
                }
            }
        }
    });
}

#[test]
fn integers_to_floats_round_to_nearest() {
    type Reference<T> = (&'static str, fn(T) -> u128);
    let from_i32: [Reference<i32>; 4] = [
        ("f32.convert_i32_s", |x| (x as f32).to_bits().into()),
        ("f32.convert_i32_u", |x| (x as u32 as f32).to_bits().into()),
        ("f64.convert_i32_s", |x| f64::from(x).to_bits().into()),
        ("f64.convert_i32_u", |x| {
            f64::from(x as u32).to_bits().into()
        }),
    ];
    let from_i64: [Reference<i64>; 4] = [
        ("f32.convert_i64_s", |x| (x as f32).to_bits().into()),
        ("f32.convert_i64_u", |x| (x as u64 as f32).to_bits().into()),
        ("f64.convert_i64_s", |x| (x as f64).to_bits().into()),
        ("f64.convert_i64_u", |x| (x as u64 as f64).to_bits().into()),
    ];
    let operators: [(&str, &[&str], &[&str]); 8] = [
        ("f32.convert_i32_s", &["i32"], &["f32"]),
        ("f32.convert_i32_u", &["i32"], &["f32"]),
        ("f64.convert_i32_s", &["i32"], &["f64"]),
        ("f64.convert_i32_u", &["i32"], &["f64"]),
        ("f32.convert_i64_s", &["i64"], &["f32"]),
        ("f32.convert_i64_u", &["i64"], &["f32"]),
        ("f64.convert_i64_s", &["i64"], &["f64"]),
        ("f64.convert_i64_u", &["i64"], &["f64"]),
    ];
    // Ties, and the places where rounding twice would show.
    let ties = [
        0x0100_0001,
        0x0020_0000_0000_0001,
        0x7fff_ff40_0000_0001,
        0x7fff_ffff_ffff_fc00,
        0x7fff_ffff_ffff_fbff,
        0x4000_0040_0000_0001,
        -0x0100_0001,
        0x8000_0080_0000_0001u64 as i64,
        0xffff_ffff_ffff_fbffu64 as i64,
    ];
    for_each_variant(&module_of(&operators), |variant, caller| {
        for (name, reference) in from_i32 {
            for x in edges::I32.into_iter().chain(ties.map(|x| x as i32)) {
                let actual = caller.get(name, &[Val::I32(x)]);
                assert_eq!(actual, reference(x), "{variant}: {name} {x}");
            }
        }
        for (name, reference) in from_i64 {
            for x in edges::I64.into_iter().chain(ties) {
                let actual = caller.get(name, &[Val::I64(x)]);
                assert_eq!(actual, reference(x), "{variant}: {name} {x}");
            }
        }
    });
}

#[test]
fn floats_change_width_and_keep_the_payload_of_nans() {
    let operators: [(&str, &[&str], &[&str]); 6] = [
        ("f32.demote_f64", &["f64"], &["f32"]),
        ("f64.promote_f32", &["f32"], &["f64"]),
        ("i32.reinterpret_f32", &["f32"], &["i32"]),
        ("i64.reinterpret_f64", &["f64"], &["i64"]),
        ("f32.reinterpret_i32", &["i32"], &["f32"]),
        ("f64.reinterpret_i64", &["i64"], &["f64"]),
    ];
    for_each_variant(&module_of(&operators), |variant, caller| {
        for bits in edges::f32() {
            let actual = caller.get("f64.promote_f32", &[Val::F32(bits)]) as u64;
            let expected = f64::from(f32::from_bits(bits));
            if expected.is_nan() {
                assert!(f64::from_bits(actual).is_nan(), "{variant}: {bits:#x}");
                assert!(
                    actual & 1 << 51 != 0,
                    "{variant}: {bits:#x} stays signalling"
                );
            } else {
                assert_eq!(actual, expected.to_bits(), "{variant}: promote {bits:#x}");
            }
            let same = caller.get("i32.reinterpret_f32", &[Val::F32(bits)]);
            assert_eq!(same, bits.into(), "{variant}");
            let same = caller.get("f32.reinterpret_i32", &[Val::I32(bits as i32)]);
            assert_eq!(same, bits.into(), "{variant}");
        }
        for bits in edges::f64() {
            let actual = caller.get("f32.demote_f64", &[Val::F64(bits)]) as u32;
            let expected = f64::from_bits(bits) as f32;
            if expected.is_nan() {
                assert!(f32::from_bits(actual).is_nan(), "{variant}: {bits:#x}");
                assert!(
                    actual & 1 << 22 != 0,
                    "{variant}: {bits:#x} stays signalling"
                );
            } else {
                assert_eq!(actual, expected.to_bits(), "{variant}: demote {bits:#x}");
            }
            let same = caller.get("i64.reinterpret_f64", &[Val::F64(bits)]);
            assert_eq!(same, bits.into(), "{variant}");
            let same = caller.get("f64.reinterpret_i64", &[Val::I64(bits as i64)]);
            assert_eq!(same, bits.into(), "{variant}");
        }
    });
}

#[test]
fn sign_extension_looks_at_the_low_bits_only() {
    let operators: [(&str, &[&str], &[&str]); 8] = [
        ("i32.extend8_s", &["i32"], &["i32"]),
        ("i32.extend16_s", &["i32"], &["i32"]),
        ("i64.extend8_s", &["i64"], &["i64"]),
        ("i64.extend16_s", &["i64"], &["i64"]),
        ("i64.extend32_s", &["i64"], &["i64"]),
        ("i64.extend_i32_s", &["i32"], &["i64"]),
        ("i64.extend_i32_u", &["i32"], &["i64"]),
        ("i32.wrap_i64", &["i64"], &["i32"]),
    ];
    for_each_variant(&module_of(&operators), |variant, caller| {
        for x in edges::I32 {
            let mut check = |name: &str, expected: u128| {
                assert_eq!(
                    caller.get(name, &[Val::I32(x)]),
                    expected,
                    "{variant}: {name} {x}"
                );
            };
            check("i32.extend8_s", (i32::from(x as i8) as u32).into());
            check("i32.extend16_s", (i32::from(x as i16) as u32).into());
            check("i64.extend_i32_s", (i64::from(x) as u64).into());
            check("i64.extend_i32_u", (x as u32).into());
        }
        for x in edges::I64 {
            let mut check = |name: &str, expected: u128| {
                assert_eq!(
                    caller.get(name, &[Val::I64(x)]),
                    expected,
                    "{variant}: {name} {x}"
                );
            };
            check("i64.extend8_s", (i64::from(x as i8) as u64).into());
            check("i64.extend16_s", (i64::from(x as i16) as u64).into());
            check("i64.extend32_s", (i64::from(x as i32) as u64).into());
            check("i32.wrap_i64", (x as u32).into());
        }
    });
}
