//! The same source by this machine's own compilers, loaded into this process.
//!
//! Libraries are kept in `target/code` and built again when the source, a header, or the
//! command has changed.

use std::ffi::{CStr, CString, c_void};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use super::contestant::{Contestant, Place};
use super::{sources, workshop};
use crate::Result;
use crate::kernels::Kernel;

/// A compiler and its settings.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// The contestant's key.
    pub key: &'static str,
    /// The program and the arguments that make it one.
    command: Vec<String>,
    /// How far it optimises.
    flags: Vec<&'static str>,
    /// Extension of the sources that it takes.
    language: &'static str,
}

impl Toolchain {
    /// Whether it counts for the key `native`.
    pub fn is_best_effort(&self) -> bool {
        self.key.ends_with("_o3")
    }

    /// Those that are installed here.
    pub fn installed() -> Vec<Self> {
        let cc = vec![std::env::var("CC").unwrap_or("cc".to_owned())];
        let rustc = vec!["rustc".to_owned()];
        // The same CPU as the others', not this machine's own.
        let baseline = ["-target", "native", "-mcpu=baseline"];
        let mut all = Vec::new();
        let mut add = |key, command: &[String], flags: &[&'static str], language| {
            all.push(Self {
                key,
                command: command.to_vec(),
                flags: flags.to_vec(),
                language,
            });
        };
        if answers(&cc) {
            add("native_cc_o3", &cc, &["-O3"], "c");
            add("native_cc_o2", &cc, &["-O2"], "c");
        }
        if let Some(zig) = zig() {
            let zig: Vec<String> = zig.into_iter().chain(baseline.map(str::to_owned)).collect();
            add("native_zig_o3", &zig, &["-O3"], "c");
            // What the module's own compiler could do: it vectorised nothing by itself either.
            let flags = ["-O3", "-fno-vectorize", "-fno-slp-vectorize"];
            add("native_zig_unvectorised", &zig, &flags, "c");
        }
        if answers(&rustc) {
            add("native_rustc_o3", &rustc, &["-Copt-level=3"], "rs");
            add("native_rustc_o2", &rustc, &["-Copt-level=2"], "rs");
        }
        all
    }

    /// Whether it takes this kernel.
    pub fn takes(&self, kernel: &Kernel) -> bool {
        Path::new(kernel.source).extension() == Some(self.language.as_ref())
    }

    /// Where the library is put.
    pub fn library(&self, kernel: &Kernel) -> PathBuf {
        workshop().join(format!("{}-{}.so", kernel.name, self.key))
    }

    /// Builds where that is needed, loads, and finds `run`.
    ///
    /// # Errors
    ///
    /// If the compiler or the dynamic linker fails.
    pub fn contestant(&self, kernel: &Kernel) -> Result<Contestant> {
        let library = self.library(kernel);
        let source = sources().join(kernel.source);
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).args(&self.flags);
        match self.language {
            "rs" => command.args(["--crate-type=cdylib", "-Cpanic=abort", "--edition=2024"]),
            _ => command.args([
                "-shared",
                "-fPIC",
                "-fvisibility=hidden",
                "-ffp-contract=off",
                "-fno-math-errno",
            ]),
        };
        if kernel.is_simd && cfg!(target_arch = "x86_64") {
            command.arg("-msse4.1");
        }
        command.arg("-o").arg(&library).arg(&source);
        build(&mut command, &library, &[source])?;
        let run = Library::open(&library)?.run()?;
        Ok(Contestant {
            key: self.key.to_owned(),
            code: None,
            place: Place::File(library),
            run: Box::new(move |n| Ok(run(n))),
        })
    }
}

/// Runs a compiler unless `output` is newer than all `inputs` and came from the same command.
///
/// # Errors
///
/// If the compiler fails: what it said.
pub fn build(command: &mut Command, output: &Path, inputs: &[PathBuf]) -> Result<()> {
    let record = output.with_extension("command");
    let line = format!("{command:?}");
    let age = |path: &Path| fs::metadata(path).and_then(|data| data.modified());
    let newest = |paths: &[PathBuf]| -> Result<SystemTime> {
        let times: std::io::Result<Vec<_>> = paths.iter().map(|path| age(path)).collect();
        Ok(times?.into_iter().max().unwrap_or(SystemTime::UNIX_EPOCH))
    };
    let newest = newest(inputs)?.max(newest(&headers()?)?);
    let is_fresh = age(output).is_ok_and(|made| made > newest)
        && fs::read_to_string(&record).is_ok_and(|known| known == line);
    if is_fresh {
        return Ok(());
    }
    let done = command.stdin(Stdio::null()).output()?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        return Err(format!("{line}: {}\n{said}", done.status).into());
    }
    fs::write(record, line)?;
    Ok(())
}

/// The headers that any kernel may include.
fn headers() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(sources())? {
        let path = entry?.path();
        if path.extension() == Some("h".as_ref()) {
            found.push(path);
        }
    }
    Ok(found)
}

/// The command that is Zig's C compiler, if there is one: `ZIG`, `zig`, or the Python package.
fn zig() -> Option<Vec<String>> {
    let candidates = [
        std::env::var("ZIG").ok(),
        Some("zig".to_owned()),
        Some("python3 -m ziglang".to_owned()),
    ];
    candidates.into_iter().flatten().find_map(|line| {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        words.push("cc".to_owned());
        answers(&words).then_some(words)
    })
}

/// Whether a compiler tells its version.
pub fn answers(command: &[String]) -> bool {
    Command::new(&command[0])
        .args(&command[1..])
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The type of every kernel's `run`.
pub type Run = extern "C" fn(i32) -> i64;

/// A library that stays loaded until the process ends.
pub struct Library(*mut c_void);

impl Library {
    /// Loads it.
    ///
    /// # Errors
    ///
    /// If the dynamic linker refuses it.
    pub fn open(path: &Path) -> Result<Self> {
        // With a slash in it, so that it is not searched for.
        let path = CString::new(path.canonicalize()?.as_os_str().as_bytes())?;
        // SAFETY: `path` is a terminated string, and the library was built from a kernel's source,
        // just now or by an earlier run, and has no constructors of its own.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            return Err(last_error().into());
        }
        Ok(Self(handle))
    }

    /// Its function `run`.
    ///
    /// # Errors
    ///
    /// If it has none.
    pub fn run(&self) -> Result<Run> {
        // SAFETY: the handle came from `dlopen` and is never closed; the name is terminated.
        let found = unsafe { libc::dlsym(self.0, c"run".as_ptr()) };
        if found.is_null() {
            return Err(last_error().into());
        }
        // SAFETY: every kernel, and what `wasm2c.rs` puts around a module, defines `run` with this
        // signature; the library is never closed.
        Ok(unsafe { std::mem::transmute::<*mut c_void, Run>(found) })
    }
}

/// What the dynamic linker says about its last failure.
fn last_error() -> String {
    // SAFETY: it answers null or a terminated string that lives until the next call on this thread.
    let message = unsafe { libc::dlerror() };
    if message.is_null() {
        return "the dynamic linker failed".to_owned();
    }
    // SAFETY: not null, and nothing is called in between.
    unsafe { CStr::from_ptr(message) }
        .to_string_lossy()
        .into_owned()
}
