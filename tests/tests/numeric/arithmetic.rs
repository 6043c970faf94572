//! Integer arithmetic with its traps, and float arithmetic with its NaNs.

use super::edges;
use super::harness::{for_each_variant, module_of};
use precast::Val;
use precast_abi::trap::TrapCode::{self, IntegerDivideByZero, IntegerOverflow};

type Binary<T> = (&'static str, fn(T, T) -> Result<T, TrapCode>);

fn nonzero<T: Default + PartialEq>(divisor: T) -> Result<T, TrapCode> {
    if divisor == T::default() {
        Err(IntegerDivideByZero)
    } else {
        Ok(divisor)
    }
}

const I32: [Binary<i32>; 15] = [
    ("i32.add", |a, b| Ok(a.wrapping_add(b))),
    ("i32.sub", |a, b| Ok(a.wrapping_sub(b))),
    ("i32.mul", |a, b| Ok(a.wrapping_mul(b))),
    ("i32.div_s", |a, b| {
        a.checked_div(nonzero(b)?).ok_or(IntegerOverflow)
    }),
    ("i32.div_u", |a, b| {
        Ok((a as u32 / nonzero(b)? as u32) as i32)
    }),
    ("i32.rem_s", |a, b| Ok(a.wrapping_rem(nonzero(b)?))),
    ("i32.rem_u", |a, b| {
        Ok((a as u32 % nonzero(b)? as u32) as i32)
    }),
    ("i32.and", |a, b| Ok(a & b)),
    ("i32.or", |a, b| Ok(a | b)),
    ("i32.xor", |a, b| Ok(a ^ b)),
    ("i32.shl", |a, b| Ok(a.wrapping_shl(b as u32))),
    ("i32.shr_s", |a, b| Ok(a.wrapping_shr(b as u32))),
    ("i32.shr_u", |a, b| {
        Ok((a as u32).wrapping_shr(b as u32) as i32)
    }),
    ("i32.rotl", |a, b| Ok(a.rotate_left(b as u32 % 32))),
    ("i32.rotr", |a, b| Ok(a.rotate_right(b as u32 % 32))),
];

const I64: [Binary<i64>; 15] = [
    ("i64.add", |a, b| Ok(a.wrapping_add(b))),
    ("i64.sub", |a, b| Ok(a.wrapping_sub(b))),
    ("i64.mul", |a, b| Ok(a.wrapping_mul(b))),
    ("i64.div_s", |a, b| {
        a.checked_div(nonzero(b)?).ok_or(IntegerOverflow)
    }),
    ("i64.div_u", |a, b| {
        Ok((a as u64 / nonzero(b)? as u64) as i64)
    }),
    ("i64.rem_s", |a, b| Ok(a.wrapping_rem(nonzero(b)?))),
    ("i64.rem_u", |a, b| {
        Ok((a as u64 % nonzero(b)? as u64) as i64)
    }),
    ("i64.and", |a, b| Ok(a & b)),
    ("i64.or", |a, b| Ok(a | b)),
    ("i64.xor", |a, b| Ok(a ^ b)),
    ("i64.shl", |a, b| Ok(a.wrapping_shl(b as u32))),
    ("i64.shr_s", |a, b| Ok(a.wrapping_shr(b as u32))),
    ("i64.shr_u", |a, b| {
        Ok((a as u64).wrapping_shr(b as u32) as i64)
    }),
    ("i64.rotl", |a, b| Ok(a.rotate_left((b % 64) as u32 % 64))),
    ("i64.rotr", |a, b| Ok(a.rotate_right((b % 64) as u32 % 64))),
];

#[test]
fn integer_operators_agree_with_rust_and_trap_where_they_must() {
    let mut operators: Vec<(&str, &[&str], &[&str])> = Vec::new();
    operators.extend(I32.map(|(name, _)| (name, &["i32", "i32"][..], &["i32"][..])));
    operators.extend(I64.map(|(name, _)| (name, &["i64", "i64"][..], &["i64"][..])));
    for_each_variant(&module_of(&operators), |variant, caller| {
        for (name, reference) in I32 {
            for a in edges::I32 {
                for b in edges::I32 {
                    let actual = caller.call(name, &[Val::I32(a), Val::I32(b)]);
                    let expected = reference(a, b).map(|x| vec![u128::from(x as u32)]);
                    assert_eq!(actual, expected, "{variant}: {name} {a} {b}");
                }
            }
        }
        for (name, reference) in I64 {
            for a in edges::I64 {
                for b in edges::I64 {
                    let actual = caller.call(name, &[Val::I64(a), Val::I64(b)]);
                    let expected = reference(a, b).map(|x| vec![u128::from(x as u64)]);
                    assert_eq!(actual, expected, "{variant}: {name} {a} {b}");
                }
            }
        }
    });
}

/// A divisor that the compiler knows takes other instructions than one in a register.
#[test]
fn division_by_constants_agrees_with_rust() {
    const OPERATORS: [&str; 4] = ["div_s", "div_u", "rem_s", "rem_u"];
    let mut wat = String::from("(module\n");
    for operator in OPERATORS {
        for divisor in edges::I32 {
            wat += &format!(
                "(func (export \"i32.{operator} {divisor}\") (param i32) (result i32)
                   (i32.{operator} (local.get 0) (i32.const {divisor})))\n"
            );
        }
        for divisor in edges::I64 {
            wat += &format!(
                "(func (export \"i64.{operator} {divisor}\") (param i64) (result i64)
                   (i64.{operator} (local.get 0) (i64.const {divisor})))\n"
            );
        }
    }
    for_each_variant(&(wat + ")"), |variant, caller| {
        for (name, reference) in &I32[3..7] {
            for divisor in edges::I32 {
                let name = format!("{name} {divisor}");
                for a in edges::I32 {
                    let actual = caller.call(&name, &[Val::I32(a)]);
                    let expected = reference(a, divisor).map(|x| vec![u128::from(x as u32)]);
                    assert_eq!(actual, expected, "{variant}: {name} of {a}");
                }
            }
        }
        for (name, reference) in &I64[3..7] {
            for divisor in edges::I64 {
                let name = format!("{name} {divisor}");
                for a in edges::I64 {
                    let actual = caller.call(&name, &[Val::I64(a)]);
                    let expected = reference(a, divisor).map(|x| vec![u128::from(x as u64)]);
                    assert_eq!(actual, expected, "{variant}: {name} of {a}");
                }
            }
        }
    });
}

/// Whether `actual` may be the result where Rust computed `expected`: the same bits, or a NaN
/// that is quiet where an operand was one.
fn fits_f32(actual: u32, expected: f32) -> bool {
    if expected.is_nan() {
        return f32::from_bits(actual).is_nan() && actual & 1 << 22 != 0;
    }
    actual == expected.to_bits()
}

fn fits_f64(actual: u64, expected: f64) -> bool {
    if expected.is_nan() {
        return f64::from_bits(actual).is_nan() && actual & 1 << 51 != 0;
    }
    actual == expected.to_bits()
}

macro_rules! float_tests {
    ($test:ident, $float:ident, $bits:ident, $val:ident, $fits:ident, $sign:expr) => {
        #[test]
        fn $test() {
            type Reference = fn($float, $float) -> $float;
            let binary: [(&str, Reference); 6] = [
                (concat!(stringify!($float), ".add"), |a, b| a + b),
                (concat!(stringify!($float), ".sub"), |a, b| a - b),
                (concat!(stringify!($float), ".mul"), |a, b| a * b),
                (concat!(stringify!($float), ".div"), |a, b| a / b),
                (concat!(stringify!($float), ".min"), |a, b| {
                    if a.is_nan() || b.is_nan() {
                        $float::NAN
                    } else if a == b {
                        // Of two zeros the negative one.
                        $float::from_bits(a.to_bits() | b.to_bits())
                    } else if a < b {
                        a
                    } else {
                        b
                    }
                }),
                (concat!(stringify!($float), ".max"), |a, b| {
                    if a.is_nan() || b.is_nan() {
                        $float::NAN
                    } else if a == b {
                        $float::from_bits(a.to_bits() & b.to_bits())
                    } else if a > b {
                        a
                    } else {
                        b
                    }
                }),
            ];
            // These only move bits: NaNs pass unchanged.
            type OnBits = fn($bits, $bits) -> $bits;
            let on_bits: [(&str, OnBits); 1] =
                [(concat!(stringify!($float), ".copysign"), |a, b| {
                    a & !$sign | b & $sign
                })];
            let unary_on_bits: [(&str, fn($bits) -> $bits); 2] = [
                (concat!(stringify!($float), ".abs"), |a| a & !$sign),
                (concat!(stringify!($float), ".neg"), |a| a ^ $sign),
            ];
            let f = stringify!($float);
            let (one, two) = ([f], [f, f]);
            let sqrt = concat!(stringify!($float), ".sqrt");
            let mut operators: Vec<(&str, &[&str], &[&str])> = vec![(sqrt, &one, &one)];
            operators.extend(binary.map(|(name, _)| (name, &two[..], &one[..])));
            operators.extend(on_bits.map(|(name, _)| (name, &two[..], &one[..])));
            operators.extend(unary_on_bits.map(|(name, _)| (name, &one[..], &one[..])));
            let edges = edges::$float();
            for_each_variant(&module_of(&operators), |variant, caller| {
                for &a in &edges {
                    let actual = caller.get(sqrt, &[Val::$val(a)]) as $bits;
                    let expected = $float::from_bits(a).sqrt();
                    assert!(
                        $fits(actual, expected),
                        "{variant}: sqrt {a:#x}: {actual:#x}"
                    );
                    for (name, reference) in unary_on_bits {
                        let actual = caller.get(name, &[Val::$val(a)]) as $bits;
                        assert_eq!(actual, reference(a), "{variant}: {name} {a:#x}");
                    }
                    // Every third is enough for a square.
                    for &b in edges.iter().step_by(3) {
                        let args = [Val::$val(a), Val::$val(b)];
                        let (x, y) = ($float::from_bits(a), $float::from_bits(b));
                        for (name, reference) in binary {
                            let actual = caller.get(name, &args) as $bits;
                            assert!(
                                $fits(actual, reference(x, y)),
                                "{variant}: {name} {a:#x} {b:#x}: {actual:#x}"
                            );
                        }
                        for (name, reference) in on_bits {
                            let actual = caller.get(name, &args) as $bits;
                            assert_eq!(actual, reference(a, b), "{variant}: {name} {a:#x} {b:#x}");
                        }
                    }
                }
            });
        }
    };
}

float_tests!(
    f32_operators_agree_with_rust,
    f32,
    u32,
    F32,
    fits_f32,
    1u32 << 31
);
float_tests!(
    f64_operators_agree_with_rust,
    f64,
    u64,
    F64,
    fits_f64,
    1u64 << 63
);
