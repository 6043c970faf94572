//! Compiles what it is asked for on standard input, until that ends: for tests that an emulator runs.
//! The other side is `tests/targets/compiler/`.
//!
//! A question is two byte strings, each behind its length (32 bits): lines of `option value`, and a
//! module. An answer is a byte that says what it is, and one byte string: 0 an object, 1 the name of a
//! proposal that is not supported and what to say of it on the next line, 2 another error in words.

use std::io::{self, Read, Write};

use precast_compiler::{Collector, CompileError, Cpu, OptLevel, Options, Target, compile};

fn main() -> io::Result<()> {
    let (mut from, mut to) = (io::stdin().lock(), io::stdout().lock());
    while let Some(options) = read(&mut from)? {
        let Some(wasm) = read(&mut from)? else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let (kind, answer) = answer(&options, &wasm);
        to.write_all(&[kind])?;
        to.write_all(&(answer.len() as u32).to_le_bytes())?;
        to.write_all(&answer)?;
        to.flush()?;
    }
    Ok(())
}

/// A byte string; `None` where the input has ended.
fn read(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut len = [0; 4];
    match from.read_exact(&mut len) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let mut bytes = vec![0; u32::from_le_bytes(len) as usize];
    from.read_exact(&mut bytes)?;
    Ok(Some(bytes))
}

fn answer(options: &[u8], wasm: &[u8]) -> (u8, Vec<u8>) {
    let options = match parse(&String::from_utf8_lossy(options)) {
        Ok(options) => options,
        Err(message) => return (2, message.into_bytes()),
    };
    match compile(wasm, &options) {
        Ok(compiled) => (0, compiled.bytes),
        Err(error) => match &error {
            CompileError::Unsupported { feature, .. } => {
                (1, format!("{feature}\n{error}").into_bytes())
            }
            _ => (2, error.to_string().into_bytes()),
        },
    }
}

fn parse(lines: &str) -> Result<Options, String> {
    let mut options = Options {
        jobs: 1,
        ..Options::default()
    };
    for line in lines.lines() {
        let (key, value) = line.split_once(' ').ok_or("an option without a value")?;
        match (key, value) {
            ("target", name) => {
                let target = Target::parse(name).map_err(|error| error.to_string())?;
                options = Options {
                    jobs: options.jobs,
                    ..Options::for_target(target)
                };
            }
            ("cpu", list) => {
                let cpu = Cpu::parse_for(options.target, list);
                options.cpu = cpu.map_err(|error| error.to_string())?;
            }
            ("opt", "none") => options.opt = OptLevel::None,
            ("opt", "speed") => options.opt = OptLevel::Speed,
            ("opt", "size") => options.opt = OptLevel::Size,
            ("memory_reservation", bytes) => {
                let bytes = bytes.parse().map_err(|_| "no number of bytes")?;
                options.memory_reservation = Some(bytes);
            }
            ("fuel", "yes") => options.fuel = true,
            ("collector", "null") => options.collector = Collector::Null,
            ("gc_heap", bytes) => {
                options.gc_heap = Some(bytes.parse().map_err(|_| "no number of bytes")?);
            }
            _ => return Err(format!("unknown option {line}")),
        }
    }
    Ok(options)
}
