//! .

mod helpers;
mod trap;
