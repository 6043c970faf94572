//! Tests of `fd_io`.
