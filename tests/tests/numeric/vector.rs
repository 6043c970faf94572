//! Vector operators whose code differs most between CPU levels, against a reference in Rust.

use super::edges;
use super::harness::{for_each_variant, module_of};
use precast::Val;
use precast_tests::fuzz::Rng;

fn vectors() -> Vec<u128> {
    let mut rng = Rng::new(7);
    let mut vectors = vec![0, u128::MAX, u128::MAX / 255 * 0x80, u128::MAX / 255 * 0x7f];
    vectors.push(u128::from_le_bytes([
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
    ]));
    vectors.push(u128::from_le_bytes([
        16, 0, 127, 128, 15, 143, 112, 111, 255, 31, 17, 14, 200, 3, 240, 8,
    ]));
    vectors.push(i64::MIN as u64 as u128 | (0x8000_0000_7fff_ffff << 64));
    for _ in 0..8 {
        vectors.push(u128::from(rng.next()) << 64 | u128::from(rng.next()));
    }
    vectors
}

fn map<const N: usize>(x: u128, y: u128, lane: impl Fn(u128, u128) -> u128) -> u128 {
    let mask = if N == 128 { u128::MAX } else { (1 << N) - 1 };
    (0..128 / N).fold(0, |result, n| {
        let (x, y) = (x >> (n * N) & mask, y >> (n * N) & mask);
        result | (lane(x, y) & mask) << (n * N)
    })
}

fn swizzle(x: u128, indices: u128) -> u128 {
    let bytes = x.to_le_bytes();
    map::<8>(indices, 0, |index, _| {
        bytes.get(index as usize).copied().unwrap_or(0).into()
    })
}

type Reference = (&'static str, fn(u128, u128) -> u128);

const BINARY: [Reference; 28] = [
    ("i8x16.swizzle", swizzle),
    ("i8x16.add", |x, y| map::<8>(x, y, |a, b| a + b)),
    ("i16x8.mul", |x, y| map::<16>(x, y, |a, b| a * b)),
    ("i32x4.mul", |x, y| map::<32>(x, y, |a, b| a * b)),
    ("i64x2.mul", |x, y| {
        map::<64>(x, y, |a, b| (a as u64).wrapping_mul(b as u64).into())
    }),
    ("i8x16.min_s", |x, y| {
        map::<8>(x, y, |a, b| (a as i8).min(b as i8) as u128)
    }),
    ("i8x16.max_s", |x, y| {
        map::<8>(x, y, |a, b| (a as i8).max(b as i8) as u128)
    }),
    ("i16x8.min_u", |x, y| map::<16>(x, y, |a, b| a.min(b))),
    ("i16x8.max_u", |x, y| map::<16>(x, y, |a, b| a.max(b))),
    ("i32x4.min_s", |x, y| {
        map::<32>(x, y, |a, b| (a as i32).min(b as i32) as u128)
    }),
    ("i32x4.max_u", |x, y| map::<32>(x, y, |a, b| a.max(b))),
    ("i32x4.gt_u", |x, y| map::<32>(x, y, |a, b| truth(a > b))),
    ("i8x16.ge_u", |x, y| map::<8>(x, y, |a, b| truth(a >= b))),
    ("i64x2.eq", |x, y| map::<64>(x, y, |a, b| truth(a == b))),
    ("i64x2.gt_s", |x, y| {
        map::<64>(x, y, |a, b| truth(a as i64 > b as i64))
    }),
    ("i64x2.ge_s", |x, y| {
        map::<64>(x, y, |a, b| truth(a as i64 >= b as i64))
    }),
    ("i16x8.q15mulr_sat_s", |x, y| {
        map::<16>(x, y, |a, b| {
            let product = i32::from(a as i16) * i32::from(b as i16);
            ((product + 0x4000) >> 15).min(0x7fff) as u128
        })
    }),
    ("i8x16.avgr_u", |x, y| {
        map::<8>(x, y, |a, b| (a + b).div_ceil(2))
    }),
    ("i8x16.narrow_i16x8_u", |x, y| {
        narrow::<16>(x, y, |a| (a as i16).clamp(0, 255) as u128)
    }),
    ("i8x16.narrow_i16x8_s", |x, y| {
        narrow::<16>(x, y, |a| (a as i16).clamp(-128, 127) as u128)
    }),
    ("i16x8.narrow_i32x4_u", |x, y| {
        narrow::<32>(x, y, |a| (a as i32).clamp(0, 65535) as u128)
    }),
    ("i16x8.narrow_i32x4_s", |x, y| {
        narrow::<32>(x, y, |a| (a as i32).clamp(-32768, 32767) as u128)
    }),
    ("i16x8.extmul_high_i8x16_s", |x, y| {
        widen::<8>(x >> 64, y >> 64, |a, b| {
            (i32::from(a as i8) * i32::from(b as i8)) as u128
        })
    }),
    ("i32x4.extmul_low_i16x8_s", |x, y| {
        widen::<16>(x, y, |a, b| {
            (i32::from(a as i16) * i32::from(b as i16)) as u128
        })
    }),
    ("i64x2.extmul_low_i32x4_s", |x, y| {
        widen::<32>(x, y, |a, b| {
            (i64::from(a as i32) * i64::from(b as i32)) as u128
        })
    }),
    ("i64x2.extmul_high_i32x4_u", |x, y| {
        widen::<32>(x >> 64, y >> 64, |a, b| a * b)
    }),
    ("i32x4.dot_i16x8_s", |x, y| {
        map::<32>(x, y, |a, b| {
            let product = |shift: u32| {
                i32::from((a >> shift) as i16).wrapping_mul(i32::from((b >> shift) as i16))
            };
            product(0).wrapping_add(product(16)) as u128
        })
    }),
    ("v128.andnot", |x, y| x & !y),
];

type Unary = fn(u128) -> u128;

const UNARY: [(&str, Unary); 12] = [
    ("i8x16.popcnt", |x| {
        map::<8>(x, 0, |a, _| a.count_ones().into())
    }),
    ("i8x16.abs", |x| {
        map::<8>(x, 0, |a, _| (a as i8).wrapping_abs() as u128)
    }),
    ("i64x2.abs", |x| {
        map::<64>(x, 0, |a, _| (a as i64).wrapping_abs() as u128)
    }),
    ("i64x2.neg", |x| {
        map::<64>(x, 0, |a, _| (a as i64).wrapping_neg() as u128)
    }),
    ("i64x2.extend_high_i32x4_s", |x| {
        widen::<32>(x >> 64, 0, |a, _| a as i32 as u128)
    }),
    ("i32x4.extend_low_i16x8_s", |x| {
        widen::<16>(x, 0, |a, _| a as i16 as u128)
    }),
    ("i16x8.extend_high_i8x16_u", |x| {
        widen::<8>(x >> 64, 0, |a, _| a)
    }),
    ("i16x8.extadd_pairwise_i8x16_s", |x| {
        map::<16>(x, 0, |a, _| {
            (i16::from(a as i8) + i16::from((a >> 8) as i8)) as u128
        })
    }),
    ("i32x4.extadd_pairwise_i16x8_u", |x| {
        map::<32>(x, 0, |a, _| (a & 0xffff) + (a >> 16))
    }),
    ("f32x4.convert_i32x4_u", |x| {
        map::<32>(x, 0, |a, _| (a as u32 as f32).to_bits().into())
    }),
    ("f64x2.convert_low_i32x4_u", |x| {
        widen::<32>(x, 0, |a, _| (a as f64).to_bits().into())
    }),
    ("f64x2.convert_low_i32x4_s", |x| {
        widen::<32>(x, 0, |a, _| f64::from(a as i32).to_bits().into())
    }),
];

fn truth(holds: bool) -> u128 {
    if holds { u128::MAX } else { 0 }
}

/// The lanes of `x` and then of `y`, at half their width.
fn narrow<const N: usize>(x: u128, y: u128, lane: impl Fn(u128) -> u128) -> u128 {
    let half = N / 2;
    let mask = (1u128 << half) - 1;
    let lanes = |x: u128| {
        (0..128 / N).fold(0, |result, n| {
            let value = lane(x >> (n * N) & ((1 << N) - 1));
            result | (value & mask) << (n * half)
        })
    };
    lanes(x) | lanes(y) << 64
}

/// The low lanes, at twice their width.
fn widen<const N: usize>(x: u128, y: u128, lane: impl Fn(u128, u128) -> u128) -> u128 {
    let mask = (1u128 << N) - 1;
    let wide = (1u128 << (2 * N)) - 1;
    (0..64 / N).fold(0, |result, n| {
        let (a, b) = (x >> (n * N) & mask, y >> (n * N) & mask);
        result | (lane(a, b) & wide) << (n * 2 * N)
    })
}

#[test]
fn integer_lanes_are_the_same_on_every_cpu() {
    let mut operators: Vec<(&str, &[&str], &[&str])> = Vec::new();
    operators.extend(BINARY.map(|(name, _)| (name, &["v128", "v128"][..], &["v128"][..])));
    operators.extend(UNARY.map(|(name, _)| (name, &["v128"][..], &["v128"][..])));
    for_each_variant(&module_of(&operators), |variant, caller| {
        for x in vectors() {
            for (name, reference) in UNARY {
                let actual = caller.get(name, &[Val::V128(x)]);
                assert_eq!(actual, reference(x), "{variant}: {name} {x:#x}");
            }
            for y in vectors() {
                for (name, reference) in BINARY {
                    let actual = caller.get(name, &[Val::V128(x), Val::V128(y)]);
                    let expected = reference(x, y);
                    assert_eq!(actual, expected, "{variant}: {name} {x:#x} {y:#x}");
                }
            }
        }
    });
}

#[test]
fn lanes_shift_by_the_amount_modulo_their_width() {
    let names: Vec<(String, u32, &str)> = [8, 16, 32, 64]
        .into_iter()
        .flat_map(|bits| {
            ["shl", "shr_s", "shr_u"].map(|op| (format!("i{bits}x{}.{op}", 128 / bits), bits, op))
        })
        .collect();
    let operators: Vec<(&str, &[&str], &[&str])> = names
        .iter()
        .map(|(name, ..)| (name.as_str(), &["v128", "i32"][..], &["v128"][..]))
        .collect();
    for_each_variant(&module_of(&operators), |variant, caller| {
        for (name, bits, op) in &names {
            for x in vectors() {
                for amount in edges::I32 {
                    let by = amount as u32 % bits;
                    let lane = |a: u128| match *op {
                        "shl" => a << by,
                        "shr_u" => a >> by,
                        _ => ((a << (128 - bits)) as i128 >> (128 - bits) >> by) as u128,
                    };
                    let expected = match bits {
                        8 => map::<8>(x, 0, |a, _| lane(a)),
                        16 => map::<16>(x, 0, |a, _| lane(a)),
                        32 => map::<32>(x, 0, |a, _| lane(a)),
                        _ => map::<64>(x, 0, |a, _| lane(a)),
                    };
                    let actual = caller.get(name, &[Val::V128(x), Val::I32(amount)]);
                    assert_eq!(actual, expected, "{variant}: {name} {x:#x} {amount}");
                }
            }
        }
    });
}

#[test]
fn float_lanes_to_integers_saturate_on_every_cpu() {
    let operators: [(&str, &[&str], &[&str]); 4] = [
        ("i32x4.trunc_sat_f32x4_s", &["v128"], &["v128"]),
        ("i32x4.trunc_sat_f32x4_u", &["v128"], &["v128"]),
        ("i32x4.trunc_sat_f64x2_s_zero", &["v128"], &["v128"]),
        ("i32x4.trunc_sat_f64x2_u_zero", &["v128"], &["v128"]),
    ];
    for_each_variant(&module_of(&operators), |variant, caller| {
        for four in edges::f32().chunks_exact(4) {
            let x = (0..4).fold(0, |x, n| x | u128::from(four[n]) << (n * 32));
            let float = |a: u128| f32::from_bits(a as u32);
            let expected = map::<32>(x, 0, |a, _| float(a) as i32 as u32 as u128);
            let actual = caller.get("i32x4.trunc_sat_f32x4_s", &[Val::V128(x)]);
            assert_eq!(actual, expected, "{variant}: signed {x:#x}");
            let expected = map::<32>(x, 0, |a, _| (float(a) as u32).into());
            let actual = caller.get("i32x4.trunc_sat_f32x4_u", &[Val::V128(x)]);
            assert_eq!(actual, expected, "{variant}: unsigned {x:#x}");
        }
        for two in edges::f64().chunks_exact(2) {
            let x = u128::from(two[1]) << 64 | u128::from(two[0]);
            let [low, high] = [two[0], two[1]].map(f64::from_bits);
            let pack = |low: u32, high: u32| u128::from(high) << 32 | u128::from(low);
            let actual = caller.get("i32x4.trunc_sat_f64x2_s_zero", &[Val::V128(x)]);
            let expected = pack(low as i32 as u32, high as i32 as u32);
            assert_eq!(actual, expected, "{variant}: signed {x:#x}");
            let actual = caller.get("i32x4.trunc_sat_f64x2_u_zero", &[Val::V128(x)]);
            assert_eq!(
                actual,
                pack(low as u32, high as u32),
                "{variant}: unsigned {x:#x}"
            );
        }
    });
}
