//! Runs the command in a directory of its own, and compares what it prints.
#![allow(dead_code, reason = "each test uses some of it")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A directory to run the command in, with a cache of its own.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

/// What a run left behind.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Fails unless the command succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> Ran {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout(), self.stderr);
        self
    }

    /// Fails unless the command failed with one line of the user's, and returns that line.
    #[track_caller]
    pub(crate) fn one_error_line(self) -> String {
        assert_eq!(self.code, Some(1), "{}{}", self.stdout(), self.stderr);
        assert_eq!(self.stdout(), "");
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        let message = self.stderr.strip_prefix("precast: ").expect("who speaks");
        message.trim_end().to_owned()
    }
}

impl Place {
    pub(crate) fn new() -> Place {
        Place {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, contents).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Names of the files here, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        names_in(self.dir.path())
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_precast"));
        command.current_dir(self.dir.path());
        command.env("XDG_CACHE_HOME", self.path("cache"));
        command.env_remove("RUST_BACKTRACE");
        command
    }

    /// Runs the command with the words of `line` for arguments.
    pub(crate) fn run(&self, line: &str) -> Ran {
        self.run_with(line, b"")
    }

    /// As [`Place::run`], with `input` on standard input.
    pub(crate) fn run_with(&self, line: &str, input: &[u8]) -> Ran {
        let mut command = self.command();
        command.args(line.split_whitespace());
        finish(command, input)
    }

    /// What a run printed and answered, as one text without anything that changes from run to
    /// run or from machine to machine.
    pub(crate) fn transcript(&self, line: &str, ran: &Ran) -> String {
        let here = self.dir.path().to_string_lossy().into_owned();
        let body = [ran.stdout(), ran.stderr.clone()]
            .map(|text| if text.is_empty() { String::new() } else { text })
            .concat();
        let code = ran
            .code
            .map_or("a signal".to_owned(), |code| code.to_string());
        format!(
            "$ precast {line}\n{}[{code}]\n",
            body.replace(&here, "HERE")
        )
    }
}

pub(crate) fn finish(mut command: Command, input: &[u8]) -> Ran {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The command may not want to read it all.
    let _ = child.stdin.take().unwrap().write_all(input);
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    assert!(!stderr.contains("panicked"), "{stderr}");
    Ran {
        code: status.code(),
        stdout,
        stderr,
    }
}

pub(crate) fn names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Compares `actual` with the file `tests/cli/NAME.txt`; `BLESS=1` writes it instead.
#[track_caller]
pub(crate) fn expect_snapshot(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/cli/{name}.txt"));
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, actual).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == actual,
        "tests/cli/{name}.txt has\n{expected}\nbut this is printed now\n{actual}\nBLESS=1 accepts it"
    );
}
