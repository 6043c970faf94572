//! Leaves out of small builds (`make small`) what only unwinding needs: they end where others panic.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=small.ld");
    let read = |name: &str| std::env::var(name).unwrap_or_default();
    // Cargo tells a profile's name by this path alone: …/small/build/precast-cli-…/out.
    let out = read("OUT_DIR");
    let profile = Path::new(&out).ancestors().nth(3);
    let is_small = profile.is_some_and(|path| path.ends_with("small"));
    if !is_small || read("CARGO_CFG_TARGET_OS") != "linux" {
        return;
    }
    let script = Path::new(&read("CARGO_MANIFEST_DIR")).join("small.ld");
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display());
    println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
    // Needs a C library of 2022 or later: a tenth of the size, for the same relocations.
    println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
}
