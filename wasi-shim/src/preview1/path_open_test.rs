//! Tests of `path_open`.
