//! Tests of `clock`.
