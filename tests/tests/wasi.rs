//! WASI through the whole product: programs in C, attackers, bad pointers, guests that are stopped
//! while they wait.

#[path = "wasi/attacks.rs"]
mod attacks;
#[path = "wasi/pointers.rs"]
mod pointers;
#[path = "wasi/programs.rs"]
mod programs;
#[path = "wasi/stopping.rs"]
mod stopping;
