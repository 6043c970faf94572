//! What a user is told when something cannot be done: one line, and an exit code.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// Exit code of everything that is not a usage error (2) or a trap.
const FAILED: u8 = 1;
/// Exit code of a usage error.
const USAGE: u8 = 2;
/// Exit code of a guest that trapped, as a shell shows a process that aborted.
pub(crate) const TRAPPED: i32 = 134;
/// Exit code of a process whose reader went away, as a shell shows SIGPIPE.
const BROKEN_PIPE: u8 = 141;

/// Why the command ends early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Told in one line.
    Told(String),
    /// Whoever reads our output has gone: nobody to tell.
    BrokenPipe,
    /// The command line makes no sense; told in one line.
    Usage(String),
}

impl Failure {
    /// `subject` (a file, mostly) has the `problem`.
    pub(crate) fn new(subject: impl Display, problem: impl Display) -> Failure {
        Failure::Told(without_numbers(&format!("{subject}: {problem}")))
    }

    /// `path` has the `problem`.
    pub(crate) fn at(path: &Path, problem: impl Display) -> Failure {
        Failure::new(name_of(path), problem)
    }

    /// What the user is told.
    #[cfg(feature = "compile")]
    pub(crate) fn message(&self) -> &str {
        match self {
            Failure::Told(message) | Failure::Usage(message) => message,
            Failure::BrokenPipe => "nobody reads the output",
        }
    }

    /// Tells the user.
    pub(crate) fn report(self) -> ExitCode {
        match self {
            Failure::Told(message) => {
                complain(&message);
                ExitCode::from(FAILED)
            }
            Failure::BrokenPipe => ExitCode::from(BROKEN_PIPE),
            Failure::Usage(message) => {
                complain(&message);
                ExitCode::from(USAGE)
            }
        }
    }
}

/// How messages call a path. `-` is standard input.
pub(crate) fn name_of(path: &Path) -> String {
    if path == Path::new("-") {
        return "standard input".to_owned();
    }
    path.display().to_string()
}

/// Writes `precast: message` as one line to standard error, whatever is in the message.
pub(crate) fn complain(message: &str) {
    let line: String = message
        .trim_end()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    // Where standard error is closed there is nobody left to tell.
    let _ = writeln!(io::stderr(), "precast: {line}");
}

/// Writes `text` to standard error. Nothing depends on whether it gets there.
pub(crate) fn remark(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Writes to standard output.
pub(crate) fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::BrokenPipe,
        _ => Failure::new("standard output", reason(&error)),
    })
}

/// An input/output error without the system's error number.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory, not a file".to_owned(),
        io::ErrorKind::NotADirectory => "a part of its path is not a directory".to_owned(),
        _ => without_numbers(&error.to_string()),
    }
}

/// Takes the system's error numbers, ` (os error 2)`, out of a message.
fn without_numbers(message: &str) -> String {
    match message.split_once(" (os error ") {
        Some((before, after)) => {
            let after = after.split_once(')').map_or("", |(_, after)| after);
            format!("{before}{after}")
        }
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn error_numbers_are_left_out() {
        let message = "cannot open: no such file (os error 2); try another";
        let expected = "cannot open: no such file; try another";
        assert_eq!(super::without_numbers(message), expected);
    }
}
