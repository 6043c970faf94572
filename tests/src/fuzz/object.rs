//! Damaged objects of either format: looked at, never executed.

use super::damage::damage;
use super::rng::Rng;
use super::subject::Variant;
use precast::{ObjectView, OpenError, Trust};
use precast_abi::object::{Arch, MAGIC};
use precast_compiler::{Options, Target};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How often an object is damaged; compiling it costs far more.
const ROUNDS: usize = 32;

/// Compiles a module, and looks at the object after various damage.
pub(super) fn look_at_damaged(wasm: &[u8], variant: Variant, rng: &mut Rng) -> Result<(), String> {
    let mut options = variant.options()?;
    options.target = rng.pick(&Target::ALL).0;
    if options.target.arch() != Arch::X86_64 {
        options.cpu = Options::for_target(options.target).cpu;
    }
    let Ok(compiled) = precast_compiler::compile(wasm, &options) else {
        return Ok(());
    };
    let metadata = compiled.bytes.windows(8).position(|bytes| bytes == MAGIC);
    // Where most of what is checked stands.
    let places = [0, metadata.ok_or("an object has no metadata")?];
    for _ in 0..ROUNDS {
        let mut bytes = compiled.bytes.clone();
        match rng.below(3) {
            0 => {
                let start = rng.pick(&places);
                let at = start + rng.below((bytes.len() - start).min(4096));
                bytes[at] ^= 1 << rng.below(8);
            }
            1 => {
                let len = rng.below(200) as u32;
                bytes.extend_from_slice(&precast_abi::signature::tail(len));
                damage(&mut bytes, rng);
            }
            _ => damage(&mut bytes, rng),
        }
        let looked = catch_unwind(AssertUnwindSafe(|| look(&bytes)));
        looked.map_err(|_| "a damaged object makes the loader panic".to_owned())??;
    }
    Ok(())
}

/// Looks at everything; what is wrong is told in one line.
fn look(bytes: &[u8]) -> Result<(), String> {
    if Trust::new().check(bytes).is_ok() {
        return Err("an object is trusted that nobody signed".to_owned());
    }
    let view = match ObjectView::parse(bytes) {
        Ok(view) => view,
        Err(error) => return one_line(&error),
    };
    if let Err(error) = view.require_host() {
        one_line(&error)?;
    }
    let metadata = view.metadata();
    for offset in (0..view.text().len() as u32 + 16).step_by(61) {
        let _ = (metadata.trap_at(offset), metadata.location_at(offset));
    }
    let _ = metadata.find_export("f");
    // All findings are of the object: none is an error of ours.
    let _ = view.verify();
    Ok(())
}

fn one_line(error: &OpenError) -> Result<(), String> {
    let told = error.to_string();
    match told.contains('\n') {
        true => Err(format!("more than one line: {told}")),
        false => Ok(()),
    }
}
