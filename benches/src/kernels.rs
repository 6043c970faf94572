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
    "threaded" c scalar 80_000 -1332916535940794240 "bytecode, by calls through a table",
    "chains" c scalar 200_000 5092024941989508225 "hash table of text, with chains",
    "blake3" c scalar 40 7607286818620768168 "rotations and adds, and a tree",
    "lz" c scalar 40 -1505907374487677825 "compression by matches, there and back",
    "coremark" c scalar 120 -8897422037516209008 "lists, matrices, a state machine, a CRC",
    "json" c scalar 60 3155949131189812713 "JSON read into a tree and written",
    "regex" c scalar 18 2966867176061759608 "regular expressions, two ways",
    "raytrace" c scalar 260 -4894121652857740291 "small structs of floats",
    "chip8" c scalar 800_000 -8800188254195049473 "an emulated machine",
    "btree" c scalar 25_000 -8701543967595227075 "a database's pages",
    "expressions" rs scalar 2_000 -1950937507428184979 "Rust: trees, strings, ordered maps",
    "sieve" c scalar 16 6837421373055293365 "strided stores",
    "simd" c simd 2_000 -1477909923476408083 "filter of bytes and product of floats",
    "simd-stencil" c simd 300 33502748804 "nine-point stencil",
    "simd-matmul" c simd 30 2304625931394312173 "product of matrices",
    "simd-chacha" c simd 200 -7354302253243444051 "rotations and adds, lanes turned around",
    "simd-text" c simd 300 228652140054654167 "bytes of text, masks",
};
