//! Wide arithmetic: 128 bits in two halves.

use super::edges;
use super::harness::{for_each_variant, module_of};
use precast::Val;

fn halves(x: u128) -> Vec<u128> {
    vec![x & u128::from(u64::MAX), x >> 64]
}

fn join(low: i64, high: i64) -> u128 {
    u128::from(high as u64) << 64 | u128::from(low as u64)
}

#[test]
fn wide_arithmetic_carries_between_the_halves() {
    let four = ["i64", "i64", "i64", "i64"];
    let two = ["i64", "i64"];
    let operators: [(&str, &[&str], &[&str]); 4] = [
        ("i64.add128", &four, &two),
        ("i64.sub128", &four, &two),
        ("i64.mul_wide_s", &two, &two),
        ("i64.mul_wide_u", &two, &two),
    ];
    for_each_variant(&module_of(&operators), |variant, caller| {
        for a in edges::I64 {
            for b in edges::I64 {
                let args = [Val::I64(a), Val::I64(b)];
                let signed = (i128::from(a) * i128::from(b)) as u128;
                let actual = caller.call("i64.mul_wide_s", &args);
                assert_eq!(actual, Ok(halves(signed)), "{variant}: {a} * {b}");
                let unsigned = u128::from(a as u64) * u128::from(b as u64);
                let actual = caller.call("i64.mul_wide_u", &args);
                assert_eq!(
                    actual,
                    Ok(halves(unsigned)),
                    "{variant}: {a} * {b} unsigned"
                );
                for (c, d) in [(0, 0), (-1, 0), (1, -1), (i64::MIN, i64::MAX), (5, 7)] {
                    let args = [Val::I64(a), Val::I64(b), Val::I64(c), Val::I64(d)];
                    let (x, y) = (join(a, b), join(c, d));
                    let actual = caller.call("i64.add128", &args);
                    let expected = Ok(halves(x.wrapping_add(y)));
                    assert_eq!(actual, expected, "{variant}: {x:#x} + {y:#x}");
                    let actual = caller.call("i64.sub128", &args);
                    let expected = Ok(halves(x.wrapping_sub(y)));
                    assert_eq!(actual, expected, "{variant}: {x:#x} - {y:#x}");
                }
            }
        }
    });
}
