//! Compiles a module from the shell: `compile IN OUT [so|obj|clif|asm] [JOBS] [none|speed|size]`.

use precast_compiler::{Emit, OptLevel, Options};
use std::error::Error;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let input = args.first().ok_or("no input file")?;
    let output = args.get(1).ok_or("no output file")?;
    let options = Options {
        emit: match args.get(2).map(String::as_str) {
            Some("obj") => Emit::Object,
            Some("clif") => Emit::Clif,
            Some("asm") => Emit::Asm,
            _ => Emit::SharedObject,
        },
        jobs: args.get(3).map_or(Ok(0), |jobs| jobs.parse())?,
        opt: match args.get(4).map(String::as_str) {
            Some("none") => OptLevel::None,
            Some("size") => OptLevel::Size,
            _ => OptLevel::Speed,
        },
        ..Options::default()
    };
    let wasm = wat::parse_file(input)?;
    let start = Instant::now();
    let compiled = precast_compiler::compile(&wasm, &options)?;
    eprintln!("{:.3?} {:?}", start.elapsed(), compiled.summary);
    std::fs::write(output, compiled.bytes)?;
    Ok(())
}
