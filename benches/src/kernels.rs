//! The kernels: small programs without a standard library, compiled once and checked in.
//!
//! Each exports `run(n: i32) -> i64`, a checksum of all the work done. Sources and the
//! script that rebuilds them stand in `benches/kernels/`.

/// One kernel and the size it is measured at.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// File name without extension.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// Argument to `run`: chosen for about ten milliseconds a run.
    pub size: i32,
    /// What `run(size)` answers.
    pub checksum: i64,
    /// Whether its source asks for 128-bit vectors.
    pub is_simd: bool,
    /// Name of its source, in `benches/kernels/`.
    pub source: &'static str,
    /// The module.
    pub wasm: &'static [u8],
}

/// Builds the table: name and language, whether it has vectors, size, checksum, what it is.
macro_rules! kernels {
    ($($name:literal $language:ident $lanes:ident $size:literal $checksum:literal $about:literal,)*) => {
        &[$(Kernel {
            name: $name,
            about: $about,
            size: $size,
            checksum: $checksum,
            is_simd: is_simd(stringify!($lanes)),
            source: concat!($name, ".", stringify!($language)),
            wasm: include_bytes!(concat!("../kernels/", $name, ".wasm")),
        },)*]
    };
}

const fn is_simd(lanes: &str) -> bool {
    lanes.len() == "simd".len()
}

/// Every kernel.
pub const KERNELS: &[Kernel] = kernels! {
    "fib" c scalar 32 2178309 "recursion",
    "indirect" c scalar 3_000_000 8453519606797678428 "calls through a table",
    "virtual" c scalar 800 22545071 "calls through objects' tables",
    "interpreter" c scalar 300_000 -3793867375606721568 "bytecode, by a switch in a loop",
    "hash" c scalar 500_000 3495168307332744980 "hash table, open addressing",
    "sort" c scalar 32_768 -719443805148393939 "quicksort with a comparator",
    "sha256" c scalar 30_000 -5998387982679885444 "rotations and adds",
    "crc32" c scalar 200 98245827 "dependent loads",
    "matmul" c scalar 10 165 "product of matrices",
    "jacobi" c scalar 120 33484822096 "five-point stencil",
    "strings" c scalar 20 2582859012611649447 "bytes of text",
    "allocation" c scalar 50 -2240467652421588793 "an allocator under churn",
    "nbody" c scalar 150_000 27755516792 "scalar floating point",
    "mandelbrot" c scalar 280 8710739722626883231 "a tight floating-point loop",
    "spectral" c scalar 30 1274223601353 "small calls and divisions",
    "simd" c simd 2_000 -1477909923476408083 "filter of bytes and product of floats",
    "sieve" c scalar 16 6837421373055293365 "strided stores",
};
