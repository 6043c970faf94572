//! Stands in for the compiler in tests that an emulator runs: asks the real one, in a process of this
//! machine's own CPU, over a pipe. (An emulator of user programs starts programs of the machine as they
//! are.) Has so much of the real one's face as the tests use.
//!
//! The environment says which program that is: `PRECAST_COMPILE_SERVER`. The other side is
//! `tests/src/bin/compile_server.rs`.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// How to compile a module, as the real one has it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub target: Target,
    pub cpu: Cpu,
    pub opt: OptLevel,
    pub memory_reservation: Option<u64>,
    pub collector: Collector,
    pub gc_heap: Option<u64>,
    pub fuel: bool,
    pub jobs: usize,
}

/// What the code is for, by its name.
#[derive(Clone, Debug)]
pub struct Target(String);

impl Target {
    /// Takes any name: the real one says what it makes of it.
    pub fn parse(name: &str) -> Result<Target, CompileError> {
        Ok(Target(name.to_owned()))
    }
}

impl Default for Target {
    fn default() -> Target {
        Target(format!("{}-linux", std::env::consts::ARCH))
    }
}

/// What the code should be good at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OptLevel {
    None,
    #[default]
    Speed,
    Size,
}

/// What becomes of objects that nothing refers to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Collector {
    #[default]
    Copying,
    Null,
}

/// Levels and features of a CPU, in words.
#[derive(Clone, Debug, Default)]
pub struct Cpu(Option<String>);

impl Cpu {
    /// Takes any words: the real one says what it makes of them.
    pub fn parse(list: &str) -> Result<Cpu, CompileError> {
        Ok(Cpu(Some(list.to_owned())))
    }
}

/// What a compilation made.
#[derive(Clone, Debug)]
pub struct Compiled {
    pub bytes: Vec<u8>,
}

/// Why a module cannot be compiled.
#[derive(Clone, Debug)]
pub enum CompileError {
    /// It needs a proposal that is not supported.
    Unsupported { feature: String, message: String },
    /// Anything else.
    Other(String),
}

impl std::fmt::Display for CompileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CompileError::Unsupported { message, .. } | CompileError::Other(message) => {
                f.write_str(message)
            }
        }
    }
}

impl std::error::Error for CompileError {}

/// Compiles a module for the CPU that this runs on.
///
/// # Panics
///
/// If there is no server, or it is gone.
pub fn compile(wasm: &[u8], options: &Options) -> Result<Compiled, CompileError> {
    thread_local! {
        static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
    }
    let answer = SERVER.with_borrow_mut(|server| {
        let server = server.get_or_insert_with(|| Server::start().expect("a server starts"));
        server
            .ask(&words(options), wasm)
            .expect("the server answers")
    });
    match answer {
        (0, bytes) => Ok(Compiled { bytes }),
        (kind, text) => {
            let text = String::from_utf8_lossy(&text).into_owned();
            Err(match (kind, text.split_once('\n')) {
                (1, Some((feature, message))) => CompileError::Unsupported {
                    feature: feature.to_owned(),
                    message: message.to_owned(),
                },
                _ => CompileError::Other(text),
            })
        }
    }
}

fn words(options: &Options) -> String {
    let mut words = format!("target {}\n", options.target.0);
    let mut say = |key: &str, value: &str| {
        // A string takes whatever is written to it.
        let _ = writeln!(words, "{key} {value}");
    };
    let from_outside = std::env::var("PRECAST_TEST_CPU").ok();
    if let Some(cpu) = options.cpu.0.as_ref().or(from_outside.as_ref()) {
        say("cpu", cpu);
    }
    say(
        "opt",
        match options.opt {
            OptLevel::None => "none",
            OptLevel::Speed => "speed",
            OptLevel::Size => "size",
        },
    );
    if let Some(bytes) = options.memory_reservation {
        say("memory_reservation", &bytes.to_string());
    }
    if options.collector == Collector::Null {
        say("collector", "null");
    }
    if let Some(bytes) = options.gc_heap {
        say("gc_heap", &bytes.to_string());
    }
    if options.fuel {
        say("fuel", "yes");
    }
    words
}

/// The process that compiles for one thread.
struct Server {
    child: Child,
    to: Option<ChildStdin>,
    from: ChildStdout,
}

impl Server {
    fn start() -> io::Result<Server> {
        let program = std::env::var_os("PRECAST_COMPILE_SERVER")
            .ok_or_else(|| io::Error::other("PRECAST_COMPILE_SERVER says where the compiler is"))?;
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (to, from) = (child.stdin.take(), child.stdout.take());
        let from = from.ok_or_else(|| io::Error::other("no pipe"))?;
        Ok(Server { child, to, from })
    }

    /// What kind of answer came, and the answer.
    fn ask(&mut self, options: &str, wasm: &[u8]) -> io::Result<(u8, Vec<u8>)> {
        let to = self
            .to
            .as_mut()
            .ok_or_else(|| io::Error::other("no pipe"))?;
        for part in [options.as_bytes(), wasm] {
            to.write_all(&(part.len() as u32).to_le_bytes())?;
            to.write_all(part)?;
        }
        to.flush()?;
        let mut head = [0; 5];
        self.from.read_exact(&mut head)?;
        let [kind, len @ ..] = head;
        let mut bytes = vec![0; u32::from_le_bytes(len) as usize];
        self.from.read_exact(&mut bytes)?;
        Ok((kind, bytes))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends when nobody asks any more.
        self.to = None;
        let _ = self.child.wait();
    }
}
