//! Tests of `fd`.
