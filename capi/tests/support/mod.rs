//! Compiling C programs against the library, and running them.

// Each test program uses a part of it.
#![allow(dead_code, reason = "shared by several test programs")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use precast_compiler::{Cpu, Emit, Options};

/// The top of the repository.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the crate lies in the repository")
}

/// The static library, built with the profile that the tests are built with. A library that is no
/// Rust library is not built for the tests by itself.
pub(crate) fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let test = std::env::current_exe().expect("this program has a path");
        let profile = test.parent().and_then(Path::parent).expect("target/…/deps");
        let name = profile.file_name().and_then(|name| name.to_str());
        let name = match name.expect("a profile") {
            "debug" => "dev",
            other => other,
        };
        let target = profile.parent().expect("the target directory");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--offline", "--quiet", "-p", "precast-capi"])
            .args(["--profile", name, "--target-dir"])
            .arg(target)
            .current_dir(root())
            .status()
            .expect("cargo runs");
        assert!(built.success(), "the library cannot be built");
        profile.join("libprecast.a")
    })
}

/// A compiler of C or C++, and what it is called with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compiler {
    name: &'static str,
    standard: &'static str,
    sanitize: bool,
    shared: bool,
    /// How it links.
    link: Option<&'static str>,
}

pub(crate) const C: Compiler = Compiler {
    name: "cc",
    standard: "-std=c11",
    sanitize: false,
    shared: false,
    link: None,
};

pub(crate) const CPP: Compiler = Compiler {
    name: "c++",
    standard: "-std=c++11",
    sanitize: false,
    shared: false,
    link: None,
};

impl Compiler {
    /// The same with AddressSanitizer.
    pub(crate) fn sanitized(self) -> Compiler {
        Compiler {
            sanitize: true,
            ..self
        }
    }

    /// How the names of its sources end.
    pub(crate) fn ending(self) -> &'static str {
        if self.name == "cc" { "c" } else { "cpp" }
    }

    /// The same with the shared library.
    pub(crate) fn shared(self) -> Compiler {
        Compiler {
            shared: true,
            ..self
        }
    }

    /// The same with an option for the linker.
    pub(crate) fn linking(self, option: &'static str) -> Compiler {
        Compiler {
            link: Some(option),
            ..self
        }
    }

    /// Whether it is there and does what is asked of it: says so if not.
    pub(crate) fn is_there(self, dir: &Path) -> bool {
        let source = dir.join("nothing.c");
        let program = dir.join("nothing");
        fs::write(&source, "int main(void) { return 0; }\n").expect("it can be written");
        let mut command = Command::new(self.name);
        if self.sanitize {
            command.arg("-fsanitize=address");
        }
        let compiled = command
            .args(self.link)
            .arg("-o")
            .arg(&program)
            .arg(&source)
            .output();
        let works = compiled.is_ok_and(|output| output.status.success())
            && Command::new(&program)
                .status()
                .is_ok_and(|status| status.success());
        if !works {
            let sanitize = if self.sanitize {
                " -fsanitize=address"
            } else {
                ""
            };
            let link = self.link.unwrap_or_default();
            eprintln!(
                "NOT TESTED: there is no `{}{sanitize} {link}` here",
                self.name
            );
        }
        works
    }

    /// Compiles and links a program; its path.
    pub(crate) fn build(self, dir: &Path, source: &Path, with: &[PathBuf]) -> PathBuf {
        let stem = source.file_stem().and_then(|stem| stem.to_str());
        let program = dir.join(format!("{}-{}", stem.expect("a name"), self.name));
        let mut command = Command::new(self.name);
        if self.sanitize {
            command.args(["-fsanitize=address", "-g"]);
        }
        command
            .args([self.standard, "-Wall", "-Wextra", "-Werror", "-pedantic"])
            // Threads and clocks, beside the language's own library.
            .arg("-D_POSIX_C_SOURCE=200809L")
            .arg("-I")
            .arg(root().join("capi/include"))
            .arg("-I")
            .arg(root().join("examples/c"))
            .arg("-I")
            .arg(dir)
            .arg("-o")
            .arg(&program)
            .arg(source)
            .args(with)
            .args(self.link);
        if self.shared {
            let dir = library().parent().expect("it is in a directory");
            // The shared one is what a linker takes if there are both.
            let path = format!("-Wl,-rpath,{}", dir.display());
            command.arg("-L").arg(dir).args(["-lprecast", &path]);
        } else {
            command.arg(library());
        }
        command.args(["-lm", "-lpthread", "-ldl"]);
        let output = command.output().expect("the compiler runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {told}", source.display());
        program
    }
}

/// Runs a program; what it prints, if it succeeds.
pub(crate) fn run(program: &Path, args: &[&Path]) -> String {
    let output = try_run(program, args);
    let told = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{} {}: {printed}{told}",
        program.display(),
        output.status
    );
    printed
}

fn try_run(program: &Path, args: &[&Path]) -> Output {
    Command::new(program)
        .args(args)
        .output()
        .expect("it can be run")
}

/// What is made of a module.
pub(crate) struct Made<'a> {
    pub(crate) source: &'a Path,
    pub(crate) emit: Emit,
    pub(crate) symbol: Option<&'a str>,
}

impl Made<'_> {
    /// Compiles the module to `file`.
    pub(crate) fn at(&self, file: PathBuf) -> PathBuf {
        let text = fs::read(self.source).expect("the module can be read");
        let wasm = wat::parse_bytes(&text).expect("it is a module");
        let options = Options {
            cpu: Cpu::parse("native").expect("a CPU"),
            emit: self.emit,
            symbol: self.symbol.map(str::to_owned),
            jobs: 1,
            ..Options::default()
        };
        let compiled = precast_compiler::compile(&wasm, &options).expect("it compiles");
        fs::write(&file, compiled.bytes).expect("it can be written");
        file
    }
}

/// A shared object made of a module.
pub(crate) fn object(dir: &Path, source: &Path) -> PathBuf {
    let stem = source.file_stem().expect("a name");
    let made = Made {
        source,
        emit: Emit::SharedObject,
        symbol: None,
    };
    made.at(dir.join(stem).with_extension("so"))
}

/// A relocatable object made of a module, and the header of the same name.
pub(crate) fn linked(dir: &Path, source: &Path, symbol: &str) -> PathBuf {
    let make = |emit, ending| {
        let made = Made {
            source,
            emit,
            symbol: Some(symbol),
        };
        made.at(dir.join(symbol).with_extension(ending))
    };
    make(Emit::Header, "h");
    make(Emit::Object, "o")
}
