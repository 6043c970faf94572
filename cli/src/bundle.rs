//! `precast bundle`: an object and this command in one file, which runs it.
//!
//! ```text
//! | the runner, an ELF file … [slot] … | zeros to a page | object | settings |
//!                               └──────────── start, lengths ───┘
//! ```
//!
//! The slot is a record in the runner's own data that is blank until a bundle is made; at a start it
//! costs a look at one number, and a bundle whose end is missing still knows that it is one. The
//! runner maps the object out of its own file: nothing is unpacked.

use std::path::Path;

use precast::ObjectView;
use precast_abi::object::Arch;

use crate::args::BundleArgs;
use crate::bundled::{self, Contents, Setting, Slot};
use crate::compile;
use crate::failure::{Failure, remark};
use crate::input::{self, Kind};
use crate::output::Destination;

/// Bundles a module, or an object, with a runner.
pub(crate) fn bundle(args: &BundleArgs) -> Result<(), Failure> {
    let destination = Destination::new(&args.output)?;
    let bytes = input::read(&args.input)?;
    let object = match input::kind_of(&bytes) {
        Kind::Object => bytes,
        Kind::Module => compiled(args, bytes)?,
    };
    let arch = arch_of(&args.input, &object)?;
    let (name, runner) = read_runner(args)?;
    require_same_arch(&name, &runner, arch)?;
    let bundle = join(&name, runner, &object, &settings(args), page_size(arch))?;
    destination.write_program(&bundle)?;
    if !args.quiet && !destination.is_stdout() {
        let path = args.output.display();
        remark(&format!("{path}: {} bytes\n", bundle.len()));
    }
    Ok(())
}

fn compiled(args: &BundleArgs, bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let options = compile::bundle_options(args.cpu.as_deref(), args.target.as_deref())?;
    let wasm = input::to_wasm(&args.input, bytes)?;
    let compiled = compile::compile_bytes(&wasm, &options, args.quiet);
    let compiled = compiled.map_err(|error| Failure::at(&args.input, error))?;
    Ok(compiled.bytes)
}

fn arch_of(path: &Path, object: &[u8]) -> Result<Arch, Failure> {
    let view = ObjectView::parse(object).map_err(|error| Failure::at(path, error))?;
    let found = view.metadata().header().arch;
    [Arch::X86_64, Arch::Aarch64, Arch::Riscv64]
        .into_iter()
        .find(|arch| *arch as u16 == found)
        .ok_or_else(|| Failure::at(path, "is for a CPU that is not known here"))
}

/// The largest page that a system with this CPU may have.
fn page_size(arch: Arch) -> usize {
    match arch {
        Arch::X86_64 | Arch::Riscv64 => 4 << 10,
        Arch::Aarch64 => 64 << 10,
    }
}

/// What runs the object: its name, and its bytes.
fn read_runner(args: &BundleArgs) -> Result<(String, Vec<u8>), Failure> {
    let path = match &args.runner {
        Some(path) => path.clone(),
        None => std::env::current_exe()
            .map_err(|error| Failure::new("this command's own file", error))?,
    };
    Ok((path.display().to_string(), input::read(&path)?))
}

/// ELF's number of the CPU that a program is for.
fn machine(program: &[u8]) -> Option<u16> {
    let bytes = program.get(18..20)?;
    program
        .starts_with(b"\x7fELF\x02\x01")
        .then(|| u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn require_same_arch(name: &str, runner: &[u8], arch: Arch) -> Result<(), Failure> {
    let wanted = match arch {
        Arch::X86_64 => 62,
        Arch::Aarch64 => 183,
        Arch::Riscv64 => 243,
    };
    match machine(runner) {
        Some(found) if found == wanted => Ok(()),
        Some(_) => Err(Failure::new(
            name,
            "is for another CPU than the object: name a precast for that CPU with --runner",
        )),
        None => Err(Failure::new(name, "is no program that can be a runner")),
    }
}

fn settings(args: &BundleArgs) -> Vec<Setting> {
    let dirs = args.dir.iter().cloned().map(Setting::Dir);
    let env = args.env.iter().cloned().map(Setting::Env);
    let timeout = args.timeout.iter().cloned().map(Setting::Timeout);
    let memory = args.max_memory.iter().cloned().map(Setting::MaxMemory);
    dirs.chain(env).chain(timeout).chain(memory).collect()
}

/// Puts the bundle together.
fn join(
    name: &str,
    mut runner: Vec<u8>,
    object: &[u8],
    settings: &[Setting],
    page: usize,
) -> Result<Vec<u8>, Failure> {
    let slot = find_slot(name, &runner)?;
    let settings = bundled::encode(settings);
    runner.resize(runner.len().next_multiple_of(page), 0);
    let contents = Contents {
        start: runner.len() as u64,
        object_len: object.len() as u64,
        settings_len: settings.len() as u64,
    };
    let filled = contents.slot(&settings);
    runner[slot..slot + filled.len()].copy_from_slice(&filled);
    runner.extend_from_slice(object);
    runner.extend_from_slice(&settings);
    Ok(runner)
}

/// Where the slot of a runner is, which must be blank.
fn find_slot(name: &str, runner: &[u8]) -> Result<usize, Failure> {
    let blank = Slot::blank();
    let magic = &blank[..Slot::MAGIC_LEN];
    // Its alignment makes looking cheap.
    let mut found = (0..runner.len().saturating_sub(blank.len() - 1))
        .step_by(16)
        .filter(|&at| &runner[at..at + Slot::MAGIC_LEN] == magic);
    match (found.next(), found.next()) {
        (Some(at), None) if runner[at..].starts_with(&blank) => Ok(at),
        (Some(_), None) => Err(Failure::new(name, "is a bundle already")),
        _ => Err(Failure::new(
            name,
            "is no precast of this version: it has no place for an object",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slot_is_found_once_and_only_blank() {
        let blank = Slot::blank();
        let mut runner = vec![0; 4096];
        assert!(find_slot("r", &runner).is_err());
        runner[512..512 + blank.len()].copy_from_slice(&blank);
        assert_eq!(find_slot("r", &runner).ok(), Some(512));
        let bundle = join("r", runner.clone(), b"object", &[], 4096).ok();
        let bundle = bundle.expect("it has a place");
        assert_eq!(&bundle[4096..4102], b"object");
        assert!(find_slot("r", &bundle).is_err(), "it is not blank any more");
        runner[1024..1024 + blank.len()].copy_from_slice(&blank);
        assert!(find_slot("r", &runner).is_err(), "there are two");
    }
}
