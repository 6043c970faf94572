//! Tests of `fd_readdir`.
