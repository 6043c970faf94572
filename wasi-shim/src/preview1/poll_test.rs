//! Tests of `poll`.
