//! The kernels: C programs without a C library, compiled once and checked in.
//!
//! Each exports `run(n: i32) -> i64`, a checksum of all the work done. Sources and the
//! script that rebuilds them stand in `benches/kernels/`.

/// One kernel and the size it is measured at.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// File name without extension.
    pub name: &'static str,
    /// Argument to `run`: chosen for about ten milliseconds a run.
    pub size: i32,
    /// The module.
    pub wasm: &'static [u8],
}

/// Builds the table from names and sizes.
macro_rules! kernels {
    ($($name:literal $size:literal,)*) => {
        &[$(Kernel {
            name: $name,
            size: $size,
            wasm: include_bytes!(concat!("../kernels/", $name, ".wasm")),
        },)*]
    };
}

/// Every kernel.
pub const KERNELS: &[Kernel] = kernels! {
    "fib" 32,
    "indirect" 3_000_000,
    "virtual" 800,
    "interpreter" 300_000,
    "hash" 500_000,
    "sort" 32_768,
    "sha256" 30_000,
    "crc32" 200,
    "matmul" 10,
    "jacobi" 120,
    "strings" 20,
    "allocation" 50,
    "nbody" 150_000,
    "mandelbrot" 280,
    "spectral" 30,
    "simd" 2_000,
    "sieve" 16,
};
