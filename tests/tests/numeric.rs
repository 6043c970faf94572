//! Numbers at their edges: every scalar operator, conversion, rounding, wide arithmetic and
//! relaxed SIMD, at every CPU level and optimisation level, against a reference in Rust.

mod numeric {
    mod arithmetic;
    mod convert;
    mod edges;
    mod harness;
    mod relaxed;
    mod rounding;
    mod vector;
    mod wide;
}
