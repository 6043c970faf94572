//! Leaves out of small builds what only unwinding needs: they end where others panic.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=small.ld");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    let is_small = is("OPT_LEVEL", "z")
        && is("CARGO_CFG_PANIC", "abort")
        && is("CARGO_CFG_TARGET_OS", "linux");
    if !is_small {
        return;
    }
    let dir = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let script = Path::new(&dir).join("small.ld");
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display());
    println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
    // Needs a C library of 2022 or later: a tenth of the size, for the same relocations.
    println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
}
