//! Tests of `sock`.
