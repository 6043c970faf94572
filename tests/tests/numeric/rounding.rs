//! Rounding to integers, where old CPUs are helped by functions inside the object: the same bits
//! at every CPU level.

use super::edges;
use super::harness::{for_each_variant, module_of};
use precast::Val;

type F32 = (&'static str, fn(f32) -> f32);
type F64 = (&'static str, fn(f64) -> f64);

const ROUNDINGS_F32: [F32; 4] = [
    ("ceil", f32::ceil),
    ("floor", f32::floor),
    ("trunc", f32::trunc),
    ("nearest", f32::round_ties_even),
];
const ROUNDINGS_F64: [F64; 4] = [
    ("ceil", f64::ceil),
    ("floor", f64::floor),
    ("trunc", f64::trunc),
    ("nearest", f64::round_ties_even),
];

/// What the operator gives for these bits: a NaN becomes quiet and keeps its payload.
fn expected_f32(reference: fn(f32) -> f32, bits: u32) -> u32 {
    let x = f32::from_bits(bits);
    if x.is_nan() {
        bits | 1 << 22
    } else {
        reference(x).to_bits()
    }
}

fn expected_f64(reference: fn(f64) -> f64, bits: u64) -> u64 {
    let x = f64::from_bits(bits);
    if x.is_nan() {
        bits | 1 << 51
    } else {
        reference(x).to_bits()
    }
}

#[test]
fn rounding_is_the_same_on_every_cpu() {
    let names: Vec<[String; 4]> = ROUNDINGS_F32
        .iter()
        .map(|(name, _)| ["f32", "f64", "f32x4", "f64x2"].map(|ty| format!("{ty}.{name}")))
        .collect();
    let mut operators: Vec<(&str, &[&str], &[&str])> = Vec::new();
    for [single, double, singles, doubles] in &names {
        operators.push((single, &["f32"], &["f32"]));
        operators.push((double, &["f64"], &["f64"]));
        operators.push((singles, &["v128"], &["v128"]));
        operators.push((doubles, &["v128"], &["v128"]));
    }
    for_each_variant(&module_of(&operators), |variant, caller| {
        for ((name, reference), [single, _, singles, _]) in ROUNDINGS_F32.iter().zip(&names) {
            let edges = edges::f32();
            for &bits in &edges {
                let actual = caller.get(single, &[Val::F32(bits)]) as u32;
                let expected = expected_f32(*reference, bits);
                assert_eq!(actual, expected, "{variant}: f32.{name} {bits:#x}");
            }
            for four in edges.windows(4) {
                let pack = |lanes: &[u32]| {
                    lanes
                        .iter()
                        .rev()
                        .fold(0, |vector, lane| vector << 32 | u128::from(*lane))
                };
                let rounded: Vec<u32> = four.iter().map(|x| expected_f32(*reference, *x)).collect();
                let actual = caller.get(singles, &[Val::V128(pack(four))]);
                assert_eq!(actual, pack(&rounded), "{variant}: f32x4.{name} {four:x?}");
            }
        }
        for ((name, reference), [_, double, _, doubles]) in ROUNDINGS_F64.iter().zip(&names) {
            let edges = edges::f64();
            for &bits in &edges {
                let actual = caller.get(double, &[Val::F64(bits)]) as u64;
                let expected = expected_f64(*reference, bits);
                assert_eq!(actual, expected, "{variant}: f64.{name} {bits:#x}");
            }
            for two in edges.windows(2) {
                let pack = |low: u64, high: u64| u128::from(high) << 64 | u128::from(low);
                let [low, high] = [0, 1].map(|lane| expected_f64(*reference, two[lane]));
                let actual = caller.get(doubles, &[Val::V128(pack(two[0], two[1]))]);
                assert_eq!(actual, pack(low, high), "{variant}: f64x2.{name} {two:x?}");
            }
        }
    });
}

/// Values must survive a call to a helper, in registers as well as on the stack.
#[test]
fn nothing_is_lost_across_a_helper() {
    let wat = r#"(module (func (export "f") (param f64 f64 i64 f32) (result f64)
        (f64.add
          (f64.add (local.get 0) (f64.mul (f64.nearest (local.get 1)) (f64.floor (local.get 0))))
          (f64.add
            (f64.convert_i64_s (local.get 2))
            (f64.promote_f32 (f32.mul (local.get 3) (f32.ceil (local.get 3))))))))"#;
    for_each_variant(wat, |variant, caller| {
        let args = [
            Val::F64(2.75f64.to_bits()),
            Val::F64(3.5f64.to_bits()),
            Val::I64(1000),
            Val::F32(1.5f32.to_bits()),
        ];
        let result = f64::from_bits(caller.get("f", &args) as u64);
        assert_eq!(result, 2.75 + 4.0 * 2.0 + 1000.0 + 3.0, "{variant}");
    });
}
