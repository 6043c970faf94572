//! Global and local variables.
