//! Values at the edges of their types.

pub(super) const I32: [i32; 15] = [
    0,
    1,
    -1,
    2,
    -2,
    7,
    31,
    32,
    33,
    0x7f,
    0x80,
    0x8000,
    0xffff,
    i32::MAX,
    i32::MIN,
];

pub(super) const I64: [i64; 16] = [
    0,
    1,
    -1,
    2,
    -2,
    7,
    63,
    64,
    65,
    0x80,
    0x8000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    i64::MAX,
    i64::MIN,
];

/// Halves, powers of two and their neighbours, edges of the integers, infinities, NaNs.
pub(super) fn f32() -> Vec<u32> {
    let mut bits = vec![
        0x0000_0001,
        0x007f_ffff,
        0x0080_0000,
        0x3eff_ffff,
        0x3f7f_ffff,
        0x7f7f_ffff,
        0x7f80_0000,
        0x7fc0_0000,
        0x7f80_0001,
        0x7fa5_4321,
        0x7fff_ffff,
    ];
    for value in [0.0, 0.5, 1.0, 1.5, 2.5, 3.5, 0.1, 2.7, 1e10, 1e30] {
        bits.push(f32::to_bits(value));
    }
    for exponent in [7, 8, 15, 16, 22, 23, 24, 31, 32, 52, 53, 62, 63, 64, 100] {
        let power = f32::to_bits(2.0f32.powi(exponent));
        bits.extend([power - 1, power, power + 1]);
    }
    let negative: Vec<u32> = bits.iter().map(|bits| bits | 1 << 31).collect();
    bits.extend(negative);
    bits
}

/// As [`f32`].
pub(super) fn f64() -> Vec<u64> {
    let mut bits = vec![
        0x0000_0000_0000_0001,
        0x000f_ffff_ffff_ffff,
        0x0010_0000_0000_0000,
        0x3fdf_ffff_ffff_ffff,
        0x3fef_ffff_ffff_ffff,
        0x7fef_ffff_ffff_ffff,
        0x7ff0_0000_0000_0000,
        0x7ff8_0000_0000_0000,
        0x7ff0_0000_0000_0001,
        0x7ff5_4321_0000_0000,
        0x7fff_ffff_ffff_ffff,
    ];
    for value in [0.0, 0.5, 1.0, 1.5, 2.5, 3.5, 0.1, 2.7, 1e10, 1e300] {
        bits.push(f64::to_bits(value));
    }
    for value in [2147483647.5f64, 2147483648.5, 4294967295.5, 4294967296.5] {
        bits.push(value.to_bits());
    }
    for exponent in [
        7, 8, 15, 16, 23, 24, 31, 32, 51, 52, 53, 62, 63, 64, 127, 200,
    ] {
        let power = f64::to_bits(2.0f64.powi(exponent));
        bits.extend([power - 1, power, power + 1]);
    }
    let negative: Vec<u64> = bits.iter().map(|bits| bits | 1 << 63).collect();
    bits.extend(negative);
    bits
}
