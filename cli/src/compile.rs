//! `precast compile`.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use precast_compiler::{
    Collector, Compiled, Cpu, Emit, Features, FunctionCache, OptLevel, Options, Pass, Profile,
    Progress, Target,
};

use crate::args::{CollectorKind, CompileArgs, EmitKind, Opt};
use crate::cache::{Cache, Key};
use crate::failure::{self, Failure, remark};
use crate::functions::Functions;
use crate::output::Destination;
use crate::{input, report};

/// How long compilation may take before a progress bar appears.
const PATIENCE: Duration = Duration::from_secs(1);

/// Compiles files to files. The exit code: 1 if one of many failed, which has been told then.
pub(crate) fn compile(args: &CompileArgs) -> Result<i32, Failure> {
    let options = options(args)?;
    let outputs = output_paths(args)?;
    let cache = match &args.cache {
        Some(dir) => {
            Some(Cache::open_at(dir.clone()).map_err(|error| Failure::new("--cache", error))?)
        }
        None => None,
    };
    let job = Job {
        args,
        cache,
        alone: args.inputs.len() == 1,
        options,
    };
    let outcomes = job.all(&outputs);
    if args.json {
        failure::print(report::render(args, &outputs, &outcomes).as_bytes())?;
    }
    let mut code = 0;
    for outcome in outcomes {
        match outcome {
            Ok(_) => {}
            Err(failure) if job.alone => return Err(failure),
            Err(failure) => {
                failure.report();
                code = 1;
            }
        }
    }
    Ok(code)
}

/// What is the same for all files of a command.
struct Job<'a> {
    args: &'a CompileArgs,
    options: Options,
    cache: Option<Cache>,
    /// Whether there is only one file.
    alone: bool,
}

/// A file that was compiled.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) input_bytes: u64,
    pub(crate) output_bytes: u64,
    pub(crate) functions: u32,
    pub(crate) text_bytes: u64,
    pub(crate) took: Duration,
    pub(crate) cached: bool,
    /// How many functions were taken from the cache.
    pub(crate) functions_cached: u32,
}

impl Job<'_> {
    /// Compiles every file, as many at once as there are threads to use, each with its share of
    /// the threads.
    fn all(&self, outputs: &[PathBuf]) -> Vec<Result<Done, Failure>> {
        let cpus = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = match self.options.jobs {
            0 => cpus(),
            jobs => jobs,
        };
        let workers = threads.min(outputs.len()).max(1);
        let options = Options {
            jobs: if self.alone {
                self.options.jobs
            } else {
                threads / workers
            },
            ..self.options.clone()
        };
        let next = AtomicUsize::new(0);
        let outcomes: Vec<OnceLock<_>> = outputs.iter().map(|_| OnceLock::new()).collect();
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let (Some(input), Some(output)) = (self.args.inputs.get(index), outputs.get(index))
                else {
                    return;
                };
                let _ = outcomes[index].set(self.one(input, output, &options));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..workers {
                scope.spawn(work);
            }
            work();
        });
        // Each index was taken by one worker, which has set the outcome.
        outcomes
            .into_iter()
            .filter_map(OnceLock::into_inner)
            .collect()
    }

    /// Compiles a file to a file.
    fn one(&self, input: &Path, output: &Path, options: &Options) -> Result<Done, Failure> {
        let destination = Destination::new(output)?;
        let start = Instant::now();
        let bytes = input::read(input)?;
        let input_bytes = bytes.len() as u64;
        let functions = self.functions()?;
        let (entry, cached) = self.entry(input, bytes, options, functions.as_ref())?;
        destination.write(&entry.object)?;
        let done = Done {
            input_bytes,
            output_bytes: entry.object.len() as u64,
            functions: entry.functions,
            text_bytes: entry.text_bytes,
            took: start.elapsed(),
            cached,
            functions_cached: functions.map_or(0, |functions| functions.found()),
        };
        if !self.args.quiet && !self.args.json && !destination.is_stdout() {
            remark(&format!("{}: {}\n", output.display(), done.summary()));
        }
        Ok(done)
    }

    /// The cache of single functions, if there is to be one.
    fn functions(&self) -> Result<Option<Functions>, Failure> {
        let opened = self.cache.as_ref().map(Functions::of);
        opened
            .transpose()
            .map_err(|error| Failure::new("--cache", error))
    }

    /// What the module in `bytes` compiles to, and whether that was known before.
    fn entry(
        &self,
        input: &Path,
        bytes: Vec<u8>,
        options: &Options,
        functions: Option<&Functions>,
    ) -> Result<(Entry, bool), Failure> {
        let key = self.cache.as_ref().map(|_| key(&bytes, options));
        if let (Some(cache), Some(key)) = (&self.cache, &key)
            && let Some(found) = cache.read(key).and_then(Entry::decode)
        {
            return Ok((found, true));
        }
        let wasm = input::to_wasm(input, bytes)?;
        let quiet = self.args.quiet || !self.alone;
        let functions = functions.map(|functions| functions as &dyn FunctionCache);
        let compiled = compile_with(&wasm, options, quiet, functions)
            .map_err(|error| Failure::at(input, error))?;
        let entry = Entry {
            object: compiled.bytes,
            functions: compiled.summary.functions,
            text_bytes: compiled.summary.text_bytes,
        };
        if let (Some(cache), Some(key)) = (&self.cache, &key)
            && let Err(error) = cache.store(key, &entry.encode())
        {
            let reason = failure::reason(&error);
            failure::complain(&format!("warning: cannot write to the cache: {reason}"));
        }
        Ok((entry, false))
    }
}

/// The key of a module in the cache. How many threads compile makes no difference.
fn key(bytes: &[u8], options: &Options) -> Key {
    let options = Options {
        jobs: 0,
        ..options.clone()
    };
    // In words, a profile is told in short: two of the same module look alike.
    let counts = options.profile.as_ref().map(Profile::to_string);
    Key::new(bytes, &format!("compile {options:?} {counts:?}"))
}

/// What the cache keeps of a compilation: the output, and behind it two figures for the report.
struct Entry {
    object: Vec<u8>,
    functions: u32,
    text_bytes: u64,
}

impl Entry {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.object.clone();
        bytes.extend_from_slice(&self.functions.to_le_bytes());
        bytes.extend_from_slice(&self.text_bytes.to_le_bytes());
        bytes
    }

    fn decode(mut object: Vec<u8>) -> Option<Entry> {
        let (rest, text_bytes) = object.split_last_chunk()?;
        let (rest, functions) = rest.split_last_chunk()?;
        let (text_bytes, functions) = (
            u64::from_le_bytes(*text_bytes),
            u32::from_le_bytes(*functions),
        );
        let len = rest.len();
        object.truncate(len);
        Some(Entry {
            object,
            functions,
            text_bytes,
        })
    }
}

impl Done {
    fn summary(&self) -> String {
        let took = match self.cached {
            true => "from the cache".to_owned(),
            false if self.functions_cached > 0 => format!(
                "{:.2} s, {} functions from the cache",
                self.took.as_secs_f64(),
                self.functions_cached
            ),
            false => format!("{:.2} s", self.took.as_secs_f64()),
        };
        format!(
            "{} functions, {} bytes of code, {took}",
            self.functions, self.text_bytes
        )
    }
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
        collector: match args.collector {
            CollectorKind::Copying => Collector::Copying,
            CollectorKind::Null => Collector::Null,
        },
        gc_heap: args.gc_heap,
        fuel: args.fuel,
        instrument: args.instrument,
        profile: profile(&args.profile)?,
        jobs: args.jobs,
        ..Options::default()
    };
    (options.target, options.cpu) = machine(args.target.as_deref(), args.cpu.as_deref())?;
    options.features =
        Features::parse(&args.features).map_err(|error| Failure::new("--features", error))?;
    for name in &args.without {
        let pass = Pass::parse(name).map_err(|error| Failure::new("--without", error))?;
        options.passes = options.passes.without(pass);
    }
    let levels = args.levels.iter();
    let levels = levels.map(|level| Cpu::parse_for(options.target, level));
    let levels = levels.collect::<Result<_, _>>();
    options.levels = levels.map_err(|error| Failure::new("--levels", error))?;
    Ok(options)
}

/// The machine that these options name.
fn machine(target: Option<&str>, cpu: Option<&str>) -> Result<(Target, Cpu), Failure> {
    let target = match target {
        Some(name) => Target::parse(name).map_err(|error| Failure::new("--target", error))?,
        None => Target::host(),
    };
    let cpu = match cpu {
        Some(list) => Cpu::parse_for(target, list).map_err(|error| Failure::new("--cpu", error))?,
        None => Cpu::default_for(target),
    };
    Ok((target, cpu))
}

/// How a module is compiled that goes into a bundle.
pub(crate) fn bundle_options(cpu: Option<&str>, target: Option<&str>) -> Result<Options, Failure> {
    let (target, cpu) = machine(target, cpu)?;
    Ok(Options {
        opt: OptLevel::Speed,
        target,
        cpu,
        ..Options::default()
    })
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

/// Where the results go: to what the user says, or into it where it is a directory; or here,
/// under the inputs' names with another ending.
fn output_paths(args: &CompileArgs) -> Result<Vec<PathBuf>, Failure> {
    let dir = match &args.output {
        None => Path::new(""),
        Some(path) if path.as_os_str().as_encoded_bytes().ends_with(b"/") => path,
        Some(path) if args.inputs.len() > 1 && path.is_dir() => path,
        Some(path) => match args.inputs.len() {
            1 => {
                if args.json && path == Path::new("-") {
                    let problem = "standard output can have the result or the report, not both";
                    return Err(Failure::new("--json", problem));
                }
                return Ok(vec![path.clone()]);
            }
            _ => {
                return Err(Failure::at(
                    path,
                    "is not a directory, and there are many inputs",
                ));
            }
        },
    };
    if dir != Path::new("") {
        std::fs::create_dir_all(dir).map_err(|error| Failure::at(dir, failure::reason(&error)))?;
    }
    let mut seen: HashMap<PathBuf, &Path> = HashMap::new();
    for input in &args.inputs {
        let path = dir.join(output_name(args, input)?);
        if let Some(other) = seen.insert(path.clone(), input) {
            let problem = format!("would be made of {} and of this", other.display());
            return Err(Failure::at(input, format!("{} {problem}", path.display())));
        }
    }
    args.inputs
        .iter()
        .map(|input| Ok(dir.join(output_name(args, input)?)))
        .collect()
}

/// The input's name with another ending.
fn output_name(args: &CompileArgs, input: &Path) -> Result<PathBuf, Failure> {
    let ending = match args.emit {
        EmitKind::So => "so",
        EmitKind::Obj => "o",
        EmitKind::Clif => "clif",
        EmitKind::Asm => "s",
        EmitKind::Header => "h",
    };
    match input.file_name() {
        Some(name) if input != Path::new("-") => Ok(Path::new(name).with_extension(ending)),
        _ => Err(Failure::at(
            input,
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
    compile_with(wasm, options, quiet, None)
}

/// As [`compile_bytes`], with the functions that a cache knows.
fn compile_with(
    wasm: &[u8],
    options: &Options,
    quiet: bool,
    functions: Option<&dyn FunctionCache>,
) -> Result<Compiled, precast_compiler::CompileError> {
    if quiet || !std::io::stderr().is_terminal() {
        return precast_compiler::compile_with_cache(wasm, options, functions, &|_| {});
    }
    let start = Instant::now();
    let bar = OnceLock::new();
    let drawing = Mutex::new(());
    let draw = |progress: Progress| {
        if start.elapsed() < PATIENCE {
            return;
        }
        // Whoever finds another thread drawing has better things to do.
        if let Ok(_guard) = drawing.try_lock() {
            let bar = bar.get_or_init(|| new_bar(progress.total));
            bar.set_position(progress.done);
        }
    };
    let result = precast_compiler::compile_with_cache(wasm, options, functions, &draw);
    if let Some(bar) = bar.get() {
        bar.finish_and_clear();
    }
    result
}

fn new_bar(total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("compiling {bar:40} {percent}%, {eta} left");
    ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
