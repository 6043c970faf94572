//! The command line, as its user sees it.

use std::path::PathBuf;
use std::time::Duration;

#[cfg(feature = "compile")]
use clap::builder::styling::{AnsiColor, Styles};
#[cfg(feature = "compile")]
use clap::{Args as _, FromArgMatches, Parser, Subcommand};

use crate::units;

#[cfg(feature = "compile")]
const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

#[cfg(feature = "compile")]
const EXAMPLES: &str = "\
Examples:
  precast compile app.wasm -o app.so     compile once, for any x86-64-v3 CPU
  precast run --dir . app.so notes.txt   run it, with this directory and nothing else
  precast run app.wasm                   compile into the cache, and run
  precast inspect app.so                 what is in it, what it needs";

#[cfg(feature = "compile")]
/// Compiles WebAssembly ahead of time to native shared objects, and runs them in sandboxes.
#[derive(Debug, Parser)]
#[command(name = "precast", version, styles = STYLES, after_help = EXAMPLES)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[cfg(feature = "compile")]
impl Args {
    /// Reads the command line.
    ///
    /// The usual command is looked for first: to describe all the others to the parser takes
    /// longer than many a guest runs.
    pub(crate) fn read() -> Result<Args, clap::Error> {
        let mut words = std::env::args_os().skip(1).peekable();
        if words.peek().is_none_or(|word| word != "run") {
            return Args::try_parse();
        }
        let command = clap::Command::new("run")
            .bin_name("precast run")
            .styles(STYLES);
        let matches = RunArgs::augment_args(command).try_get_matches_from(words)?;
        Ok(Args {
            command: Command::Run(RunArgs::from_arg_matches(&matches)?),
        })
    }
}

#[derive(Debug)]
#[cfg_attr(feature = "compile", derive(Subcommand))]
pub(crate) enum Command {
    /// Compile a module to a shared object.
    #[cfg(feature = "compile")]
    Compile(CompileArgs),
    Run(RunArgs),
    /// Make one program of a module and what runs it.
    #[cfg(feature = "compile")]
    Bundle(BundleArgs),
    /// Make a pair of keys, for signing objects.
    #[cfg(feature = "compile")]
    Keygen(KeygenArgs),
    /// Sign objects, so that those who trust the key run them.
    #[cfg(feature = "compile")]
    Sign(SignArgs),
    /// Say whether objects are signed by a key, and unchanged since.
    #[cfg(feature = "signatures")]
    Verify(VerifyArgs),
    /// Show what an object contains and needs.
    #[cfg(feature = "inspect")]
    Inspect(InspectArgs),
    /// List the targets, and the levels and features of their CPUs.
    #[cfg(feature = "compile")]
    #[command(after_help = "\
Examples:
  precast targets
  precast compile --target aarch64-linux --cpu armv8.1-a app.wasm")]
    Targets,
    /// Print the completion script for a shell.
    #[cfg(feature = "compile")]
    #[command(after_help = "\
Examples:
  precast completions bash > ~/.local/share/bash-completion/completions/precast
  precast completions zsh > ~/.zfunc/_precast
  precast completions fish > ~/.config/fish/completions/precast.fish")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[cfg(feature = "compile")]
const COMPILE_EXAMPLES: &str = "\
Examples:
  precast compile app.wasm                     app.so, for any x86-64-v3 CPU
  precast compile app.wat -o build/app.so      the text format, and another place
  precast compile --cpu native app.wasm        for this machine's CPU only
  precast compile --cpu baseline,+sse4.1 app.wasm
  precast compile --target aarch64-linux app.wasm      for another machine
  precast compile --levels baseline,x86-64-v3 app.wasm     for every CPU, and faster on most
  precast compile --memory-reservation 16M app.wasm    for thousands of instances
  precast compile --emit asm app.wasm -o -     see the code that comes out
  precast compile --instrument app.wasm        code that counts, for a profile, and
  precast compile --profile app.profile app.wasm       the code that is made from it
  precast compile a.wasm b.wasm -o build/      many, into a directory
  precast compile --cache .cache app.wasm      no function is compiled twice
  cat app.wasm | precast compile - -o app.so   from standard input

The exit code is 1 if one of the modules cannot be compiled; the others are.
See docs/pipelines.md for caches, reports and build systems.";

/// Arguments of `precast compile`.
#[cfg(feature = "compile")]
#[derive(Debug, clap::Args)]
#[command(after_help = COMPILE_EXAMPLES)]
pub(crate) struct CompileArgs {
    /// The modules: .wasm or .wat; `-` is standard input.
    #[arg(value_name = "IN", required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    /// Where the result goes: a file, a directory, or `-` for standard output [default: IN's
    /// name, here, with the ending of what is emitted].
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// Compile for this target, one that `precast targets` lists [default: this machine's].
    #[arg(long, value_name = "TRIPLE")]
    pub(crate) target: Option<String>,
    /// What the CPU must have: a level that `precast targets` lists or native, and +feature or
    /// -feature, separated by commas [default: x86-64-v3, and baseline of other targets].
    #[arg(long, value_name = "CPU")]
    pub(crate) cpu: Option<String>,
    /// Compile for each of these CPUs, as --cpu names them, the least first: one object with the code
    /// for all of them. The best that a machine can execute is run.
    #[arg(
        long,
        value_name = "CPU",
        value_delimiter = ',',
        conflicts_with = "cpu"
    )]
    pub(crate) levels: Vec<String>,
    /// What to optimise for.
    #[arg(long, value_enum, default_value_t, value_name = "LEVEL")]
    pub(crate) opt: Opt,
    /// What to write: a shared object, a relocatable object or a C header for linking into a
    /// program, Cranelift's intermediate language, or assembly.
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    pub(crate) emit: EmitKind,
    /// The symbol of a relocatable object [default: precast_object]. Modules that are linked into
    /// one program need different ones.
    #[arg(long, value_name = "NAME")]
    pub(crate) symbol: Option<String>,
    /// The most address space the memory may take: 64K, 16M, 1G. It cannot grow beyond. Less than
    /// 4G has every access checked, and lets far more instances live in one process.
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size)]
    pub(crate) memory_reservation: Option<u64>,
    /// Refuse modules that use other proposals than these: mvp, wasm1, wasm2 or all, then +simd or
    /// -threads and so on, separated by commas.
    #[arg(
        long,
        value_name = "LIST",
        default_value = "all",
        allow_hyphen_values = true
    )]
    pub(crate) features: String,
    /// Turn optimisations off, to see what they do: names separated by commas.
    #[arg(long, value_name = "PASS", value_delimiter = ',')]
    pub(crate) without: Vec<String>,
    /// Make code that counts what it executes, for a profile: see `precast run --profile`.
    #[arg(long)]
    pub(crate) instrument: bool,
    /// Compile for what was executed often by instrumented code of the same module. May be
    /// repeated: profiles add up.
    #[arg(long, value_name = "FILE")]
    pub(crate) profile: Vec<PathBuf>,
    /// What becomes of garbage-collected objects that nothing refers to any more: they make room by
    /// the others being copied, or (null) nothing does, which is fastest and lasts for a moment.
    #[arg(long, value_enum, value_name = "KIND", default_value = "copying")]
    pub(crate) collector: CollectorKind,
    /// The most memory that the heap for garbage-collected objects may take: 1M, 1G. Of it a copying
    /// collector has half for objects.
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size)]
    pub(crate) gc_heap: Option<u64>,
    /// Count what the guest executes, and stop it when the fuel it was given is used up.
    #[arg(long)]
    pub(crate) fuel: bool,
    /// How many threads compile; 0 is one for each CPU. The result is the same.
    #[arg(short, long, default_value_t = 0, value_name = "N")]
    pub(crate) jobs: usize,
    /// Keep what is compiled in this directory, and take from it what was compiled before: whole
    /// modules, or the functions of one that has changed.
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// Print a report on standard output: what became of each module.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print nothing but errors.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// What to optimise for.
#[cfg(feature = "compile")]
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub(crate) enum Opt {
    /// Compile fast.
    None,
    /// Run fast.
    #[default]
    Speed,
    /// Run fast, and stay small.
    Size,
}

/// What becomes of objects that nothing refers to.
#[cfg(feature = "compile")]
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub(crate) enum CollectorKind {
    /// What is still referred to is copied.
    #[default]
    Copying,
    /// Nothing.
    Null,
}

/// What to write.
#[cfg(feature = "compile")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum EmitKind {
    /// A shared object.
    #[default]
    So,
    /// A relocatable object.
    Obj,
    /// Cranelift's intermediate language, as text.
    Clif,
    /// Assembly, as text.
    Asm,
    /// A C header for a program that a relocatable object is linked with.
    Header,
}

#[cfg(feature = "compile")]
const RUN_EXAMPLES: &str = "\
Examples:
  precast run app.so                       run an object
  precast run app.wasm -v input.txt        all that follows FILE goes to the guest
  precast run --dir data::/ app.so         the guest's root directory is ./data
  precast run --dir /etc::/etc:ro app.so   to read only
  precast run --invoke add add.wasm 2 3    call one function, print its results
  precast run --timeout 2s --max-memory 64M app.so
  precast run --profile app.profile app.so of code compiled with --instrument
  precast run --trusted-key builds.pub app.so   only if it is signed

The exit code is the guest's; 134 where it trapped, 1 where it could not be run.
Modules are compiled into $XDG_CACHE_HOME/precast or ~/.cache/precast.
An object is native code: run only objects that you trust, see --trusted-key.";

/// Run an object, or a module that is compiled first.
#[derive(Debug, Default)]
#[cfg_attr(feature = "compile", derive(clap::Args))]
#[cfg_attr(feature = "compile", command(after_help = RUN_EXAMPLES))]
pub(crate) struct RunArgs {
    /// Give the guest a directory, under the name GUEST if that is given; `:ro` lets it only
    /// read. May be repeated.
    #[cfg_attr(feature = "compile", arg(long, value_name = "HOST[::GUEST][:ro]"))]
    pub(crate) dir: Vec<units::DirArg>,
    /// Set an environment variable of the guest. May be repeated; nothing is inherited.
    #[cfg_attr(feature = "compile", arg(long, value_name = "K=V", value_parser = units::parse_env))]
    pub(crate) env: Vec<(String, String)>,
    /// Call this function instead of `_start`; ARGS are its arguments.
    #[cfg_attr(feature = "compile", arg(long, value_name = "NAME"))]
    pub(crate) invoke: Option<String>,
    /// Stop the guest after this long: 500ms, 2s, 1m.
    #[cfg_attr(feature = "compile", arg(long, value_name = "DURATION", value_parser = units::parse_duration))]
    pub(crate) timeout: Option<Duration>,
    /// The most linear memory the guest may have: 65536, 512K, 64M, 2G.
    #[cfg_attr(feature = "compile", arg(long, value_name = "SIZE", value_parser = units::parse_size))]
    pub(crate) max_memory: Option<u64>,
    /// The most threads the guest may have at once, the first one included [default: 16].
    #[cfg_attr(feature = "compile", arg(long, value_name = "N"))]
    pub(crate) max_threads: Option<usize>,
    /// Write what an instrumented object counts to this file, or add it to what is there.
    #[cfg_attr(feature = "compile", arg(long, value_name = "FILE"))]
    pub(crate) profile: Option<PathBuf>,
    /// Run only an object that is signed by the owner of this public key. May be repeated.
    #[cfg(feature = "signatures")]
    #[cfg_attr(feature = "compile", arg(long, value_name = "PUB"))]
    pub(crate) trusted_key: Vec<PathBuf>,
    /// The object, or the module: .wasm or .wat; `-` is standard input.
    #[cfg_attr(feature = "compile", arg(value_name = "FILE"))]
    pub(crate) file: PathBuf,
    /// The guest's arguments.
    #[cfg_attr(
        feature = "compile",
        arg(
            value_name = "ARGS",
            trailing_var_arg = true,
            allow_hyphen_values = true
        )
    )]
    pub(crate) args: Vec<std::ffi::OsString>,
}

impl RunArgs {
    /// How a file is run if nothing else is said.
    pub(crate) fn of_file(file: PathBuf) -> RunArgs {
        RunArgs {
            dir: Vec::new(),
            env: Vec::new(),
            invoke: None,
            timeout: None,
            max_memory: None,
            max_threads: None,
            profile: None,
            #[cfg(feature = "signatures")]
            trusted_key: Vec::new(),
            file,
            args: Vec::new(),
        }
    }
}

#[cfg(feature = "compile")]
const BUNDLE_EXAMPLES: &str = "\
Examples:
  precast bundle app.wasm -o app             ./app runs it, wherever it is copied to
  precast bundle app.so -o app               the same of an object
  precast bundle --dir . --timeout 2s app.wasm -o app
  precast bundle --runner precast-small app.wasm -o app   with a smaller precast

All arguments of the program go to the guest. A runner is any precast command of this version: one
that was built without a compiler makes small programs, one for another CPU programs for that.";

/// Arguments of `precast bundle`.
#[cfg(feature = "compile")]
#[derive(Debug, clap::Args)]
#[command(after_help = BUNDLE_EXAMPLES)]
pub(crate) struct BundleArgs {
    /// The module, .wasm or .wat, or an object; `-` is standard input.
    #[arg(value_name = "IN")]
    pub(crate) input: PathBuf,
    /// The program; `-` is standard output.
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: PathBuf,
    /// What runs the object: a precast command [default: this one].
    #[arg(long, value_name = "FILE")]
    pub(crate) runner: Option<PathBuf>,
    /// Compile for this target [default: this machine's].
    #[arg(long, value_name = "TRIPLE")]
    pub(crate) target: Option<String>,
    /// What the CPU must have, as for `precast compile`.
    #[arg(long, value_name = "CPU")]
    pub(crate) cpu: Option<String>,
    /// Give the guest a directory, as `precast run` does. HOST counts from where the program is
    /// run.
    #[arg(long, value_name = "HOST[::GUEST][:ro]", value_parser = units::said::<units::DirArg>)]
    pub(crate) dir: Vec<String>,
    /// Set an environment variable of the guest. May be repeated; nothing is inherited.
    #[arg(long, value_name = "K=V", value_parser = units::said_env)]
    pub(crate) env: Vec<String>,
    /// Stop the guest after this long: 500ms, 2s, 1m.
    #[arg(long, value_name = "DURATION", value_parser = units::said_duration)]
    pub(crate) timeout: Option<String>,
    /// The most linear memory the guest may have: 65536, 512K, 64M, 2G.
    #[arg(long, value_name = "SIZE", value_parser = units::said_size)]
    pub(crate) max_memory: Option<String>,
    /// Print nothing but errors.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[cfg(feature = "compile")]
const SIGN_EXAMPLES: &str = "\
Examples:
  precast sign -s builds.key app.so
  precast sign -s builds.key --comment 'app 1.2' app.so -o signed/app.so

Keys and signatures are minisign's. The password of an encrypted key is asked for on the
terminal, or taken from PRECAST_KEY_PASSWORD.";

/// Arguments of `precast sign`.
#[cfg(feature = "compile")]
#[derive(Debug, clap::Args)]
#[command(after_help = SIGN_EXAMPLES)]
pub(crate) struct SignArgs {
    /// The secret key, as `precast keygen` or minisign made it.
    #[arg(short, long, value_name = "KEY")]
    pub(crate) secret_key: PathBuf,
    /// What is signed along with the object, and shown by `precast verify` [default: the time].
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
    /// Where the signed object goes [default: where the object is].
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// The objects. A signature that is there is replaced.
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

#[cfg(feature = "compile")]
const KEYGEN_EXAMPLES: &str = "\
Examples:
  precast keygen -s builds.key -p builds.pub    minisign's own keys do as well";

/// Arguments of `precast keygen`.
#[cfg(feature = "compile")]
#[derive(Debug, clap::Args)]
#[command(after_help = KEYGEN_EXAMPLES)]
pub(crate) struct KeygenArgs {
    /// Where the secret key goes.
    #[arg(short, long, value_name = "KEY")]
    pub(crate) secret_key: PathBuf,
    /// Where the public key goes.
    #[arg(short, long, value_name = "PUB")]
    pub(crate) public_key: PathBuf,
    /// Do not encrypt the secret key. Else the password is asked for on the terminal, or taken
    /// from PRECAST_KEY_PASSWORD.
    #[arg(long)]
    pub(crate) no_password: bool,
}

#[cfg(feature = "compile")]
const VERIFY_EXAMPLES: &str = "\
Examples:
  precast verify -p builds.pub app.so    exit code 0 if it is signed and unchanged";

/// Arguments of `precast verify`.
#[cfg(feature = "signatures")]
#[derive(Debug, Default)]
#[cfg_attr(feature = "compile", derive(clap::Args))]
#[cfg_attr(feature = "compile", command(after_help = VERIFY_EXAMPLES))]
pub(crate) struct VerifyArgs {
    /// A public key whose owner is trusted. May be repeated.
    #[cfg_attr(
        feature = "compile",
        arg(short, long, value_name = "PUB", required = true)
    )]
    pub(crate) public_key: Vec<PathBuf>,
    /// The objects; `-` is standard input.
    #[cfg_attr(feature = "compile", arg(value_name = "FILE", required = true))]
    pub(crate) files: Vec<PathBuf>,
}

#[cfg(feature = "compile")]
const INSPECT_EXAMPLES: &str = "\
Examples:
  precast inspect app.so            target, ABI, imports, exports, sizes
  precast inspect --json app.so     the same for programs
  precast inspect --verify app.so   check every record and all code; fails if one is wrong";

#[cfg(feature = "inspect")]
/// Arguments of `precast inspect`.
#[derive(Debug, Default)]
#[cfg_attr(feature = "compile", derive(clap::Args))]
#[cfg_attr(feature = "compile", command(after_help = INSPECT_EXAMPLES))]
pub(crate) struct InspectArgs {
    /// The object; `-` is standard input.
    #[cfg_attr(feature = "compile", arg(value_name = "FILE"))]
    pub(crate) file: PathBuf,
    /// Print JSON.
    #[cfg_attr(feature = "compile", arg(long))]
    pub(crate) json: bool,
    /// Check every offset, trap site and table entry of the object, and its machine code.
    #[cfg_attr(feature = "compile", arg(long))]
    pub(crate) verify: bool,
}
