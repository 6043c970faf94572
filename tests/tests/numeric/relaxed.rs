//! Relaxed SIMD: whatever a CPU level chooses must be among what the specification allows.

use super::edges;
use super::harness::{for_each_variant, module_of};
use precast::Val;

fn f64x2(low: f64, high: f64) -> Val {
    Val::V128(u128::from(high.to_bits()) << 64 | u128::from(low.to_bits()))
}

#[test]
fn multiply_add_is_fused_or_rounds_twice() {
    let three = ["v128", "v128", "v128"];
    let operators: [(&str, &[&str], &[&str]); 2] = [
        ("f64x2.relaxed_madd", &three, &["v128"]),
        ("f64x2.relaxed_nmadd", &three, &["v128"]),
    ];
    let values = [1.0, 0.1, 1.0 + f64::EPSILON, -3.7, 1e200, 5e-324, 0.0, -0.0];
    for_each_variant(&module_of(&operators), |variant, caller| {
        for x in values {
            for y in values {
                for z in values {
                    let args = [f64x2(x, y), f64x2(y, x), f64x2(z, z)];
                    for (name, sign) in [("f64x2.relaxed_madd", 1.0), ("f64x2.relaxed_nmadd", -1.0)]
                    {
                        let low = caller.get(name, &args) as u64;
                        let fused = (sign * x).mul_add(y, z);
                        let twice = sign * x * y + z;
                        assert!(
                            low == fused.to_bits() || low == twice.to_bits(),
                            "{variant}: {name} {x} {y} {z}: {low:#x}"
                        );
                    }
                }
            }
        }
    });
}

#[test]
fn truncation_agrees_with_the_strict_operator_where_it_must() {
    let operators: [(&str, &[&str], &[&str]); 4] = [
        ("i32x4.relaxed_trunc_f32x4_s", &["v128"], &["v128"]),
        ("i32x4.relaxed_trunc_f32x4_u", &["v128"], &["v128"]),
        ("i32x4.relaxed_trunc_f64x2_s_zero", &["v128"], &["v128"]),
        ("i32x4.relaxed_trunc_f64x2_u_zero", &["v128"], &["v128"]),
    ];
    let allowed = |x: f64, actual: u32, min: f64, end: f64, strict: u32, odd: u32| {
        let fits = !x.is_nan() && x.trunc() >= min && x.trunc() < end;
        actual == strict || !fits && actual == odd
    };
    for_each_variant(&module_of(&operators), |variant, caller| {
        for bits in edges::f32() {
            let x = f64::from(f32::from_bits(bits));
            let arg = [Val::V128(bits.into())];
            let signed = caller.get("i32x4.relaxed_trunc_f32x4_s", &arg) as u32;
            let fits = allowed(
                x,
                signed,
                -2147483648.0,
                2147483648.0,
                x as i32 as u32,
                1 << 31,
            );
            assert!(fits, "{variant}: signed {bits:#x}: {signed:#x}");
            let unsigned = caller.get("i32x4.relaxed_trunc_f32x4_u", &arg) as u32;
            let fits = allowed(x, unsigned, 0.0, 4294967296.0, x as u32, u32::MAX);
            assert!(fits, "{variant}: unsigned {bits:#x}: {unsigned:#x}");
        }
        for bits in edges::f64() {
            let x = f64::from_bits(bits);
            let arg = [Val::V128(u128::from(bits) << 64)];
            let signed = caller.get("i32x4.relaxed_trunc_f64x2_s_zero", &arg);
            assert_eq!(signed >> 64, 0, "{variant}: upper lanes");
            let signed = (signed >> 32) as u32;
            let fits = allowed(
                x,
                signed,
                -2147483648.0,
                2147483648.0,
                x as i32 as u32,
                1 << 31,
            );
            assert!(fits, "{variant}: signed {bits:#x}: {signed:#x}");
            let unsigned = caller.get("i32x4.relaxed_trunc_f64x2_u_zero", &arg);
            assert_eq!(unsigned >> 64, 0, "{variant}: upper lanes");
            let unsigned = (unsigned >> 32) as u32;
            let fits = allowed(x, unsigned, 0.0, 4294967296.0, x as u32, u32::MAX);
            assert!(fits, "{variant}: unsigned {bits:#x}: {unsigned:#x}");
        }
    });
}

#[test]
fn the_other_operators_are_strict_inside_their_range() {
    let two = ["v128", "v128"];
    let three = ["v128", "v128", "v128"];
    let operators: [(&str, &[&str], &[&str]); 9] = [
        ("i8x16.relaxed_swizzle", &two, &["v128"]),
        ("i8x16.relaxed_laneselect", &three, &["v128"]),
        ("i16x8.relaxed_laneselect", &three, &["v128"]),
        ("i32x4.relaxed_laneselect", &three, &["v128"]),
        ("i64x2.relaxed_laneselect", &three, &["v128"]),
        ("i16x8.relaxed_q15mulr_s", &two, &["v128"]),
        ("i16x8.relaxed_dot_i8x16_i7x16_s", &two, &["v128"]),
        ("i32x4.relaxed_dot_i8x16_i7x16_add_s", &three, &["v128"]),
        ("f32x4.relaxed_min", &two, &["v128"]),
    ];
    let bytes = u128::from_le_bytes([
        1, 255, 3, 252, 5, 6, 249, 8, 128, 10, 11, 12, 127, 14, 15, 16,
    ]);
    let small = u128::from_le_bytes([7, 0, 127, 3, 15, 2, 9, 9, 127, 1, 0, 14, 127, 5, 6, 8]);
    for_each_variant(&module_of(&operators), |variant, caller| {
        let indices = small & (u128::MAX / 255 * 15);
        let actual = caller.get(
            "i8x16.relaxed_swizzle",
            &[Val::V128(bytes), Val::V128(indices)],
        );
        let picked = indices
            .to_le_bytes()
            .map(|index| bytes.to_le_bytes()[index as usize]);
        assert_eq!(actual, u128::from_le_bytes(picked), "{variant}: swizzle");

        let mask = 0xffff_ffff_ffff_ffffu128;
        let args = [Val::V128(bytes), Val::V128(small), Val::V128(mask)];
        for lanes in ["i8x16", "i16x8", "i32x4", "i64x2"] {
            let actual = caller.get(&format!("{lanes}.relaxed_laneselect"), &args);
            assert_eq!(
                actual,
                bytes & mask | small & !mask,
                "{variant}: {lanes} select"
            );
        }

        let lanes = |x: u128| x.to_le_bytes().map(|x| i32::from(x as i8));
        let (x, y) = (lanes(bytes), lanes(small));
        let args = [Val::V128(bytes), Val::V128(small)];
        let actual = caller.get("i16x8.relaxed_dot_i8x16_i7x16_s", &args);
        let expected = (0..8).fold(0, |sum, n| {
            let dot = x[2 * n] * y[2 * n] + x[2 * n + 1] * y[2 * n + 1];
            sum | u128::from(dot as u16) << (16 * n)
        });
        assert_eq!(actual, expected, "{variant}: dot");

        let args = [Val::V128(bytes), Val::V128(small), Val::V128(1)];
        let actual = caller.get("i32x4.relaxed_dot_i8x16_i7x16_add_s", &args);
        let expected = (0..4).fold(0, |sum, n| {
            let dot: i32 = (4 * n..4 * n + 4).map(|n| x[n] * y[n]).sum();
            sum | u128::from((dot + i32::from(n == 0)) as u32) << (32 * n)
        });
        assert_eq!(actual, expected, "{variant}: dot and add");

        let q15 = caller.get(
            "i16x8.relaxed_q15mulr_s",
            &[Val::V128(0x4000_2000), Val::V128(0x4000_8000)],
        );
        assert_eq!(q15, 0x2000_e000, "{variant}: q15");

        let min = caller.get(
            "f32x4.relaxed_min",
            &[
                Val::V128(2.0f32.to_bits().into()),
                Val::V128(1.5f32.to_bits().into()),
            ],
        );
        assert_eq!(min, 1.5f32.to_bits().into(), "{variant}: min");
    });
}
