//! The command line of builds without a compiler, read word by word: the parser that the whole
//! command uses is larger than the loader. The options are the same, and so is the help.

use std::ffi::OsString;
use std::iter::Peekable;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

#[cfg(feature = "inspect")]
use crate::args::InspectArgs;
#[cfg(feature = "signatures")]
use crate::args::VerifyArgs;
use crate::args::{Command, RunArgs};
use crate::units;

/// Why there is nothing to execute.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The user wants to read this.
    Told(&'static str),
    /// The command line makes no sense; why.
    Usage(String),
}

#[cfg(feature = "signatures")]
macro_rules! verify_help {
    () => {
        "  verify   Say whether objects are signed by a key, and unchanged since\n"
    };
}
#[cfg(not(feature = "signatures"))]
macro_rules! verify_help {
    () => {
        ""
    };
}

const HELP: &str = concat!(
    "\
Runs WebAssembly that was compiled ahead of time, in sandboxes

Usage: precast <COMMAND>

Commands:
  run      Run an object
",
    verify_help!(),
    "
Options:
  -h, --help     Print help
  -V, --version  Print version

This build has no compiler.
"
);

const VERSION: &str = concat!("precast ", env!("CARGO_PKG_VERSION"), "\n");

/// What the words after the name of the program ask for.
pub(crate) fn read(words: impl Iterator<Item = OsString>) -> Result<Command, Ended> {
    let mut words = words.peekable();
    let Some(first) = words.next() else {
        return Err(Ended::Told(HELP));
    };
    let mut left = Words { words };
    match first.as_bytes() {
        b"run" => run(&mut left).map(Command::Run),
        #[cfg(feature = "inspect")]
        b"inspect" => inspect(&mut left).map(Command::Inspect),
        #[cfg(feature = "signatures")]
        b"verify" => verify(&mut left).map(Command::Verify),
        b"-h" | b"--help" | b"help" => Err(Ended::Told(HELP)),
        b"-V" | b"--version" => Err(Ended::Told(VERSION)),
        b"compile" | b"sign" | b"keygen" => {
            usage("this build of precast has no compiler, and signs nothing")
        }
        _ => usage(&format!(
            "unrecognized subcommand '{}'",
            first.to_string_lossy()
        )),
    }
}

fn run(words: &mut Words<impl Iterator<Item = OsString>>) -> Result<RunArgs, Ended> {
    let mut args = RunArgs::default();
    while let Some(word) = words.next() {
        match word {
            Word::Option(name, value) => match name.as_str() {
                "--dir" => args
                    .dir
                    .push(words.parsed(&name, value, |text| text.parse())?),
                "--env" => args.env.push(words.parsed(&name, value, units::parse_env)?),
                "--invoke" => args.invoke = Some(words.text(&name, value)?),
                "--timeout" => {
                    args.timeout = Some(words.parsed(&name, value, units::parse_duration)?);
                }
                "--max-memory" => {
                    args.max_memory = Some(words.parsed(&name, value, units::parse_size)?);
                }
                "--max-threads" => {
                    let count =
                        |text: &str| text.parse::<usize>().map_err(|error| error.to_string());
                    args.max_threads = Some(words.parsed(&name, value, count)?);
                }
                "--profile" => args.profile = Some(words.path(&name, value)?),
                #[cfg(feature = "signatures")]
                "--trusted-key" => args.trusted_key.push(words.path(&name, value)?),
                _ => return unknown(&name, include_str!("../tests/cli/help-run.txt")),
            },
            Word::Operand(file) => {
                args.file = file.into();
                // All that follows is the guest's.
                args.args = words.words.by_ref().collect();
                return Ok(args);
            }
        }
    }
    usage("the following required arguments were not provided: <FILE>")
}

#[cfg(feature = "inspect")]
fn inspect(words: &mut Words<impl Iterator<Item = OsString>>) -> Result<InspectArgs, Ended> {
    let mut args = InspectArgs::default();
    let mut file = None;
    while let Some(word) = words.next() {
        match word {
            Word::Option(name, None) if name == "--json" => args.json = true,
            Word::Option(name, None) if name == "--verify" => args.verify = true,
            Word::Option(name, _) => {
                return unknown(&name, include_str!("../tests/cli/help-inspect.txt"));
            }
            Word::Operand(word) => {
                if file.replace(PathBuf::from(&word)).is_some() {
                    return usage(&format!("unexpected argument '{}'", word.to_string_lossy()));
                }
            }
        }
    }
    match file {
        Some(file) => Ok(InspectArgs { file, ..args }),
        None => usage("the following required arguments were not provided: <FILE>"),
    }
}

#[cfg(feature = "signatures")]
fn verify(words: &mut Words<impl Iterator<Item = OsString>>) -> Result<VerifyArgs, Ended> {
    let mut args = VerifyArgs::default();
    while let Some(word) = words.next() {
        match word {
            Word::Option(name, value) if name == "-p" || name == "--public-key" => {
                args.public_key.push(words.path(&name, value)?);
            }
            Word::Option(name, _) => {
                return unknown(&name, include_str!("../tests/cli/help-verify.txt"));
            }
            Word::Operand(word) => args.files.push(word.into()),
        }
    }
    match args.public_key.is_empty() || args.files.is_empty() {
        true => usage("--public-key <PUB> and <FILE> are required"),
        false => Ok(args),
    }
}

fn usage<T>(problem: &str) -> Result<T, Ended> {
    Err(Ended::Usage(format!("{problem} (--help tells more)")))
}

/// An option that there is not, but for the one that all commands have.
fn unknown<T>(name: &str, help: &'static str) -> Result<T, Ended> {
    match name {
        "-h" | "--help" => Err(Ended::Told(help)),
        _ => usage(&format!("unexpected argument '{name}'")),
    }
}

/// A word, or two of them.
enum Word {
    /// An option, and the value that follows its `=`.
    Option(String, Option<OsString>),
    /// Anything else.
    Operand(OsString),
}

struct Words<I: Iterator<Item = OsString>> {
    words: Peekable<I>,
}

impl<I: Iterator<Item = OsString>> Words<I> {
    fn next(&mut self) -> Option<Word> {
        let word = self.words.next()?;
        let bytes = word.as_bytes();
        if bytes == b"--" {
            return self.words.next().map(Word::Operand);
        }
        if !bytes.starts_with(b"-") || bytes == b"-" {
            return Some(Word::Operand(word));
        }
        let equals = bytes.iter().position(|byte| *byte == b'=');
        let (name, value) = match equals {
            Some(at) => (
                &bytes[..at],
                Some(OsString::from_vec(bytes[at + 1..].to_vec())),
            ),
            None => (bytes, None),
        };
        Some(Word::Option(
            String::from_utf8_lossy(name).into_owned(),
            value,
        ))
    }

    /// The value of an option: what follows its `=`, or the next word.
    fn value(&mut self, name: &str, value: Option<OsString>) -> Result<OsString, Ended> {
        match value.or_else(|| self.words.next()) {
            Some(value) => Ok(value),
            None => usage(&format!(
                "a value is required for '{name}' but none was supplied"
            )),
        }
    }

    fn path(&mut self, name: &str, value: Option<OsString>) -> Result<PathBuf, Ended> {
        self.value(name, value).map(PathBuf::from)
    }

    fn text(&mut self, name: &str, value: Option<OsString>) -> Result<String, Ended> {
        match self.value(name, value)?.into_string() {
            Ok(text) => Ok(text),
            Err(_) => usage(&format!("the value of '{name}' is not valid UTF-8")),
        }
    }

    fn parsed<T>(
        &mut self,
        name: &str,
        value: Option<OsString>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Ended> {
        let text = self.text(name, value)?;
        match parse(&text) {
            Ok(parsed) => Ok(parsed),
            Err(problem) => usage(&format!("invalid value '{text}' for '{name}': {problem}")),
        }
    }
}

#[cfg(all(test, feature = "signatures"))]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, Ended> {
        read(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn what_follows_the_file_is_the_guests() {
        let line = "run --dir=a::/b:ro --env A=b --timeout 2s --trusted-key k app.so --dir -x";
        let Ok(Command::Run(args)) = parse(line) else {
            panic!("{line}");
        };
        assert_eq!(args.file, PathBuf::from("app.so"));
        assert_eq!(args.args, ["--dir", "-x"]);
        assert_eq!(args.timeout, Some(std::time::Duration::from_secs(2)));
        assert!(args.dir[0].read_only);
    }

    #[test]
    fn nonsense_is_told() {
        for (line, told) in [
            ("walk", "unrecognized"),
            ("run", "<FILE>"),
            ("run --wrong a", "--wrong"),
            ("run --timeout", "a value is required"),
            ("run --timeout 2y a", "500ms"),
            ("verify a", "--public-key"),
        ] {
            match parse(line) {
                Err(Ended::Usage(problem)) => assert!(problem.contains(told), "{problem}"),
                other => panic!("{line}: {other:?}"),
            }
        }
        for line in ["", "--help", "run -h", "verify --help", "-V"] {
            assert!(matches!(parse(line), Err(Ended::Told(_))), "{line}");
        }
    }

    /// Options that the help names are known.
    #[test]
    fn the_help_of_the_whole_command_is_true_here() {
        for (command, help) in [
            ("run", include_str!("../tests/cli/help-run.txt")),
            ("verify", include_str!("../tests/cli/help-verify.txt")),
        ] {
            let names = help
                .split_whitespace()
                .filter(|word| word.starts_with("--"));
            for name in names.filter(|name| name.len() > 2 && name.is_ascii()) {
                let name = name.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
                let told = parse(&format!("{command} {name}"));
                let unknown = format!("unexpected argument '{name}' (--help tells more)");
                assert_ne!(told.err(), Some(Ended::Usage(unknown)), "{command}");
            }
        }
    }
}
