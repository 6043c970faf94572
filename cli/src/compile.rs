//! `precast compile`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use precast_compiler::{Compiled, Cpu, Emit, OptLevel, Options, Pass, Profile, Progress, Target};

use crate::args::{CompileArgs, EmitKind, Opt};
use crate::failure::{Failure, remark};
use crate::input;
use crate::output::Destination;

/// How long compilation may take before a progress bar appears.
const PATIENCE: Duration = Duration::from_secs(1);

/// Compiles a file to a file.
pub(crate) fn compile(args: &CompileArgs) -> Result<(), Failure> {
    let options = options(args)?;
    let path = output_path(args)?;
    let destination = Destination::new(&path)?;
    let wasm = input::to_wasm(&args.input, input::read(&args.input)?)?;
    let start = Instant::now();
    let compiled = compile_bytes(&wasm, &options, args.quiet)
        .map_err(|error| Failure::at(&args.input, error))?;
    let took = start.elapsed();
    destination.write(&compiled.bytes)?;
    if !args.quiet && !destination.is_stdout() {
        remark(&format!(
            "{}: {}\n",
            path.display(),
            summary(&compiled, took)
        ));
    }
    Ok(())
}

fn options(args: &CompileArgs) -> Result<Options, Failure> {
    let mut options = Options {
        opt: match args.opt {
            Opt::None => OptLevel::None,
            Opt::Speed => OptLevel::Speed,
            Opt::Size => OptLevel::Size,
        },
        emit: match args.emit {
            EmitKind::So => Emit::SharedObject,
            EmitKind::Obj => Emit::Object,
            EmitKind::Clif => Emit::Clif,
            EmitKind::Asm => Emit::Asm,
            EmitKind::Header => Emit::Header,
        },
        symbol: args.symbol.clone(),
        memory_reservation: args.memory_reservation,
        fuel: args.fuel,
        instrument: args.instrument,
        profile: profile(&args.profile)?,
        jobs: args.jobs,
        ..Options::default()
    };
    if let Some(target) = &args.target {
        options.target = Target::parse(target).map_err(|error| Failure::new("--target", error))?;
    }
    for name in &args.without {
        let pass = Pass::parse(name).map_err(|error| Failure::new("--without", error))?;
        options.passes = options.passes.without(pass);
    }
    options.cpu = Cpu::parse(&args.cpu).map_err(|error| Failure::new("--cpu", error))?;
    Ok(options)
}

/// How a module is compiled that goes into a bundle.
pub(crate) fn bundle_options(cpu: &str, target: Option<&str>) -> Result<Options, Failure> {
    let mut options = Options {
        opt: OptLevel::Speed,
        cpu: Cpu::parse(cpu).map_err(|error| Failure::new("--cpu", error))?,
        ..Options::default()
    };
    if let Some(target) = target {
        options.target = Target::parse(target).map_err(|error| Failure::new("--target", error))?;
    }
    Ok(options)
}

/// The profiles of these files, all together.
fn profile(paths: &[PathBuf]) -> Result<Option<Profile>, Failure> {
    let mut sum: Option<Profile> = None;
    for path in paths {
        let found = input::read_profile(path)?;
        match &mut sum {
            Some(sum) => sum
                .merge(&found)
                .map_err(|error| Failure::at(path, error))?,
            None => sum = Some(found),
        }
    }
    Ok(sum)
}

/// Where the result goes: what the user says, or the input's name with another ending.
fn output_path(args: &CompileArgs) -> Result<PathBuf, Failure> {
    if let Some(path) = &args.output {
        return Ok(path.clone());
    }
    let ending = match args.emit {
        EmitKind::So => "so",
        EmitKind::Obj => "o",
        EmitKind::Clif => "clif",
        EmitKind::Asm => "s",
        EmitKind::Header => "h",
    };
    match args.input.file_name() {
        Some(name) if args.input != Path::new("-") => Ok(Path::new(name).with_extension(ending)),
        _ => Err(Failure::at(
            &args.input,
            "has no name to derive one from; say -o OUT",
        )),
    }
}

/// Compiles with a progress bar on a terminal, if it takes long.
pub(crate) fn compile_bytes(
    wasm: &[u8],
    options: &Options,
    quiet: bool,
) -> Result<Compiled, precast_compiler::CompileError> {
    if quiet || !std::io::stderr().is_terminal() {
        return precast_compiler::compile(wasm, options);
    }
    let start = Instant::now();
    let bar = OnceLock::new();
    let drawing = Mutex::new(());
    let result = precast_compiler::compile_with_progress(wasm, options, &|progress: Progress| {
        if start.elapsed() < PATIENCE {
            return;
        }
        // Whoever finds another thread drawing has better things to do.
        if let Ok(_guard) = drawing.try_lock() {
            let bar = bar.get_or_init(|| new_bar(progress.total));
            bar.set_position(progress.done);
        }
    });
    if let Some(bar) = bar.get() {
        bar.finish_and_clear();
    }
    result
}

fn new_bar(total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("compiling {bar:40} {percent}%, {eta} left");
    ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn summary(compiled: &Compiled, took: Duration) -> String {
    let summary = &compiled.summary;
    format!(
        "{} functions, {} bytes of code, {:.2} s",
        summary.functions,
        summary.text_bytes,
        took.as_secs_f64()
    )
}
